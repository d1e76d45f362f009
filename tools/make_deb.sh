#!/bin/sh
# make_deb.sh [FOLDER]: Debian's packages of the commit that is checked out, with the debian/ that lies here, into FOLDER
# (build/deb), and what lintian says of them. DEB_BUILD_OPTIONS=nocheck is the default: `make test` has run the tests.
# Nothing is fetched; what is missing is named.
set -eu
cd "$(dirname "$0")/.."
folder=${1:-build/deb}
for tool in dpkg-buildpackage dh lintian; do
    command -v $tool >/dev/null || { echo "make_deb: no $tool (apt-get install dpkg-dev debhelper lintian)" >&2; exit 1; }
done
tools/make_dist.sh "$folder"
version=$(sed -n '1s/.*(\(.*\)-[^-]*).*/\1/p' debian/changelog)
tarball=$folder/colrow-$version.tar.gz
[ -f "$tarball" ] || { echo "make_deb: debian/changelog says version $version, and CMakeLists.txt another" >&2; exit 1; }
rm -rf "$folder/colrow-$version" "$folder"/*.deb "$folder"/*.dsc "$folder"/*.changes "$folder"/*.buildinfo "$folder"/*.debian.tar.*
mv "$tarball" "$folder/colrow_$version.orig.tar.gz"
rm -f "$tarball.sha256"
tar -C "$folder" -xf "$folder/colrow_$version.orig.tar.gz"
git ls-files debian | tar -cf - -T - | tar -C "$folder/colrow-$version" -xf -
# debhelper gives the build a home of its own, where ccache would find nothing.
export CCACHE_DIR="${CCACHE_DIR:-$HOME/.cache/ccache}"
# .invalid: what is asked of the network while the package is built fails.
(cd "$folder/colrow-$version" &&
    DEB_BUILD_OPTIONS="${DEB_BUILD_OPTIONS-nocheck parallel=$(nproc)}" http_proxy=http://nothing.invalid \
        https_proxy=http://nothing.invalid dpkg-buildpackage --no-sign >"../build.log" 2>&1) ||
    { tail -n 40 "$folder/build.log" >&2; exit 1; }
# Of all that it knows; what is argued away is in debian/*.lintian-overrides, with the argument.
lintian --display-info --pedantic --info --fail-on error,warning,info,pedantic --allow-root "$folder"/*.changes
ls -l "$folder"/*.deb
