"""Tiny quantised checkpoints in every format that colrow reads, written with the standard library alone, and beside each
its dense twin: the same model with each weight as the format's own library dequantises it.

A format is a function (rng, rows, columns) -> (tensors, numbers): what stands behind the module's name as
{suffix: (type, shape, bytes)}, and the numbers, row by row. Scales and codes are drawn at random.
"""
import json
import os
import random
import struct

from tiny_checkpoint import numbers, packed

E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6]
NF4 = [-1.0, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0.0,
       0.0795803, 0.1609302, 0.2461123, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1.0]
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
LETTERS = {"F32": "f", "F16": "e", "I32": "i", "I64": "q", "I8": "b", "U8": "B"}


def rounded(value, kind):
    """To the nearest number of the type."""
    if kind == "BF16":
        bits = struct.unpack("<I", struct.pack("<f", value))[0]
        return struct.unpack("<f", struct.pack("<I", (bits + 0x7FFF + (bits >> 16 & 1)) >> 16 << 16 & 0xFFFFFFFF))[0]
    return struct.unpack("<" + LETTERS[kind], struct.pack("<" + LETTERS[kind], value))[0]


def f32(value):
    return rounded(value, "F32")


def stored(kind, shape, values):
    if kind == "BF16":
        data = b"".join(struct.pack("<f", v)[2:] for v in values)  # they are numbers of that type
    else:
        data = struct.pack(f"<{len(values)}{LETTERS.get(kind, 'B')}", *values)
    return kind, shape, data


def e4m3(code):
    exponent, mantissa = code >> 3 & 15, code & 7
    size = mantissa * 2.0 ** -9 if exponent == 0 else (1 + mantissa / 8) * 2.0 ** (exponent - 7)
    return -size if code & 0x80 else size


def fp8_codes(rng, count):
    return [rng.choice([c for c in range(256) if c & 0x7F < 0x60]) for _ in range(count)]  # below 64


def words(codes, bits):
    """A string of bits in words of 32, low bit first, as int32."""
    whole = 0
    for i, code in enumerate(codes):
        whole |= code << (bits * i)
    count = -(-len(codes) * bits // 32)
    return [struct.unpack("<i", struct.pack("<I", whole >> 32 * i & 0xFFFFFFFF))[0] for i in range(count)]


def fields(codes, bits):
    """As compressed-tensors packed until 0.17: so many whole fields a word."""
    each = 32 // bits
    return [words(codes[i:i + each], bits)[0] for i in range(0, len(codes), each)]


def transposed(rows):
    return [list(column) for column in zip(*rows)]


def flat(rows):
    return [value for row in rows for value in row]


def scale_numbers(rng, rows, columns, kind):
    return [[rounded(rng.uniform(0.004, 0.03), kind) for _ in range(columns)] for _ in range(rows)]


# ---- compressed-tensors ----


def pack_quantized(bits, group=32, symmetric=True, kind="BF16", pack=words, scattered=False):
    def make(rng, rows, columns):
        size, half = group or columns, 1 << (bits - 1)
        groups = -(-columns // size)
        codes = [[rng.randrange(1 << bits) for _ in range(columns)] for _ in range(rows)]
        zeros = [[half if symmetric else rng.randrange(1 << bits) for _ in range(groups)] for _ in range(rows)]
        scales = scale_numbers(rng, rows, groups, kind)
        of = [rng.randrange(groups) if scattered else k // size for k in range(columns)]
        values = [[rounded((codes[n][k] - zeros[n][of[k]]) * scales[n][of[k]], kind) for k in range(columns)]
                  for n in range(rows)]
        lines = [pack(row, bits) for row in codes]
        tensors = {".weight_packed": stored("I32", [rows, len(lines[0])], flat(lines)),
                   ".weight_scale": stored(kind, [rows, groups], flat(scales)),
                   ".weight_shape": stored("I64", [2], [rows, columns])}
        if not symmetric:
            down = [pack(column, bits) for column in transposed(zeros)]
            tensors[".weight_zero_point"] = stored("I32", [len(down[0]), groups], flat(transposed(down)))
        if scattered:
            tensors[".weight_g_idx"] = stored("I32", [columns], of)
        return tensors, values
    arguments = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group" if group else "channel",
                 "group_size": group or None, "actorder": "group" if scattered else None}
    return make, kind, compressed("pack-quantized", arguments)


def compressed(form, arguments, inputs=None):
    group = {"targets": ["Linear"], "weights": arguments, "input_activations": inputs, "format": form}
    return {"quant_method": "compressed-tensors", "format": form, "config_groups": {"group_0": group}, "ignore": ["lm_head"],
            "sparsity_config": {}, "transform_config": {}, "kv_cache_scheme": None}


def whole(strategy, is_float, kind="BF16", block=(24, 40), zeros=False):
    def make(rng, rows, columns):
        high, wide = {"tensor": (rows, columns), "channel": (1, columns), "block": block}[strategy]
        lines, across = -(-rows // high), -(-columns // wide)
        scales = scale_numbers(rng, lines, across, kind)
        codes = [fp8_codes(rng, columns) if is_float else [rng.randrange(-128, 128) for _ in range(columns)]
                 for _ in range(rows)]
        points = [[rng.randrange(-9, 9) if zeros else 0 for _ in range(across)] for _ in range(lines)]
        values = [[rounded(f32(((e4m3(codes[n][k]) if is_float else codes[n][k]) - points[n // high][k // wide])
                               * scales[n // high][k // wide]), kind) for k in range(columns)] for n in range(rows)]
        shape = [1] if strategy == "tensor" else [lines, across]
        tensors = {".weight": stored("F8_E4M3" if is_float else "I8", [rows, columns], flat(codes)),
                   ".weight_scale": stored(kind, shape, flat(scales))}
        if zeros:
            tensors[".weight_zero_point"] = stored("I8", shape, flat(points))
        return tensors, values
    arguments = {"num_bits": 8, "type": "float" if is_float else "int", "strategy": strategy, "symmetric": not zeros,
                 "block_structure": "%dx%d" % block if strategy == "block" else None}
    form = "float-quantized" if is_float else "int-quantized"
    return make, kind, compressed(form, arguments, {"num_bits": 8, "dynamic": True, "strategy": "token"})


def nibbles(codes):
    return [codes[i] | codes[i + 1] << 4 for i in range(0, len(codes), 2)]


def small_floats(form, group, global_scale=None):
    def make(rng, rows, columns):
        is_fp8 = form == "mxfp8-quantized"
        codes = [fp8_codes(rng, columns) if is_fp8 else [rng.randrange(16) for _ in range(columns)] for _ in range(rows)]
        if global_scale:
            scales = [[rng.randrange(0x30, 0x70) for _ in range(columns // group)] for _ in range(rows)]
            worth = [[f32(e4m3(s) / global_scale) for s in row] for row in scales]
        else:
            scales = [[rng.choice([0, 117, 120, 122]) for _ in range(columns // group)] for _ in range(rows)]
            worth = [[2.0 ** (s - 127) for s in row] for row in scales]
        value = [[e4m3(c) if is_fp8 else E2M1[c] for c in row] for row in codes]
        values = [[normal(rounded(f32(value[n][k] * worth[n][k // group]), "BF16")) for k in range(columns)]
                  for n in range(rows)]
        tensors = {".weight_scale": stored("F8_E4M3" if global_scale else "U8", [rows, columns // group], flat(scales))}
        if is_fp8:
            tensors[".weight"] = stored("F8_E4M3", [rows, columns], flat(codes))
        else:
            tensors[".weight_packed"] = stored("U8", [rows, columns // 2], flat([nibbles(row) for row in codes]))
        if global_scale:
            tensors[".weight_global_scale"] = stored("F32", [1], [global_scale])
        return tensors, values
    arguments = {"num_bits": 8 if form == "mxfp8-quantized" else 4, "type": "float", "group_size": group,
                 "strategy": "tensor_group" if global_scale else "group", "symmetric": True}
    return make, "BF16", compressed(form, arguments)


def normal(value):
    """What would be denormal is zero in colrow."""
    return value if abs(value) >= 2.0 ** -126 else value * 0


# ---- GPTQ, AWQ, auto-round ----


def gptq(bits, group=32, symmetric=True, second=False, scattered=False, index=True, method="gptq"):
    def make(rng, rows, columns):
        size, half = group if group > 0 else columns, 1 << (bits - 1)
        groups = -(-columns // size)
        codes = [[rng.randrange(1 << bits) for _ in range(columns)] for _ in range(rows)]
        zeros = [[half if symmetric else rng.randrange(1 << bits) for _ in range(groups)] for _ in range(rows)]
        scales = scale_numbers(rng, rows, groups, "F16")
        of = [rng.randrange(groups) if scattered else k // size for k in range(columns)]
        values = [[rounded((codes[n][k] - zeros[n][of[k]]) * scales[n][of[k]], "F16") for k in range(columns)]
                  for n in range(rows)]
        down = transposed([words(row, bits) for row in codes])
        across = [zero_words(column, bits, second) for column in transposed(zeros)]
        tensors = {".qweight": stored("I32", [len(down), rows], flat(down)),
                   ".qzeros": stored("I32", [groups, len(across[0])], flat(across)),
                   ".scales": stored("F16", [groups, rows], flat(transposed(scales)))}
        if index:
            tensors[".g_idx"] = stored("I32", [columns], of)
        return tensors, values
    config = {"quant_method": method, "bits": bits, "group_size": group, "sym": symmetric, "desc_act": scattered,
              "checkpoint_format": "gptq_v2" if second else "gptq"}
    if method == "auto-round":
        config = {"quant_method": method, "bits": bits, "group_size": group, "sym": symmetric, "data_type": "int",
                  "packing_format": "auto_round:auto_gptq"}
    return make, "F16", config


def zero_words(zeros, bits, second):
    """The first format stores one less, from whole words with all their borrows; at 3 bits from each field."""
    if second:
        return words(zeros, bits)
    if bits == 3:
        return words([(z - 1) % 8 for z in zeros], bits)
    ones = sum(1 << i for i in range(0, 32, bits))
    return [struct.unpack("<i", struct.pack("<I", (w - ones) % (1 << 32)))[0] for w in words(zeros, bits)]


def awq(group=32, kind="F16", method="awq"):
    def make(rng, rows, columns):
        groups = columns // group
        codes = [[rng.randrange(16) for _ in range(rows)] for _ in range(columns)]  # [inputs][outputs]
        zeros = [[rng.randrange(16) for _ in range(rows)] for _ in range(groups)]
        scales = transposed(scale_numbers(rng, rows, groups, kind))
        values = [[rounded((codes[k][n] - zeros[k // group][n]) * scales[k // group][n], kind) for k in range(columns)]
                  for n in range(rows)]

        def line(row):
            return [words([row[i + j] for j in AWQ_ORDER], 4)[0] for i in range(0, len(row), 8)]
        return {".qweight": stored("I32", [columns, rows // 8], flat([line(row) for row in codes])),
                ".qzeros": stored("I32", [groups, rows // 8], flat([line(row) for row in zeros])),
                ".scales": stored(kind, [groups, rows], flat(scales))}, values
    config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"}
    if method == "auto-round":
        config = {"quant_method": method, "bits": 4, "group_size": group, "sym": False, "data_type": "int",
                  "packing_format": "auto_round:auto_awq"}
    return make, kind, config


# ---- FP8, bitsandbytes, torchao ----


def fp8(block, kind="F32", inverse=False, suffix=".weight_scale_inv"):
    def make(rng, rows, columns):
        high, wide = block or (rows, columns)
        lines, across = -(-rows // high), -(-columns // wide)
        codes = [fp8_codes(rng, columns) for _ in range(rows)]
        if kind == "F8_E8M0":
            raw = [[rng.choice([118, 120, 121]) for _ in range(across)] for _ in range(lines)]
            scales = [[2.0 ** (s - 127) for s in row] for row in raw]
        else:
            raw = scales = scale_numbers(rng, lines, across, kind)
            if inverse:
                raw = scales = [[rounded(1 / s, kind) for s in row] for row in scales]
        values = [[f32(e4m3(codes[n][k]) / scales[n // high][k // wide] if inverse
                       else e4m3(codes[n][k]) * scales[n // high][k // wide]) for k in range(columns)]
                  for n in range(rows)]
        return {".weight": stored("F8_E4M3", [rows, columns], flat(codes)),
                suffix: stored(kind, [lines, across] if block else [], flat(raw))}, values
    config = {"quant_method": "fp8", "activation_scheme": "dynamic", "weight_block_size": list(block) if block else None}
    if inverse:
        config["weight_scale_semantics"] = "inverse"
    return make, "F32", config


def bits_and_bytes(kind="nf4", nested=False, block=64, storage="U8"):
    def make(rng, rows, columns):
        table = [f32(v) for v in (NF4 if kind == "nf4" else E2M1)]
        count = rows * columns
        codes = [rng.randrange(16) for _ in range(count)]
        blocks = -(-count // block)
        state = {"quant_type": kind, "blocksize": block, "dtype": "bfloat16", "shape": [rows, columns]}
        tensors = {}
        if nested:
            chart = [f32(i / 255) for i in range(256)]
            outer = [f32(rng.uniform(0.01, 0.05)) for _ in range(-(-blocks // 256))]
            bytes_ = [rng.randrange(256) for _ in range(blocks)]
            scales = [f32(f32(chart[b] * outer[i // 256]) + f32(0.0625)) for i, b in enumerate(bytes_)]
            state.update(nested_blocksize=256, nested_dtype="float32", nested_offset=0.0625)
            tensors = {".weight.absmax": stored("U8", [blocks], bytes_), ".weight.nested_absmax": stored("F32", [len(outer)], outer),
                       ".weight.nested_quant_map": stored("F32", [256], chart)}
        else:
            scales = [f32(rng.uniform(0.05, 0.2)) for _ in range(blocks)]
            tensors[".weight.absmax"] = stored("F32", [blocks], scales)
        values = [[rounded(f32(table[codes[n * columns + k]] * scales[(n * columns + k) // block]), "BF16")
                   for k in range(columns)] for n in range(rows)]
        data = bytes(codes[i] << 4 | codes[i + 1] for i in range(0, count, 2))
        text = json.dumps(state).encode()
        tensors.update({".weight": (storage, [len(data) // (1 if storage == "U8" else 2), 1], data),
                        ".weight.quant_map": stored("F32", [16], table),
                        f".weight.quant_state.bitsandbytes__{kind}": ("U8", [len(text)], text)})
        return tensors, values
    return make, "BF16", {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False}


def bits_and_bytes_int8():
    def make(rng, rows, columns):
        codes = [[rng.randrange(-127, 128) for _ in range(columns)] for _ in range(rows)]
        scb = [f32(rng.uniform(0.5, 3)) for _ in range(rows)]
        values = [[f32(f32(c * scb[n]) * f32(0.0078740157)) for c in codes[n]] for n in range(rows)]
        return {".weight": stored("I8", [rows, columns], flat(codes)), ".SCB": stored("F32", [rows], scb),
                ".weight_format": stored("U8", [], [0])}, values
    return make, "F32", {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}


def torchao(is_float, zeros=False):
    def make(rng, rows, columns):
        codes = [fp8_codes(rng, columns) if is_float else [rng.randrange(-128, 128) for _ in range(columns)]
                 for _ in range(rows)]
        scales = flat(scale_numbers(rng, rows, 1, "F32"))
        points = [rng.randrange(-5, 6) if zeros else 0 for _ in range(rows)]
        values = [[rounded(f32(((e4m3(c) if is_float else c) - points[n]) * scales[n]), "BF16") for c in codes[n]]
                  for n in range(rows)]
        tensors = {"._weight_qdata": stored("F8_E4M3" if is_float else "I8", [rows, columns], flat(codes)),
                   "._weight_scale": stored("F32", [rows, 1], scales),
                   "metadata": {"_type": "Float8Tensor" if is_float else "Int8Tensor",
                                "_data": {"block_size": [1, columns], "dtype": {"_type": "torch.dtype", "_data": "bfloat16"}}}}
        if not is_float:
            tensors["._weight_zero_point"] = stored("I8", [rows, 1], points)
        return tensors, values
    return make, "BF16", {"quant_method": "torchao", "quant_type": {"default": {"_type": "Int8WeightOnlyConfig"}}}


FORMATS = {
    "ct-w2-g32": pack_quantized(2), "ct-w3-g32": pack_quantized(3), "ct-w3-fields": pack_quantized(3, pack=fields),
    "ct-w4-g32": pack_quantized(4), "ct-w4-asym": pack_quantized(4, symmetric=False),
    "ct-w4-channel-f16": pack_quantized(4, group=0, kind="F16"), "ct-w4-gidx": pack_quantized(4, scattered=True),
    "ct-w5-asym": pack_quantized(5, symmetric=False), "ct-w5-fields-asym": pack_quantized(5, symmetric=False, pack=fields),
    "ct-w6-g16": pack_quantized(6, group=16), "ct-w7-channel": pack_quantized(7, group=0),
    "ct-w8-asym-gidx": pack_quantized(8, symmetric=False, scattered=True), "ct-w8-f32": pack_quantized(8, kind="F32"),
    "ct-int8-channel": whole("channel", False), "ct-int8-tensor": whole("tensor", False),
    "ct-int8-asym": whole("channel", False, zeros=True), "ct-fp8-channel": whole("channel", True),
    "ct-fp8-tensor-f32": whole("tensor", True, "F32"), "ct-fp8-block": whole("block", True),
    "ct-nvfp4": small_floats("nvfp4-pack-quantized", 16, 8192.0), "ct-mxfp4": small_floats("mxfp4-pack-quantized", 32),
    "ct-mxfp8": small_floats("mxfp8-quantized", 32),
    "gptq-4": gptq(4), "gptq-4-asym": gptq(4, symmetric=False), "gptq-4-v2-desc": gptq(4, symmetric=False, second=True, scattered=True),
    "gptq-2-asym": gptq(2, symmetric=False), "gptq-3-asym-desc": gptq(3, symmetric=False, scattered=True),
    "gptq-8-asym": gptq(8, symmetric=False), "gptq-4-channel": gptq(4, group=-1), "gptq-4-tail": gptq(4, group=40, index=False),
    "autoround-gptq": gptq(4, index=False, method="auto-round"), "awq": awq(), "awq-bf16": awq(kind="BF16"),
    "autoround-awq": awq(method="auto-round"),
    "fp8-block": fp8((24, 40)), "fp8-block-bf16": fp8((16, 16), "BF16"), "fp8-block-e8m0": fp8((128, 128), "F8_E8M0"),
    "fp8-tensor": fp8(None, suffix=".qscale_weight"), "fp8-inverse": fp8((24, 40), inverse=True),
    "bnb-nf4": bits_and_bytes(), "bnb-nf4-nested-bf16": bits_and_bytes(nested=True, storage="BF16"),
    "bnb-fp4-large": bits_and_bytes("fp4", block=4096), "bnb-int8": bits_and_bytes_int8(),
    "torchao-int8": torchao(False), "torchao-int8-asym": torchao(False, zeros=True), "torchao-fp8": torchao(True),
}

HIDDEN, INNER, VOCAB = 64, 96, 64
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": HIDDEN, "intermediate_size": INNER,
         "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": VOCAB,
         "max_position_embeddings": 256, "dtype": "bfloat16", "attention_bias": True, "tie_word_embeddings": False}
MIXTRAL = dict(LLAMA, model_type="mixtral", architectures=["MixtralForCausalLM"], num_local_experts=3, num_experts_per_tok=2,
               sliding_window=None)
ATTENTION = {"self_attn.q_proj": (64, HIDDEN), "self_attn.k_proj": (32, HIDDEN), "self_attn.v_proj": (32, HIDDEN),
             "self_attn.o_proj": (HIDDEN, 64)}
MLP = {"mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER)}
EXPERT_NAMES = [("block_sparse_moe.", "w1", "w3", "w2"), ("block_sparse_moe.", "gate_proj", "up_proj", "down_proj"),
                ("mlp.", "gate_proj", "up_proj", "down_proj")]


def modules_of(config, names=EXPERT_NAMES[0]):
    """What is quantised, with its shape; by the names of the hub, and those that stand in the file."""
    shapes = {**ATTENTION, **({} if config["model_type"] == "mixtral" else MLP)}
    found = {f"model.layers.0.{name}": (f"model.layers.0.{name}", shape) for name, shape in shapes.items()}
    for expert in range(config.get("num_local_experts", 0)):
        for hub, own, shape in zip(EXPERT_NAMES[0][1:], names[1:], MLP.values()):
            found[f"model.layers.0.block_sparse_moe.experts.{expert}.{hub}"] = (
                f"model.layers.0.{names[0]}experts.{expert}.{own}", shape)
    return found


def plain_tensors(config, names=EXPERT_NAMES[0]):
    shapes = {"model.embed_tokens.weight": [VOCAB, HIDDEN], "lm_head.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN],
              "model.layers.0.input_layernorm.weight": [HIDDEN], "model.layers.0.post_attention_layernorm.weight": [HIDDEN]}
    if config["model_type"] == "mixtral":
        shapes["model.layers.0.block_sparse_moe.gate.weight"] = [config["num_local_experts"], HIDDEN]
    else:
        shapes.update({f"model.layers.0.{name}.bias": [shape[0]] for name, shape in ATTENTION.items()})
    made = {}
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        kind = "F16" if name.endswith("bias") else "BF16"  # as GPTQModel and AutoAWQ leave biases
        drawn = numbers(3, name, count, 1.0 if "norm" in name else 0.0, 0.3)
        made[name.replace("block_sparse_moe.gate", names[0] + "gate")] = (kind, shape, packed(drawn, kind))
    return made


def write_folder(folder, config, tensors, metadata=None):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def quantised(form, seed, rows, columns):
    make, kind, _ = FORMATS[form]
    tensors, values = make(random.Random(f"{form} {seed}"), rows, columns)
    return tensors, stored(kind, [rows, columns], flat(values))


def make_model(form, config=LLAMA, names=EXPERT_NAMES[0]):
    """(tensors of the quantised folder, those of its twin, the folder's metadata, its configuration)"""
    own, twin, metadata = plain_tensors(config, names), plain_tensors(config), {}
    for hub, (name, shape) in modules_of(config, names).items():
        tensors, dense = quantised(form, hub, *shape)
        if "metadata" in tensors:
            metadata[name + ".weight"] = json.dumps(tensors.pop("metadata"))
        own.update({name + suffix: tensor for suffix, tensor in tensors.items()})
        twin[hub + ".weight"] = dense
    return own, twin, metadata, dict(config, quantization_config=FORMATS[form][2])


def write_pair(folder, form, config=LLAMA, names=EXPERT_NAMES[0]):
    """The folders of a model in the format and of its dense twin."""
    own, twin, metadata, with_format = make_model(form, config, names)
    write_folder(os.path.join(folder, "own"), with_format, own, metadata)
    write_folder(os.path.join(folder, "twin"), config, twin)
    return os.path.join(folder, "own"), os.path.join(folder, "twin")
