#!/usr/bin/env python3
"""/health, /ping and /load say what is so: while a rank hangs (SIGILL makes a thread hang, tests/faults/inject_faults.c), at work or idle,
and while ranks are started again; a request that waits meanwhile is answered in full."""
import ctypes
import os
import re
import signal
import tempfile
import threading
import time

from chaos_faults import Family
from serve_client import Server
from support import DEMO, SANITIZE, check, finish, patience, skip

LIBRARY = os.path.abspath(os.path.join(os.environ.get("BUILD_DIR", "build/release"), "tests", "libinject_faults.so"))
SYS_TGKILL = 234 if os.uname().machine == "x86_64" else 131
BODY = {"prompt": "Tensor", "max_tokens": 900, "temperature": 0, "ignore_eos": True}
FLAGS = ("-tp", "2", "--kv-cache-memory", "64MB", "--max-model-len", "1024", "--host", "127.0.0.1", "--no-enable-prefix-caching")
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")


def watch(server, seconds):
    """Asks /health until it was 503 and is 200 again -> [(when, status, sentence)], without repetitions."""
    seen, begun, connection, slowest = [], time.monotonic(), server.connect(), 0.0
    while time.monotonic() - begun < seconds and not (len(seen) > 1 and seen[-1][1] == 200):
        asked = time.monotonic()
        status, _, answer = server.request("GET", "/health", connection=connection)
        slowest = max(slowest, time.monotonic() - asked)
        sentence = answer["error"]["message"] if status != 200 else ""
        if not seen or seen[-1][1:] != (status, sentence):
            seen.append((asked - begun, status, sentence))
        time.sleep(0.002)
    return seen, slowest


def a_rank_is_killed():
    with Server(*FLAGS) as server:
        whole = server.post("/v1/completions", **BODY)[1]["choices"][0]["text"]
        for busy in (False, True):
            what = "at work" if busy else "idle"
            answers = []
            thread = threading.Thread(target=lambda: answers.append(server.post("/v1/completions", **BODY)))
            if busy:
                thread.start()
                server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
            workers, _ = Family(server.process.pid).look()
            os.kill(workers[-1], signal.SIGKILL)
            seen, slowest = watch(server, patience(20))
            check([status for _, status, _ in seen[-2:]] == [503, 200], f"{what}: /health when a rank was killed: {seen}")
            check(any(re.search(r"the ranks are being started again: .*was killed by signal 9", sentence) for _, _, sentence in seen), f"{what}: why: {seen}")
            check(slowest < patience(0.05), f"{what}: /health took {slowest * 1e3:.1f} ms")
            first = next(when for when, status, _ in seen if status == 503) if len(seen) > 1 else 0
            print(f"{what}: 503 after {first * 1e3:.0f} ms, 200 after {seen[-1][0] * 1e3:.0f} ms, slowest answer {slowest * 1e3:.1f} ms", flush=True)
            if busy:
                thread.join()
                check(answers[0][0] == 200 and answers[0][1]["choices"][0]["text"] == whole, f"the request has its whole answer: {answers[0][0]}")
        check(server.stop() == 0, "the exit status")


def a_rank_hangs(busy):
    """Overdue first, then ended and started again."""
    what = "at work" if busy else "idle"
    with tempfile.TemporaryDirectory() as folder:
        page = os.path.join(folder, "faults")
        with open(page, "wb") as file:
            file.truncate(4096)
        more = ("--step-timeout", "3", "--canary-interval", "0.3", "--threads-per-rank", "2")
        with Server(*FLAGS, *more, environment={"LD_PRELOAD": LIBRARY, "FAULTS": page}) as server:
            answers = []
            thread = threading.Thread(target=lambda: answers.append(server.post("/v1/completions", **BODY)))
            if busy:
                thread.start()
                server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
            workers, _ = Family(server.process.pid).look()
            ctypes.CDLL(None).syscall(SYS_TGKILL, workers[-1], workers[-1], signal.SIGILL)
            seen, _ = watch(server, patience(30))
            overdue = [(when, sentence) for when, status, sentence in seen if re.match(r"no step of the ranks has completed for \d\.\d s, and one is overdue$", sentence)]
            check(overdue, f"{what}: /health says that a step is overdue: {seen}")
            # that may take less time than lies between two looks
            check(any("the ranks are being started again" in sentence for _, _, sentence in seen) or
                  server.metric("colrow_rank_restarts_total") == 1, f"{what}: then the ranks are started again: {seen}")
            check(seen[-1][1] == 200, f"{what}: and serve: {seen}")
            if overdue:
                print(f"a hung rank, {what}: 503 after {overdue[0][0]:.1f} s, 200 after {seen[-1][0]:.1f} s (--step-timeout 3)", flush=True)
            if busy:
                thread.join()
                check(answers[0][0] == 200, f"the request is answered: {answers[0]}")
            check(server.request("GET", "/load")[2] == {"server_load": 0}, "/load has nothing more to say")
            check(server.stop() == 0, "the exit status")


a_rank_is_killed()
if SANITIZE or not os.path.exists(LIBRARY):
    print("hung ranks: skipped, sanitizers have SIGILL for themselves" if SANITIZE else f"hung ranks: skipped, {LIBRARY} is not built")
else:
    a_rank_hangs(True)
    a_rank_hangs(False)
finish("health")
