#!/usr/bin/env python3
"""Random tokenizer folders, patterns and parts: colrow's ids and texts beside Transformers' and tokenizers'.

    COLROW=build/release/colrow python3 tools/differential_tokenizers.py [--folders 200] [--patterns 300] [--parts 500] [--seed 1]

Folders are tokenizer.json with the files beside it, patterns are regular expressions, parts are tokenizer.json alone with
every model, normalizer, pre-tokenizer, decoder and post-processor, and also streamed (tokenizer_parts.py; these go through
tests/test_tokenizer_parts beside the binary).

Needs transformers 5.24 and tokenizers 0.23 (not part of `make test`). A folder (or pattern) counts as equal when all
answers are; as refused when colrow ends with a sentence; as different when one answer differs. Ends with 1 when any
differs. What the reference itself refuses is counted apart.
"""
import argparse
import collections
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import warnings

os.environ["RUST_BACKTRACE"] = "0"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")

import tokenizer_parts  # noqa: E402
from differential_patterns import random_pattern, random_pattern_text  # noqa: E402

COLROW = os.path.abspath(os.environ.get("COLROW", "build/release/colrow"))
WORDS = ["hello", "world", "the", " the", "<s>", "</s>", "<pad>", "<tool>", "<x>", "[INST]", "a", "b", "A", "É", "é",
         "e\u0301", "世界", "。", "\n", "\t", "  ", " ", "\u3000", "1", "42", "foo", "fo", "oo", "😀", "ß", "ＡＢ", "▁", "İ",
         "don't", "I'LL", ".", "!?", "\u200d", "<0x41>", "<|end|>", "<|user|>", "\u0130", "x", "<X>", "ſ"]
TOKENS = ["<tool>", "<x>", "<X>", "<|end|>", "<|user|>", "<pad>", "<s>", "</s>", "<unk>", "hello", "he", "a", "É", "世", " the ",
          "[INST]", "foo", "<y> ", "▁the", "1", "e\u0301", "the"]


def byte_letters():
    keep = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    letters, n = {}, 0
    for b in range(256):
        letters[b] = chr(b) if b in keep else chr(256 + n)
        n += b not in keep
    return letters


LETTERS = byte_letters()


def add_merges(rng, vocab, samples, n):
    """A few random merges over texts given as lists of pieces."""
    merges = []
    for _ in range(n):
        pieces = rng.choice(samples)
        if len(pieces) < 2:
            continue
        i = rng.randrange(len(pieces) - 1)
        a, b = pieces[i], pieces[i + 1]
        if a not in vocab or b not in vocab or [a, b] in merges:
            continue
        vocab.setdefault(a + b, len(vocab))
        merges.append([a, b])
        for k, other in enumerate(samples):
            out, j = [], 0
            while j < len(other):
                if j + 1 < len(other) and other[j] == a and other[j + 1] == b:
                    out.append(a + b)
                    j += 2
                else:
                    out.append(other[j])
                    j += 1
            samples[k] = out
    return merges


def flags(rng, special):
    return {"single_word": rng.random() < .15, "lstrip": rng.random() < .25, "rstrip": rng.random() < .25,
            "normalized": rng.random() < .4, "special": special}


def added_list(rng, vocab, first):
    out, next_id = [], first
    for t in rng.sample(TOKENS, rng.randrange(0, 7)):
        next_id += rng.choice([0, 0, 0, 1, 5])
        known = vocab.get(t)
        out.append({"id": known if known is not None and rng.random() < .8 else next_id, "content": t,
                    **flags(rng, rng.random() < .6)})
        next_id += 1
    if out and rng.random() < .2:
        out.append(dict(rng.choice(out), **flags(rng, rng.random() < .5)))
    if rng.random() < .15:
        rng.shuffle(out)
    return out


def template(rng, names, vocab):
    def piece(n):
        return {"SpecialToken": {"id": n, "type_id": 0}}
    seq = {"Sequence": {"id": "A", "type_id": 0}}
    single = [piece(rng.choice(names)) for _ in range(rng.randrange(0, 2))] + [seq] + [
        piece(rng.choice(names)) for _ in range(rng.randrange(0, 2))]
    return {"type": "TemplateProcessing", "single": single,
            "pair": [seq, {"Sequence": {"id": "B", "type_id": 1}}] + single[:0],
            "special_tokens": {n: {"id": n, "ids": [vocab[n]], "tokens": [n]} for n in names}}


def post_processor(rng, vocab):
    names = [t for t in ("<s>", "</s>") if t in vocab]
    r = rng.random()
    if r < .25 or not names:
        return rng.choice([None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}])
    if r < .8:
        return template(rng, names, vocab)
    if r < .9 and len(names) == 2:
        return {"type": rng.choice(["BertProcessing", "RobertaProcessing"]), "sep": ["</s>", vocab["</s>"]],
                "cls": ["<s>", vocab["<s>"]], "trim_offsets": True, "add_prefix_space": False}
    return {"type": "Sequence", "processors": [
        {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True},
        template(rng, names, vocab)] + ([template(rng, names, vocab)] if rng.random() < .3 else [])}


def plain_cut(rng):
    return rng.choice([{"type": "WhitespaceSplit"}, {"type": "Whitespace"}, {"type": "BertPreTokenizer"},
                       {"type": "CharDelimiterSplit", "delimiter": rng.choice([" ", "o", "世", "."])},
                       {"type": "FixedLength", "length": rng.choice([1, 2, 5])}])


def byte_level_parts(rng):
    def bl(prefix, regex):
        return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}
    cut = rng.choice([
        bl(rng.random() < .3, True),
        {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": random_pattern(rng, True)},
             "behavior": rng.choice(["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]),
             "invert": rng.random() < .2}, bl(False, False)]},
        {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": rng.random() < .5},
                                               {"type": "Punctuation", "behavior": "Isolated"}, bl(False, rng.random() < .5)]},
        {"type": "Sequence", "pretokenizers": [plain_cut(rng), bl(rng.random() < .5, True)]}])
    normal = rng.choice([None, None, {"type": "NFC"}, {"type": "NFKC"}, {"type": "Lowercase"},
                         {"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "Lowercase"}]},
                         {"type": "Replace", "pattern": {"String": "oo"}, "content": "o"},
                         {"type": "Strip", "strip_left": True, "strip_right": rng.random() < .5}])
    return normal, cut, rng.choice([bl(True, True), bl(False, True)])


def byte_level(rng):
    vocab = {}
    specials = rng.sample(["<s>", "</s>", "<unk>"], rng.randrange(0, 4))
    for t in specials if rng.random() < .5 else []:
        vocab[t] = len(vocab)
    for b in range(256):
        vocab[LETTERS[b]] = len(vocab)
    for t in specials:
        vocab.setdefault(t, len(vocab))
    samples = [[LETTERS[b] for b in w.encode()] for w in WORDS + [" " + w for w in WORDS]]
    merges = add_merges(rng, vocab, samples, 40)
    if rng.random() < .2:
        vocab["hello"] = len(vocab) + rng.choice([0, 3])
    normal, cut, decoder = byte_level_parts(rng)
    return dict(normalizer=normal, pre_tokenizer=cut, decoder=decoder, vocab=vocab, merges=merges,
                unk_token=None, byte_fallback=False, fuse_unk=False, ignore_merges=rng.random() < .3)


def piece_decoder(rng):
    rep = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    steps = rng.choice([[rep, {"type": "ByteFallback"}, {"type": "Fuse"}, strip],
                        [rep, {"type": "ByteFallback"}, {"type": "Fuse"}],
                        [{"type": "ByteFallback"}, {"type": "Metaspace", "replacement": "▁", "prepend_scheme":
                                                    rng.choice(["always", "first", "never"]), "split": True}],
                        [{"type": "ByteFallback"}, rep, strip]])
    return {"type": "Sequence", "decoders": steps}


def pieces(rng):
    vocab = {}
    for t in ["<unk>", "<s>", "</s>"]:
        vocab[t] = len(vocab)
    fallback = rng.random() < .8
    for b in range(256) if fallback else []:
        vocab[f"<0x{b:02X}>"] = len(vocab)
    words = ["▁" + w.strip().replace(" ", "▁") for w in WORDS if not w.startswith("<")] + WORDS
    for c in sorted({c for w in words for c in w if c != " " and ord(c) < 0x10000} - set("ſİ😀É")):
        vocab.setdefault(c, len(vocab))
    merges = add_merges(rng, vocab, [list(w) for w in words], 60)
    meta = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": rng.choice(["always", "first", "never"]),
            "split": rng.random() < .5}
    if rng.random() < .5:
        normal, cut = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {
            "type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}, None
    else:
        normal, cut = rng.choice([None, {"type": "NFKC"}]), rng.choice([meta, meta, plain_cut(rng)])
    return dict(normalizer=normal, pre_tokenizer=cut, decoder=rng.choice([piece_decoder(rng), meta, None]), vocab=vocab,
                merges=merges, unk_token="<unk>", byte_fallback=fallback, fuse_unk=rng.random() < .7,
                ignore_merges=rng.random() < .2)


def other_parts(rng):
    """Any model and parts. Transformers asks for "type" in the model."""
    config = tokenizer_parts.random_config(rng, [tokenizer_parts.random_text(rng) for _ in range(12)])
    return config if "type" in config["model"] else other_parts(rng)


def tokenizer_json(rng):
    if rng.random() < .3:
        return other_parts(rng)
    parts = byte_level(rng) if rng.random() < .5 else pieces(rng)
    vocab = parts.pop("vocab")
    merges = parts.pop("merges")
    model = {"type": "BPE", "dropout": None, "unk_token": parts.pop("unk_token"), "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": parts.pop("fuse_unk"), "byte_fallback": parts.pop("byte_fallback"),
             "ignore_merges": parts.pop("ignore_merges"), "vocab": vocab, "merges": merges}
    added = added_list(rng, vocab, len(vocab))
    if rng.random() < .7:
        added = [{"id": vocab[t], "content": t, "single_word": False, "lstrip": False, "rstrip": False,
                  "normalized": False, "special": True} for t in ("<unk>", "<s>", "</s>") if t in vocab] + added
    padding = None
    if rng.random() < .05:
        padding = {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
                   "pad_type_id": 0, "pad_token": "<pad>"}
    return {"version": "1.0", "truncation": None, "padding": padding, "added_tokens": added, **parts,
            "post_processor": post_processor(rng, vocab), "model": model}


def token_value(rng, t):
    if rng.random() < .6:
        return t
    return {"__type": "AddedToken", "content": t, **flags(rng, rng.random() < .5)}


def config_files(rng, tokenizer):
    n = len(tokenizer["model"]["vocab"]) + len(tokenizer["added_tokens"])
    config, files = {}, {}
    config["tokenizer_class"] = rng.choice(
        ["PreTrainedTokenizerFast"] * 4 + ["LlamaTokenizer", "LlamaTokenizerFast", "Qwen2Tokenizer", "GPT2TokenizerFast",
                                           "GPTNeoXTokenizerFast", "GemmaTokenizer", "TokenizersBackend", "CohereTokenizerFast",
                                           "Qwen3_5Tokenizer", "CodeLlamaTokenizer", "SomethingTokenizer"])
    # Other classes make BPE without merges of other models: docs/compatibility.md.
    other = tokenizer["model"]["type"] != "BPE"
    if other:
        config["tokenizer_class"] = rng.choice(["PreTrainedTokenizerFast", "TokenizersBackend", "SomethingTokenizer"])
    for name in ("bos_token", "eos_token", "unk_token", "pad_token", "image_token", "mask_token"):
        if rng.random() < .4:
            config[name] = token_value(rng, rng.choice(TOKENS)) if rng.random() < .9 else None
    if rng.random() < .4:
        config["added_tokens_decoder"] = {str(i): {"content": t, **flags(rng, rng.random() < .5)} for i, t in sorted(
            (rng.choice([n, n + 1, n + 2, n + 7, 5, 1, 0]), t) for t in rng.sample(TOKENS, rng.randrange(0, 5)))}
    if rng.random() < .25:
        config["extra_special_tokens"] = rng.choice([["<tool>", "<q>"], {"tool_token": "<tool>", "q_token": "<q>"}, [], {}])
    if rng.random() < .25:
        config["additional_special_tokens"] = [token_value(rng, t) for t in rng.sample(TOKENS, 2)]
    if rng.random() < .3:
        config["legacy"] = rng.random() < .5
    if rng.random() < .2:
        config["add_prefix_space"] = rng.random() < .5
    if rng.random() < .3:
        config["add_bos_token"] = rng.random() < .5
    if rng.random() < .1:
        config["split_special_tokens"] = True
    if other or rng.random() < .9:
        files["tokenizer_config.json"] = config
    if rng.random() < .3:
        files["special_tokens_map.json"] = {k: t if rng.random() < .5 else {
            "content": t, "lstrip": False, "rstrip": rng.random() < .5, "normalized": False, "single_word": False}
            for k, t in zip(rng.sample(["bos_token", "eos_token", "pad_token", "cls_token"], 2), rng.sample(TOKENS, 2))}
        if rng.random() < .4:
            files["special_tokens_map.json"]["additional_special_tokens"] = rng.sample(TOKENS, 2)
    if rng.random() < .2:
        files["added_tokens.json"] = {t: n + i for i, t in enumerate(rng.sample(TOKENS, 3))}
    files["config.json"] = {"model_type": rng.choice(["llama"] * 3 + (["mistral"] if other else ["mistral", "qwen2", "qwen3", "gemma",
                                                                                                       "phi3", "gpt2"]))}
    return files


def ask(folder, arguments, value):
    r = subprocess.run([COLROW, "tokenize", folder, "--json"] + arguments, input=json.dumps(value).encode(),
                       capture_output=True, timeout=60)
    if r.returncode < 0 or r.returncode >= 128:
        raise SystemExit(f"colrow died: {r.returncode} {r.stderr.decode()} in {folder}")
    said = r.stderr.decode().replace(folder + "/", "")
    return (json.loads(r.stdout), None) if r.returncode == 0 else (None, said)


def reference(call):
    try:
        return call(), None
    except BaseException as e:  # a Rust panic is no Exception
        if isinstance(e, (KeyboardInterrupt, SystemExit)):
            raise
        return None, f"{type(e).__name__}: {str(e)[:100]}"


def compare_folder(rng, folder, auto):
    tokenizer = tokenizer_json(rng)
    files = config_files(rng, tokenizer)
    for name, value in {"tokenizer.json": tokenizer, **files}.items():
        with open(os.path.join(folder, name), "w") as f:
            json.dump(value, f, ensure_ascii=rng.random() < .5)
    texts = ["".join(rng.choice(WORDS) if rng.random() < .7 else rng.choice(TOKENS) for _ in range(rng.randrange(1, 9)))
             for _ in range(12)] + ["", " ", " hello", "<s> hello"]
    tok, wrong = reference(lambda: auto.from_pretrained(folder))
    if tok is None:
        return "reference refuses", wrong
    if not tokenizer_parts.is_certain(json.loads(tok.backend_tokenizer.to_str()), tok.backend_tokenizer.to_str(), texts):
        return "reference by chance", None
    for special in (True, False):
        want, wrong = reference(lambda: [tok(t, add_special_tokens=special)["input_ids"] for t in texts])
        got, said = ask(folder, ["--add-special-tokens"] if special else [], texts)
        if want is None:
            return "reference refuses", wrong
        if got is None:
            return "refused", said
        for t, a, b in zip(texts, want, got):
            if a != b:
                return "different", f"{t!r} special={special}: {a} there, {b} here"
    n = len(tok)
    lists = [[rng.randrange(n) for _ in range(rng.randrange(1, 12))] for _ in range(10)] + want
    for keep in (True, False):
        want_text, wrong = reference(lambda: [tok.decode(i, skip_special_tokens=not keep) for i in lists])
        if want_text is None:
            return "reference refuses", wrong
        got, said = ask(folder, ["--decode"] + (["--keep-special-tokens"] if keep else []), lists)
        if got is None:
            return "refused", said
        for i, a, b in zip(lists, want_text, got):
            if a != b:
                return "different", f"decode {i} keep={keep}: {a!r} there, {b!r} here"
    return "equal", None


def compare_pattern(rng, folder):
    import tokenizers
    pattern = random_pattern(rng, False)
    texts = [random_pattern_text(rng, pattern) for _ in range(8)]
    cut, wrong = reference(lambda: tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated"))
    if cut is None:
        return "reference refuses", f"{pattern!r}: {wrong}"
    # Every byte is a token, and a blank stands before each piece: so the cuts show in the ids.
    vocab = {LETTERS[b]: b for b in range(256)}
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
             "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "vocab": vocab, "merges": []}
    d = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
         "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
             {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
             {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": False}]},
         "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                                             "use_regex": True}, "model": model}
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(d, f)
    tok, wrong = reference(lambda: tokenizers.Tokenizer.from_str(json.dumps(d)))
    want, wrong = reference(lambda: [tok.encode(t).ids for t in texts]) if tok else (None, wrong)
    if want is None:
        return "reference refuses", f"{pattern!r}: {wrong}"
    got, said = ask(folder, [], texts)
    if got is None:
        return "refused", f"{pattern!r}: {said}"
    for t, a, b in zip(texts, want, got):
        if a != b:
            return "different", f"{pattern!r} on {t!r}: {bytes(a).decode()!r} there, {bytes(b).decode()!r} here"
    return "equal", None


def run_parts(n, seed, keep):
    """Batches are made in a process each: `tokenizers` aborts on some texts, for lack of memory."""
    checker = os.path.join(os.path.dirname(COLROW), "tests", "test_tokenizer_parts")
    counts, folder = collections.Counter(), keep or tempfile.mkdtemp()
    for first in range(0, n, 50):
        path = os.path.join(folder, f"parts-{seed}-{first}.json")
        made = subprocess.run([sys.executable, tokenizer_parts.__file__, str(seed), str(first), str(min(50, n - first)), path],
                              capture_output=True, timeout=600, preexec_fn=limit_memory)
        if made.returncode != 0:
            counts["reference died"] += 1
            continue
        r = subprocess.run([checker, path], capture_output=True, timeout=600)
        out = r.stdout.decode(errors="replace")
        found = re.search(r"(\d+) tokenizers: (\d+) equal, (\d+) refused, (\d+) different", out)
        if not found:
            raise SystemExit(f"the checker died: {r.returncode} {out[-500:]} {r.stderr.decode()[-500:]} on {path}")
        for kind, times in zip(("tokenizers", "equal", "refused", "different"), found.groups()):
            counts[kind] += int(times)
        if r.returncode:
            print(out)
        elif not keep:
            os.remove(path)
    print(f"parts: {n}: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items())))
    return counts["different"] + counts["refused"]


def limit_memory():
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))


def run(name, n, seed, keep, compare):
    counts, reasons = collections.Counter(), collections.Counter()
    for i in range(n):
        folder = tempfile.mkdtemp()
        kind, said = compare(random.Random(f"{name} {seed} {i}"), folder)
        counts[kind] += 1
        if kind == "refused":
            reasons[said.split("error: ")[-1].strip()[:150]] += 1
        if kind == "different":
            print(f"{name} {i}: {said}")
        if kind == "different" and keep:
            shutil.copytree(folder, os.path.join(keep, f"{name}-{i}"), dirs_exist_ok=True)
        shutil.rmtree(folder)
    print(f"{name}: {n}: " + ", ".join(f"{k} {v}" for k, v in sorted(counts.items())))
    for reason, times in reasons.most_common(40):
        print(f"  refused {times}: {reason}")
    return counts["different"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folders", type=int, default=200)
    parser.add_argument("--patterns", type=int, default=300)
    parser.add_argument("--parts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", help="a folder for the inputs that differ")
    a = parser.parse_args()
    from transformers import AutoTokenizer
    different = run("folder", a.folders, a.seed, a.keep, lambda rng, folder: compare_folder(rng, folder, AutoTokenizer))
    different += run_parts(a.parts, a.seed, a.keep)
    different += run("pattern", a.patterns, a.seed, a.keep, compare_pattern)
    sys.exit(different != 0)


if __name__ == "__main__":
    main()
