#!/usr/bin/env python3
"""Faults inside ranks, one at a time, under load: a collective, an allocation, a futex wait, a system call fails once. The outcome
must be nothing at all, a restart with every answer as if nothing had happened, or a refusal to start in one sentence; never a hang,
another answer or a process left behind. `make faults` tries all points; `--sample N` some of them, as `make test` does."""
import argparse
import collections
import errno
import http.client
import json
import mmap
import os
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from processes import below, lives, ranks_below  # noqa: E402
from serve_client import Server  # noqa: E402
from support import COLROW, DEMO, SANITIZE, patience, skip  # noqa: E402

LIBRARY = os.path.abspath(os.path.join(os.environ.get("BUILD_DIR") or os.path.dirname(COLROW), "tests", "libinject_faults.so"))
TP = 2
HANG = -1  # instead of an error: the call never returns
HANG_SECONDS = patience(30)  # a point that is not over by then hangs; a rank that hangs is found sooner
COLLECTIVE = "collective"
ERRORS = {
    "malloc": [errno.ENOMEM], "calloc": [errno.ENOMEM], "realloc": [errno.ENOMEM], "memalign": [errno.ENOMEM],
    "mmap": [errno.ENOMEM], "munmap": [errno.ENOMEM], "madvise": [errno.ENOMEM, errno.EINVAL], "open": [errno.EMFILE, errno.EACCES],
    "fopen": [errno.EMFILE], "opendir": [errno.EMFILE], "read": [errno.EIO, errno.EINTR], "pread": [errno.EIO, errno.EINTR],
    "write": [errno.EIO, errno.EAGAIN], "close": [errno.EIO], "fstat": [errno.EIO], "fcntl": [errno.EINVAL],
    "poll": [errno.EINTR, errno.ENOMEM], "eventfd": [errno.EMFILE], "prctl": [errno.EINVAL], "pthread_create": [errno.EAGAIN],
    "affinity": [errno.EINVAL], "priority": [errno.EPERM], "yield": [errno.EPERM], "nanosleep": [errno.EINTR],
    "futex wait": [errno.EINTR, errno.EAGAIN, errno.EINVAL], "futex wake": [errno.EINVAL], "pidfd": [errno.EMFILE],
    "fork": [errno.EAGAIN], "waitid": [errno.EINTR, errno.ECHILD], "kill": [errno.EPERM], "sendmsg": [errno.EPIPE],
    "recvmsg": [errno.EINTR, errno.ECONNRESET],
}
REQUESTS = [
    {"prompt": "Tensor parallelism", "max_tokens": 160, "temperature": 0, "ignore_eos": True, "stream": True},
    {"prompt": "A rank may be killed", "max_tokens": 120, "temperature": 0.9, "seed": 11, "top_p": 0.95, "ignore_eos": True, "stream": True},
    {"prompt": "The group", "max_tokens": 90, "temperature": 1, "seed": 5, "n": 2, "repetition_penalty": 1.1, "ignore_eos": True},
    {"prompt": "Words " * 60, "max_tokens": 80, "temperature": 0.7, "seed": 3, "logprobs": 2, "ignore_eos": True, "presence_penalty": 0.5},
]

Point = collections.namedtuple("Point", "phase call rank n error")


class Faults:
    """The file that tests/faults/inject_faults.c maps."""

    BYTES = 4096

    def __init__(self, folder):
        self.path = os.path.join(folder, "faults")
        with open(self.path, "wb") as file:
            file.truncate(self.BYTES)
        self.file = open(self.path, "r+b")
        self.page = mmap.mmap(self.file.fileno(), self.BYTES)
        self.environment = {"LD_PRELOAD": LIBRARY, "FAULTS": self.path, "COLROW_FAIL_COLLECTIVE": "@" + self.path}

    def begin(self):
        """Before a program starts."""

    def get(self, kind, offset):
        return struct.unpack_from(kind, self.page, offset)[0]

    def names(self):
        raw = [self.page[1048 + 16 * i : 1064 + 16 * i].split(b"\0")[0].decode() for i in range(64)]
        return {name: i for i, name in enumerate(raw) if name and name != "none"}

    def watch(self, rank):
        """Counts calls of `rank` from now on; none fails."""
        struct.pack_into("=q", self.page, 520, 0)
        struct.pack_into("=512x", self.page, 536)
        struct.pack_into("=ii", self.page, 512, 0, rank)

    def seen(self):
        return {name: self.get("=Q", 536 + 8 * i) for name, i in self.names().items()}

    def arm(self, point):
        struct.pack_into("=i", self.page, 532, 0)
        if point.call == COLLECTIVE:
            struct.pack_into("=q", self.page, 8 * point.rank, point.n)
            return
        call = self.names().get(point.call) or list(ERRORS).index(point.call) + 1  # nobody has written the names yet
        struct.pack_into("=ii", self.page, 512, call, point.rank)
        struct.pack_into("=i", self.page, 528, point.error)
        struct.pack_into("=q", self.page, 520, point.n)

    def fired(self, point):
        if point.call == COLLECTIVE:
            return self.get("=q", 8 * point.rank) == 0
        return self.get("=i", 532) != 0

    def disarm(self):
        struct.pack_into("=512x", self.page, 0)
        struct.pack_into("=q", self.page, 520, 0)


class KernelFaults:
    """System calls fail in the kernel, also those that the C library and the loader make by themselves: strace in front of a rank, which
    stays the owner's child. It counts in each process and thread, so that a rank that starts again may fail again, and again."""

    ERRORS = {"openat": "EMFILE", "futex": "EINTR", "clone": "EAGAIN", "clone3": "EAGAIN", "sendto": "EPIPE", "recvmsg": "ECONNRESET",
              **dict.fromkeys(("mmap", "brk", "mprotect", "munmap", "madvise", "mremap"), "ENOMEM"),
              **dict.fromkeys(("read", "pread64", "preadv2", "write", "pwrite64", "newfstatat", "fstat", "close", "getdents64"), "EIO")}
    NEVER = ("execve", "exit", "exit_group", "restart_syscall", "rt_sigreturn")  # beginnings and ends, which cannot fail

    def __init__(self, folder):
        self.script, self.log, self.options = os.path.join(folder, "rank"), os.path.join(folder, "strace"), ""
        with open(self.script, "w", encoding="utf-8") as file:
            file.write('#!/bin/sh\n[ "$RANK" = "$STRACE_RANK" ] && exec strace -D -f -o "$STRACE_LOG" $STRACE_OPTIONS "$STRACE_COLROW" "$@"\n'
                       'exec "$STRACE_COLROW" "$@"\n')
        os.chmod(self.script, 0o755)

    @staticmethod
    def work_here():
        try:
            done = subprocess.run(["strace", "-D", "-f", "--seccomp-bpf", "-e", "trace=write", "-o", "/dev/null", "true"], capture_output=True, timeout=10)
        except OSError:
            return False
        return done.returncode == 0 and not done.stderr

    @property
    def environment(self):
        return {"COLROW_RANK_PROGRAM": self.script, "STRACE_COLROW": os.path.abspath(COLROW), "STRACE_LOG": self.log, "STRACE_RANK": "1",
                "STRACE_OPTIONS": self.options}

    def begin(self):
        if os.path.exists(self.log):
            os.unlink(self.log)

    def counts(self):
        """How often a rank makes each call."""
        self.options = "-c -U calls,name"
        status, out, error, _, _ = generate(self)
        assert status == 0, error
        self.wait_for_strace()
        with open(self.log, encoding="utf-8") as file:
            rows = [line.split() for line in file if re.match(r" *\d+ +\w+$", line)]
        return out, {name: int(n) for n, name in rows if name not in self.NEVER and name != "total"}

    def wait_for_strace(self):
        """It writes its last lines after the process that it watches has ended."""
        size, until = -1, time.monotonic() + 2
        while time.monotonic() < until:
            now = os.path.getsize(self.log) if os.path.exists(self.log) else 0
            if now == size and now > 0:
                return
            size = now
            time.sleep(0.05)

    def arm(self, point):
        self.options = f"--seccomp-bpf -e trace={point.call} -e inject={point.call}:error={errno.errorcode[point.error]}:when={point.n}"

    def fired(self, _):
        self.wait_for_strace()
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return "(INJECTED)" in file.read()

    def disarm(self):
        self.options = "-e trace=none"


def ask(server, body):
    """What a client is told, without ids and times; or an error as text."""
    try:
        if not body.get("stream"):
            status, answer = server.post("/v1/completions", **body)
            if status != 200:
                return f"status {status}: {answer}"
            return json.dumps([[c["index"], c["text"], c["finish_reason"], c["logprobs"]] for c in answer["choices"]] + [answer["usage"]])
        text, reason, ended = "", None, False
        for event in server.events("/v1/completions", **{k: v for k, v in body.items() if k != "stream"}):
            if event == "[DONE]":
                ended = True
            elif "error" in event:
                return f"error in the stream: {event}"
            else:
                text += event["choices"][0]["text"]
                reason = event["choices"][0]["finish_reason"] or reason
        return json.dumps([text, reason]) if ended else "the stream has no end"
    except (OSError, RuntimeError, ValueError, http.client.HTTPException) as error:
        return f"no answer: {error!r}"


class Load:
    """All requests at once, each in a thread of its own."""

    def __init__(self, server):
        self.answers = [None] * len(REQUESTS)
        self.threads = [threading.Thread(target=self.run, args=(server, i), daemon=True) for i in range(len(REQUESTS))]
        for thread in self.threads:
            thread.start()

    def run(self, server, i):
        self.answers[i] = ask(server, REQUESTS[i])

    def wait(self, seconds):
        until = time.monotonic() + seconds
        for thread in self.threads:
            thread.join(max(0.0, until - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)


class Table:
    def __init__(self):
        self.rows = collections.defaultdict(collections.Counter)
        self.slowest = collections.defaultdict(float)
        self.bad = []
        self.sentences = collections.Counter()

    def add(self, point, outcome, seconds, detail=""):
        key = (point.phase, point.call)
        self.rows[key][outcome] += 1
        if outcome != "not reached":
            self.slowest[key] = max(self.slowest[key], seconds)
        if outcome in ("hang", "wrong", "orphan", "silent"):
            self.bad.append((point, outcome, detail))
            print(f"FAILED: {point.phase}: {point.call} {point.n} of rank {point.rank}, {errno.errorcode.get(point.error, 'hanging')}: "
                  f"{outcome}: {detail[-1500:]}", flush=True)

    def count(self):
        return sum(n for row in self.rows.values() for outcome, n in row.items() if outcome != "not reached")

    def show(self):
        columns = ["unnoticed", "restart", "sentence", "hang", "wrong", "orphan", "silent"]
        print(f"{'while':<11}{'what failed':<16}{'points':>7}" + "".join(f"{c:>11}" for c in columns) + f"{'slowest s':>11}")
        totals = collections.Counter()
        for (phase, call), row in sorted(self.rows.items()):
            points = sum(n for outcome, n in row.items() if outcome != "not reached")
            if not points:
                continue
            totals.update(row)
            print(f"{phase:<11}{call:<16}{points:>7}" + "".join(f"{row[c] or '.':>11}" for c in columns) + f"{self.slowest[phase, call]:>11.2f}")
        print(f"{'together':<27}{self.count():>7}" + "".join(f"{totals[c] or '.':>11}" for c in columns) +
              f"   ({totals['not reached']} more were never reached)")


class Serving:
    """A server under load, to whose ranks things happen; a new one when one is lost."""

    def __init__(self, faults, table):
        self.faults, self.table, self.server = faults, table, None
        self.expected = None

    def open(self):
        self.faults.disarm()
        self.server = Server("-tp", str(TP), "--max-model-len", "1024", "--kv-cache-memory", "64MB", "--max-num-seqs", "16",
                             "--threads-per-rank", "2", "--no-enable-prefix-caching", "--collective-timeout", "3", environment=self.faults.environment)
        self.server.__enter__()
        load = Load(self.server)
        assert load.wait(120), "the first requests have no answer"
        if self.expected is None:
            self.expected = load.answers
            assert all(a and a[0] == "[" for a in self.expected), self.expected
        self.n_processes = len(below(self.server.process.pid))

    def close(self):
        if not self.server:
            return
        pids = below(self.server.process.pid)
        self.server.__exit__()
        self.server = None
        time.sleep(patience(1.0) if any(os.path.exists(f"/proc/{pid}") for pid in pids) else 0)

    def is_ready(self):
        try:
            return self.server.request("GET", "/health")[0] == 200
        except OSError:
            return False

    def try_point(self, point):
        if not self.server or self.server.process.poll() is not None:
            self.close()
            self.open()
        server, log_before = self.server, len(self.server.read_log())
        restarts = server.metric("colrow_rank_restarts_total")
        load = Load(server)
        time.sleep(random.uniform(0.0, 0.05))
        begun = time.monotonic()
        self.faults.arm(point)
        if point.phase == "restarting":
            os.kill(ranks_below(server.process.pid).get(TP - 1 - point.rank) or ranks_below(server.process.pid)[0], signal.SIGKILL)
        answered = load.wait(HANG_SECONDS)
        ready = answered and server.wait_for(self.is_ready, HANG_SECONDS)
        took = time.monotonic() - begun
        fired = self.faults.fired(point)
        self.faults.disarm()
        log = server.read_log()[log_before:]
        wrong = [f"{got} instead of {want}" for got, want in zip(load.answers, self.expected) if got != want]
        if not answered or not ready:
            self.table.add(point, "hang", took, log)
            self.close()
        elif wrong:
            self.table.add(point, "wrong", took, wrong[0] + "\n" + log)
        elif not fired:
            self.table.add(point, "not reached", took)
        else:
            n = server.metric("colrow_rank_restarts_total") - restarts
            told = "the group was ended" in log or "rank" in log
            server.wait_for(lambda: len(below(server.process.pid)) == self.n_processes, 2)
            if len(below(server.process.pid)) > self.n_processes:
                self.table.add(point, "orphan", took, f"{len(below(server.process.pid))} processes, not {self.n_processes}")
            else:
                self.table.add(point, "unnoticed" if n == (point.phase == "restarting") else "restart" if told else "silent", took, log)

    def calls_while(self, rank, work):
        self.faults.watch(rank)
        work()
        return {call: n for call, n in self.faults.seen().items() if n}


def serving_points(serving):
    """What ranks do while requests run."""
    serving.open()
    points = [Point("serving", COLLECTIVE, n % TP, n, 0) for n in range(1, 81)]
    for rank in range(TP):
        seen = serving.calls_while(rank, lambda: Load(serving.server).wait(60))
        for call, n_seen in seen.items():
            for error in ERRORS[call]:
                points += [Point("serving", call, rank, n, error) for n in (1, 2, 3, 5, 8, 13) if n <= n_seen]
            points += [Point("serving", call, rank, n, HANG) for n in (1, 4) if n <= n_seen]
    return points


def restarting_points(serving):
    """What ranks do when they start again, with requests that wait for them."""
    points = []
    for rank in range(TP):
        def restart():
            load = Load(serving.server)
            os.kill(ranks_below(serving.server.process.pid)[TP - 1 - rank], signal.SIGKILL)
            load.wait(60)
            serving.server.wait_for(serving.is_ready, 30)

        for call, n_seen in serving.calls_while(rank, restart).items():
            last = min(n_seen, 6)
            for error in ERRORS[call]:
                points += [Point("restarting", call, rank, n, error) for n in range(1, last + 1)]
            points += [Point("restarting", call, rank, n, HANG) for n in (1, last)]
    return points


COMMAND = [COLROW, "generate", DEMO, "-p", "Tensor parallelism", "--max-tokens", "24", "-tp", str(TP), "--threads-per-rank", "2",
           "--kv-cache-memory", "32MB", "--max-model-len", "256", "--collective-timeout", "1", "-q"]


def generate(faults):
    """-> (exit status or None: it hangs, standard output, standard error, seconds, processes that are left)"""
    begun = time.monotonic()
    faults.begin()
    process = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **faults.environment})
    seen = set()
    while process.poll() is None and time.monotonic() < begun + HANG_SECONDS:
        seen.update(below(process.pid))
        time.sleep(0.02)
    status = process.poll()
    if status is None:
        process.kill()
    out, error = process.communicate()
    until = time.monotonic() + patience(1.0)
    while time.monotonic() < until and any(lives(pid) for pid in seen):
        time.sleep(0.01)
    return status, out, error, time.monotonic() - begun, [pid for pid in seen if lives(pid)]


def starting_points(faults, expected):
    """What ranks do from their start to their end."""
    points = []
    for rank in range(TP):
        faults.watch(rank)
        status, out, error, _, _ = generate(faults)
        assert status == 0, error
        expected.append(out)
        for call, n_seen in faults.seen().items():
            spread = sorted({round(n_seen ** (i / 9)) for i in range(10)}) if n_seen else []
            for i, n in enumerate(spread):
                points.append(Point("starting", call, rank, n, ERRORS[call][i % len(ERRORS[call])]))
            points.append(Point("starting", call, rank, (n_seen + 1) // 2, HANG))
    return points


def kernel_points(faults, expected):
    out, counts = faults.counts()
    expected.append(out)
    points = []
    for call, n_seen in counts.items():
        error = getattr(errno, faults.ERRORS.get(call, "EINVAL"))
        points += [Point("kernel", call, 1, n, error) for n in sorted({round(n_seen ** (i / 5)) for i in range(6)})]
    return points


def try_start(faults, table, expected, point):
    faults.disarm()
    faults.arm(point)
    status, out, error, took, left = generate(faults)
    if status is None:
        table.add(point, "hang", took, error)
    elif left:
        table.add(point, "orphan", took, str(left))
    elif not faults.fired(point):
        table.add(point, "not reached", took)
    elif status == 0:
        table.add(point, ("restart" if "rank " in error else "unnoticed") if out == expected[0] else "wrong", took, out)
    else:
        table.add(point, "sentence" if error.strip() and status == 1 else "silent", took, f"exit status {status}: {error}")
    faults.disarm()


def choose(points, n):
    """n of them, of every kind as evenly as can be."""
    kinds = collections.defaultdict(list)
    for point in random.sample(points, len(points)):
        kinds[point.phase, point.call].append(point)
    chosen = []
    while len(chosen) < min(n, len(points)):
        for kind in list(kinds.values()):
            if kind and len(chosen) < n:
                chosen.append(kind.pop())
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sample", type=int, help="try so many points of each phase")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--phase", choices=("serving", "restarting", "starting", "kernel"))
    parser.add_argument("--call", help="only this call, e.g. \"futex wake\"")
    arguments = parser.parse_args()
    if SANITIZE:
        skip("sanitizers have allocators of their own")
    for needed in (LIBRARY, os.path.join(DEMO, "model.safetensors")):
        if not os.path.exists(needed):
            skip(f"{needed} is not there")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # with the table of what was tried
    random.seed(arguments.seed)
    table, expected = Table(), []
    begun = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            faults = Faults(folder)
            serving = Serving(faults, table)
            wanted = lambda phase: arguments.phase in (None, phase)
            select = lambda points: [p for p in choose(points, arguments.sample or len(points)) if arguments.call in (None, p.call)]
            try:
                if wanted("serving") or wanted("restarting"):
                    points = select(serving_points(serving)) if wanted("serving") else serving.open() or []
                    points += select(restarting_points(serving)) if wanted("restarting") else []
                    print(f"{len(points)} points under load", flush=True)
                    for point in points:
                        serving.try_point(point)
            finally:
                serving.close()
            if wanted("starting"):
                for point in select(starting_points(faults, expected)):
                    try_start(faults, table, expected, point)
            if wanted("kernel") and KernelFaults.work_here():
                kernel_faults = KernelFaults(folder)
                for point in select(kernel_points(kernel_faults, expected)):
                    try_start(kernel_faults, table, expected, point)
            elif wanted("kernel"):
                print("not tried: faults in the kernel, as strace is not here or may not trace")
    finally:
        table.show()
        print(f"{table.count()} points in {time.monotonic() - begun:.0f} s, {len(table.bad)} of them bad")
    sys.exit(1 if table.bad else 0)


if __name__ == "__main__":
    main()
