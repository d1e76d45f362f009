#!/usr/bin/env python3
"""Ctrl-C, SIGTERM and SIGHUP while a model loads and while it answers: over within a second, with a sentence, exit status 128 +
number, and no process left; a second signal ends it at once. Loading is held up by a rank program that never gets ready."""
import os
import signal
import subprocess
import tempfile
import time

from processes import children_of, lives
from support import COLROW, DEMO, SANITIZE, check, finish, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
LIMIT = 1.0 if not SANITIZE else 5.0
folder = tempfile.TemporaryDirectory()
slow = os.path.join(folder.name, "slow")
with open(slow, "w", encoding="ascii") as file:
    file.write("#!/bin/sh\nexec sleep 60\n")
os.chmod(slow, 0o755)


def interrupt(what, arguments, number, wait, output=subprocess.DEVNULL):
    """Signals a command once `wait` is true of its process."""
    process = subprocess.Popen([COLROW, *arguments], stdout=output, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not wait(process) and time.monotonic() < end and process.poll() is None:
        time.sleep(0.01)
    ranks = children_of(process.pid)
    check(ranks, f"{what}: no rank had started")
    began = time.monotonic()
    process.send_signal(number)
    try:
        _, message = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        check(False, f"{what}: still there after 20 s")
        process.kill()
        return
    took = time.monotonic() - began
    check(took < LIMIT, f"{what}: took {took:.2f} s")
    check(process.returncode == 128 + number, f"{what}: exit status {process.returncode}")
    check(message.count("\n") == 1 and f"ended by signal {int(number)} " in message, f"{what}: said {message!r}")
    deadline = time.monotonic() + LIMIT
    while any(lives(pid) for pid in ranks) and time.monotonic() < deadline:
        time.sleep(0.01)
    check(not [pid for pid in ranks if lives(pid)], f"{what}: ranks are left")


def sleeping(process):
    return len(children_of(process.pid)) >= 2 and time.sleep(0.1) is None


logits = os.path.join(folder.name, "logits")
loading = {"generate": ["-p", "x"], "logits": ["--input-ids", "1,2", "--output", logits], "verify": [], "bench latency": ["--no-limits"],
           "bench throughput": ["--json"]}
for name, more in loading.items():
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if name == "generate" else (signal.SIGINT,):
        arguments = [*name.split(), DEMO, "-tp", "2", "--rank-program", slow, "-q", *more]
        interrupt(f"{name}, loading, {number.name}", arguments, number, sleeping)
check(not os.path.exists(logits) and len(os.listdir(folder.name)) == 1, f"left: {os.listdir(folder.name)}")

for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    reader, writer = os.pipe()

    def answering(_):
        return bool(os.read(reader, 1))

    interrupt(f"generate, answering, {number.name}", ["generate", DEMO, "-p", "Tensor", "-n", "900", "--ignore-eos", "-tp", "2", "-q"], number,
              answering, writer)
    os.close(writer)
    os.close(reader)

# nohup's choice is kept
ignoring = subprocess.Popen([COLROW, "generate", DEMO, "-p", "Tensor", "-n", "100", "--ignore-eos", "-q"], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
ignoring.send_signal(signal.SIGHUP)
text, _ = ignoring.communicate(timeout=60)
check(ignoring.returncode == 0 and len(text) > 50, f"SIGHUP was to be ignored: {ignoring.returncode}")

# a folder that is not there is no empty prompt
done = subprocess.run([COLROW, "generate", os.path.join(folder.name, "none")], stdin=subprocess.DEVNULL, capture_output=True, text=True)
check(done.returncode == 1 and "does not exist" in done.stderr, f"a missing folder: {done.returncode} {done.stderr!r}")
done = subprocess.run([COLROW, "generate", slow, "-p", "x"], capture_output=True, text=True)
check(done.returncode == 1 and "is a file" in done.stderr, f"a file for a folder: {done.returncode} {done.stderr!r}")

# --verbose says more, --quiet nothing
for tp in ("1", "2"):
    said = {flag: subprocess.run([COLROW, "generate", DEMO, "-p", "x", "-n", "2", "-tp", tp, *flag], capture_output=True, text=True).stderr
            for flag in ((), ("-v",), ("-q",))}
    check(said[("-q",)] == "" and "pid" not in said[()] and said[("-v",)].count("(pid ") == int(tp), f"--verbose and --quiet: {said}")
finish("interrupt")
