#!/usr/bin/env python3
"""`colrow serve` on several nodes (network namespaces): tensor and pipeline parallel over them, evenly or not, with
answers and log-probabilities that are those of one rank, bit by bit. What befalls nodes meanwhile is in
test_cluster_chaos.py."""
import json
import os
import signal
import time

from cluster_nodes import Network
from cluster_serving import ServeNode, another_demo, completion
from support import DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
NODES = 4
network = Network(NODES)
FLAGS = ["--kv-cache-memory", "64MB", "--core-dumps"]
PROMPTS = ["Tensor parallelism", "The ranks of a group", "A step is"]


def start(node, n_nodes, flags, **other):
    return ServeNode(network, node, n_nodes, [*FLAGS, *map(str, flags)], **other)


class Group:
    def __init__(self, n_nodes, *flags):
        self.n = n_nodes
        self.nodes = [start(i, n_nodes, flags) for i in range(n_nodes)]
        self.nodes[0].await_health()

    def stop(self, what):
        """Node 0 is told to end; all leave in peace."""
        self.nodes[0].process.send_signal(signal.SIGTERM)
        for node in self.nodes:
            status = node.finish()
            check(status == 0, f"{what}: node {node.node} left with {status}, expected 0: {node.text()}")
        for i in range(self.n):
            end = time.monotonic() + patience(30)
            while network.pids(i) and time.monotonic() < end:
                time.sleep(0.02)
            check(not network.pids(i), f"{what}: processes are left on node {i}")


def answers(node):
    """What must be the same everywhere: texts and log-probabilities, greedy and drawn, whole and of a prompt's rows."""
    found = []
    for prompt in PROMPTS:
        for other in ({}, {"temperature": 0.9, "seed": 7}, {"prompt_logprobs": 1}):
            status, text = node.ask("/v1/completions", completion(prompt, 24, **other))
            check(status == 200, f"a completion: {status} {text}")
            found.append(json.loads(text)["choices"] if status == 200 else text)
    return json.dumps(found, sort_keys=True)


def the_same_bits():
    one = Group(1)
    expected = answers(one.nodes[0])
    one.stop("one node")
    for n_nodes, tp, pp in ((2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 2, 2), (3, 1, 3), (4, 2, 4)):
        what = f"{n_nodes} nodes, TP {tp} x PP {pp}"
        group = Group(n_nodes, "-tp", tp, "-pp", pp)
        for node in group.nodes[1:]:
            node.await_health()
        check(answers(group.nodes[0]) == expected, f"{what}: other answers than one rank's")
        group.stop(what)
    return expected


def another_model():
    with another_demo() as folder:
        nodes = [start(0, 2, ["-tp", 2]), start(1, 2, ["-tp", 2], model=folder)]
        for node in nodes:
            status = node.finish()
            check(status not in (0, None) and "config.json" in node.text(), f"another model: node {node.node} left with {status}: {node.text()}")


def as_leaderworkerset_starts_it():
    """deploy/kubernetes: one command for leader and worker, who they are stands in their environment."""
    nodes = []
    for i in (1, 0):
        environment = {"LWS_LEADER_ADDRESS": network.address(0), "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(i)}
        nodes.insert(0, start(i, 2, ["--tensor-parallel-size=2"], environment=environment))
    for node in nodes:
        node.await_health()
    status, text = nodes[0].ask("/v1/completions", completion(PROMPTS[0], 8))
    check(status == 200 and json.loads(text)["usage"]["completion_tokens"] == 8, f"a LeaderWorkerSet's answer: {status} {text}")
    status, text = nodes[1].ask("/v1/completions", completion(PROMPTS[0], 8))
    check(status == 404 and "node 0" in text, f"a worker that is asked for a completion: {status} {text}")
    nodes[0].process.send_signal(signal.SIGTERM)
    for node in nodes:
        status = node.finish()
        check(status == 0, f"LeaderWorkerSet: node {node.node} left with {status}: {node.text()}")


def a_node_with_less_memory(expected):
    """Its flags say how much it gives; the answers are the same with fewer pages, or one sentence says what is missing."""
    flags = ["-tp", 3, "--max-model-len", 256, "--max-num-seqs", 4]
    nodes = [start(0, 2, flags), start(1, 2, [*flags, "--kv-cache-memory", "400KB"])]
    nodes[0].await_health()
    check(answers(nodes[0]) == expected, "a node with less memory: other answers than one rank's")
    text = nodes[0].text()
    check("(6 pages of 64)" in text and "node 1 (10.77.0.2): " in text, f"the table of a node with less memory: {text}")
    nodes[0].process.send_signal(signal.SIGTERM)
    for node in nodes:
        check(node.finish() == 0, f"a node with less memory: {node.text()}")
    nodes = [start(0, 2, flags), start(1, 2, [*flags, "--kv-cache-memory", "100KB"])]
    status = nodes[0].finish()
    check(status not in (0, None) and "node 1 (10.77.0.2): --kv-cache-memory 100000 holds" in nodes[0].text(), f"a node without memory: {status} {nodes[0].text()}")
    nodes[1].process.send_signal(signal.SIGTERM)
    nodes[1].finish()


def probes_hear_who_is_missing():
    """Kubernetes asks before the nodes have met: not ready, and why; but alive."""
    for first, missing in ((0, "node 1"), (1, "node 0")):
        nodes = {first: start(first, 2, ["-tp", 2])}
        status, text = nodes[first].await_status("/health", 503)
        end = time.monotonic() + patience(60)
        while missing not in text and time.monotonic() < end:  # it answers before it has looked who is there
            time.sleep(0.05)
            status, text = nodes[first].ask("/health")
        check(status == 503 and "waiting for nodes: " in text and missing in text, f"node {first} alone: {status} {text}")
        status, text = nodes[first].ask("/health?live")
        check(status == 200, f"node {first} alone, live: {status} {text}")
        status, text = nodes[first].ask("/v1/completions", completion(PROMPTS[0], 8))
        check(status == (503, 404)[first], f"node {first} alone, a completion: {status} {text}")
        nodes[1 - first] = start(1 - first, 2, ["-tp", 2])
        for node in nodes.values():
            node.await_health()
        nodes[0].process.send_signal(signal.SIGTERM)
        for node in nodes.values():
            check(node.finish() == 0, f"node {node.node} that waited: {node.text()}")
    alone = start(0, 2, ["-tp", 2])
    alone.await_status("/health", 503)
    alone.process.send_signal(signal.SIGTERM)
    check(alone.finish() not in (0, None), f"ended while it waited: {alone.text()}")


def wrong_flags():
    for flags, sentence in ((["-tp", "1"], "every node needs a rank"), (["-tp", "2", "--headless"], "--headless is for nodes other than node 0")):
        node = start(0, 2, flags)
        status = node.finish()
        check(status == 2 and sentence in node.text(), f"{flags}: {status} {node.text()}")


a_node_with_less_memory(the_same_bits())
probes_hear_who_is_missing()
as_leaderworkerset_starts_it()
another_model()
wrong_flags()
finish("serve on several nodes")
