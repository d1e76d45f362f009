#!/usr/bin/env python3
"""Runs the clients of this folder against `colrow serve models/demo` on two ranks; packages come from the package index.

    run.py [NAME ...]        e.g. run.py lm_eval guidellm; without names all
"""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../e2e"))
from packages import python_with
from serve_client import Server
from support import COLROW, DEMO

OPENAI = ("openai", ["openai==3.57.0", "anthropic==2.14.0", "aiohttp==3.14.5"], "anthropic")
CLIENTS = {
    "openai": (OPENAI, "openai_client.py"),
    "lab": (OPENAI, "lab_client.py"),
    "lm_eval": (None, "lm_eval_client.py"),
    "guidellm": (None, "guidellm_client.py"),
}

names = sys.argv[1:] or list(CLIENTS)
failed = [name for name in names if name not in CLIENTS]
with Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests", "--enable-tokenizer-info-endpoint") as server:
    for name in names:
        if name in failed:
            continue
        packages, script = CLIENTS[name]
        python = python_with(*packages) if packages else sys.executable
        done = subprocess.run([python, os.path.join(HERE, script), f"http://{server.host}:{server.port}", *([] if packages else [DEMO, COLROW])], check=False)
        if done.returncode != 0:
            failed.append(name)
print("clients: " + (f"failed: {', '.join(failed)}" if failed else "all passed"))
sys.exit(1 if failed else 0)
