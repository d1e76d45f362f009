#!/usr/bin/env python3
"""Ranks of `colrow serve` are killed under load, and nobody may notice but by a pause: requests of all kinds are answered
once undisturbed, then again and again, many at a time, while a random rank gets a signal (KILL, SEGV, ABRT, STOP), is killed
for its memory by a cgroup, or two at once, or again while it restarts. Counts what fails and what differs, measures how long
it takes until a token comes and /health says 200, and looks at memory, descriptors, pages and processes at the end.
Exit status 1 if anything failed, differed or was left.

    chaos.py [--faults 1000] [-tp 2 -tp 3] [-pp 2]
    chaos.py --shape vllm                  8 clients, 100 streams each
    chaos.py --model DIR --tokens 24       another model
"""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from chaos_faults import WEIGHTS
from chaos_requests import Mix, vllm_shape
from chaos_run import Chaos, progress, table
from serve_client import Server
from support import DEMO

CLIENTS, EACH = 8, 100


def arguments_of():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO)
    parser.add_argument("-tp", "--tensor-parallel-size", type=int, action="append", help="may be repeated (default 2, 3)")
    parser.add_argument("-pp", "--pipeline-parallel-size", type=int, default=1, help="stages of so many ranks (default 1)")
    parser.add_argument("--faults", type=int, default=1000, help="for each size (default 1000)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--interval", type=float, nargs=2, default=(0.3, 1.7), metavar=("LEAST", "MOST"), help="seconds from a recovery to the next fault")
    parser.add_argument("--streams", type=int, default=16, help="requests at a time")
    parser.add_argument("--requests", type=int, default=170, help="different ones")
    parser.add_argument("--tokens", type=int, default=400, help="of an answer, about (of vllm's shape: exactly)")
    parser.add_argument("--prompt-words", type=int, default=250, help="of the longest prompts")
    parser.add_argument("--shape", choices=("mixed", "vllm"), default="mixed")
    parser.add_argument("--kinds", nargs="+", choices=list(WEIGHTS), help="faults (default: all that the machine allows)")
    parser.add_argument("--json", action="store_true", help="a list with a result for each size instead of tables")
    parser.add_argument("flags", nargs="*", help="of colrow serve, after --")
    return parser.parse_args()


def has_chat(server):
    status, _, _ = server.request("POST", "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})
    return status == 200


def run(options, tp):
    flags = ["-tp", tp, "-pp", options.pipeline_parallel_size, "--max-model-len=1024", "--kv-cache-memory=256MB", "--scheduling-policy=priority", "--disable-log-requests", *options.flags]
    shared = set(os.listdir("/dev/shm"))
    begun = time.monotonic()
    with Server(*flags, model=options.model, name="model") as server:
        vllm = options.shape == "vllm"
        if vllm:
            requests = vllm_shape(CLIENTS, EACH, options.tokens, options.seed)
        else:
            requests = Mix(options.requests, options.tokens, options.seed, has_chat(server), options.prompt_words).requests
        chaos = Chaos(server, tp * options.pipeline_parallel_size, requests, options.seed, options.interval, CLIENTS if vllm else options.streams, options.kinds, progress)
        if (found := chaos.record()):
            return {}, [f"undisturbed: {what}" for what in found]
        chaos.run(0 if vllm else options.faults)
        found, results = chaos.judge(), chaos.results()
        found += chaos.stop()
    if (left := set(os.listdir("/dev/shm")) - shared):
        found.append(f"left in /dev/shm: {sorted(left)}")
    results["seconds"] = time.monotonic() - begun
    return results, found


def main():
    options = arguments_of()
    failures, runs = [], []
    for tp in options.tensor_parallel_size or (2, 3):
        results, found = run(options, tp)
        runs.append(results)
        failures += [f"TP={tp}: {what}" for what in found]
        if results and not options.json:
            print(table(results), flush=True)
    if options.json:
        print(json.dumps(runs, indent=1))
    for failure in failures:
        print("FAILED:", failure, file=sys.stderr)
    print("chaos: " + (f"{len(failures)} failed" if failures else "every answer is the undisturbed one, nothing is left"), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
