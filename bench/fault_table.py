#!/usr/bin/env python3
"""One fault in the middle of 8 clients that send 100 requests each, one after the other: how many succeed, and what it costs
those that do. A row for each kind of fault, in the columns of the tables that NVIDIA publishes for Dynamo's fault tests.
Answers are compared with those of the row without a fault.

    bench/fault_table.py [--model DIR] [--tokens 150] [-tp 2]

A client whose request fails waits as long as a request takes, then goes on with the next one. The front-end is started
again by a supervisor of three lines.
"""
import argparse
import os
import random
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/e2e"))
from chaos_faults import Family, Faults
from chaos_requests import ERRORS, ask, vllm_shape
from serve_client import Server
from support import DEMO

CLIENTS, EACH = 8, 100
FAULTS = ["none", "KILL", "SEGV", "STOP", "memory", "two at once", "keeper", "front-end"]
NAMES = {"KILL": "rank: SIGKILL", "SEGV": "rank: SIGSEGV", "STOP": "rank: SIGSTOP", "memory": "rank: out of memory (cgroup)", "two at once": "two ranks at once",
         "keeper": "keeper of a rank", "front-end": "front-end, restarted by a supervisor"}


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    def __init__(self, server, requests):
        self.server, self.requests, self.lock = server, requests, threading.Lock()
        self.answers = [None] * len(requests)
        self.spans = []  # (begin, end) of requests that succeeded
        self.failed, self.fault_at, self.health_at = 0, 0.0, 0.0

    def client(self, number):
        connection = self.server.connect()
        for i in range(number * EACH, (number + 1) * EACH):
            begun = time.monotonic()
            try:
                self.answers[i] = ask(connection, self.requests[i], lambda: None)
                with self.lock:
                    self.spans.append((begun, time.monotonic()))
            except ERRORS:
                connection.close()
                with self.lock:
                    self.failed += 1
                time.sleep(self.mean(lambda begin, end: True))
        connection.close()

    def mean(self, which):
        with self.lock:
            spans = [end - begin for begin, end in self.spans if which(begin, end)]
        return sum(spans) / len(spans) if spans else 0.1

    def await_health(self):
        while True:
            try:
                if self.server.request("GET", "/health")[0] == 200:
                    self.health_at = time.monotonic()
                    return
            except ERRORS:
                pass
            time.sleep(0.002)

    def renewed(self, workers, victims):
        return len(workers) == self.tp and not any(pid in workers for pid in victims)

    def do(self, kind):
        """-> whether this machine and this server have such a fault"""
        if kind == "front-end":
            self.fault_at = time.monotonic()
            self.server.process.send_signal(signal.SIGKILL)
            self.server.process.wait()
            self.server.__enter__()
        else:
            family = Family(self.server.process.pid)
            family.look()
            faults = Faults(family, random.Random(1), [kind])
            done = faults.do() if faults.weights and (kind != "keeper" or family.are_keepers) else None
            if done:
                self.fault_at = done[2]
                while not self.renewed(family.look()[0], done[1]):
                    time.sleep(0.0005)
            faults.close()
            if not done:
                return False
        self.await_health()
        return True

    def run(self, kind, tp):
        self.tp = tp
        threads = [threading.Thread(target=self.client, args=(i,)) for i in range(CLIENTS)]
        for thread in threads:
            thread.start()
        possible = True
        if kind != "none":
            while len(self.spans) < len(self.requests) // 3:
                time.sleep(0.001)
            possible = self.do(kind)
        while any(thread.is_alive() for thread in threads):
            self.server.read_log()
            time.sleep(0.01)
        return possible


def row(options, kind, requests, undisturbed):
    flags = ["-tp", options.tensor_parallel_size, "--max-model-len=1024", "--kv-cache-memory=256MB", "--disable-log-requests", "--port", free_port(), *options.flags]
    begun = time.monotonic()
    with Server(*flags, model=options.model, name="model") as server:
        started = time.monotonic() - begun
        run = Run(server, requests)
        if not run.run(kind, options.tensor_parallel_size):
            print(f"| {NAMES[kind]} | - | this machine or this server has none | | | | | |")
            return run.answers
        differ = sum(answer is not None and known is not None and answer != known for answer, known in zip(run.answers, undisturbed or run.answers))
        n = len(run.spans)
        before = run.mean(lambda begin, end: not run.fault_at or end < run.fault_at)
        after = recovery = ""
        if kind != "none":
            after = f"{run.mean(lambda begin, end: begin > run.health_at):.3f}"
            recovery = f"{run.health_at - run.fault_at:.3f}"
        print(f"| {NAMES.get(kind, kind)} | {started:.2f} | {n} | {run.failed} | {differ} | {before:.3f} | {after} | {recovery} |", flush=True)
        server.stop()
    return run.answers


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEMO)
    parser.add_argument("--tokens", type=int, default=150, help="of each answer")
    parser.add_argument("-tp", "--tensor-parallel-size", type=int, default=2)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("flags", nargs="*", help="of colrow serve, after --")
    options = parser.parse_args()
    requests = vllm_shape(CLIENTS, EACH, options.tokens, 1)
    name = os.path.basename(os.path.normpath(options.model))
    print(f"{name}, TP={options.tensor_parallel_size}, {CLIENTS} clients, {EACH} requests each of {options.tokens} tokens; seconds; "
          f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
    print("| failure | startup | success | failed | answers that differ | latency before | latency after | recovery |\n|---|---|---|---|---|---|---|---|")
    undisturbed = row(options, "none", requests, None)
    for kind in options.faults:
        if kind != "none":
            row(options, kind, requests, undisturbed)


if __name__ == "__main__":
    main()
