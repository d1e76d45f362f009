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
expect 2 "a backend that there is not" generate "$model" -p x --kv-offloading-backend lmcache -q
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
expect 2 "shards of nothing" synth "$model" "$work/synth" --max-shard-size 0
expect 2 "a server's empty name" serve "$model" --served-model-name=
expect 2 "no memory for HTTP" serve "$model" --http-memory 1
expect 2 "a range in plain figures" launch --timeout 0 -- true
grep -q "0.1 to 1000000000$" "$work/err" || { cat "$work/err"; failed=1; }
expect 2 "log-probabilities that are not shown" generate "$model" -p x --logprobs 2 -q
# a program of another name finds no colrow to run as ranks
cp "$COLROW" "$work/engine"
whole=$COLROW path=$PATH
COLROW=$work/engine
PATH=/nowhere:/usr/bin:/bin expect 1 "no program for the ranks" generate "$model" -p x -q
COLROW=$whole PATH=$path
# files that users name may be what a shell has instead
for file in - /dev/stdin; do
    [ "$(echo "Hello" | "$COLROW" generate "$model" -q -n 3 --prompts $file)" = \
        "$("$COLROW" generate "$model" -q -n 3 -p Hello)" ] || { echo "--prompts $file"; failed=1; }
    echo 1,5,9 | "$COLROW" logits "$model" -q --input-ids $file -o "$work/piped" || failed=1
    "$COLROW" logits "$model" -q --input-ids 1,5,9 -o "$work/given" && cmp "$work/piped" "$work/given" || failed=1
done
printf 'Hi {{ messages[0].content }}' >"$work/template"
echo '{"layers.*.mlp.gate_proj": "replicate", "layers.*.mlp.up_proj": "replicate"}' >"$work/plan"
"$COLROW" generate "$model" -q -n 3 -p you --chat --chat-template "$work/template" >"$work/wanted" || failed=1
"$COLROW" plan "$model" -tp 2 --tp-plan "$work/plan" 2>/dev/null >"$work/out"
planned=$?
grep -v "^rules of" "$work/out" >"$work/wanted-plan" # names the file
# A pipe, not a file: it can be read once.
piped() { cat "$1"; }
for file in - /dev/stdin /dev/fd/0; do
    piped "$work/template" | "$COLROW" generate "$model" -q -n 3 -p you --chat --chat-template $file | cmp - "$work/wanted" ||
        { echo "--chat-template $file"; failed=1; }
    piped "$work/plan" | "$COLROW" plan "$model" -tp 2 --tp-plan $file 2>/dev/null >"$work/piped"
    [ $? -eq $planned ] || { echo "plan --tp-plan $file: another exit status"; failed=1; }
    grep -v "^rules of" "$work/piped" | cmp - "$work/wanted-plan" || { echo "plan --tp-plan $file"; failed=1; }
    piped "$work/plan" | "$COLROW" generate "$model" -q -n 3 -p you -tp 2 --tp-plan $file >"$work/piped" 2>&1
    "$COLROW" generate "$model" -q -n 3 -p you -tp 2 --tp-plan "$work/plan" >"$work/out" 2>&1
    cmp "$work/piped" "$work/out" || { echo "generate --tp-plan $file"; failed=1; }
done
export COLROW_FAIL_COLLECTIVE=1:9
expect 1 "group lost" generate "$model" -p x -tp 2 -q
exit $failed
