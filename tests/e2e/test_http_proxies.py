#!/usr/bin/env python3
"""deploy/nginx.conf and deploy/haproxy.cfg in front of the server: requests pass, events arrive one by one, a client that
leaves is noticed behind the proxy. Skipped where neither proxy is installed."""
import os
import shutil
import socket
import subprocess
import tempfile
import time

from http_support import Server, answers, ask, read_one, wait_for
from support import ROOT, check, finish, skip

WORK = tempfile.mkdtemp(prefix="colrow-proxy-")
os.chmod(WORK, 0o755)  # nginx's workers are another user when root starts it
CLOSE = b"Host: a\r\nConnection: close\r\n\r\n"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def program(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin")


class Proxy:
    """A proxy under its own configuration file of deploy/, with other ports and places."""

    def __init__(self, name, backend):
        port = free_port()
        self.address, file = ("127.0.0.1", port), {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[name]
        with open(os.path.join(ROOT, "deploy", file), encoding="utf-8") as source:
            text = source.read()
        for old, new in (("127.0.0.1:8000", f"127.0.0.1:{backend}"), ("listen 8080;", f"listen 127.0.0.1:{port};"),
                         ("bind :8080", f"bind 127.0.0.1:{port}"), ("/var/log/nginx/", WORK + "/")):
            text = text.replace(old, new)
        check(str(port) in text and f"127.0.0.1:{backend}" in text, f"{file}: its addresses are not the ones to replace")
        if name == "nginx":
            places = "".join(f"    {what}_temp_path {WORK}/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
            text = text.replace("http {\n", "http {\n" + places, 1)
        path = os.path.join(WORK, file)
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        command = {"nginx": [program("nginx") or "", "-p", WORK, "-c", path, "-g", f"daemon off; pid {WORK}/nginx.pid; error_log stderr;"],
                   "haproxy": [program("haproxy") or "", "-db", "-f", path]}[name]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        check(wait_for(self.listens, 10), f"{name} starts")

    def listens(self):
        try:
            self.connect().close()
            return True
        except OSError:
            return False

    def connect(self, timeout=10):
        return socket.create_connection(self.address, timeout)

    def close(self):
        self.process.terminate()
        return self.process.communicate(timeout=20)[1]


def test(name):
    with Server() as server:
        proxy = Proxy(name, server.address[1])
        check(wait_for(lambda: [a.status for a in ask(proxy, b"GET /hello HTTP/1.1\r\n" + CLOSE)] == [200], 5), f"{name}: a request")
        body = b"x" * 1000000
        got = ask(proxy, b"POST /v1/echo HTTP/1.1\r\nContent-Length: %d\r\n" % len(body) + CLOSE + body)
        check([a.status for a in got] == [200] and got[0].body == body, f"{name}: a body of a megabyte")
        got = ask(proxy, b"GET /nope HTTP/1.1\r\n" + CLOSE)
        check([a.status for a in got] == [404] and got[0].error(), f"{name}: the error object passes")
        with proxy.connect() as s:  # answered before it is sent; HAProxy then goes on waiting for it
            s.sendall(b"POST /v1/echo HTTP/1.1\r\nContent-Length: 9000000\r\n" + CLOSE + b"x" * 100000)
            check(read_one(s).status == 413, f"{name}: a body beyond the limit")
        with proxy.connect() as s:
            s.sendall(b"GET /v1/events?n=4&ms=150 HTTP/1.1\r\n" + CLOSE)
            begun, times, data = time.monotonic(), [], b""
            while piece := s.recv(65536):
                times += [time.monotonic() - begun] * piece.count(b"data: ")
                data += piece
            check(len(times) == 5 and all(b - a > 0.07 for a, b in zip(times, times[1:])), f"{name}: events come one by one: {times}")
            check(answers(data)[0].body.endswith(b"data: [DONE]\n\n"), f"{name}: the stream's end")
            print(f"{name}: first of five events after {1e3 * times[0]:.0f} ms, last after {1e3 * times[-1]:.0f} ms" if times else name)
        gone = server.gauges()["gone"]
        with proxy.connect() as s:
            s.sendall(b"GET /v1/events?n=100000&ms=10 HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(100)
        check(wait_for(lambda: server.gauges()["gone"] == gone + 1, 3), f"{name}: leaving is noticed behind it")
        accepted = server.gauges()["accepted"]
        with proxy.connect() as s:
            for _ in range(20):
                s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
                data = b""
                while not answers(data):
                    data += s.recv(65536)
        check(server.gauges()["accepted"] - accepted < 10, f"{name}: connections to the server are kept")
        check([a.status for a in ask(server, b"POST /drain HTTP/1.1\r\n" + CLOSE)] == [202], f"{name}: drain")
        check([a.status for a in ask(proxy, b"GET /hello HTTP/1.1\r\n" + CLOSE)] in ([503], [502]), f"{name}: a draining server")
        said = proxy.close()
        check("emerg" not in said and "ALERT" not in said, f"{name}: {said}")


found = [name for name in ("nginx", "haproxy") if program(name)]
if not found:
    shutil.rmtree(WORK, ignore_errors=True)
    skip("neither nginx nor haproxy is installed")
for each in found:
    test(each)
shutil.rmtree(WORK, ignore_errors=True)
finish("behind " + " and ".join(found))
