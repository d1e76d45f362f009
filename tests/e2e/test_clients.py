#!/usr/bin/env python3
"""The clients under tests/clients against a server. CLIENTS_PYTHON names a Python that has their packages."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
from serve_client import Server
from support import SKIPPED, check, finish, skip

PYTHON = os.environ.get("CLIENTS_PYTHON", sys.executable)

with Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests") as server:
    skipped = 0
    for name in ("openai_client.py", "lab_client.py"):
        client = [PYTHON, os.path.join(HERE, "../clients", name), f"http://{server.host}:{server.port}"]
        done = subprocess.run(client, capture_output=True, text=True, timeout=300)
        print(done.stdout, end="", flush=True)
        skipped += done.returncode == SKIPPED
        check(done.returncode in (0, SKIPPED), f"{name}: {done.stdout} {done.stderr}")
    if skipped == 2:
        skip("the packages openai, anthropic and aiohttp are not there")
finish("clients")
