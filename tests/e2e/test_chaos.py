#!/usr/bin/env python3
"""A hundred faults: ranks of a server are killed, stopped and starved of memory under load, as fast as they come back, and
every answer is the one given undisturbed. `make chaos` is the long run. Times are printed and not judged."""
import os
import time

from chaos_requests import Mix
from chaos_run import Chaos, table
from serve_client import Server
from support import DEMO, SANITIZE, check, finish, skip

FAULTS = {2: 60, 3: 40} if not SANITIZE else {2: 12, 3: 8}
# of the second one, so few pages and places that requests wait, and start over from pages in host memory
FLAGS = {2: ["--kv-cache-memory=64MB"], 3: ["--kv-cache-memory=5MB", "--kv-offloading-size=0.02", "--max-num-seqs=12"]}
SEED = int(os.environ.get("CHAOS_SEED", "1"))
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
shared = set(os.listdir("/dev/shm"))
for tp, n_faults in FAULTS.items():
    begun = time.monotonic()
    with Server("-tp", tp, "--max-model-len=512", "--scheduling-policy=priority", "--disable-log-requests", *FLAGS[tp]) as server:
        chaos = Chaos(server, tp, Mix(34, 96, SEED, prompt_words=120).requests, SEED, interval=(0.0, 0.05))
        found = chaos.record()
        if not found:
            chaos.run(n_faults)
            found = chaos.judge()
            results = {**chaos.results(), "seconds": time.monotonic() - begun}
            print(table(results), flush=True)
            check(chaos.n_done() == n_faults, f"TP={tp}: {chaos.n_done()} faults")
        for what in found + chaos.stop():
            check(False, f"TP={tp}: {what}")
check(set(os.listdir("/dev/shm")) <= shared, "something is left in /dev/shm")
finish("chaos")
