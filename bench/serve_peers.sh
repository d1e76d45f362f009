#!/bin/sh
# One command for the comparison of servers: colrow, vLLM (CPU) and llama-server with the same checkpoint under the same load, the table into
# docs/benchmarks.md. usage: bench/serve_peers.sh [--dir DIR] [flags of bench/serve_peers.py, e.g. --clients 8 --rounds 3]
#
# DIR as in bench/peers.sh, which installs the same; a round takes about half an hour on two cores.
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

exec python3 "$here/serve_peers.py" --colrow "$colrow" --model "$dir/llama-3.2-1b" --gguf "$dir/llama-3.2-1b.gguf" \
    --vllm "$dir/vllm/bin/python" --llama-cpp "$dir/llama.cpp/build/bin" --json "$dir/serve_figures.json" --logs "$dir" --into "$here/../docs/benchmarks.md" "$@"
