#!/usr/bin/env python3
"""The program's file is replaced, or removed, while a server runs, as an upgrade does it: ranks and keepers that die
afterwards are started again all the same, of the version that runs."""
import os
import shutil
import signal
import tempfile

import serve_client
from chaos_faults import Family
from support import COLROW, DEMO, check, finish, skip

QUESTION = "What is a rank?"
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")


def replace(path):
    with open(path + ".new", "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexit 3\n")
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def kill(family, who):
    ranks, keepers = family.look()
    for pid in {"ranks": ranks, "keepers": keepers, "all": ranks + keepers}[who]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it went with the one before


with tempfile.TemporaryDirectory() as folder:
    for change in (replace, os.unlink):
        program = os.path.join(folder, "colrow")
        shutil.copy(COLROW, program)
        serve_client.support.COLROW = program
        with serve_client.Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests") as server:
            family = Family(server.process.pid)
            before = server.chat(QUESTION)
            change(program)
            for who in ("ranks", "keepers", "all"):
                kill(family, who)
                check(server.chat(QUESTION) == before, f"{change.__name__}: the answer after {who} were killed")
            check(server.stop() == 0, f"{change.__name__}: exit status {server.process.returncode}: {''.join(server.log)[-500:]}")
finish("upgrade")
