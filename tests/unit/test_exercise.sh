#!/bin/sh
# The exercise of CONTRIBUTING.md compiles: whoever begins there shall not begin with our mistakes.
set -eu
: "${SOURCE_DIR:=.}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```/ { inside = ($0 == "```c"); next } inside' "$SOURCE_DIR/CONTRIBUTING.md" >"$work/count.c"
grep -q 'const struct command command_count' "$work/count.c" || { echo "the exercise is not where it was"; exit 1; }
cat >"$work/exercise.c" <<'C'
#include "cmd/commands.h"
extern const struct command command_count; // the row that the exercise adds to commands.h
#include "count.c"
C
# shellcheck disable=SC2046 # words are wanted
cc -std=c17 -D_GNU_SOURCE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror -fsyntax-only \
    -I"$SOURCE_DIR/src" -I"$SOURCE_DIR/include" $(pkg-config --cflags jansson) "$work/exercise.c"
