#!/usr/bin/env python3
"""Golden ids of small tekken.json files, from mistral-common: without and with bos and eos, and decoded.

    python3 tools/make_tekken_vectors.py [tests/data/tokenizers/tekken.json]

Needs mistral-common 1.13. Texts hold no control tokens: mistral-common never looks for them in a text, colrow does as it
does for a tokenizer.json.
"""
import base64
import collections
import json
import os
import sys
import tempfile

import regex
from mistral_common.tokens.tokenizers.base import SpecialTokenPolicy
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

OUT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers", "tekken.json"))
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
UPPER = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
PATTERN = CASED + "|" + UPPER + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CORPUS = ["The quick brown fox jumps over the lazy dog. the fox the dog the rank waits for the others before it sums",
          "Der Zug f\u00e4hrt \u00fcber die Br\u00fccke, und die Br\u00fccke f\u00e4hrt nicht. HTTPServer getURL parseJSON ÀÉÎ",
          "for (int i = 0; i < n; i++)\n    total += x[i];\n    return total;\n\n// https://example.org/a/b",
          "\u0411\u044b\u0441\u0442\u0440\u0430\u044f \u043b\u0438\u0441\u0438\u0446\u0430 \u4e16\u754c\u4f60\u597d\u4e16\u754c \u3053\u3093\u306b\u3061\u306f 12345 67 8.9"]
TEXTS = ["", " ", "\n", "  \n  ", "a", "The rank waits", "the the the", "\u00e9 e\u0301 \u00c9COLE \u00e9cole", "HTTPServer2getURL", "1234567",
         "x += 1;\r\n\r\n\ty", "\U0001f600 \u4e16\u754c\u3053\u3093\u306b\u3061\u306f\u0000", "  two  spaces ", "Br\u00fccke//\n/ :-)", "don't WON'T I'LL",
         "\u0411\u044b\u0441\u0442\u0440\u0430\u044f\u043b\u0438\u0441\u0438\u0446\u0430 \u0661\u0662\u0663 \u00bd", "a\u0300\u0301b \u200b \u00a0 \u3000end"]
CONTROL = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "<pad>", "[THINK]"]


def train(n):
    """The first 256 tokens are the bytes, each other one the commonest pair of tokens then."""
    words = collections.Counter(w for line in CORPUS for w in regex.findall(PATTERN, line))
    parts = {w: [bytes([b]) for b in w.encode()] for w in words}
    tokens = [bytes([i]) for i in range(256)]
    while len(tokens) < n:
        pairs = collections.Counter()
        for w, p in parts.items():
            for pair in zip(p, p[1:]):
                pairs[pair] += words[w]
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        tokens.append(left + right)
        for w, p in parts.items():
            merged = []
            for piece in p:
                if merged and merged[-1] == left and piece == right:
                    merged[-1] = left + right
                else:
                    merged.append(piece)
            parts[w] = merged
    return tokens


def tekken(tokens, version, control, n_control, n_used):
    vocab = [{"rank": i, "token_bytes": base64.b64encode(t).decode(), "token_str": None} for i, t in enumerate(tokens)]
    made = {"config": {"pattern": PATTERN, "num_vocab_tokens": len(vocab), "default_vocab_size": n_control + n_used,
                       "default_num_special_tokens": n_control, "version": version}, "vocab": vocab}
    if control:
        made["special_tokens"] = [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(control)]
    return made


def vectors(name, made):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "tekken.json")
        text = json.dumps(made, separators=(",", ":"))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        tok = Tekkenizer.from_file(path)
    ids = [tok.encode(t, bos=False, eos=False) for t in TEXTS]
    named = {f"{k}_token": t for k, t in (("bos", "<s>"), ("eos", "</s>"), ("unk", "<unk>"), ("pad", "<pad>"))}
    return {"name": name, "files": {"tekken.json": base64.b64encode(text.encode()).decode()}, "ids": ids,
            "ids_special": [tok.encode(t, bos=True, eos=False) for t in TEXTS],
            "decoded": [tok.decode(i, special_token_policy=SpecialTokenPolicy.IGNORE) for i in ids], "named": named}


def main():
    tokens = train(400)
    made = {"texts": TEXTS, "folders": [
        vectors("version 3, its usual control tokens", tekken(tokens, "v3", None, 24, 380)),
        vectors("version 13, control tokens of its own", tekken(tokens, "v13", CONTROL, 10, 400)),
        vectors("all control tokens have a name", tekken(tokens, "v11", CONTROL, 7, 300))]}
    path = sys.argv[1] if len(sys.argv) > 1 else OUT
    with open(path, "w", encoding="utf-8") as file:
        json.dump(made, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")
    print(path, os.path.getsize(path), "bytes")


main()
