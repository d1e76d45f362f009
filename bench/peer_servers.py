"""The servers of bench/serve_peers.py: each is started once, and held while another one is measured."""
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request

from peer_engines import CORES, Held, vllm_environment

START_SECONDS_MAX = 900


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Server(Held):
    """name: what tables call it; arguments get the port appended by `--port N`."""

    def __init__(self, name, arguments, log, environment=None):
        self.name, self.port = name, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(log, "w", encoding="utf-8")  # for as long as the server lives
        begun = time.perf_counter()
        self.process = subprocess.Popen([*arguments, "--port", str(self.port)], stdout=self.log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                        env=dict(os.environ, **(environment or {})))
        self.await_ready(begun)
        self.started = time.perf_counter() - begun
        self.hold()

    def await_ready(self, begun):
        while time.perf_counter() - begun < START_SECONDS_MAX:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with status {self.process.returncode}; see {self.log.name}")
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            time.sleep(0.1)
        raise RuntimeError(f"{self.name} was not ready after {START_SECONDS_MAX} s; see {self.log.name}")

    def processor_seconds(self):
        """Of the process itself, without those it started: colrow's front-end, which is engine and HTTP."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self):
        super().close()
        self.log.close()


def colrow(binary, model, tp, streams, length, log, flags=()):
    return Server("colrow", [binary, "serve", model, "--tensor-parallel-size", str(tp), "--max-num-seqs", str(streams), "--max-model-len", str(length),
                             *flags], log)


def llama_server(folder, gguf, streams, length, log):
    """A place for each stream (--parallel) with its own context; flags as in bench/peer_engines.py."""
    return Server("llama-server", [os.path.join(folder, "llama-server"), "-m", gguf, "-t", str(CORES), "--parallel", str(streams), "-c",
                                   str(streams * length), "-fa", "on", "-ctk", "bf16", "-ctv", "bf16", "--no-webui"], log)


def vllm(python, model, tp, streams, length, log):
    return Server(f"vLLM TP={tp}", [python, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--tensor-parallel-size", str(tp), "--dtype",
                                    "bfloat16", "--max-num-seqs", str(streams), "--max-model-len", str(length)], log, vllm_environment(python, tp, 2))
