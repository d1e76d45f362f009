"""`colrow serve` on the nodes of a Network (cluster_nodes.py), and what is asked of it from within a node."""
import contextlib
import ctypes
import hashlib
import http.client
import json
import os
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

from support import COLROW, DEMO, check, patience

CLONE_NEWNET = 0x40000000
libc = ctypes.CDLL(None, use_errno=True)
PROMPT = "Tensor parallelism"


class Asking(threading.Thread):
    """One request, made within a node; a status of 0: nobody answers. Until `until` is answered, or `seconds` are over, it
    is made again and again."""

    def __init__(self, namespace, path, body, seconds, until=None, stop=lambda: False):
        super().__init__(daemon=True)
        self.namespace, self.path, self.body, self.seconds, self.until, self.stop = namespace, path, body, seconds, until, stop
        self.status, self.text = 0, "not asked"
        self.start()

    def once(self, seconds):
        data = json.dumps(self.body).encode() if self.body else None
        request = urllib.request.Request("http://127.0.0.1:8000" + self.path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            return 0, repr(error)

    def run(self):
        with open(f"/var/run/netns/{self.namespace}", "rb") as file:  # of this thread alone
            if libc.setns(file.fileno(), CLONE_NEWNET):
                self.text = f"setns: {os.strerror(ctypes.get_errno())}"
                return
        end = time.monotonic() + self.seconds
        while True:
            self.status, self.text = self.once(self.seconds if self.until is None else 10)
            if self.until is None or self.status == self.until or time.monotonic() > end or self.stop():
                return
            time.sleep(0.05)

    def answer(self):
        self.join()
        return self.status, self.text.rstrip("\n")


class ServeNode:
    """One node's `colrow serve`; all nodes have the same flags but for --node-rank."""

    def __init__(self, network, node, n_nodes, flags, model=DEMO, environment=None):
        self.node = node
        self.namespace = network.names[node]
        self.log = tempfile.TemporaryFile("w+")
        command = network.command(node, COLROW, "serve", model, "--port", "8000", *flags)
        if n_nodes > 1 and not environment:
            command += ["--nnodes", str(n_nodes), "--node-rank", str(node), "--master-addr", network.address(0)]
        # `ip netns exec` becomes colrow itself
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, env={**os.environ, **(environment or {})})

    def text(self):
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")

    def asking(self, path, body=None, seconds=60):
        return Asking(self.namespace, path, body, patience(seconds))

    def ask(self, path, body=None, seconds=60):
        return self.asking(path, body, seconds).answer()

    def await_status(self, path, status, seconds=120):
        asking = Asking(self.namespace, path, None, patience(seconds), until=status, stop=lambda: self.process.poll() is not None)
        return asking.answer()

    def await_health(self, seconds=120):
        found, _ = self.await_status("/health", 200, seconds)
        return check(found == 200, f"node {self.node} does not get ready: {self.text()}")

    def await_text(self, matches, seconds=60):
        """`matches` says so of the log. False: never, or the process has ended without it."""
        end = time.monotonic() + patience(seconds)
        while not matches(self.text()):
            if self.process.poll() is not None or time.monotonic() > end:
                return bool(matches(self.text()))
            time.sleep(0.02)
        return True

    def finish(self, seconds=60):
        """Its exit status; None: it did not end."""
        try:
            return self.process.wait(patience(seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None


@contextlib.contextmanager
def another_demo():
    """A folder with the demo's weights and another config.json."""
    with tempfile.TemporaryDirectory() as folder:
        for name in os.listdir(DEMO):
            os.symlink(os.path.join(os.path.abspath(DEMO), name), os.path.join(folder, name))
        os.unlink(os.path.join(folder, "config.json"))
        with open(os.path.join(DEMO, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["rope_theta"] = 12345.0
        with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        yield folder


def completion(prompt, tokens, **other):
    return {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "ignore_eos": True, "logprobs": 5, **other}


def bits_of(status, text):
    """A digest of what was answered, log-probabilities too."""
    try:
        return hashlib.sha256(json.dumps(json.loads(text)["choices"], sort_keys=True).encode()).hexdigest()
    except (ValueError, KeyError):
        return f"no answer: {status} {text[:300]}"


def ranks_of(network, node):
    """Of a node: those that work, not their keepers."""
    found = []
    for pid in network.pids(node):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().split(b"\0")
            with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
                parent = int(file.read().rpartition(")")[2].split()[1])
        except OSError:
            continue  # it has just ended
        if words[1:2] == [b"rank"]:
            found.append((pid, parent))
    pids = {pid for pid, _ in found}
    return [pid for pid, parent in found if parent in pids]


def signal_all(pids, number):
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
