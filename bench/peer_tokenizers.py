#!/usr/bin/env python3
"""colrow and the package `tokenizers` in turn, each on one core: loading tokenizer.json, encoding 1 MB of text.

    cmake --build build/release --target bench_tokenizer
    python3 bench/peer_tokenizers.py [--rounds 11] FOLDER ...

A FOLDER holds a tokenizer.json. The text: this repository's English, its C code, and the translations that programs
of this machine bring along (gettext), most in other scripts. Seconds are of processor time. Of each round `tokenizers` may
show encode() or encode_batch_fast(), whichever is quicker; its cache of words is warm from the round before, ours is
empty at each call. Medians; the ids must be equal.
"""
import argparse
import gettext
import glob
import os
import statistics
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LANGUAGES = ["zh_CN", "ja", "ko", "ru", "uk", "el", "ar", "he", "hi", "th", "vi", "de", "fr", "pl"]
SHARES = {"english": 360_000, "code": 320_000, "others": 320_000}


def read(pattern):
    for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
        with open(path, encoding="utf-8") as file:
            yield file.read()


def translations(language):
    for path in sorted(glob.glob(f"/usr/share/locale/{language}/LC_MESSAGES/*.mo")):
        try:
            with open(path, "rb") as file:
                messages = gettext.GNUTranslations(file)._catalog
        except (OSError, ValueError, LookupError):
            continue
        yield "\n".join(text for key, text in messages.items() if key and isinstance(text, str))


def first(texts, size):
    data = "\n".join(texts).encode()[:size]
    return data.decode(errors="ignore")


def mixed_text():
    others = [first(translations(language), SHARES["others"]) for language in LANGUAGES]
    others = [text for text in others if len(text) > 1000]
    if len(others) < 5:
        sys.exit("/usr/share/locale has translations of fewer than five of the languages; install some (gettext, vim, git)")
    share = SHARES["others"] // len(others)
    parts = [first([*read("docs/*.md"), *read("tools/demo_corpus/*.txt"), *read("*.md")], SHARES["english"]),
             first(read("src/**/*.c"), SHARES["code"]), *(first([text], share) for text in others)]
    return "\n".join(parts)


class Ours:
    def __init__(self, program):
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, line, answers=True):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        if not answers:
            return None
        answer = self.process.stdout.readline().split()
        if not answer:
            sys.exit(f"bench_tokenizer ended at: {line}")
        return answer


def ids_hash(ids):
    value = 0xCBF29CE484222325
    for i in ids:
        value = (value ^ i) * 0x100000001B3 & (1 << 64) - 1
    return value


def timed(call):
    begun = time.process_time()
    result = call()
    return time.process_time() - begun, result


def spread(values):
    return f"{statistics.median(values) * 1000:.1f} ({min(values) * 1000:.1f}-{max(values) * 1000:.1f})"


def compare(ours, folder, text, rounds):
    import tokenizers
    path = os.path.join(folder, "tokenizer.json")
    loads, encodes = ([], []), ([], [])
    for _ in range(rounds):
        tokenizer = None
        seconds, tokenizer = timed(lambda: tokenizers.Tokenizer.from_file(path))
        loads[0].append(float(ours.ask(f"load {path}")[0]))
        loads[1].append(seconds)
    tokenizer.encode(text, add_special_tokens=False)  # warms its cache
    for _ in range(rounds):
        mine, n, sum_of_ids = ours.ask("encode")
        slow, encoding = timed(lambda: tokenizer.encode(text, add_special_tokens=False))
        fast, _ = timed(lambda: tokenizer.encode_batch_fast([text], add_special_tokens=False))
        encodes[0].append(float(mine))
        encodes[1].append(min(slow, fast))
    if len(encoding.ids) != int(n) or ids_hash(encoding.ids) != int(sum_of_ids):
        sys.exit(f"{folder}: the ids differ: {len(encoding.ids)} there, {n} here")
    ratio = [statistics.median(b / a for a, b in zip(*pair)) for pair in (encodes, loads)]
    size = os.path.getsize(path) / 1e6
    print(f"| {os.path.basename(folder.rstrip('/'))} | {n} | {spread(encodes[0])} | {spread(encodes[1])} | {ratio[0]:.2f} "
          f"| {size:.1f} | {spread(loads[0])} | {spread(loads[1])} | {1 / ratio[1]:.2f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--program", default=os.path.join(ROOT, "build/release/bench/bench_tokenizer"))
    parser.add_argument("--keep-text", help="a file for the text")
    a = parser.parse_args()
    text = mixed_text()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if a.keep_text:
            with open(a.keep_text, "w", encoding="utf-8") as copy:
                copy.write(text)
        ours = Ours(a.program)
        ours.ask(f"text {file.name}", False)
        print(f"{len(text.encode()):,} bytes of text; milliseconds: median (least-most) of {a.rounds} rounds\n\n"
              "| tokenizer | ids | colrow encodes | tokenizers encodes | times as fast | file, MB | colrow loads | tokenizers loads "
              "| of its time |\n|---|---|---|---|---|---|---|---|---|", flush=True)
        for folder in a.folders:
            compare(ours, folder, text, a.rounds)


if __name__ == "__main__":
    main()
