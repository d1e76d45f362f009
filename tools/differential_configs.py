#!/usr/bin/env python3
"""Random config.json, generation_config.json and safetensors files: colrow beside Transformers.

    COLROW=build/release/colrow python3 tools/differential_configs.py [--configs 200] [--files 60] [--seed 1] [--keep DIR]

Needs torch, safetensors and transformers 5.24 (not part of `make test`). Each case is a tiny model in float32, written
in one of the forms that the public's files come in. Logits of `colrow logits --dtype float32` are compared with
Transformers' eager attention, lengths and ids of `colrow generate` with generate(). A case is

  equal        both agree
  refused      colrow ends with a sentence; counted by its reason
  both refuse  so does the reference, or it warns that weights are random
  lenient      colrow answers where the reference refuses
  different    both answer, and otherwise: the script ends with 1
"""
import argparse
import collections
import contextlib
import io
import json
import logging
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TQDM_DISABLE"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

COLROW = os.path.abspath(os.environ.get("COLROW", "build/release/colrow"))
LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,"
VOCAB = len(LETTERS)
CONTEXT = 64
TOLERANCE = 2e-3
torch.set_num_threads(1)
TYPES = {torch.float32: "F32", torch.float64: "F64", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
         torch.uint8: "U8", torch.bool: "BOOL", torch.int32: "I32"}


# ---- models ----

def base_config(rng):
    heads = rng.choice([1, 2, 3, 4, 6])
    kv = rng.choice([n for n in range(1, heads + 1) if heads % n == 0])
    head_dim = rng.choice([2, 4, 8, 16])
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": heads * head_dim,
            "intermediate_size": rng.choice([4, 10, 11, 25, 32, 40]), "num_hidden_layers": rng.choice([1, 2]),
            "num_attention_heads": heads, "num_key_value_heads": kv, "vocab_size": VOCAB, "rms_norm_eps": 1e-5,
            "max_position_embeddings": 64, "hidden_act": "silu", "torch_dtype": "float32", "bos_token_id": 1,
            "eos_token_id": 2}


def make_weights(config, seed):
    """name: tensor in float32, of the sizes that Transformers takes from these keys."""
    generator = torch.Generator().manual_seed(seed)
    hidden, mlp = config["hidden_size"], config["intermediate_size"]
    heads, kv = config["num_attention_heads"], config.get("num_key_value_heads") or config["num_attention_heads"]
    head_dim = config.get("head_dim") or hidden // heads

    def new(*shape, scale=0.3):
        return (torch.rand(*shape, generator=generator) * 2 - 1) * scale

    weights = {"model.embed_tokens.weight": new(VOCAB, hidden, scale=1), "model.norm.weight": 1 + new(hidden)}
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        for name, rows, columns in (("self_attn.q_proj", heads * head_dim, hidden), ("self_attn.k_proj", kv * head_dim, hidden),
                                    ("self_attn.v_proj", kv * head_dim, hidden), ("self_attn.o_proj", hidden, heads * head_dim),
                                    ("mlp.gate_proj", mlp, hidden), ("mlp.up_proj", mlp, hidden), ("mlp.down_proj", hidden, mlp)):
            weights[f"{prefix}{name}.weight"] = new(rows, columns)
            if config.get("attention_bias") is True and "attn" in name or config.get("mlp_bias") is True and "mlp" in name:
                weights[f"{prefix}{name}.bias"] = new(rows)
        weights[prefix + "input_layernorm.weight"] = 1 + new(hidden)
        weights[prefix + "post_attention_layernorm.weight"] = 1 + new(hidden)
    weights["lm_head.weight"] = new(VOCAB, hidden, scale=1)
    return weights


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def write_safetensors(path, tensors, rng=None, extra=None, metadata="absent", pad=0):
    """`extra`: (name, dtype, shape, bytes) that torch may not know."""
    entries = [(name, TYPES[t.dtype], list(t.shape), raw(t)) for name, t in tensors.items()] + list(extra or [])
    if rng:
        rng.shuffle(entries)
    header, data = {}, b""
    if metadata != "absent":
        header["__metadata__"] = metadata
    for name, dtype, shape, content in entries:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(header).encode() + b" " * pad
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


def write_json(path, value):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(value, file)


# ---- forms of config.json ----

def rope_form(rng):
    low = rng.choice([1.0, 1, 2.0, 4.0])
    original = rng.choice([16, 32, 64, 16.0, 64.0, 40.5])
    kind = rng.choice(["default", "linear", "dynamic", "llama3", "yarn"])
    key = rng.choice(["type", "rope_type", "rope_type"])
    rope = {key: kind}
    if kind in ("linear", "dynamic"):
        rope["factor"] = rng.choice([2, 2.0, 4.5, 1, 0.5])
    if kind == "llama3":
        rope.update(factor=rng.choice([8, 8.0]), low_freq_factor=low, high_freq_factor=rng.choice([4.0, 4, low, 1.0]),
                    original_max_position_embeddings=original)
    if kind == "yarn":
        rope.update(factor=rng.choice([4, 4.0, 2.5]))
        if rng.random() < 0.7:
            rope["original_max_position_embeddings"] = rng.choice([16, 32, 16.0])
        for name, values in (("beta_fast", [32, 16.0]), ("beta_slow", [1, 2.0]), ("attention_factor", [1.0, 1.3]),
                             ("mscale", [1.0, 0.7]), ("mscale_all_dim", [1.0]), ("truncate", [True, False])):
            if rng.random() < 0.25:
                rope[name] = rng.choice(values)
    if rng.random() < 0.15:
        rope["unused"] = rng.choice([1, None, "x"])
    theta = rng.choice([10000, 10000.0, 500000.0, 5000])
    if rng.random() < 0.4:
        return {"rope_parameters": {**rope, "rope_theta": theta}, **rng.choice([{}, {"rope_scaling": None}, {"rope_theta": 77.0}])}
    forms = {"rope_scaling": rope, "rope_theta": theta}
    if rng.random() < 0.2:
        forms["rope_parameters"] = {"rope_type": "linear", "factor": 3.0}
    return forms


def change_config(rng, config):
    """A few changes of one kind each."""
    def architectures():
        config["architectures"] = rng.choice([None, [], ["LLaMAForCausalLM"], ["LlamaModel"], ["PeftModelForCausalLM"],
                                              ["FSDPLlamaForCausalLM"], ["LlamaForCausalLM", "LlamaModel"], ["MistralForCausalLM"]])

    def no_architectures():
        config.pop("architectures", None)

    def model_type():
        config["model_type"] = rng.choice(["mistral", "llama", "mistral", "llama", "llama2", None])

    def mistral():
        config.update(model_type="mistral", architectures=rng.choice([["MistralForCausalLM"], None, ["LlamaForCausalLM"]]))
        if rng.random() < 0.7:
            config["sliding_window"] = rng.choice([None, 4, 5, 64, 4096, 4.0])

    def act():
        config["hidden_act"] = rng.choice(["swish", "silu", "swish", "swish", "gelu", "SiLU"])

    def dtype():
        config.pop("torch_dtype", None)
        config.update(rng.choice([{}, {"dtype": "float32"}, {"torch_dtype": "float"}, {"torch_dtype": "auto"}, {"dtype": "bfloat16"},
                                  {"dtype": None, "torch_dtype": "float16"}, {"torch_dtype": "double"}, {"dtype": "half"},
                                  {"dtype": "int8"}, {"dtype": "bf16"}, {"torch_dtype": "fp16"}, {"torch_dtype": {}}]))

    def size_as_float():
        key = rng.choice(["hidden_size", "num_attention_heads", "vocab_size", "max_position_embeddings", "num_hidden_layers"])
        config[key] = float(config[key])

    def eps():
        config["rms_norm_eps"] = rng.choice([1e-6, 1e-12, 0.0, 1e-2, 0.5, "1e-6", None])

    def head_dim():
        config["head_dim"] = rng.choice([None, 4, 8, 6, 16, 32, 5, 1])

    def kv_heads():
        config["num_key_value_heads"] = rng.choice([None, config["num_key_value_heads"], 1, 5])

    def missing():
        for key in rng.sample(["rms_norm_eps", "max_position_embeddings", "hidden_act", "num_key_value_heads", "eos_token_id",
                               "bos_token_id", "torch_dtype"], 2):
            config.pop(key, None)

    def missing_size():
        config.pop(rng.choice(["hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"]))

    def ids():
        config[rng.choice(["eos_token_id", "bos_token_id"])] = rng.choice([VOCAB, -1, 10**6, None, 0])
        if rng.random() < 0.3:
            config["eos_token_id"] = [2, rng.choice([VOCAB, -1, 3])]

    def quantisation():
        config["quantization_config"] = rng.choice([
            None, {}, {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": False},
            {"load_in_4bit": False, "load_in_8bit": False}, {"quant_method": None}, {"quant_method": "gptq", "bits": 4},
            {"quant_method": "bitsandbytes", "load_in_8bit": True}, {"quant_method": "unknown"}])

    def bias():
        config["attention_bias"] = rng.choice([True, True, False])
        config["mlp_bias"] = rng.choice([True, False, False])

    def window():
        config["sliding_window"] = rng.choice([4, None, 8.0])

    def json_forms():
        config.update(rng.choice([{"limit": float("inf")}, {"limit": -float("inf"), "big": 10**30}, {"x": float("nan")},
                                  {"note": "\ud83d"}, {"nul": "a\0b"}, {"max_seq": 2**63}]))

    def layer_types():
        config["layer_types"] = rng.choice([["full_attention"], ["sliding_attention"]]) * config["num_hidden_layers"]

    kinds = [architectures, no_architectures, model_type, mistral, act, dtype, size_as_float, eps, head_dim, kv_heads, missing,
             missing_size, ids, quantisation, bias, window, json_forms, layer_types]
    for kind in rng.sample(kinds, rng.choice([0, 1, 1, 1, 2])):
        kind()
    if rng.random() < 0.4:
        config.update(rope_form(rng))
    elif rng.random() < 0.1:
        config["rope_scaling"] = rng.choice([[], {}, 0, "", False, [1]])
    if rng.random() < 0.5:
        config["tie_word_embeddings"] = rng.choice([True, True, True, False])


def change_weights(rng, config, weights):
    if rng.random() < 0.5:
        drop = rng.choice([["lm_head.weight"]] * 4 + [["model.embed_tokens.weight"]] * 3 + [[]] * 4 +
                          [["lm_head.weight", "model.embed_tokens.weight"]])
        if not config.get("tie_word_embeddings") and rng.random() < 0.9:
            drop = []
        for name in drop:
            weights.pop(name, None)
        if not drop and rng.random() < 0.3:
            weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    biases = [name for name in weights if name.endswith(".bias")]
    if biases and rng.random() < 0.6:
        part = rng.choice([".o_proj", ".k_proj", "mlp", ""])
        for name in biases:
            if part in name:
                weights.pop(name)
    elif rng.random() < 0.1:
        weights["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(4)
    prefix = rng.random()
    if prefix < 0.12:
        return {name.removeprefix("model."): t for name, t in weights.items()}
    if prefix < 0.2:
        return {"model." + name: t for name, t in weights.items()}
    if prefix < 0.23:
        return {rng.choice(["module.", "_orig_mod.", "transformer."]) + name: t for name, t in weights.items()}
    return weights


# ---- both sides ----

def reference_model(folder):
    try:
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager",
                                                               output_loading_info=True)
    except BaseException as error:  # whatever it is, the reference does not answer
        return None, f"{type(error).__name__}: {str(error)[:120]}"
    random_ones = [name for name in info["missing_keys"] if not name.endswith(".bias")]
    if random_ones:
        return None, f"random weights: {sorted(random_ones)[0]}"
    return model.eval(), ""


def reference_logits(model, ids):
    try:
        with torch.no_grad():
            return model(torch.tensor([ids])).logits[0].float(), ""
    except BaseException as error:
        return None, f"{type(error).__name__}: {str(error)[:120]}"


def colrow(*arguments):
    return subprocess.run([COLROW, *map(str, arguments)], capture_output=True, text=True, errors="replace", timeout=120)


def reason_of(done, folder):
    text = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"status {done.returncode}"
    text = text.replace(folder, "MODEL").removeprefix("colrow: error: ")
    return re.sub(r"-?\d+(\.\d+)?(e[-+]?\d+)?", "N", re.sub(r"layers\.\d+", "layers.N", text))[:110]


def colrow_logits(folder, ids, tp):
    out = os.path.join(folder, "logits.out.safetensors")
    done = colrow("logits", folder, "--input-ids", ",".join(map(str, ids)), "--output", out, "--dtype", "float32", "-tp", tp, "-q")
    if done.returncode:
        crash = done.returncode < 0 or done.returncode > 2
        return None, ("CRASH " if crash else "") + reason_of(done, folder)
    with open(out, "rb") as file:
        data = file.read()
    os.unlink(out)
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    begin, end = header["logits"]["data_offsets"]
    return torch.frombuffer(bytearray(data[8 + length + begin : 8 + length + end]), dtype=torch.float32).view(len(ids), -1), ""


class Tally:
    def __init__(self, what):
        self.what, self.counts, self.reasons, self.different = what, collections.Counter(), collections.Counter(), []

    def add(self, kind, case, reason=""):
        self.counts[kind] += 1
        if kind == "refused":
            self.reasons[reason] += 1
        if kind in ("lenient", "both refuse"):
            self.reasons[f"({kind}) " + " ".join(reason.split())] += 1
        if kind == "different":
            self.different.append(case)
            print(f"different: {self.what} {case}: {reason}", flush=True)

    def show(self):
        print(f"{self.what}: {sum(self.counts.values())} cases, " + ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items())))
        for reason, n in self.reasons.most_common():
            print(f"  {n:3} {reason}")


def compare_logits(tally, case, folder, rng):
    ids = [rng.randrange(VOCAB) for _ in range(rng.choice([3, 9, 12]))]
    model, why = reference_model(folder)
    wanted = None
    if model is not None:
        wanted, why = reference_logits(model, ids)
    heads = 1
    with contextlib.suppress(Exception):
        with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
            heads = int(json.load(file)["num_attention_heads"])
    got, reason = colrow_logits(folder, ids, rng.choice([1, 1, 2]) if heads > 1 else 1)
    if reason.startswith("CRASH"):
        tally.add("different", case, reason)
    elif wanted is None:
        tally.add("both refuse" if got is None else "lenient", case, why)
    elif got is None:
        tally.add("refused", case, reason)
    elif got.shape != wanted.shape:
        tally.add("different", case, f"shape {tuple(got.shape)}, reference {tuple(wanted.shape)}")
    elif bool(torch.isfinite(wanted).all()) != bool(torch.isfinite(got).all()):
        tally.add("different", case, "not finite on one side")
    elif (got - wanted).abs().max() > TOLERANCE * max(1, wanted.abs().max()):
        tally.add("different", case, f"largest difference {(got - wanted).abs().max():.3g}")
    else:
        tally.add("equal", case)
    return model


def generation_form(rng, n_prompt):
    form = {}

    def maybe(p, key, values):
        if rng.random() < p:
            form[key] = rng.choice(values)

    maybe(0.4, "max_new_tokens", [1, 3, 7, 7.0, None])
    maybe(0.4, "max_length", [n_prompt + 1, n_prompt + 5, n_prompt + 9.0, 10**30, float("inf"), n_prompt, None])
    maybe(0.6, "eos_token_id", [2, [2, 5], [7], None, -1, VOCAB, [3, VOCAB], list(range(10, 40)), 2.0, "2", [2, "5"]])
    maybe(0.1, "bos_token_id", [[1], "1", [], 1])
    maybe(0.3, "do_sample", [False, False, None])
    maybe(0.3, "temperature", [0.7, 0, 0.0, 1, "0.7", None])
    maybe(0.3, "top_p", [0, 0.0, 0.9, 1.5, 1])
    maybe(0.3, "top_k", [50, 50.0, 0, -1, 1])
    maybe(0.2, "min_p", [0.0, 0.1, 2])
    maybe(0.3, "repetition_penalty", [1.0, 1.3, 1, 0.8, 0.0])
    maybe(0.2, "pad_token_id", [0, None, -1])
    maybe(0.1, "transformers_version", ["4.40.0"])
    maybe(0.1, "max_time", [float("inf"), float("nan")])
    if rng.random() < 0.15:  # one token alone is left: sampling is greedy
        form.update(do_sample=True, top_k=1)
    return form


def write_tokenizer(folder):
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "vocab": {letter: i for i, letter in enumerate(LETTERS)}, "merges": []}
    write_json(os.path.join(folder, "tokenizer.json"),
               {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
                "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model})


def is_tie(model, ids, wanted, got):
    """Whether the first token that differs was as likely, within the tolerance."""
    for i, (a, b) in enumerate(zip(wanted, got)):
        if a != b:
            with torch.no_grad():
                logits = model(torch.tensor([ids + wanted[:i]])).logits[0, -1]
            return abs(logits[a] - logits[b]) < TOLERANCE * max(1, logits.abs().max())
    return False


def compare_generation(tally, case, folder, config, rng):
    # Transformers cuts the cache of a Llama with this key although its attention does not look at it: with and without
    # the cache it gives different answers.
    if config.get("model_type") != "mistral" and (config.get("sliding_window") or config.get("layer_types")):
        return
    ids = [rng.randrange(VOCAB) for _ in range(rng.choice([2, 5, 8]))]
    form = generation_form(rng, len(ids))
    write_json(os.path.join(folder, "generation_config.json"), form)
    write_tokenizer(folder)
    wanted, why = None, ""
    limited = form.get("max_new_tokens") or form.get("max_length")
    flag = [] if limited else ["-n", 6]
    model, why = reference_model(folder)
    if model is not None:
        try:
            with torch.no_grad(), contextlib.redirect_stderr(io.StringIO()):
                keywords = {} if limited else {"max_new_tokens": 6}
                # like colrow with --max-model-len, not beyond CONTEXT, whatever the config says
                if "max_new_tokens" not in keywords and not form.get("max_new_tokens") and form["max_length"] > CONTEXT:
                    keywords["max_length"] = CONTEXT
                inputs = torch.tensor([ids])  # the mask, for a pad token inside would be masked
                wanted = model.generate(inputs, attention_mask=torch.ones_like(inputs), **keywords)[0, len(ids):].tolist()
        except BaseException as error:
            why = f"{type(error).__name__}: {str(error)[:120]}"
    done = colrow("generate", folder, "-p", "".join(LETTERS[i] for i in ids), "--dtype", "float32", "--json", "-q",
                  "--max-model-len", CONTEXT, *flag)
    detail = f"{case} {json.dumps(form)}"
    if done.returncode < 0 or done.returncode > 2:
        tally.add("different", detail, f"CRASH {done.returncode}")
    elif wanted is None:
        tally.add("both refuse" if done.returncode else "lenient", detail, why)
    elif done.returncode:
        tally.add("refused", detail, reason_of(done, folder))
    else:
        got = json.loads(done.stdout)["outputs"][0]["token_ids"]
        ends = form.get("eos_token_id")
        ends = ends if isinstance(ends, list) else [ends]
        if not any(isinstance(end, (int, float)) and 0 <= end < VOCAB for end in ends):
            # colrow ends at config.json's then (docs/compatibility.md)
            ends = config.get("eos_token_id", 2)
            ends = ends if isinstance(ends, list) else [ends]
            at = [i for i, token in enumerate(wanted) if token in ends]
            wanted = wanted[: at[0] + 1] if at else wanted
        if got == wanted or (wanted and got == wanted[:-1] and wanted[-1] in ends) or is_tie(model, ids, wanted, got):
            tally.add("equal", detail)
        else:
            at = next((i for i, (a, b) in enumerate(zip(got, wanted)) if a != b), min(len(got), len(wanted)))
            tally.add("different", detail, f"{len(got)} tokens and {len(wanted)}, from token {at} on {got[at:at + 8]}, "
                                           f"reference {wanted[at:at + 8]}")


# ---- forms of safetensors files ----

def file_case(rng, folder):
    config = base_config(rng)
    config.pop("torch_dtype")
    if rng.random() < 0.3:
        config["tie_word_embeddings"] = True
    weights = make_weights(config, rng.randrange(10**6))
    if config.get("tie_word_embeddings"):
        weights.pop(rng.choice(["lm_head.weight", "model.embed_tokens.weight"]))
    mix = rng.choice([[torch.float32], [torch.float64], [torch.float16], [torch.bfloat16], list(TYPES)[:4], [torch.float64, torch.float32]])
    weights = {name: t.to(rng.choice(mix)) for name, t in weights.items()}
    rename = rng.choice([str, str, str, lambda n: n.removeprefix("model."), lambda n: "model." + n])
    weights = {rename(name): t for name, t in weights.items()}
    extra = []
    if rng.random() < 0.5:
        for dtype, bits in rng.sample([("F8_E8M0", 8), ("F8_E4M3", 8), ("F8_E5M2", 8), ("C64", 64), ("I64", 64), ("U16", 16),
                                       ("BOOL", 8), ("I8", 8), ("F64", 64), ("F4", 4), ("F8_E4M3FNUZ", 8), ("F6_E2M3", 6)], 3):
            shape = rng.choice([[8], [4, 2], [0], [2, 2, 2], []]) if bits >= 8 else [8]
            n = 1
            for size in shape:
                n *= size
            extra.append((f"{rng.choice(['aux', 'model.layers.0.self_attn.rotary_emb'])}.{dtype}", dtype, shape, bytes(n * bits // 8)))
    if rng.random() < 0.3:
        extra.append(("model.layers.0.self_attn.rotary_emb.inv_freq", "F32", [4], bytes(16)))
    metadata = rng.choice(["absent", None, {}, {"format": "pt"}, {"format": "pt", "note": "a\0b"}])
    write_json(os.path.join(folder, "config.json"), config)
    if rng.random() < 0.5:
        order = rng if rng.random() < 0.5 else None
        write_safetensors(os.path.join(folder, "model.safetensors"), weights, order, extra, metadata, rng.choice([0, 0, 1, 3, 7]))
        return
    names = list(weights)
    rng.shuffle(names)
    n = rng.choice([1, 2, 3])
    sub = rng.choice(["", "", "shards/"])
    os.makedirs(os.path.join(folder, sub), exist_ok=True)
    weight_map = {}
    for i in range(n):
        file = f"{sub}model-{i + 1:05}-of-{n:05}.safetensors"
        part = {name: weights[name] for name in names[i::n]}
        if i and rng.random() < 0.2:  # of tensors in two files, the last one's count
            part[names[0]] = weights[names[0]] * 1
        write_safetensors(os.path.join(folder, file), part, None, extra if i == 0 else None,
                          metadata if metadata is not None else "absent", rng.choice([0, 1, 5]))
        weight_map.update(dict.fromkeys(part, file))
    index = {"metadata": rng.choice([{"total_size": 1}, {"total_size": 12.5}, {}, {"total_size": float("inf")}]), "weight_map": weight_map}
    oddity = rng.random()
    if oddity < 0.25:
        weight_map["model.layers.0.self_attn.rotary_emb.inv_freq"] = file
    elif oddity < 0.4 and n > 1:
        weight_map[names[0]] = file
    elif oddity < 0.5:
        weight_map[names[0]] = "missing.safetensors"
    elif oddity < 0.6:
        del weight_map[names[-1]]
    elif oddity < 0.65:
        index.pop("metadata")
    write_json(os.path.join(folder, "model.safetensors.index.json"), index)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--configs", type=int, default=200)
    parser.add_argument("--files", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="e.g. config-17, file-3: one case alone")
    parser.add_argument("--keep", help="where folders of cases stay")
    options = parser.parse_args()
    root = options.keep or tempfile.mkdtemp()
    configs, generation, files = Tally("configs"), Tally("generation"), Tally("safetensors")
    cases = [f"config-{i}" for i in range(options.configs)] + [f"file-{i}" for i in range(options.files)]
    for case in cases:
        if options.only and case != options.only:
            continue
        rng = random.Random(f"{options.seed} {case}")
        folder = os.path.join(root, case)
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        if case.startswith("file"):
            file_case(rng, folder)
            compare_logits(files, case, folder, rng)
        else:
            config = base_config(rng)
            before = dict(config)
            change_config(rng, config)
            shapes = {**before, **{k: v for k, v in config.items() if k in ("attention_bias", "mlp_bias") or
                                   k == "head_dim" and isinstance(v, int) or k == "num_key_value_heads" and
                                   (v is None or isinstance(v, int) and before["num_attention_heads"] % v == 0)}}
            weights = change_weights(rng, config, make_weights(shapes, rng.randrange(10**6)))
            write_json(os.path.join(folder, "config.json"), config)
            write_safetensors(os.path.join(folder, "model.safetensors"), weights)
            model = compare_logits(configs, case, folder, rng)
            if model is not None:
                compare_generation(generation, case, folder, config, rng)
        if not options.keep:
            shutil.rmtree(folder)
    for tally in (configs, generation, files):
        tally.show()
    if not options.keep:
        shutil.rmtree(root, ignore_errors=True)
    sys.exit(bool(configs.different or generation.different or files.different))


if __name__ == "__main__":
    main()
