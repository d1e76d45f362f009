#!/usr/bin/env python3
"""The server under way: streams and slow readers, clients that leave, a thousand slow connections beside a good one, keys,
CORS, request ids, TLS, UNIX sockets, draining; memory and descriptors are where they were at the end."""
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import warnings

from http_support import Server, answers, ask, read_all, read_one, wait_for
from support import SANITIZE, check, finish

CLOSE = b"Host: a\r\nConnection: close\r\n\r\n"
SLOWER = 5 if SANITIZE else 1
WORK = tempfile.mkdtemp(prefix="colrow-http-")
EMPTY = os.path.join(WORK, "empty")
open(EMPTY, "w", encoding="ascii").close()


def get(path, fields=b""):
    return b"GET " + path + b" HTTP/1.1\r\n" + fields + CLOSE


def status_of(server, data):
    got = ask(server, data)
    return [a.status for a in got]


def test_streams(server):
    got = ask(server, get(b"/v1/events?n=5&ms=5"))[0]
    events = [e for e in got.body.split(b"\n\n") if e]
    check(got.status == 200 and got.fields["content-type"].startswith("text/event-stream"), f"events: {got.status} {got.fields}")
    check(len(events) == 6 and events[-1] == b"data: [DONE]" and all(e.startswith(b"data: ") for e in events), f"events: {events}")
    # each event comes when it is sent, not at the end
    with server.connect() as s:
        s.sendall(get(b"/v1/events?n=3&ms=200"))
        begun, times = time.monotonic(), []
        while piece := s.recv(65536):
            times += [time.monotonic() - begun] * piece.count(b"data: ")
        check(len(times) == 4 and times[1] - times[0] > 0.1 and times[2] - times[1] > 0.1, f"events come one by one: {times}")
    old = ask(server, b"GET /v1/events?n=2&ms=1 HTTP/1.0\r\n\r\n")[0]
    check("transfer-encoding" not in old.fields and old.body.endswith(b"data: [DONE]\n\n"), f"1.0 streams end with the connection: {old.fields}")
    head = ask(server, b"HEAD /v1/events?n=2 HTTP/1.1\r\n" + CLOSE, heads=True)[0]
    check(head.status == 200, f"HEAD of a stream: {head.status}")
    head = ask(server, b"HEAD /hello HTTP/1.1\r\n" + CLOSE, heads=True)
    check(len(head) == 1 and head[0].status == 200 and head[0].fields["content-length"] == "6", "HEAD of a page")
    with server.connect() as s:  # keep-alive after a stream
        s.sendall(b"GET /v1/events?n=1&ms=1 HTTP/1.1\r\nHost: a\r\n\r\n")
        check(read_one(s).status == 200, "a stream, then")
        s.sendall(b"GET /v1/later?ms=20 HTTP/1.1\r\nHost: a\r\n\r\n")
        check(read_one(s).body == b'{"late":true}', "another answer on the same connection")
    with server.connect() as s:  # asked ahead, answered in order
        s.sendall(b"GET /v1/later?ms=50 HTTP/1.1\r\nHost: a\r\n\r\n" + b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" + get(b"/v1/items/x"))
        check([a.body for a in answers(read_all(s))] == [b'{"late":true}', b"hello\n", b"x"], "three at once, the first late")


def test_leaving(server):
    before = server.gauges()["gone"]
    for how in ("close", "reset", "half"):
        with server.connect() as s:
            s.sendall(b"GET /v1/events?n=100000&ms=5 HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(100)
            if how == "reset":
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            begun = time.monotonic()
            if how == "half":
                s.shutdown(socket.SHUT_WR)
            else:
                s.close()
            before += 1
            check(wait_for(lambda: server.gauges()["gone"] == before, 1), f"leaving by {how} is noticed")
            print(f"left by {how}: noticed within {1e3 * (time.monotonic() - begun):.0f} ms")
    with server.connect() as s:  # while the answer is not begun
        s.sendall(b"GET /v1/later?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        check(wait_for(lambda: server.gauges()["exchanges"] == 2), "one waits")
    check(wait_for(lambda: server.gauges()["exchanges"] == 1), "and is gone")


def test_slow_reader():
    with Server("--stalled-timeout", "1.5") as server:
        with server.connect(receive_buffer=4096) as s:
            s.sendall(b"GET /v1/flood?bytes=50000000 HTTP/1.1\r\nHost: a\r\n\r\n")
            check(wait_for(lambda: server.gauges()["paused"] == 1), "the stream's owner is asked to pause")
            gauges = server.gauges()
            check(gauges["streams_paused"] == 1 and 256 << 10 < gauges["buffered_bytes"] < 512 << 10, f"what is buffered: {gauges}")
            begun = time.monotonic()
            received = len(read_all(s)) if wait_for(lambda: server.gauges()["dropped_slow"] == 1, 4) else -1
            took = time.monotonic() - begun
            check(0 < received < 50000000 and 1.2 < took < 3.5, f"dropped after {took:.1f} s, {received} bytes")
            check(server.gauges()["gone"] == 1 and server.gauges()["streams_paused"] == 0, "its owner knows")
        with server.connect(receive_buffer=65536) as s:  # slow, but reading: not dropped
            s.sendall(get(b"/v1/flood?bytes=1500000"))
            data = b""
            while piece := s.recv(15000):
                data += piece
                time.sleep(0.03)
            check(len(answers(data)[0].body) == 1500000, "a slow reader gets it all")
            check(server.gauges()["dropped_slow"] == 1, "and is not dropped")
        for seconds, what in ((1.0, "a stream"), (6.0, "the end of an answer")):  # a byte now and then, for ever
            with server.connect(receive_buffer=4096) as s:
                s.sendall(get(b"/v1/flood?bytes=%d" % (50000000 if what == "a stream" else 6000000)))
                check(wait_for(lambda: server.gauges()["streams_paused"] == 1), f"{what}: it waits for its reader")
                dropped, begun, ended = server.gauges()["dropped_slow"], time.monotonic(), 0
                while not ended and time.monotonic() - begun < 5:
                    s.recv(10)
                    time.sleep(0.1)
                    if server.gauges()["dropped_slow"] > dropped:
                        ended = time.monotonic() - begun
                check(1.2 < ended < 4, f"{what} read at 100 bytes a second: dropped after {ended:.1f} s")
        with server.connect(receive_buffer=4096) as s:  # asks on and on and reads nothing
            s.settimeout(0.5)
            try:
                while True:
                    s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n" * 1000)
            except TimeoutError:
                pass
            check(server.gauges()["buffered_bytes"] < 1 << 20, "pipelined requests of one who does not read wait")
        check(wait_for(lambda: server.gauges()["connections"] == 1), "all others are gone")


def test_many_slow():
    n = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * n + 100:
        print("a thousand connections: skipped, the system allows", hard)
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2 * n + 100), hard))
    with Server("--header-timeout", "60", "--body-timeout", "60") as server:
        ask(server, get(b"/hello"))
        descriptors, memory = server.descriptors(), server.memory_kb()
        sockets = [server.connect() for _ in range(n)]
        starts = (b"GET /hel", b"GET /hello HTTP/1.1\r\nHost: a\r\nX: ", b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nabc", b"")
        done = threading.Event()

        def drip():
            for i, s in enumerate(sockets):
                s.send(starts[i % 4])
            while not done.is_set():
                for i, s in enumerate(sockets):
                    if i % 4:
                        s.send(b"a" if i % 4 < 3 else b"G" if not done.is_set() else b"")
                done.wait(0.5)

        dripping = threading.Thread(target=drip)
        dripping.start()
        check(wait_for(lambda: server.gauges()["connections"] >= n), "a thousand connections are open")
        times = []
        with server.connect() as s:
            for _ in range(200):
                begun = time.monotonic()
                s.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")
                check(read_one(s).body == b"hello", "the good one is answered")
                times.append(1e3 * (time.monotonic() - begun))
        held = server.memory_kb() - memory
        done.set()
        dripping.join()
        times.sort()
        print(f"beside {n} slow connections: median {times[100]:.2f} ms, 99 % {times[197]:.2f} ms, most {times[-1]:.2f} ms; {held / n:.1f} kB each")
        check(times[100] < 20 * SLOWER and times[-1] < 500 * SLOWER, f"the good one waits: {times[100]:.1f}, {times[-1]:.1f} ms")
        check(SANITIZE or held < 20 * n, f"{n} connections take {held} kB")
        for s in sockets:
            s.close()
        check(wait_for(lambda: server.gauges()["connections"] == 1), "all are gone")
        check(wait_for(lambda: server.descriptors() <= descriptors + 1), f"descriptors: {descriptors}, then {server.descriptors()}")
        check(abs(server.gauges()["buffered_bytes"]) <= 64 << 10, f"buffered: {server.gauges()}")


def test_limits():
    with Server("--max-connections", "20", "--idle-timeout", "30", "--header-timeout", "30") as server:
        idle = [server.connect() for _ in range(20)]
        for s in idle:
            s.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            check(read_one(s).status == 200, "up to the limit")
        check(status_of(server, get(b"/hello")) == [200], "an idle connection makes room")
        busy = [server.connect() for _ in range(20)]
        for s in busy:
            s.sendall(b"GET /hel")
        time.sleep(0.3)
        got = ask(server, get(b"/hello"))
        check([a.status for a in got] == [503] and got[0].error() and "retry-after" in got[0].fields, f"beyond the limit: {got}")
        for s in idle + busy:
            s.close()
        check(wait_for(lambda: status_of(server, get(b"/hello")) == [200]), "room again")
    with Server("--max-body-size", "1000", "--http-memory", "300000") as server:
        for length, status in ((1000, 200), (1001, 413)):
            body = b"x" * length
            check(status_of(server, b"POST /v1/echo HTTP/1.1\r\nContent-Length: %d\r\n" % length + CLOSE + body) == [status], f"body of {length}")
            chunked = b"POST /v1/echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + CLOSE + b"%x\r\n" % length + body + b"\r\n0\r\n\r\n"
            check(status_of(server, chunked) == [status], f"chunked body of {length}")
        got = ask(server, b"POST /v1/echo HTTP/1.1\r\nContent-Length: 30000000\r\n" + CLOSE + b"x" * 5000000)
        check([a.status for a in got] == [413], "the answer reaches a client that still sends")
    with Server("--http-memory", "100000") as server:
        got = ask(server, b"POST /v1/echo HTTP/1.1\r\nContent-Length: 300000\r\n" + CLOSE + b"x" * 300000)
        check([a.status for a in got] == [503] and got[0].error(), "the memory of all requests is bounded")
        check(status_of(server, get(b"/hello")) == [200], "and free again")
        with server.connect() as s:  # a length that is only claimed takes nothing
            s.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
            check(server.gauges()["buffered_bytes"] < 30000, "a claimed body reserves nothing")


def test_descriptors_run_out():
    """The system refuses descriptors: those who are connected are served on, and others when there is room again."""
    with Server() as server:
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 12, server.descriptors() + 12))
        first = server.connect()
        first.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        check(read_one(first).status == 200, "a first connection")
        crowd = [server.connect() for _ in range(30)]
        time.sleep(0.3)
        begun = os.times()
        first.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
        check(read_one(first).status == 200, "the first connection is served while descriptors lack")
        with open(f"/proc/{server.process.pid}/stat", encoding="ascii") as file:
            ticks = sum(map(int, file.read().rsplit(")", 1)[1].split()[11:13]))
        check(ticks < 50 * SLOWER and begun, f"the loop does not spin: {ticks} ticks")
        for s in crowd:
            s.close()
        check(wait_for(lambda: status_of(server, get(b"/hello")) == [200]), "and others afterwards")


def test_keys_and_cors():
    keys = os.path.join(WORK, "keys")
    with open(keys, "w", encoding="ascii") as file:
        file.write("sk-file\nsk-other\r\n")
    with Server("--host", "127.0.0.1", "--api-key", "sk-one", "--api-key", "sk-two", "--api-key-file", keys, "--root-path", "/root",
                "--allowed-origins", '["http://app.example"]', "--enable-request-id-headers") as server:
        for key, status in ((None, 401), (b"Bearer sk-one", 200), (b"bearer sk-two", 200), (b"BEARER sk-file", 200), (b"Bearer sk-other", 200),
                            (b"Bearer wrong", 401), (b"Bearer sk-on", 401), (b"Bearer sk-onee", 401), (b"Bearer", 401), (b"Bearer ", 401),
                            (b"Basic sk-one", 401), (b"sk-one", 401), (b"Bearer  sk-one", 401), (b"Bearer sk-one, Bearer sk-two", 401)):
            fields = b"Authorization: " + key + b"\r\n" if key is not None else b""
            got = ask(server, get(b"/v1/items/x", fields))
            check([a.status for a in got] == [status], f"key {key!r}: expected {status}, got {[a.status for a in got]}")
            check(status == 200 or (got[0].error() and got[0].fields["www-authenticate"] == "Bearer"), f"key {key!r}: {got[0].body!r}")
        right, wrong, other = b"X-Api-Key: sk-one\r\n", b"x-api-key: wrong\r\n", b"X-API-KEY: sk-two\r\n"
        bearer = b"Authorization: Bearer sk-one\r\n"
        for fields, status in ((right, 200), (wrong, 401), (b"X-Api-Key:\r\n", 401), (b"X-Api-Key: Bearer sk-one\r\n", 401),
                               (bearer + right, 200), (right + bearer, 200), (bearer + bearer, 200), (right + right, 200),
                               # contradictions, even of two good keys, in either order
                               (bearer + wrong, 401), (wrong + bearer, 401), (bearer + other, 401), (other + bearer, 401), (right + wrong, 401),
                               (wrong + right, 401), (b"Authorization: Bearer wrong\r\n" + right, 401), (bearer + b"Authorization: Bearer sk-two\r\n", 401),
                               (b"Authorization: Basic sk-one\r\n" + right, 401), (b"Authorization:\r\n" + right, 401)):
            check(status_of(server, get(b"/v1/items/x", fields)) == [status], f"keys {fields!r}: expected {status}")
        for path, status in ((b"/hello", 200), (b"/nope", 404), (b"/v1/nope", 401), (b"/v1", 401), (b"/v1abc", 401), (b"/%76%31/items/x", 401),
                             (b"/root/v1/items/x", 401), (b"/root/hello", 200), (b"/rooty/hello", 404), (b"/V1/items/x", 404), (b"//v1/items/x", 404)):
            check(status_of(server, get(path)) == [status], f"{path!r} without a key: expected {status}, got {status_of(server, get(path))}")
        check(status_of(server, b"OPTIONS /v1/echo HTTP/1.1\r\n" + CLOSE) == [405], "OPTIONS needs no key")
        check([a.status for a in ask(server, b"HEAD /v1/items/x HTTP/1.1\r\n" + CLOSE, heads=True)] == [401], "HEAD needs one")
        unread = ask(server, b"POST /v1/echo HTTP/1.1\r\nContent-Length: 3000000\r\n" + CLOSE + b"x" * 100000)
        check([a.status for a in unread] == [401], "no body is read without a key")
        # request ids
        got = ask(server, get(b"/hello", b"X-Request-Id: my-request-1\r\n"))[0]
        check(got.fields.get("x-request-id") == "my-request-1", f"request id: {got.fields}")
        made = {ask(server, get(b"/nope", b"X-Request-Id: a b\r\n"))[0].fields.get("x-request-id") for _ in range(3)}
        check(len(made) == 3 and all(m and len(m) == 36 for m in made), f"request ids made: {made}")
        # CORS
        origin = b"Origin: http://app.example\r\n"
        got = ask(server, get(b"/hello", origin))[0]
        check(got.fields.get("access-control-allow-origin") == "http://app.example" and got.fields["vary"] == "Origin", f"CORS: {got.fields}")
        got = ask(server, get(b"/v1/items/x", origin))[0]
        check(got.status == 401 and got.fields.get("access-control-allow-origin") == "http://app.example", "CORS: 401")
        check("access-control-allow-origin" not in ask(server, get(b"/hello", b"Origin: http://evil.example\r\n"))[0].fields, "CORS: other origin")
        wish = b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: content-type,authorization\r\n"
        got = ask(server, b"OPTIONS /v1/chat/completions HTTP/1.1\r\n" + origin + wish + CLOSE)[0]
        check(got.status == 200 and got.body == b"OK" and got.fields["access-control-allow-headers"] == "content-type,authorization"
              and got.fields["access-control-allow-methods"] == "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT, QUERY"
              and got.fields["access-control-max-age"] == "600", f"preflight: {got.status} {got.body!r} {got.fields}")
        got = ask(server, b"OPTIONS /v1/chat/completions HTTP/1.1\r\nOrigin: http://evil.example\r\n" + wish + CLOSE)[0]
        check(got.status == 400 and got.body == b"Disallowed CORS origin" and got.fields["content-type"] == "text/plain; charset=utf-8", f"preflight: {got.body!r}")
    with Server("--allowed-origins", '["*"]', "--allowed-methods", '["GET"]', "--allowed-headers", '["X-A"]', "--allow-credentials") as server:
        got = ask(server, get(b"/hello", b"Origin: http://b\r\n"))[0]
        check(got.fields.get("access-control-allow-origin") == "http://b" and got.fields.get("access-control-allow-credentials") == "true", f"CORS: {got.fields}")
        for wish, says in ((b"GET\r\nAccess-Control-Request-Headers: x-a, Accept", b"OK"), (b"POST", b"Disallowed CORS method"),
                           (b"POST\r\nAccess-Control-Request-Headers: x-b", b"Disallowed CORS method, headers")):
            got = ask(server, b"OPTIONS /x HTTP/1.1\r\nOrigin: http://b\r\nAccess-Control-Request-Method: " + wish + b"\r\n" + CLOSE)[0]
            check(got.body == says, f"preflight {wish!r}: {got.body!r}")
    with Server("--allowed-origins", '["*"]', VLLM_API_KEY="sk-env") as server:
        got = ask(server, get(b"/hello", b"Origin: http://b\r\n"))[0]
        check(got.fields.get("access-control-allow-origin") == "*" and "vary" not in got.fields, f"CORS: {got.fields}")
        check(server.url.startswith("http://0.0.0.0:"), f"with a key it listens everywhere: {server.url}")
        check(status_of(server, get(b"/v1/items/x")) == [401], "VLLM_API_KEY counts")
        check(status_of(server, get(b"/v1/items/x", b"Authorization: Bearer sk-env\r\n")) == [200], "VLLM_API_KEY opens")


def test_paths(server):
    for path, status in ((b"/v1/items/org/name", 200), (b"/v1/items/", 404), (b"/v1/items", 404), (b"/hello/", 307), (b"/hello/?a=1", 307)):
        got = ask(server, get(path))[0]
        check(got.status == status, f"{path!r}: expected {status}, got {got.status}")
        if status == 307:
            check(got.fields["location"] == ("/hello?a=1" if b"?" in path else "/hello"), f"{path!r}: {got.fields}")
    got = ask(server, b"PUT /hello HTTP/1.1\r\n" + CLOSE)[0]
    check(got.fields.get("allow") == "GET, HEAD", f"Allow: {got.fields}")
    with server.connect() as s:  # an error without a body to skip keeps the connection
        for _ in range(3):
            s.sendall(b"GET /nope HTTP/1.1\r\nHost: a\r\n\r\n")
            check(read_one(s).status == 404, "404 on a connection that stays")
    with server.connect() as s:  # the body comes after 100 Continue
        s.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        check(read_one(s).status == 100, "100 Continue")
        s.sendall(b"abc")
        check(read_one(s).body == b"abc", "then the body")
        s.sendall(b"POST /nope HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        check([a.status for a in answers(read_all(s))] == [404], "no 100 for what is refused")


def test_draining():
    with Server() as server:
        with server.connect() as running, server.connect() as idle:
            idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            read_one(idle)
            running.sendall(b"GET /v1/events?n=20&ms=20 HTTP/1.1\r\nHost: a\r\n\r\n")
            running.recv(10)
            check(status_of(server, b"POST /drain HTTP/1.1\r\n" + CLOSE) == [202], "drain")
            got = ask(server, get(b"/hello"))[0]
            check(got.status == 503 and got.error() and got.fields["retry-after"] == "1" and got.fields["connection"] == "close", f"draining: {got.fields}")
            check(server.gauges()["exchanges"] == 2, "what must be asked while draining is answered")
            idle.sendall(b"GET /hello HTTP/1.1\r\nHost: a\r\n\r\n")
            check([a.status for a in answers(read_all(idle))] == [503], "an open connection gets 503, too, and ends")
            check(read_all(running).endswith(b"0\r\n\r\n"), "running streams go on to their end")
        status, out, _ = server.close()
        check(status == 0 and "drained 1" in out, f"drained: {status} {out}")
    with Server() as server:  # closed in the midst of everything
        open_ones = [server.connect() for _ in range(20)]
        for i, s in enumerate(open_ones):
            s.sendall((b"GET /v1/flood?bytes=9999999 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /v1/later?ms=9999 HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /h", b"")[i % 4])
        time.sleep(0.1)
        status, out, err = server.close()
        check(status == 0 and "left 0" in out, f"closed while busy: {status} {out} {err}")
        for s in open_ones:
            s.close()


def test_unix_socket():
    path = os.path.join(WORK, "colrow.sock")
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(path)
    stale.close()  # the file stays
    with Server("--uds", path) as server:
        check(server.url == "unix:" + path and status_of(server, get(b"/hello")) == [200], "a UNIX socket, where a stale one lay")
        second = subprocess.run([server.process.args[0], "--uds", path], capture_output=True, text=True, timeout=20)
        check(second.returncode == 1 and "another server listens" in second.stderr, f"a second server: {second.stderr}")
    check(not os.path.exists(path), "the socket's file is removed")
    with Server() as server:
        port = str(server.address[1])
        second = subprocess.run([server.process.args[0], "--port", port], capture_output=True, text=True, timeout=20)
        check(second.returncode == 1 and port in second.stderr and "--port" in second.stderr, f"a port in use: {second.stderr}")
        for flags, says in ((["--host", "no.such.host.invalid"], "--host"), (["--root-path", "x/"], "--root-path"), (["--allowed-origins", "*"], "error: flag --allowed-origins: not valid JSON"),
                            (["--uds", "/nonexistent/x"], "there is no folder /nonexistent/"),
                            (["--ssl-keyfile", "x"], "--ssl-certfile"), (["--max-body-size", "0"], "--max-body-size"), (["--max-body-size", "2GiB"], "--max-body-size"),
                            (["--http-memory", "0"], "--http-memory"), (["--api-key", "a b"], "blank"), (["--api-key", ""], "empty"),
                            (["--ssl-certfile", "/nonexistent"], "/nonexistent"), (["--api-key-file", EMPTY], "--api-key-file")):
            bad = subprocess.run([server.process.args[0], "--port", "0", *flags], capture_output=True, text=True, timeout=20)
            check(bad.returncode in (1, 2) and says in bad.stderr and bad.stderr.count("\n") == 1, f"{flags}: {bad.returncode} {bad.stderr}")


def test_tls():
    if not shutil.which("openssl"):
        print("TLS: skipped, there is no openssl to make a certificate")
        return
    cert, key = os.path.join(WORK, "cert.pem"), os.path.join(WORK, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert], check=True, capture_output=True)
    context = ssl.create_default_context(cafile=cert)
    with Server("--ssl-certfile", cert, "--ssl-keyfile", key, "--header-timeout", "1") as server:
        check(server.url.startswith("https://"), server.url)

        def secure(plain):
            return context.wrap_socket(plain, server_hostname="127.0.0.1")

        with secure(server.connect()) as s:
            for body in (b"abc", b"x" * 3000000):
                s.sendall(b"POST /v1/echo HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                check(read_one(s).body == body, f"TLS: a body of {len(body)}")
            check(s.version() in ("TLSv1.2", "TLSv1.3"), s.version())
            s.sendall(b"GET /v1/events?n=3&ms=10 HTTP/1.1\r\nHost: a\r\n\r\n")
            check(read_one(s).body.endswith(b"data: [DONE]\n\n"), "TLS: events")
            s.sendall(get(b"/v1/flood?bytes=9000000"))
            check(len(answers(read_all(s))[0].body) == 9000000, "TLS: a flood")
        with secure(server.connect()) as s:
            s.sendall(b"GET /hello HTTP/1.1\nHost: a\n\n")
            check([a.status for a in answers(read_all(s))] == [400], "TLS: refused")
        begun = time.monotonic()
        with server.connect() as s:  # no TLS at all, and silence before the handshake
            s.sendall(get(b"/hello"))
            check(b"200" not in read_all(s), "TLS: plain text is not answered")
        with server.connect(5) as s:
            check(read_all(s) == b"" and time.monotonic() - begun < 4, "TLS: silence ends")
        warnings.simplefilter("ignore", DeprecationWarning)
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        try:
            old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
            old.wrap_socket(server.connect()).close()
            check(False, "TLS 1.1 is refused")
        except (ssl.SSLError, OSError, ValueError):
            pass
        with secure(server.connect()) as s:  # left in the midst of a stream
            s.sendall(b"GET /v1/events?n=100000&ms=5 HTTP/1.1\r\nHost: a\r\n\r\n")
            s.recv(100)
        time.sleep(0.1)
        with secure(server.connect()) as s:
            s.sendall(get(b"/gauges"))
            gauges = json.loads(answers(read_all(s))[0].body)
            check(gauges["gone"] == 1 and gauges["exchanges"] == 1, f"TLS: leaving is noticed: {gauges}")
        status, out, err = server.close()
        check(status == 0, f"TLS: the server's end {status} {err}")
    with Server("--ssl-certfile", cert, "--ssl-keyfile", key, "--ssl-ca-certs", cert, "--ssl-cert-reqs", "2") as server:
        got = b""
        try:
            with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as s:
                s.sendall(get(b"/hello"))
                got = read_all(s)
        except OSError:
            pass
        check(b"200" not in got, "TLS: without a client's certificate nothing is answered")
        context.load_cert_chain(cert, key)
        with context.wrap_socket(server.connect(), server_hostname="127.0.0.1") as s:
            s.sendall(get(b"/hello"))
            check(answers(read_all(s))[0].status == 200, "TLS: with one it is")


with Server() as one:
    ask(one, get(b"/hello"))
    at_first = one.descriptors()
    test_streams(one)
    test_leaving(one)
    test_paths(one)
    check(wait_for(lambda: one.descriptors() <= at_first + 1), f"descriptors: {at_first}, then {one.descriptors()}")
    ended, _, said = one.close()
    check(ended == 0 and not said, f"the server's end: {ended} {said}")
for test in (test_slow_reader, test_many_slow, test_limits, test_descriptors_run_out, test_keys_and_cors, test_draining, test_unix_socket, test_tls):
    started = time.monotonic()
    test()
    print(f"{test.__name__}: {time.monotonic() - started:.1f} s", flush=True)
shutil.rmtree(WORK, ignore_errors=True)
finish("the HTTP server")
