#!/usr/bin/env python3
"""Weights that become integers as they are loaded: the numbers of section 14 of docs/numerics.md, which this script
makes itself, the same bits for every split, chunk and instruction set, and flags that contradict are refused."""
import array
import json
import os
import shutil
import struct
import tempfile

from support import check, finish, isas, logits_file, run
from tiny_checkpoint import packed

DEMO = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../models/demo")
IDS = list(range(3, 60))
PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def f32(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def bf16(value):
    (bits,) = array.array("H", packed(array.array("f", [value]), "BF16"))
    return struct.unpack("<f", struct.pack("<I", bits << 16))[0]


def rounded(row, bits, group):
    """What a row of numbers is worth once it is quantised."""
    most, out = 2 ** (bits - 1) - 1, []
    for begin in range(0, len(row), group):
        numbers = row[begin : begin + group]
        scale = bf16(f32(max(map(abs, numbers)) / (most + 0.5)))
        for number in numbers:
            code = f32(number / scale) if scale else 0.0
            out.append(round(min(max(code, -most - 1), most)) * scale)  # round() is to even, as ours
    return out


def read_checkpoint(path):
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        halves = array.array("H", data[8 + length + begin : 8 + length + end])
        tensors[name] = (entry["shape"], array.array("f", array.array("I", [half << 16 for half in halves]).tobytes()))
    return tensors


def twin(folder, bits, group, head_bits):
    """The demo model with what its weights mean after quantising, as f32."""
    tensors = read_checkpoint(os.path.join(DEMO, "model.safetensors"))
    if "lm_head.weight" not in tensors:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"]
    header, chunks, end = {}, [], 0
    for name, (shape, values) in tensors.items():
        width = head_bits if name == "lm_head.weight" else bits if name.split(".")[-2] in PROJECTIONS else 0
        if width:
            columns = shape[1]
            values = array.array("f", [number for begin in range(0, len(values), columns)
                                       for number in rounded(values[begin : begin + columns], width, group)])
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + 4 * len(values)]}
        chunks.append(values.tobytes())
        end += 4 * len(values)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))
    with open(os.path.join(DEMO, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    config["tie_word_embeddings"] = False
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file)
    for name in os.listdir(DEMO):
        if name.startswith(("tokenizer", "special", "vocab", "generation")):
            shutil.copy(os.path.join(DEMO, name), folder)


WAYS = (("int8", 128, "auto", 8), ("int4", 32, "auto", 8), ("int4", 128, "int4", 4), ("int4", 128, "none", 0))
for quantization, group, head, head_bits in WAYS:
    flags = ["--quantization", quantization, "--quantization-group-size", str(group), "--quantization-lm-head", head]
    what = f"{quantization}, groups of {group}, lm_head {head}"
    with tempfile.TemporaryDirectory() as folder:
        twin(folder, int(quantization[3:]), group, head_bits)
        expected, _ = logits_file(folder, IDS, "--dtype", "float32")
    got, _ = logits_file(DEMO, IDS, "--dtype", "float32", *flags)
    worst = max(abs(a - b) for a, b in zip(expected, got))
    check(worst < 2e-4, f"{what}: f32 logits differ by {worst} from those of the weights that are meant")
    base, digest = logits_file(DEMO, IDS, *flags)
    worst = max(abs(a - b) for a, b in zip(expected, base))
    check(0 < worst < 0.5, f"{what}: bfloat16 logits differ by {worst}")
    for other in (["-tp", "2"], ["-tp", "3"], ["-tp", "4", "--max-num-batched-tokens", "16"], ["-pp", "2"],
                  ["--threads-per-rank", "2"], ["--product-order", "pairs"]):
        _, found = logits_file(DEMO, IDS, *flags, *other)
        check(found == digest, f"{what}: other bits with {' '.join(other)}")
    for isa in isas():
        _, found = logits_file(DEMO, IDS, *flags, isa=isa)
        check(found == digest, f"{what}: other bits with {isa}")

for flags, words in ((["--quantization", "awq"], ["quantization", '"awq"', "int8, int4 or none"]),
                     (["--quantization", "int4", "--quantization-group-size", "48"], ["48", "multiple of 32"]),
                     (["--quantization-group-size", "64"], ["quantization_group_size", "int8 or int4"]),
                     (["--quantization", "int8", "--quantization-lm-head", "int2"],
                      ["quantization_lm_head", '"int2"'])):
    done = run("generate", DEMO, "--prompt", "x", "--max-tokens", "1", *flags)
    check(done.returncode != 0 and all(word in done.stderr for word in words), f"{flags}: {done.stderr!r}")

# The same in a folder, in compressed-tensors' form: its tensors are the codes and scales that loading makes.
with tempfile.TemporaryDirectory() as folder:
    done = run("quantize", DEMO, folder, "--quantization-group-size", "32")
    check(done.returncode == 0, f"colrow quantize: {done.stderr}")
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    groups = config["quantization_config"]["config_groups"]
    check([(group["targets"], group["weights"]["num_bits"]) for group in groups.values()]
          == [(["Linear"], 4), (["lm_head"], 8)] and config["tie_word_embeddings"] is False, f"{config}")
    with open(os.path.join(folder, "model.safetensors"), "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    source = read_checkpoint(os.path.join(DEMO, "model.safetensors"))
    for module, bits in (("model.layers.1.mlp.down_proj", 4), ("model.layers.0.self_attn.k_proj", 4), ("lm_head", 8)):
        parts = {}
        for part, code in (("packed", "I"), ("scale", "H"), ("shape", "q")):
            begin, end = header[f"{module}.weight_{part}"]["data_offsets"]
            parts[part] = array.array(code, data[8 + length + begin : 8 + length + end])
        rows, columns = parts["shape"]
        values = source.get(f"{module}.weight", source["model.embed_tokens.weight"])[1]
        scales = array.array("f", array.array("I", [half << 16 for half in parts["scale"]]).tobytes())
        in_word, words = 32 // bits, columns * bits // 32
        for row in range(0, rows, 7):
            found = [parts["packed"][row * words + k // in_word] >> (k % in_word * bits) for k in range(columns)]
            codes = [(code & 2**bits - 1) - 2 ** (bits - 1) for code in found]
            meant = [code * scales[row * columns // 32 + k // 32] for k, code in enumerate(codes)]
            expected = rounded(values[row * columns : (row + 1) * columns], bits, 32)
            check(meant == expected, f"{module}, row {row}: {meant[:8]} instead of {expected[:8]}")
    done = run("quantize", DEMO, folder, "--quantization-group-size", "128")
    check(done.returncode != 0 and "576 columns" in done.stderr, f"a group that divides nothing: {done.stderr}")

plans = {name: json.loads(run("plan", DEMO, "-tp", "2", "--json", *flags).stdout)
         for name, flags in (("bf16", []), ("int8", ["--quantization", "int8"]), ("int4", ["--quantization", "int4"]))}
weights = {name: sum(rank["weight_bytes"] for rank in plan["ranks"]) for name, plan in plans.items()}
check(weights["int4"] < weights["int8"] < weights["bf16"], f"the plan's memory of weights: {weights}")

finish("quantising as weights are loaded")
