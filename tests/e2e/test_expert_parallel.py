#!/usr/bin/env python3
"""Whole experts on ranks give the bits of experts that are cut: any number of ranks, uneven ones, chunks, batches and
stages; each rank reads its own experts and no others. So do groups of ranks (--expert-parallel-size) that have whole experts,
each of a group's ranks a part of these. On models of tests/data/families and on goldens, where those are."""
import glob
import json
import os
import tempfile

from support import ROOT, SHARED, Safetensors, check, finish, logits_file, run
from tiny_checkpoint import write_checkpoint

EP = "--enable-expert-parallel"


def plan_of(folder, *flags):
    done = run("plan", folder, "--json", *flags)
    check(done.returncode == 0, f"colrow plan {folder} {flags}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def is_of_experts(parameter):
    return len(parameter["shape"]) == 3


def check_reading(name, folder, size, *flags):
    """Every byte of the experts is read by one rank."""
    plan, whole = plan_of(folder, "-tp", size, EP, *flags), plan_of(folder, "-tp", 1)
    for parameter, other in zip(plan["parameters"], whole["parameters"]):
        if not is_of_experts(parameter):
            continue
        read = [rank["bytes"] for rank in parameter["ranks"]]
        check(sum(read) == other["ranks"][0]["bytes"], f"{name}: {parameter['name']} is read {read} by {size} ranks")
        check(parameter["style"] == "grouped_gemm", f"{name}: {parameter['name']} is {parameter['style']}")
    experts = [parameter["shape"][0] for parameter in plan["parameters"] if is_of_experts(parameter)]
    check(experts, f"{name}: no experts in {[parameter['name'] for parameter in plan['parameters']]}")


def check_model(name, folder, ids):
    _, expected = logits_file(folder, ids, "--dtype", "bfloat16")
    sizes = [n for n in plan_of(folder, EP)["valid_tensor_parallel_sizes"] if n <= 8]
    ways = [("-tp", n) for n in sizes[1:]] + [("--max-num-batched-tokens", 3), ("--batch", 3)]
    ways += [("-tp", sizes[-1], "--max-num-batched-tokens", 7)]
    if sizes[-1] > 1 and plan_of(folder, "-tp", 1)["layer_kinds"] and sum(
            len(kind["layers"]) for kind in plan_of(folder, "-tp", 1)["layer_kinds"]) > 1:
        ways.append(("-tp", 2, "-pp", 2))
    both = [(n, groups) for n in (4, 6, 8) for groups in (2, 3, 4)
            if groups < n and n in plan_of(folder, EP, "--expert-parallel-size", groups)["valid_tensor_parallel_sizes"]]
    ways += [("-tp", n, "--expert-parallel-size", groups) for n, groups in both]
    ways += [("-tp", n, "--ep", groups, "--max-num-batched-tokens", 7, "--batch", 2) for n, groups in both[-1:]]
    with_groups.extend(both)
    for n, groups in both[:1]:
        check_reading(name, folder, n, "--expert-parallel-size", groups)
    for way in ways:
        _, found = logits_file(folder, ids, "--dtype", "bfloat16", EP, *way)
        check(found == expected, f"{name}: other bits with {EP} {way}")
    for size in sizes[1:3]:
        check_reading(name, folder, size)
    print(f"{name:24s} {len(ways)} ways, up to {sizes[-1]} ranks", flush=True)
    return len(ways)


def shipped():
    for path in sorted(glob.glob(os.path.join(ROOT, "tests/data/families/*.json"))):
        with open(path, encoding="utf-8") as file:
            case = json.load(file)
        if any("experts." in row[0] for row in case["weights"]):
            yield case


def wide():
    """Rows of 9,408 numbers: what ranks exchange of them takes two passes."""
    hidden = 9408
    config = {"architectures": ["MixtralForCausalLM"], "model_type": "mixtral", "hidden_size": hidden, "vocab_size": 40,
              "num_hidden_layers": 1, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8, "num_local_experts": 6,
              "num_experts_per_tok": 3, "intermediate_size": 20, "max_position_embeddings": 64, "tie_word_embeddings": True,
              "hidden_act": "silu", "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "sliding_window": None, "dtype": "bfloat16"}
    layer, weights = "model.layers.0.", [["model.embed_tokens.weight", [40, hidden], 0, 1], ["model.norm.weight", [hidden], 1, 0]]
    weights += [[layer + name + ".weight", [hidden], 1, 0.1] for name in ("input_layernorm", "post_attention_layernorm")]
    weights += [[f"{layer}self_attn.{name}_proj.weight", [32, hidden], 0, 0.01] for name in "qkv"]
    weights += [[layer + "self_attn.o_proj.weight", [hidden, 32], 0, 0.1], [layer + "block_sparse_moe.gate.weight", [6, hidden], 0, 0.02]]
    for expert in range(6):
        weights += [[f"{layer}block_sparse_moe.experts.{expert}.{name}.weight", shape, 0, 0.05]
                    for name, shape in (("w1", [20, hidden]), ("w3", [20, hidden]), ("w2", [hidden, 20]))]
    return {"case": "wide rows", "config": config, "weights": weights, "seed": 3, "dtype": "BF16", "ids": list(range(3, 39))}


n_ways, with_groups = 0, []
for one in [*shipped(), wide()]:
    with tempfile.TemporaryDirectory() as temporary:
        write_checkpoint(temporary, one["config"], one["weights"], one["seed"], one["dtype"])
        n_ways += check_model(one["case"], temporary, one["ids"][:40])
for golden in ("mixtral", "qwen3-moe", "gpt-oss", "gpt-oss-odd"):
    model = os.path.join(SHARED, "goldens", golden)
    if os.path.exists(model):
        tokens = [int(i) for i in Safetensors(os.path.join(model, "golden.safetensors"))["input_ids"]]
        n_ways += check_model(golden, model, tokens)
for flags, expected in ((("-tp", 4, "--expert-parallel-size", 2), "expected --enable-expert-parallel with it"),
                        (("-tp", 4, EP, "--expert-parallel-size", 3), "4 ranks are not a multiple")):
    with tempfile.TemporaryDirectory() as temporary:
        one = next(shipped())
        write_checkpoint(temporary, one["config"], one["weights"], one["seed"], one["dtype"])
        refused = run("plan", temporary, *flags)
        check(refused.returncode == 2 and expected in refused.stderr, f"{flags}: {refused.returncode} {refused.stderr.strip()}")
check(n_ways >= 12 and len(with_groups) >= 6, f"only {n_ways} ways were tried, {len(with_groups)} with groups of several ranks")
finish("expert parallel")
