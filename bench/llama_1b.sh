#!/bin/sh
# Prefill and decode of a synthesised model in the shape of Llama-3.2-1B, beside this machine's limits, through the engine that
# requests use. usage: bench/llama_1b.sh [TP] [extra flags for every run, e.g. --product-order pairs]
set -eu
tp=${1:-2}
[ $# -gt 0 ] && shift
here=$(cd "$(dirname "$0")" && pwd)
colrow=${COLROW:-$here/../build/release/colrow}
model=${MODEL:-/tmp/colrow-llama-3.2-1b}
[ -f "$model/model.safetensors" ] || "$colrow" synth "$here/configs/llama-3.2-1b.json" "$model"

echo "== load from page cache to ready"
cat "$model/model.safetensors" >/dev/null
for _ in 1 2 3; do
    "$colrow" bench memory "$model" --tp "$tp" --json --max-model-len 2048 "$@" 2>/dev/null |
        python3 -c 'import json,sys; print("  " + "; ".join("rank %d: loaded in %.2f s, read %.3f GB, peak resident %.3f of planned" % (r["rank"], r["load_seconds"], r["file_bytes_read"] / 1e9, r["resident_peak_bytes"] / (r["weight_bytes"] + r["kv_bytes"] + r["scratch_bytes"])) for r in json.load(sys.stdin)))'
done
for length in 512 2048; do
    echo "== prefill $length"
    "$colrow" bench latency "$model" -tp "$tp" --batch-size 1 --input-len $length --output-len 1 --num-iters 5 "$@"
done
for batch in 1 8 64; do
    echo "== decode, $batch stream(s)"
    "$colrow" bench latency "$model" -tp "$tp" --batch-size $batch --input-len 32 --output-len 33 --num-iters 5 "$@"
done
