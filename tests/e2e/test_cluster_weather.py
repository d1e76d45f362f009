#!/usr/bin/env python3
"""Nodes on bad wires: delay, loss, a slow line. Nobody is taken for dead who is not; who is cut off is found within the
deadline all the same."""
import re
import time

from cluster_nodes import Launch, Network
from support import check, finish, patience

NODES = 2
network = Network(NODES, bad=True)
WEATHERS = ({"delay": 1, "loss": 0, "rate": 0}, {"delay": 10, "loss": 1, "rate": 100}, {"delay": 50, "loss": 5, "rate": 10})


def start(script):
    return [Launch(network, i, NODES, ["sh", "-c", script], "--node-timeout", 2) for i in (1, 0)]


for weather in WEATHERS:
    network.set(**weather)
    for node in start("echo ready; sleep 5"):
        check(node.finish(patience(60)) == 0, f"{weather}: node {node.node}: {node.text()}")
    nodes = start("echo ready; exec sleep 100")
    for node in nodes:
        node.await_text("ready", 60)
    began = time.monotonic()
    network.cut(1)
    for node in nodes:
        said = f"node {1 - node.node} .*is lost: (nothing has been heard from it for|its connection broke)"
        check(node.finish(patience(60)) == 1 and re.search(said, node.text()), f"{weather}, cut off: node {node.node}: {node.text()}")
        check(node.ended - began < patience(4), f"{weather}: node {node.node} took {node.ended - began:.2f} s")
    network.cut(1, up=True)
finish("nodes on bad wires")
