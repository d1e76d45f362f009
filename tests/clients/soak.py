#!/usr/bin/env python3
"""A long run against `colrow serve models/demo`: requests of all kinds, of which a tenth is cancelled, a twentieth is read
slowly and a tenth is bad. Shows memory of the front-end and of the ranks, descriptors and pages over time; exit status 1
if memory or descriptors are not flat after warm-up, if a request is answered otherwise than it should be, or if pages are
in use at the end.

    soak.py [--requests 50000] [--clients 32]
"""
import argparse
import http.client
import json
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
from serve_client import Server

WARM_UP = 0.2  # of the requests: caches and heaps have their size then
MIB = 1 << 20
WORDS = "tensor rank group page step plan weights cache token prompt answer column row shard reduce sum".split()
# (body, path, status)
BAD = [
    (b"{", "/v1/completions", 400), (b'{"prompt": 5}', "/v1/completions", 400), (b'{"prompt": "a", "temperature": 9}', "/v1/completions", 400),
    (b'{"prompt": "a", "model": "nope"}', "/v1/completions", 404), (b'{"messages": []}', "/v1/chat/completions", 400),
    (b'{"prompt": "\xff"}', "/v1/completions", 400), (b'{"prompt": "a", "max_tokens": 100000}', "/v1/completions", 400), (b"{}", "/nope", 404),
    (b'{"tokens": [4294967296]}', "/detokenize", 400), (b'{"max_tokens": 1, "messages": []}', "/v1/messages", 400),
]


class Soak:
    def __init__(self, server, n_requests):
        self.server, self.n_requests = server, n_requests
        self.lock = threading.Lock()
        self.next, self.counts, self.wrong, self.lines = 0, {}, [], []

    def take(self):
        with self.lock:
            self.next += 1
            return self.next if self.next <= self.n_requests else None

    def note(self, kind, problem=None):
        with self.lock:
            self.counts[kind] = self.counts.get(kind, 0) + 1
            if problem and len(self.wrong) < 20:
                self.wrong.append(f"{kind}: {problem}")

    # ---- kinds of requests ----

    def text(self, rng):
        return " ".join(rng.choices(WORDS, k=rng.randint(1, 60)))

    def body(self, rng):
        """-> path, body: a good request of any kind."""
        n = rng.randint(1, 48)
        sampling = rng.choice([{"temperature": 0}, {"temperature": 1, "seed": rng.randint(0, 99)}, {"temperature": 0.7, "top_p": 0.9, "top_k": 40}])
        messages = [{"role": "user", "content": self.text(rng)}]
        kind = rng.randrange(8)
        if kind == 0:
            return "/v1/messages", {"messages": messages, "max_tokens": n, **sampling}
        if kind == 1:
            return "/v1/responses", {"input": self.text(rng), "max_output_tokens": n}
        if kind == 2:
            return "/v1/completions", {"prompt": self.text(rng), "max_tokens": 1, "echo": True, "logprobs": 3, **sampling}
        if kind == 3:
            return "/v1/completions", {"prompt": [self.text(rng), self.text(rng)], "max_tokens": n, "n": 2, "temperature": 1, "logprobs": 2}
        if kind == 4:
            return "/v1/completions", {"prompt": self.text(rng), "max_tokens": n, "stop": ["the"], "prompt_logprobs": 1, **sampling}
        return "/v1/chat/completions", {"messages": messages, "max_tokens": n, **sampling}

    def good(self, rng, connection):
        path, body = self.body(rng)
        stream = rng.random() < 0.5 and "prompt_logprobs" not in body
        connection.request("POST", path, json.dumps({**body, **({"stream": True} if stream else {})}), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        ends = b"[DONE]" in text[-20:] or b"message_stop" in text[-60:] or b"response.completed" in text or b"response.incomplete" in text
        problem = None
        if answer.status != 200:
            problem = f"{answer.status} {text[:200]!r}"
        elif stream and not ends:
            problem = f"{path}: a stream that ends with {text[-80:]!r}"
        self.note("streamed" if stream else "whole", problem)

    def bad(self, rng, connection):
        body, path, status = rng.choice(BAD)
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        self.note("bad", None if answer.status == status and b"error" in text else f"{body!r}: {answer.status} {text[:200]!r}")

    def raw(self, path, body, receive_buffer=None):
        plain = socket.socket()
        if receive_buffer:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.settimeout(120)
        plain.connect((self.server.host, self.server.port))
        data = json.dumps(body).encode()
        plain.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode() + data)
        return plain

    def cancelled(self, rng, _):
        path, body = self.body(rng)
        body = {key: value for key, value in body.items() if key != "prompt_logprobs"}
        with self.raw(path, {**body, "stream": rng.random() < 0.7}) as plain:
            if rng.random() < 0.5:
                plain.recv(rng.randint(1, 400))
            elif rng.random() < 0.5:
                time.sleep(rng.random() * 0.05)
        self.note("cancelled")

    def slow(self, rng, _):
        body = {"prompt": self.text(rng), "max_tokens": 200, "n": 4, "temperature": 1, "logprobs": 5, "ignore_eos": True, "stream": True}
        with self.raw("/v1/completions", body, 4096) as plain:
            time.sleep(rng.random() * 2)
            last = b""
            while piece := plain.recv(65536):
                last = (last + piece)[-64:]
                time.sleep(0.001)
        self.note("slow", None if b"[DONE]" in last else f"a stream that ends with {last!r}")

    def work(self):
        connection = http.client.HTTPConnection(self.server.host, self.server.port, timeout=300)
        while (number := self.take()) is not None:
            rng = random.Random(number)
            share = rng.random()
            kind = self.cancelled if share < 0.10 else self.slow if share < 0.15 else self.bad if share < 0.25 else self.good
            try:
                kind(rng, connection)
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.note(kind.__name__, f"{type(error).__name__}: {error}")
                connection.close()
        connection.close()

    # ---- what is watched ----

    def processes(self):
        pid = self.server.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            return [pid, *map(int, file.read().split())]

    def sample(self, begun):
        front, *ranks = self.processes()
        free = 1 - self.server.metric("vllm:kv_cache_usage_perc")
        line = {"done": min(self.next, self.n_requests), "seconds": time.monotonic() - begun, "front": own_bytes(front), "ranks": sum(map(own_bytes, ranks)),
                "descriptors": sum(len(os.listdir(f"/proc/{p}/fd")) for p in (front, *ranks)), "free": free,
                "running": self.server.metric("vllm:num_requests_running"), "paused": self.server.metric("colrow_paused_sequences")}
        self.lines.append(line)
        print(f"{line['done']:8} {line['seconds']:8.0f} {line['front'] / MIB:10.1f} {line['ranks'] / MIB:10.1f} {line['descriptors']:8} {free:8.3f} "
              f"{line['running']:8.0f} {line['paused']:7.0f}", flush=True)
        self.server.read_log()

    def run(self, n_clients, n_samples):
        begun = time.monotonic()
        threads = [threading.Thread(target=self.work) for _ in range(n_clients)]
        print(f"{'requests':>8} {'seconds':>8} {'front MiB':>10} {'ranks MiB':>10} {'files':>8} {'free':>8} {'running':>8} {'paused':>7}")
        self.sample(begun)
        idle_files = self.lines[0]["descriptors"]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            if self.next >= len(self.lines) * self.n_requests / n_samples:
                self.sample(begun)
            time.sleep(0.2)
        for thread in threads:
            thread.join()
        settled = self.server.wait_for(lambda: self.server.metric("vllm:kv_cache_usage_perc") == 0 and self.server.metric("colrow_http_connections") <= 1, 60)
        self.sample(begun)
        return self.judge(settled, idle_files, time.monotonic() - begun)

    def judge(self, settled, idle_files, seconds):
        failures = list(self.wrong)
        warm = [line for line in self.lines if line["done"] >= WARM_UP * self.n_requests]
        for name in ("front", "ranks"):
            half = len(warm) // 2
            early, late = (max(line[name] for line in part) for part in (warm[:half] or warm, warm[half:]))
            if late > early * 1.02 + 2 * MIB:
                failures.append(f"memory of the {name} grows: {early / MIB:.1f} MiB at most in the first half after warm-up, {late / MIB:.1f} MiB in the second")
        if self.lines[-1]["descriptors"] > idle_files + 1:
            failures.append(f"descriptors: {idle_files} at first, {self.lines[-1]['descriptors']} at the end")
        if not settled or self.lines[-1]["free"] != 1:
            failures.append(f"pages are in use at the end: {1 - self.lines[-1]['free']:.3f} of them")
        if self.server.metric("colrow_paused_sequences") or self.server.request("GET", "/load")[2]["server_load"]:
            failures.append("requests are left")
        print(f"{self.n_requests} requests in {seconds:.0f} s ({self.n_requests / seconds:.0f}/s): "
              + ", ".join(f"{n} {kind}" for kind, n in sorted(self.counts.items())))
        return failures


def own_bytes(pid):
    """Resident memory of a process but for pages of files that it maps (weights), which come and go."""
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return sum(int(line.split()[1]) << 10 for line in file if line.startswith(("RssAnon", "RssShmem")))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50000)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--samples", type=int, default=20, help="lines of the table")
    arguments = parser.parse_args()
    with Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests") as server:
        failures = Soak(server, arguments.requests).run(arguments.clients, arguments.samples)
        status = server.stop()
    if status != 0:
        failures.append(f"the server's exit status is {status}: {''.join(server.log)[-500:]}")
    for failure in failures:
        print("FAILED:", failure)
    print("soak: " + (f"{len(failures)} failed" if failures else "memory and descriptors are flat, all pages are free"))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
