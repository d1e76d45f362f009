#!/usr/bin/env python3
"""`colrow serve` on several nodes (network namespaces): tensor and pipeline parallel over them, evenly or not, with
answers and log-probabilities that are those of one rank, bit by bit; a rank, a node, a link, a machine lost in the
middle of an answer, which goes on as if nothing had been."""
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time

from cluster_nodes import Network
from support import COLROW, DEMO, SANITIZE, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
NODES = 4
DEADLINE = min(10, max(2, round(patience(2))))  # --node-timeout
network = Network(NODES)
FLAGS = ["--kv-cache-memory", "64MB", "--node-timeout", str(DEADLINE), "--core-dumps"]
PROMPTS = ["Tensor parallelism", "The ranks of a group", "A step is"]


# Asks within a node: method by body, answers its status and text.
ASK = """
import sys, urllib.error, urllib.request
request = urllib.request.Request("http://127.0.0.1:8000" + sys.argv[1], sys.argv[3].encode() if sys.argv[3] else None, {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=float(sys.argv[2])) as answer:
        status, text = answer.status, answer.read().decode()
except urllib.error.HTTPError as error:
    status, text = error.code, error.read().decode()
except OSError as error:
    status, text = 0, str(error)
print(status)
print(text)
"""


def answer_of(process):
    out, _ = process.communicate()
    status, _, text = out.partition("\n")
    return int(status or 0), text.rstrip("\n")


class Node:
    """One node's `colrow serve`; all nodes have the same flags but for --node-rank."""

    def __init__(self, node, n_nodes, flags, model=DEMO, environment=None):
        self.node = node
        self.log = tempfile.TemporaryFile("w+")
        command = network.command(node, COLROW, "serve", model, *FLAGS, "--port", "8000", *flags)
        if n_nodes > 1 and not environment:
            command += ["--nnodes", str(n_nodes), "--node-rank", str(node), "--master-addr", network.address(0)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def text(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def asking(self, path, body=None, seconds=60):
        command = network.command(self.node, sys.executable, "-c", ASK, path, patience(seconds), json.dumps(body) if body else "")
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def ask(self, path, body=None, seconds=60):
        """(status, text); status 0: nobody answers."""
        return answer_of(self.asking(path, body, seconds))

    def await_health(self, seconds=60):
        end = time.monotonic() + patience(seconds)
        while self.ask("/health", seconds=5)[0] != 200:
            if time.monotonic() > end or self.process.poll() is not None:
                check(False, f"node {self.node} does not get ready: {self.text()}")
                return False
            time.sleep(0.05)
        return True

    def kill(self, number=signal.SIGKILL):
        """All of the node: `ip netns exec` has become colrow itself."""
        self.process.send_signal(number)

    def finish(self, seconds=20):
        try:
            return self.process.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


class Group:
    def __init__(self, n_nodes, *flags):
        self.flags = list(flags)
        self.n = n_nodes
        self.nodes = [Node(i, n_nodes, self.flags) for i in range(n_nodes)]
        self.nodes[0].await_health()

    def again(self, node):
        self.nodes[node] = Node(node, self.n, self.flags)

    def stop(self, what):
        """Node 0 is told to end; all leave in peace."""
        self.nodes[0].kill(signal.SIGTERM)
        for node in self.nodes:
            status = node.finish()
            check(status == 0, f"{what}: node {node.node} left with {status}, expected 0: {node.text()}")
        for i in range(self.n):
            end = time.monotonic() + patience(10)
            while network.pids(i) and time.monotonic() < end:
                time.sleep(0.02)
            check(not network.pids(i), f"{what}: processes are left on node {i}")


def completion(prompt, tokens, **other):
    return {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "logprobs": 5, **other}


def answers(node):
    """What must be the same everywhere: texts and log-probabilities, greedy and drawn, whole and of a prompt's rows."""
    found = []
    for prompt in PROMPTS:
        for other in ({}, {"temperature": 0.9, "seed": 7}, {"prompt_logprobs": 1}):
            status, text = node.ask("/v1/completions", completion(prompt, 24, **other))
            check(status == 200, f"a completion: {status} {text}")
            found.append(json.loads(text)["choices"] if status == 200 else text)
    return json.dumps(found, sort_keys=True)


def long_answer(node):
    """Begins it; the result is taken later."""
    return node.asking("/v1/completions", completion(PROMPTS[0], 400), seconds=120)


def choices_of(process):
    status, text = answer_of(process)
    try:
        return hashlib.sha256(json.dumps(json.loads(text)["choices"], sort_keys=True).encode()).hexdigest()
    except (ValueError, KeyError):
        return f"no answer: {status} {text[:300]}"


def ranks_of(node):
    """Of a node: those that work, not their keepers."""
    found = []
    for pid in network.pids(node):
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            parent = int(file.read().rpartition(")")[2].split()[1])
        if words[1:2] == [b"rank"]:
            found.append((pid, parent))
    pids = {pid for pid, _ in found}
    return [pid for pid, parent in found if parent in pids]


def the_same_bits():
    one = Group(1)
    expected = answers(one.nodes[0])
    reference = choices_of(long_answer(one.nodes[0]))
    one.stop("one node")
    for n_nodes, tp, pp in ((2, 2, 1), (2, 3, 1), (2, 4, 1), (2, 2, 2), (3, 1, 3), (4, 2, 4)):
        what = f"{n_nodes} nodes, TP {tp} x PP {pp}"
        group = Group(n_nodes, "-tp", tp, "-pp", pp)
        for node in group.nodes[1:]:
            node.await_health()
        check(answers(group.nodes[0]) == expected, f"{what}: other answers than one rank's")
        group.stop(what)
    return reference


def rank_dies(group, node):
    os.kill(ranks_of(node)[-1], signal.SIGKILL)
    return rf"rank \d+ \(pid \d+\) was killed by signal 9"


def node_dies(group, node):
    group.nodes[node].kill()
    group.nodes[node].finish()
    time.sleep(0.3)
    group.again(node)
    return rf"node {node} \({re.escape(network.address(node))}.*\) .*is lost"


def link_is_cut(group, node):
    network.cut(node)
    time.sleep(DEADLINE + 1.5)
    network.cut(node, up=True)
    return rf"node {node} \({re.escape(network.address(node))}.*is lost|does not end"


def machine_freezes(group, node):
    pids = network.pids(node)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(DEADLINE + 1.5)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    return rf"node {node} \({re.escape(network.address(node))}.*is lost|does not end"


def no_request_is_lost(reference):
    group = Group(2, "-tp", 3, "-pp", 1)
    for fault, node in ((rank_dies, 1), (rank_dies, 0), (node_dies, 1), (link_is_cut, 1), (machine_freezes, 1)):
        what = f"{fault.__name__} on node {node}"
        began = time.monotonic()
        before = len(group.nodes[0].text())
        asked = long_answer(group.nodes[0])
        time.sleep(0.3)
        sentence = fault(group, node)
        check(choices_of(asked) == reference, f"{what}: another answer, or none: {group.nodes[0].text()[before:]}")
        said = group.nodes[0].text()[before:]
        check(re.search(sentence, said), f"{what}: \"{sentence}\" is not in: {said}")
        group.nodes[0].await_health()
        print(f"{what}: {time.monotonic() - began:.1f} s", flush=True)
    group.stop("after faults")


def a_node_never_comes_back():
    group = Group(2, "-tp", 2, "--join-timeout", 1)
    asked = long_answer(group.nodes[0])
    time.sleep(0.3)
    group.nodes[1].kill()
    group.nodes[1].finish()
    status = group.nodes[0].finish(60)
    asked.communicate()
    text = group.nodes[0].text()
    check(status not in (0, None), f"a node that never comes back: node 0 left with {status}: {text}")
    check("is lost" in text and "--join-timeout" in text, f"a node that never comes back: {text}")


def another_model():
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(DEMO):
            os.symlink(os.path.join(os.path.abspath(DEMO), name), os.path.join(folder, name))
        os.unlink(os.path.join(folder, "config.json"))
        with open(os.path.join(DEMO, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["rope_theta"] = 12345.0
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        nodes = [Node(0, 2, ["-tp", "2"]), Node(1, 2, ["-tp", "2"], model=folder)]
        for node in nodes:
            status = node.finish()
            check(status not in (0, None) and "config.json" in node.text(), f"another model: node {node.node} left with {status}: {node.text()}")


def as_leaderworkerset_starts_it():
    """deploy/kubernetes: one command for leader and worker, who they are stands in their environment."""
    nodes = []
    for i in (1, 0):
        environment = {"LWS_LEADER_ADDRESS": network.address(0), "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(i)}
        nodes.insert(0, Node(i, 2, ["--tensor-parallel-size=2"], environment=environment))
    for node in nodes:
        node.await_health()
    status, text = nodes[0].ask("/v1/completions", completion(PROMPTS[0], 8))
    check(status == 200 and json.loads(text)["usage"]["completion_tokens"] == 8, f"a LeaderWorkerSet's answer: {status} {text}")
    status, text = nodes[1].ask("/v1/completions", completion(PROMPTS[0], 8))
    check(status == 404 and "node 0" in text, f"a worker that is asked for a completion: {status} {text}")
    nodes[0].kill(signal.SIGTERM)
    for node in nodes:
        status = node.finish()
        check(status == 0, f"LeaderWorkerSet: node {node.node} left with {status}: {node.text()}")


def wrong_flags():
    for flags, sentence in ((["-tp", "1"], "every node needs a rank"), (["-tp", "2", "--headless"], "--headless is for nodes other than node 0")):
        node = Node(0, 2, flags)
        status = node.finish()
        check(status == 2 and sentence in node.text(), f"{flags}: {status} {node.text()}")


began = time.monotonic()
bits = the_same_bits()
print(f"the same bits: {time.monotonic() - began:.1f} s", flush=True)
if not SANITIZE:  # deadlines of seconds
    no_request_is_lost(bits)
a_node_never_comes_back()
as_leaderworkerset_starts_it()
another_model()
wrong_flags()
finish("serve on several nodes")
