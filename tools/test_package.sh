#!/bin/sh
# test_package.sh [FOLDER]: Debian's packages in FOLDER (build/deb, from `make deb`) on a fresh Debian 12 that boots: they
# install with apt, pass debian/tests (answers, a program built with pkg-config, the service), are installed again while
# they serve, and a purge leaves no file, user or unit behind. Needs root, debootstrap and systemd-nspawn; 77: skipped.
# The fresh system is kept in COLROW_ROOT_CACHE (~/.cache/colrow) for the next time.
set -eu
cd "$(dirname "$0")/.."
debs=$(cd "${1:-build/deb}" && pwd)
cache=${COLROW_ROOT_CACHE:-${HOME:-/root}/.cache/colrow}
skip() { echo "skipped: $*"; exit 77; }
fail() { echo "FAILED: $*"; exit 1; }
[ "$(id -u)" -eq 0 ] || skip "a system in a folder needs root"
for tool in debootstrap systemd-nspawn nsenter; do
    command -v $tool >/dev/null || skip "no $tool (apt-get install debootstrap systemd-container)"
done
set -- "$debs"/colrow_*_amd64.deb "$debs"/colrow-demo_*_all.deb "$debs"/libcolrow0_*_amd64.deb "$debs"/libcolrow-dev_*_amd64.deb
for deb; do [ -f "$deb" ] || fail "$deb is missing, or there are several; make deb"; done

work=$(mktemp -d "${TMPDIR:-/tmp}/colrow-package.XXXXXX")
root=$work/root guest="" leader=""
# Ends what runs in it by its own means; what is left, its first process takes along.
leave() {
    status=$?
    trap - EXIT INT TERM
    if [ -n "$guest" ] && kill -0 "$guest" 2>/dev/null; then
        kill -TERM "$guest" # systemd-nspawn powers its system off
        for _ in $(seq 100); do kill -0 "$guest" 2>/dev/null || break; sleep 0.1; done
        [ -z "$leader" ] || kill -KILL "$leader" 2>/dev/null || true
        wait "$guest" 2>/dev/null || true
    fi
    [ $status -eq 0 ] || [ ! -f "$work/boot.log" ] || tail -n 5 "$work/boot.log"
    rm -rf --one-file-system "$work"
    exit $status
}
trap leave EXIT
trap 'exit 130' INT TERM

# What the tests need is in it already, so that packages alone make the difference.
tarball=$cache/debian-12.tar
if [ ! -f "$tarball" ]; then
    echo "making a Debian 12 in $cache"
    mkdir -p "$cache"
    debootstrap --variant=minbase --include=ca-certificates,curl,dbus,gcc,libc6-dev,pkgconf,procps,systemd,systemd-sysv \
        bookworm "$root" http://deb.debian.org/debian >"$work/debootstrap.log" 2>&1 || { tail -n 20 "$work/debootstrap.log"; fail debootstrap; }
    rm -f "$root"/var/cache/apt/archives/*.deb
    tar -C "$root" --one-file-system --numeric-owner -cf "$tarball.new.$$" .
    mv "$tarball.new.$$" "$tarball"
else
    mkdir "$root"
    tar -C "$root" --numeric-owner -xf "$tarball"
fi
mkdir "$root/srv/debs" "$root/srv/tests"
cp "$@" "$root/srv/debs"
cp debian/tests/* "$root/srv/tests"
cat >"$root/srv/apt" <<'APT'
#!/bin/sh
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
exec apt-get -q -y -o APT::Install-Recommends=false -o Dpkg::Use-Pty=false "$@"
APT
chmod +x "$root/srv/apt"
chroot "$root" sh -c '/srv/apt update && /srv/apt install --download-only /srv/debs/*.deb' >"$work/apt.log" 2>&1 ||
    { tail -n 20 "$work/apt.log"; fail "what the packages depend on is not to be had"; }

# A network of its own, without a way out: what is installed has been fetched, and port 8000 is nobody else's.
SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --register=no --keep-unit --quiet --private-network --console=pipe \
    --directory="$root" --boot >"$work/boot.log" 2>&1 </dev/null &
guest=$!
inside() { # inside COMMAND...: on the system that has booted
    nsenter --target "$leader" --all -- env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 "$@"
}
for _ in $(seq 600); do
    leader=$(awk '{print $1}' "/proc/$guest/task/$guest/children" 2>/dev/null || true)
    [ -n "$leader" ] && [ "$(cat "/proc/$leader/comm" 2>/dev/null)" = systemd ] && break
    kill -0 "$guest" 2>/dev/null || { grep -v '^$' "$work/boot.log" | tail -n 5; skip "systemd-nspawn cannot boot a system here"; }
    sleep 0.1
done
for _ in $(seq 600); do
    state=$(inside systemctl is-system-running 2>/dev/null || true)
    case $state in running | degraded) break ;; esac
    sleep 0.1
done
echo "$(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' "$root/etc/os-release"), systemd $(inside systemctl --version | awk 'NR == 1 {print $2}'): ${state:-no answer}"
case $state in running | degraded) ;; *) fail "it does not come up: $state" ;; esac

# state NAME: all files with kind, mode, owner and size, the packages, users and units. Left out is what any change of packages
# leaves (logs, apt's and dpkg's books, the loader's cache, copies of the user database) and what systemd keeps for itself.
state() {
    inside sh -c 'find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /srv -o -path /var/log \
        -o -path /var/cache -o -path /var/lib/apt -o -path /var/lib/dpkg -o -path /var/tmp -o -path /var/lib/systemd \) -prune -o \
        -type f -printf "%p %M %u:%g %s\n" -o -printf "%p %M %u:%g %l\n" | grep -v -e "^/etc/[a-z.]*- " -e "^/etc/ld.so.cache " | sort' >"$work/$1.files"
    inside sh -c 'dpkg --get-selections; cat /etc/passwd /etc/group; systemctl list-unit-files --no-legend --no-pager' >"$work/$1.system"
}
state before
inside sh -c '/srv/apt install /srv/debs/*.deb' >"$work/apt.log" 2>&1 ||
    { tail -n 20 "$work/apt.log"; fail "it does not install"; }
echo "installed: $(inside colrow --version)"
inside getent passwd colrow
for test in generate library service; do
    inside env "AUTOPKGTEST_TMP=/tmp" sh -c "cd /tmp && /srv/tests/$test" >"$work/test.log" 2>&1 || { tail -n 60 "$work/test.log"; fail "debian/tests/$test"; }
    echo "debian/tests/$test: passed"
done

# Installed again while it serves: the socket stays, another process answers.
ask() {
    inside curl -sS --fail --max-time 60 http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \
        -d '{"prompt": "Tensor parallelism", "max_tokens": 8, "temperature": 0}'
}
inside systemctl enable --now colrow.socket colrow.service >/dev/null 2>&1
answer=$(ask) || fail "no answer"
echo "the service answers: $(echo "$answer" | sed 's/.*\("text": *"[^"]*"\).*/\1/')"
first=$(inside systemctl show -P MainPID colrow.service)
inside sh -c '/srv/apt install --reinstall /srv/debs/colrow_*.deb' >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log"; fail "it does not install again"; }
ask >/dev/null || fail "no answer after an upgrade"
second=$(inside systemctl show -P MainPID colrow.service)
[ "$first" != "$second" ] || fail "an upgrade leaves the old process, $first"
[ "$second" != 0 ] || fail "an upgrade ends the service"
grep -q 'MODEL=/usr/share/colrow' "$root/etc/default/colrow" || fail "an upgrade has changed /etc/default/colrow"
echo "installed again while it served: answered by the new process"

# apt keeps what something installed merely suggests; here it is to go, too.
inside /srv/apt purge --autoremove -o APT::AutoRemove::SuggestsImportant=false -o APT::AutoRemove::RecommendsImportant=false \
    colrow colrow-demo libcolrow0 libcolrow-dev >"$work/apt.log" 2>&1 || { tail -n 20 "$work/apt.log"; fail "it does not go"; }
state after
for what in files system; do
    diff "$work/before.$what" "$work/after.$what" >"$work/left" || { head -n 20 "$work/left"; fail "this is left, or missing, after the purge ($what)"; }
done
inside sh -c 'find / -xdev \( -path /proc -o -path /sys -o -path /srv -o -path /var/log -o -path /var/cache/apt \) -prune -o -name "*colrow*" -print; grep -rl --exclude="*-" colrow /etc || true' >"$work/left"
! grep . "$work/left" || fail "these still name it"
! inside pgrep -a colrow || fail "these still run"
echo "purged: $(wc -l <"$work/before.files") files, packages, users and units are as before"
echo "the package in a fresh Debian 12: passed"
