#!/usr/bin/env python3
"""colrow, vLLM and llama.cpp on the same checkpoint, case by case in turn, so that a machine that drifts drifts for all.

usage: bench/peers.py --model FOLDER [--vllm PYTHON] [--llama-cpp BIN_FOLDER --gguf FILE] [--rounds 5] [--tp 2]
                      [--colrow-flags "..."] [--json FILE] [--markdown FILE]

The peers are installed by hand (vLLM for CPUs in a virtual environment, llama.cpp from source). A peer that waits is stopped (SIGSTOP), so that its spinning threads do not
disturb the others.
"""
import argparse
import datetime
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
CASES = [("prefill 512", 1, 512, 1), ("prefill 2048", 1, 2048, 1), ("decode, 1 stream", 1, 32, 33),
         ("decode, 8 streams", 8, 32, 33), ("decode, 64 streams", 64, 16, 17)]


def tree(pid):
    """pid and all that descend from it."""
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="ascii", errors="replace") as file:
                    parents.setdefault(int(file.read().rsplit(")", 1)[1].split()[1]), []).append(int(entry))
            except OSError:
                pass
    found, queue = [], [pid]
    while queue:
        pid = queue.pop()
        found.append(pid)
        queue += parents.get(pid, [])
    return found


class Vllm:
    name = "vLLM"

    def __init__(self, python, model, tp):
        bind = "|".join(str(i) for i in range(tp)) if tp > 1 else f"0-{os.cpu_count() - 1}"
        environment = dict(os.environ, VLLM_CPU_KVCACHE_SPACE="2", HF_HUB_OFFLINE="1", VLLM_CPU_OMP_THREADS_BIND=bind,
                           VLLM_LOGGING_LEVEL="ERROR")
        preload = ["/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4", os.path.join(os.path.dirname(python), "../lib/libiomp5.so")]
        environment["LD_PRELOAD"] = ":".join(p for p in preload if os.path.exists(p))
        self.process = subprocess.Popen([python, os.path.join(HERE, "vllm_worker.py"), model, str(tp)], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment)
        self.load = self.answer()["load"]
        self.hold()

    def answer(self):
        while line := self.process.stdout.readline():
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError("vLLM is gone")

    def signal(self, number):
        for pid in tree(self.process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def hold(self):
        self.signal(signal.SIGSTOP)

    def run(self, batch, length, new):
        self.signal(signal.SIGCONT)
        self.process.stdin.write(f"{batch} {length} {new}\n")
        self.process.stdin.flush()
        answer = self.answer()
        self.hold()
        return answer["decode"] if new > 1 else answer["prefill"]

    def close(self):
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)


class LlamaCpp:
    name = "llama.cpp"

    def __init__(self, folder, gguf):
        self.folder, self.gguf, self.load = folder, gguf, None

    def run(self, batch, length, new):
        threads = str(os.cpu_count())
        if batch == 1:
            arguments = [os.path.join(self.folder, "llama-bench"), "-m", self.gguf, "-t", threads, "-r", "2", "-o", "json",
                         "-p", str(length) if new == 1 else "0", "-n", str(new - 1)]
            out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
            return json.loads(out[out.index("[") :])[0]["avg_ts"]
        arguments = [os.path.join(self.folder, "llama-batched-bench"), "-m", self.gguf, "-t", threads, "-c",
                     str(batch * (length + new) + 256), "-npp", str(length), "-ntg", str(new - 1), "-npl", str(batch)]
        out = subprocess.run(arguments, capture_output=True, text=True, check=True).stdout
        row = [line for line in out.splitlines() if re.match(r"\|\s+\d+", line)][0].split("|")
        return float(row[8])  # S_TG t/s

    def close(self):
        pass


class Colrow:
    def __init__(self, model, tp, flags, name="colrow"):
        self.model, self.tp, self.flags, self.name, self.load = model, tp, flags, name, None
        self.binary = os.environ.get("COLROW", os.path.join(HERE, "../build/release/colrow"))

    def run(self, batch, length, new):
        arguments = [self.binary, "bench", "latency", self.model, "-tp", str(self.tp), "--batch-size", str(batch), "--input-len",
                     str(length), "--output-len", str(new), "--num-iters", "1", "--json", *self.flags]
        out = json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True).stdout)
        self.last = out
        return out["decode_tokens_per_second"] if new > 1 else out["prefill_tokens_per_second"]

    def close(self):
        pass


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--vllm")
    parser.add_argument("--llama-cpp")
    parser.add_argument("--gguf")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tp", type=int, default=2)
    parser.add_argument("--tiles", action="store_true", help="also colrow with --product-order tiles")
    parser.add_argument("--cases", help="substrings of the cases to run, with commas between; e.g. \"prefill 512,8 streams\"")
    parser.add_argument("--json")
    parser.add_argument("--markdown")
    args = parser.parse_args()
    engines = [Colrow(args.model, args.tp, [])]
    if args.tiles:
        engines.append(Colrow(args.model, args.tp, ["--product-order", "tiles"], "colrow, tiles"))
    if args.vllm:
        engines.append(Vllm(args.vllm, args.model, args.tp))
    if args.llama_cpp:
        engines.append(LlamaCpp(args.llama_cpp, args.gguf))
    results, limits = {}, {}
    try:
        for round_number in range(args.rounds):
            for name, batch, length, new in CASES:
                if args.cases and not any(case in name for case in args.cases.split(",")):
                    continue
                for engine in engines:
                    figure = engine.run(batch, length, new)
                    results.setdefault(name, {}).setdefault(engine.name, []).append(figure)
                    if engine.name == "colrow":
                        part = engine.last["decode_of_bandwidth"] if new > 1 else engine.last["prefill_of_peak"]
                        limits.setdefault(name, []).append(part)
                    print(f"{round_number + 1}/{args.rounds} {name:20s} {engine.name:14s} {figure:9.2f} tok/s", file=sys.stderr, flush=True)
    finally:
        for engine in engines:
            engine.close()
    lines = ["| | " + " | ".join(e.name for e in engines) + " | colrow of the limit | colrow : best peer |",
             "|---|" + "---|" * (len(engines) + 2)]
    for name, row in results.items():
        medians = {e: statistics.median(v) for e, v in row.items()}
        ours = [e for e in medians if e.startswith("colrow")]
        peers = [e for e in medians if e not in ours]
        ratio = ""
        if peers:
            pairs = [max(row[o][i] for o in ours) / max(row[p][i] for p in peers) for i in range(len(row["colrow"]))]
            ratio = f"{statistics.median(pairs):.2f}"
        lines.append(f"| {name} | " + " | ".join(f"{medians[e.name]:.1f}" for e in engines)
                     + f" | {statistics.median(limits[name]):.2f} | {ratio} |")
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=HERE).stdout.strip()
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.processor())
    head = (f"{datetime.date.today()}, commit {commit}, {cpu}, {os.cpu_count()} cores; tokens/s, median of {args.rounds} rounds in turn; "
            f"TP={args.tp}" + "".join(f"; {e.name} loads in {e.load:.0f} s" for e in engines if e.load))
    print(head + "\n\n" + "\n".join(lines))
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump({"head": head, "results": results, "limits": limits}, file, indent=1)
    if args.markdown:
        with open(args.markdown, "w", encoding="utf-8") as file:
            file.write(head + "\n\n" + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
