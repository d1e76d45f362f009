#!/usr/bin/env python3
"""Golden ids of folders without a tokenizer.json, from Transformers 5.24: small models that are shipped with them.

    python3 tools/make_vocab_vectors.py [tests/data/tokenizers/vocab_files.json]

Needs transformers, sentencepiece, tiktoken and protobuf.
"""
import base64
import collections
import json
import os
import random
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer  # noqa: E402

from vocab_folders import CORPUS, random_folder, random_texts, train, write  # noqa: E402

OUT = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers", "vocab_files.json"))
WANTED = {"tokenizer.model": 14, "tiktoken": 4, "vocab.json": 4}
# What becomes of characters before they are looked up: code points of a text, code points of what it becomes.
RULES = "FF21\t41\nFF22\t42\nBD\t31 2044 32\nFB01\t66 69\nC9\tE9\n65 301\tE9\n200D\t\n3000\t20\nA\t20\n"


def kind_of(files):
    if "vocab.json" in files:
        return "vocab.json"
    return "tokenizer.model" if files.get("tokenizer.model", b" ")[0] < 0x20 else "tiktoken"


def vectors(folder, files, texts):
    write(folder, files)
    tok = AutoTokenizer.from_pretrained(folder)
    ids = [tok(t, add_special_tokens=False)["input_ids"] for t in texts]
    named = {k: str(v) for k, v in tok._special_tokens_map.items() if v is not None}
    return {"class": type(tok).__name__, "ids": ids, "ids_special": [tok(t)["input_ids"] for t in texts],
            "decoded": [tok.decode(i, skip_special_tokens=True) for i in ids], "named": named}


def main():
    rng = random.Random(12)
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as rules:
        rules.write(RULES)
        rules.flush()
        lines = [line for line in CORPUS if line.isascii()]
        models = [train(rng, lines, (350, 380), rules.name if i % 2 else None) for i in range(16)]
    texts = random_texts(rng, 8)
    made, counts = [], collections.Counter()
    while sum(counts.values()) < sum(WANTED.values()):
        files = random_folder(rng, models)
        kind = kind_of(files)
        if counts[kind] == WANTED[kind] or len(b"".join(files.values())) > 20000:
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = vectors(folder, files, texts)
            except Exception as e:  # the reference refuses it
                print(f"{kind}: {type(e).__name__}: {str(e)[:80]}", file=sys.stderr)
                continue
        counts[kind] += 1
        made.append({"name": f"{kind} {counts[kind]}", "files": {n: base64.b64encode(d).decode() for n, d in files.items()}, **found})
    with open(sys.argv[1] if len(sys.argv) > 1 else OUT, "w", encoding="utf-8") as file:
        json.dump({"texts": texts, "folders": made}, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
