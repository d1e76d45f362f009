#!/bin/sh
# outlines-core 0.2.14: a string's `pattern` in a JSON schema goes between two quotation marks as it is, so it is
# matched with the characters that the JSON has, not with those of the string that the JSON means. A pattern for LaTeX's
# commands, one backslash and a word, lets a model write "\beta", which json.loads() reads as a backspace and "eta", and
# "\alpha", which is no JSON at all; the texts that satisfy the schema, with two backslashes, are refused. A `.` matches
# a bare quotation mark, so `^.+=.+$` lets through "a"="b" and refuses the string a="b". One would guess that what a
# schema's grammar lets through parses and satisfies the schema, above all as `const` and `enum` are escaped there and
# strings without a pattern are right. llguidance 1.9.1 has all six as jsonschema has them. (xgrammar 0.2.9 treats the
# first pattern as outlines-core does, by hand on the same day.) Whoever asks a model for regular expressions, LaTeX or
# quotations under a pattern meets it.
#
# Seen 2026-11-30, Python 3.11, jsonschema 4.26.0:
#   ^\\(alpha|beta)$ "\beta"      means '\x08eta'    valid False outlines-core True  llguidance False
#   ^\\(alpha|beta)$ "\\beta"     means '\\beta'     valid True  outlines-core False llguidance True
#   ^\\(alpha|beta)$ "\alpha"     means no JSON      valid False outlines-core True  llguidance False
#   ^.+=.+$          "a=b"        means 'a=b'        valid True  outlines-core True  llguidance True
#   ^.+=.+$          "a"="b"      means no JSON      valid False outlines-core True  llguidance False
#   ^.+=.+$          "a=\"b\""    means 'a="b"'      valid True  outlines-core False llguidance True
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check outlines_core==0.2.14 llguidance==1.9.1 jsonschema==4.26.0
cat >"$dir/show.py" <<'PYTHON'
import json
import sys

import jsonschema
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper
from outlines_core import Index, Vocabulary
from outlines_core.json_schema import build_regex_from_schema

CHARACTERS = [chr(code) for code in range(32, 127)]
END = len(CHARACTERS)
COMMAND, PAIR = r"^\\(alpha|beta)$", "^.+=.+$"
# Pattern, text, and then: valid, taken by outlines-core, taken by llguidance.
CASES = [(COMMAND, r'"\beta"', (False, True, False)), (COMMAND, r'"\\beta"', (True, False, True)),
         (COMMAND, r'"\alpha"', (False, True, False)), (PAIR, '"a=b"', (True, True, True)),
         (PAIR, '"a"="b"', (False, True, False)), (PAIR, r'"a=\"b\""', (True, False, True))]


class Tokens:
    """One token for each printable character of ASCII, and an end."""
    eos_token_id, bos_token_id, special_token_ids = END, None, [END]
    tokens = [character.encode() for character in CHARACTERS] + [b"<end>"]

    def __call__(self, text):
        text = text.decode() if isinstance(text, bytes) else text
        return [CHARACTERS.index(character) for character in text]


tokenizer = LLTokenizer(TokenizerWrapper(Tokens()))
vocabulary = Vocabulary(END, {character: [index] for index, character in enumerate(CHARACTERS)})


def llguidance_takes(schema, text):
    matcher, ids = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(schema)), Tokens()(text)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def outlines_takes(schema, text):
    index = Index(build_regex_from_schema(json.dumps(schema)), vocabulary)
    state = index.get_initial_state()
    for token in Tokens()(text):
        state = index.get_next_state(state, token)
        if state is None:
            return False
    return index.is_final_state(state)


changed = False
for pattern, text, then in CASES:
    schema = {"type": "string", "pattern": pattern}
    try:
        value = json.loads(text)
        means, valid = repr(value), jsonschema.Draft202012Validator(schema).is_valid(value)
    except ValueError:
        means, valid = "no JSON", False
    now = (valid, outlines_takes(schema, text), llguidance_takes(schema, text))
    changed |= now != then
    print(f"{pattern:16} {text:12} means {means:12} valid {now[0]!s:5} outlines-core {now[1]!s:5} llguidance {now[2]}")
sys.exit(changed)
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
