#!/bin/sh
# make_dist.sh [FOLDER [COMMIT]]: the source of a commit (HEAD) as colrow-VERSION.tar.gz with its sha256, into FOLDER
# (build/dist). The same commit gives the same bytes in every clone: times are the commit's, and how many digits of it
# .commit says does not depend on what else the clone has. debian/ stays out, as distributions want it.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/dist} commit=${2:-HEAD}
git rev-parse --quiet --verify "$commit^{commit}" >/dev/null || {
    echo "make_dist: \"$commit\" is no commit of this repository; tarballs are made of commits" >&2
    exit 1
}
version=$(git show "$commit:CMakeLists.txt" | sed -n 's/^project(colrow VERSION \([0-9.]*\) .*/\1/p')
[ -n "$version" ] || { echo "make_dist: CMakeLists.txt of $commit names no version" >&2; exit 1; }
[ "$commit" != HEAD ] || git diff --quiet HEAD || echo "make_dist: what is not committed is left out" >&2
mkdir -p "$folder"
git -c core.abbrev=10 -c tar.umask=0022 archive --format=tar --prefix="colrow-$version/" "$commit" |
    gzip -n -9 >"$folder/colrow-$version.tar.gz.new"
mv "$folder/colrow-$version.tar.gz.new" "$folder/colrow-$version.tar.gz"
(cd "$folder" && sha256sum "colrow-$version.tar.gz" | tee "colrow-$version.tar.gz.sha256")
