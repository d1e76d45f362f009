#!/usr/bin/env python3
"""`colrow launch` on three nodes (network namespaces): started in any order, late, with names that come later; wrong
keys and ranks; launchers and ranks killed, machines frozen, links cut. Whatever happens, it ends on all nodes within
its deadline, with the same sentence and an exit status that is not 0, and leaves nothing behind."""
import os
import random
import re
import signal
import tempfile
import time

from cluster_nodes import Launch, Network, launchers
from support import check, finish, patience

random.seed(int(os.environ.get("CLUSTER_SEED", "1")))
NODES = 3
DEADLINE = 2.0  # --node-timeout
network = Network(NODES)
SAY = ["sh", "-c", 'echo "rank $RANK of $WORLD_SIZE is $LOCAL_RANK of $LOCAL_WORLD_SIZE on node $GROUP_RANK of $GROUP_WORLD_SIZE; '
                   '$MASTER_ADDR $MASTER_PORT $UCX_NET_DEVICES"']
WAIT = ["sh", "-c", "echo ready; exec sleep 100"]


def start(program, *flags, order=None, pause=0.0):
    """On all nodes; node i has i + 1 ranks. In the order of nodes, whatever the order in which they are started."""
    nodes = {}
    for i in order or random.sample(range(NODES), NODES):
        nodes[i] = Launch(network, i, NODES, program, "--node-timeout", DEADLINE, *flags, n_ranks=i + 1)
        time.sleep(pause)
    return [nodes[i] for i in range(NODES)]


def all_end(what, nodes, status, sentences, since=None, within=DEADLINE + 2.0):
    """Each with its exit status and sentence, nothing is left, and all within a time since `since`."""
    for node, sentence in zip(nodes, sentences):
        found = node.finish(60)
        if sentence is None:  # killed by the test
            continue
        text = node.text()
        check(found == status, f"{what}: node {node.node} left with {found}, expected {status}: {text}")
        check(re.search(sentence, text), f"{what}: node {node.node} does not say \"{sentence}\": {text}")
        if since is not None:
            took = node.ended - since
            check(took < patience(within), f"{what}: node {node.node} took {took:.2f} s")
    end = time.monotonic() + patience(2)
    while any(network.pids(i) for i in range(NODES)) and time.monotonic() < end:
        time.sleep(0.01)
    for i in range(NODES):
        check(not network.pids(i), f"{what}: node {i} has processes left: {network.pids(i)}")


def all_ready(nodes):
    for node in nodes:
        node.await_text("ready")
        while node.text().count("ready") < node.node + 1 and node.ended is None:
            time.sleep(0.01)


def in_any_order():
    for order in ((2, 1, 0), (1, 0, 2)):
        nodes = start(SAY, order=order, pause=0.2)
        all_end(f"order {order}", nodes, 0, [""] * NODES)
        ranks = 0
        for node in nodes:
            check(f"node {node.node} of {NODES}: rank" in node.text() and f"of 6, at {network.address(node.node)} over cable0" in node.text(),
                  f"no line about the interface: {node.text()}")
            for local in range(node.node + 1):
                line = f"rank {ranks} of 6 is {local} of {node.node + 1} on node {node.node} of {NODES}; {network.address(0)} 29500 cable0"
                check(line in node.text(), f"\"{line}\" is not in: {node.text()}")
                ranks += 1


def a_late_node():
    nodes = [Launch(network, i, NODES, SAY, n_ranks=i + 1) for i in (0, 1)]
    time.sleep(6)
    nodes.append(Launch(network, 2, NODES, SAY, n_ranks=3))
    all_end("a late node", nodes, 0, ["waiting for 2 of 3 nodes are here; missing: node 2 \\(5 s\\)"] * 2 + [""])


def a_name_that_comes_later():
    for i in range(NODES):
        network.hosts(i, "127.0.0.1 localhost\n")
    nodes = start(SAY, "--master-addr", "head.colrow")
    time.sleep(0.5)
    for i in range(NODES):
        network.hosts(i, f"127.0.0.1 localhost\n{network.address(0)} head.colrow\n")
    all_end("a name that comes later", nodes, 0, ["head.colrow 29500 cable0"] * NODES)


def an_endpoint_without_ranks():
    nodes = [Launch(network, i, NODES, SAY, "--rdzv-endpoint", f"{network.address(0)}:4000", "--rdzv-backend", "c10d",
                    "--rdzv-id", "run7", n_ranks=i + 1, place=-1) for i in (1, 2, 0)]
    nodes.sort(key=lambda node: node.node)
    all_end("an endpoint without ranks", nodes, 0, ["rank 0 of 6 .* on node 0", "on node [12]", "on node [12]"])


def started_by_a_cluster():
    """The same command on all nodes: what differs is in the environment that a cluster's launcher gives it."""
    for i in range(NODES):
        network.hosts(i, f"127.0.0.1 localhost\n{network.address(0)} leader-0.set.colrow gpu07\n")
    clusters = {
        "LeaderWorkerSet": lambda i: {"LWS_LEADER_ADDRESS": "leader-0.set.colrow", "LWS_GROUP_SIZE": f"{NODES}", "LWS_WORKER_INDEX": f"{i}"},
        "srun": lambda i: {"SLURM_PROCID": f"{i}", "SLURM_NODEID": f"{i}", "SLURM_LOCALID": "0", "SLURM_STEP_NUM_TASKS": f"{NODES}", "SLURM_STEP_NUM_NODES": f"{NODES}",
                           "SLURM_STEP_TASKS_PER_NODE": f"1(x{NODES})", "SLURM_STEP_NODELIST": "gpu[07-09]"},
        "mpiexec": lambda i: {"PMI_RANK": f"{i}", "PMI_SIZE": f"{NODES}", "MPI_LOCALRANKID": "0", "MPI_LOCALNRANKS": "1", "MASTER_ADDR": "gpu07", "MASTER_PORT": "4001"},
    }
    for name, environment in clusters.items():
        nodes = [Launch(network, i, NODES, SAY, n_ranks=2, environment=environment(i)) for i in (1, 2, 0)]
        nodes.sort(key=lambda node: node.node)
        all_end(name, nodes, 0, [f"rank {2 * i} of 6 is 0 of 2 on node {i} of 3" for i in range(NODES)])


def nobody_comes():
    nodes = [Launch(network, i, NODES, SAY, "--join-timeout", 1) for i in (0, 2)]
    missing = "after 1 s .--join-timeout.: still waiting for (. of 3 nodes (is|are) here; missing: node 1|node 0 at)"
    all_end("a node is missing", nodes, 1, [missing] * 2)


def keys():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("right", "wrong"):
            with open(f"{folder}/{name}", "w", encoding="ascii") as file:
                file.write(name * 8 + "\n")
        nodes = [Launch(network, i, NODES, SAY, "--cluster-key-file", f"{folder}/right") for i in (0, 1)]
        wrong = Launch(network, 2, NODES, SAY, "--cluster-key-file", f"{folder}/wrong")
        check(wrong.finish(20) == 1, f"a wrong key: {wrong.text()}")
        check(f"the node at {network.address(2)} has another cluster key than node 0" in wrong.text(), wrong.text())
        nodes[0].await_text("has another cluster key than node 0")
        none = Launch(network, 2, NODES, SAY)
        check(none.finish(20) == 1, f"no key: {none.text()}")
        check("has a cluster key: give this node the same --cluster-key-file" in none.text(), none.text())
        nodes.append(Launch(network, 2, NODES, SAY, "--cluster-key-file", f"{folder}/right"))
        all_end("a wrong key before the right one", nodes, 0, ["rank 0", "rank 1", "rank 2"])


def wrong_ranks():
    nodes = [Launch(network, i, NODES, SAY) for i in (0, 1)]
    nodes[0].await_text("no --cluster-key-file")
    time.sleep(0.3)
    same = Launch(network, 2, NODES, SAY, place=1)
    check(same.finish(20) == 1, f"a node rank twice: {same.text()}")
    check(f"node 1 ({network.address(2)}) is here already, as {network.address(1)}" in same.text(), same.text())
    other = Launch(network, 2, NODES - 1, SAY, place=1)
    sentence = "was started with --nnodes 2, but node 0 with --nnodes 3"
    all_end("another number of nodes", [*nodes, other], 1, [sentence] * 3)


def a_rank_dies():
    for signal_number, status, said in ((9, 137, "was killed by signal 9 \\(Killed\\)"), (19, 1, "was stopped by signal 19 \\(Stopped.*\\)")):
        nodes = start(WAIT)
        all_ready(nodes)
        victim = [pid for pid in network.pids(1) if pid not in launchers(network, 1) and pid != nodes[1].process.pid][-1]
        since = time.monotonic()
        os.kill(victim, signal_number)
        told = f"node 1 \\({network.address(1)}\\): rank [12] \\(pid {victim}\\) {said}; the group was ended"
        all_end(f"signal {signal_number} to a rank", nodes, status, [told, f"error: rank [12] \\(pid {victim}\\) {said}", told], since, 1.5)
    nodes = start(["sh", "-c", "[ $RANK = 3 ] && exit 7; exec sleep 100"])
    all_end("a rank leaves", nodes, 7, ["node 2 .*: rank 3 .* left with exit status 7"] * 2 + ["rank 3 .* left with exit status 7"])


def lost(node, why):
    ranks = ["rank 0", "ranks 1 to 2", "ranks 3 to 5"][node]
    return f"node {node} \\({network.address(node)}, {ranks}\\) is lost: {why}"


def a_launcher_dies():
    for victim in range(NODES):
        nodes = start(WAIT)
        all_ready(nodes)
        since = time.monotonic()
        for pid in launchers(network, victim):
            os.kill(pid, signal.SIGKILL)
        said = lost(victim, "its connection (ended without a word|broke)")
        all_end(f"launcher {victim} killed", nodes, 1, [None if i == victim else said for i in range(NODES)], since, 1.5)


def a_whole_node_dies():
    for victim in (2, 0):
        nodes = start(WAIT)
        all_ready(nodes)
        since = time.monotonic()
        for pid in network.pids(victim):
            os.kill(pid, signal.SIGKILL)
        said = lost(victim, "its connection (ended without a word|broke)")
        all_end(f"node {victim} killed", nodes, 1, [None if i == victim else said for i in range(NODES)], since, 1.5)


def a_machine_freezes():
    nodes = start(WAIT)
    all_ready(nodes)
    since = time.monotonic()
    frozen = network.pids(1)
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    said = lost(1, "nothing has been heard from it for 2\\.[0-9] s")
    for i in (0, 2):
        check(nodes[i].finish(patience(20)) == 1 and re.search(said, nodes[i].text()), f"a frozen machine: node {i}: {nodes[i].text()}")
        check(nodes[i].ended - since < patience(DEADLINE + 2), f"a frozen machine: node {i} took {nodes[i].ended - since:.2f} s")
    for pid in frozen:
        try:
            os.kill(pid, signal.SIGCONT)
        except ProcessLookupError:
            pass  # a rank whose launcher has woken up, and knows
    all_end("a frozen machine that goes on", nodes, 1, [said, "is lost|node 0", said])


def a_link_is_cut():
    for victim in (1, 0):
        nodes = start(WAIT)
        all_ready(nodes)
        since = time.monotonic()
        network.cut(victim)
        silent = "(nothing has been heard from it for 2\\.[0-9] s|its connection broke)"
        # node 0 is in the middle: without it all others are alone, and each says so
        if victim == 0:
            sentences = ["node [12] .* is lost: " + silent] + [lost(0, silent)] * 2
        else:
            sentences = [lost(1, silent), lost(0, silent), lost(1, silent)]
        all_end(f"link {victim} cut", nodes, 1, sentences, since)
        network.cut(victim, up=True)


def a_link_that_comes_back():
    """Shorter than the deadline: nobody is lost."""
    nodes = [Launch(network, i, NODES, ["sh", "-c", "echo ready; sleep 5"], "--node-timeout", 8, n_ranks=i + 1) for i in range(NODES)]
    all_ready(nodes)
    network.cut(1)
    time.sleep(2)
    network.cut(1, up=True)
    all_end("a link that comes back", nodes, 0, [""] * NODES)


def interrupted():
    nodes = start(WAIT)
    all_ready(nodes)
    since = time.monotonic()
    for pid in launchers(network, 2):
        os.kill(pid, signal.SIGINT)
    told = f"node 2 \\({network.address(2)}\\): ended by signal 2 \\(Interrupt\\)"
    all_end("Ctrl-C on one node", nodes, 130, [told, told, "ended by signal 2"], since, 1.5)


def a_node_that_is_done_waits():
    nodes = start(["sh", "-c", "[ $RANK = 0 ] || exit 0; sleep 1; exit 5"])
    all_end("one fails when others are done", nodes, 5, ["rank 0 .* left with exit status 5"] + ["node 0 .*: rank 0 .* left with exit status 5"] * 2)


def a_node_that_starts_again():
    """Who dies while others are still missing may come again; so may node 0."""
    for victim in (1, 0):
        nodes = {i: Launch(network, i, NODES, SAY, n_ranks=i + 1) for i in (0, 1)}
        nodes[0].await_text("no --cluster-key-file")
        nodes[1].await_text("no --cluster-key-file")
        time.sleep(0.4)
        for pid in launchers(network, victim):
            os.kill(pid, signal.SIGKILL)
        nodes[victim].finish(20)
        if victim == 1:
            nodes[0].await_text(f"node 1 ({network.address(1)}) has gone again: its connection ended without a word")
        else:
            nodes[1].await_text(f"node 0 ({network.address(0)}) has gone: its connection ended without a word; trying again")
        nodes[victim] = Launch(network, victim, NODES, SAY, n_ranks=victim + 1)
        nodes[2] = Launch(network, 2, NODES, SAY, n_ranks=3)
        all_end(f"node {victim} starts again", [nodes[i] for i in range(NODES)], 0, ["rank 0 of 6", "rank 1 of 6", "rank 3 of 6"])


def random_ends():
    """Anything is killed at any time, while nodes gather, while ranks start or later."""
    for i in range(int(os.environ.get("CLUSTER_TIMES", "6"))):
        nodes = start(WAIT, pause=random.uniform(0, 0.1))
        time.sleep(random.uniform(0, 0.4))
        victim, whole = random.randrange(NODES), random.random() < 0.5
        complete = all("colrow: node " in node.text() for node in nodes)
        for pid in network.pids(victim) if whole else launchers(network, victim):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass  # its launcher's end was its own
        since = time.monotonic()
        what = f"{i}: {'node' if whole else 'launcher of node'} {victim} killed"
        if not complete:  # the others may go on waiting for it
            for node in nodes:
                if node.node != victim:
                    for pid in launchers(network, node.node):
                        os.kill(pid, signal.SIGTERM)
            check(all(node.finish(patience(20)) not in (0, None) for node in nodes), f"{what} early: {[node.text() for node in nodes]}")
            all_end(f"{what} early", [], 1, [])
            continue
        said = lost(victim, "its connection (ended without a word|broke)")
        all_end(what, nodes, 1, [None if n == victim else said for n in range(NODES)], since, 1.5)


for part in (in_any_order, a_late_node, a_name_that_comes_later, an_endpoint_without_ranks, started_by_a_cluster, nobody_comes, keys, wrong_ranks, a_rank_dies,
             a_launcher_dies, a_whole_node_dies, a_machine_freezes, a_link_is_cut, a_link_that_comes_back, interrupted, a_node_that_is_done_waits,
             a_node_that_starts_again, random_ends):
    began = time.monotonic()
    part()
    print(f"{part.__name__}: {time.monotonic() - began:.1f} s", flush=True)
finish("launch on several machines")
