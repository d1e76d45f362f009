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
exec "$(dirname "$0")/with_peers.sh" serve_peers.py serve_figures.json "$@"
