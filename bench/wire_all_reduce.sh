#!/bin/sh
# All-reduce between two nodes, network namespaces with veth made here, 1+1 and 2+2 ranks: colrow, MPICH and Open MPI
# in turn, ROUNDS times (default 5), medians and ratios. Without the right to make namespaces: exit status 77.
# Debian: apt-get install libucx0 libopenmpi-dev openmpi-bin libmpich-dev mpich
set -eu
rounds=${1:-5}
here=$(cd "$(dirname "$0")" && pwd)
build=${BUILD:-$here/../build/release}
a=colrow-wire-$$-a b=colrow-wire-$$-b
work=$(mktemp -d)
cleanup() {
    ip netns del "$a" 2>/dev/null || true
    ip netns del "$b" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 1' HUP INT TERM
if ! ip netns add $a 2>/dev/null || ! ip netns add $b 2>/dev/null; then
    echo "skipped: no right to make network namespaces here" >&2
    exit 77
fi
ip link add veth0 netns $a type veth peer name veth0 netns $b
number=1
for space in $a $b; do
    ip -n "$space" addr add 10.77.0.$number/24 dev veth0
    ip -n "$space" link set lo up
    ip -n "$space" link set veth0 up
    number=$((number + 1))
done
sleep 2 # an interface that has only just come up is left out by UCX
# What launchers of MPI call as ssh: the last words are the command, one of them an address.
cat >"$work/agent" <<EOF
#!/bin/sh
while [ \$# -gt 0 ]; do
    case \$1 in
    10.77.0.1) space=$a; shift; break ;;
    10.77.0.2) space=$b; shift; break ;;
    *) shift ;;
    esac
done
exec "$work/on" \$space sh -c "\$*" </dev/null
EOF
# A host name of its own, or ranks would find that they share memory.
cat >"$work/on" <<'EOF'
#!/bin/sh
space=$1
shift
exec ip netns exec "$space" taskset -c "$(cat "${0%/*}/cpus.$space")" unshare --uts sh -c 'hostname "$0" && exec "$@"' "$space" "$@"
EOF
chmod +x "$work/agent" "$work/on"
# Each node has its share of the CPUs (as bench_wire deals them out), as if it were a machine: on one and the same CPU
# its cache would be the wire.
cpus=$(nproc)
share=$((cpus / 2))
if [ $share -ge 1 ]; then
    echo 0-$((share - 1)) >"$work/cpus.$a"
    echo $share-$((2 * share - 1)) >"$work/cpus.$b"
else
    echo 0 >"$work/cpus.$a"
    echo 0 >"$work/cpus.$b"
fi
mpis=""
for mpi in mpich openmpi; do
    if command -v mpicc.$mpi >/dev/null && command -v mpiexec.$mpi >/dev/null; then
        mpicc.$mpi -O2 -DBYTES_LEAST=4096 -DBYTES_LAST=1048576 "$here/mpi_all_reduce.c" -o "$work/$mpi"
        mpis="$mpis $mpi"
    else
        echo "$mpi is not installed: left out" >&2
    fi
done
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 UCX_NET_DEVICES=veth0 UCX_TLS=tcp
run_colrow() {
    "$build/bench/bench_wire" "$a:$1" "$b:$1"
}
# Ranks are not bound any further: the two nodes are one machine, and each launcher would begin at its first core.
run_mpich() {
    timeout 300 "$work/on" $a mpiexec.mpich -launcher ssh -launcher-exec "$work/agent" -localhost 10.77.0.1 \
        -hosts 10.77.0.1,10.77.0.2 -ppn "$1" -n $(($1 * 2)) "$work/mpich" "$2" </dev/null
}
run_openmpi() {
    timeout 300 "$work/on" $a mpiexec.openmpi --mca plm_rsh_agent "$work/agent" --mca btl_tcp_if_include veth0 \
        --mca oob_tcp_if_include veth0 --bind-to none --oversubscribe \
        --host "10.77.0.1:$1,10.77.0.2:$1" -n $(($1 * 2)) "$work/openmpi" "$2"
}
for ranks in 1 2; do
    # Ranks that spin for each other on one core take 10 to 65 ms a call.
    calls=1
    [ $((ranks * 2)) -le "$cpus" ] || calls=40
    for round in $(seq "$rounds"); do
        run_colrow $ranks >"$work/colrow.$round.txt"
        for mpi in $mpis; do
            "run_$mpi" $ranks $calls >"$work/$mpi.$round.txt" || echo "$mpi failed with $ranks + $ranks ranks" >&2
        done
    done
    # shellcheck disable=SC2086 # words are wanted
    python3 - "$work" "$rounds" "$ranks" $mpis <<'EOF'
import os, statistics, sys
work, rounds, ranks, mpis = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
times = {name: {} for name in ["colrow"] + mpis}
for name in times:
    for i in range(1, rounds + 1):
        for line in open(f"{work}/{name}.{i}.txt"):
            size, time = line.split()
            times[name].setdefault(int(size), []).append(float(time))
shared = 2 * int(ranks) > os.cpu_count()
print(f"{ranks} + {ranks} ranks" + (f" on {os.cpu_count()} cores: who spins waits for who works" if shared else ""))
print("   bytes  colrow us" + "".join(f"  {mpi:>8s} us  ratio" for mpi in mpis))
for size, ours in times["colrow"].items():
    line = f"{size:8d}  {statistics.median(ours):9.2f}"
    for mpi in mpis:
        theirs = times[mpi].get(size)
        line += (f"  {statistics.median(theirs):11.2f}  {statistics.median(t / o for t, o in zip(theirs, ours)):5.1f}"
                 if theirs else f"  {'failed':>11s}  {'-':>5s}")
    print(line)
EOF
done
