#!/bin/sh
# Installs the Debian packages that building and testing need, and says nothing when they are there.
# `setup.sh full` also installs what .ci/full runs: clang and its tools, shellcheck, mandoc, shells, what makes and tries
# packages, and what knows Prometheus' and Kubernetes' files.
set -eu
packages="gcc g++ make cmake pkg-config libjansson-dev libpcre2-dev libutf8proc-dev libhwloc-dev libcmocka-dev python3
    libuv1-dev libssl-dev libedit-dev libcurl4-openssl-dev libseccomp-dev libucx-dev"
case ${1:-} in
full) packages="$packages git clang libclang-rt-dev llvm clang-format clang-tidy shellcheck mandoc python3-venv bubblewrap zsh fish
    dpkg-dev debhelper lintian debootstrap systemd-container prometheus kubernetes-client python3-yaml python3-jsonschema" ;;
"") ;;
*) echo "setup: \"$1\" is not a set of packages; use: setup.sh [full]" >&2; exit 2 ;;
esac
have() {
    dpkg-query -W -f='${Status}' "$1" 2>/dev/null | grep -q 'ok installed'
}
missing=""
for package in $packages; do
    have "$package" || missing="$missing $package"
done
# The HTTP parser: a library since Debian 13, C sources in a package of Node's on Debian 12.
if ! have libllhttp-dev && ! have node-llhttp; then
    llhttp=node-llhttp
    apt-cache show libllhttp-dev >/dev/null 2>&1 && llhttp=libllhttp-dev
    missing="$missing $llhttp"
fi
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
    echo "setup: these packages are needed:$missing (no apt-get here: install them with your system's tool)" >&2
    exit 1
fi
sudo=""
if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || { echo "setup: needs root or sudo to install:$missing" >&2; exit 1; }
    sudo=sudo
fi
echo "setup: installing$missing"
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
