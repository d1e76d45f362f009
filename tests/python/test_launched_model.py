#!/usr/bin/env python3
"""A script that loads a model with tp_plan="auto" under `colrow launch`, as scripts for torchrun do: one engine for all
processes, every process gets the same answers and refusals, and they are those of the script alone."""
import json
import os
import subprocess
import sys
import tempfile

from python_case import COLROW, DEMO, HERE, ROOT, need_demo
from support import check, finish

need_demo()
SCRIPT = [sys.executable, os.path.join(HERE, "launched_script.py"), DEMO]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python")}


def answers(ranks):
    """-> what each process got, and what was printed."""
    with tempfile.TemporaryDirectory() as folder:
        launcher = [COLROW, "launch", "--nproc-per-node", str(ranks), "--"] if ranks else []
        done = subprocess.run([*launcher, *SCRIPT, folder], capture_output=True, text=True, env=ENVIRONMENT, check=False)
        check(done.returncode == 0, f"{ranks} processes: {done.stdout}{done.stderr}")
        found = [json.load(open(os.path.join(folder, name), encoding="utf-8")) for name in sorted(os.listdir(folder))]
        check(len(found) == max(ranks, 1), f"{ranks} processes: {len(found)} have answered")
        return found, done.stdout


(alone,), said = answers(0)
check(alone["tp_size"] == 1 and "999999" in alone["refusal"] and len(said) > 50, f"alone: {alone} {said}")
for n in (2, 3):
    processes, text = answers(n)
    check(text == said, f"{n} processes print {text!r}, one {said!r}")
    for process in processes:
        check(process == {**alone, "tp_size": n}, f"{n} processes: {process} is not {alone}")
finish("a model under colrow launch")
