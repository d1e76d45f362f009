#!/usr/bin/env python3
"""Whole experts on ranks give the bits of experts that are cut: any number of ranks, uneven ones, chunks, batches and
stages; each rank reads its own experts and no others. On models of tests/data/families and on goldens, where those are."""
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


def check_reading(name, folder, size):
    """Every byte of the experts is read by one rank."""
    plan, whole = plan_of(folder, "-tp", size, EP), plan_of(folder, "-tp", 1)
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


n_ways = 0
for one in shipped():
    with tempfile.TemporaryDirectory() as temporary:
        write_checkpoint(temporary, one["config"], one["weights"], one["seed"], one["dtype"])
        n_ways += check_model(one["case"], temporary, one["ids"][:40])
for golden in ("mixtral", "qwen3-moe", "gpt-oss", "gpt-oss-odd"):
    model = os.path.join(SHARED, "goldens", golden)
    if os.path.exists(model):
        tokens = [int(i) for i in Safetensors(os.path.join(model, "golden.safetensors"))["input_ids"]]
        n_ways += check_model(golden, model, tokens)
check(n_ways >= 12, f"only {n_ways} ways were tried")
finish("expert parallel")
