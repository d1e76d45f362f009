#!/usr/bin/env python3
"""`colrow verify` over nodes (network namespaces): hidden states, logits and tokens of tensor and pipeline parallel
layouts on one to four nodes are those of one rank on one, bit by bit, in batches and chunks and out of the prefix
cache; a node whose weights differ in their last bits is found out, and nodes that disagree say so."""
import json
import os
import shutil
import signal
import struct
import subprocess
import tempfile
import time

from cluster_nodes import Network
from support import COLROW, DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
network = Network(4)
FLAGS = ["--kv-cache-memory", "64MB", "--json"]


def start(n_nodes, *flags, models=(), last=()):
    """Of `last` node n - 1 alone has the flags; `models`: of each node, else the bundled one."""
    nodes = []
    for i in range(n_nodes):
        model = models[i] if i < len(models) else DEMO
        own = ["--node-rank", i, "--master-addr", network.address(0), *(last if i == n_nodes - 1 else ())]
        log = tempfile.TemporaryFile("w+")
        process = subprocess.Popen(network.command(i, COLROW, "verify", model, *FLAGS, *flags, *own), stdout=subprocess.PIPE, stderr=log,
                                   stdin=subprocess.DEVNULL, text=True)
        nodes.append((process, log))
    return nodes


def said(node):
    return os.pread(node[1].fileno(), 1 << 20, 0).decode(errors="replace")


def end(node, seconds=240):
    try:
        text, _ = node[0].communicate(timeout=patience(seconds))
        return node[0].returncode, text
    except subprocess.TimeoutExpired:
        node[0].kill()
        return None, node[0].communicate()[0]


def layouts_of(text):
    return [layout for group in json.loads(text)["groups"] for layout in group["layouts"]]


def the_same_bits():
    several = ["--tokens", "133", "--generate", "5"]
    for n_nodes, wanted, flags in (
            (2, {(1, 1, 1), (2, 1, 1), (4, 1, 1), (2, 1, 2), (3, 1, 2), (4, 1, 2)}, ["--nnodes", "2", "--tp", "1,2,3,4", *several]),
            (2, {(1, 1, 1), (2, 1, 2), (3, 1, 2)}, ["--nnodes", "2", "--tp", "1,2,3", "--batches", "1,9", "--chunks", "512,7", "--generate", "3"]),
            (2, {(1, 1, 1), (2, 2, 2)}, ["--nnodes", "2", "--tp", "1,2", "--pp", "1,2", "--batches", "1,9", *several]),
            (3, {(1, 1, 1), (1, 3, 3)}, ["--nnodes", "3", "--tp", "1", "--pp", "1,3", *several]),
            (4, {(1, 1, 1), (2, 4, 4)}, ["--nnodes", "4", "--tp", "1,2", "--pp", "1,4", "--batches", "1,9", "--generate", "3"]),
            (2, {(1, 1, 1), (2, 1, 2)}, ["--nnodes", "2", "--dtype", "float16,float32", "--tp", "1,2", *several])):
        nodes = start(n_nodes, *flags)
        ended = [end(node) for node in nodes]
        check([status for status, _ in ended] == [0] * n_nodes, f"{flags}: {[status for status, _ in ended]}: {[said(node) for node in nodes]}")
        check(all(text == "" for _, text in ended[1:]), f"{flags}: other nodes than 0 say on standard output: {ended[1:]}")
        if ended[0][0] != 0:
            continue
        layouts = layouts_of(ended[0][1])
        results = {layout["result"] for layout in layouts}
        found = {(layout["tensor_parallel_size"], layout["pipeline_parallel_size"], layout["nnodes"]) for layout in layouts}
        check(results == {"reference", "identical"} and wanted <= found, f"{flags}: {layouts}")
        cached = {layout["cached_tokens"] >= 64 for layout in layouts if layout["batch"] > 1}
        check(cached <= {True}, f"{flags}: nothing comes out of the prefix cache: {layouts}")
        print(f"{' '.join(flags)}: {len(layouts)} layouts, {sum(layout['nnodes'] > 1 for layout in layouts)} over nodes", flush=True)


def change_last_bits(path, name):
    with open(path, "r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        begin, stop = json.loads(file.read(length))[name]["data_offsets"]
        file.seek(8 + length + begin)
        data = bytearray(file.read(stop - begin))
        data[::2] = bytes(byte ^ 1 for byte in data[::2])
        file.seek(8 + length + begin)
        file.write(data)


def other_weights():
    """Sizes and config.json are alike, so nobody but verify can tell."""
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(DEMO):
            shutil.copy(os.path.join(DEMO, name), folder)
        change_last_bits(os.path.join(folder, "model.safetensors"), "model.layers.1.mlp.down_proj.weight")
        nodes = start(2, "--nnodes", "2", "--tp", "1,2", "--tokens", "20", "--generate", "2", models=(DEMO, folder))
        ended = [end(node) for node in nodes]
        check([status for status, _ in ended] == [1, 0], f"other weights: {ended}: {[said(node) for node in nodes]}")
        results = [layout["result"] for layout in layouts_of(ended[0][1])] if ended[0][1] else []
        check(results[:2] == ["reference", "identical"] and results[2].startswith("DIFFERENT from layer 1 on"), f"other weights: {results}")


def disagreement():
    nodes = start(2, "--nnodes", "2", "--tp", "1,2", "--tokens", "9", "--generate", "1", last=("--isa", "reference"))
    for node in nodes:
        status, _ = end(node)
        check(status == 1 and "isa" in said(node), f"another instruction set: {status} {said(node)}")


def node_0_ends_early():
    """In the middle of a layout over nodes: the other one leaves, and does not wait for the next."""
    nodes = start(2, "--nnodes", "2", "--tp", "1,2", "--generate", "300", "--tokens", "9", "--join-timeout", "300")
    since = time.monotonic()
    while not network.pids(1)[1:] and time.monotonic() - since < patience(120):  # node 1 has a rank: both are at work
        time.sleep(0.05)
    nodes[0][0].send_signal(signal.SIGINT)
    status, _ = end(nodes[0])
    check(status == 128 + signal.SIGINT, f"Ctrl-C on node 0: {status} {said(nodes[0])}")
    status, _ = end(nodes[1], 60)
    check(status == 0, f"Ctrl-C on node 0: node 1 left with {status}: {said(nodes[1])}")


the_same_bits()
other_weights()
disagreement()
node_0_ends_early()
finish("verify over nodes")
