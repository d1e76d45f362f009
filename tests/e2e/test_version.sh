#!/bin/sh
# `colrow --version` says what a report needs, and its commit is the one that is checked out.
set -eu
line=$("$COLROW" --version)
echo "$line" | grep -Eq '^colrow [0-9]+\.[0-9]+\.[0-9]+ \((commit [0-9a-f]{7,40}\+?, )?[a-z0-9]+, (gcc|clang) [^)]+\)$' || {
    echo "unexpected: $line"
    exit 1
}
if [ -e "$SOURCE_DIR/.git" ] && head=$(git -C "$SOURCE_DIR" rev-parse --short=10 HEAD 2>/dev/null); then
    # Without git's consent (a folder of someone else's) there is no commit to compare with.
    echo "$line" | grep -q "(commit $head" || {
        echo "built from another commit than $head: $line (build again)"
        exit 1
    }
fi
echo "$line"
