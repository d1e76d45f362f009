#!/usr/bin/env python3
"""Golden pieces of completions: what vLLM's FastIncrementalDetokenizer makes of the tokens behind a prompt.

    python3 tools/make_completion_vectors.py [tests/data/tokenizers/completions.json]

vLLM 0.32 primes a DecodeStream of `tokenizers` with the last tokens of the prompt, as is done here. The tokenizers are
the two test tokenizers (tools/make_test_tokenizers.py) with other decoders.
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

DATA = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers"))
REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
STRIP = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
FALLBACK, FUSE = {"type": "ByteFallback"}, {"type": "Fuse"}


def meta(scheme):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": True}


DECODERS = {
    "sentencepiece": [[REPLACE, FALLBACK, FUSE, STRIP], [REPLACE, FALLBACK, FUSE], [FALLBACK, meta("always")], [FALLBACK, meta("first")],
                      [meta("never")], [FALLBACK, REPLACE, STRIP], [REPLACE, FUSE, {"type": "Strip", "content": " ", "start": 2, "stop": 1}]],
    "bytelevel": [None],
}


def pieces(t, prompt, ids):
    suffix = prompt
    for n in range(4, min(len(prompt) + 1, 24)) if len(prompt) > 4 else []:
        if "\ufffd" not in t.decode(prompt[-n:], skip_special_tokens=False):
            suffix = prompt[-n:]
            break
    stream = DecodeStream(skip_special_tokens=True)
    for i in suffix:
        stream.step(t, i)
    return [stream.step(t, i) or "" for i in ids]


def main():
    out, rng, result = sys.argv[1] if len(sys.argv) > 1 else os.path.join(DATA, "completions.json"), random.Random(9), []
    for base, decoders in DECODERS.items():
        with open(os.path.join(DATA, base, "tokenizer.json")) as f:
            config = json.load(f)
        for steps in decoders:
            if steps is not None:
                config["decoder"] = {"type": "Sequence", "decoders": steps}
            t = Tokenizer.from_str(json.dumps(config))
            texts = ["Tom", "the cat", "<s>", "the cat sat on é", "世界", "a  b", "<s></s>", "Once upon a time there was", " ", "x</s>"]
            for text in texts:
                prompt = t.encode(text, add_special_tokens=rng.random() < .5).ids
                if rng.random() < .3 and len(prompt) > 1:
                    prompt = prompt[:-1]
                words = t.encode(rng.choice([" the cat", "é世", "cat the", "  two", "</s> a", "é"]), add_special_tokens=False).ids
                ids = words + [rng.randrange(t.get_vocab_size()) for _ in range(rng.randrange(0, 5))]
                try:
                    result.append({"base": base, "decoder": config["decoder"], "prompt": prompt, "ids": ids, "pieces": pieces(t, prompt, ids)})
                except BaseException as e:  # vLLM begins anew then
                    print(f"left out: {e}")
    with open(out, "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r, separators=(",", ":")) for r in result) + "\n]\n")
    print(f"{out}: {len(result)} completions")


main()
