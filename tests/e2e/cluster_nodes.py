"""Machines for tests: network namespaces on one switch, made by the test itself and gone with it. Without the right to
make them, tests are skipped. cluster_wire.py has no need of them."""
import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from support import COLROW, check, patience, skip

SUBNET = "10.77.0"
BUILD = os.environ.get("BUILD_DIR", os.path.dirname(COLROW))


def ip(*arguments):
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """`n` nodes, node i with the address 10.77.0.(i + 1) on its interface cable0. The switch is a namespace, too; or
    with `bad` a program whose wires delay and lose what the test says (bad_wire.c)."""

    def __init__(self, n, bad=False):
        self.bad = bad
        self.wire = None
        self.names = [f"colrow-{os.getpid()}-{i}" for i in range(n)]
        self.switch = f"colrow-{os.getpid()}-switch"
        self.made = []
        atexit.register(self.close)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # CTest's patience is at an end: still leave nothing
        try:
            self.sweep()
            self.make()
        except (OSError, FileNotFoundError) as error:
            self.close()
            skip(f"no network namespaces here: {error}")

    def sweep(self):
        """What a test that was killed has left behind."""
        for line in ip("netns", "list").splitlines():
            found = re.fullmatch(r"colrow-(\d+)-(\d+|switch)", line.split()[0])
            if found and not os.path.exists(f"/proc/{found[1]}"):
                self.made.append(found[0])
        self.close()

    def make(self):
        for name in [*self.names, *([] if self.bad else [self.switch])]:
            ip("netns", "add", name)
            self.made.append(name)
        if self.bad:
            self.make_bad_wires()
        else:
            self.make_wires()
        for i, name in enumerate(self.names):
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "addr", "add", f"{self.address(i)}/24", "dev", "cable0")
            ip("-n", name, "link", "set", "cable0", "up")

    def make_wires(self):
        ip("-n", self.switch, "link", "add", "switch0", "type", "bridge")
        ip("-n", self.switch, "link", "set", "switch0", "up")
        for i, name in enumerate(self.names):
            ip("link", "add", "cable0", "netns", name, "type", "veth", "peer", "name", f"port{i}", "netns", self.switch)
            ip("-n", self.switch, "link", "set", f"port{i}", "master", "switch0", "up")

    def make_bad_wires(self):
        program = os.path.join(BUILD, "tests", "bad_wire")
        if not os.access(program, os.X_OK):
            skip("build/*/tests/bad_wire is not built")
        self.wire = subprocess.Popen([program, *self.names], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        if self.wire.stdout.readline() != "ready\n":
            raise OSError("no /dev/net/tun")

    def set(self, **wires):
        """delay (ms), loss (percent), rate (Mbit/s, 0: any) of the bad wires, from now on."""
        for word, number in wires.items():
            self.tell(f"{word} {number}")

    def tell(self, line):
        self.wire.stdin.write(line + "\n")
        self.wire.stdin.flush()
        check(self.wire.stdout.readline() == "ok\n", f"the wire does not know: {line}")

    @staticmethod
    def address(i):
        return f"{SUBNET}.{i + 1}"

    def cut(self, i, up=False):
        if self.bad:
            self.tell(f"{'join' if up else 'cut'} {i}")
            return
        ip("-n", self.switch, "link", "set", f"port{i}", "up" if up else "down")

    def pids(self, i):
        """Processes in a node, but for zombies, which nobody can end."""
        found = []
        for pid in map(int, ip("netns", "pids", self.names[i]).split()):
            try:
                with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                    if file.read().rpartition(")")[2].split()[0] != "Z":
                        found.append(pid)
            except OSError:
                pass
        return found

    def hosts(self, i, text):
        """What the node's /etc/hosts says; must be called once before anything runs there."""
        folder = f"/etc/netns/{self.names[i]}"
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/hosts", "w", encoding="ascii") as file:
            file.write(text)

    def command(self, i, *arguments):
        return ["ip", "netns", "exec", self.names[i], *map(str, arguments)]

    def close(self):
        for name in self.made:
            for pid in ip("netns", "pids", name).split():
                try:
                    os.kill(int(pid), signal.SIGKILL)
                except ProcessLookupError:
                    pass
            ip("netns", "del", name)
            shutil.rmtree(f"/etc/netns/{name}", ignore_errors=True)
        self.made = []
        if self.wire:
            self.wire.stdin.close()
            self.wire.wait()
            self.wire = None


class Launch:
    """`colrow launch` on one node; stdout and stderr are one text. `place`: its --node-rank, -1 for none.
    With an `environment` no flag says which node it is."""

    def __init__(self, network, node, n_nodes, program, *flags, n_ranks=1, place=None, environment=None):
        self.node = node
        own = node if place is None else place
        flags = ["-n", n_ranks, *flags]
        if not environment:
            flags += ["--nnodes", n_nodes, *([] if own < 0 else ["--node-rank", own])]
            if "--master-addr" not in flags and "--rdzv-endpoint" not in flags:
                flags += ["--master-addr", network.address(0)]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(network.command(node, COLROW, "launch", *flags, "--", *program), env={**os.environ, **(environment or {})},
                                        stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        self.ended = None
        self.watcher = threading.Thread(target=self.wait, daemon=True)
        self.watcher.start()

    def wait(self):
        self.process.wait()
        self.ended = time.monotonic()

    def text(self):
        self.log.flush()
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def await_text(self, part, seconds=20):
        end = time.monotonic() + patience(seconds)
        while part not in self.text():
            if time.monotonic() > end or self.ended:
                return check(part in self.text(), f"node {self.node} never said \"{part}\": {self.text()}")
            time.sleep(0.01)
        return True

    def finish(self, seconds):
        """Its exit status; None: it did not end."""
        self.watcher.join(seconds)
        if self.ended is None:
            self.process.kill()
            self.watcher.join()
            return None
        return self.process.returncode


def launchers(network, node):
    """The processes of a node that are `colrow launch` themselves, not its ranks."""
    found = []
    for pid in network.pids(node):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
        except OSError:
            continue
        if os.path.basename(words[0]) == b"colrow" and words[1:2] == [b"launch"] and b"--become-rank" not in words:
            found.append(pid)
    return found
