"""A server made of src/server (tests/e2e/http_echo.c), and clients that say exactly what they are told to."""
import json
import os
import socket
import subprocess
import time

from support import ROOT, skip

BUILD = os.environ.get("BUILD_DIR", os.path.join(ROOT, "build/release"))
ECHO = os.path.join(BUILD, "tests/http_echo")


class Server:
    """Runs http_echo until closed; `address` is (host, port) or the path of a UNIX socket."""

    def __init__(self, *flags, **environment):
        if not os.path.exists(ECHO):
            skip("tests/http_echo is not built")
        self.process = subprocess.Popen([ECHO, *([] if "--uds" in flags else ["--port", "0"]), *flags], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, env={**os.environ, **environment})
        self.url = self.process.stdout.readline().strip()
        assert self.url, self.process.stderr.read()
        if self.url.startswith("unix:"):
            self.address = self.url[5:]
        else:
            host, port = self.url.split("//")[1].rsplit(":", 1)
            self.address = (host.strip("[]"), int(port))

    def connect(self, timeout=10, receive_buffer=None):
        unix = isinstance(self.address, str)
        s = socket.socket(socket.AF_UNIX if unix else socket.AF_INET)
        if receive_buffer:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        s.settimeout(timeout)
        s.connect(self.address)
        return s

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            return int(next(line for line in file if line.startswith("VmRSS")).split()[1])

    def gauges(self):
        return json.loads(ask(self, b"GET /gauges HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")[0].body)

    def close(self):
        self.process.terminate()
        out, err = self.process.communicate(timeout=20)
        return self.process.returncode, out, err

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.close()


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    def error(self):
        """The error object, or None when this is not one."""
        try:
            error = json.loads(self.body)["error"]
        except (ValueError, KeyError, TypeError):
            return None
        good = (set(error) == {"message", "type", "param", "code"} and error["code"] == self.status
                and isinstance(error["message"], str) and error["message"] and isinstance(error["type"], str))
        return error if good else None


def unchunk(data):
    """(body, rest) of a chunked body, or None while it is not complete."""
    body = b""
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return None
        size = int(line, 16)
        if len(data) < size + 2:
            return None
        if size == 0:
            return body, data[2:]
        body, data = body + data[:size], data[size + 2:]


def answers(data, heads=False):
    """All complete answers in `data`; `heads`: they have no bodies (HEAD)."""
    out = []
    while b"\r\n\r\n" in data:
        head, rest = data.split(b"\r\n\r\n", 1)
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        status = int(lines[0].split(" ")[1])
        if status == 100 or heads:
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            whole = unchunk(rest)
            if whole is None:
                break
            body, rest = whole
        elif "content-length" in fields:
            n = int(fields["content-length"])
            if len(rest) < n:
                break
            body, rest = rest[:n], rest[n:]
        else:
            body, rest = rest, b""
        out.append(Answer(status, fields, body))
        data = rest
    return out


def read_all(s):
    pieces = []
    try:
        while piece := s.recv(1 << 16):
            pieces.append(piece)
    except ConnectionResetError:
        pass
    return b"".join(pieces)


def ask(server, data, heads=False, timeout=10):
    """Sends `data`, reads until the server closes: `data` must make it do so."""
    with server.connect(timeout) as s:
        try:
            s.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return answers(read_all(s), heads)


def read_one(s, heads=False):
    """The next answer on a connection that stays open."""
    data = b""
    while not answers(data, heads):
        piece = s.recv(1 << 16)
        if not piece:
            raise ConnectionError("closed after " + repr(data[:200]))
        data += piece
    return answers(data, heads)[0]


def wait_for(condition, seconds=5):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return bool(condition())
