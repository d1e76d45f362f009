#!/usr/bin/env python3
"""What a decode step of TP=2 takes besides the ranks' forward passes (products, and all-reduces over memory or wire): plan,
hand-over to the ranks, results, sampling. On one node, and on two (network namespaces, made here), in turn; from the
counters of /metrics, medians over the rounds. Writes a Markdown table. Without the right to make namespaces: exit
status 77.

    bench/step_overhead.py [--rounds 5] [--tokens 400] [MODEL]
"""
import argparse
import os
import re
import signal
import statistics
import sys
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from cluster_nodes import Network
from cluster_serving import ServeNode, completion
from support import DEMO

COUNTERS = {
    "steps": "colrow_steps_total",
    "overhead": "colrow_engine_overhead_seconds_total",
    "forward": "colrow_rank_step_seconds_total",
    "exchange": "colrow_allreduce_seconds_total",
    "wait": "colrow_rank_wait_seconds_total",
}


def counters(node):
    _, text = node.ask("/metrics")
    found = {}
    for name, metric in COUNTERS.items():
        values = [float(value) for value in re.findall(rf"^{metric}(?:{{[^}}]*}})? ([0-9.e+-]+)$", text, re.M)]
        found[name] = sum(values) / max(len(values), 1)  # of ranks: the mean
    return found


def measure(network, n_nodes, options):
    flags = ["-tp", "2", "--threads-per-rank", "1", "--kv-cache-memory", "64MB"]
    nodes = [ServeNode(network, i, n_nodes, flags, model=options.model) for i in range(n_nodes)]
    try:
        if not nodes[0].await_health():
            sys.exit("the model does not get ready")
        rounds = []
        for _ in range(options.rounds + 1):  # the first one warms up
            before = counters(nodes[0])
            status, text = nodes[0].ask("/v1/completions", completion("The ranks of a group", options.tokens, logprobs=None))
            if status != 200:
                sys.exit(text)
            after = counters(nodes[0])
            steps = after["steps"] - before["steps"]
            rounds.append({name: (after[name] - before[name]) / steps * 1e6 for name in COUNTERS if name != "steps"})
        return rounds[1:]
    finally:
        nodes[0].process.send_signal(signal.SIGTERM)
        for node in nodes:
            node.finish()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", nargs="?", default=DEMO)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=400)
    options = parser.parse_args()
    network = Network(2)
    print(f"us a step; TP=2, one stream, a thread a rank, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {time.strftime('%Y-%m-%d')}, "
          f"medians of {options.rounds} rounds of {options.tokens} tokens\n")
    print("| nodes | forward pass | all-reduces in it | overhead | least |\n|---|---|---|---|---|")
    for n_nodes in (1, 2):
        rounds = measure(network, n_nodes, options)
        of = {name: [one[name] for one in rounds] for name in rounds[0]}
        middle = {name: statistics.median(values) for name, values in of.items()}
        print(f"| {n_nodes} | {middle['forward']:.1f} | {middle['exchange']:.1f} | {middle['overhead']:.1f} | {min(of['overhead']):.1f} |", flush=True)
    network.close()


main()
