#!/bin/sh
# Exit status 2 is for usage alone; groups, memory, files and models end with 1.
set -u
model=$SOURCE_DIR/models/demo
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0

expect() { # expect STATUS WHAT arguments...
    wanted=$1 what=$2
    shift 2
    "$COLROW" "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    if [ $status -ne "$wanted" ] || [ "$(grep -c 'colrow: error: ' "$work/err")" -ne 1 ]; then
        echo "$what: exit status $status, expected $wanted, with one line of error:"
        cat "$work/err"
        failed=1
    fi
    if [ -s "$work/out" ]; then
        echo "$what: standard output is not empty"
        failed=1
    fi
}

expect 2 "unknown flag" generate "$model" --no-such-flag
expect 2 "value of a flag" generate "$model" -p x --max-tokens many
expect 2 "no model" generate -p x
expect 2 "no prompt" tokenize
expect 2 "too many ranks" generate "$model" -p x -tp 63 -q
expect 2 "value the model refuses" generate "$model" -p x --max-model-len 999999 -q
expect 2 "impossible request" generate "$model" -p x --max-tokens 2 --min-tokens 3 -q
expect 1 "memory" generate "$model" -p x --kv-cache-memory 1KB -q
expect 1 "does not exist" generate /nowhere -p x -q
expect 1 "no such file" generate "$model" --prompts /nowhere -q
printf '\n\n' >"$work/empty"
expect 1 "a file without prompts" generate "$model" --prompts "$work/empty" -q
printf 'a\377b\n' >"$work/bytes"
expect 1 "prompts that are no UTF-8" generate "$model" --prompts "$work/bytes" -q
printf 'a\0b\n' >"$work/nul"
expect 1 "prompts with a NUL" generate "$model" --prompts "$work/nul" -q
expect 2 "a system message without a chat" generate "$model" -p x --system y -q
expect 2 "an empty model" generate "" -p x -q
cp -r "$model" "$work/wordless" && rm "$work/wordless/tokenizer.json"
expect 1 "no tokenizer" generate "$work/wordless" -p x -q
expect 2 "an id is missing" logits "$model" --input-ids 1,,2 -o "$work/logits"
expect 2 "no ids" logits "$model" --input-ids "" -o "$work/logits"
expect 2 "a picture in JSON" inspect --machine --json
mkdir "$work/model"
echo '{"architectures": 1}' >"$work/model/config.json"
expect 1 "broken model" generate "$work/model" -p x -q
echo '{"layers.*.nothing": "colwise"}' >"$work/plan.json"
expect 1 "broken tp_plan" generate "$model" -p x --tp-plan "$work/plan.json" -q
# files that users name may be what a shell has instead
for file in - /dev/stdin; do
    [ "$(echo "Hello" | "$COLROW" generate "$model" -q -n 3 --prompts $file)" = \
        "$("$COLROW" generate "$model" -q -n 3 -p Hello)" ] || { echo "--prompts $file"; failed=1; }
    echo 1,5,9 | "$COLROW" logits "$model" -q --input-ids $file -o "$work/piped" || failed=1
    "$COLROW" logits "$model" -q --input-ids 1,5,9 -o "$work/given" && cmp "$work/piped" "$work/given" || failed=1
done
export COLROW_FAIL_COLLECTIVE=1:9
expect 1 "group lost" generate "$model" -p x -tp 2 -q
exit $failed
