#!/usr/bin/env python3
"""A hundred faults: ranks of a server are killed, stopped and starved of memory under load, as fast as they come back, and
every answer is the one given undisturbed. `make chaos` is the long run. Times are printed and not judged."""
import os
import time

from chaos_requests import Mix
from chaos_run import Chaos, table
from serve_client import Server
from support import DEMO, SANITIZE, check, finish, patience, skip

# ranks, stages, faults; of the others, so few pages and places that requests wait, and start over from pages in host memory
RUNS = [(2, 1, 60), (3, 1, 30), (2, 2, 30)] if not SANITIZE else [(2, 1, 12), (3, 1, 8), (2, 2, 6)]
PLENTY = ["--kv-cache-memory=64MB"]
SCARCE = ["--kv-cache-memory=5MB", "--kv-offloading-size=0.02", "--max-num-seqs=12"]
SEED = int(os.environ.get("CHAOS_SEED", "1"))
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
shared = set(os.listdir("/dev/shm"))
# On a loaded machine steps take longer, and faults that meet one request four times in a row convict it, rightly.
INTERVAL = (patience(0.05) - 0.05, patience(0.05))
for tp, pp, n_faults in RUNS:
    what = f"TP={tp}, PP={pp}"
    flags = PLENTY if (tp, pp) == (2, 1) else SCARCE
    begun = time.monotonic()
    with Server("-tp", tp, "-pp", pp, "--max-model-len=512", "--scheduling-policy=priority", "--disable-log-requests", *flags) as server:
        chaos = Chaos(server, tp * pp, Mix(34, 96, SEED, prompt_words=120).requests, SEED, interval=INTERVAL)
        found = chaos.record()
        if not found:
            chaos.run(n_faults)
            found = chaos.judge()
            results = {**chaos.results(), "seconds": time.monotonic() - begun}
            print(table(results), flush=True)
            check(chaos.n_done() == n_faults, f"{what}: {chaos.n_done()} faults")
        for problem in found + chaos.stop():
            check(False, f"{what}: {problem}")
check(set(os.listdir("/dev/shm")) <= shared, "something is left in /dev/shm")
finish("chaos")
