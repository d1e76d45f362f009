#!/usr/bin/env python3
"""One small model in the forms that checkpoints come in: each gives the logits of the plain form, bit for bit."""
import json
import os
import random
import struct
import tempfile

from support import SANITIZE, check, finish, isas, logits_file, run

IDS = [1, 30, 17, 41, 60, 5, 12, 63, 40, 33, 25, 12]
HEADS, KV_HEADS, HEAD_DIM, HIDDEN, VOCAB, LAYERS = 6, 2, 8, 48, 64, 2
CODES = {"F32": "f", "F64": "d"}


def config(**keys):
    plain = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": HIDDEN,
             "intermediate_size": 26, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
             "num_key_value_heads": KV_HEADS, "head_dim": HEAD_DIM, "vocab_size": VOCAB, "rms_norm_eps": 1e-5,
             "max_position_embeddings": 64, "torch_dtype": "float32"}
    plain.update(keys)
    return {key: value for key, value in plain.items() if value != "absent"}


def make_tensors(intermediate, bias=False, head=True):
    """name: (shape, numbers), numbers that float32 holds."""
    source = random.Random(7)

    def numbers(*shape, scale=0.2):
        n = 1
        for size in shape:
            n *= size
        return list(shape), [struct.unpack("<f", struct.pack("<f", source.uniform(-scale, scale)))[0] for _ in range(n)]

    query, key = HEADS * HEAD_DIM, KV_HEADS * HEAD_DIM
    tensors = {"model.embed_tokens.weight": numbers(VOCAB, HIDDEN, scale=1), "model.norm.weight": numbers(HIDDEN, scale=2)}
    for layer in range(LAYERS):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (("self_attn.q_proj", query, HIDDEN), ("self_attn.k_proj", key, HIDDEN),
                                    ("self_attn.v_proj", key, HIDDEN), ("self_attn.o_proj", HIDDEN, query),
                                    ("mlp.gate_proj", intermediate, HIDDEN), ("mlp.up_proj", intermediate, HIDDEN),
                                    ("mlp.down_proj", HIDDEN, intermediate)):
            tensors[prefix + name + ".weight"] = numbers(rows, columns)
            if bias:
                tensors[prefix + name + ".bias"] = numbers(rows)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[prefix + name + ".weight"] = numbers(HIDDEN, scale=2)
    if head:
        tensors["lm_head.weight"] = numbers(VOCAB, HIDDEN)
    return tensors


def write(path, tensors, dtype="F32", extra=None):
    header, data = {}, b""
    for name, (shape, values) in tensors.items():
        code = f"<{len(values)}{CODES[dtype]}"
        raw = struct.pack(code, *values)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    header.update(extra or {})
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


folder = tempfile.TemporaryDirectory()
count = 0


def make(keys, tensors, **options):
    global count
    count += 1
    path = os.path.join(folder.name, str(count))
    os.mkdir(path)
    with open(os.path.join(path, "config.json"), "w", encoding="utf-8") as file:
        json.dump(keys, file)
    write(os.path.join(path, "model.safetensors"), tensors, **options)
    return path


def digest(path, *flags, isa=None):
    return logits_file(path, IDS, *flags, isa=isa)[1]


def same(what, path, wanted, sizes=(1, 2)):
    for tp in sizes:
        check(digest(path, "-tp", tp) == wanted, f"{what}, -tp {tp}: other logits")


def said(path, *words):
    """`colrow logits` works and says the words."""
    with tempfile.NamedTemporaryFile(suffix=".safetensors") as out:
        done = run("logits", path, "--input-ids", ",".join(map(str, IDS)), "--output", out.name)
        check(done.returncode == 0 and all(word in done.stderr for word in words), f"expected {words}: {done.stderr}")


def refused(what, path, *words):
    done = run("logits", path, "--input-ids", "1,2", "--output", os.path.join(folder.name, "out"))
    check(done.returncode == 1 and all(word in done.stderr for word in words), f"{what}: expected {words}: {done.stderr}")


plain = make_tensors(26)
untied = digest(make(config(), plain))
check(untied is not None, "the plain form")
embedding, head = plain["model.embed_tokens.weight"], plain["lm_head.weight"]
body = {name: tensor for name, tensor in plain.items() if name not in ("model.embed_tokens.weight", "lm_head.weight")}
tied = digest(make(config(), {**body, "model.embed_tokens.weight": embedding, "lm_head.weight": embedding}))


def renamed(tensors, change):
    return {change(name): tensor for name, tensor in tensors.items()}


def without(name):
    return name.removeprefix("model.")


def twice(name):
    return "model." + name


# ---- ties: the key, what is stored, names, ranks
sizes = (1, 2, 3, 4) if not SANITIZE else (1, 3)
for change in (str, without, twice):
    for key in (True, False, None, "absent"):
        both = make(config(tie_word_embeddings=key), renamed(plain, change))
        same(f"tie {key}, both stored, {change.__name__}", both, untied, sizes if change is str else (1, 2))
        one = make(config(tie_word_embeddings=key), renamed({**body, "model.embed_tokens.weight": embedding}, change))
        other = make(config(tie_word_embeddings=key), renamed({**body, "lm_head.weight": embedding}, change))
        if key is True:
            same(f"tied, {change.__name__}", one, tied, sizes)
            same(f"tied, only lm_head stored, {change.__name__}", other, tied, sizes)
        else:
            refused(f"tie {key}, no lm_head", one, "lm_head.weight", "missing", "tie_word_embeddings")
            refused(f"tie {key}, no embedding", other, "embed_tokens.weight", "missing")
said(make(config(tie_word_embeddings=True), plain), "tie_word_embeddings", "lm_head is stored", "it counts")
# the same bits stored twice are held once; one that differs, in the last number, counts
repeated = make(config(tie_word_embeddings=True), {**plain, "lm_head.weight": embedding})
same("a head that repeats the embedding", repeated, tied, sizes)
said(repeated, "one copy serves both")
once = make(config(tie_word_embeddings=True), {**body, "model.embed_tokens.weight": embedding})
bytes_of = {path: json.loads(run("plan", path, "-tp", "2", "--json").stdout)["ranks"] for path in (repeated, once)}
check(bytes_of[repeated] == bytes_of[once], f"a repeated head takes memory: {bytes_of}")
nearly = make(config(tie_word_embeddings=True), {**plain, "lm_head.weight": (embedding[0], [*embedding[1][:-1], embedding[1][-1] + 1])})
said(nearly, "lm_head is stored", "it counts")
check(digest(nearly) != tied, "a head that differs in one number")
refused("neither", make(config(tie_word_embeddings=True), body), "model.embed_tokens.weight", "missing")
refused("wrapped", make(config(), renamed(plain, lambda name: "_orig_mod." + name)), "found \"_orig_mod.model.embed_tokens.weight\"")

# ---- architectures and activations
for keys in ({"architectures": "absent"}, {"architectures": None}, {"architectures": []}, {"model_type": "absent"},
             {"architectures": ["LLaMAForCausalLM"]}, {"architectures": ["LlamaModel"]},
             {"architectures": ["PeftModelForCausalLM"]}, {"architectures": ["FSDPLlamaForCausalLM", "LlamaForCausalLM"]},
             {"hidden_act": "swish"}, {"torch_dtype": "auto"}, {"torch_dtype": "absent"}, {"torch_dtype": "float"},
             {"torch_dtype": "double"}, {"dtype": "float32", "torch_dtype": "bfloat16"},
             {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False}},
             {"quantization_config": {"load_in_4bit": False, "load_in_8bit": False}}, {"quantization_config": {}},
             {"quantization_config": None}, {"quantization_config": {"quant_method": None}},
             {"torch_dtype": {}}, {"rope_scaling": None}, {"rope_scaling": []}, {"rope_scaling": {}}, {"rope_scaling": 0}, {"rope_scaling": {"type": "default"}}, {"rope_parameters": {"rope_type": "default"}},
             {"rope_theta": 10000}, {"eos_token_id": VOCAB}, {"eos_token_id": -1}, {"bos_token_id": VOCAB},
             {"eos_token_id": [2, VOCAB]}, {"max_seq": float("inf"), "big": 10**30, "nan": float("nan")}):
    same(str(keys), make(config(**keys), plain), untied, (1,))

# ---- a type that is none stops who asks the file for one
for key in ("dtype", "torch_dtype"):
    for value in ("bf16", "fp16", "fp32", "unknown", "int8", 16):
        named = make(config(**{"torch_dtype": "absent", key: value}), plain)
        check(digest(named, "--dtype", "float32") == untied, f"{key} {value} with --dtype")
        refused(f"{key} {value}", named, f'"{key}" is', str(value), "--dtype")

# ---- biases
biased = make_tensors(26, bias=True)
zeros = {name: tensor if ".o_proj.bias" not in name else (tensor[0], [0.0] * len(tensor[1])) for name, tensor in biased.items()}
keys = config(attention_bias=True, mlp_bias=True)
wanted = digest(make(keys, zeros))
some = make(keys, {name: tensor for name, tensor in biased.items() if ".o_proj.bias" not in name})
same("no bias of o_proj", some, wanted)
said(some, "2 biases", "self_attn.o_proj.bias", "zeros")
same("all biases missing", make(keys, plain), untied)

# ---- types: doubles, and what nobody reads
same("float64", make(config(), plain, dtype="F64"), untied)
for compute in ("bfloat16", "float16"):
    check(digest(make(config(), plain, dtype="F64"), "--dtype", compute) == digest(make(config(), plain), "--dtype", compute),
          f"float64 in {compute}")
unread = {"__metadata__": None}
unread |= {f"aux.{dtype}": {"dtype": dtype, "shape": [0], "data_offsets": [0, 0]}
           for dtype in ("F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "C64", "F4", "F6_E2M3", "F6_E3M2", "BOOL", "U16")}
same("types of tensors that nobody reads", make(config(), plain, extra=unread), untied)

# ---- an odd intermediate_size is the even one above it, with zeros
for odd in (1, 25, 171):
    tensors = make_tensors(odd, bias=odd == 25)
    padded = {}
    for name, (shape, values) in tensors.items():
        if ".gate_proj." in name or ".up_proj." in name:
            padded[name] = ([shape[0] + 1, *shape[1:]], values + [0.0] * (shape[1] if len(shape) > 1 else 1))
        elif name.endswith("down_proj.weight"):
            rows = [values[i * odd : (i + 1) * odd] + [0.0] for i in range(HIDDEN)]
            padded[name] = ([HIDDEN, odd + 1], sum(rows, []))
        else:
            padded[name] = (shape, values)
    more = {"attention_bias": True, "mlp_bias": True} if odd == 25 else {}
    path = make(config(intermediate_size=odd, **more), tensors)
    double = make(config(intermediate_size=odd, **more), tensors, dtype="F64")
    for compute in ("float32", "bfloat16", "float16"):
        wanted = digest(make(config(intermediate_size=odd + 1, **more), padded), "--dtype", compute)
        for tp in sizes if odd > 1 else (1,):
            check(digest(path, "--dtype", compute, "-tp", tp) == wanted, f"intermediate_size {odd}, {compute}, -tp {tp}")
        check(digest(double, "--dtype", compute, "-tp", 2 if odd > 1 else 1) == wanted, f"float64, {odd}, {compute}")
        for isa in isas():
            check(digest(path, "--dtype", compute, isa=isa) == wanted, f"intermediate_size {odd}, {compute}, {isa}")

# ---- multimodal models: the text part below other names, beside tensors that nobody reads
WRAPPED = {"text_config": {**config(), "model_type": "mistral", "sliding_window": None, "architectures": "absent"},
           "model_type": "mistral3", "architectures": ["Mistral3ForConditionalGeneration"], "tie_word_embeddings": False,
           "vision_config": {"model_type": "pixtral"}}
towers = {f"{prefix}{name}": ([2, 3], [1.0] * 6) for prefix in ("", "model.")
          for name in ("vision_tower.conv.weight", "multi_modal_projector.linear_1.weight", "visual.blocks.0.attn.proj.weight")}


def below(prefix, head=""):
    return renamed(plain, lambda name: head + name if name.startswith("lm_head") else prefix + name.removeprefix("model."))


for prefix, head in (("model.", ""), ("", ""), ("model.language_model.", ""), ("language_model.model.", "language_model."),
                     ("language_model.", ""), ("language_model.", "language_model."), ("model.language_model.model.", ""),
                     ("language_model.model.model.", ""), ("model.language_model.", "model.")):
    path = make(WRAPPED, {**below(prefix, head), **towers})
    same(f"wrapped, {prefix!r}, {head!r}", path, untied, (1, 2) if prefix == "language_model.model." else (1,))
    same(f"plain, {prefix!r}, {head!r}", make(config(), below(prefix, head)), untied, (1,))
done = run("logits", path, "--input-ids", "1,2", "--output", os.path.join(folder.name, "out"))
check("images" in done.stderr and "no part of" not in done.stderr, f"what is said of a multimodal model: {done.stderr}")
rules = os.path.join(folder.name, "rules.json")
with open(rules, "w", encoding="utf-8") as file:
    json.dump({"model.vision_tower.layers.*.q_proj": "colwise", "model.language_model.layers.*.mlp.up_proj": "replicate",
               "language_model.model.layers.*.mlp.gate_proj": "replicate", "layers.*.mlp.down_proj": "replicate"}, file)
check(digest(path, "-tp", 2, "--tp-plan", rules) == untied, "a plan with rules of parts that are not served")
only = {**WRAPPED, "tie_word_embeddings": True}
same("wrapped and tied", make(only, {**body, "model.embed_tokens.weight": embedding}), tied)
said(make(WRAPPED, {**plain, "extra.weight": ([1], [0.0])}), "1 tensor", "extra.weight")
qwen = {**config(), "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "rope_theta": 5e5}
qwen.pop("head_dim")
biases = {name: tensor for name, tensor in biased.items() if ".bias" not in name or any(f".{x}_proj.bias" in name for x in "qkv")}
wanted = digest(make(qwen, biases))
rope = {"rope_scaling": {"type": "mrope", "mrope_section": [1, 2, 1]}}
names = {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]}
same("qwen2_5_vl, the older form", make({**qwen, **names, **rope, "vision_config": {}}, {**biases, **towers}), wanted, (1,))
same("qwen2_5_vl, the newer form", make({**names, "text_config": {**qwen, **rope}}, biases), wanted, (1,))

# ---- several files: the one that Transformers takes; the cache's folders
path = make(config(), plain)
for name in ("consolidated.safetensors", "model-00001-of-00002.safetensors", "model.fp16.safetensors"):
    write(os.path.join(path, name), {"model.norm.weight": ([1], [0.0])})
for name in ("model.safetensors.index.json", "consolidated.safetensors.index.json", "model.fp16.safetensors.index.json"):
    with open(os.path.join(path, name), "w", encoding="utf-8") as file:
        json.dump({"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}, file)
same("model.safetensors beside others", path, untied, (1,))
said(path, "consolidated.safetensors", "ignored")
cache = os.path.join(folder.name, "models--org--name")
for name in ("blobs", "refs", "snapshots/0a1b2c"):
    os.makedirs(os.path.join(cache, name))
for name in ("config.json", "model.safetensors"):
    os.rename(os.path.join(path, name), os.path.join(cache, "blobs", name + "-hash"))
    os.symlink(f"../../blobs/{name}-hash", os.path.join(cache, "snapshots/0a1b2c", name))
with open(os.path.join(cache, "refs/main"), "w", encoding="utf-8") as file:
    file.write("0a1b2c")
for given in (cache, os.path.join(cache, "snapshots/0a1b2c"), cache + "/"):
    same(f"the cache's {os.path.relpath(given, folder.name)}", given, untied, (1, 2))
    check(run("plan", given, "-tp", "2").returncode == 0, f"plan of {given}")
    check(run("inspect", given).returncode == 0, f"inspect of {given}")

folder.cleanup()
finish("forms of a checkpoint")
