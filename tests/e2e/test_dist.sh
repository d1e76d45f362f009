#!/bin/sh
# `make dist`: two clones make the same bytes of a commit; the tarball is whole, knows its commit without git, and holds no
# debian/. With DIST_BUILD=1 (.ci/full) the program is built from it where there is no git, and says that commit.
set -eu
: "${SOURCE_DIR:=.}"
skip() { echo "skipped: no git repository"; exit 77; }
[ -e "$SOURCE_DIR/.git" ] || skip
git -C "$SOURCE_DIR" rev-parse HEAD >/dev/null 2>&1 || skip
fail() { echo "FAILED: $*"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
source=$(cd "$SOURCE_DIR" && pwd)

# One repository with all that this one has, and one with this commit alone: of how many digits is its short name?
(umask 022 && "$source/tools/make_dist.sh" "$work/one" >/dev/null 2>&1)
git -c safe.directory='*' clone -q --depth 1 "file://$(git -C "$source" rev-parse --absolute-git-dir)" "$work/clone" 2>/dev/null ||
    git -c safe.directory='*' clone -q --depth 1 "file://$source" "$work/clone"
head=$(git -C "$source" rev-parse HEAD)
[ "$(git -C "$work/clone" rev-parse HEAD)" = "$head" ] || { git -C "$work/clone" fetch -q --depth 1 origin "$head" && git -C "$work/clone" checkout -q "$head"; }
(umask 077 && "$work/clone/tools/make_dist.sh" "$work/two" >/dev/null)
tarball=$(basename "$work"/one/colrow-*.tar.gz)
cmp "$work/one/$tarball" "$work/two/$tarball" || fail "two clones make different tarballs"
(cd "$work/one" && sha256sum -c --quiet "$tarball.sha256") || fail "its checksum is another one"

version=${tarball%.tar.gz}
tar -C "$work" -xf "$work/one/$tarball"
cd "$work/$version"
[ ! -e debian ] || fail "debian/ is in the tarball"
for file in CMakeLists.txt Makefile README.md LICENSE models/demo/model.safetensors src/cmd/main.c tests/e2e/test_dist.sh; do
    [ -f $file ] || fail "$file is not in the tarball"
done
short=$(git -C "$source" log -1 --abbrev=10 --format='%h %cs')
[ "$(cat .commit)" = "$short" ] || fail ".commit says $(cat .commit), expected $short"
cmake -DSOURCE_DIR="$PWD" -DOUT="$work/build_commit.c" -P cmake/WriteCommit.cmake
grep -q "build_commit\[\] = \"${short% *}\"" "$work/build_commit.c" || fail "the build would not know its commit: $(cat "$work/build_commit.c")"
"$work/clone/tools/make_dist.sh" "$work/none" nonsense 2>"$work/said" && fail "a commit that there is not"
grep -q nonsense "$work/said" || fail "it does not say which commit: $(cat "$work/said")"

if [ -n "${DIST_BUILD:-}" ]; then
    mkdir "$work/bin"
    printf '#!/bin/sh\necho "git was asked: $*" >&2\nexit 1\n' >"$work/bin/git"
    chmod +x "$work/bin/git"
    export PATH="$work/bin:$PATH"
    cmake -S . -B "$work/build" -DCMAKE_BUILD_TYPE=Release -DBUILD_TESTING=OFF -DCOLROW_WERROR=ON --log-level=WARNING
    cmake --build "$work/build" -j "${JOBS:-2}" --target colrow >"$work/log" 2>&1 || { tail -n 20 "$work/log"; fail "it does not build"; }
    said=$("$work/build/colrow" --version)
    echo "$said" | grep -q "(commit ${short% *}, " || fail "built without git it says $said"
    echo "$said"
fi
echo "$tarball: $(wc -c <"$work/one/$tarball") bytes, commit ${short% *}"
