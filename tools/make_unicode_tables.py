#!/usr/bin/env python3
"""Makes src/text/unicode_tables.c: what the normalizers and pre-tokenizers of `tokenizers` know of characters where
utf8proc knows something else. The package's parts are asked about each character; `regex` says which ones to ask about.

usage: make_unicode_tables.py > src/text/unicode_tables.c      (needs `pip install tokenizers==0.23.3 regex`)
"""
import json

import regex
import tokenizers
from tokenizers import Tokenizer, normalizers, pre_tokenizers

from tokenizer_parts import charsmap

CODES = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
EVERYTHING = "".join(map(chr, CODES))


def having(expression):
    return {ord(m) for m in regex.findall(expression, EVERYTHING)}


def precompiled(table):
    config = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "pre_tokenizer": None,
              "normalizer": {"type": "Precompiled", "precompiled_charsmap": charsmap(table)}, "post_processor": None, "decoder": None,
              "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}}}
    return Tokenizer.from_str(json.dumps(config)).normalizer


def bert(**wanted):
    flags = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**flags, **wanted})


def removed_by(normalizer):
    return {c for c in CODES if normalizer.normalize_str(chr(c)) == ""}


def ranges(classes):
    """{code: class} as [first, last, class]"""
    out = []
    for c in sorted(classes):
        if out and out[-1][1] == c - 1 and out[-1][2] == classes[c]:
            out[-1][1] = c
        else:
            out.append([c, c, classes[c]])
    return out


def grapheme_classes():
    """Precompiled replaces a short cluster of characters as a whole by what its first character becomes."""
    one = precompiled({"X": "y"})
    joins = {c for c in CODES if one.normalize_str("X" + chr(c)) == "y"}
    ka = precompiled({"क": "k"})
    linkers = {c for c in having(r"\p{InCB=Linker}") if ka.normalize_str("क" + chr(c) + "क\u0301").endswith("\u0301")}
    conjunct = having(r"\p{InCB=Extend}")
    out = {c: "CONTROL" for c in having(r"\p{GCB=Control}")}
    out.update({c: "PREPEND" for c in having(r"\p{GCB=Prepend}")})
    out.update({c: "PICTOGRAPH" for c in having(r"\p{Extended_Pictographic}")})
    out.update({c: "CONSONANT" for c in having(r"\p{InCB=Consonant}")})
    out.update({c: "LINKER" if c in linkers else "JOINS_CONJUNCT" if c in conjunct else "JOINS" for c in joins})
    return out


def scripts():
    """Numbers in no order: characters of one script have the same, 0 for those that belong to any."""
    cut = pre_tokenizers.UnicodeScripts()

    def same(a, b):
        return len(cut.pre_tokenize_str(chr(a) + chr(b))) == 1
    first_of, out, before = [], {}, None
    for c in CODES:
        if not cut.pre_tokenize_str(chr(c)):
            continue
        if before is not None and same(before, c):
            out[c] = out[before]
        else:
            found = [i for i, first in enumerate(first_of) if same(first, c)]
            if not found:
                first_of.append(c)
            out[c] = (found[0] if found else len(first_of) - 1) + 1
        before = c
    return out


def show(name, kind, items):
    print(f"const struct {kind} {name}[] = {{")
    line = "   "
    for item in items:
        text = " {0x%X, 0x%X%s}," % (item[0], item[1], "" if len(item) < 3 or item[2] is None else f", {item[2]}")
        if len(line) + len(text) > 120:
            print(line)
            line = "   "
        line += text
    print(line + f"\n}};\nconst size_t n_{name} = sizeof {name} / sizeof *{name};\n")


def main():
    print(f"// Made by tools/make_unicode_tables.py with tokenizers {tokenizers.__version__}. Do not edit.")
    print('#include "text/unicode_tables.h"\n\n// clang-format off')
    show("combining_marks", "unicode_range", ranges(dict.fromkeys(removed_by(normalizers.StripAccents()))))
    show("nonspacing_marks", "unicode_range", ranges(dict.fromkeys(removed_by(bert(strip_accents=True)))))
    show("control_characters", "unicode_range", ranges(dict.fromkeys(removed_by(bert(clean_text=True)))))
    show("grapheme_classes", "unicode_class", ranges({c: "GRAPHEME_" + k for c, k in grapheme_classes().items()}))
    show("unicode_scripts", "unicode_class", ranges(scripts()))
    print("// clang-format on")


if __name__ == "__main__":
    main()
