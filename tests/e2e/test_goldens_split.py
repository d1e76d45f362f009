#!/usr/bin/env python3
"""The Llama goldens through the program: close to Transformers, and one sha256 for every valid number of ranks."""
import json
import os

from support import SHARED, Safetensors, check, finish, logits_file, run, skip

MODELS = ["llama2", "llama3", "llama-bias-linear", "llama-f16-sharded", "llama-yarn-f32", "mistral"]
GOLDENS = os.path.join(SHARED, "goldens")
if not os.path.exists(GOLDENS):
    skip("shared/ is not here")


def in_yardsticks(logits, golden):
    """Mean and largest error, as parts of what Transformers in bfloat16 errs by."""
    errors = [abs(a - b) for a, b in zip(logits, golden["logits"])]
    mean = sum(errors) / len(errors)
    return mean / float(golden.metadata["bf16_mean_abs"]), max(errors) / float(golden.metadata["bf16_max_abs"])


print(f"{'model':20s} {'sizes':22s} {'f32 max':>10s} {'long max':>10s} {'bf16 mean/yard':>15s} {'bf16 max/yard':>14s} {'tiles':>9s} greedy")
for name in MODELS:
    model = os.path.join(GOLDENS, name)
    golden = Safetensors(os.path.join(model, "golden.safetensors"))
    ids, long_ids = list(golden["input_ids"]), list(golden["long_input_ids"])
    vocab = golden.tensors["logits"][0][1]
    plan = json.loads(run("plan", model, "--json").stdout)
    sizes = [n for n in plan["valid_tensor_parallel_sizes"] if n <= 8]
    exact = {}
    for dtype in ("float32", "bfloat16"):
        results = [logits_file(model, ids, "--dtype", dtype, "-tp", n) for n in sizes]
        check(len({digest for _, digest in results}) == 1, f"{name} {dtype}: bits depend on the number of ranks {sizes}")
        exact[dtype] = results[0][0]
    f32 = max(abs(a - b) for a, b in zip(exact["float32"], golden["logits"]))
    long_logits = [logits_file(model, long_ids, "--dtype", "float32", "-tp", n) for n in (sizes[0], sizes[-1])]
    check(long_logits[0][1] == long_logits[1][1], f"{name}: bits of the long prompt depend on the number of ranks")
    rows = [long_logits[0][0][p * vocab : (p + 1) * vocab] for p in golden["long_positions"]]
    long_max = max(abs(a - b) for a, b in zip((x for row in rows for x in row), golden["long_logits"]))
    tiles = [logits_file(model, ids, "--dtype", "bfloat16", "--product-order", "tiles", "-tp", n) for n in sizes]
    check(len({digest for _, digest in tiles}) == 1, f"{name} tiles: bits depend on the number of ranks {sizes}")
    mean, most = in_yardsticks(exact["bfloat16"], golden)
    tiles_mean, tiles_most = in_yardsticks(tiles[0][0], golden)
    check(tiles_mean <= 1.25, f"{name}: mean bfloat16 error in the order of tiles is {tiles_mean} of the yardstick")
    check(tiles_most <= 2, f"{name}: largest bfloat16 error in the order of tiles is {tiles_most} of the yardstick")
    check(f32 <= 5e-4, f"{name}: float32 logits differ by {f32}")
    check(long_max <= 5e-4, f"{name}: long float32 logits differ by {long_max}")
    check(mean <= 1.25, f"{name}: mean bfloat16 error is {mean} of the yardstick")
    check(most <= 2, f"{name}: largest bfloat16 error is {most} of the yardstick")

    # Greedy continuation, teacher-forced, so that one early near-tie does not hide the rest.
    sequence = ids + list(golden["greedy_ids"])
    forced, _ = logits_file(model, sequence, "--dtype", "float32", "-tp", sizes[-1])
    agree = 0
    for i, (token, margin) in enumerate(zip(golden["greedy_ids"], golden["greedy_margin"])):
        row = forced[(len(ids) - 1 + i) * vocab : (len(ids) + i) * vocab]
        best = max(range(vocab), key=lambda k: row[k])
        agree += best == token
        check(best == token or margin <= 1e-3, f"{name}: greedy token {i} is {best}, expected {token}, margin {margin}")
    print(f"{name:20s} {str(sizes):22s} {f32:10.3g} {long_max:10.3g} {mean:15.2f} {most:14.2f} {tiles_mean:4.2f} {tiles_most:4.2f} {agree}/32", flush=True)
finish("goldens")
