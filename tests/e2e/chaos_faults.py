"""The processes of a running server, found under /proc, and ways to end them. Used by chaos.py."""
import os
import signal
import time

import support
from processes import children_of, lives, stat_of

MEMORY_CGROUPS = "/sys/fs/cgroup/memory"  # version 1
CGROUPS = "/sys/fs/cgroup"                # version 2


def own_bytes(pid):
    """Memory of a process but for pages of files that it maps; what it shares with relatives counts by its share."""
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return sum(int(line.split()[1]) << 10 for line in file if line.startswith(("Pss_Anon", "Pss_Shmem")))
    except (OSError, ValueError):
        return 0


class Family:
    """The front-end `pid`, the ranks that work for it and, where there are any, the keepers that start those."""

    def __init__(self, pid):
        self.pid = pid
        self.ever = {}         # pid -> start time of every process seen under the front-end
        self.are_keepers = False

    def look(self):
        """-> (workers, keepers) that live, in the order of their parents."""
        workers, keepers, others = [], [], []
        for child in children_of(self.pid):
            grandchildren = [pid for pid in children_of(child) if self.note(pid)]
            if not self.note(child) or support.name_of(child) == "colrow launcher":
                continue  # the launcher has no part in the work; only a keeper that is lost needs it
            self.are_keepers |= bool(grandchildren)
            if grandchildren:
                keepers.append(child)
                workers += grandchildren
            else:
                others.append(child)
        if self.are_keepers:  # those whose rank is gone for now
            return workers, keepers + others
        return others, []

    def note(self, pid):
        found = stat_of(pid)
        if found is None or found[1] in "ZX":
            return False
        self.ever.setdefault(pid, found[2])
        return True

    def left(self):
        """Processes seen at any time that live now."""
        return [pid for pid, begun in self.ever.items() if (found := stat_of(pid)) and found[2] == begun and found[1] not in "ZX"]

    def zombies(self):
        return [pid for pid in children_of(self.pid) if (found := stat_of(pid)) and found[1] == "Z"]

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def bytes(self):
        """-> (of the front-end, of all others)"""
        workers, keepers = self.look()
        return own_bytes(self.pid), sum(map(own_bytes, workers + keepers))


# ---- memory that a cgroup refuses ----


def untouched_address(pid):
    """A page of the process' own memory that it has never touched, so that a zero written there changes nothing."""
    page = os.sysconf("SC_PAGE_SIZE")
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/pagemap", "rb") as pagemap:
        for line in maps:
            fields = line.split()
            if fields[1] != "rw-p" or fields[4] != "0" or (len(fields) > 5 and fields[5] != "[heap]"):
                continue
            begin, end = (int(word, 16) for word in fields[0].split("-"))
            pagemap.seek(begin // page * 8)
            entries = pagemap.read(min((end - begin) // page, 4096) * 8)
            for i in range(len(entries) // 8):
                if not entries[i * 8 + 7] & 0xC0:  # neither present nor swapped
                    return begin + i * page
    return None


def write_to(path, value):
    with open(path, "w", encoding="ascii") as file:
        file.write(str(value))


class MemoryLimit:
    """A cgroup of its own for a rank, with a limit below what it uses: the kernel's out-of-memory killer ends it."""

    def __init__(self):
        self.folder, self.why_not = None, None
        for root, file in ((MEMORY_CGROUPS, "memory.limit_in_bytes"), (CGROUPS, "memory.max")):
            folder = os.path.join(root, f"colrow-chaos-{os.getpid()}")
            try:
                os.mkdir(folder)
                self.folder, self.limit = folder, os.path.join(folder, file)
                with open(self.limit, encoding="ascii"):
                    return
            except OSError as error:
                self.why_not = self.why_not or f"{folder}: {error.strerror}"
                self.close()

    def kill(self, pid, seconds=5):
        """-> when the memory ran out that made the kernel kill the process, or None: it lives."""
        begun = touched = time.monotonic()
        try:
            write_to(os.path.join(self.folder, "cgroup.procs"), pid)
            if self.limit.endswith("memory.max"):
                write_to(self.limit, 0)
                return begun if self.await_end(pid, seconds) else None
            # version 1 charges what is touched from now on, and kills for that
            write_to(self.limit, 4096)
            while lives(pid) and time.monotonic() < begun + seconds:
                if (address := untouched_address(pid)) is not None:
                    touched = time.monotonic()
                    with open(f"/proc/{pid}/mem", "r+b", buffering=0) as memory:
                        memory.seek(address)
                        memory.write(b"\0")
                else:
                    time.sleep(0.001)
        except OSError:
            pass  # also because it is gone
        return None if lives(pid) else touched

    def await_end(self, pid, seconds):
        until = time.monotonic() + seconds
        while lives(pid) and time.monotonic() < until:
            time.sleep(0.001)
        return not lives(pid)

    def lift(self):
        """For the next one."""
        if self.limit.endswith("memory.max"):
            write_to(self.limit, "max")
        else:
            write_to(self.limit, -1)

    def close(self):
        for _ in range(100):
            try:
                if self.folder:
                    os.rmdir(self.folder)
                break
            except OSError:
                time.sleep(0.02)
        self.folder = None


# ---- kinds of faults ----

SIGNALS = {"KILL": signal.SIGKILL, "SEGV": signal.SIGSEGV, "ABRT": signal.SIGABRT, "STOP": signal.SIGSTOP}
# how often each is chosen
WEIGHTS = {"KILL": 6, "SEGV": 4, "ABRT": 4, "STOP": 3, "memory": 3, "two at once": 2, "while it restarts": 2, "keeper": 1}


class Faults:
    """Draws faults with `rng` and does them. `kinds`: names of WEIGHTS; those that this machine lacks are left out, `skipped` says why."""

    def __init__(self, family, rng, kinds=None):
        self.family, self.rng, self.skipped = family, rng, []
        self.weights = {kind: WEIGHTS[kind] for kind in kinds or WEIGHTS}
        self.memory = MemoryLimit() if "memory" in self.weights else None
        if self.memory and not self.memory.folder:
            self.skipped.append(f"memory: no cgroup of our own ({self.memory.why_not})")
            del self.weights["memory"]

    def close(self):
        if self.memory:
            self.memory.close()

    def draw(self, workers, keepers):
        weights = {kind: weight for kind, weight in self.weights.items()
                   if (kind != "keeper" or keepers) and (kind != "two at once" or len(workers) > 1)}
        return self.rng.choices(list(weights), list(weights.values()))[0]

    def hit(self, pid, number):
        try:
            os.kill(pid, number)
            return True
        except ProcessLookupError:
            return False

    def do(self):
        """-> (kind, pids that shall be gone, time of the fault), or None when there was nobody to hit."""
        workers, keepers = self.family.look()
        if not workers:
            return None
        kind = self.draw(workers, keepers)
        victims = [self.rng.choice(keepers)] if kind == "keeper" else self.rng.sample(workers, 2 if kind == "two at once" else 1)
        theirs = [pid for victim in victims for pid in children_of(victim)]  # a keeper's rank goes with it
        number = SIGNALS.get(kind) or self.rng.choice([signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT])
        if kind == "memory":
            begun = self.memory.kill(victims[0])
            self.memory.lift()
            return (kind, victims, begun) if begun else None
        begun = time.monotonic()
        hit = [self.hit(pid, number) for pid in victims]
        return (kind, victims + theirs, begun) if any(hit) else None

    def do_again(self, old):
        """Hits a rank that has just been started in the place of `old`; -> time or None."""
        until = time.monotonic() + 10
        while time.monotonic() < until:
            fresh = [pid for pid in self.family.look()[0] if pid not in old]
            if fresh:
                begun = time.monotonic()
                return begun if self.hit(self.rng.choice(fresh), signal.SIGKILL) else None
            time.sleep(0.001)
        return None
