#!/usr/bin/env python3
"""Any process of a running `generate` is killed, stopped or terminated at random instants: there is always a message, the
exit status is not 0, all is over within a second, and nothing is left behind."""
import os
import random
import re
import signal
import subprocess
import time

from processes import children_of, lives
from support import COLROW, DEMO, check, finish, patience, skip

TIMES = int(os.environ.get("KILL_TIMES", "24"))
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
random.seed(int(os.environ.get("KILL_SEED", "1")))
slowest = 0.0
kinds = {}


def shared_memory():
    return set(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else set()


def working(pid):
    """The ranks of an owner: those that their keepers have forked, and keepers that load."""
    return [rank for keeper in children_of(pid) for rank in children_of(keeper) or [keeper]]


def everybody(pid):
    return [process for keeper in children_of(pid) for process in [keeper, *children_of(keeper)]]


before = shared_memory()
for i in range(TIMES):
    tp, pp = random.choice(((2, 1), (3, 1), (4, 1), (1, 2), (2, 2), (1, 4)))
    process = subprocess.Popen(
        [COLROW, "generate", DEMO, "-p", "Tensor parallelism", "--max-tokens", "900", "--samples", "48", "--ignore-eos", "-tp", str(tp), "-pp", str(pp), "--rank-restarts", "0", "-q"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    time.sleep(random.uniform(0.0, 0.6))
    ranks = everybody(process.pid)
    owner = random.random() < 0.25 or not ranks
    victim = process.pid if owner else random.choice(working(process.pid))
    what = signal.SIGKILL if owner else random.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM, signal.SIGSEGV))
    running = process.poll() is None
    try:
        os.kill(victim, what)
    except ProcessLookupError:
        pass
    began = time.monotonic()
    try:
        _, message = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        check(False, f"{i}: still there 20 s after signal {what} to {'owner' if owner else 'rank'}")
        process.kill()
        continue
    limit = patience(1.0)
    deadline = began + limit
    while any(lives(pid) for pid in ranks) and time.monotonic() < deadline + 5:
        time.sleep(0.002)
    took = time.monotonic() - began
    if not running:
        continue  # it had finished by itself before the signal
    slowest = max(slowest, took)
    name = ("owner" if owner else "rank") + " " + what.name
    kinds[name] = kinds.get(name, 0) + 1
    check(process.returncode != 0, f"{i}: {name}: exit status 0")
    check(took <= limit, f"{i}: {name}: took {took:.2f} s")
    if not owner or ranks:
        check(message.strip() != "" or (owner and took < 0.3 and not ranks), f"{i}: {name}: no message")
    left = [pid for pid in ranks if lives(pid)]
    check(not left, f"{i}: {name}: left processes {left}")
# where a rank was when it died, on any number of ranks: the part of a layer that it computed, or the collective in it
PARTS = ("embed_tokens|attention|q,k,v|o_proj|mlp|gate,up|down_proj|normed rows|normed rows for lm_head|lm_head|"
         "stream of the stage before|stream to the next stage")
PLACE = re.compile(r"was killed by signal 9 \(Killed\)( in step \d+(, layer \d+)?, (all-reduce of |all-gather of |send of |recv of |receive of )?(" + PARTS + r"))?; the group was ended")
EARLY = re.compile(r"was killed by signal 9 \(Killed\) (while starting|in (starting|tuning|loading)); ")
# ... and when it had hardly begun
for i in range(8):
    process = subprocess.Popen([COLROW, "generate", DEMO, "-p", "Tensor", "-tp", "2", "--rank-restarts", "0", "-q"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(children_of(process.pid)) < 2:
        time.sleep(0.001)
    time.sleep(0.003 * i)
    ranks = working(process.pid)
    if ranks:
        os.kill(ranks[-1], signal.SIGKILL)
    _, message = process.communicate(timeout=20)
    if process.returncode == 0:
        continue  # its two ranks had answered by then
    check(EARLY.search(message) or PLACE.search(message), f"a rank killed {3 * i} ms after it was started: {message!r}")
for tp, pp in ((1, 1), (2, 1), (1, 2)):
    places = counted = 0
    wait = 0.3
    for i in range(40):
        process = subprocess.Popen([COLROW, "generate", DEMO, "-p", "Tensor", "--max-tokens", "900", "--samples", "128", "--ignore-eos", "-tp", str(tp), "-pp", str(pp), "--rank-restarts", "0", "-q", "--json"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and len(children_of(process.pid)) < tp * pp:
            time.sleep(0.005)
        time.sleep(wait + 0.01 * i)
        ranks = working(process.pid)
        if ranks:
            os.kill(ranks[-1], signal.SIGKILL)
        _, message = process.communicate(timeout=20)
        if process.returncode == 0 or EARLY.search(message):  # over by itself, or a busy machine had not begun
            wait *= 0.7 if process.returncode == 0 else 1.3
            continue
        found = PLACE.search(message)
        check(found, f"TP={tp} PP={pp}: a killed rank: {message!r}")
        places += bool(found and found.group(1))
        counted += 1
        if counted == 8:
            break
    check(places >= 4, f"TP={tp} PP={pp}: {places} of {counted} sentences say where the rank was")
check(shared_memory() == before, f"left in /dev/shm: {shared_memory() - before}")
print(f"{TIMES} times, slowest {slowest * 1000:.0f} ms: " + ", ".join(f"{n} x {k}" for k, n in sorted(kinds.items())))
finish("kill")
