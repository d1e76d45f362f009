#!/usr/bin/env python3
"""What befalls nodes while `colrow serve` answers on them: ranks, front-ends and whole nodes killed, links cut, machines
frozen, nodes that are late or never come back, slow and lossy wires. Each run ends in the answer with the bits of one
rank, or in a sentence and an exit status that is not 0. CLUSTER_TIMES=100: so many runs of each; CLUSTER_FAULTS=a,b:
only these. The table at the end says how long each took from the fault on."""
import collections
import json
import os
import random
import re
import signal
import sys
import time

from cluster_nodes import Network
from cluster_serving import PROMPT, ServeNode, bits_of, completion, ranks_of, signal_all
from support import DEMO, SANITIZE, check, failures, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
TIMES = int(os.environ.get("CLUSTER_TIMES", "1"))
LATE_SECONDS = 30 if TIMES >= 10 else 1
SLOW_SECONDS = 45  # then what the nodes said is shown
DEADLINE = min(10, max(2, round(patience(2))))  # --node-timeout
FLAGS = ["--kv-cache-memory", "64MB", "--node-timeout", str(DEADLINE), "--core-dumps"]
LONG, SHORT = 300, 24  # tokens; short ones for wires on which a token takes a while
seed = int(os.environ.get("CLUSTER_SEED", random.randrange(1 << 30)))
chance = random.Random(seed)
print(f"CLUSTER_SEED={seed}", flush=True)
reference = {}


class Group:
    """Nodes that answer together, the second one's ranks fewer than the first one's."""

    def __init__(self, network, *flags, n=2, order=None, pause=0.0, ready=True):
        self.network, self.n, self.flags = network, n, [*FLAGS, "-tp", str(2 * n - 1), *flags]
        self.nodes = {}
        for i, node in enumerate(order or range(n)):
            if i == n - 1:
                time.sleep(pause)
            self.again(node)
        if ready:
            self.nodes[0].await_health()

    def again(self, node):
        self.nodes[node] = ServeNode(self.network, node, self.n, self.flags)

    def begin(self, tokens=LONG):
        return self.nodes[0].asking("/v1/completions", completion(PROMPT, tokens), seconds=240)

    def end(self):
        """Node 0 is told to; all leave in peace, and leave nothing."""
        self.nodes[0].process.send_signal(signal.SIGTERM)
        for node in self.nodes.values():
            status = node.finish()
            check(status == 0, f"node {node.node} left with {status}, expected 0: {node.text()}")
            end = time.monotonic() + patience(30)
            while self.network.pids(node.node) and time.monotonic() < end:
                time.sleep(0.02)
            check(not self.network.pids(node.node), f"processes are left on node {node.node}")

    def kill(self):
        for node in self.nodes.values():
            signal_all(self.network.pids(node.node), signal.SIGKILL)
            node.finish()


def same_bits(asking, tokens=LONG):
    return bits_of(*asking.answer()) == reference[tokens]


# ---- faults of a group that answers: each undoes what it did

def kill_rank(group):
    """SIGKILL of a rank"""
    ranks = ranks_of(group.network, chance.randrange(group.n))
    if ranks:
        signal_all([chance.choice(ranks)], signal.SIGKILL)


def kill_front_end(group):
    """SIGKILL of node 1's colrow serve, started again"""
    group.nodes[1].process.kill()
    group.nodes[1].finish()
    time.sleep(chance.random())
    group.again(1)


def kill_node(group):
    """SIGKILL of all of node 1, started again"""
    signal_all(group.network.pids(1), signal.SIGKILL)
    group.nodes[1].finish()
    time.sleep(chance.random())
    group.again(1)


def cut_link(group):
    """a link cut, and joined"""
    group.network.cut(1)
    time.sleep(DEADLINE + 1.5 * chance.random())
    group.network.cut(1, up=True)


def freeze_node(group):
    """all of node 1 stands still for a while"""
    pids = group.network.pids(1)
    signal_all(pids, signal.SIGSTOP)
    time.sleep(DEADLINE + 1.5 * chance.random())
    signal_all(pids, signal.SIGCONT)


def two_faults(group):
    """two of these, one soon after the other"""
    for fault in chance.choices((kill_rank, kill_front_end, kill_node), k=2):
        fault(group)
        time.sleep(2 * chance.random())


def survive(group, fault):
    """The request that was under way is answered all the same."""
    asked = group.begin()
    time.sleep(0.6 * chance.random())
    began = time.monotonic()
    fault(group)
    good = same_bits(asked)
    check(good, f"{fault.__name__}: {bits_of(asked.status, asked.text)} is not one rank's answer: {group.nodes[0].text()[-4000:]}")
    for node in group.nodes.values():
        good = node.await_health() and good
    return "same bits" if good else "failed", time.monotonic() - began


def lose_head(group):
    """SIGKILL of node 0's colrow serve, started again"""
    asked = group.begin()
    time.sleep(0.6 * chance.random())
    before, began = len(group.nodes[1].text()), time.monotonic()
    group.nodes[0].process.kill()
    status = group.nodes[0].finish()
    answered = bits_of(*asked.answer())
    check(status == -signal.SIGKILL and (answered.startswith("no answer: 0") or answered == reference[LONG]), f"node 0 was killed: {status} {answered}")
    group.again(0)
    good = group.nodes[0].await_health() and same_bits(group.begin())
    good = check(good, f"node 0 is there again: {group.nodes[0].text()} and node 1: {group.nodes[1].text()[before:]}")
    said = group.nodes[1].text()[before:]
    good = check(re.search(r"node.* is lost", said), f"node 1 lost node 0 without a word: {said}") and good
    return "sentence, then same bits" if good else "failed", time.monotonic() - began


# ---- groups of their own

def come_late(network):
    """a node started late, in any order"""
    order = chance.sample((0, 1), 2)
    began = time.monotonic()
    group = Group(network, order=order, pause=LATE_SECONDS)
    good = same_bits(group.begin())
    took = time.monotonic() - began - LATE_SECONDS
    check(good, f"nodes in the order {order}: {group.nodes[0].text()}")
    before = len(failures)
    group.end()
    return "same bits" if good and len(failures) == before else "failed", took


def never_come_back(network):
    """node 1 is killed, and never comes back"""
    group = Group(network, "--rejoin-timeout", "1")
    asked = group.begin()
    time.sleep(0.6 * chance.random())
    began = time.monotonic()
    signal_all(network.pids(1), signal.SIGKILL)
    group.nodes[1].finish()
    status, text = group.nodes[0].finish(), group.nodes[0].text()
    took = time.monotonic() - began
    answered = bits_of(*asked.answer())
    good = check(status not in (0, None) and "node 1 " in text and "is lost" in text and "--rejoin-timeout" in text, f"a node that never comes back: node 0 left with {status}: {text}")
    good = check(answered.startswith("no answer") or answered == reference[LONG], f"a node that never comes back: {answered}") and good
    group.kill()
    return "sentence, status not 0" if good else "failed", took


def go_on_without(network):
    """node 1 is killed, and node 0 goes on alone (--degrade)"""
    group = Group(network, "--degrade", "--rejoin-timeout", "1")
    asked = group.begin()
    time.sleep(0.6 * chance.random())
    began = time.monotonic()
    signal_all(network.pids(1), signal.SIGKILL)
    group.nodes[1].finish()
    good = check(same_bits(asked), f"going on alone: {bits_of(asked.status, asked.text)}: {group.nodes[0].text()}")
    took = time.monotonic() - began
    if group.nodes[0].await_text(lambda text: "going on without node 1" in text) and group.nodes[0].await_health():
        status, text = group.nodes[0].ask("/health")
        good = check(status == 200 and json.loads(text) == {"status": "degraded", "nodes": 2, "nodes_serving": 1, "tensor_parallel_size": 2, "pipeline_parallel_size": 1}, f"degraded: {status} {text}") and good
        _, text = group.nodes[0].ask("/metrics")
        said = re.findall(r"^colrow_(?:nodes|nodes_serving|tensor_parallel_size){} \S+$", text, re.M)
        good = check(said == ["colrow_nodes{} 2.0", "colrow_nodes_serving{} 1.0", "colrow_tensor_parallel_size{} 2.0"], f"degraded: {said}") and good
    else:
        good = check(False, f"going on alone: {group.nodes[0].text()}")
    group.again(1)
    status, text = group.nodes[1].finish(), group.nodes[1].text()
    good = check(status not in (0, None) and "comes too late" in text and "--degrade" in text, f"back when it is too late: {status} {text}") and good
    good = check(same_bits(group.begin()), f"after going on alone: {group.nodes[0].text()}") and good
    del group.nodes[1]
    group.end()
    return "same bits" if good else "failed", took


def lose_one_of_three():
    """Three nodes: one goes, later another, and with it the first is there again; then none is enough."""
    network = Network(3)
    group = Group(network, "--degrade", "--rejoin-timeout", "2", n=3)
    group.nodes[2].process.kill()
    check(group.nodes[0].await_text(lambda text: "going on without node 2: tensor-parallel size 4, 1 stage, on 2 of 3 nodes" in text), f"one of three: {group.nodes[0].text()}")
    check(same_bits(group.begin()), f"two of three: {group.nodes[0].text()}")
    group.nodes[1].process.kill()
    group.nodes[1].finish()
    group.nodes[2].finish()
    group.again(2)
    check(group.nodes[0].await_text(lambda text: "going on without node 1: tensor-parallel size 3, 1 stage, on 2 of 3 nodes" in text), f"another two of three: {group.nodes[0].text()}")
    check(same_bits(group.begin()), f"another two of three: {group.nodes[0].text()}")
    del group.nodes[1]
    group.end()
    # enough for two ranks of three, but not for all layers' heads
    group = Group(network, "--degrade", "--rejoin-timeout", "1", "--kv-cache-memory", "1500KB")
    signal_all(network.pids(1), signal.SIGKILL)
    status, text = group.nodes[0].finish(), group.nodes[0].text()
    check(status not in (0, None) and "no layout fits the 1 node left (--degrade)" in text and "--kv-cache-memory" in text, f"no layout fits: {status} {text}")
    group.kill()
    network.close()


WEATHERS = {"1 ms each way": {"delay": 1}, "10 ms each way": {"delay": 10}, "1 % loss": {"loss": 1}, "100 Mbit/s": {"rate": 100}}


def brave_weather(group):
    before, began = len(group.nodes[0].text()), time.monotonic()
    asked = group.begin(SHORT)
    good = same_bits(asked, SHORT)
    said = group.nodes[0].text()[before:]
    good = check(good and "lost" not in said and "restarted" not in said, f"bad weather: {group.nodes[0].process.poll()} {bits_of(asked.status, asked.text)}: {said}")
    return "same bits" if good else "failed", time.monotonic() - began


# ---- all of them

results = collections.OrderedDict()


def note(name, result, seconds):
    results.setdefault(name, []).append((result, seconds))


def wanted(name):
    only = os.environ.get("CLUSTER_FAULTS")
    return not only or name in only.split(",")


def run_faults(network, run, faults):
    for name, fault in faults:
        if not wanted(name):
            continue
        group = Group(network)
        for _ in range(TIMES):
            before = len(failures)
            said = {i: len(node.text()) for i, node in group.nodes.items()}
            result, seconds = run(group, fault)
            note(fault.__doc__, result, seconds)
            if seconds > SLOW_SECONDS:
                print(f"slow: {name}, {seconds:.0f} s", *(f"node {i}: {node.text()[said[i] if node.process.poll() is None else 0:]}" for i, node in group.nodes.items()), sep="\n", flush=True)
            if len(failures) > before:  # the next one is not to suffer for it
                group.kill()
                group = Group(network)
        group.end()


def show_table():
    print("| fault | runs | result | p50 s | p99 s |\n|---|---|---|---|---|")
    for name, runs in results.items():
        seconds = sorted(took for _, took in runs)
        counts = ", ".join(f"{n} {what}" for what, n in collections.Counter(what for what, _ in runs).items())
        print(f"| {name} | {len(runs)} | {counts} | {seconds[len(seconds) // 2]:.1f} | {seconds[min(len(seconds) - 1, len(seconds) * 99 // 100)]:.1f} |", flush=True)


def main():
    network = Network(2)
    one = Group(network, n=1)
    for tokens in (LONG, SHORT):
        reference[tokens] = bits_of(*one.begin(tokens).answer())
        check(len(reference[tokens]) == 64, f"one node: {reference[tokens]}")
    one.end()
    faults = [("rank", kill_rank), ("front_end", kill_front_end), ("node", kill_node)]
    if not SANITIZE:  # deadlines of seconds
        faults += [("cut", cut_link), ("freeze", freeze_node), ("two", two_faults)]
    run_faults(network, survive, faults)
    run_faults(network, lambda group, _: lose_head(group), [("head", lose_head)])
    for name, ending in (("late", come_late), ("gone", never_come_back), ("degrade", go_on_without)):
        for _ in range(TIMES if wanted(name) else 0):
            note(ending.__doc__, *ending(network))
    network.close()
    if wanted("three"):
        lose_one_of_three()
    if not wanted("weather") or SANITIZE:
        return
    network = Network(2, bad=True)
    for name, weather in WEATHERS.items():
        network.set(**{"delay": 0, "loss": 0, "rate": 0, **weather})
        group = Group(network)
        for _ in range(TIMES):
            before = len(failures)
            note(f"wires with {name}", *brave_weather(group))
            if len(failures) > before:
                group.kill()
                group = Group(network)
        group.end()


try:
    main()
finally:
    show_table()
finish("nodes that are lost, late and slow")
