#!/usr/bin/env python3
"""Every golden of a family that colrow has, through the program: close to Transformers, and one sha256 for every valid number
of ranks, chunk and instruction set. The results are the table of docs/models.md; `make models-doc` writes it (--write)."""
import json
import os
import statistics
import sys

from models_table import golden_folders, row_of, write_rows, written_rows
from support import SHARED, Safetensors, check, finish, isas, logits_file, run, skip

GOLDENS = os.path.join(SHARED, "goldens")
LARGEST, OF_RANGE = 5e-4, 2e-4
if not os.path.exists(GOLDENS):
    skip("shared/ is not here")


def largest(found, expected):
    return max(abs(a - b) for a, b in zip(found, expected))


def check_float32(name, what, found, expected):
    error, most = largest(found, expected), max(LARGEST, OF_RANGE * (max(expected) - min(expected)))
    check(error <= most, f"{name}: {what} differ by {error:.3g}, at most {most:.3g} expected")
    return error


def median_of_best_rows(errors, width):
    """What an early token's experts have left in a state all later tokens see: of the quarter of the rows that err least."""
    medians = sorted(statistics.median(errors[at : at + width]) for at in range(0, len(errors), width))
    return medians[len(medians) // 8]


def keeps_states(model):
    return any("conv" in one["name"] for one in json.loads(run("plan", model, "-tp", 1, "--json").stdout)["parameters"])


def check_yardsticks(name, order, logits, golden):
    """Mean (with experts median) and largest error, as parts of what Transformers in bfloat16 errs by."""
    errors = [abs(a - b) for a, b in zip(logits, golden["logits"])]
    if float(golden.metadata.get("min_topk_gap", "inf")) < float("inf"):  # a router near a tie may choose otherwise
        yardstick = float(golden.metadata["bf16_median_abs"])
        median = statistics.median(errors) / yardstick
        if median > 1.5 and keeps_states(os.path.join(GOLDENS, name)):
            median = median_of_best_rows(errors, golden.tensors["logits"][0][1]) / yardstick
        check(median <= 1.5, f"{name}: median bfloat16 error in the order of {order} is {median} of the yardstick")
        return median, max(errors) / float(golden.metadata["bf16_max_abs"])
    mean = sum(errors) / len(errors) / float(golden.metadata["bf16_mean_abs"])
    most = max(errors) / float(golden.metadata["bf16_max_abs"])
    check(mean <= 1.25, f"{name}: mean bfloat16 error in the order of {order} is {mean} of the yardstick")
    check(most <= 2, f"{name}: largest bfloat16 error in the order of {order} is {most} of the yardstick")
    return mean, most


def check_bits(name, what, model, ids, ways, *flags):
    """Logits of the first of `ways` [(flags, instruction set)]; all others give the same file."""
    results = [logits_file(model, ids, *flags, *way, isa=isa) for way, isa in ways]
    differing = [(way, isa) for (way, isa), (_, digest) in zip(ways, results) if digest != results[0][1]]
    check(not differing, f"{name}: bits of {what} depend on {differing}")
    return results[0][0]


def check_greedy(name, model, ids, golden, vocab, error, tp):
    """Teacher-forced, so that one early near-tie does not hide the rest. Two logits may err towards each other."""
    forced, _ = logits_file(model, ids + list(golden["greedy_ids"]), "--dtype", "float32", "-tp", tp)
    agree = 0
    for i, (token, margin) in enumerate(zip(golden["greedy_ids"], golden["greedy_margin"])):
        row = forced[(len(ids) - 1 + i) * vocab : (len(ids) + i) * vocab]
        best = max(range(vocab), key=lambda k: row[k])
        agree += best == token
        check(best == token or margin <= 2 * error,
              f"{name}: greedy token {i} is {best}, expected {token}, margin {margin}")
    return agree


def experts_of(model):
    """How many the layers have that have the most."""
    kinds = json.loads(run("plan", model, "-tp", 1, "--json").stdout)["layer_kinds"]
    return max(kind.get("num_experts", 0) for kind in kinds)


def check_golden(name, sizes):
    """Returns the row of the table."""
    model = os.path.join(GOLDENS, name)
    golden = Safetensors(os.path.join(model, "golden.safetensors"))
    ids, long_ids = list(golden["input_ids"]), list(golden["long_input_ids"])
    vocab = golden.tensors["logits"][0][1]
    split = [(("-tp", n), None) for n in sizes]
    chunked = [(("-tp", sizes[-1], "--max-num-batched-tokens", n), None) for n in (1, 7, 64)]
    levels = [((), isa) for isa in isas()]
    whole = [n for n in sizes if n <= experts_of(model)]  # ranks that can have experts of their own
    if whole:
        chunked.append((("-tp", whole[-1], "--enable-expert-parallel"), None))
        split.append((("-tp", whole[-1], "--enable-expert-parallel"), None))
        groups = ("--expert-parallel-size", 2) if 4 in sizes else ()  # of two ranks
        split.append((("-tp", 4 if groups else 2, "--enable-expert-parallel", *groups), None))

    exact = check_bits(name, "float32", model, ids, split + chunked[:2] + levels, "--dtype", "float32")
    rounded = check_bits(name, "bfloat16", model, ids, split + levels, "--dtype", "bfloat16", "--product-order",
                         "pairs")
    tiles = check_bits(name, "tiles", model, ids, split[:1] + split[-1:], "--dtype", "bfloat16", "--product-order",
                       "tiles")
    long_logits = check_bits(name, "the long prompt", model, long_ids, split + chunked[1:], "--dtype", "float32")
    if not (exact and rounded and tiles and long_logits):
        return None
    short_error = check_float32(name, "logits", exact, golden["logits"])
    rows = [long_logits[p * vocab : (p + 1) * vocab] for p in golden["long_positions"]]
    long_error = check_float32(name, "long logits", [x for row in rows for x in row], golden["long_logits"])
    yardsticks = check_yardsticks(name, "pairs", rounded, golden)
    tile_yardsticks = check_yardsticks(name, "tiles", tiles, golden)
    agree = check_greedy(name, model, ids, golden, vocab, short_error, sizes[-1])
    print(f"{name:22s} {str(sizes):26s} {short_error:9.2e} {long_error:9.2e}   {yardsticks[0]:4.2f} {yardsticks[1]:4.2f}   "
          f"{tile_yardsticks[0]:4.2f} {tile_yardsticks[1]:4.2f}   {agree}/32", flush=True)
    return row_of(name, sizes, max(short_error, long_error), yardsticks)


def valid_sizes(name):
    """Up to 8 ranks; None: a family or a variant that colrow does not have."""
    done = run("plan", os.path.join(GOLDENS, name), "--json")
    if done.returncode:
        print("not known:", done.stderr.strip())
        return None
    return [n for n in json.loads(done.stdout)["valid_tensor_parallel_sizes"] if n <= 8]


def check_page(rows):
    """What docs/models.md says is what was found, to the last digit; all goldens that it names are still read."""
    for name, row in written_rows().items():
        check(rows.get(name) == row,
              f"docs/models.md: the row of {name} differs from what this test found; `make models-doc` writes it\n  {rows.get(name)}")
    missing = sorted(set(rows) - set(written_rows()))
    if missing:
        print("not on docs/models.md yet:", ", ".join(missing))


print(f"{'golden':22s} {'sizes':26s} {'float32':>9s} {'long':>9s}   {'bfloat16':9s}   {'tiles':9s}   greedy")
known = {name: sizes for name in golden_folders() if (sizes := valid_sizes(name))}
found = {name: check_golden(name, sizes) for name, sizes in known.items()}
check(len(known) >= 6, f"only {len(known)} goldens were read")
if "--write" in sys.argv:
    write_rows(found.values())
elif "--no-page" not in sys.argv:  # other goldens than those of the page
    check_page(found)
finish("goldens")
