#!/usr/bin/env python3
"""Transformers' own tp_plans as input, for every family that colrow knows: in the file that has them all, as rules alone,
and in the spellings of Transformers 4. They compile for 2 and 3 ranks, and give the bits of one rank."""
import json
import os
import tempfile

from support import SHARED, Safetensors, check, finish, logits_file, run, skip

GOLDENS = os.path.join(SHARED, "goldens")
FILE = os.path.join(SHARED, "data/tp_plans/transformers-5.24.json")
OLDER = {"colwise_gather_output": "colwise_rep", "rowwise_split_input": "rowwise_rep", "colwise": "local_colwise",
         "rowwise": "local_rowwise"}
TOKENS = 24
if not os.path.exists(FILE):
    skip("shared/ is not here")


def golden_models():
    """(folder, model_types under which its plan may be) of every golden that colrow knows."""
    for name in sorted(os.listdir(GOLDENS)):
        path = os.path.join(GOLDENS, name)
        if not os.path.exists(os.path.join(path, "golden.safetensors")) or run("plan", path).returncode:
            continue
        with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        text = config.get("text_config", {}).get("model_type", config["model_type"])
        yield path, [config["model_type"], text, config["model_type"] + "_text"]


def rules_of(plan):
    """What `model.tp_plan` is in Python."""
    base = {f"model.{name}": style for name, style in (plan["base_model_tp_plan"] or {}).items()}
    return base | (plan["causal_lm_tp_plan"] or {})


def ways_of(plan, folder):
    """[(what, file, replaces)]"""
    yield "all families' file", FILE, False
    yield "all families' file instead", FILE, True
    rules = rules_of(plan)
    for what, content in (("rules", rules), ("one family's", plan),
                          ("older spellings", {name: OLDER.get(style, style) for name, style in rules.items()})):
        path = os.path.join(folder, what.replace(" ", "-").replace("'", "") + ".json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(content, file)
        yield what, path, False


def check_model(path, plan, folder):
    ids = [int(i) for i in Safetensors(os.path.join(path, "golden.safetensors"))["input_ids"]][:TOKENS]
    sizes = json.loads(run("plan", path, "--json").stdout)["valid_tensor_parallel_sizes"]
    _, expected = logits_file(path, ids)
    n = 0
    for what, file, replaces in ways_of(plan, folder):
        flags = ["--tp-plan-replace" if replaces else "--tp-plan", file]
        for size in (2, 3):
            done = run("plan", path, "-tp", size, *flags)
            if done.returncode and "valid sizes" in done.stderr and (size not in sizes or size == 3):
                continue  # too few heads, as without the plan
            check(done.returncode == 0, f"{path}: {what} at {size}: {done.stderr.strip()}")
            if done.returncode == 0 and (size == 2 or what == "rules"):
                _, digest = logits_file(path, ids, "-tp", size, *flags)
                check(digest == expected, f"{path}: {what} at {size} ranks: other bits")
                n += 1
    return n


with open(FILE, encoding="utf-8") as shipped:
    plans = json.load(shipped)["plans"]
seen = set()
with tempfile.TemporaryDirectory() as temporary:
    for model, types in golden_models():
        (found,) = [t for t in types if t in plans][:1] or [None]
        if not found:
            refused = run("plan", model, "-tp", 2, "--tp-plan", FILE)
            check(refused.returncode == 1 and "none for model_type" in refused.stderr, f"{model}: {refused.stderr.strip()}")
            continue
        runs = check_model(model, plans[found], temporary)
        print(f"{os.path.basename(model):24s} {found:20s} {runs} runs with the bits of one rank", flush=True)
        seen.add(found)
print(f"plans of {len(seen)} families: {', '.join(sorted(seen))}")
check(seen >= {"llama", "mistral", "qwen2", "qwen3"}, "plans of some families were not tried")
finish("plans of Transformers")
