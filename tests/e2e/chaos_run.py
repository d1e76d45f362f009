"""Faults under load: many requests at a time whose answers are known, while ranks of the server are killed. Used by
tests/clients/chaos.py and by test_chaos.py.

How recovery is measured: a fault is over for a stream when its next piece comes after new ranks were seen under /proc in
the place of those that were hit; what was on its way before does not count. Times begin at the fault.
"""
import http.client
import random
import sys
import threading
import time

from chaos_faults import Faults, Family
from chaos_requests import ERRORS, Failed, ask, full_answer, is_right
from support import patience

MIB = 1 << 20
WARM_UP = 0.2  # of the faults: heaps and caches have their size then
SAMPLES = 40   # of memory, over a run
FAULTS_FLAT = 40  # so many are needed to say that memory is flat: every kind of request has come by then
QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
MEASURED = {
    "to_next_token": "to the next token of any stream",
    "to_health_200": "to /health 200",
    "pause_of_a_stream": "to the next token of each stream that it met",
}


def quantile(values, q):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def quantiles(values):
    return {name: quantile(values, share) for name, share in QUANTILES.items()}


class Pulse:
    """When something came from the server, and what was the pause of each stream that a fault met."""

    def __init__(self):
        self.last = 0.0        # any stream's last piece
        self.fault_at = 0.0
        self.renewed_at = 0.0  # new ranks were seen; 0: not yet
        self.pauses = []

    def begin_fault(self, at):
        self.renewed_at, self.fault_at = 0.0, at


class Listener:
    """One request's ear: call it for each piece."""

    def __init__(self, pulse):
        self.pulse, self.begun, self.met = pulse, time.monotonic(), 0.0

    def __call__(self):
        now, pulse = time.monotonic(), self.pulse
        renewed, fault_at = pulse.renewed_at, pulse.fault_at
        if renewed and self.met != renewed:
            if self.begun < fault_at:
                pulse.pauses.append(now - fault_at)
            self.met = renewed
        pulse.last = now


class Chaos:
    """server: a running serve_client.Server. interval: (least, most) seconds between a recovery and the next fault."""

    def __init__(self, server, tp, requests, seed, interval=(0.3, 1.7), streams=16, kinds=None, show=None):
        self.server, self.tp, self.requests, self.interval, self.n_streams = server, tp, requests, interval, streams
        self.rng = random.Random(seed)
        self.family = Family(server.process.pid)
        self.faults = Faults(self.family, self.rng, kinds)
        self.show = show or (lambda chaos, wanted: None)
        self.pulse, self.lock = Pulse(), threading.Lock()
        self.known, self.threads = [], []
        self.over = False
        self.next = self.right = self.http_errors = self.failed = self.different = 0
        self.limit = None      # of requests to take; None: until the faults are over
        self.problems = []
        self.done = {}         # kind -> faults
        self.by_kind = {}      # kind -> seconds to the next token
        self.to_token, self.to_health = [], []
        self.unseen = 0        # faults during which /health was not seen to say 503
        self.samples = []
        self.finished_at = time.monotonic()

    # ---- requests ----

    def connect(self):
        return http.client.HTTPConnection(self.server.host, self.server.port, timeout=600)

    def record(self):
        """Every request alone, then all of them at a time: both must agree before faults mean anything. -> sentences, if they do not."""
        connection = self.connect()
        try:
            self.known = [full_answer(connection, request) for request in self.requests]
        except ERRORS as error:
            return [f"request {len(self.known)} undisturbed: {error}"]
        connection.close()
        self.load(len(self.requests))
        self.right = 0
        return self.problems

    def load(self, n):
        """`n` requests, many at a time, without faults."""
        self.next, self.limit = 0, n
        for thread in self.start():
            thread.join()
        self.limit = None

    def start(self):
        threads = [threading.Thread(target=self.work, daemon=True) for _ in range(self.n_streams)]
        for thread in threads:
            thread.start()
        return threads

    def busy(self):
        return any(thread.is_alive() for thread in self.threads)

    def take(self):
        with self.lock:
            if self.over or (self.limit is not None and self.next >= self.limit):
                return None
            self.next += 1
            return (self.next - 1) % len(self.requests)

    def work(self):
        connection = self.connect()
        while (number := self.take()) is not None:
            self.one(connection, number)
        connection.close()

    def one(self, connection, number):
        request = self.requests[number]
        try:
            answer = ask(connection, request, Listener(self.pulse))
        except ERRORS as error:
            connection.close()
            with self.lock:
                self.failed += 1
                self.http_errors += isinstance(error, Failed) and error.http_status > 0
            self.note(f"request {number} ({request.name}): {type(error).__name__}: {error}")
            return
        same = is_right(request, answer, self.known[number])
        with self.lock:
            self.right += same
            self.different += not same
            self.finished_at = time.monotonic()
        if not same:
            self.note(f"request {number} ({request.name}) has another answer:\n  undisturbed: {self.known[number]}\n  now:         {answer}")

    def note(self, problem):
        with self.lock:
            if len(self.problems) < 10:
                self.problems.append(problem[:4000])

    # ---- faults ----

    def healthy(self, connection):
        try:
            connection.request("GET", "/health")
            reply = connection.getresponse()
            reply.read()
            return reply.status
        except ERRORS:
            connection.close()
            return 0

    def renewed(self, victims):
        workers, keepers = self.family.look()
        return len(workers) == self.tp and not any(pid in workers + keepers for pid in victims)

    def one_fault(self, connection):
        """Does a fault and waits until it is over. False: nothing could be hit, or the server does not recover."""
        old = self.family.look()[0]
        done = self.faults.do()
        if done is None:
            time.sleep(0.01)
            return self.server.process.poll() is None
        kind, victims, at = done
        if kind == "while it restarts":
            again = self.faults.do_again(old)
            victims, at = (old, again) if again else (victims, at)
        self.pulse.begin_fault(at)
        self.done[kind] = self.done.get(kind, 0) + 1
        return self.await_recovery(connection, kind, victims, at)

    def await_recovery(self, connection, kind, victims, at):
        until = at + patience(60)
        renewed = token_at = health_at = 0.0
        refused = False
        while not (token_at and health_at):
            now = time.monotonic()
            if not self.busy():  # nobody is left who could hear of a recovery
                return True
            if now > until or self.server.process.poll() is not None:
                self.note(f"no recovery from {kind} of {victims} after {now - at:.1f} s: ranks {self.family.look()}, exit status {self.server.process.poll()}")
                return False
            if not renewed and self.renewed(victims):
                renewed = self.pulse.renewed_at = time.monotonic()
            if renewed and not token_at and self.pulse.last > renewed:
                token_at = self.pulse.last
            if not health_at:
                status = self.healthy(connection)
                refused |= status == 503
                if status == 200 and renewed and now > renewed:
                    health_at = time.monotonic()
            time.sleep(0.001)
        self.to_token.append(token_at - at)
        self.by_kind.setdefault(kind, []).append(token_at - at)
        self.to_health.append(health_at - at)
        self.unseen += not refused
        return True

    def n_done(self):
        return sum(self.done.values())

    def run(self, n_faults):
        """So many faults under load, then every request once more without any. 0: every request once, and faults as long as that takes."""
        connection = self.connect()
        self.next, self.limit = 0, None if n_faults else len(self.requests)
        self.sample()
        self.threads = self.start()
        while self.busy() and (not n_faults or self.n_done() < n_faults):
            if not self.one_fault(connection) or self.stalls():
                break
            if not n_faults or self.n_done() * SAMPLES // n_faults >= len(self.samples):
                self.sample()
            self.server.read_log()
            self.show(self, n_faults)
            time.sleep(self.rng.uniform(*self.interval))
        connection.close()
        if n_faults:
            self.over = True
        if not self.await_clients():
            return
        if n_faults:
            self.over = False
            self.load(len(self.requests))
        self.settle()

    def await_clients(self):
        until = time.monotonic() + patience(120)
        while self.busy() and time.monotonic() < until and self.server.process.poll() is None:
            self.server.read_log()
            time.sleep(0.02)
        if self.busy():
            self.note("requests hang at the end")
        return not self.busy() and self.server.process.poll() is None

    def stalls(self):
        seconds = time.monotonic() - self.finished_at
        if seconds < patience(120):
            return False
        self.note(f"no request has finished for {seconds:.0f} s")
        return True

    # ---- what is watched, and judged ----

    def sample(self):
        front, ranks = self.family.bytes()
        self.samples.append({"faults": self.n_done(), "front": front, "ranks": ranks, "descriptors": self.family.descriptors()})

    def settle(self):
        server = self.server
        idle = server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0 and server.metric("colrow_http_connections") <= 1, patience(60))
        if not idle:
            self.note(f"at the end {server.metric('vllm:kv_cache_usage_perc'):.4f} of the KV pages are in use, "
                      f"{server.metric('colrow_http_connections'):.0f} connections are open")
        if server.request("GET", "/load")[2]["server_load"]:
            self.note("requests are left in /load at the end")
        self.sample()

    def judge(self):
        """-> sentences about what was not as it should be."""
        found = list(self.problems)
        for n, what in ((self.failed, "requests failed"), (self.http_errors, "requests got an HTTP error"), (self.different, "answers differ")):
            if n:
                found.append(f"{n} {what}")
        last = self.samples[-1]["faults"]
        warm = [sample for sample in self.samples if sample["faults"] >= WARM_UP * last] or self.samples
        half = len(warm) // 2
        early, late = (max(sample["front"] for sample in part) for part in (warm[:half] or warm, warm[half:]))
        if last >= FAULTS_FLAT and late > early * 1.02 + 2 * MIB:
            found.append(f"memory of the front-end grows: {early / MIB:.1f} MiB at most in the first half after warm-up, {late / MIB:.1f} MiB in the second")
        first, end = self.samples[0], self.samples[-1]
        if last >= FAULTS_FLAT and end["ranks"] > max(sample["ranks"] for sample in self.samples[:-1]) * 1.02 + 2 * MIB:
            found.append(f"memory of the ranks at the end: {end['ranks'] / MIB:.1f} MiB, more than ever before")
        if end["descriptors"] > first["descriptors"] + 1:
            found.append(f"descriptors: {first['descriptors']} at first, {end['descriptors']} at the end")
        workers, keepers = self.family.look()
        if len(workers) != self.tp or len(keepers) not in (0, self.tp) or self.family.zombies():
            found.append(f"processes at the end: ranks {workers}, keepers {keepers}, zombies {self.family.zombies()}")
        return found

    def stop(self):
        """Ends the server -> sentences, as judge()."""
        self.faults.close()
        status = self.server.stop()
        found = [] if status == 0 else [f"the server's exit status is {status}: {''.join(self.server.log)[-800:]}"]
        until = time.monotonic() + patience(2)
        while self.family.left() and time.monotonic() < until:
            time.sleep(0.01)
        if left := self.family.left():
            found.append(f"processes are left: {left}")
        return found

    # ---- what is said ----

    def results(self):
        measured = {"to_next_token": self.to_token, "to_health_200": self.to_health, "pause_of_a_stream": self.pulse.pauses}
        return {
            "tensor_parallel_size": self.tp,
            "faults": self.n_done(),
            "kinds": dict(sorted(self.done.items())),
            "to_next_token_by_kind": {kind: quantiles(values) for kind, values in sorted(self.by_kind.items())},
            "requests": self.right + self.failed + self.different,
            "failed": self.failed,
            "http_errors": self.http_errors,
            "different": self.different,
            "recovery_seconds": {name: quantiles(values) for name, values in measured.items() if values},
            "without_503": self.unseen,
            "memory": [self.samples[0], self.samples[-1]] if self.samples else [],
            "skipped": self.faults.skipped,
            "metrics": self.metrics(),
        }

    def metrics(self):
        """The server's own view: counters and sums of restarts and recovery."""
        if self.server.process.poll() is not None:
            return {}
        text = self.server.request("GET", "/metrics")[2]
        wanted = ("colrow_recovery", "colrow_rank_restarts", "colrow_replayed", "vllm:num_preemptions_total")
        return {line.split(" ")[0]: float(line.split(" ")[1]) for line in text.splitlines() if line.startswith(wanted)}


def progress(chaos, wanted):
    """A bar on a terminal."""
    if not sys.stderr.isatty():
        return
    n = chaos.n_done()
    share = n / wanted if wanted else chaos.next / max(1, chaos.limit or 1)
    bar = "█" * int(share * 30)
    times = f", token again after {quantile(chaos.to_token, 0.5) * 1e3:.0f} ms (p99 {quantile(chaos.to_token, 0.99) * 1e3:.0f})" if chaos.to_token else ""
    print(f"\r\033[K[{bar:<30}] {n}{f'/{wanted}' if wanted else ''} faults, {chaos.right} answers right, {chaos.failed} failed, "
          f"{chaos.different} differ{times}", end="" if not wanted or n < wanted else "\n", file=sys.stderr, flush=True)


def table(results):
    """The same as text: Markdown, one block."""
    kinds = ", ".join(f"{n} {kind}" for kind, n in results["kinds"].items())
    lines = [f"TP={results['tensor_parallel_size']}: {results['faults']} faults ({kinds}) under {results['requests']} requests: "
             f"{results['failed']} failed, {results['http_errors']} HTTP errors, {results['different']} differ", ""]
    lines += ["| seconds from the fault | p50 | p90 | p99 | most |", "|---|---|---|---|---|"]
    for key, times in results["recovery_seconds"].items():
        lines.append(f"| {MEASURED[key]} | " + " | ".join(f"{times[q]:.3f}" for q in QUANTILES) + " |")
    for kind, times in results["to_next_token_by_kind"].items():
        lines.append(f"| ... after {kind} | " + " | ".join(f"{times[q]:.3f}" for q in QUANTILES) + " |")
    if results["memory"]:
        first, last = results["memory"]
        lines += ["", f"front-end {first['front'] / MIB:.1f} MiB, then {last['front'] / MIB:.1f}; "
                  f"ranks {first['ranks'] / MIB:.1f} MiB, then {last['ranks'] / MIB:.1f}; descriptors {first['descriptors']}, then {last['descriptors']}; "
                  f"{results['without_503']} faults were over before /health said 503"]
    lines += [f"{name} {value:g}" for name, value in results["metrics"].items()] + [f"skipped: {what}" for what in results["skipped"]]
    return "\n".join([*lines, f"{results['seconds']:.0f} s in all", ""])
