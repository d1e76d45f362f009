"""Random tokenizer.json files of every model, normalizer, pre-tokenizer, decoder and post-processor of `tokenizers`
0.23, and what `tokenizers` makes of texts with them. For differential_tokenizers.py and make_tokenizer_parts.py.

    tokenizer_parts.py SEED FIRST N OUT_FILE      (what test_tokenizer_parts reads)
"""
import base64
import json
import random
import sys

import tokenizers
from tokenizers.decoders import DecodeStream

WORDS = ["hello", "world", "the", "The", "unaffable", "don't", " do not", "I'm", "we've", "they're", "it's", "can 't", " n't",
         " , ", " .", "!?", "a", "b", "ab", "abc", "42", "1234", "½", "Ⅷ", "١٢", "\n", "\t", "\r\n", "  ", " ", "\u3000", "\u00a0",
         "é", "e\u0301", "É", "E\u0301", "ﬁ", "Ａ", "①", "İ", "ß", "ẞ", "Σας", "日本", "世界。", "こんにちは", "カタカナ", "ー",
         "한국", "ᄀ\u1161", "ᄒ\u0301", "Привет", "שלום", "שָׁ", "नमस्ते", "க்ஷி", "ไทย", "กำ", "😀", "👩\u200d👩\u200d👧", "🇩🇪🇫🇷",
         "©\u200d®", "❤\ufe0f", "1\ufe0f\u20e3", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u2028", "\ufffd", "\u0007", "\u007f",
         "\u0085", "\u0600x", "\ue000", "\U000e0001", "\U0001f1e6", "\u0378", "𐐀", "𝒜", "▁", "▁a", "_", "##b", "<unk>", "<s>",
         "[UNK]", "<0x41>", "</w>", "x</w>", "A--B", "foo.bar", "x_y", "ÀÉÎ", "x\u0328\u0301", "\u0344", "\u212b", "ｶﾞ", "\u3099",
         "\u0301", "~", "@b", "|", "<pad>", "hello|", "[A]", "day", "Day", "[B]", "<n>"]
ADDED = ["<s>", "</s>", "<unk>", "<pad>", "[UNK]", "[A]", "[B]", "day", "<n>", "É", "hello", " the ", "a", "世", "|", "##b",
         "e\u0301", "Hello", "ab", "[A][B]"]


def random_text(rng):
    parts = []
    for _ in range(rng.randrange(0, 9)):
        r = rng.random()
        if r < .85:
            parts.append(rng.choice(WORDS))
        elif r < .95:
            parts.append(" ")
        else:
            code = rng.choice([rng.randrange(0x250), rng.randrange(0x3000), rng.randrange(0x20000), rng.randrange(0x110000)])
            parts.append(chr(code if not 0xD800 <= code < 0xE000 else 0x41))
    return "".join(parts)


# ---- a compiled character map, as SentencePiece writes it: a double array (Darts) and the texts it leads to ----

def double_array(keys):
    """keys: sorted list of (bytes, value)."""
    units, used = {0: 0}, {0}

    def place(position, group, depth):
        labels = sorted({k[depth] if depth < len(k) else 0 for k, _ in group})
        # children are at base ^ label, where base = position ^ offset
        base = 1
        while True:
            offset = position ^ base
            if offset < 1 << 21 and base not in used and not any((base ^ c) in used for c in labels):
                break
            base += 1
        used.add(base)
        for c in labels:
            used.add(base ^ c)
        leaf = any(len(k) == depth for k, _ in group)
        units[position] = (units.get(position, 0) & 0x800000FF) | offset << 10 | (leaf and 1 << 8)
        for c in labels:
            below = [(k, v) for k, v in group if (k[depth] if depth < len(k) else 0) == c]
            if c == 0:
                units[base] = below[0][1] | 1 << 31
            else:
                units[base ^ c] = c
                place(base ^ c, below, depth + 1)
    place(0, keys, 0)
    return [units.get(i, 0) for i in range(max(max(units), max(used)) + 256)]


def charsmap(table):
    texts, keys = b"", []
    for old, new in sorted(table.items(), key=lambda item: item[0].encode()):
        keys.append((old.encode(), len(texts)))
        texts += new.encode() + b"\0"
    trie = b"".join(u.to_bytes(4, "little") for u in double_array(keys))
    return base64.b64encode(len(trie).to_bytes(4, "little") + trie + texts).decode()


def precompiled(rng):
    table = {"ﬁ": "fi", "Ａ": "A", "①": "1", "\u3000": " ", "\u00a0": " ", "e\u0301": "é", "É": "é", "E": "e", "\r\n": "\n", "\t": " ",
             "\u200d": "", "\u200b": "", "ß": "ss", "½": "1/2", "1": "one", "©": "(c)", "x": "", "\u0301": "'", "ᄀ": "g", "\u0600": "@",
             "ｶﾞ": "ガ", "ｶ": "カ", "日": "day", "A": "", "\r": "CR", "😀": ":)"}
    return {"type": "Precompiled", "precompiled_charsmap": charsmap(dict(rng.sample(sorted(table.items()), rng.randrange(1, 12))))}


# ---- parts ----

def normalizer(rng, depth=0):
    def pattern():
        return rng.choice([{"String": rng.choice([" ", "a", "  ", "é", "ll"])}, {"Regex": rng.choice([" +", "[aeiou]", r"\s", "l+", r"\d"])}])
    kinds = [lambda: {"type": rng.choice(["NFC", "NFD", "NFKC", "NFKD"])},
             lambda: {"type": "Lowercase"}, lambda: {"type": "StripAccents"}, lambda: {"type": "Nmt"},
             lambda: {"type": "Strip", "strip_left": rng.random() < .5, "strip_right": rng.random() < .5},
             lambda: {"type": "Prepend", "prepend": rng.choice(["▁", "x ", " "])},
             lambda: {"type": "Replace", "pattern": pattern(), "content": rng.choice(["", " ", "▁", "oo"])},
             lambda: {"type": "BertNormalizer", "clean_text": rng.random() < .5, "handle_chinese_chars": rng.random() < .5,
                      "strip_accents": rng.choice([None, True, False]), "lowercase": rng.random() < .5},
             lambda: precompiled(rng), lambda: {"type": "ByteLevel"}]
    if depth == 0 and rng.random() < .4:
        return {"type": "Sequence", "normalizers": [normalizer(rng, 1) for _ in range(rng.randrange(0, 4))]}
    return rng.choice(kinds)()


def metaspace(rng):
    return {"type": "Metaspace", "replacement": "▁" if rng.random() < .9 else "_",
            "prepend_scheme": rng.choice(["always", "first", "never"]), "split": rng.random() < .7}


def pre_tokenizer(rng, depth=0):
    behaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    kinds = [lambda: {"type": rng.choice(["Whitespace", "WhitespaceSplit", "BertPreTokenizer", "UnicodeScripts"])},
             lambda: metaspace(rng),
             lambda: {"type": "ByteLevel", "add_prefix_space": rng.random() < .5, "trim_offsets": True, "use_regex": rng.random() < .5},
             lambda: {"type": "Split", "pattern": rng.choice([{"String": rng.choice([" ", "a", "--", ""])}, {"Regex": rng.choice([
                 r"\s+", r"\w+|[^\w\s]+", "[a-l]", "(?=e)"])}]), "behavior": rng.choice(behaviors), "invert": rng.random() < .3},
             lambda: {"type": "Punctuation", "behavior": rng.choice(behaviors)},
             lambda: {"type": "Digits", "individual_digits": rng.random() < .5},
             lambda: {"type": "CharDelimiterSplit", "delimiter": rng.choice([" ", "l", "本"])},
             lambda: {"type": "FixedLength", "length": rng.choice([1, 2, 5])}]
    if depth == 0 and rng.random() < .4:
        return {"type": "Sequence", "pretokenizers": [pre_tokenizer(rng, 1) for _ in range(rng.randrange(0, 4))]}
    return rng.choice(kinds)()


def decoder(rng, depth=0):
    kinds = [lambda: {"type": rng.choice(["ByteFallback", "Fuse"])}, lambda: metaspace(rng),
             lambda: {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
             lambda: {"type": "WordPiece", "prefix": rng.choice(["##", "##", "", "@"]), "cleanup": rng.random() < .6},
             lambda: {"type": "BPEDecoder", "suffix": rng.choice(["</w>", "</w>", "a", "_"])},
             lambda: {"type": "CTC", "pad_token": rng.choice(["<pad>", "a"]), "word_delimiter_token": rng.choice(["|", "b"]),
                      "cleanup": rng.random() < .5},
             lambda: {"type": "Replace", "pattern": rng.choice([{"String": "▁"}, {"Regex": "[a-e]"}, {"Regex": " +"}, {"String": ""}]),
                      "content": rng.choice([" ", "", "é"])},
             lambda: {"type": "Strip", "content": rng.choice([" ", "a", "▁"]), "start": rng.randrange(0, 3), "stop": 0}]
    if depth == 0 and rng.random() < .4:
        return {"type": "Sequence", "decoders": [decoder(rng, 1) for _ in range(rng.randrange(0, 4))]}
    return rng.choice(kinds)()


def post_processor(rng, vocab, depth=0):
    def piece(name):
        return {"SpecialToken": {"id": name, "type_id": 0}}

    def sequence(name):
        return {"Sequence": {"id": name, "type_id": 0}}
    names = [t for t in ("<s>", "</s>", "<unk>") if t in vocab]
    level = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    if not names:
        return rng.choice([None, level])
    some = [piece(rng.choice(names)) for _ in range(rng.randrange(0, 3))]
    kinds = [lambda: level,
             lambda: {"type": rng.choice(["BertProcessing", "RobertaProcessing"]), "sep": [names[0], vocab[names[0]]],
                      "cls": [names[-1], vocab[names[-1]]], "trim_offsets": True, "add_prefix_space": True},
             lambda: {"type": "TemplateProcessing", "single": some[:1] + [sequence("A")] + some[1:],
                      "pair": some[:1] + [sequence("A"), sequence("B")] + some[1:],
                      "special_tokens": {n: {"id": n, "ids": [vocab[n]] * rng.choice([1, 1, 2]), "tokens": [n, n]} for n in names}}]
    if depth == 0 and rng.random() < .25:
        return {"type": "Sequence", "processors": [post_processor(rng, vocab, 1) for _ in range(rng.randrange(0, 3))]}
    made = rng.choice(kinds)()
    for entry in made.get("special_tokens", {}).values():
        entry["tokens"] = entry["tokens"][:1] * len(entry["ids"])
    return made


# ---- models ----

def normal_texts(config, texts):
    """What reaches the model: so that its vocabulary has something of it."""
    bare = {**config, "added_tokens": [], "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "unk_token": "?", "vocab": {"?": 0}}}
    t = tokenizers.Tokenizer.from_str(json.dumps(bare))
    words = []
    for text in texts:
        try:
            if t.normalizer:
                text = t.normalizer.normalize_str(text)
            words += [w for w, _ in t.pre_tokenizer.pre_tokenize_str(text)] if t.pre_tokenizer else [text]
        except BaseException as e:  # a Rust panic is no Exception
            if isinstance(e, (KeyboardInterrupt, SystemExit)):
                raise
    return [w for w in words if w]


def pieces_of(rng, words, n):
    out = set()
    for _ in range(n):
        w = rng.choice(words)
        i = rng.randrange(len(w))
        out.add(w[i:i + rng.choice([1, 1, 2, 2, 3, 5, 9])] if rng.random() < .8 else w)
    return sorted(out)


def byte_pieces(rng):
    return [f"<0x{b:02X}>" for b in range(256) if rng.random() < rng.choice([1, 1, .98])]


def unigram(rng, words):
    pieces = ["<unk>", "<s>", "</s>"][:rng.choice([3, 3, 1])] + (byte_pieces(rng) if rng.random() < .5 else [])
    letters = sorted({c for w in words for c in w})
    pieces += [p for p in pieces_of(rng, words, rng.randrange(20, 120)) + rng.sample(letters, int(len(letters) * rng.choice([.5, .9, 1])))
               if p not in pieces]
    if rng.random() < .1:
        pieces += rng.sample(pieces, 2)  # a piece that is there twice
    if rng.random() < .3:
        body = pieces[3:]
        rng.shuffle(body)
        pieces[3:] = body
    round_to = rng.choice([0, 1, 12])
    vocab = [[p, round(-rng.random() * 12 * (1 if len(p) < 2 else .7), round_to)] for p in pieces]
    return {"type": "Unigram", "unk_id": 0 if rng.random() < .9 else rng.choice([None, rng.randrange(len(pieces))]),
            "vocab": vocab, "byte_fallback": rng.random() < .5}


def word_piece(rng, words):
    prefix = rng.choice(["##", "##", "", "@"])
    vocab = {}
    for t in ["<unk>", "<s>", "</s>"] + pieces_of(rng, words, 60) + [prefix + p for p in pieces_of(rng, words, 80)]:
        vocab.setdefault(t, len(vocab))
    for c in sorted({c for w in words for c in w}):
        if rng.random() < .8:
            vocab.setdefault(c, len(vocab))
        if rng.random() < .8:
            vocab.setdefault(prefix + c, len(vocab))
    return {"type": "WordPiece", "unk_token": "<unk>" if rng.random() < .95 else "[none]", "continuing_subword_prefix": prefix,
            "max_input_chars_per_word": rng.choice([100, 100, 4]), "vocab": vocab}


def word_level(rng, words):
    vocab = {}
    for t in ["<unk>", "<s>", "</s>"] + rng.sample(words, min(len(words), 60)):
        vocab.setdefault(t, len(vocab) + (len(vocab) > 40) * 3)
    return {"type": "WordLevel", "unk_token": "<unk>" if rng.random() < .95 else "[none]", "vocab": vocab}


def bpe(rng, words):
    prefix, suffix = rng.choice([(None, None)] * 4 + [("", ""), ("##", None), (None, "</w>"), ("@", "</w>")])
    vocab = {}
    for t in ["<unk>", "<s>", "</s>"] + (byte_pieces(rng) if rng.random() < .5 else []):
        vocab[t] = len(vocab)
    samples = []
    for w in words:
        s = [(prefix or "" if i else "") + c for i, c in enumerate(w)]
        s[-1] += suffix or ""
        samples.append(s)
    for s in sorted({s for w in samples for s in w}):
        if rng.random() < .9:
            vocab.setdefault(s, len(vocab))
    merges, n = [], len(prefix or "")
    for _ in range(80):
        s = rng.choice(samples)
        if len(s) < 2:
            continue
        i = rng.randrange(len(s) - 1)
        a, b = s[i], s[i + 1]
        if a in vocab and b in vocab and [a, b] not in merges:
            vocab.setdefault(a + b[n:], len(vocab))
            merges.append([a, b])
            s[i:i + 2] = [a + b[n:]]
    if rng.random() < .3 and not any(" " in t for m in merges for t in m):
        merges = [" ".join(m) for m in merges if m != ["#version", ""]]
    return {"type": "BPE", "dropout": rng.choice([None, None, 0.0]), "unk_token": rng.choice(["<unk>", "<unk>", None, "[none]"]),
            "continuing_subword_prefix": prefix, "end_of_word_suffix": suffix, "fuse_unk": rng.random() < .5,
            "byte_fallback": rng.random() < .5, "ignore_merges": rng.random() < .3, "vocab": vocab, "merges": merges}


def added_tokens(rng, vocab):
    out, n = [], len(vocab)
    for t in rng.sample(ADDED, rng.randrange(0, 7)):
        out.append({"id": vocab.get(t, n), "content": t, "single_word": rng.random() < .2, "lstrip": rng.random() < .25,
                    "rstrip": rng.random() < .25, "normalized": rng.random() < .5, "special": rng.random() < .5})
        n += t not in vocab
    return out


def random_config(rng, texts):
    config = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
              "normalizer": normalizer(rng) if rng.random() < .75 else None,
              "pre_tokenizer": pre_tokenizer(rng) if rng.random() < .75 else None, "post_processor": None,
              "decoder": decoder(rng) if rng.random() < .85 else None}
    words = normal_texts(config, texts) or ["a"]
    model = rng.choice([unigram, unigram, word_piece, word_level, bpe, bpe])(rng, words)
    vocab = model["vocab"] if isinstance(model["vocab"], dict) else {p: i for i, (p, _) in enumerate(model["vocab"])}
    if rng.random() < .1 and model["type"] != "Unigram":
        del model["type"]
    config.update(model=model, added_tokens=added_tokens(rng, vocab))
    every = {**vocab, **{a["content"]: a["id"] for a in config["added_tokens"]}}
    config["post_processor"] = post_processor(rng, every)
    return config


# ---- what `tokenizers` makes of it ----

def attempt(call):
    try:
        return call()
    except BaseException as e:  # a Rust panic is no Exception
        if isinstance(e, (KeyboardInterrupt, SystemExit)):
            raise
        return None


def looks_back(decoder):
    """Bytes are joined behind a Fuse: what a character becomes then depends on all others."""
    steps = [s["type"] for s in (decoder or {}).get("decoders", [])]
    return any("Fuse" in steps[:i] for i, kind in enumerate(steps) if kind.startswith("Byte"))


def streamed(t, ids, whole):
    """The pieces, where they add up to the whole; DecodeStream gives up on some texts."""
    strict = looks_back(json.loads(t.to_str())["decoder"])
    stream, out = DecodeStream(skip_special_tokens=True), []
    for i in ids:
        piece = attempt(lambda i=i: stream.step(t, i) or "")
        if piece is None:
            return None
        out.append(piece)
    joined = "".join(out)
    return out if joined == whole or (whole.startswith(joined) and not strict) else None


def case_of(t, text):
    """Keys are missing where `tokenizers` fails."""
    out = {"text": text, "ids": attempt(lambda: t.encode(text, add_special_tokens=False).ids),
           "ids_special": attempt(lambda: t.encode(text, add_special_tokens=True).ids)}
    if out["ids"] is not None:
        out["decoded"] = attempt(lambda: t.decode(out["ids"], skip_special_tokens=True))
    if out["ids_special"] is not None:
        out["decoded_all"] = attempt(lambda: t.decode(out["ids_special"], skip_special_tokens=False))
    if out.get("decoded") is not None:
        out["pieces"] = streamed(t, out["ids"], out["decoded"])
    return {k: v for k, v in out.items() if v is not None}


def random_ids(rng, t):
    size = max(t.get_vocab().values()) + 3
    ids = [rng.randrange(size) for _ in range(rng.randrange(1, 9))]
    out = {"ids": ids, "ids_special": ids, "decoded": attempt(lambda: t.decode(ids, skip_special_tokens=True)),
           "decoded_all": attempt(lambda: t.decode(ids, skip_special_tokens=False))}
    if out["decoded"] is not None:
        out["pieces"] = streamed(t, ids, out["decoded"])
    return {k: v for k, v in out.items() if v is not None}


def is_certain(config, text, texts):
    """Of added tokens whose normalised texts are the same `tokenizers` finds any, and an empty one everywhere."""
    again = [tokenizers.Tokenizer.from_str(text) for _ in range(6)]
    normalizer = again[0].normalizer
    for token in config["added_tokens"]:
        if normalizer and token["normalized"] and not attempt(lambda t=token: normalizer.normalize_str(t["content"])):
            return False
    return all(attempt(lambda t=t, s=s: t.encode(s).ids) == attempt(lambda s=s: again[0].encode(s).ids)
               for t in again[1:] for s in texts)


def random_entry(name, rng, n_texts=14):
    """None where `tokenizers` does not read the file."""
    texts = [random_text(rng) for _ in range(n_texts)]
    config = random_config(rng, texts)
    text = json.dumps(config, ensure_ascii=rng.random() < .5)
    t = attempt(lambda: tokenizers.Tokenizer.from_str(text))
    if t is None or attempt(lambda: t.encode("")) is None or not is_certain(config, text, texts):
        return None
    return {"name": name, "config": text, "cases": [case_of(t, s) for s in texts], "random": [random_ids(rng, t) for _ in range(6)]}


def entry_of(name, config, texts):
    t = tokenizers.Tokenizer.from_str(json.dumps(config))
    return {"name": name, "config": json.dumps(config, ensure_ascii=True), "cases": [case_of(t, s) for s in texts], "random": []}


def random_entries(seed, first, n):
    made = (random_entry(f"{seed}-{i}", random.Random(f"parts {seed} {i}")) for i in range(first, first + n))
    return [entry for entry in made if entry]


if __name__ == "__main__":
    with open(sys.argv[4], "w", encoding="utf-8") as file:
        json.dump({"tokenizers": random_entries(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))}, file)
