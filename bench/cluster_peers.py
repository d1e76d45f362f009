#!/usr/bin/env python3
"""colrow and vLLM (CPU, gloo) with TP=2 over the same two nodes, network namespaces with veth that are made here, one rank in each; the same client
(colrow bench serve), both held ready and measured in turn. Prints medians and the ratio of each round's pairs.

usage: bench/cluster_peers.py [--dir DIR] [--model FOLDER] [--vllm PYTHON] [--rounds 5] [--clients 1,8] [--json FILE]

DIR (default ~/.cache/colrow-peers) is where bench/peers.sh installs vLLM and the synthesised checkpoint in the shape of Llama-3.2-1B. Each node has half of
the cores: colrow by its affinity, vLLM by VLLM_CPU_OMP_THREADS_BIND as its manual has it, its front-end where it likes. vLLM's multi-node mode is
`--nnodes 2 --node-rank R --distributed-executor-backend mp`, with --headless on node 1. Needs root (exit status 77 without).
Bytes that crossed the wire are counted at its end: that nobody took a way through shared memory shows there.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from peer_engines import CORES, HERE, Held, output_of, tree, vllm_environment

ADDRESS = "10.78.0.{}"
PROMPT, ANSWER, LENGTH, VOCABULARY = 32, 65, 512, 128000
START_SECONDS_MAX = 3600


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Nodes:
    def __init__(self):
        self.names = [f"colrow-peers-{os.getpid()}-{i}" for i in range(2)]
        try:
            for name in self.names:
                ip("netns", "add", name)
            ip("link", "add", "veth0", "netns", self.names[0], "type", "veth", "peer", "name", "veth0", "netns", self.names[1])
            for i, name in enumerate(self.names):
                ip("-n", name, "addr", "add", f"{ADDRESS.format(i + 1)}/24", "dev", "veth0")
                ip("-n", name, "link", "set", "lo", "up")
                ip("-n", name, "link", "set", "veth0", "up")
        except (OSError, subprocess.CalledProcessError) as error:
            self.close()
            print(f"skipped: no network namespaces here: {error}", file=sys.stderr)
            sys.exit(77)
        time.sleep(2)  # an interface that has only just come up is left out by UCX

    def on(self, node, arguments, cores=None):
        bound = ["taskset", "-c", cores] if cores else []
        return ["ip", "netns", "exec", self.names[node], "unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', f"node-{node}", *bound, *arguments]

    def sent(self):
        """Bytes that node 0 has sent so far."""
        shown = output_of(["ip", "-n", self.names[0], "-s", "-j", "link", "show", "veth0"])
        return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])

    def close(self):
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


class ClusterServer(Held):
    """One server on both nodes; node 0 answers at `port`."""

    def __init__(self, name, nodes, port, commands, logs):
        self.name, self.nodes, self.port = name, nodes, port
        begun = time.perf_counter()
        self.processes = []
        for node, (arguments, cores, environment) in enumerate(commands):
            with open(os.path.join(logs, f"{name}-{node}.log"), "w", encoding="utf-8") as log:
                self.processes.append(subprocess.Popen(nodes.on(node, arguments, cores), stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                                       env={**os.environ, **environment}))
        self.logs = logs
        try:
            self.await_ready(begun)
        except BaseException:
            self.close()
            raise
        self.started = time.perf_counter() - begun
        self.hold()

    def await_ready(self, begun):
        ask = ["import urllib.request, sys", f"sys.exit(urllib.request.urlopen('http://127.0.0.1:{self.port}/health', timeout=5).status != 200)"]
        while time.perf_counter() - begun < START_SECONDS_MAX:
            for node, process in enumerate(self.processes):
                if process.poll() is not None:
                    raise RuntimeError(f"{self.name}: node {node} ended with status {process.returncode}; see {self.logs}")
            done = subprocess.run(self.nodes.on(0, [sys.executable, "-c", "\n".join(ask)]), check=False, capture_output=True)
            if done.returncode == 0:
                return
            time.sleep(1)
        raise RuntimeError(f"{self.name} was not ready after {START_SECONDS_MAX} s; see {self.logs}")

    def signal(self, number):
        for process in self.processes:
            for pid in tree(process.pid):
                try:
                    os.kill(pid, number)
                except ProcessLookupError:
                    pass

    def close(self):
        self.signal(9)
        for process in self.processes:
            process.wait()


def colrow_server(args, nodes, streams, halves, logs):
    def command(node):
        return [args.colrow, "serve", args.model, "-tp", "2", "--nnodes", "2", "--node-rank", str(node), "--master-addr", ADDRESS.format(1), "--port", "8100",
                "--max-model-len", str(LENGTH), "--max-num-seqs", str(streams), "--node-timeout", "3600", "--canary-interval", "0", "--no-enable-prefix-caching"]

    return ClusterServer("colrow", nodes, 8100, [(command(i), halves[i], {}) for i in range(2)], logs)


def vllm_server(args, nodes, streams, halves, logs):
    def command(node):
        return [args.vllm, os.path.join(HERE, "vllm_node.py"), "serve", args.model, "--tensor-parallel-size", "2", "--dtype", "bfloat16", "--nnodes", "2",
                "--node-rank", str(node), "--master-addr", ADDRESS.format(1), "--distributed-executor-backend", "mp", "--max-model-len", str(LENGTH),
                "--max-num-seqs", str(streams), "--no-enable-prefix-caching", *(["--headless"] if node else ["--port", "8200"])]

    def environment(node):
        # One worker on each node, bound to the node's cores; gloo and zmq over the wire.
        return {**vllm_environment(args.vllm, 2, 1), "VLLM_CPU_OMP_THREADS_BIND": halves[node], "VLLM_HOST_IP": ADDRESS.format(node + 1),
                "GLOO_SOCKET_IFNAME": "veth0", "VLLM_TARGET_DEVICE": "cpu", "VLLM_LOGGING_LEVEL": "INFO"}

    return ClusterServer("vLLM", nodes, 8200, [(command(i), None, environment(i)) for i in range(2)], logs)


def load(args, nodes, server, clients, seed):
    server.resume()
    try:
        before = nodes.sent()
        figures = json.loads(output_of(nodes.on(0, [
            args.colrow, "bench", "serve", "--base-url", f"http://127.0.0.1:{server.port}", "--num-prompts", str(max(4, 2 * clients)), "--num-warmups", "1",
            "--max-concurrency", str(clients), "--seed", str(seed), "--random-input-len", str(PROMPT), "--random-output-len", str(ANSWER),
            "--vocab-size", str(VOCABULARY), "--json", "--quiet", "--request-timeout", "3600"])))
        tokens = figures["total_input_tokens"] + figures["total_output_tokens"]
        return {"decode": clients * 1000 / figures["median_tpot_ms"], "output": figures["output_throughput"], "ttft_ms": figures["median_ttft_ms"],
                "failed": figures["failed"], "wire_bytes_per_token": (nodes.sent() - before) / tokens}
    finally:
        server.hold()


def measure(args, nodes, logs):
    clients = [int(n) for n in args.clients.split(",")]
    half = max(1, CORES // 2)
    halves = [f"0-{half - 1}" if half > 1 else "0", f"{half}-{2 * half - 1}" if half > 1 else "1"]
    servers, rows = [], []
    try:
        servers.append(colrow_server(args, nodes, max(clients), halves, logs))
        print(f"colrow is ready after {servers[0].started:.1f} s; vLLM loads, that takes minutes", file=sys.stderr, flush=True)
        servers.append(vllm_server(args, nodes, max(clients), halves, logs))
        print(f"vLLM is ready after {servers[1].started:.1f} s", file=sys.stderr, flush=True)
        for turn in range(-1, args.rounds):  # the first round warms up
            for n in clients:
                row = {"clients": n, "load": os.getloadavg()[0]}
                for server in servers[::-1] if turn % 2 else servers:
                    row[server.name] = load(args, nodes, server, n, turn + 10 * n)
                    print(f"  round {turn + 1}, {n} client{'s' if n > 1 else ''}: {server.name:7s} {row[server.name]['decode']:8.2f} tok/s decode",
                          file=sys.stderr, flush=True)
                if turn >= 0:
                    rows.append(row)
    finally:
        for server in servers:
            server.close()
    return {"rounds": args.rounds, "started": {s.name: s.started for s in servers}, "rows": rows}


def table(data):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        cpu = next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "unknown CPU")
    loads = [row["load"] for row in data["rows"]]
    lines = [f"{time.strftime('%Y-%m-%d')}, {cpu}, {CORES} cores, load {min(loads):.1f} to {max(loads):.1f}; TP=2 over two namespaces, medians of {data['rounds']}"
             " rounds, ratio: median (least, most) of the rounds'",
             "| | colrow | vLLM (CPU, gloo) | ratio |", "|---|---|---|---|"]
    for n in sorted({row["clients"] for row in data["rows"]}):
        rows = [row for row in data["rows"] if row["clients"] == n]
        for title, key, over in (("decode tok/s", "decode", True), ("output tok/s", "output", True), ("TTFT, ms", "ttft_ms", False),
                                 ("bytes a token from node 0", "wire_bytes_per_token", None), ("failed", "failed", None)):
            ours, theirs = ([row[name][key] for row in rows] for name in ("colrow", "vLLM"))
            ratios = [a / b if over else b / a for a, b in zip(ours, theirs)] if over is not None else []
            cell = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}, {max(ratios):.2f})" if ratios else ""
            lines.append(f"| {n} stream{'s' if n > 1 else ''}, {title} | {statistics.median(ours):.1f} | {statistics.median(theirs):.1f} | {cell} |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", default=os.path.expanduser("~/.cache/colrow-peers"))
    parser.add_argument("--model")
    parser.add_argument("--vllm", help="a Python with vLLM")
    parser.add_argument("--colrow", default=os.environ.get("COLROW", os.path.join(HERE, "../build/release/colrow")))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", default="1,8")
    parser.add_argument("--json")
    args = parser.parse_args()
    args.colrow = os.path.abspath(args.colrow)
    args.model = args.model or os.path.join(args.dir, "llama-3.2-1b")
    args.vllm = args.vllm or os.path.join(args.dir, "vllm/bin/python")
    nodes = Nodes()
    try:
        with tempfile.TemporaryDirectory(prefix="cluster_peers-") as logs:
            try:
                data = measure(args, nodes, logs)
            except RuntimeError:
                for name in sorted(os.listdir(logs)):
                    with open(os.path.join(logs, name), encoding="utf-8", errors="replace") as file:
                        print(f"── the end of {name}", *file.read().splitlines()[-25:], sep="\n", file=sys.stderr)
                raise
    finally:
        nodes.close()
    if args.json:
        with open(args.json, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
    print(table(data))


if __name__ == "__main__":
    main()
