#!/usr/bin/env python3
"""`colrow bench comm` of pairs of ranks, on one node and on two: every pair once, in a table and in JSON, which
`colrow plan --comm-figures` takes."""
import json
import os
import subprocess
import tempfile

from cluster_nodes import Network
from support import COLROW, DEMO, ROOT, check, failures, finish, patience, run

MACHINE = os.path.join(ROOT, "examples/machines/dgx-h100.json")


def check_pairs(text, nodes):
    figures = json.loads(text)
    n = len(nodes)
    wanted = [([a, b], [nodes[a], nodes[b]]) for a in range(n) for b in range(a + 1, n)]
    found = [(pair["ranks"], pair["nodes"]) for pair in figures["pairs"]]
    check(found == wanted, f"pairs are {found}")
    check(all(pair["latency_us"] > 0 and pair["bandwidth_gb_s"] > 0 for pair in figures["pairs"]), f"a figure is none: {text}")
    slowest = min(figures["pairs"], key=lambda pair: pair["bandwidth_gb_s"])
    check(figures["slowest"]["ranks"] == slowest["ranks"], f"the slowest is {figures['slowest']}, not {slowest}")
    for key, between in (("link_in_node", False), ("link_between_nodes", True)):
        is_there = any((a != b) == between for _, (a, b) in wanted)
        check((key in figures) == is_there, f"{key} in {text}")
    return figures


def use_in_plan(text, nodes):
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(text)
        file.flush()
        done = run("plan", DEMO, "-tp", 2, "--nodes", nodes, "--machine", MACHINE, "--comm-figures", file.name, "--json")
        check(done.returncode == 0, f"plan: {done.stderr}")
        check("the slowest pair (bench comm)" in done.stdout, "plan does not use the links that were measured")


def one_node():
    done = run("bench", "comm", "--nproc-per-node", 2, "--json")
    if check(done.returncode == 0, f"bench comm -n 2: {done.stderr}"):
        check_pairs(done.stdout, [0, 0])
        use_in_plan(done.stdout, 1)
    done = run("bench", "comm", "-n", 2)
    lines = done.stdout.splitlines()
    check(lines[0].split() == ["ranks", "nodes", "latency", "us", "1", "MB", "us", "GB/s"], f"heading: {done.stdout}{done.stderr}")
    check(lines[2].startswith("0 - 1  0 - 0") and lines[-1].startswith("slowest link within a node: ranks 0 and 1 of node 0, "), f"table: {done.stdout}")


def refusals():
    for flags, sentence in (
        (("bench", "comm", "-n", 1), "one rank has nobody to measure with"),
        (("bench", "comm", "-n", 2, "-tp", 2), "expected that instead"),
        (("plan", DEMO, "-tp", 2, "--comm-figures", MACHINE), "expected --machine FILE, or auto, beside it"),
        (("plan", DEMO, "-tp", 2, "--machine", MACHINE, "--comm-figures", os.path.join(DEMO, "config.json")), 'has neither "link_in_node" nor'),
    ):
        done = run(*flags)
        check(done.returncode != 0 and sentence in done.stderr, f"{flags}: {done.returncode}, {done.stderr}")


def two_nodes():
    network = Network(2)
    try:
        commands = [
            network.command(i, COLROW, "bench", "comm", "-n", 2 - i, "--nnodes", 2, "--node-rank", i, "--master-addr", network.address(0), "--json")
            for i in range(2)
        ]
        nodes = [subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for command in commands]
        said = [node.communicate(timeout=patience(30)) for node in nodes]
        if check([node.returncode for node in nodes] == [0, 0], f"two nodes: {said}"):
            check(said[1][0] == "", f"node 1 prints {said[1][0]}")
            check_pairs(said[0][0], [0, 0, 1])
            use_in_plan(said[0][0], 2)
    finally:
        network.close()


one_node()
refusals()
if not failures:
    two_nodes()
finish("pairs of ranks")
