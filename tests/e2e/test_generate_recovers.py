#!/usr/bin/env python3
"""Ranks of `generate` and `chat` are killed again and again: there are pauses, a warning for each, and the same answers."""
import json
import os
import random
import re
import signal
import subprocess
import tempfile
import threading
import time

from processes import leaves_below
from support import COLROW, DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
random.seed(int(os.environ.get("KILL_SEED", "2")))
# in turn: a request that is lost again and again in the same way would be taken for what kills the ranks
SIGNALS = (signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGSTOP)
LOST = re.compile(r"^colrow: warning: rank \d+ \(pid \d+\) was (killed|stopped) .*; restarted in [\d.]+ s, (\d+) requests? (goes|go) on$", re.M)


def disturb(process, errors, kills, answering):
    """Kills ranks `kills` times, each when the one before was told and within a part of the seconds that answering takes:
    so losses meet the answer on a fast machine too."""
    while process.poll() is None and "ready after" not in read(errors):  # what dies before is not started again
        time.sleep(0.001)
    for done, number in enumerate(SIGNALS[:kills]):
        while process.poll() is None and len(LOST.findall(read(errors))) < done:
            time.sleep(0.001)
        time.sleep(random.uniform(0, answering / (kills + 1)))
        ranks = leaves_below(process.pid)
        if process.poll() is None and ranks:
            try:
                os.kill(random.choice(ranks), number)
            except ProcessLookupError:
                pass


def read(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


def run(arguments, text="", kills=0, answering=0):
    """-> standard output, standard error, exit status, seconds from ready to the end"""
    with tempfile.NamedTemporaryFile("w+") as errors:
        process = subprocess.Popen([COLROW, *map(str, arguments), "-v"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   stderr=errors, text=True)
        thread = threading.Thread(target=disturb, args=(process, errors.name, kills, answering))
        thread.start()
        started = time.monotonic()
        try:
            output, _ = process.communicate(text, timeout=patience(60))
        finally:
            process.kill()
            thread.join()
        ready = re.search(r"ready after ([\d.]+) s", read(errors.name))
        answered = max(0, time.monotonic() - started - float(ready[1] if ready else 0))
        return output, read(errors.name), process.returncode, answered


def answers(output):
    return json.loads(output)["outputs"] if output.startswith("{") else output


SAMPLED = ("--temperature", 0.9, "--sampling-seed", 7, "--ignore-eos")
losses = 0
for what, arguments, text in (
        ("a stream", ("generate", DEMO, "-p", "Tensor parallelism", "-n", 900, *SAMPLED), ""),
        ("many answers", ("generate", DEMO, "-p", "A rank", "-p", "The group " * 40, "-n", 300, "--samples", 5, "--json", "--logprobs", 2,
                          "--repetition-penalty", 1.1, *SAMPLED), ""),
        ("a chat", ("chat", DEMO, "-n", 200, *SAMPLED), "What is a rank?\nAnd a group?\nWhat is a token?\n")):
    wanted, _, status, answering = run((*arguments, "-tp", 1), text)
    check(status == 0 and wanted, f"{what}: undisturbed, exit status {status}")
    for tp in (1, 2, 3):
        got, errors, status, _ = run((*arguments, "-tp", tp), text, len(SIGNALS), answering)
        told = LOST.findall(errors)
        losses += len(told)
        check(status == 0, f"{what}, {tp} ranks: exit status {status}: {errors[-600:]}")
        check(answers(got) == answers(wanted), f"{what}, {tp} ranks, {len(told)} losses: another answer")
check(losses >= 6, f"ranks were lost {losses} times only")
print(f"{losses} losses")
finish("generate and chat recover")
