#!/usr/bin/env python3
"""Ranks that hang in any of their threads, at work or idle, are found, named and replaced: by a step that takes too long, by a canary
while nobody asks. A thread hangs that gets SIGILL (tests/faults/inject_faults.c)."""
import ctypes
import os
import re
import signal
import tempfile
import threading
import time

from processes import ranks_below
from serve_client import Server
from support import SANITIZE, check, finish, patience, skip

LIBRARY = os.path.abspath(os.path.join(os.environ.get("BUILD_DIR", "build/release"), "tests", "libinject_faults.so"))
SYS_TGKILL = 234 if os.uname().machine == "x86_64" else 131
BODY = {"prompt": "Tensor", "max_tokens": 900, "n": 8, "temperature": 0.8, "seed": 7, "ignore_eos": True}
if SANITIZE:
    skip("sanitizers have SIGILL for themselves")
if not os.path.exists(LIBRARY):
    skip(f"{LIBRARY} is not built")
folder = tempfile.TemporaryDirectory()
page = os.path.join(folder.name, "faults")
with open(page, "wb") as file:
    file.truncate(4096)
ENVIRONMENT = {"LD_PRELOAD": LIBRARY, "FAULTS": page}
FLAGS = ("--max-model-len", "1024", "--kv-cache-memory", "64MB", "--threads-per-rank", "2", "--no-enable-prefix-caching")


def thread_of(pid, helper):
    """The first thread of a process, or one of those that help it: (pid, tid)"""
    tid = pid
    for entry in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{entry}/comm", encoding="ascii") as comm:
            if helper and comm.read().startswith("team-"):
                tid = int(entry)
    check((tid != pid) == helper, "the rank has a thread that helps it")
    return pid, tid


def hang(pid, tid):
    ctypes.CDLL(None).syscall(SYS_TGKILL, pid, tid, signal.SIGILL)


def ended(server):
    return re.search(r"(rank \d+ \(pid \d+\) has [^\n]*?|step \d+ does not end[^\n]*?); the (canary step|step) has taken ([0-9.]+) s[^\n]*the group was ended",
                     server.read_log())


def at_work(tp, victims, helper):
    """Ranks hang while a request runs."""
    name = f"TP={tp}, rank {' and '.join(map(str, victims))}, {'a helping' if helper else 'the first'} thread"
    with Server("-tp", tp, *FLAGS, environment=ENVIRONMENT) as server:
        status, expected = server.post("/v1/completions", **BODY)
        check(status == 200, f"{name}: {expected}")
        ranks = ranks_below(server.process.pid)
        hanging = [thread_of(ranks[victim], helper) for victim in victims]  # the request takes half a second
        result = []
        thread = threading.Thread(target=lambda: result.append(server.post("/v1/completions", **BODY)))
        thread.start()
        server.wait_for(lambda: server.metric("vllm:num_requests_running") > 0)
        time.sleep(0.05)
        for pid, tid in hanging:
            hang(pid, tid)
        begun = time.monotonic()
        found = server.wait_for(lambda: ended(server), 30) and ended(server)
        took = time.monotonic() - begun
        if not check(found, f"{name}: not found: {server.read_log()[-1500:]}"):
            server.process.kill()
            return
        print(f"{name}: {took:.2f} s: {found[0]}")
        check(took < 1 + patience(2), f"{name}: found after {took:.2f} s")
        if len(victims) == 1:
            check(f"rank {victims[0]} (pid {ranks[victims[0]]}) has" in found[1], f"{name}: another rank is named: {found[0]}")
        thread.join(60)
        check(result and result[0][0] == 200 and result[0][1]["choices"] == expected["choices"], f"{name}: another answer: {result}")
        check(server.wait_for(lambda: server.metric("colrow_rank_restarts_total") == 1), f"{name}: restarts")
        check(server.stop() == 0, f"{name}: exit status")


def idle():
    """A rank hangs while nobody asks: the canary finds it, and no request has to."""
    with Server("-tp", 2, *FLAGS, "--canary-interval", 0.5, "--step-timeout", 1.5, environment=ENVIRONMENT) as server:
        body = {**BODY, "max_tokens": 20, "n": 1}
        expected = server.post("/v1/completions", **body)[1]["choices"]
        before = server.metric("colrow_rank_last_step", rank=1)
        check(before >= 20, f"steps are counted: {before}")
        check(server.metric("colrow_rank_last_collective", rank=0) > 40, "collectives are counted")
        check(server.wait_for(lambda: server.metric("colrow_rank_last_step", rank=1) >= before + 2, 10), "canaries are steps")
        check(server.metric("colrow_rank_last_collective", operation="barrier", part="canary", rank=1) > 40, "the last collective is the canary's")
        check(server.metric("colrow_seconds_since_step") < 0.5 + patience(0.5), "a step was done not long ago")
        check(server.metric("colrow_step_overdue") == 0 and server.metric("colrow_rank_restarts_total") == 0, "nothing is wrong")
        check(server.post("/v1/completions", **body)[1]["choices"] == expected, "canaries change no answer")
        hang(*thread_of(ranks_below(server.process.pid)[1], False))
        seen = {"overdue": False, "unhealthy": False}

        def is_over():
            seen["overdue"] |= server.metric("colrow_step_overdue") == 1
            seen["unhealthy"] |= server.request("GET", "/health")[0] == 503
            return server.metric("colrow_rank_restarts_total") == 1 and server.request("GET", "/health")[0] == 200

        begun = time.monotonic()
        check(server.wait_for(is_over, 30), f"the ranks are started again: {server.read_log()[-1000:]}")
        took = time.monotonic() - begun
        check(seen["overdue"], "colrow_step_overdue was 1 meanwhile")
        check(took < 2.5 + patience(2), f"an idle rank is found after {took:.2f} s")
        check(ended(server) and "canary" in ended(server)[0], f"the sentence: {server.read_log()[-1000:]}")
        print(f"idle: {took:.2f} s, 503 meanwhile: {seen['unhealthy']}: {ended(server)[0]}")
        check(server.post("/v1/completions", **body)[1]["choices"] == expected, "and answer as before")
        check(server.stop() == 0, "exit status")


idle()
at_work(1, [0], False)
at_work(1, [0], True)
at_work(2, [1], False)
at_work(2, [0], True)
at_work(2, [0, 1], False)
finish("hang")
