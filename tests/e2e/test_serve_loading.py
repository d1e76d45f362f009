#!/usr/bin/env python3
"""`colrow serve` while its model loads: it listens at once, says 503 with Retry-After until it is ready, and ends as it should. Loading
is held up by a rank program that sleeps before it begins, or for ever."""
import http.client
import json
import os
import pty
import re
import signal
import socket
import subprocess
import tempfile
import time

from support import COLROW, DEMO, check, finish, name_of, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
folder = tempfile.TemporaryDirectory()
gate = os.path.join(folder.name, "gate")


def program(name, text):
    path = os.path.join(folder.name, name)
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + text + "\n")
    os.chmod(path, 0o755)
    return path


SLOW = program("slow", f'while [ ! -e "{gate}" ]; do sleep 0.05; done\nexec "{COLROW}" "$@"')
NEVER = program("never", "exec sleep 60")
WRONG = program("wrong", "exit 3")


def start(rank_program, *flags, stderr=subprocess.PIPE):
    return subprocess.Popen([COLROW, "serve", DEMO, "-tp", "2", "--port", "0", "--kv-cache-memory", "64MB", "--rank-program", rank_program, *flags],
                            stderr=stderr, text=True)


def line_with(process, pattern):
    while True:
        line = process.stderr.readline()
        found = re.search(pattern, line)
        if found or not line:
            return found


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text


GENERATING = {
    "/v1/completions": {"prompt": "Tensor", "max_tokens": 3},
    "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3},
    "/v1/messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 3},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 16},
}


def answers_while_it_loads():
    begun = time.monotonic()
    process = start(SLOW)
    found = line_with(process, r"listening at http://127\.0\.0\.1:(\d+) while the model loads")
    if not check(found, "no line says that it listens"):
        process.kill()
        return
    check(time.monotonic() - begun < patience(3), "it takes too long until it listens")
    port = int(found[1])
    for method, path, body in [("GET", "/health", None), ("GET", "/ping", None), ("GET", "/v1/models", None),
                               *(("POST", path, body) for path, body in GENERATING.items())]:
        status, fields, text = ask(port, method, path, body)
        check(status == 503 and int(fields.get("retry-after", 0)) > 0, f"{path} while loading: {status} {fields}")
        error = json.loads(text)["error"]
        check(set(error) == {"message", "type", "param", "code"} and error["code"] == 503 and "loaded" in error["message"], f"{path}: {text}")
    check(ask(port, "HEAD", "/health")[0] == 503, "HEAD /health while loading")
    check(ask(port, "GET", "/health?live")[0] == 200, "it is alive while it loads")
    check(ask(port, "GET", "/health?ready=1&live")[0] == 503 and ask(port, "GET", "/health?alive&livex=1")[0] == 503, "other queries")
    load = json.loads(ask(port, "GET", "/load")[2])
    check(load["server_load"] == 0 and "loaded" in load["unavailable"], f"/load while loading: {load}")
    check(ask(port, "GET", "/version")[0] == 200 and ask(port, "GET", "/load")[0] == 200, "/version and /load while loading")
    status, _, text = ask(port, "GET", "/metrics")
    check(status == 200 and re.search(r"^colrow_ready\{\} 0\.0$", text, re.M), "/metrics while loading")
    check(ask(port, "GET", "/nope")[0] == 404, "an unknown path while loading")
    open(gate, "w").close()
    check(line_with(process, r"serving .* at http://127\.0\.0\.1:\d+"), "no line says that it serves")
    check(ask(port, "GET", "/health")[0] == 200, "/health when it is loaded")
    check(re.search(r"^colrow_ready\{\} 1\.0$", ask(port, "GET", "/metrics")[2], re.M), "/metrics when it is loaded")
    for path, body in GENERATING.items():
        check(ask(port, "POST", path, body)[0] == 200, f"{path} when it is loaded")
    process.send_signal(signal.SIGTERM)
    check(process.wait(timeout=60) == 0, "the exit status after serving")
    process.stderr.close()
    os.unlink(gate)


def a_signal_ends_it(number):
    process = start(NEVER)
    check(line_with(process, "listening at"), "no line says that it listens")
    with open(f"/proc/{process.pid}/task/{process.pid}/children", encoding="ascii") as pids:
        ranks = [int(word) for word in pids.read().split()]
    until = time.monotonic() + patience(5)  # the launcher gives itself its name, and what it starts has that until it runs its program
    while len(loading := [pid for pid in ranks if name_of(pid) != "colrow launcher"]) != 2 and time.monotonic() < until:
        time.sleep(0.01)
    check(len(loading) == 2, f"ranks that load: {ranks} {loading}")
    begun = time.monotonic()
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    check(time.monotonic() - begun < patience(1), f"{number.name} while loading takes too long")
    check(process.returncode == 128 + number and f"ended by signal {int(number)} " in said, f"{number.name}: {process.returncode} {said!r}")
    check(not any(os.path.exists(f"/proc/{pid}") for pid in ranks), f"{number.name}: ranks are left")


def a_failure_ends_it():
    process = start(WRONG, "-q")
    _, said = process.communicate(timeout=60)
    check(process.returncode == 1 and said.count("\n") == 1 and "rank" in said, f"ranks that do not start: {process.returncode} {said!r}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(NEVER, "-q", "--port", str(taken.getsockname()[1]))
        _, said = process.communicate(timeout=60)
        check(process.returncode == 1 and "cannot listen" in said, f"a port that is taken: {process.returncode} {said!r}")


def shows_progress():
    ours, theirs = pty.openpty()
    process = start(NEVER, stderr=theirs)
    os.close(theirs)
    said = b""
    try:
        while b"loading " not in said or b"0%" not in said:
            said += os.read(ours, 4096)
    except OSError:
        check(False, f"no progress on a terminal: {said!r}")
    process.send_signal(signal.SIGINT)
    process.wait(timeout=30)
    os.close(ours)


answers_while_it_loads()
for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    a_signal_ends_it(one)
a_failure_ends_it()
shows_progress()
finish("serve_loading")
