#!/bin/sh
# xgrammar 0.2.9: "an object with a or b", {"type": "object", "properties": {...}, "anyOf": [{"required": ["a"]},
# {"required": ["b"]}]}, lets a model write any JSON value at all: null, 3, {}, {"c": "x"}. The keys beside anyOf are
# dropped, and of what is left, a bare `required`, nothing is held, not even on objects. The same with allOf, and
# `required` beside a $ref is dropped too. No error and no warning, though other keywords it cannot follow are warned of
# (its authors have the report: xgrammar's issue 858). One would guess that a grammar holds `type` and `properties` at
# least, or that it refuses; llguidance holds all of it. Whoever describes a tool's parameters in OpenAPI's usual words
# for "one of these is needed" meets it: calls come back that the same schema's validator refuses.
#
# Seen 2026-11-30, Python 3.11, jsonschema 4.26.0, llguidance 1.9.1:
#   anyOf  {"a":1}    jsonschema True  llguidance True  xgrammar True
#   anyOf  {}         jsonschema False llguidance False xgrammar True
#   anyOf  {"c":"x"}  jsonschema False llguidance False xgrammar True
#   anyOf  null       jsonschema False llguidance False xgrammar True
#   allOf  null       jsonschema False llguidance False xgrammar True
#   $ref   {}         jsonschema False llguidance False xgrammar True
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check xgrammar==0.2.9 llguidance==1.9.1 jsonschema==4.26.0 \
    torch==2.13.0 numpy
cat >"$dir/show.py" <<'PYTHON'
import json
import sys

import jsonschema
import xgrammar
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

CHARACTERS = [chr(code) for code in range(32, 127)]
END = len(CHARACTERS)
OBJECT = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}
SCHEMAS = {"anyOf": {**OBJECT, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
           "allOf": {**OBJECT, "allOf": [{"required": ["a"]}]},
           "$ref": {"$ref": "#/$defs/o", "$defs": {"o": OBJECT}, "required": ["a"]}}
CASES = [("anyOf", '{"a":1}', (True, True, True)), ("anyOf", "{}", (False, False, True)),
         ("anyOf", '{"c":"x"}', (False, False, True)), ("anyOf", "null", (False, False, True)),
         ("allOf", "null", (False, False, True)), ("$ref", "{}", (False, False, True))]


class Tokens:
    """One token for each printable character of ASCII, and an end."""
    eos_token_id, bos_token_id, special_token_ids = END, None, [END]
    tokens = [character.encode() for character in CHARACTERS] + [b"<end>"]

    def __call__(self, text):
        text = text.decode() if isinstance(text, bytes) else text
        return [CHARACTERS.index(character) for character in text]


tokenizer = LLTokenizer(TokenizerWrapper(Tokens()))
compiler = xgrammar.GrammarCompiler(xgrammar.TokenizerInfo(CHARACTERS + ["<end>"], stop_token_ids=[END]))


def llguidance_takes(schema, text):
    matcher, ids = LLMatcher(tokenizer, LLMatcher.grammar_from_json_schema(schema)), Tokens()(text)
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


def xgrammar_takes(schema, text):
    matcher = xgrammar.GrammarMatcher(compiler.compile_json_schema(json.dumps(schema)))
    return matcher.accept_string(text) and matcher.accept_token(END)


changed = False
for key, text, then in CASES:
    schema = SCHEMAS[key]
    now = (jsonschema.Draft202012Validator(schema).is_valid(json.loads(text)), llguidance_takes(schema, text),
           xgrammar_takes(schema, text))
    changed |= now != then
    print(f"{key:6} {text:10} jsonschema {now[0]!s:5} llguidance {now[1]!s:5} xgrammar {now[2]}")
sys.exit(changed)
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
