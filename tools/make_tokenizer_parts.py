#!/usr/bin/env python3
"""Makes tests/data/tokenizers/parts.json: small tokenizers that have every model, normalizer, pre-tokenizer, decoder and
post-processor of `tokenizers` 0.23 with its options, and what that package makes of texts with them.

usage: make_tokenizer_parts.py [OUT_FILE]      (needs `pip install tokenizers==0.23.3`)

{"tokenizers": [{"name", "config" (a tokenizer.json, as text), "cases": [{"text", "ids" (without special tokens),
"ids_special" (with), "decoded" (of ids, special tokens skipped), "decoded_all" (of ids_special, kept), "pieces" (what a
DecodeStream gives for each of ids)}], "random": [the same of ids that no text makes]}]}. What is missing, `tokenizers`
fails at.
"""
import json
import os
import random
import sys

from tokenizer_parts import entry_of, random_entry


def chosen():
    """What random files once found."""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": True}
    sequence = lambda key, *steps: {"type": "Sequence", key: list(steps)}  # noqa: E731
    vocab = {t: i for i, t in enumerate(["<unk>", "▁", "a", "b", "ab", "e", "é", "1", "▁1", "⁄", "▁⁄", "2", "▁2", "x", "▁é", "▁x", "▁a"])}
    words = {"type": "WordLevel", "unk_token": "<unk>", "vocab": vocab}
    whole = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None,
             "post_processor": None, "decoder": None, "model": words}
    dropped = {"type": "BPE", "unk_token": None, "vocab": vocab, "merges": [["a", "b"]], "fuse_unk": False, "byte_fallback": False,
               "dropout": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "ignore_merges": False}
    yield "composed at the begin", {**whole, "normalizer": sequence("normalizers", {"type": "NFC"}, {"type": "Lowercase"}),
                                    "pre_tokenizer": metaspace}, ["e\u0301x", "E\u0301 x", "e\u0301", "xe\u0301"]
    yield "cut inside what one character became", {
        **whole, "normalizer": {"type": "NFKC"}, "pre_tokenizer": sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": True}, metaspace)}, ["½x", "x½", "½", "1½"]
    yield "dropped characters in a long word", {**whole, "model": dropped}, ["a~b" * 30, "ab~" * 40, "~a~b~~a" * 20]


def features(config):
    """What is worth having once: each part with each of its options, each option of a model."""
    found = set()

    def walk(where, value):
        if isinstance(value, dict) and "type" in value:
            for key, option in value.items():
                if isinstance(option, (bool, str)) or option is None:
                    found.add((where, value["type"], key, "..." if key in ("precompiled_charsmap", "pattern") else option))
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            if isinstance(inner, (dict, list)):
                walk(where, inner)
    for part in ("normalizer", "pre_tokenizer", "decoder", "post_processor"):
        walk(part, config[part])
    model = config["model"]
    for key, option in model.items():
        if key not in ("vocab", "merges"):
            found.add(("model", model.get("type"), key, option))
    found.add(("model", model.get("type"), "merges", isinstance((model.get("merges") or [0])[0], str)))
    for token in config["added_tokens"]:
        found.update(("added", key, value) for key, value in token.items() if isinstance(value, bool))
    return found


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers", "parts.json")
    covered, kept = set(), [entry_of(name, config, texts) for name, config, texts in chosen()]
    for i in range(4000):
        entry = random_entry(str(i), random.Random(f"shipped {i}"), 6)
        if not entry or len(entry["config"]) > 5000:
            continue
        new = features(json.loads(entry["config"])) - covered
        if len(new) > (i < 2000):
            covered |= new
            kept.append(entry)
    lines = ",\n".join(json.dumps(entry, separators=(",", ":")) for entry in kept)
    with open(out, "w", encoding="utf-8") as f:
        f.write('{"tokenizers":[\n%s\n]}\n' % lines)
    print(f"{len(kept)} tokenizers, {len(covered)} features, {os.path.getsize(out)} bytes: {os.path.normpath(out)}")


if __name__ == "__main__":
    main()
