#!/usr/bin/env python3
"""deploy/colrow.service and colrow.socket: systemd takes them and finds little to blame; colrow serves within what they allow, as far as
that can be had without systemd: no network of its own, nothing that is written and executed, no privileges."""
import ctypes
import http.client
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time

from service_manager import Service
from support import COLROW, DEMO, ROOT, SANITIZE, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
DEPLOY = os.path.join(ROOT, "deploy")
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_MDWE, CLONE_NEWNET = 38, 65, 0x40000000
BODY = '{"prompt": "Tensor parallelism", "max_tokens": 8, "temperature": 0}'


def units_are_good():
    if not shutil.which("systemd-analyze"):
        print("units: skipped, there is no systemd-analyze")
        return
    with tempfile.TemporaryDirectory() as folder:
        names = []
        for name in ("colrow.service", "colrow.socket"):
            with open(os.path.join(DEPLOY, name), encoding="ascii") as file:
                text = file.read().replace("/usr/local/bin/colrow", COLROW)
            check(COLROW in text or name.endswith(".socket"), "the unit starts colrow")
            names.append(os.path.join(folder, name))
            with open(names[-1], "w", encoding="ascii") as file:
                file.write(text)
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True)
        check(done.returncode == 0 and not done.stderr.strip(), f"systemd-analyze verify: {done.returncode} {done.stderr}")
        done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=10", "--no-pager", names[0]], capture_output=True, text=True)
        found = re.search(r"Overall exposure level.*?: (\S+)", done.stdout)
        print(f"systemd-analyze security: exposure {found[1] if found else '?'} of 10", flush=True)
        check(done.returncode == 0 and found, f"systemd-analyze security: more than 1.0: {done.stdout[-300:]} {done.stderr}")


def answer_of(address):
    connection = http.client.HTTPConnection(*address, timeout=120)
    connection.request("POST", "/v1/completions", BODY, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def serves_confined():
    """What the unit asks of the kernel, asked by hand."""
    confined = []

    def confine():
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.umask(0o077)
        if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 or libc.unshare(CLONE_NEWNET) != 0:
            os._exit(77)
        libc.prctl(PR_SET_MDWE, 1, 0, 0, 0)  # Linux 6.3; older ones know only systemd's filter

    listener = socket.create_server(("127.0.0.1", 0))
    with Service("-tp", "2", "--kv-cache-memory", "64MB", listen=[listener], confine=confine) as service:
        service.start()
        if not service.wait_told("^READY=1"):
            if service.process.poll() == 77:
                print("confined: skipped, no network namespace may be made here")
                return
            check(False, f"it does not start confined: {service.said()}")
            return
        status, text = answer_of(listener.getsockname())
        check(status == 200 and '"text"' in text, f"an answer from a confined server: {status} {text}")
        for pid in service.left():
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                confined.append(re.search(r"NoNewPrivs:\s+(\d)", file.read())[1])
        check(len(confined) >= 3 and set(confined) == {"1"}, f"the front-end and its ranks have no new privileges: {confined}")
        check(service.stop() == 0, "the exit status")


def serves_systemd_socket_activate():
    """The real thing, for want of a whole systemd."""
    if not shutil.which("systemd-socket-activate"):
        print("systemd-socket-activate: skipped, it is not here")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    process = subprocess.Popen(["systemd-socket-activate", "-l", f"127.0.0.1:{address[1]}", "--fdname=colrow", COLROW, "serve", DEMO, "-tp", "2",
                                "--kv-cache-memory", "64MB"], stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + patience(10)
        while time.monotonic() < until:
            try:
                status, text = answer_of(address)  # the first one starts it
                check(status == 200 and '"text"' in text, f"an answer on a socket of systemd-socket-activate: {status} {text}")
                break
            except ConnectionRefusedError:
                time.sleep(0.02)
        else:
            check(False, "systemd-socket-activate does not listen")
        process.terminate()
        _, said = process.communicate(timeout=patience(30))
        check(process.returncode == 0 and "a listening socket was passed" in said, f"its end: {process.returncode} {said}")
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


units_are_good()
if not SANITIZE:  # they need memory that is written and executed, and descriptors of their own
    serves_confined()
serves_systemd_socket_activate()
finish("deploy_units")
