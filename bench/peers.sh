#!/bin/sh
# One command for the comparison with vLLM (CPU) and llama.cpp: installs both outside the tree, synthesises the checkpoint, converts it, runs all engines in
# turn and writes the tables into docs/benchmarks.md. usage: bench/peers.sh [--dir DIR] [flags of bench/peers.py, e.g. --rounds 5]
#
# DIR (default ${XDG_CACHE_HOME:-~/.cache}/colrow-peers) takes about 15 GB; what is there already is used again. A first run takes an hour on two cores,
# most of it llama.cpp's compilation; the measurement itself takes about six minutes a round.
set -eu
case "${1:-}" in -h | --help)
    sed -n "2,/^set/s/^# \{0,1\}//p" "$0"
    exit
    ;;
esac
here=$(cd "$(dirname "$0")" && pwd)
dir=${XDG_CACHE_HOME:-$HOME/.cache}/colrow-peers
if [ "${1:-}" = --dir ]; then
    dir=$2
    shift 2
fi
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
colrow=${COLROW:-$here/../build/release/colrow}
"$here/install_peers.sh" "$dir" "$colrow"

exec python3 "$here/peers.py" --colrow "$colrow" --model "$dir/llama-3.2-1b" --gguf "$dir/llama-3.2-1b.gguf" \
    --vllm "$dir/vllm/bin/python" --llama-cpp "$dir/llama.cpp/build/bin" --json "$dir/figures.json" --into "$here/../docs/benchmarks.md" "$@"
