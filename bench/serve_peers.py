#!/usr/bin/env python3
"""colrow, vLLM and llama-server under the same load from the same client (colrow bench serve), case by case in turn.

usage: bench/serve_peers.py --model FOLDER [--vllm PYTHON] [--llama-cpp BIN_FOLDER --gguf FILE] [--clients 1,8,32,64] [--rounds 1] ...
       bench/serve_peers.py --from FILE.json            # the tables again, from a run's figures

bench/serve_peers.sh installs the peers, writes the checkpoint with a tokenizer and calls this. Prompts have 128 to 512 random tokens, answers 64 to 256, drawn
evenly and the same for all. Closed loops first (N clients that each wait for their answer); then arrivals by chance (Poisson) at a share of the rate that
the best peer reached in the closed loops, the same rate for all, so that none is asked for more than a peer can do. The client's work is on the same cores.
"""
import json
import os
import statistics
import sys

import peer_servers
from peer_engines import CORES, output_of
from peers import describe, model_cost, run, save

BEGIN, END = "<!-- bench/serve_peers.sh writes from here -->", "<!-- to here -->"
PROMPT, ANSWER, RANGE = 320, 160, 0.6  # tokens: 128 to 512, 64 to 256
LENGTH = 1024  # of a request at most, for every server
VOCABULARY = 128000  # ids below it are no special tokens
FIGURES = [("output tok/s", "output_throughput", 1), ("median TTFT, ms", "median_ttft_ms", 0), ("p99 TTFT, ms", "p99_ttft_ms", 0),
           ("median TPOT, ms", "median_tpot_ms", 1), ("p99 ITL, ms", "p99_itl_ms", 1), ("failed", "failed", 0)]


def requests_for(clients, factor):
    """Enough for the ends, where fewer clients are left, not to count for much."""
    return max(4, round(factor * (4 * clients if clients <= 8 else 2.5 * clients)))


def load(args, server, n, flags, seed):
    server.resume()
    before = server.processor_seconds()
    try:
        figures = json.loads(output_of([args.colrow, "bench", "serve", "--base-url", server.url, "--num-prompts", str(n), "--num-warmups", "1", "--seed", str(seed),
                                     "--random-input-len", str(PROMPT), "--random-output-len", str(ANSWER), "--random-range-ratio", str(RANGE),
                                     "--vocab-size", str(VOCABULARY), "--json", "--quiet", *flags]))
        figures["front_end_seconds"] = server.processor_seconds() - before
        return figures
    finally:
        server.hold()


def run_case(args, servers, data, name, n, flags, turn):
    row = {"case": name, "results": {}}
    for server in servers[::-1] if turn % 2 else servers:
        figures = row["results"][server.name] = load(args, server, n, flags, len(data["rows"]))  # prompts that no case had before
        print(f"  {name:12s} {server.name:14s} {figures['output_throughput']:8.1f} tok/s, TTFT {figures['median_ttft_ms']:8.0f} ms, "
              f"ITL p99 {figures['p99_itl_ms']:8.1f} ms, failed {figures['failed']}", file=sys.stderr, flush=True)
    data["rows"].append(row)
    save(args, data)  # what is measured stays, whatever happens later


def start_servers(args, streams):
    folder = args.logs or os.path.dirname(args.json or "") or "/tmp"

    def log(name):
        return os.path.join(folder, f"serve_peers-{name}.log")

    servers = []
    try:
        servers.append(peer_servers.colrow(args.colrow, args.model, args.tp, streams, LENGTH, log("colrow")))
        if args.llama_cpp:
            servers.append(peer_servers.llama_server(args.llama_cpp, args.gguf, streams, LENGTH, log("llama")))
        for tp in args.vllm_tp.split(",") if args.vllm else []:
            print(f"vLLM TP={tp} loads; that takes minutes", file=sys.stderr, flush=True)
            servers.append(peer_servers.vllm(args.vllm, args.model, int(tp), streams, LENGTH, log(f"vllm-{tp}")))
    except BaseException:
        for server in servers:
            server.close()
        raise
    return servers


def measure(args):
    clients = [int(n) for n in args.clients.split(",")]
    limits = json.loads(output_of([args.colrow, "bench", "limits", "--json"]))[-1]
    servers = start_servers(args, max(clients))
    data = {"head": describe(args), "engines": [s.name for s in servers], "start": {s.name: s.started for s in servers}, "limits": limits,
            "cost": model_cost(args), "rows": []}
    try:
        for i in range(args.rounds):
            print(f"round {i + 1} of {args.rounds}", file=sys.stderr)
            for n in clients:
                run_case(args, servers, data, f"{n} client{'s' if n > 1 else ''}", requests_for(n, args.factor), ["--max-concurrency", str(n)], i)
            if args.poisson_share > 0:
                rate = args.poisson_share * best_peer_rate(data)
                data["poisson"] = rate
                run_case(args, servers, data, "Poisson", round(args.factor * 64), ["--request-rate", f"{rate:.4f}"], i)
    finally:
        for server in servers:
            server.close()
    return data


def best_peer_rate(data):
    """Requests a second that the best peer answered in a closed loop; without peers, colrow's own."""
    peers = [e for e in data["engines"] if e != "colrow"] or data["engines"]
    return max(row["results"][e]["request_throughput"] for row in data["rows"] for e in peers if row["case"] != "Poisson")


def values(data, case, engine, key):
    return [row["results"][engine][key] for row in data["rows"] if row["case"] == case]


def of_peak(data, case, engine):
    """Arithmetic of all tokens that went through the layers and the head, over the peak of bfloat16 dot products (AMX where there is one)."""
    peak = max(data["limits"][key] for key in ("fma_flops", "bf16_dot_flops", "amx_flops"))
    cost, parts = data["cost"], []
    for row in data["rows"]:
        if row["case"] == case:
            r = row["results"][engine]
            tokens = r["total_input_tokens"] + r["total_output_tokens"]
            parts.append((tokens * cost["layer_flops"] + r["total_output_tokens"] * cost["head_flops"]) / r["duration"] / peak)
    return statistics.median(parts)


def tables(data):
    engines, cases = data["engines"], list(dict.fromkeys(row["case"] for row in data["rows"]))
    peers = [e for e in engines if e != "colrow"]
    out = [data["head"] + f".\nPrompts of 128 to 512, answers of 64 to 256 tokens; Poisson: {data.get('poisson', 0):.2f} requests/s."]
    lines = ["| | | " + " | ".join(engines) + (" | colrow / best peer |" if peers else " |"), "|---|---|" + "---|" * (len(engines) + bool(peers))]
    for case in cases:
        for title, key, digits in FIGURES:
            medians = {e: statistics.median(values(data, case, e, key)) for e in engines}
            cells = [f"{medians[e]:.{digits}f}" for e in engines]
            if peers:
                best = (max if key == "output_throughput" else min)(medians[e] for e in peers)
                cells.append("" if key == "failed" or best == 0 else f"{medians['colrow'] / best:.2f}")
            lines.append(f"| {case} | {title} | " + " | ".join(cells) + " |")
        lines.append(f"| {case} | of the bf16 peak | " + " | ".join(f"{of_peak(data, case, e):.2f}" for e in engines) + (" | |" if peers else " |"))
        share = statistics.median(row["results"]["colrow"]["front_end_seconds"] / row["results"]["colrow"]["duration"]
                                  for row in data["rows"] if row["case"] == case)
        lines.append(f"| {case} | engine and HTTP, of the time | {share:.3f} |" + " |" * (len(engines) - 1 + bool(peers)))
    lines.append("| start to ready | s | " + " | ".join(f"{data['start'][e]:.1f}" for e in engines) + (" | |" if peers else " |"))
    out.append("\n".join(lines))
    return "\n\n".join(out)


def own_arguments(parser):
    parser.add_argument("--clients", default="1,8,32,64", help="clients of the closed loops (default %(default)s)")
    parser.add_argument("--poisson-share", type=float, default=0.8, help="of the best peer's rate; 0: without (default %(default)s)")
    parser.add_argument("--factor", type=float, default=1, help="times as many requests (default %(default)s)")
    parser.add_argument("--logs", help="folder of the servers' logs (default: that of --json, or /tmp)")
    parser.set_defaults(rounds=1, vllm_tp=str(CORES))


if __name__ == "__main__":
    run(__doc__, own_arguments, measure, tables, (BEGIN, END))
