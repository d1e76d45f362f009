#!/usr/bin/env python3
"""Random folders without a tokenizer.json: colrow's ids and texts beside Transformers'.

    COLROW=build/release/colrow python3 tools/differential_vocab_files.py [--folders 300] [--models 40] [--seed 1]

Needs transformers 5.24, sentencepiece, tiktoken and protobuf. Counts as differential_tokenizers.py does, and ends with 1
when any answer differs.
"""
import argparse
import random
import sys

from differential_tokenizers import ask, reference, run
from vocab_folders import random_folder, random_texts, train, write


def compare(rng, folder, models, auto):
    write(folder, random_folder(rng, models))
    texts = random_texts(rng, 12)
    tok, wrong = reference(lambda: auto.from_pretrained(folder))
    if tok is None:
        return "reference refuses", wrong
    for special in (True, False):
        want, wrong = reference(lambda: [tok(t, add_special_tokens=special)["input_ids"] for t in texts])
        got, said = ask(folder, ["--add-special-tokens"] if special else [], texts)
        if want is None:
            return "reference refuses", wrong
        if got is None:
            return "refused", said
        for t, a, b in zip(texts, want, got):
            if a != b:
                return "different", f"{type(tok).__name__} {t!r} special={special}: {a} there, {b} here"
    lists = [[rng.randrange(len(tok)) for _ in range(rng.randrange(1, 12))] for _ in range(10)] + want
    for keep in (True, False):
        want_text, wrong = reference(lambda: [tok.decode(i, skip_special_tokens=not keep) for i in lists])
        got, said = ask(folder, ["--decode"] + (["--keep-special-tokens"] if keep else []), lists)
        if got is None or want_text is None:
            return ("refused", said) if got is None else ("reference refuses", wrong)
        for i, a, b in zip(lists, want_text, got):
            if a != b:
                return "different", f"{type(tok).__name__} decode {i} keep={keep}: {a!r} there, {b!r} here"
    return "equal", None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=300)
    parser.add_argument("--models", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for the inputs that differ")
    a = parser.parse_args()
    from transformers import AutoTokenizer
    models = [train(random.Random(f"model {a.seed} {i}")) for i in range(a.models)]
    sys.exit(run("vocab", a.folders, a.seed, a.keep, lambda rng, folder: compare(rng, folder, models, AutoTokenizer)) != 0)


if __name__ == "__main__":
    main()
