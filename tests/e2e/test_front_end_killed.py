#!/usr/bin/env python3
"""The front-end is killed under load: every process that belongs to it is gone within a second and nothing is left; started
again by whoever supervises it, it serves again. Also while it loads. Its running requests are lost: their clients see the
connection end."""
import os
import random
import signal
import socket
import subprocess
import threading
import time

from chaos_faults import Family
from chaos_requests import Mix, ask, full_answer
from serve_client import Server
from support import COLROW, DEMO, check, finish, patience, skip

TIMES = int(os.environ.get("KILL_TIMES", "6"))
STREAMS = 8
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
random.seed(int(os.environ.get("KILL_SEED", "1")))
with socket.socket() as listener:  # the same port every time, as a supervisor has it
    listener.bind(("127.0.0.1", 0))
    PORT = listener.getsockname()[1]
FLAGS = ("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests", "--port", PORT)
requests = Mix(17, 96, seed=1, prompt_words=120).requests
slowest = 0.0


def named_memory():
    """Shared memory that outlives processes: names under /dev/shm and System V segments."""
    with open("/proc/sysvipc/shm", encoding="ascii") as file:
        return set(os.listdir("/dev/shm")), len(file.readlines())


def available():
    with open("/proc/meminfo", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("MemAvailable")) / 1024


def await_end(family, what):
    """-> seconds until no process of the family lives."""
    begun = time.monotonic()
    limit = patience(1.0)
    while family.left() and time.monotonic() < begun + limit + 10:
        time.sleep(0.002)
    took = time.monotonic() - begun
    check(took <= limit and not family.left(), f"{what}: processes {family.left()} are there {took:.2f} s later")
    return took


def load(server, stop, outcomes):
    """Asks until told to stop; every answer that comes whole must be right."""
    connection, i = server.connect(), random.randrange(1000)
    while not stop.is_set():
        i += 1
        request = requests[i % len(requests)]
        try:
            if not request.leaves:
                outcomes.append(ask(connection, request, lambda: None) == known[i % len(requests)])
        except Exception:  # what a killed server leaves: connections that end anywhere
            connection.close()
            stop.wait(0.05)
    connection.close()


def killed_under_load(i):
    global slowest
    with Server(*FLAGS) as server:  # what a supervisor does: the same command again
        family = Family(server.process.pid)
        connection = server.connect()
        answers = [full_answer(connection, request) for request in requests]
        connection.close()
        if known:
            check(answers == known, f"{i}: started again it answers otherwise")
        known[:] = answers
        stop, outcomes = threading.Event(), []
        threads = [threading.Thread(target=load, args=(server, stop, outcomes)) for _ in range(STREAMS)]
        for thread in threads:
            thread.start()
        time.sleep(random.uniform(0.2, 0.6))
        family.look()
        check(len(family.ever) >= 2, f"{i}: no ranks under {server.process.pid}")
        server.process.send_signal(signal.SIGKILL)
        slowest = max(slowest, await_end(family, f"{i}: the front-end is killed under load"))
        stop.set()
        for thread in threads:
            thread.join()
        check(server.process.wait() == -signal.SIGKILL, f"{i}: exit status {server.process.returncode}")
        check(all(outcomes), f"{i}: {outcomes.count(False)} of {len(outcomes)} whole answers are wrong")
        return len(outcomes)


def killed_while_it_loads(i):
    process = subprocess.Popen([COLROW, "serve", DEMO, *map(str, FLAGS), "-q"], stderr=subprocess.DEVNULL)
    family = Family(process.pid)
    until = time.monotonic() + 0.01 * i
    while time.monotonic() < until:
        family.look()
        time.sleep(0.001)
    process.kill()
    family.look()
    process.wait()
    await_end(family, f"killed {10 * i} ms after its start")


known = []
before, available_before = named_memory(), available()
answered = [killed_under_load(i) for i in range(TIMES)]
for moment in range(12):
    killed_while_it_loads(moment)
check(named_memory() == before, f"shared memory with a name: {before}, then {named_memory()}")
print(f"killed {TIMES} times under load ({sum(answered)} answers before): all processes gone after {slowest * 1000:.0f} ms at most; "
      f"{available_before:.0f} MiB were available before, {available():.0f} MiB after")
finish("front_end_killed")
