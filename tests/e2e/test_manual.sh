#!/bin/sh
# The manual page has no faults, and shells complete what it says.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failed=0
wrong() { echo "FAILED: $*"; failed=1; }

"$COLROW" help --man >"$work/colrow.1"
grep -q '^\.SS colrow bench comm' "$work/colrow.1" || wrong "no section on colrow bench comm"
grep -q '^\.B \\-tp, \\-\\-tp, \\-\\-tensor\\-parallel\\-size N' "$work/colrow.1" || wrong "no -tp"
if command -v mandoc >/dev/null; then
    # The day comes from git; a copied folder has none.
    mandoc -Tlint -Wwarning "$work/colrow.1" | grep -v 'missing date' >"$work/lint" || true
    [ ! -s "$work/lint" ] || wrong "mandoc: $(head -5 "$work/lint")"
    mandoc "$work/colrow.1" | grep -q . || wrong "the page is empty"
fi

"$COLROW" help --bash >"$work/colrow.bash"
if command -v bash >/dev/null; then
    # complete WORDS...: what bash offers for the last word.
    cat >"$work/complete" <<'BASH'
source "$1"
shift
COMP_WORDS=(colrow "$@") COMP_CWORD=$#
_colrow
echo "${COMPREPLY[*]}"
BASH
    offers() { # offers EXPECTED words...
        expected=$1
        shift
        got=$(bash "$work/complete" "$work/colrow.bash" "$@")
        [ "$got" = "$expected" ] || wrong "bash completes \"colrow $*\" with \"$got\", expected \"$expected\""
    }
    offers generate gen
    offers "--top-p --top-k" generate models/demo --top-
    offers "--tensor-parallel-size" plan --tens
    offers "comm" bench com
    offers "--ranks" bench comm --ran
    offers "--max-tokens" generate -p x --max-to
    offers "" generate models/de
    offers "" launch -- ./program --nproc
    offers "--nproc-per-node" launch --nproc
    offers "" rank --
    offers "" nonsense --
fi
"$COLROW" help --zsh >"$work/_colrow"
! command -v zsh >/dev/null || zsh -n "$work/_colrow" || wrong "zsh does not read its completions"
"$COLROW" help --fish >"$work/colrow.fish"
if command -v fish >/dev/null; then
    fish -n "$work/colrow.fish" || wrong "fish does not read its completions"
    got=$(HOME=$work fish -c "source '$work/colrow.fish'; complete -C 'colrow bench comm --ran'" | cut -f1)
    [ "$got" = --ranks ] || wrong "fish completes --ran with \"$got\""
    got=$(HOME=$work fish -c "source '$work/colrow.fish'; complete -C 'colrow gen'" | cut -f1)
    [ "$got" = generate ] || wrong "fish completes gen with \"$got\""
fi
exit $failed
