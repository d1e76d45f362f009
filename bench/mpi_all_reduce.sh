#!/bin/sh
# All-reduce between RANKS processes (default 2): colrow, Open MPI and MPICH in turn, ROUNDS times (default 5), medians and ratios.
# Debian: apt-get install libopenmpi-dev openmpi-bin libmpich-dev mpich
set -eu
ranks=${1:-2}
rounds=${2:-5}
here=$(cd "$(dirname "$0")" && pwd)
colrow=${COLROW:-$here/../build/release/colrow}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mpis=""
for mpi in openmpi mpich; do
    if command -v mpicc.$mpi >/dev/null && command -v mpiexec.$mpi >/dev/null; then
        mpicc.$mpi -O2 "$here/mpi_all_reduce.c" -o "$work/$mpi"
        mpis="$mpis $mpi"
    else
        echo "$mpi is not installed: left out" >&2
    fi
done
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
for round in $(seq "$rounds"); do
    "$colrow" bench comm --ranks "$ranks" --json >"$work/colrow.$round.json"
    for mpi in $mpis; do
        # Defaults, but that each rank gets a core of its own, as ours have, where there are enough.
        extra=""
        if [ "$ranks" -gt "$(nproc)" ]; then
            [ "$mpi" = openmpi ] && extra="--oversubscribe"
        else
            extra="-bind-to core"
            [ "$mpi" = openmpi ] && extra="--bind-to core"
        fi
        # shellcheck disable=SC2086 # words are wanted
        "mpiexec.$mpi" $extra -n "$ranks" "$work/$mpi" >"$work/$mpi.$round.txt"
    done
done
# shellcheck disable=SC2086 # words are wanted
python3 - "$work" "$rounds" $mpis <<'EOF'
import json, statistics, sys
work, rounds, mpis = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
ours, theirs = {}, {mpi: {} for mpi in mpis}
for i in range(1, rounds + 1):
    for row in json.load(open(f"{work}/colrow.{i}.json")):
        ours.setdefault(row["bytes"], []).append(row["seconds"] * 1e6)
    for mpi in mpis:
        for line in open(f"{work}/{mpi}.{i}.txt"):
            size, time = line.split()
            theirs[mpi].setdefault(int(size), []).append(float(time))
print("   bytes  colrow us" + "".join(f"  {mpi:>8s} us  ratio" for mpi in mpis))
for size, times in ours.items():
    line = f"{size:8d}  {statistics.median(times):9.2f}"
    for mpi in mpis:
        ratio = statistics.median(t / o for t, o in zip(theirs[mpi][size], times))
        line += f"  {statistics.median(theirs[mpi][size]):11.2f}  {ratio:5.1f}"
    print(line)
EOF
