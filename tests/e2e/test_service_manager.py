#!/usr/bin/env python3
"""`colrow serve` under a service manager (systemd's protocols, without systemd): what it is told and when, its watchdog, sockets that
are passed on, and a front-end that is killed and started again while clients wait."""
import http.client
import json
import os
import re
import signal
import socket
import tempfile
import threading
import time

from service_manager import Service
from support import COLROW, DEMO, check, finish, patience, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
FLAGS = ("-tp", "2", "--kv-cache-memory", "64MB", "--max-model-len", "512", "--shutdown-timeout", "300")
folder = tempfile.TemporaryDirectory()
gate = os.path.join(folder.name, "gate")
slow = os.path.join(folder.name, "slow")
with open(slow, "w", encoding="ascii") as script:
    script.write(f'#!/bin/sh\nwhile [ ! -e "{gate}" ]; do sleep 0.02; done\nexec "{COLROW}" "$@"\n')
os.chmod(slow, 0o755)


def listener(path=None):
    s = socket.socket(socket.AF_UNIX if path else socket.AF_INET)
    s.bind(path or ("127.0.0.1", 0))
    s.listen(128)
    return s


class Client(http.client.HTTPConnection):
    """To a listener's address, whatever its family."""

    def __init__(self, address):
        super().__init__("localhost", timeout=120)
        self.address = address

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX if isinstance(self.address, str) else socket.AF_INET)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.address)

    def ask(self, method, path, body=None):
        self.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"} if body else {})
        answer = self.getresponse()
        return answer.status, answer.read().decode()


def ask(address, method, path, body=None):
    client = Client(address)
    try:
        return client.ask(method, path, body)
    finally:
        client.close()


def wait_for(condition, seconds=10):
    until = time.monotonic() + patience(seconds)
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


ANSWER = {"prompt": "Tensor parallelism", "max_tokens": 24, "temperature": 0}
LONG = {**ANSWER, "max_tokens": 480, "ignore_eos": True}


def load(address):
    return json.loads(ask(address, "GET", "/load")[1])["server_load"]


def port_of(service):
    found = re.search(r"serving demo at http://127\.0\.0\.1:(\d+)", service.said())
    return ("127.0.0.1", int(found[1]))


def is_told():
    """READY=1 after loading, STATUS= all along, RELOADING=1, STOPPING=1."""
    keys = os.path.join(folder.name, "keys")
    with open(keys, "w", encoding="ascii") as file:
        file.write("one\n")
    with Service(*FLAGS, "--port", "0", "--host", "127.0.0.1", "--rank-program", slow, "--api-key-file", keys, watchdog_us=200000) as service:
        service.start()
        check(service.wait_told(r"^STATUS=the model is being loaded \(0 % "), "its status while it loads")
        time.sleep(0.3)
        check(not service.told("^READY=1"), "it is not ready while it loads")
        open(gate, "w").close()
        check(service.wait_told("^READY=1\nSTATUS=serving demo at http://127.0.0.1:"), f"it is ready: {service.messages}")
        check(service.told("^EXTEND_TIMEOUT_USEC=60000000$"), f"more time while it gets on with loading: {service.messages}")
        for pid in service.children():
            with open(f"/proc/{pid}/environ", "rb") as file:
                names = file.read()
            check(b"NOTIFY_SOCKET" not in names and b"WATCHDOG" not in names, "ranks know nothing of the service manager")
        service.forget()
        service.process.send_signal(signal.SIGHUP)
        reloading = service.wait_told("^RELOADING=1$")
        found = re.search(r"^MONOTONIC_USEC=(\d+)$", reloading or "", re.M)
        check(found and abs(int(found[1]) / 1e6 - time.monotonic()) < patience(5), f"RELOADING=1 with the time: {reloading!r}")
        check(service.wait_told("^READY=1$"), "READY=1 after it has read its files again")
        check(service.stop() == 0, "the exit status")
        ending = service.wait_told("^STOPPING=1$")
        check(ending and "EXTEND_TIMEOUT_USEC=310000000" in ending, f"STOPPING=1, and how long it may take: {ending!r}")
        check(service.told("^STATUS=the server is shutting down"), "its status while it ends")
    os.unlink(gate)


def feeds_the_watchdog():
    """WATCHDOG=1 twice a period while the loop and the engine get on; not while the ranks do not come back."""
    open(gate, "w").close()
    with Service(*FLAGS, "--port", "0", "--rank-program", slow, watchdog_us=1000000) as service:
        service.start()
        check(service.wait_told("^READY=1"), "it is ready")
        service.forget()
        service.hear(3)
        times = service.told("^WATCHDOG=1$")
        gaps = [b - a for a, b in zip(times, times[1:])]
        check(4 <= len(times) <= 9 and max(gaps) < patience(1.0), f"WATCHDOG=1 when idle: gaps {[round(gap, 2) for gap in gaps]}")
        os.unlink(gate)
        address = port_of(service)
        os.kill(service.children()[-1], signal.SIGKILL)
        check(service.wait_told("^STATUS=the ranks are being started again: .*was killed by signal 9"), "why it does not serve")
        until = time.monotonic() + patience(10)
        while True:  # what starts slowly on a busy machine still gets on
            service.forget()
            service.hear(1.5)
            if not service.told("^WATCHDOG=1$") or time.monotonic() > until:
                break
        check(not service.told("^WATCHDOG=1$"), "no WATCHDOG=1 while ranks do not come back")
        check("the service manager is told no more" in service.said(), "the log says so")
        check(ask(address, "GET", "/health")[0] == 503 and ask(address, "GET", "/health?live")[0] == 200, "/health meanwhile")
        open(gate, "w").close()
        check(service.wait_told("^STATUS=serving demo"), "it serves again")
        check(service.wait_told("^WATCHDOG=1$"), "and says so")
        check(ask(address, "POST", "/v1/completions", ANSWER)[0] == 200, "and answers")
        service.process.send_signal(signal.SIGSTOP)  # the loop itself stands still
        time.sleep(0.1)
        service.forget()
        service.hear(1.2)
        check(not service.messages, "a front-end that stands still says nothing")
        service.process.send_signal(signal.SIGCONT)
        check(service.stop() == 0, "the exit status")
    os.unlink(gate)


def wants_what_can_be_served():
    """What it says to sockets that are none."""
    datagram = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagram.bind(("127.0.0.1", 0))
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    for what, sockets, names, says in (("a datagram socket", [datagram], None, "no listening stream socket"), ("a socket that does not listen", [silent], None, "no listening stream socket"),
                                       ("two without a name", [listener(), listener()], "a:b", "FileDescriptorName=colrow"),
                                       ("two of one name", [listener(), listener()], "colrow:colrow", "FileDescriptorName=colrow")):
        with Service(*FLAGS, listen=sockets, names=names, notify=False) as service:
            status = service.start().process.wait(timeout=60)
            check(status == 2 and says in service.said() and service.said().count("\n") == 1, f"{what}: {status} {service.said()}")
    taken = listener()
    with Service(*FLAGS, "--port", "0", listen=[taken], pid="1") as service:
        service.start()
        check(service.wait_told("^READY=1"), "sockets for somebody else are no concern of this process")
        check(port_of(service) != taken.getsockname(), "it has a socket of its own")
    for notify in ("/nowhere/at/all", "words"):
        with Service(*FLAGS, "--port", "0", notify=False, environment={"NOTIFY_SOCKET": notify}) as service:
            service.environment["NOTIFY_SOCKET"] = notify
            service.start()
            check(wait_for(lambda: "serving demo" in service.said(), 60) and "NOTIFY_SOCKET" in service.said(), f"NOTIFY_SOCKET={notify} is no reason not to serve")
            check(service.stop() == 0, "the exit status")


def serves_a_passed_socket(sockets, names, which):
    """Clients wait until the model is loaded; a restart costs nobody an answer."""
    address = sockets[which].getsockname()
    what = "a UNIX socket" if isinstance(address, str) else "a port"
    with Service(*FLAGS, "--port", "1", "--rank-program", slow, listen=sockets, names=names) as service:
        early, answers, lock = [], [], threading.Lock()

        def wait_for_answer(into, body=ANSWER):
            try:
                got = ask(address, "POST", "/v1/completions", body)
            except OSError as error:
                got = (0, str(error))
            with lock:
                into.append(got)

        threads = [threading.Thread(target=wait_for_answer, args=(early,)) for _ in range(4)]
        for thread in threads:  # before there is a process at all
            thread.start()
        service.start()
        time.sleep(0.5)
        check(not early, "clients of a passed socket wait while the model loads")
        open(gate, "w").close()
        for thread in threads:
            thread.join()
        texts = {json.loads(text)["choices"][0]["text"] for status, text in early if status == 200}
        check(len(early) == 4 and len(texts) == 1, f"{what}: who waited is answered: {early}")
        check("a listening socket was passed, which replaces --host, --port and --uds" in service.said(), "the log says what was passed")
        check(ask(address, "GET", "/health")[0] == 200, f"{what}: /health")

        # the front-end is killed: its ranks go, nothing stays, and the next one takes over
        shared = set(os.listdir("/dev/shm"))
        ranks = service.children()
        cut = []
        running = threading.Thread(target=wait_for_answer, args=(cut, LONG))
        running.start()
        check(wait_for(lambda: load(address) == 1), "a request runs")
        begun = time.monotonic()
        service.kill()
        gone = wait_for(lambda: not service.left(), 1)
        took = time.monotonic() - begun
        check(gone and ranks, f"{what}: {service.left()} are left {took:.2f} s after the front-end was killed")
        check(not set(os.listdir("/dev/shm")) - shared, "nothing is left in /dev/shm")
        running.join()
        check(cut and cut[0][0] == 0, f"the client of a front-end that was killed knows: {cut}")
        threads = [threading.Thread(target=wait_for_answer, args=(answers,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        time.sleep(0.2)
        service.forget()
        began = time.monotonic()
        service.start()
        for thread in threads:
            thread.join()
        again = time.monotonic() - began
        check(len(answers) == 8 and all(status == 200 and json.loads(text)["choices"][0]["text"] in texts for status, text in answers),
              f"{what}: who waited meanwhile is answered by the next one: {answers}")
        print(f"{what}: all processes gone {took * 1e3:.0f} ms after SIGKILL, 8 waiting clients answered {again:.2f} s after the next start", flush=True)

        # an orderly end: what is new waits for the next one, too
        answers.clear()
        late = threading.Thread(target=wait_for_answer, args=(answers,))
        long = []
        busy = threading.Thread(target=wait_for_answer, args=(long, LONG))
        busy.start()
        check(wait_for(lambda: load(address) == 1), "a request runs")
        service.process.send_signal(signal.SIGTERM)
        check(wait_for(lambda: "SIGTERM" in service.said()), "it drains")
        late.start()
        check(service.process.wait(timeout=300) == 0, "the exit status")
        busy.join()
        check(long and long[0][0] == 200, f"{what}: what ran has finished: {long}")
        check(late.is_alive(), "a client that came too late waits")
        service.start()
        late.join()
        check(answers and answers[0][0] == 200, f"{what}: and is answered: {answers}")
        check(service.stop() == 0, "the exit status")
        check(not isinstance(address, str) or os.path.exists(address), "the socket's file is its owner's")
        check(wait_for(lambda: not service.left(), 1), f"left: {service.left()}")
    os.unlink(gate)


for part in (is_told, feeds_the_watchdog, wants_what_can_be_served,
             lambda: serves_a_passed_socket([listener()], None, 0),
             lambda: serves_a_passed_socket([listener(), listener(os.path.join(folder.name, "socket"))], "admin:colrow", 1)):
    started = time.monotonic()
    part()
    print(f"{part.__name__}: {time.monotonic() - started:.1f} s", flush=True)
finish("service_manager")
