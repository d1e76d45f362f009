#!/bin/sh
# tokenizers 0.23.3: a token that add_tokens() adds can get the id of a token that the model has. New ids follow the
# *number* of the model's tokens, not its largest id, so a vocabulary whose ids have a hole (the file of a pruned
# model) gives one id to two tokens, without a word: the old token still encodes to it, but decodes as the new one.
#
# Seen 2026-11-28: vocabulary {"a": 0, "b": 1, "c": 3}, added "<x>":
#   <x> has id 3, c has id 3, decode([3]) is '<x>'
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check tokenizers==0.23.3
cat >"$dir/show.py" <<'PYTHON'
import sys

from tokenizers import Tokenizer
from tokenizers.models import BPE

tokenizer = Tokenizer(BPE(vocab={"a": 0, "b": 1, "c": 3}, merges=[]))
tokenizer.add_tokens(["<x>"])
added, old, text = tokenizer.encode("<x>").ids, tokenizer.encode("c").ids, tokenizer.decode([3])
print(f"<x> has id {added[0]}, c has id {old[0]}, decode([3]) is {text!r}")
sys.exit((added, old, text) != ([3], [3], "<x>"))
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
