#!/bin/sh
# tokenizers 0.23.3 (Oniguruma): `\w` and `[\w]` are two different classes. Outside of brackets ² ³ ¹ ¼ ½ ¾ are word
# characters (also for \p{Word} and \b), inside of brackets, and in [[:word:]], they are not. In nearly every other
# engine putting one escape into brackets changes nothing, so patterns of pre-tokenizers are rewritten that way.
#
# Seen 2026-11-28: pieces that the pattern matches in "²½x":
#   \w 3, [\w] 1, [[:word:]] 1, \p{Word} 3
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

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split


def matches(pattern):
    return len(Split(Regex(pattern), "removed", invert=True).pre_tokenize_str("\u00b2\u00bdx"))


now = {pattern: matches(pattern) for pattern in (r"\w", r"[\w]", "[[:word:]]", r"\p{Word}")}
print(", ".join(f"{pattern} {count}" for pattern, count in now.items()))
sys.exit(list(now.values()) != [3, 1, 1, 3])
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
