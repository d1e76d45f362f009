#!/usr/bin/env python3
"""`colrow generate`, `chat` and `logits` on several nodes (network namespaces), and a C program with the library: the
same text as on one machine, every node leaves when node 0 is done, and what is wrong is one sentence on both."""
import json
import os
import signal
import subprocess
import tempfile
import time

from cluster_nodes import BUILD, Network
from cluster_serving import another_demo
from support import COLROW, DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
network = Network(3)
PROMPTS = ["-p", "Tensor parallelism", "-p", "A step is"]
FLAGS = ["--kv-cache-memory", "64MB"]


class Command:
    """One node's command; node 0 alone has `own` flags and `stdin`."""

    def __init__(self, node, n_nodes, command, model=DEMO, own=(), stdin="", environment=None):
        words = [COLROW, command[0], model, *command[1:], *FLAGS] if command[0] != "program" else list(command[1:])
        words += own if node == 0 else []
        if n_nodes > 1 and not environment and command[0] != "program":
            words += ["--nnodes", n_nodes, "--node-rank", node, "--master-addr", network.address(0)]
        self.node = node
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(network.command(node, *words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
                                        env={**os.environ, **(environment or {})})
        self.stdin = stdin if node == 0 else ""

    def said(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def finish(self, seconds=60):
        """(exit status, standard output); status None: it did not end."""
        try:
            text, _ = self.process.communicate(self.stdin, timeout=patience(seconds))
            return self.process.returncode, text
        except subprocess.TimeoutExpired:
            self.process.kill()
            return None, self.process.communicate()[0]

    def await_text(self, part, seconds=60):
        end = time.monotonic() + patience(seconds)
        while part not in self.said() and time.monotonic() < end and self.process.poll() is None:
            time.sleep(0.02)
        return check(part in self.said(), f"node {self.node} never said \"{part}\": {self.said()}")


def start(n_nodes, command, **other):
    """Node 0 comes last: the others wait for it."""
    return [Command(i, n_nodes, command, **other) for i in reversed(range(n_nodes))][::-1]


def run(n_nodes, command, what, statuses=(0,), **other):
    """Node 0's standard output; all leave with one of `statuses`, the others say nothing there."""
    nodes = start(n_nodes, command, **other)
    ended = [node.finish() for node in nodes]
    for node, (status, text) in zip(nodes, ended):
        check(status in statuses, f"{what}: node {node.node} left with {status}: {node.said()}")
        check(node.node == 0 or text == "", f"{what}: node {node.node} says on standard output: {text}")
    for i in range(n_nodes):
        end = time.monotonic() + patience(10)
        while network.pids(i) and time.monotonic() < end:
            time.sleep(0.02)
        check(not network.pids(i), f"{what}: processes are left on node {i}")
    return ended[0][1], nodes


def answers_of(text):
    return json.dumps(json.loads(text)["outputs"] if text.startswith("{") else text, sort_keys=True)


def the_same_text():
    sampled = ["--json", "-n", "24", "--logprobs", "3", "--temperature", "0.8", "--sampling-seed", "5", "--samples", "2"]
    one, _ = run(1, ["generate", "-tp", "1"], "one node", own=[*PROMPTS, *sampled])
    for n_nodes, tp, pp in ((2, 3, 1), (3, 1, 3)):
        text, _ = run(n_nodes, ["generate", "-tp", tp, "-pp", pp], f"{n_nodes} nodes", own=[*PROMPTS, *sampled])
        check(answers_of(text) == answers_of(one), f"generate on {n_nodes} nodes, TP {tp} x PP {pp}: {text}; on one: {one}")
    piped, _ = run(2, ["generate", "-tp", "2", "-n", "8"], "a prompt from a pipe", own=["-q"], stdin="Tensor parallelism")
    check(piped == run(1, ["generate", "-n", "8"], "the same on one", own=["-q"], stdin="Tensor parallelism")[0], f"a prompt from a pipe: {piped}")


def the_same_talk():
    talk = "What is tensor parallelism?\nWhat is a rank?\n"
    one, _ = run(1, ["chat", "-q", "-n", "20"], "a chat on one node", stdin=talk)
    two, _ = run(2, ["chat", "-q", "-n", "20", "-tp", "2"], "a chat on two", stdin=talk)
    check(one == two and len(two.splitlines()) >= 2, f"a chat on two nodes: {two}; on one: {one}")


def the_same_logits():
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for n_nodes, flags in ((1, ()), (2, ("-tp", 3)), (2, ("-tp", 1, "-pp", 2))):
            files.append(os.path.join(folder, f"{len(files)}.safetensors"))
            run(n_nodes, ["logits", *flags], f"logits {flags}", own=["--input-ids", "1,5,9,300,7", "--output", files[-1]])
        contents = []
        for name in files:
            with open(name, "rb") as file:
                contents.append(file.read())
        check(contents[1] == contents[0] and contents[2] == contents[0], "the file of logits differs on two nodes")


def started_by_a_cluster():
    """One command everywhere; what differs stands in the environment."""
    expected, _ = run(1, ["generate", "-n", "8"], "one node", own=["-q", *PROMPTS[:2]])
    for name, of in (("LeaderWorkerSet", lambda i: {"LWS_LEADER_ADDRESS": network.address(0), "LWS_GROUP_SIZE": "2", "LWS_WORKER_INDEX": str(i)}),
                     ("srun", lambda i: {"SLURM_PROCID": str(i), "SLURM_STEP_NUM_TASKS": "2", "SLURM_LOCALID": "0", "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
                                         "SLURM_NODEID": str(i), "SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": f"{network.address(0)},{network.address(1)}"}),
                     ("torchrun", lambda i: {"PET_NNODES": "2", "PET_NODE_RANK": str(i), "PET_MASTER_ADDR": network.address(0), "PET_MASTER_PORT": "29511"})):
        nodes = [Command(i, 2, ["generate", "-tp", "2", "-n", "8", "-q", *PROMPTS[:2]], environment=of(i)) for i in (1, 0)][::-1]
        ended = [node.finish() for node in nodes]
        check(ended == [(0, expected), (0, "")], f"started by {name}: {ended}: {[node.said() for node in nodes]}")


def a_program_with_the_library():
    program = os.path.join(BUILD, "examples", "nodes")
    if not os.access(program, os.X_OK):
        print("build/*/examples/nodes is not built", flush=True)
        return
    alone = Command(0, 1, ["generate", "-n", "40", "-q", "--ignore-eos", *PROMPTS[:2]]).finish()[1]
    os.environ["COLROW_RANK_PROGRAM"] = COLROW
    nodes = [Command(i, 2, ["program", program, DEMO, PROMPTS[1], 2, i, network.address(0)]) for i in (1, 0)][::-1]
    ended = [node.finish() for node in nodes]
    check(ended[0][0] == 0 and ended[1] == (0, "") and alone.startswith(ended[0][1].rstrip("\n")) and ended[0][1].strip(), f"a program on two nodes: {ended}, "
          f"expected {alone}: {[node.said() for node in nodes]}")
    nodes = [Command(i, 2, ["program", program, "/nowhere" if i == 0 else DEMO, PROMPTS[1], 2, i, network.address(0)]) for i in (1, 0)][::-1]
    status, _ = nodes[0].finish()
    check(status == 1 and "/nowhere" in nodes[0].said(), f"a program with a wrong folder: {status} {nodes[0].said()}")
    nodes[1].process.send_signal(signal.SIGTERM)  # its own handler, asked through `interrupted`
    status, _ = nodes[1].finish()
    check(status == 1 and "interrupted" in nodes[1].said(), f"a program that is told to end while it waits: {status} {nodes[1].said()}")


def what_is_wrong():
    for node in (0, 1):
        alone = Command(node, 2, ["generate", "-tp", "2", "--join-timeout", "1", *PROMPTS])
        status, text = alone.finish()
        check(status == 1 and text == "" and "--join-timeout" in alone.said(), f"node {node} alone: {status} {alone.said()}")
    _, nodes = run(2, ["generate", "-tp", "1"], "too few ranks", statuses=(2,), own=PROMPTS)
    for node in nodes:
        check("every node needs a rank" in node.said(), f"too few ranks: {node.said()}")
    with another_demo() as folder:
        nodes = [Command(i, 2, ["generate", "-tp", "2", *PROMPTS], model=folder if i else DEMO) for i in (1, 0)]
        for node in nodes:
            status, _ = node.finish()
            check(status == 1 and "config.json" in node.said(), f"another model: node {node.node} left with {status}: {node.said()}")
    # what only node 0 can find: the others are let go
    _, nodes = run(2, ["generate", "-tp", "2"], "a prompt too long", statuses=(0, 1, 2), own=["-p", "word " * 5000])
    check(nodes[0].process.returncode != 0 and nodes[1].process.returncode == 0, f"a prompt too long: {[(n.process.returncode, n.said()) for n in nodes]}")
    check("max_model_len" in nodes[0].said(), f"a prompt too long: {nodes[0].said()}")


def interrupted():
    """Node 0 is told to end in the middle of an answer: the others leave in peace. And the other way round."""
    nodes = start(2, ["generate", "-tp", "2", "-n", "900", "--ignore-eos"], own=PROMPTS[:2])
    first = nodes[0].process.stdout.read(4)  # an answer has begun
    nodes[0].process.send_signal(signal.SIGINT)
    status, _ = nodes[0].finish()
    check(len(first) > 0 and status == 128 + signal.SIGINT, f"Ctrl-C on node 0: {status} {nodes[0].said()}")
    status, _ = nodes[1].finish()
    check(status == 0, f"Ctrl-C on node 0: node 1 left with {status}: {nodes[1].said()}")
    nodes = start(2, ["generate", "-tp", "2", "-n", "900", "--ignore-eos", "--rank-restarts", "0"], own=PROMPTS[:2])
    nodes[0].process.stdout.read(4)
    nodes[1].process.send_signal(signal.SIGTERM)
    status, _ = nodes[1].finish()
    check(status == 128 + signal.SIGTERM, f"SIGTERM on node 1: {status} {nodes[1].said()}")
    status, _ = nodes[0].finish()
    check(status == 1 and "node 1" in nodes[0].said(), f"SIGTERM on node 1: node 0 left with {status}: {nodes[0].said()}")


the_same_text()
the_same_talk()
the_same_logits()
started_by_a_cluster()
a_program_with_the_library()
what_is_wrong()
interrupted()
finish("commands on several nodes")
