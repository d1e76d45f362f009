#!/usr/bin/env python3
"""The examples of <colrow/parallel.h> on several nodes: every number is the one that the same ranks have on one
machine, however they lie on nodes and however bad the wires are. And when a rank, a launcher or a link dies in the
middle of a collective, the sentence has the last one on both sides."""
import os
import random
import re
import signal
import subprocess
import time

from cluster_nodes import BUILD, Launch, Network, launchers
from support import COLROW, check, finish, patience, skip

EXAMPLES = os.path.join(BUILD, "examples")
LAYOUTS = ((1, 1), (2, 2), (1, 3), (3, 1), (1, 2, 1))
WEATHERS = ({"delay": 0, "loss": 0, "rate": 0}, {"delay": 1, "loss": 0, "rate": 100}, {"delay": 10, "loss": 1, "rate": 0})
random.seed(int(os.environ.get("CLUSTER_SEED", "1")))
network = Network(3, bad=True)


def on_one_machine(program, n_ranks):
    done = subprocess.run([COLROW, "launch", "--standalone", "-n", str(n_ranks), "--", os.path.join(EXAMPLES, program)], capture_output=True, text=True)
    check(done.returncode == 0, f"{program} on one machine: {done.stderr}")
    return sorted(done.stdout.splitlines())


def launch(layout, program, *flags):
    # a program's first line waits for its peers, so the order in which nodes come does not show
    return [Launch(network, i, len(layout), program, *flags, n_ranks=n) for i, n in reversed(list(enumerate(layout)))][::-1]


def lines(nodes):
    return sorted(line for node in nodes for line in node.text().splitlines() if not line.startswith("colrow: "))


def same_numbers():
    for weather in WEATHERS:
        network.set(**weather)
        for layout in LAYOUTS if weather is WEATHERS[0] else LAYOUTS[1:2]:
            for program in ("collectives", "pipeline"):
                nodes = launch(layout, [os.path.join(EXAMPLES, program)])
                statuses = [node.finish(patience(60)) for node in nodes]
                check(set(statuses) == {0}, f"{program} on {layout}, {weather}: {statuses}: {[node.text() for node in nodes]}")
                check(lines(nodes) == on_one_machine(program, sum(layout)), f"{program} on {layout}, {weather} differs: {[node.text() for node in nodes]}")
    network.set(**WEATHERS[0])


def endings():
    place = "rank [0-3], barrier [0-9]+"
    for what in ("rank", "launcher", "link"):
        nodes = launch((2, 2), [os.path.join(BUILD, "tests", "endless_barriers")], "--node-timeout", "2")
        for node in nodes:
            node.await_text("barriers", 30)
        time.sleep(1)  # beats have carried where they are
        since = time.monotonic()
        if what == "rank":
            victims = [pid for pid in network.pids(1) if pid not in launchers(network, 1)]
            os.kill(victims[-1], signal.SIGKILL)
        elif what == "launcher":
            os.kill(launchers(network, 1)[0], signal.SIGKILL)
        else:
            network.cut(1)
        said = {
            "rank": "node 1 .*: rank [23] .* was killed by signal 9 \\(Killed\\)",
            "launcher": "node 1 .*ranks 2 to 3. is lost: its connection",
            "link": "node 1 .*ranks 2 to 3. is lost: (nothing has been heard from it for|its connection broke)",
        }[what]
        for node in nodes:
            found = node.finish(patience(30))
            if what == "launcher" and node.node == 1:
                continue
            check(found == (137 if what == "rank" else 1), f"{what}: node {node.node} left with {found}: {node.text()}")
            check(node.ended - since < patience(5), f"{what}: node {node.node} took {node.ended - since:.2f} s")
        text = nodes[0].text()
        check(re.search(f"{said}.*; last (heard from )?there: {place}; last here: {place}; the group was ended", text), f"{what}: {text}")
        network.cut(1, up=True)
        for i in range(2):
            check(not network.pids(i), f"{what}: node {i} has processes left")


def random_endings():
    """Anything ends at any time, of any layout: all others end, and name the node that it was."""
    for i in range(int(os.environ.get("CLUSTER_TIMES", "6"))):
        layout = random.choice(LAYOUTS)
        network.set(**random.choice(WEATHERS))
        nodes = launch(layout, [os.path.join(BUILD, "tests", "endless_barriers")], "--node-timeout", "2")
        for node in nodes:
            node.await_text("at ", 30)  # the line about the interface: all are there
        time.sleep(random.uniform(0, 1))
        victim, kind = random.randrange(len(layout)), random.choice(("rank", "stopped rank", "launcher", "node", "link", "frozen node"))
        pids, mine = network.pids(victim), launchers(network, victim)
        ranks = [pid for pid in pids if pid not in mine]
        targets = {"rank": ranks[-1:], "stopped rank": ranks[:1], "launcher": mine, "node": pids, "link": [], "frozen node": pids}[kind]
        since = time.monotonic()
        for pid in targets:
            try:
                os.kill(pid, signal.SIGSTOP if kind in ("stopped rank", "frozen node") else signal.SIGKILL)
            except ProcessLookupError:
                pass  # its launcher's end was its own
        if kind == "link":
            network.cut(victim)
        what = f"{i}: {kind} {victim} of {layout}"
        for node in nodes:
            if node.node == victim and kind in ("launcher", "node", "frozen node"):
                continue
            found = node.finish(patience(30))
            check(found not in (0, None), f"{what}: node {node.node} left with {found}: {node.text()}")
            # a node that is alone, and all when node 0 is, know no more than that
            names = [n for n in range(len(layout)) if n != node.node] if kind == "link" and 0 in (victim, node.node) else [0 if node.node == victim and kind == "link" else victim]
            own = node.node == victim and kind != "link"
            check(own or any(f"node {n} (" in node.text() for n in names), f"{what}: node {node.node} names another: {node.text()}")
            check(node.ended - since < patience(6), f"{what}: node {node.node} took {node.ended - since:.2f} s")
        if kind == "frozen node":
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass
        network.cut(victim, up=True)
        for node in nodes:
            check(node.finish(patience(30)) is not None, f"{what}: node {node.node} is still there: {node.text()}")
        end = time.monotonic() + patience(3)
        while any(network.pids(n) for n in range(len(layout))) and time.monotonic() < end:
            time.sleep(0.02)
        for n in range(len(layout)):
            check(not network.pids(n), f"{what}: node {n} has processes left: {network.pids(n)}")


if not os.access(os.path.join(EXAMPLES, "collectives"), os.X_OK):
    skip("the examples are not built")
for part in (same_numbers, endings, random_endings):
    part()
finish("collectives on several nodes")
