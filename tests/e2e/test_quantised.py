#!/usr/bin/env python3
"""Quantised checkpoints in every format, made here: the bits of the dense twin whose weights are dequantised as the format's
library does it, for any number of ranks and in every type; what the plan says of them; and, where shared/ is, the files of
the tools themselves against Transformers' logits over the libraries' weights."""
import json
import os
import sys
import tempfile

from quantised_folders import EXPERT_NAMES, FORMATS, LLAMA, MIXTRAL, VOCAB, make_model, quantised, write_folder, write_pair
from support import SHARED, Safetensors, check, finish, logits_file, run

IDS = [(7 * i + 3) % VOCAB for i in range(20)]


def check_bits(name, own, twin, ways, dtypes):
    for dtype in dtypes:
        _, expected = logits_file(twin, IDS, "--dtype", dtype)
        for way in ways:
            _, found = logits_file(own, IDS, "--dtype", dtype, *way)
            check(found == expected, f"{name}: other bits than its dense twin in {dtype} with {way}")


def check_formats(folder):
    for form in FORMATS:
        own, twin = write_pair(os.path.join(folder, form), form)
        check_bits(form, own, twin, [("-tp", 1), ("-tp", 3)], ("float32",))
        check_bits(form, own, twin, [("-tp", 4)], ("bfloat16",))


def check_experts(folder):
    """Mixtral's experts by each of their names, whole on ranks too."""
    for form in ("gptq-4-asym", "ct-w4-g32", "fp8-block"):
        for i, names in enumerate(EXPERT_NAMES):
            own, twin = write_pair(os.path.join(folder, f"{form}-{i}"), form, MIXTRAL, names)
            check_bits(f"{form} {names}", own, twin,
                       [("-tp", 1), ("-tp", 2), ("-tp", 3, "--enable-expert-parallel")], ("float32",))


def check_embedding(folder):
    """A quantised embedding, tied and with a head of its own."""
    for tied in (False, True):
        config = dict(LLAMA, tie_word_embeddings=tied)
        own, twin, _, with_format = make_model("ct-w8-f32", config)
        for module in ("model.embed_tokens",) if tied else ("model.embed_tokens", "lm_head"):
            del own[module + ".weight"]
            tensors, twin[module + ".weight"] = quantised("ct-w8-f32", module, VOCAB, LLAMA["hidden_size"])
            own.update({module + suffix: tensor for suffix, tensor in tensors.items()})
        for tensors in (own, twin) if tied else ():
            del tensors["lm_head.weight"]
        paths = [os.path.join(folder, f"{name}-{tied}") for name in ("own", "twin")]
        write_folder(paths[0], with_format, own)
        write_folder(paths[1], config, twin)
        check_bits(f"embedding, tied {tied}", *paths, [("-tp", 1), ("-tp", 3)], ("float32",))


def check_ignored(folder):
    """Scales of inputs and of the cache mean nothing here, and the start says what is not done."""
    own, twin, _, config = make_model("ct-int8-channel")
    own["model.layers.0.self_attn.k_scale"] = ("BF16", [1], b"\x80\x3f")
    own["model.layers.0.mlp.up_proj.input_scale"] = ("BF16", [1], b"\x80\x3f")
    write_folder(os.path.join(folder, "own"), config, own)
    write_folder(os.path.join(folder, "twin"), LLAMA, twin)
    check_bits("input scales", os.path.join(folder, "own"), os.path.join(folder, "twin"), [("-tp", 2)], ("float32",))
    done = run("plan", os.path.join(folder, "own"), "-tp", 2)
    check("no part of" not in done.stderr, f"input scales are told as strange: {done.stderr.strip()}")
    check("inputs of products are not quantised" in done.stderr, f"the start does not say it: {done.stderr.strip()}")


def check_beside(folder):
    """Old folders have the configuration in a file beside config.json."""
    for form, name in (("gptq-4", "quantize_config.json"), ("awq", "quant_config.json")):
        own, twin, _, config = make_model(form)
        quantisation = config.pop("quantization_config")
        if name == "quant_config.json":
            quantisation = {"zero_point": True, "q_group_size": 32, "w_bit": 4, "version": "GEMM"}
        else:
            del quantisation["quant_method"]
        path = os.path.join(folder, form)
        write_folder(path, config, own)
        with open(os.path.join(path, name), "w", encoding="utf-8") as file:
            json.dump(quantisation, file)
        write_folder(path + "-twin", LLAMA, twin)
        check_bits(f"{form} with {name}", path, path + "-twin", [("-tp", 2)], ("float32",))


def check_plan(folder):
    """Both ranks together read what the files hold of a matrix that the cut divides; the plan names the format."""
    own, _ = write_pair(folder, "gptq-4")
    plan = json.loads(run("plan", own, "-tp", 2, "--json").stdout)
    for parameter in plan["parameters"]:
        if parameter["name"].endswith("up_proj.weight"):
            read = sum(rank["bytes"] for rank in parameter["ranks"])
            check(read == 96 * 32 + 2 * 12 * 4 + 2 * 96 * 2 + 2 * 64 * 4, f"up_proj: ranks read {read} bytes")
            check(parameter["stored"] == "int4, 2 groups by g_idx (gptq)", f"up_proj: {parameter['stored']}")
    for command in (("plan", own, "-tp", 2), ("inspect", own)):
        check("int4" in run(*command).stdout, f"{command}: does not name the format")


def check_goldens():
    folder = os.path.join(SHARED, "goldens/quantised")
    for name in sorted(os.listdir(folder)) if os.path.exists(folder) else []:
        if not os.path.isdir(os.path.join(folder, name)):
            continue
        model, digests = os.path.join(folder, name), set()
        golden = Safetensors(os.path.join(model, "golden.safetensors"), only=("input_ids", "logits"))
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            heads = json.load(file)["num_attention_heads"]
        for n in (1, 2, 3, min(heads, 8)):
            logits, digest = logits_file(model, list(golden["input_ids"]), "--dtype", "float32", "-tp", n)
            digests.add(digest)
            if n == 1:
                error = max(abs(a - b) for a, b in zip(logits, golden["logits"]))
                check(error <= 5e-4, f"{name}: logits differ from Transformers' by {error:.3g}")
                print(f"{name:28s} largest error {error:.2e}")
        check(len(digests) == 1, f"{name}: numbers of ranks have different bits")


with tempfile.TemporaryDirectory() as temporary:
    for test in (check_formats, check_experts, check_embedding, check_ignored, check_beside, check_plan):
        test(os.path.join(temporary, test.__name__))
check_goldens()
sys.stdout.flush()
finish("quantised")
