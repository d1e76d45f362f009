#!/usr/bin/env python3
"""Models that tools/differential_families.py once drew, against what Transformers computed with them then.

tests/data/families/*.json: the config, the recipe of the weights (tiny_checkpoint.py), a text and some of Transformers'
logits. There is a file for each family, and one for each case that went wrong before it was put right. Of the wrapper
gemma3n, whose towers are never tiny, there is a case of the text model under text_config.
"""
import glob
import json
import os
import tempfile

from support import ROOT, check, finish, logits_file, run
from tiny_checkpoint import write_checkpoint

LARGEST, OF_RANGE = 5e-4, 2e-4


def flags_of(how, folder):
    flags = ["-tp", how["tp"], "--max-num-batched-tokens", how["chunk"]]
    if how.get("batch"):
        flags += ["--batch", how["batch"]]
    if how.get("tp_plan"):
        path = os.path.join(folder, "tp_plan.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(how["tp_plan"], file)
        flags += [plan_flag(how, folder, path), path]
    return flags


def plan_flag(how, folder, path):
    """Some were drawn when rules replaced colrow's plan, and for more ranks than it has heads for."""
    sizes = json.loads(run("plan", folder, "--json", "--tp-plan", path).stdout)["valid_tensor_parallel_sizes"]
    return "--tp-plan" if how["tp"] in sizes else "--tp-plan-replace"


def check_case(path, folder):
    with open(path, encoding="utf-8") as file:
        case = json.load(file)
    write_checkpoint(folder, case["config"], case["weights"], case["seed"], case["dtype"])
    logits, digest = logits_file(folder, case["ids"], "--dtype", "float32")
    if logits is None:
        return
    vocab = len(logits) // len(case["ids"])
    worst = 0.0
    for row, wanted in zip(case["rows"], case["logits"]):
        found = logits[row * vocab : (row + 1) * vocab : case["step"]]
        check(len(found) == len(wanted), f"{case['case']}: {len(found)} logits, expected {len(wanted)}")
        worst = max([worst] + [abs(a - b) for a, b in zip(found, wanted)])
    most = max(LARGEST, OF_RANGE * case["range"])
    check(worst <= most, f"{case['case']}: logits differ by {worst:.3g}, at most {most:.3g} expected")
    _, other = logits_file(folder, case["ids"], "--dtype", "float32", *flags_of(case["how"], folder))
    check(other == digest, f"{case['case']}: other bits with {case['how']}")
    print(f"{case['case']:28s} largest error {worst:.2e}  {case['how']['tp']} ranks, chunks of {case['how']['chunk']}",
          flush=True)


paths = sorted(glob.glob(os.path.join(ROOT, "tests/data/families/*.json")))
check(len(paths) > 0, "no files in tests/data/families")
for one in paths:
    with tempfile.TemporaryDirectory() as temporary:
        check_case(one, temporary)
finish("families")
