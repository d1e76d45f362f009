#!/usr/bin/env python3
"""`colrow launch` against nodes that Python plays, over the loopback: other versions and protocols, proofs that are
sent back, a host that lies, frames that break the rules. Each is one sentence on both sides, or does no harm."""
import os
import re
import socket
import struct
import subprocess
import time

import cluster_wire as wire
from support import COLROW, check, finish, patience, run

KEY = b"0123456789abcdef0123456789abcdef"
BUILD = None  # as colrow says it


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def launch(port, node, *flags, n_nodes=2, program=("true",)):
    command = [COLROW, "launch", "--nnodes", str(n_nodes), "--node-rank", str(node), "--master-addr", "127.0.0.1", "--master-port", str(port), *flags, "--", *program]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)


def connect(port):
    end = time.monotonic() + patience(10)
    while True:
        try:
            return wire.Wire(socket.create_connection(("127.0.0.1", port), timeout=patience(10)))
        except ConnectionRefusedError:
            if time.monotonic() > end:
                raise
            time.sleep(0.02)


def ends(process, status, sentence, what):
    out, _ = process.communicate(timeout=patience(30))
    check(process.returncode == status, f"{what}: left with {process.returncode}, expected {status}: {out}")
    check(re.search(sentence, out), f"{what}: \"{sentence}\" is not in: {out}")


def greeted(port):
    guest = connect(port)
    return guest, wire.read_challenge(guest.await_kind(wire.CHALLENGE))


def guest_joins(port, build=None, key=None, **other):
    guest, challenge = greeted(port)
    guest.send(wire.hello(challenge["nonce"], other.get("node", 1), 2, other.get("n_local", 1), build or challenge["build"], key=key))
    return guest


def a_guest_of_python():
    """The protocol as written down here: joins, hears the world, exchanges addresses of nobody, leaves."""
    global BUILD
    port = free_port()
    host = launch(port, 0, program=("sh", "-c", "echo $RANK of $WORLD_SIZE"))
    guest, challenge = greeted(port)
    BUILD = challenge["build"]
    check(BUILD.split()[0] in run("--version").stdout, f"the host says it is {BUILD}")
    check(challenge["protocol"] == wire.PROTOCOL and not challenge["wants_key"], f"{challenge}")
    guest.send(wire.hello(challenge["nonce"], 1, 2, 3, BUILD))
    beat_ms, deadline_ms = struct.unpack("<II", guest.await_kind(wire.WELCOME)[32:])
    check((beat_ms, deadline_ms) == (500, 5000), f"beats of {beat_ms} ms, a deadline of {deadline_ms} ms")
    n_nodes, node, n_local = struct.unpack("<III", guest.await_kind(wire.WORLD)[:12])
    check((n_nodes, node, n_local) == (2, 1, 1), f"a world of {n_nodes}, node {node}, {n_local} ranks on node 0")
    guest.send(wire.frame(wire.DONE))
    check(guest.await_kind(wire.DONE) is not None, "the host does not say that all are done")
    ends(host, 0, "0 of 4", "a guest of Python's")


def another_version():
    port = free_port()
    host = launch(port, 0)
    guest = guest_joins(port, build="0.0.9")
    sentence = wire.read_text(guest.await_kind(wire.REFUSAL))
    check(sentence == f"node 1 (127.0.0.1) runs colrow 0.0.9, but node 0 runs {BUILD}: all nodes need the same version", sentence)
    ends(host, 1, re.escape(sentence), "another version")


def another_protocol():
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server:
        guest = launch(port, 1)
        host = wire.Wire(server.accept()[0])
        host.send(wire.challenge("9.0.0", protocol=2))
        said = wire.read_text(host.await_kind(wire.REFUSAL))
        check(said == f"this node runs colrow {BUILD}, but node 0 (127.0.0.1) runs 9.0.0: all nodes need the same version", said)
        ends(guest, 1, re.escape(said), "another protocol")


def wrong_proofs(folder="/tmp"):
    path = os.path.join(folder, f"colrow-key-{os.getpid()}")
    with open(path, "wb") as file:
        file.write(KEY)
    try:
        port = free_port()
        host = launch(port, 0, "--cluster-key-file", path)
        # another key; none; the proof of another conversation
        _, earlier = greeted(port)
        for key, nonce in ((b"x" * 32, None), (None, None), (KEY, earlier["nonce"])):
            guest, challenge = greeted(port)
            guest.send(wire.hello(nonce or challenge["nonce"], 1, 2, 1, BUILD, key=key))
            check("another cluster key" in wire.read_text(guest.await_kind(wire.REFUSAL)), f"{key} is not refused")
        guest = guest_joins(port, key=KEY)
        check(guest.await_kind(wire.WORLD) is not None, "the right key")
        guest.send(wire.frame(wire.DONE))
        ends(host, 0, "the node at 127.0.0.1 has another cluster key", "wrong proofs")
        # A host that has not got the key: what it heard is of no use to it.
        port = free_port()
        with socket.create_server(("127.0.0.1", port)) as server:
            process = launch(port, 1, "--cluster-key-file", path)
            liar = wire.Wire(server.accept()[0])
            liar.send(wire.challenge(BUILD, wants_key=True))
            hello = liar.await_kind(wire.HELLO)
            liar.send(wire.frame(wire.WELCOME, hello[:32] + struct.pack("<II", 500, 5000)))
            ends(process, 1, "node 0 \\(127.0.0.1\\) has another cluster key than this node", "a host without the key")
    finally:
        os.unlink(path)


def broken_rules():
    """A node that has joined and then says what none says is lost; the rest hear it."""
    for what, data in (
        ("a frame too long", struct.pack("<IB3x", 1 << 30, wire.BEAT)),
        ("a world from a guest", wire.world(0, [(1, "a")])),
        ("addresses of too many", wire.addresses(wire.ADDRESSES, 1, [b"a", b"b", b"c"])),
        ("an address too long", wire.addresses(wire.ADDRESSES, 1, [bytes(5000)])),
        ("another node's fault", wire.fault(0, 0, -1, 1, "node 0 is to blame")),
        ("a fault without failure", wire.fault(1, 0, -1, 0, "all is well")),
        ("text with a NUL", wire.frame(wire.BEAT, wire.text("a\0b"))),
        ("bytes behind a message", wire.frame(wire.DONE, b"")[:-1] + b"\1"),
    ):
        port = free_port()
        host = launch(port, 0, program=("sleep", "60"))
        guest = guest_joins(port)
        check(guest.await_kind(wire.WORLD) is not None, what)
        guest.send(data)
        ends(host, 1, "node 1 \\(127.0.0.1, rank 1\\) is lost: it does not speak colrow's protocol", what)


def a_guest_that_faults():
    port = free_port()
    host = launch(port, 0, program=("sleep", "60"))
    guest = guest_joins(port)
    guest.await_kind(wire.WORLD)
    guest.send(wire.fault(1, 0, -1, 137, "rank 1 (pid 7) was killed\nby \x1b[31msignal 9", "rank 1, all-reduce 17 of step 12"))
    said = guest.await_kind(wire.FAULT)
    check(said is not None and said[:16] == struct.pack("<IIiI", 1, 0, -1, 137), f"the fault that counts: {said}")
    ends(host, 137, "node 1 \\(127.0.0.1\\): rank 1 \\(pid 7\\) was killed\\?by \\?\\[31msignal 9; last there: rank 1, all-reduce 17 of step 12; "
                    "last here: no collective; the group was ended", "a guest's fault")


def garbage_at_the_port():
    port = free_port()
    host = launch(port, 0)
    silent = [connect(port) for _ in range(40)]
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", os.urandom(64), bytes(64), struct.pack("<IB3x", 18000, wire.HELLO) + bytes(18000)):
        stranger = connect(port)
        stranger.send(data)
    guest = guest_joins(port)
    check(guest.await_kind(wire.WORLD) is not None, "a node is kept out by strangers")
    guest.send(wire.frame(wire.DONE))
    ends(host, 0, "a connection from 127.0.0.1 was refused: it does not speak colrow's protocol", "garbage at the port")
    for one in silent:
        one.sock.close()


for part in (a_guest_of_python, another_version, another_protocol, wrong_proofs, broken_rules, a_guest_that_faults, garbage_at_the_port):
    part()
finish("the connection between nodes")
