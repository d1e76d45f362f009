#!/bin/sh
# One command for the comparison with vLLM (CPU) and llama.cpp: installs both outside the tree, synthesises the checkpoint, converts it, runs all engines in
# turn and writes the tables into docs/benchmarks.md. usage: bench/peers.sh [--dir DIR] [--model FOLDER] [flags of bench/peers.py, e.g. --rounds 5]
#
# DIR (default ${XDG_CACHE_HOME:-~/.cache}/colrow-peers) takes about 15 GB; what is there already is used again. A first run takes an hour on two cores,
# most of it llama.cpp's compilation; the measurement itself takes about six minutes a round.
set -eu
case "${1:-}" in -h | --help)
    sed -n "2,/^set/s/^# \{0,1\}//p" "$0"
    exit
    ;;
esac
exec "$(dirname "$0")/with_peers.sh" peers.py figures.json "$@"
