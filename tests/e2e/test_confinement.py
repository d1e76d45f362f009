#!/usr/bin/env python3
"""Ranks, their keepers and the server run under seccomp filters, gain no privileges and leave no core files; what they must not call
ends them, and the server goes on; one port listens, and no shared memory has a name."""
import glob
import os
import re
import resource
import signal
import tempfile
import time

from processes import below
from serve_client import Server
from support import DEMO, SANITIZE, check, finish, run, skip

FLAGS = ("-tp", "2", "--max-model-len=512", "--kv-cache-memory=16MB")
FOLDER = tempfile.TemporaryDirectory()


def status_of(pid, task=None):
    with open(f"/proc/{pid}/task/{task or pid}/status", encoding="ascii") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def by_name(server):
    """-> {name of the process: [pids]}"""
    found = {}
    for pid in [server.process.pid, *below(server.process.pid)]:
        found.setdefault(status_of(pid)["Name"], []).append(pid)
    return found


def is_confined(pid):
    return all(status_of(pid, task)["Seccomp"] == "2" for task in os.listdir(f"/proc/{pid}/task"))


def listening_ports(pids):
    inodes = set()
    for pid in pids:
        for link in glob.glob(f"/proc/{pid}/fd/*"):
            try:
                inodes.add(os.readlink(link))
            except OSError:
                pass  # closed meanwhile
    ports = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as file:
            for line in list(file)[1:]:
                fields = line.split()
                if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
                    ports.append(int(fields[1].split(":")[1], 16))
    return ports


def shared_names():
    return sorted(os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else []


def every_process_is_held():
    before = shared_names()
    with Server(*FLAGS, hidden=True) as server:
        found = by_name(server)
        check({name: len(pids) for name, pids in found.items()} == {"colrow": 1, "colrow launcher": 1, "colrow keeper": 2, "colrow rank": 2},
              f"processes: {found}")
        check(server.chat("Hi"), "an answer")
        for name, pids in found.items():
            for pid in pids:
                check(status_of(pid)["NoNewPrivs"] == "1", f"{name} can gain privileges")
                # the launcher reads nothing but numbers; whoever starts programs cannot be forbidden to
                check(is_confined(pid) == (name != "colrow launcher"), f"{name}: {status_of(pid)['Seccomp']}")
        for name in ("colrow", "colrow rank"):  # they hold prompts
            for pid in found[name]:
                with open(f"/proc/{pid}/limits", encoding="ascii") as file:
                    check(any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"] for line in file), f"{name} may leave a core file")
        check(shared_names() == before, f"shared memory with a name: {shared_names()} {before}")
        if os.geteuid() != 0:
            for pid in found["colrow"] + found["colrow rank"]:
                check(not os.access(f"/proc/{pid}/mem", os.R_OK), "others of the same user may read prompts")

        # a rank and a keeper that are lost are replaced, and what replaces them is confined as well
        os.kill(found["colrow keeper"][0], signal.SIGKILL)
        check(server.wait_for(lambda: found["colrow keeper"][0] not in by_name(server).get("colrow keeper", []), 30), "the keeper is gone")
        check(server.wait_for(lambda: server.request("GET", "/health")[0] == 200 and len(by_name(server).get("colrow rank", [])) == 2, 60), "ranks again")
        check(server.chat("Hi"), "an answer from the next generation")
        for name in ("colrow keeper", "colrow rank"):
            check(all(is_confined(pid) for pid in by_name(server)[name]), f"{name}: the next generation")
        check(server.stop() == 0, "the exit status")


def what_is_open():
    with Server(*FLAGS) as server:
        found = by_name(server)
        check(listening_ports([server.process.pid, *below(server.process.pid)]) == [server.port], "one port listens")
        maps = ""
        for pid in found["colrow rank"]:
            with open(f"/proc/{pid}/maps", encoding="utf-8") as file:
                maps += file.read()
        check("/dev/shm" not in maps and "SYSV" not in maps and "memfd:" in maps, "shared memory without a name")
        for pid in found["colrow rank"]:
            sockets = [link for link in glob.glob(f"/proc/{pid}/fd/*") if os.readlink(link).startswith("socket:")]
            check(not sockets, f"a rank has sockets: {sockets}")


def the_launcher_is_lost():
    """Nothing happens until a keeper is lost as well; then the server ends with the reason, for whoever started it to start it again."""
    with Server(*FLAGS) as server:
        found = by_name(server)
        os.kill(found["colrow launcher"][0], signal.SIGKILL)
        check(server.chat("Hi"), "an answer without the launcher")
        os.kill(found["colrow rank"][0], signal.SIGKILL)  # its keeper forks the next one
        check(server.chat("Hi"), "an answer of a rank whose keeper lives")
        os.kill(found["colrow keeper"][0], signal.SIGKILL)
        check(server.wait_for(lambda: server.read_log() and server.process.poll() is not None, 60), "the server ends")
        check(server.process.poll() == 1, f"the exit status: {server.process.poll()}")
        check(f"the process that starts ranks (pid {found['colrow launcher'][0]}) is gone" in server.read_log(), server.read_log())


def forbidden_calls():
    killed = r"rank 1 \(pid \d+\) was killed by signal 31 \(Bad system call: it made a call that its confinement forbids\)"
    for call, fatal in (("socket", True), ("execve", True), ("fork", True), ("open", False)):
        expected = killed if fatal else "rank 1 made the call open: Operation not permitted"
        with Server(*FLAGS, environment={"COLROW_FORBIDDEN_CALL": f"1:{call}"}) as server:
            status, answer = server.post("/v1/completions", prompt="Tensor", max_tokens=4)
            check(status == 200, f"{call}: {status} {answer}")
            check(server.wait_for(lambda: re.search(expected, server.read_log())), f"{call}: {server.read_log()}")
            check(bool(re.search(killed, server.read_log())) == fatal, f"{call}: {server.read_log()}")
            check("let through" not in server.read_log(), f"{call} was let through")


def it_can_be_turned_off():
    with Server(*FLAGS, "--no-confinement", environment={"COLROW_FORBIDDEN_CALL": "1:open"}) as server:
        found = by_name(server)
        check("colrow launcher" not in found, f"no launcher is needed: {found}")
        check(not any(is_confined(pid) for pids in found.values() for pid in pids), "no filters")
        check(server.chat("Hi"), "an answer")
        check(server.wait_for(lambda: "let through" in server.read_log()), "calls are let through")


def core_files():
    with open("/proc/sys/kernel/core_pattern", encoding="ascii") as file:
        pattern = file.read().strip()
    if "/" in pattern or pattern.startswith("|"):
        print(f"core files: skipped, they go to {pattern}")
        return
    limit = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (limit[1], limit[1]))
    if limit[1] == 0:
        print("core files: skipped, they are forbidden here")
        return
    before = os.getcwd()
    os.chdir(FOLDER.name)
    for flags, expected in ((), False), (("--core-dumps",), True):
        with Server(*FLAGS, *flags, hidden=True) as server:
            os.kill(by_name(server)["colrow rank"][0], signal.SIGSEGV)
            server.wait_for(lambda: "signal 11" in server.read_log())
            found = server.wait_for(lambda: glob.glob("core*"), 5 if expected else 0.5)
            check(bool(found) == expected, f"core files with {flags}: {os.listdir('.')}")
    os.chdir(before)


def commands():
    os.environ["COLROW_FORBIDDEN_CALL"] = "0:socket"
    result = run("generate", DEMO, "-tp", "2", "-p", "Tensor", "-n", "4", "-q")
    del os.environ["COLROW_FORBIDDEN_CALL"]
    check("was killed by signal 31" in result.stderr, f"generate: {result.stderr}")


if SANITIZE:
    skip("sanitizers make calls of their own, and are not confined")
with Server(*FLAGS) as server:
    unconfined = "this server is not confined" in server.read_log()
if unconfined:
    skip("colrow was built without libseccomp, or the kernel has none")
for part in (every_process_is_held, what_is_open, the_launcher_is_lost, forbidden_calls, it_can_be_turned_off, core_files, commands):
    begun = time.time()
    part()
    print(f"{part.__name__}: {time.time() - begun:.1f} s")
finish("confinement")
