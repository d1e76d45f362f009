#!/usr/bin/env python3
"""`LLM` in a script under `colrow launch`: one engine for all processes, the same answers and refusals in each; rank 0 may
work for longer than the launcher's --timeout; "mp" gives each process an engine of its own."""
import json
import os
import subprocess
import sys
import tempfile

from python_case import COLROW, DEMO, HERE, ROOT, need_demo
from support import check, finish, patience

need_demo()
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python"), "PYTHON_EXEC": sys.executable}
SCRIPT = os.path.join(HERE, "launched_llm_script.py")


def answers(processes, ranks, backend, idle_seconds=0, timeout=600):
    """-> what each process got, and the finished launcher."""
    with tempfile.TemporaryDirectory() as folder:
        words = [COLROW, "launch", "--nproc-per-node", processes, "--timeout", timeout, SCRIPT, DEMO, folder, ranks, backend, idle_seconds]
        done = subprocess.run(list(map(str, words)), capture_output=True, text=True, env=ENVIRONMENT, check=False)
        found = [json.load(open(os.path.join(folder, name), encoding="utf-8")) for name in sorted(os.listdir(folder))]
        return found, done


def without_engine(found):
    return {name: value for name, value in found.items() if name != "engine"}


(alone,), first = answers(1, 1, "none")
check(alone["engine"] == "Engine" and "99999" in alone["refusal"] and alone["texts"][:2] == alone["texts"][2:], f"alone: {alone}")
for n, ranks, backend in ((2, 2, "external_launcher"), (3, 2, "none"), (2, 1, "mp")):
    found, done = answers(n, ranks, backend)
    check(done.returncode == 0 and len(found) == n and done.stdout == first.stdout, f"{n} processes, {backend}: {done.stdout}{done.stderr}")
    for rank, process in enumerate(found):
        check(without_engine(process) == {**without_engine(alone), "ranks": ranks}, f"{n} processes, {backend}: {process} is not {alone}")
        own = rank == 0 or backend == "mp"
        check((process["engine"] == "Engine") == own and ("RANK 0" in process["engine"]) != own, f"{backend}, rank {rank}: {process['engine']}")
found, done = answers(2, 1, "external_launcher")
check(done.returncode == 1 and not found and "2 processes" in done.stderr, f"a wrong number of ranks: {done.stderr}")
short = patience(2.5)
found, done = answers(2, 1, "none", idle_seconds=2 * short, timeout=short)
check(done.returncode == 0 and len(found) == 2, f"rank 0 is busy for longer than --timeout: {done.stderr}")
finish("LLM under colrow launch")
