#!/usr/bin/env python3
"""How long answers pause when a rank of `colrow serve` is killed: 50 kills for each case, on the demo model and on a model in
Llama-3.2-1B's shape, with one stream and with eight. Writes a Markdown table.

    bench/recovery.py [--kills 50] [MODEL ...]

restart  from the moment when the loss is noticed until new ranks are ready, as /metrics says it
replay   from there until the next step is complete, which computes again all prompts and what there is of answers
prefill  what as many tokens take in new requests of an undisturbed server: replay shall take no longer
pause    from the kill until a stream's next token, of every stream
"""
import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
from chaos_faults import Family
from serve_client import Server
from support import COLROW, DEMO

SHAPE_1B = os.path.join(ROOT, "bench/configs/llama-3.2-1b.json")
FOLDER_1B = os.environ.get("MODEL_1B", "/tmp/colrow-llama-3.2-1b")
PROMPT = 64          # tokens
ANSWER = (8, 64)     # tokens that a stream has when the rank is killed
LENGTH = 1024        # of a sequence at most, which no stream reaches
PATIENCE = 120       # seconds


def model_1b():
    """Synthesised once; a tokenizer of its own, for the server needs one."""
    if not os.path.exists(os.path.join(FOLDER_1B, "model.safetensors")):
        subprocess.run([COLROW, "synth", SHAPE_1B, FOLDER_1B], check=True)
    if not os.path.exists(os.path.join(FOLDER_1B, "tokenizer.json")):
        subprocess.run([sys.executable, os.path.join(ROOT, "bench/make_tokenizer.py"), FOLDER_1B], check=True)
    return FOLDER_1B


class Stream(threading.Thread):
    """A request of random tokens; knows when each piece came."""

    def __init__(self, server, ids, n):
        super().__init__(daemon=True)
        self.body = json.dumps({"prompt": ids, "max_tokens": n, "ignore_eos": True, "temperature": 0, "stream": True})
        self.connection = http.client.HTTPConnection(server.host, server.port, timeout=PATIENCE)
        self.times, self.left, self.error = [], False, None
        self.begun = time.monotonic()
        self.start()

    def run(self):
        try:
            self.connection.request("POST", "/v1/completions", self.body, {"Content-Type": "application/json"})
            reply = self.connection.getresponse()
            while not self.left and (line := reply.readline()):
                if line.startswith(b'data: {"id"'):
                    self.times.append(time.monotonic())
                elif reply.status != 200 or b'"error"' in line:
                    self.error = line
        except OSError as error:
            self.error = error
        self.connection.close()

    def next_after(self, at):
        return next((t for t in self.times if t > at), None)


def wait_for(condition, what):
    until = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(what + f": not after {PATIENCE} s")
        time.sleep(0.0005)


class Recovery:
    def __init__(self, server, model, n_streams, rng):
        self.server, self.n_streams, self.rng = server, n_streams, rng
        self.family = Family(server.process.pid)
        with open(os.path.join(model, "config.json"), encoding="utf-8") as file:
            self.vocabulary = json.load(file)["vocab_size"]

    def ids(self, n):
        return [self.rng.randrange(256, self.vocabulary - 256) for _ in range(n)]

    def prefill(self, n):
        """Seconds until the last of several prompts of `n` tokens, sent at once, has its first token."""
        streams = [Stream(self.server, self.ids(n), 1) for _ in range(self.n_streams)]
        for stream in streams:
            stream.join()
        return max(stream.times[0] for stream in streams) - min(stream.begun for stream in streams)

    def kill(self):
        """-> seconds: restart, replay, prefill of as much, and the pauses of all streams"""
        streams = [Stream(self.server, self.ids(PROMPT), LENGTH - PROMPT) for _ in range(self.n_streams)]
        n = self.rng.randint(*ANSWER)
        wait_for(lambda: all(len(stream.times) >= n for stream in streams), "the streams begin")
        old, _ = self.family.look()
        at, n_had = time.monotonic(), max(len(stream.times) for stream in streams)
        os.kill(self.rng.choice(old), signal.SIGKILL)
        wait_for(lambda: len(fresh := self.family.look()[0]) == len(old) and not set(fresh) & set(old), "new ranks")
        renewed = time.monotonic()
        wait_for(lambda: all(stream.next_after(renewed) for stream in streams), "the streams go on")
        pauses = [stream.next_after(renewed) - at for stream in streams]
        for stream in streams:
            stream.left = True
        for stream in streams:
            stream.join()
            if stream.error:
                raise RuntimeError(f"a stream failed: {stream.error}")
        self.server.read_log()
        wait_for(lambda: self.server.metric("vllm:num_requests_running") == 0, "the streams are over")
        restart, replay = (self.server.metric("colrow_last_recovery_seconds", part=part) for part in ("load", "replay"))
        return restart, replay, self.prefill(PROMPT + n_had), pauses


def quantiles(values):
    ordered = sorted(values)
    return " / ".join(f"{ordered[min(len(ordered) - 1, int(len(ordered) * q))]:.3f}" for q in (0.5, 0.99))


def measure(model, name, tp, n_streams, n_kills, flags):
    with Server("-tp", tp, f"--max-model-len={LENGTH}", "--kv-cache-memory=512MB", "--disable-log-requests", *flags, model=model) as server:
        recovery = Recovery(server, model, n_streams, random.Random(1))
        recovery.prefill(PROMPT)  # warm
        rows = []
        for i in range(n_kills):
            rows.append(recovery.kill())
            if sys.stderr.isatty():
                print(f"\r\033[K{name}, {n_streams} streams: {i + 1} of {n_kills} kills", end="", file=sys.stderr, flush=True)
        if server.stop() != 0:
            raise RuntimeError("the server's end: " + "".join(server.log)[-500:])
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)
    restart, replay, prefill, pauses = ([row[i] for row in rows] for i in range(4))
    pauses = [pause for of_kill in pauses for pause in of_kill]
    cells = " | ".join(map(quantiles, (restart, replay, prefill, pauses)))
    print(f"| {name} | {n_streams} | {n_kills} | {cells} | {max(pauses):.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", help="folders (default: models/demo and Llama-3.2-1B's shape)")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("-tp", "--tensor-parallel-size", type=int, default=2)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--flag", action="append", default=[], help="one more for colrow serve")
    options = parser.parse_args()
    models = options.models or [DEMO, model_1b()]
    print(f"seconds, p50 / p99; TP={options.tensor_parallel_size}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
    print("| model | streams | kills | restart | replay | prefill of as much | pause of a stream | longest |\n|---|---|---|---|---|---|---|---|")
    for model in models:
        for n_streams in options.streams:
            measure(model, os.path.basename(os.path.normpath(model)), options.tensor_parallel_size, n_streams, options.kills, options.flag)


if __name__ == "__main__":
    main()
