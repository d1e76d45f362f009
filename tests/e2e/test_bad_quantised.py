#!/usr/bin/env python3
"""Quantised checkpoints whose metadata or tensors lie: each is refused within a second, in one sentence that names the file
or key, what was found and what was expected."""
import json
import os
import struct
import tempfile

from quantised_folders import LLAMA, make_model, stored, write_folder
from support import check, finish, run

UP = "model.layers.0.mlp.up_proj"  # [96, 64]
NAN = float("nan")
CASES = []


def case(form, *words):
    """Adds a case: the function changes tensors and quantization_config."""
    def add(change):
        CASES.append((change.__name__, form, change, words))
        return change
    return add


def config_case(form, keys, *words, name=None):
    def change(_, config):
        for key, value in keys.items():
            at, parts = config, key.split("/")
            for part in parts[:-1]:
                at = at[part]
            at[parts[-1]] = value
    CASES.append((name or f"{form} {json.dumps(keys)[:50]}", form, change, words))


def reshape_case(form, suffix, shape, *words, kind=None):
    def change(tensors, _):
        old, _, data = tensors[UP + suffix]
        size = {"I32": 4, "F32": 4, "BF16": 2, "F16": 2, "I64": 8}.get(kind or old, 1)
        count = 1
        for n in shape:
            count *= n
        tensors[UP + suffix] = (kind or old, shape, (data * 8)[:count * size])
    CASES.append((f"{form} {suffix} {kind} {shape}", form, change, (UP + suffix, *words)))


def missing_case(form, suffix, *words):
    def change(tensors, _):
        del tensors[UP + suffix]
    CASES.append((f"{form} without {suffix}", form, change, words))


GROUP = "config_groups/group_0/"
ARGS = GROUP + "weights/"

# ---- what quantization_config says ----
for method in ("gptq_marlin", "modelopt", "quark", "hqq", "exl2", "eetq"):
    config_case("gptq-4", {"quant_method": method}, "quantization_config", "quant_method", "expected one of compressed-tensors")
config_case("fp8-block", {"quant_method": ""}, "quant_method", "expected one of")
config_case("gptq-4", {"quant_method": 4}, "quant_method", "is 4", "a string")
config_case("gptq-4", {"bits": 5}, "\"bits\" is 5", "2, 3, 4 or 8")
config_case("gptq-4", {"bits": "4"}, "\"bits\" is \"4\"", "an integer")
config_case("gptq-4", {"bits": 0}, "\"bits\" is 0", "expected")
config_case("gptq-4", {"group_size": 0}, "\"group_size\" is 0", "-1")
config_case("gptq-4", {"group_size": -2}, "\"group_size\" is -2", "expected")
config_case("gptq-4", {"group_size": 16}, ".scales", "[2, 64]", "[4, 64]")
config_case("gptq-4", {"format": "gptq_p"}, "\"format\" is \"gptq_p\"", "gptq_v2")
config_case("gptq-4", {"checkpoint_format": "marlin"}, "\"checkpoint_format\" is \"marlin\"", "gptq")
config_case("gptq-4", {"pack_dtype": "int16"}, "\"pack_dtype\" is \"int16\"", "int32")
config_case("gptq-4", {"is_marlin_format": True}, "is_marlin_format", "expected")
config_case("gptq-4", {"dynamic": {"(": {"bits": 8}}}, "regular expression \"(\"", "expected")
config_case("gptq-4", {"dynamic": {".*up_proj": {"bits": 5}}}, "is 5", "expected 2, 3, 4 or 8")
config_case("gptq-4", {"dynamic": {".*up_proj": {"bits": 8}}}, UP + ".qweight", "[8, 96]", "[16, 96]")
config_case("gptq-4", {"dynamic": {".*up_proj": 8}}, "dynamic", "is 8", "an object")
config_case("gptq-4", {"dynamic": {"a" * 9000: {}}}, "9000 bytes", "at most 8192")
config_case("autoround-gptq", {"packing_format": "auto_round"}, "packing_format", "auto_round:auto_gptq")
config_case("autoround-gptq", {"data_type": "mx_fp"}, "data_type", "mx_fp", "int")
config_case("autoround-gptq", {"extra_config": {UP: {"bits": 7}}}, "is 7", "expected 2, 3, 4 or 8")
for version in ("gemv", "gemv_fast", "marlin"):
    config_case("awq", {"version": version}, f"\"version\" is \"{version}\"", "gemm")
config_case("awq", {"zero_point": False}, "zero_point", "false", "zero points")
config_case("awq", {"bits": 8}, "\"bits\" is 8", "expected 4")
config_case("awq", {"group_size": 64}, "scales", "[2,", "expected")
config_case("ct-w4-g32", {"sparsity_config": {"format": "sparse-24-bitmask"}}, "sparsity_config", "sparse-24-bitmask", "dense")
config_case("ct-w4-g32", {"transform_config": {"config_groups": {"R1": {}}}}, "transform_config", "not empty")
config_case("ct-w4-g32", {"config_groups": {}}, "config_groups", "empty", "at least one")
config_case("ct-w4-g32", {"config_groups": None}, "config_groups", "missing")
config_case("ct-w4-g32", {GROUP + "format": "marlin-24"}, "\"format\" is \"marlin-24\"", "pack-quantized")
config_case("ct-w4-g32", {GROUP + "format": None, "format": None}, "group_0", "\"format\" is missing", "stored")
config_case("ct-w4-g32", {GROUP + "format": "float-quantized"}, "num_bits", "is 4", "8 to 8")
config_case("ct-w4-g32", {GROUP + "targets": [4]}, "targets", "holds 4", "names")
config_case("ct-w4-g32", {GROUP + "targets": ["re:["]}, "regular expression \"[\"", "expected")
config_case("ct-w4-g32", {ARGS + "num_bits": 9}, "num_bits", "is 9", "1 to 8")
config_case("ct-w4-g32", {ARGS + "num_bits": 8}, UP[:12], "expected I32", "8 bits")
config_case("ct-w4-g32", {ARGS + "type": "float"}, "\"type\" is \"float\"", "int")
config_case("ct-w4-g32", {ARGS + "type": "complex"}, "complex", "int or float")
config_case("ct-w4-g32", {ARGS + "strategy": "token"}, "\"strategy\" is \"token\"", "channel")
config_case("ct-w4-g32", {ARGS + "group_size": None}, "group_size", "missing", "strategy group")
config_case("ct-w4-g32", {ARGS + "group_size": 16}, "weight_scale", "[", "expected")
config_case("ct-w4-g32", {ARGS + "symmetric": False}, "symmetric false", "no weight_zero_point")
config_case("ct-w4-g32", {ARGS + "actorder": "group"}, "actorder group", "no weight_g_idx")
config_case("ct-w4-g32", {ARGS + "actorder": 3}, "actorder", "is 3", "null, group")
config_case("ct-fp8-block", {ARGS + "block_structure": "24*40"}, "block_structure", "24*40", "two sizes")
config_case("ct-fp8-block", {ARGS + "block_structure": [24]}, "block_structure", "two sizes")
config_case("ct-fp8-block", {ARGS + "block_structure": [16, 16]}, "weight_scale", "expected")
config_case("ct-int8-channel", {ARGS + "strategy": "tensor"}, "weight_scale", "[1]", "expected")
config_case("ct-int8-channel", {GROUP + "format": "pack-quantized"}, "another format", "int-quantized")
config_case("ct-w4-g32", {"config_groups": {n: {"targets": [n], "format": "pack-quantized", "weights": {
    "num_bits": 4, "strategy": "channel"}} for n in "ab"}}, "no group has the module", "expected a target")
config_case("fp8-block", {"weight_block_size": [24]}, "weight_block_size", "two sizes")
config_case("fp8-block", {"weight_block_size": [0, 24]}, "weight_block_size", "two sizes")
config_case("fp8-block", {"weight_block_size": [128, 128]}, "weight_scale_inv", "[1, 1]")
config_case("fp8-block", {"weight_block_size": None}, "weight_scale_inv", "[1]")
config_case("fp8-block", {"fmt": "e5m2"}, "\"fmt\" is \"e5m2\"", "e4m3")
config_case("fp8-block", {"weight_scale_semantics": "log"}, "weight_scale_semantics", "inverse")
config_case("fp8-block", {"activation_scheme": "none"}, "activation_scheme", "dynamic")
config_case("bnb-nf4", {"load_in_8bit": True}, "load_in_4bit", "both true", "expected one")
config_case("bnb-nf4", {"load_in_4bit": "yes"}, "load_in_4bit", "\"yes\"", "true or false")
config_case("gptq-4", {"quant_method": "awq", "checkpoint_format": None}, "qweight", "[8, ", "expected")
config_case("gptq-4", {"quant_method": "fp8"}, "stored as by gptq", "quant_method \"fp8\"")

# ---- tensors that are missing ----
missing_case("gptq-4", ".scales", UP + ".scales", "missing", UP + ".qweight")
missing_case("gptq-4", ".qzeros", UP + ".qzeros", "missing", UP + ".qweight")
missing_case("gptq-4", ".qweight", UP + ".weight", "missing")
missing_case("ct-w4-g32", ".weight_scale", UP + ".weight_scale", "missing")
missing_case("ct-w4-g32", ".weight_shape", UP + ".weight_shape", "missing")
missing_case("ct-nvfp4", ".weight_global_scale", UP + ".weight_global_scale", "missing")
missing_case("fp8-block", ".weight_scale_inv", UP + ".weight_scale_inv", "missing")
missing_case("bnb-nf4", ".weight.quant_map", "quant_map", "missing")
missing_case("bnb-nf4", ".weight.quant_state.bitsandbytes__nf4", "quant_state", "missing")
missing_case("bnb-nf4-nested-bf16", ".weight.nested_absmax", "nested_absmax", "missing")
missing_case("torchao-int8", "._weight_scale", UP + "._weight_scale", "missing")

# ---- types and shapes ----
reshape_case("gptq-4", ".qweight", [7, 96], "I32", "[7, 96]", "[8, 96]")
reshape_case("gptq-4", ".qweight", [8, 96], "I64", "expected I32", kind="I64")
reshape_case("gptq-4", ".qzeros", [2, 11], "[2, 11]", "[2, 12]")
reshape_case("gptq-4", ".scales", [3, 96], "[3, 96]", "[2, 96]")
reshape_case("gptq-4", ".scales", [96, 2], "[96, 2]", "[2, 96]")
reshape_case("gptq-4", ".scales", [2, 96], "I32", "BF16, F16, F32", kind="I32")
reshape_case("gptq-4", ".g_idx", [63], "[63]", "[64]")
reshape_case("gptq-4", ".g_idx", [64], "I64", "expected I32", kind="I64")
reshape_case("awq", ".qweight", [64, 11], "[64, 11]", "[64, 12]")
reshape_case("ct-w4-g32", ".weight_packed", [96, 9], "[96, 9]", "[96, 8]")
reshape_case("ct-w4-g32", ".weight_scale", [96], "[96]", "[96, 2]")
reshape_case("ct-w4-g32", ".weight_shape", [3], "[3]", "[2]")
reshape_case("ct-w4-asym", ".weight_zero_point", [96, 2], "[96, 2]", "[12, 2]")
reshape_case("ct-nvfp4", ".weight_global_scale", [2], "[2]", "[1]")
reshape_case("ct-int8-asym", ".weight_zero_point", [96, 1], "expected I8", kind="U8")
reshape_case("fp8-block", ".weight", [96, 63], "[96, 63]", "[96, 64]")
reshape_case("fp8-block", ".weight", [96, 64], "F8_E5M2", "F8_E4M3", kind="F8_E5M2")
reshape_case("fp8-block", ".weight_scale_inv", [4, 3], "[4, 3]", "[4, 2]")
reshape_case("bnb-nf4", ".weight", [3071, 1], "[3071, 1]", "[3072, 1]")
reshape_case("bnb-nf4", ".weight.absmax", [95], "[95]", "[96]")
reshape_case("bnb-nf4", ".weight.quant_map", [15], "[15]", "[16]")
reshape_case("bnb-int8", ".SCB", [95], "[95]", "[96]")
reshape_case("torchao-int8", "._weight_scale", [95, 1], "[95, 1]", "[96, 1]")


# ---- what the tensors hold ----
def holds(form, suffix, make, *words):
    def change(tensors, _):
        kind, shape, data = tensors[UP + suffix]
        tensors[UP + suffix] = make(kind, shape, data)
    CASES.append((f"{form} {suffix} holds {words[-1]}", form, change, (UP + suffix, *words)))


def with_bytes(at, new):
    return lambda kind, shape, data: (kind, shape, data[:at] + new + data[at + len(new):])


holds("gptq-4", ".scales", with_bytes(10, b"\x00\x7e"), "no finite number", "row 5, group 0")
holds("ct-w4-g32", ".weight_scale", with_bytes(0, b"\x80\x7f"), "no finite number", "row 0, group 0")
holds("fp8-block", ".weight_scale_inv", with_bytes(0, struct.pack("<f", NAN)), "no finite number", "finite scales")
holds("ct-mxfp4", ".weight_scale", with_bytes(3, b"\xff"), "no finite number", "row 1, group 1")
holds("ct-nvfp4", ".weight_scale", with_bytes(0, b"\x7f"), "no finite number", "row 0, group 0")
holds("ct-nvfp4", ".weight_global_scale", with_bytes(0, struct.pack("<f", 0)), "divided", "not zero")
holds("fp8-inverse", ".weight_scale_inv", with_bytes(0, struct.pack("<f", 0)), "no finite number", "row 0")
holds("gptq-4", ".g_idx", with_bytes(12, struct.pack("<i", 2)), "group 2 for column 3", "0 to 1")
holds("gptq-4-v2-desc", ".g_idx", with_bytes(0, struct.pack("<i", -1)), "group -1 for column 0", "0 to 1")
holds("ct-w4-gidx", ".weight_g_idx", with_bytes(0, struct.pack("<i", 1 << 30)), "group 1073741824", "0 to 1")
holds("ct-w4-g32", ".weight_shape", with_bytes(0, struct.pack("<q", 97)), "[97, 64]", "[96, 64]")
holds("bnb-nf4", ".weight.quant_map", with_bytes(0, struct.pack("<f", NAN)), "no finite number", "16 finite numbers")
holds("bnb-nf4", ".weight.absmax", with_bytes(0, struct.pack("<f", float("inf"))), "no finite number", "row 0")
holds("bnb-int8", ".weight_format", lambda *_: stored("U8", [], [1]), "holds 1", "expected 0")


def state(keys, *words):
    suffix = ".weight.quant_state.bitsandbytes__nf4"

    def make(kind, _, data):
        text = json.dumps({**json.loads(data), **keys}).encode() if isinstance(keys, dict) else keys
        return kind, [len(text)], text
    holds("bnb-nf4", suffix, make, *words)


state({"blocksize": 0}, "blocksize", "is 0")
state({"dtype": "int8"}, "dtype", "bfloat16")
state({"shape": [64, 96]}, "shape", "[96, 64]")
state({"shape": 4}, "shape", "[96, 64]")
state(b"[]", "JSON object")
state(b" " * 5000, "at most 4096")


@case("torchao-int8", "metadata", "Int4Tensor", "expected Int8Tensor")
def another_layout(tensors, config):
    del tensors, config


@case("torchao-int8", "metadata", "has no", "torchao's layout")
def no_layout(tensors, config):
    del tensors, config


@case("gptq-4", "stored as by gptq", "no \"quantization_config\"")
def no_configuration(_, config):
    config.clear()


def metadata_of(name, metadata):
    if name == "no_layout":
        return {}
    return {k: v.replace("Int8Tensor", "Int4Tensor") if name == "another_layout" else v for k, v in metadata.items()}


def check_case(folder, name, form, change, words):
    tensors, _, metadata, config = make_model(form)
    config = json.loads(json.dumps(config))
    change(tensors, config["quantization_config"])
    if not config["quantization_config"]:
        del config["quantization_config"]
    write_folder(folder, config, tensors, metadata_of(name, metadata))
    ids = os.path.join(folder, "ids.txt")
    with open(ids, "w", encoding="ascii") as file:
        file.write("1 2 3")
    done = run("logits", folder, "--input-ids", ids, "--output", os.path.join(folder, "out.safetensors"), "-q")
    message = done.stderr.strip()
    check(done.returncode not in (0, 139, 134) and all(word in message for word in words),
          f"{name}: expected {words}, found: {message or 'no error'}")
    check("\n" not in message and len(message) < 900, f"{name}: not one sentence: {message}")


with tempfile.TemporaryDirectory() as temporary:
    for number, (what, *rest) in enumerate(CASES):
        check_case(os.path.join(temporary, str(number)), what, *rest)
print(f"{len(CASES)} refusals")
check(len(CASES) >= 60 and LLAMA["hidden_size"] == 64, "cases are missing")
finish("bad_quantised")
