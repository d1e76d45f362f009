"""The engines of bench/peers.py. Each has a name and run(case) -> tokens/s; start() times a new process up to its first token."""
import json
import os
import re
import signal
import subprocess
import time

HERE = os.path.dirname(os.path.abspath(__file__))
CORES = len(os.sched_getaffinity(0))
TCMALLOC = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4"


def output_of(arguments):
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments)} failed with {done.returncode}: {done.stderr[-500:]}")
    return done.stdout


def seconds_of(arguments):
    begun = time.perf_counter()
    output_of(arguments)
    return time.perf_counter() - begun


class Colrow:
    def __init__(self, binary, model, tp, name, flags=()):
        self.binary, self.model, self.tp, self.name, self.flags = binary, model, tp, name, list(flags)

    def arguments(self, case):
        return [self.binary, "bench", "latency", self.model, "-tp", str(self.tp), "--batch-size", str(case.batch), "--input-len",
                str(case.length), "--output-len", str(case.new), "--num-iters", "1", "--no-limits", "--json", *self.flags]

    def run(self, case):
        out = json.loads(output_of(self.arguments(case)))
        return out["decode_tokens_per_second" if case.new > 1 else "prefill_tokens_per_second"]

    def start(self, case):
        return seconds_of([*self.arguments(case), "--num-iters-warmup", "0"])

    def close(self):
        pass


class LlamaCpp:
    name = "llama.cpp"
    # The best of what was tried: flash attention on, bf16 keys and values as the others have them, a cache for each sequence.
    # Batches of 256 to 1024, --poll, --cpu-strict and loading without mmap changed nothing or made it slower.
    flags = ["-fa", "on", "-ctk", "bf16", "-ctv", "bf16"]

    def __init__(self, folder, gguf):
        self.folder, self.gguf = folder, gguf

    def single(self, prompt, new, *more):
        return [os.path.join(self.folder, "llama-bench"), "-m", self.gguf, "-t", str(CORES), "-r", "1", "-o", "json", "-p", str(prompt),
                "-n", str(new), *self.flags, *more]

    def run(self, case):
        if case.batch == 1:
            out = output_of(self.single(case.length, 0) if case.new == 1 else self.single(0, case.new - 1))
            return json.loads(out[out.index("[") :])[0]["avg_ts"]
        out = output_of([os.path.join(self.folder, "llama-batched-bench"), "-m", self.gguf, "-t", str(CORES), "-c",
                         str(case.batch * 256), "-npp", str(case.length), "-ntg", str(case.new - 1), "-npl", str(case.batch), "-no-kvu",
                         "--output-format", "jsonl", *self.flags])
        return json.loads(re.search(r"^\{.*\}$", out, re.MULTILINE)[0])["speed_tg"]

    def start(self, case):
        return seconds_of(self.single(case.length, 0, "--no-warmup"))

    def close(self):
        pass


def tree(pid):
    """pid and all that descend from it."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    children.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += children.get(pid, [])
    return found


class Held:
    """What stays open is stopped while another one runs, so that its spinning threads disturb nobody. `process` is a subprocess.Popen."""

    def signal(self, number):
        for pid in tree(self.process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def hold(self):
        self.signal(signal.SIGSTOP)

    def resume(self):
        self.signal(signal.SIGCONT)

    def close(self):
        self.signal(signal.SIGKILL)
        self.process.wait()


def vllm_environment(python, tp, cache_gib):
    """With its threads bound and tcmalloc, as its manual recommends."""
    bind = "|".join(str(i) for i in range(tp)) if tp > 1 else f"0-{CORES - 1}"
    preload = [TCMALLOC, os.path.join(os.path.dirname(python), "../lib/libiomp5.so")]
    return {"VLLM_CPU_KVCACHE_SPACE": str(cache_gib), "HF_HUB_OFFLINE": "1", "VLLM_CPU_OMP_THREADS_BIND": bind, "VLLM_LOGGING_LEVEL": "ERROR",
            "LD_PRELOAD": ":".join(p for p in preload if os.path.exists(p))}


class Vllm(Held):
    """Loading takes minutes, so it stays open."""

    def __init__(self, python, model, tp, longest, streams):
        self.name = f"vLLM TP={tp}"
        environment = {**os.environ, **vllm_environment(python, tp, 1)}
        begun = time.perf_counter()
        self.process = subprocess.Popen([python, os.path.join(HERE, "vllm_worker.py"), model, str(tp), str(longest), str(streams)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        self.answer()
        self.started = time.perf_counter() - begun
        self.hold()

    def answer(self):
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(f"{self.name} is gone")

    def run(self, case):
        self.resume()
        self.process.stdin.write(f"{case.batch} {case.length} {case.new}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.hold()
        return answer["decode" if case.new > 1 else "prefill"]

    def start(self, _):
        return self.started  # once: the same figure in every round
