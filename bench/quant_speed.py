#!/usr/bin/env python3
"""What weights of 8 and 4 bits gain: decoding of 1 and 8 streams, the prefill of 512 tokens and loading, of
Llama-3.2-1B's shape in bf16, int8, int4 (lm_head int8) and int4 with lm_head in bf16. All of them run in turn, in each
round; figures are medians over the rounds, ratios are medians of each round's.

    bench/quant_speed.py [--model DIR] [-tp 2] [--rounds 5] [--colrow PROGRAM]

Synthesises the model (2.5 GB) where it is not. Takes about five minutes on two cores.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FORMATS = {"bf16": [], "int8": ["--quantization", "int8"], "int4": ["--quantization", "int4"],
           "int4, head bf16": ["--quantization", "int4", "--quantization-lm-head", "none"]}
# batch, prompt, answer, iterations, which figure
WAYS = {"decode 1": (1, 16, 33, 2, "decode_tokens_per_second"), "decode 8": (8, 16, 17, 1, "decode_tokens_per_second"),
        "prefill 512": (1, 512, 1, 2, "prefill_tokens_per_second")}


def run(options, *arguments):
    command = [options.colrow, "bench", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False,
                          env={**os.environ, "COLROW_RANK_PROGRAM": options.colrow})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def measure(options, flags, way):
    batch, prompt, answer, iterations, figure = WAYS[way]
    return run(options, "latency", options.model, "-tp", str(options.tp), "--batch-size", str(batch),
               "--input-len", str(prompt), "--output-len", str(answer), "--num-iters", str(iterations),
               "--kv-cache-memory", "128MB", "--no-limits", "--json", *flags)[figure]


def load_of(options, flags):
    ranks = run(options, "memory", options.model, "--tp", str(options.tp), "--json", "--max-model-len", "1024", *flags)
    return max(rank["load_seconds"] for rank in ranks), sum(rank["weight_bytes"] for rank in ranks) / 1e9


def show(values, digits=1):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=os.environ.get("MODEL", "/tmp/colrow-llama-3.2-1b"))
    parser.add_argument("-tp", "--tensor-parallel-size", dest="tp", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--colrow", default=os.environ.get("COLROW", os.path.join(HERE, "../build/release/colrow")))
    options = parser.parse_args()
    options.colrow = os.path.abspath(options.colrow)
    if not os.path.exists(os.path.join(options.model, "model.safetensors")):
        config = os.path.join(HERE, "configs/llama-3.2-1b.json")
        subprocess.run([options.colrow, "synth", config, options.model], check=True)
    loads, speeds, machine = {}, {}, []
    for i in range(options.rounds):
        names = list(FORMATS) if i % 2 == 0 else list(FORMATS)[::-1]
        for name in names:
            loads.setdefault(name, []).append(load_of(options, FORMATS[name]))
        for way in WAYS:
            for name in names:
                machine.append(os.getloadavg()[0])
                speeds.setdefault((way, name), []).append(measure(options, FORMATS[name], way))
    print(f"{os.cpu_count()} CPUs, TP={options.tp}, {options.rounds} rounds, "
          f"load {min(machine):.1f} to {max(machine):.1f}")
    for name, found in loads.items():
        print(f"load        {name:16s} {show([seconds for seconds, _ in found], 2)} s, weights {found[0][1]:.3f} GB")
    for (way, name), found in speeds.items():
        ratios = [mine / plain for mine, plain in zip(found, speeds[way, "bf16"])]
        print(f"{way:11s} {name:16s} {show(found)} tok/s" + ("" if name == "bf16" else f", {show(ratios, 2)} x bf16"))


main()
