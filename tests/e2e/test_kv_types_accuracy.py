#!/usr/bin/env python3
"""What keys and values as bytes change: logits and likeliest tokens beside those of a plain cache, over a text and the
bundled model, and over the golden of a Llama 3 where that is. Prints what docs/numerics.md tells."""
import json
import os

from support import DEMO, ROOT, SHARED, Safetensors, check, finish, logits_file, run

TOKENS = 700


def logits_of(model, ids, kind):
    """A row for each position."""
    values = logits_file(model, ids, "-tp", 1, "--kv-cache-dtype", kind)[0]
    width = len(values) // len(ids)
    return [values[i : i + width] for i in range(0, len(values), width)]


def compare(name, model, ids, least):
    """`least`: of how many tokens of 100 the likeliest next one is to stay, with fp8 and with int8."""
    plain = logits_of(model, ids, "auto")
    best = [max(range(len(row)), key=row.__getitem__) for row in plain]
    spread = max(max(row) - min(row) for row in plain)
    errors = {}
    for kind, share in zip(("float32", "fp8", "int8"), (97, *least)):
        found = logits_of(model, ids, kind)
        away = [abs(a - b) for x, y in zip(plain, found) for a, b in zip(x, y)]
        errors[kind], mean = max(away), sum(away) / len(away)
        same = sum(max(range(len(row)), key=row.__getitem__) == i for row, i in zip(found, best))
        agreement = f"the likeliest token is the same for {same} of {len(best)}"
        print(f"{name}, {kind}: logits that span {spread:.1f} differ by {errors[kind]:.4f} at most, {mean:.5f} in the "
              f"mean; {agreement}")
        check(same * 100 >= share * len(best), f"{name}, {kind}: {agreement}")
    check(errors["int8"] < errors["fp8"], f"{name}: int8 is further off than fp8, {errors}")


with open(os.path.join(ROOT, "docs", "guide.md"), encoding="utf-8") as guide:
    text = guide.read()[:8000]
tokens = json.loads(run("tokenize", DEMO, stdin=json.dumps([text])).stdout)[0][:TOKENS]
compare("demo", DEMO, tokens, (93, 97))
golden = os.path.join(SHARED, "goldens", "llama3")
if os.path.exists(golden):
    ids = list(Safetensors(os.path.join(golden, "golden.safetensors"), ["long_input_ids"])["long_input_ids"])
    compare("llama3", golden, ids, (80, 94))
finish("accuracy of keys and values as bytes")
