#!/bin/sh
# The installed library: a program built with what pkg-config says, shared and static, answers; nothing else is exported.
set -eu
: "${BUILD_DIR:=build/release}" "${SOURCE_DIR:=.}" "${SANITIZE:=}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAILED: $*"; exit 1; }

[ -z "$SANITIZE" ] || { echo "skipped: the library is tested without sanitizers"; exit 77; }
command -v pkg-config >/dev/null || { echo "skipped: no pkg-config"; exit 77; }
cmake --install "$BUILD_DIR" --prefix "$work/usr" >/dev/null
PKG_CONFIG_PATH="$(dirname "$(find "$work/usr" -name colrow.pc)")"
export PKG_CONFIG_PATH
lib=$(pkg-config --variable=libdir colrow)

# only the public API is visible, all of it, in both libraries
nm -D --defined-only "$lib/libcolrow.so" | awk '{print $3}' | sort >"$work/shared"
nm -g --defined-only "$lib/libcolrow.a" | awk 'NF == 3 {print $3}' | sort >"$work/static"
cmp "$work/shared" "$work/static" || fail "shared and static library export different symbols"
grep -v '^colrow_' "$work/shared" && fail "these symbols should not be visible"
sed -n 's/^COLROW_API .*[ *]\(colrow_[a-z_]*\)(.*/\1/p' "$work/usr/include/colrow/colrow.h" | sort -u >"$work/declared"
[ -s "$work/declared" ] || fail "no declarations found"
missing=$(comm -23 "$work/declared" "$work/shared")
[ -z "$missing" ] || fail "declared but not there: $missing"

# headers compile alone, as C and C++
for header in "$work"/usr/include/colrow/*.h; do
    cc -std=c99 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c "$header"
    ! command -v c++ >/dev/null || c++ -std=c++11 -Wall -Wextra -Werror -fsyntax-only -x c++ "$header"
done

# shellcheck disable=SC2046 # words are wanted
cc -Wall -Wextra -Werror "$SOURCE_DIR/examples/generate.c" -o "$work/shared-program" $(pkg-config --cflags --libs colrow)
# shellcheck disable=SC2046
cc "$SOURCE_DIR/examples/generate.c" -o "$work/static-program" $(pkg-config --cflags colrow) "$lib/libcolrow.a" \
    $(pkg-config --libs $(pkg-config --print-requires-private colrow)) -lpthread -lm -ldl

demo="$SOURCE_DIR/models/demo"
[ -f "$demo/model.safetensors" ] || { echo "models/demo is not here; built only"; exit 0; }
# the shared library finds bin/colrow beside itself; a static program by PATH
env -u COLROW_RANK_PROGRAM PATH=/usr/bin:/bin LD_LIBRARY_PATH="$lib" "$work/shared-program" "$demo" \
    "What is tensor parallelism?" >"$work/answer"
cat "$work/answer"
grep -q '^\[stop after' "$work/answer" || fail "the answer does not end"
PATH="$work/usr/bin:$PATH" "$work/static-program" "$demo" "What is tensor parallelism?" >"$work/other"
cmp "$work/answer" "$work/other" || fail "the static library answers something else"
# shellcheck disable=SC2046
cc -Wall -Wextra -Werror "$SOURCE_DIR/examples/event_loop.c" -o "$work/event-loop" $(pkg-config --cflags --libs colrow)
printf 'What is tensor parallelism?\nWhat is a rank?\n' |
    env -u COLROW_RANK_PROGRAM PATH=/usr/bin:/bin LD_LIBRARY_PATH="$lib" "$work/event-loop" "$demo" >"$work/loop"
[ "$(grep -c '^\[[12]\] -- ' "$work/loop")" -eq 2 ] || fail "the event loop does not answer: $(cat "$work/loop")"
if env -u COLROW_RANK_PROGRAM PATH=/usr/bin:/bin "$work/static-program" "$demo" x 2>"$work/error"; then
    fail "no rank program should be found"
fi
grep -q COLROW_RANK_PROGRAM "$work/error" || fail "the error does not say what to do: $(cat "$work/error")"
if LD_LIBRARY_PATH="$lib" "$work/shared-program" /nowhere x 2>"$work/error"; then
    fail "/nowhere should be refused"
fi
grep -q /nowhere "$work/error" || fail "the error does not name the folder"
