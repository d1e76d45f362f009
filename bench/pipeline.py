#!/usr/bin/env python3
"""Decoding through pipeline stages: a step under way for each stage, beside one step at a time, in which one stage is busy
and the others wait. Both in turn, on the same machine; the median of the ratios. Writes a Markdown table.

    bench/pipeline.py [--streams 8] [--stages 2] [--repeats 5] [MODEL ...]

Where decoding is bound by reading weights, a step of half the streams takes as long as one of all, and stages gain nothing:
there it takes more streams than a batch that is bound by arithmetic.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from support import COLROW, DEMO


def colrow(*arguments, steps=None):
    environment = dict(os.environ)
    environment.pop("COLROW_STEPS_UNDER_WAY", None)
    if steps:
        environment["COLROW_STEPS_UNDER_WAY"] = str(steps)
    done = subprocess.run([COLROW, *map(str, arguments)], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def decode(options, model, steps):
    """Tokens a second of all streams."""
    return colrow("bench", "latency", model, "-pp", options.stages, "--threads-per-rank", 1, "--batch-size", options.streams,
                  "--input-len", 16, "--output-len", options.tokens, "--num-iters", 3, "--no-limits", "--json",
                  steps=steps)["decode_tokens_per_second"]


def answers(options, model, pp):
    prompts = [f"Stream {i}: " + "the group " * i for i in range(options.streams)]
    flags = [word for prompt in prompts for word in ("-p", prompt)]
    done = colrow("generate", model, *flags, "-n", 64, "--ignore-eos", "--temperature", 0, "--json", "-pp", pp)
    return [output["token_ids"] for output in done["outputs"]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=[DEMO], metavar="MODEL")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--stages", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=128)
    options = parser.parse_args()
    print(f"tokens/s of {options.streams} streams; PP={options.stages}, a thread each, {os.cpu_count()} cores, "
          f"{time.strftime('%Y-%m-%d')}, {options.repeats} pairs\n")
    print("| model | one step under way | one for each stage | ratio, median | least | answers |\n|---|---|---|---|---|---|")
    for model in options.models:
        pairs = [(decode(options, model, 1), decode(options, model, None)) for _ in range(options.repeats)]
        ratios = [both / one for one, both in pairs]
        one, both = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        same = "as TP=1" if answers(options, model, options.stages) == answers(options, model, 1) else "DIFFERENT"
        print(f"| {os.path.basename(os.path.normpath(model))} | {one:.0f} | {both:.0f} | {statistics.median(ratios):.2f} | "
              f"{min(ratios):.2f} | {same} |", flush=True)


main()
