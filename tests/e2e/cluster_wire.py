"""The control connection between nodes, spoken by Python: the frames of src/comm/cluster_frame.h, written down a second
time, so that a change of the protocol is seen."""
import hashlib
import hmac
import os
import socket
import struct

PROTOCOL = 1
CHALLENGE, HELLO, WELCOME, REFUSAL, WAITING, WORLD, BEAT, ADDRESSES, BOOK, FAULT, DONE = range(1, 12)
MAGIC = b"colrow nodes 1\n\0"


def frame(kind, payload=b""):
    return struct.pack("<IB3x", len(payload), kind) + payload


def text(value):
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def prove(key, side, nonce, data):
    return hmac.new(key, side + nonce + data, hashlib.sha256).digest() if key else bytes(32)


def challenge(build, nonce=None, wants_key=False, protocol=PROTOCOL):
    return frame(CHALLENGE, MAGIC + struct.pack("<II", protocol, wants_key) + (nonce or os.urandom(32)) + text(build))


def hello(host_nonce, node, n_nodes, n_local, build, run="", agreement="", key=None, nonce=None):
    rest = (nonce or os.urandom(32)) + struct.pack("<iii", node, n_nodes, n_local) + text(build) + text(run) + text(agreement)
    return frame(HELLO, prove(key, b"colrow guest", host_nonce, rest) + rest)


def welcome(guest_nonce, key=None, beat_ms=500, deadline_ms=5000):
    rest = struct.pack("<II", beat_ms, deadline_ms)
    return frame(WELCOME, prove(key, b"colrow host ", guest_nonce, rest) + rest)


def world(node, nodes):
    return frame(WORLD, struct.pack("<II", len(nodes), node) + b"".join(struct.pack("<I", n) + text(address) for n, address in nodes))


def addresses(kind, round_, blobs):
    return frame(kind, struct.pack("<II", round_, len(blobs)) + b"".join(struct.pack("<I", len(blob)) + blob for blob in blobs))


def fault(node, lost, culprit, exit_status, sentence, place=""):
    return frame(FAULT, struct.pack("<IIiI", node, lost, culprit, exit_status) + text(sentence) + text(place))


class Wire:
    """A connection, as one node has it."""

    def __init__(self, sock):
        self.sock = sock
        self.data = b""

    def send(self, data):
        self.sock.sendall(data)

    def next(self):
        """(kind, payload) of the next frame; None at the end."""
        while len(self.data) < 8 or len(self.data) < 8 + struct.unpack("<I", self.data[:4])[0]:
            try:
                more = self.sock.recv(65536)
            except (ConnectionError, socket.timeout):
                more = b""
            if not more:
                return None
            self.data += more
        (length,) = struct.unpack("<I", self.data[:4])
        kind, payload = self.data[4], self.data[8 : 8 + length]
        self.data = self.data[8 + length :]
        return kind, payload

    def await_kind(self, kind):
        while (found := self.next()) is not None:
            if found[0] == kind:
                return found[1]
        return None


def read_challenge(payload):
    protocol, wants_key = struct.unpack("<II", payload[16:24])
    (length,) = struct.unpack("<I", payload[56:60])
    return {"protocol": protocol, "wants_key": wants_key & 1, "nonce": payload[24:56], "build": payload[60 : 60 + length].decode()}


def read_text(payload):
    (length,) = struct.unpack("<I", payload[:4])
    return payload[4 : 4 + length].decode()
