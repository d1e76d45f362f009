#!/usr/bin/env python3
"""Makes the small tokenizers of the tests, and what HuggingFace's `tokenizers` does with them.

usage: make_test_tokenizers.py [OUT_DIR]      (default: tests/data/tokenizers; needs `pip install tokenizers jinja2`)

bytelevel/      byte-level BPE in the style of Llama 3: tokenizer.json, vectors.json
sentencepiece/  BPE with byte fallback in the style of Llama 2: tokenizer.json, vectors.json
stories260K.json  the same vectors for ../shared/data/models/stories260K-hf, where that folder is
templates.json  what Jinja2, set up as Transformers does it, renders for small chat templates
features.json   one small vocabulary under many normalizers, pre-tokenizers, decoders and added tokens: "base" is a
                tokenizer.json, each of "features" changes parts of it and has "ids" and "decoded" for each of "texts"

vectors.json has the format of ../shared/goldens/text/tokenizers: {"tokenizers": version, "cases": [{"text", "ids" (without
special tokens), "ids_special" (with), "decoded" (of ids, special tokens skipped), "decoded_all" (of ids_special, kept),
"pieces" (what a DecodeStream gives for each of ids)}], "random": [{"ids", "ids_special" (the same), "decoded", "decoded_all"}]}.
"""
import json
import os
import random
import sys

import tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.decoders import DecodeStream

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
          r"|\s+(?!\S)|\s+")

# ---- the text to train on ----

WHO = ["A rank", "Each rank", "The group", "One process", "The front-end", "A device", "The scheduler", "The server",
       "Every layer", "The all-reduce", "A client", "The sampler"]
DOES = ["keeps", "sends", "computes", "reads", "splits", "adds", "waits for", "shares", "measures", "prints", "needs",
        "replaces"]
WHAT = ["its share of the weights", "a page of the cache", "the next token", "two all-reduces a layer", "the same bits",
        "the rows of the matrix", "the columns of the matrix", "a list of requests", "the sum of eight leaves",
        "its own bytes of the file", "nothing at all", "the whole answer"]
WHEN = ["in each step", "before the prefill", "while others compute", "on every node", "as soon as it can",
        "once a second", "when a rank dies"]
LINES = [
    "It's simple: we've split it, they're done, I'm sure, he'll see, you'd agree, don't you?",
    "int main(void) { return 0; }", "for (size_t i = 0; i < n; i++)\n\tsum += x[i] * y[i];", "if x == 1:\n    print('one')",
    "def forward(self, x):\n    return self.down(self.act(self.gate(x)) * self.up(x))", "0 1 2 3 10 42 100 128 256 1024 4096",
    "In 2024 there were 1,234,567 of them, 3.14 on average.", "Größe, Maß, Käse, Straße: ä ö ü ß.", "Ça va? Déjà vu, naïve café.",
    "Привет, как дела?", "日本語のテキスト", "你好，世界。", "Ελλάδα και Κύπρος", "👍 🎉 😀", "https://example.com/a/b?c=d&e=f", "a_b-c.d/e:f;g|h",
    "THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG", "the quick brown fox jumps over the lazy dog", "  indented by two\n    and by four",
]


def corpus():
    lines = list(LINES) * 4
    for i in range(420):
        lines.append(f"{WHO[i % 12]} {DOES[i // 3 % 12]} {WHAT[i // 7 % 12]} {WHEN[i % 7]}.")
    return lines


# ---- the texts to encode ----

TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", "\t", " \n ", "a", " a", "a ", "  a  ", "A rank", "Each rank keeps its share of the weights.",
    "the same bits, the same answer", "It's they're we've I'm he'll you'd DON'T", "0", "7", "42", "123", "1234", "1234567890", "3.14159",
    "x1y22z333", "١٢٣ ½ ⅓ Ⅷ", "!", "...", "!?;:()[]{}<>", "a_b-c.d/e:f", "snake_case camelCase", "int main(void)\n{\n\treturn 0;\n}\n",
    "    four\n        eight\n", "line one\r\nline two\r\n\r\nline four", "trailing   ", "   leading", "many     blanks   inside",
    "tab\tseparated\tvalues", "Größe Maß Straße", "ÄÖÜ äöü ß ẞ", "e\u0301 é n\u0303 ñ", "Ça va? Déjà vu", "Привет, мир", "日本語のテキスト", "你好，世界",
    "한국어 텍스트", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया", "ไทย", "👍", "👍🏽", "👨\u200d👩\u200d👧", "🇸🇪 flag", "mixed 日本 and English 中文",
    "\u00a0nbsp\u00a0", "\u2028line\u2029para", "\u3000wide\u3000", "zero\u200bwidth", "\ufeffbom", "\u180emvs", "▁", "▁▁ under ▁ bar", "Ġ Ċ Ā",
    "<0x41>", "<0xE4><0xBD>", "<s>", "</s> text <s>", "<unk>", "<|begin_of_text|>", "x<|eot|>y", " <|eot|> ", "<|eot|><|eot|>\n", "<|eo", "|>",
    "\u0000", "\u0001\u001f\u007f", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢", "ﬁ ligature Ａ", "\U0010fffd", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "thethethethethethethethethethethethethethethethethethethe", "The rank the rank the rank the rank the rank the rank the rank.",
    "https://example.com/a/b?c=d&e=f#g", "{\"key\": [1, 2.5, null, true]}", "end\n",
]


def special(content, token_id, **flags):
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}
    return {"id": token_id, "content": content, **flags}


def template(bos, bos_id, eos=None, eos_id=None):
    token = lambda t: {"SpecialToken": {"id": t, "type_id": 0}}
    tokens = {bos: {"id": bos, "ids": [bos_id], "tokens": [bos]}}
    single = [token(bos), {"Sequence": {"id": "A", "type_id": 0}}]
    if eos:
        single.append(token(eos))
        tokens[eos] = {"id": eos, "ids": [eos_id], "tokens": [eos]}
    pair = single + [{"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": tokens}


def train(pre_tokenizer, alphabet, size):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizer
    t.train_from_iterator(corpus(), trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False,
                                                        special_tokens=[]))
    model = json.loads(t.to_str())["model"]
    return model["vocab"], model["merges"]


def whole(model, added, normalizer=None, pre_tokenizer=None, post_processor=None, decoder=None):
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": post_processor, "decoder": decoder, "model": model}


def bpe(vocab, merges, **options):
    return {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
            "fuse_unk": False, "byte_fallback": False, "ignore_merges": False, **options, "vocab": vocab, "merges": merges}


def byte_level():
    split = pre_tokenizers.Split(tokenizers.Regex(LLAMA3), "isolated")
    pre = pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    vocab, merges = train(pre, sorted(pre_tokenizers.ByteLevel.alphabet()), 700)
    n = len(vocab)
    added = [special("<|begin_of_text|>", n), special("<|end_of_text|>", n + 1), special("<|eot|>", n + 2),
             special("<think>", n + 3, special=False)]
    part = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    pre_json = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": LLAMA3}, "behavior": "Isolated", "invert": False}, part]}
    post = {"type": "Sequence", "processors": [{**part, "use_regex": True}, template("<|begin_of_text|>", n)]}
    return whole(bpe(vocab, merges, ignore_merges=True), added, None, pre_json, post, {**part, "use_regex": True})


def sentence_piece():
    _, merges = train(pre_tokenizers.Metaspace(), [], 420)
    vocab = {}
    for token in ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]:
        vocab[token] = len(vocab)
    letters = sorted({c for pair in merges for token in pair for c in token if ord(c) < 0x250 or c == "▁"} | set("▁0123456789"))
    for c in letters:
        vocab[c] = len(vocab)
    kept = []
    for a, b in merges:
        if a in vocab and b in vocab:
            vocab.setdefault(a + b, len(vocab))
            kept.append([a, b])
    kept += [["▁", "▁"], ["▁▁", "▁▁"]]
    vocab["▁▁"], vocab["▁▁▁▁"] = len(vocab), len(vocab) + 1
    added = [special("<unk>", 0), special("<s>", 1), special("</s>", 2)]
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"},
                                                      {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}]}
    decoder = {"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0}]}
    model = bpe(vocab, kept, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    return whole(model, added, normalizer, None, template("<s>", 1), decoder)


def pieces(t, ids):
    stream, out = DecodeStream(skip_special_tokens=True), []
    for i in ids:
        try:
            out.append(stream.step(t, i) or "")
        except Exception:  # DecodeStream gives up on some byte runs
            return None
    return out


def case(t, text):
    ids, ids_special = t.encode(text, add_special_tokens=False).ids, t.encode(text, add_special_tokens=True).ids
    return {"text": text, "ids": ids, "ids_special": ids_special, "decoded": t.decode(ids, skip_special_tokens=True),
            "decoded_all": t.decode(ids_special, skip_special_tokens=False), "pieces": pieces(t, ids)}


def dump(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        f.write(text.replace('{"name":', '\n{"name":') + "\n")
    print(f"{os.path.getsize(path):8d}  {path}")


def random_ids(t):
    """Lists of ids as no text makes them: unknown ids, special tokens, broken runs of bytes."""
    numbers, out = random.Random(7), []
    for i in range(30):
        ids = [numbers.randrange(270 if i % 2 else t.get_vocab_size() + 3) for _ in range(i % 12 + 1)]
        out.append({"ids": ids, "ids_special": ids, "decoded": t.decode(ids, skip_special_tokens=True),
                    "decoded_all": t.decode(ids, skip_special_tokens=False)})
    return out


def lines(items):
    return ",\n".join(json.dumps(i, ensure_ascii=True, separators=(",", ":")) for i in items)


def dump_vectors(path, t):
    with open(path, "w", encoding="utf-8") as f:
        f.write('{"tokenizers":"%s","cases":[\n%s\n],"random":[\n%s\n]}\n' %
                (tokenizers.__version__, lines(case(t, s) for s in TEXTS), lines(random_ids(t))))
    print(f"{os.path.getsize(path):8d}  {path}")


# ---- features ----

FEATURE_TEXTS = [
    "", " ", "  ", "a", " the rank ", "the  rank\tkeeps\n\nits share", "It's 42 or 1234,5!", "Größe ﬁ é e\u0301 Ａ ½", "İSTANBUL ẞ", "日本 x 中",
    "[A][B] [A] x[A]y", "xx[B]  [C]  yy", "day Day DAY days day_ day. 'day'", "  [L]  [R]  [L][R]  ", "▁a▁▁b", "a-b--c - d", "--", "<0x41>é<0xFF>",
    "[N]q [n]", "\u00a0\u3000a\u2028", "ab12cd345 6", "...a..b.", "é日é",
]


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def level(**options):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True, **options}


def meta(scheme, cut=True):
    return {"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": cut}


def sequence(key, *steps):
    return {"type": "Sequence", key: list(steps)}


def features():
    behaviors = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    out = {}
    for b in behaviors:
        for invert in (False, True):
            out[f"split string {b} {invert}"] = {"pre_tokenizer": split({"String": "-"}, b, invert)}
            out[f"split regex {b} {invert}"] = {"pre_tokenizer": split({"Regex": r"\s+|\d"}, b, invert)}
        out[f"punctuation {b}"] = {"pre_tokenizer": {"type": "Punctuation", "behavior": b}}
    out["empty matches"] = {"pre_tokenizer": split({"Regex": r"(?=the)|\b|x*"}, "Isolated")}
    out["lines"] = {"pre_tokenizer": split({"Regex": r"^.|.$|\s"}, "Isolated")}
    out["words"] = {"pre_tokenizer": split({"Regex": r"\w+|[^\w\s]|\h\h"}, "Isolated")}
    for individual in (False, True):
        out[f"digits {individual}"] = {"pre_tokenizer": {"type": "Digits", "individual_digits": individual}}
    out["whitespace"] = {"pre_tokenizer": {"type": "WhitespaceSplit"}}
    out["words and marks"] = {"pre_tokenizer": {"type": "Whitespace"}}
    out["bert"] = {"pre_tokenizer": {"type": "BertPreTokenizer"}}
    for delimiter in " e日":
        out[f"delimiter {delimiter}"] = {"pre_tokenizer": {"type": "CharDelimiterSplit", "delimiter": delimiter}}
    for n in (1, 3):
        out[f"length {n}"] = {"pre_tokenizer": {"type": "FixedLength", "length": n}}
    out["words, byte level"] = {"pre_tokenizer": sequence("pretokenizers", {"type": "Whitespace"}, level(add_prefix_space=True)),
                                "decoder": level()}
    for scheme in ("always", "first", "never"):
        for cut in (False, True):
            out[f"metaspace {scheme} {cut}"] = {"pre_tokenizer": meta(scheme, cut), "decoder": meta(scheme, cut)}
    out["byte level"] = {"pre_tokenizer": level(), "decoder": level()}
    out["byte level prefix"] = {"pre_tokenizer": level(add_prefix_space=True), "decoder": level()}
    out["byte level whole"] = {"pre_tokenizer": level(use_regex=False), "decoder": level()}
    out["digits, byte level"] = {"pre_tokenizer": sequence("pretokenizers", {"type": "Digits", "individual_digits": True}, level()),
                                 "decoder": level()}
    for form in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "ByteLevel"):
        out[f"normalizer {form}"] = {"normalizer": {"type": form}}
    for left, right in ((True, False), (False, True), (True, True)):
        out[f"strip {left} {right}"] = {"normalizer": {"type": "Strip", "strip_left": left, "strip_right": right}}
    out["normalizers"] = {"normalizer": sequence(
        "normalizers", {"type": "NFKC"}, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "▁"},
        {"type": "Replace", "pattern": {"Regex": r"\s+|(?i:DAY)\b"}, "content": "▁"})}
    out["no unk"] = {"model": {"unk_token": None}}
    out["unk not fused"] = {"model": {"unk_token": "[U]", "fuse_unk": False}}
    out["unk fused"] = {"model": {"unk_token": "[U]", "fuse_unk": True}}
    for fuse in (False, True):
        out[f"some bytes {fuse}"] = {"model": {"unk_token": "[U]", "fuse_unk": fuse, "byte_fallback": True},
                                     "decoder": sequence("decoders", {"type": "ByteFallback"}, {"type": "Fuse"})}
    out["decoder strips"] = {"decoder": sequence(
        "decoders", {"type": "Replace", "pattern": {"Regex": "[a-c]"}, "content": "▁"}, {"type": "Strip", "content": "▁", "start": 1, "stop": 0})}
    out["decoder fuses, strips"] = {"decoder": sequence(
        "decoders", {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": "a", "start": 2, "stop": 0})}
    # a Strip with "stop" would be here too, but `tokenizers` panics on a text that is stripped from both ends
    out["special normalized"] = {"normalizer": {"type": "Lowercase"}, "decoder": level()}
    return out


def make_features():
    vocab, merges = train(pre_tokenizers.ByteLevel(), sorted(pre_tokenizers.ByteLevel.alphabet()), 330)
    vocab["▁"] = len(vocab)
    for extra in ["[U]"] + [f"<0x{b:02X}>" for b in b"\xc3\xa9\xe6\x97\xa5\xff"]:
        vocab[extra] = len(vocab)
    n = len(vocab)
    added = [special("[A]", n), special("[B]", n + 1, special=False), special("[C]", n + 2, lstrip=True, rstrip=True),
             special("day", n + 3, single_word=True, special=False), special("[L]", n + 4, lstrip=True),
             special("[R]", n + 5, rstrip=True), special("[N]", n + 6, normalized=True), special("[A][B]", n + 7),
             special("Day", n + 8, normalized=True, special=False)]
    base = whole(bpe(vocab, merges), added, post_processor=template("[A]", n, "[C]", n + 2))
    result = []
    for name, change in features().items():
        config = {**base, **{k: v for k, v in change.items() if k != "model"}}
        config["model"] = {**base["model"], **change.get("model", {})}
        t = Tokenizer.from_str(json.dumps(config))
        ids = [t.encode(text, add_special_tokens=False).ids for text in FEATURE_TEXTS]
        result.append({"name": name, "change": change, "ids": ids, "decoded": [t.decode(i, skip_special_tokens=True) for i in ids]})
    return {"tokenizers": tokenizers.__version__, "texts": FEATURE_TEXTS, "base": base, "features": result}


# ---- chat templates ----

CHATS = [
    [{"role": "user", "content": "Hi"}],
    [{"role": "system", "content": " Be kind. \n"}, {"role": "user", "content": "one"}, {"role": "assistant", "content": "1 é"},
     {"role": "user", "content": "  two\n"}],
    [],
]
TEMPLATES = [
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m['content'] | trim }}{{ eos_token }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}",
    "{%- for m in messages -%}\n  {{- m.content -}}  \n{%- endfor -%}\n x",
    "{% for m in messages %}\n  {{ loop.index }}/{{ loop.index0 }}/{{ loop.length }}/{{ loop.revindex }} {{ loop.first }} {{ loop.last }}"
    "\n{% else %}\nnone\n{% endfor %}\nend\n\n",
    "a\n  {% if messages %}  \n  b\n  {% elif add_generation_prompt %}\n c\n{% else %}\n d\n  {%- endif %}\n  {# comment #}\n  e",
    "{%+ if true %}x{%+ endif +%}\ny\n   {%+ if true %}z{% endif %}\nw",
    "  {#- a -#}  b  {# c #}\nd",
    "{% set x = 'a' %}{% for m in messages %}{% set x = x ~ loop.index %}{{ x }} {% endfor %}{{ x }}",
    "{% set ns = namespace(n=0, s='') %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% set ns.s = ns.s + m.role %}{% endfor %}"
    "{{ ns.n }}{{ ns.s }}",
    "{{ messages[0].content if messages else 'nobody' }} {{ messages[-1]['role'] if messages|length > 1 }}",
    "{% for m in messages[1:] %}{{ m.role }},{% endfor %}{% for m in messages[::-1] %}{{ m.role }};{% endfor %}{{ 'abcdef'[1:-2] }}"
    "{{ 'äöü'[-1] }}{{ 'abc'[5:] }}{{ 'abc'[-9:2] }}",
    "{{ 1 + 2 * 3 - 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -2 | string ~ 'x' }} {{ (1 + 2) * 3 }} {{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }}",
    "{{ true and 'x' }}|{{ false or 'y' }}|{{ not true }}|{{ none }}|{{ missing }}|{{ '' or none }}|{{ 0 and 1 }}|{{ not not 1 }}",
    "{{ 'a' in 'cat' }} {{ 'x' not in 'cat' }} {{ 1 in [1, 2] }} {{ 'role' in {'role': 1} }} {{ 'b' in ('a', 'b') }} {{ 'a' in missing }}",
    "{{ x is defined }} {{ messages is defined }} {{ x is not defined }} {{ none is none }} {{ 'a' is string }} {{ messages is iterable }} "
    "{{ {} is mapping }} {{ 1 is number }} {{ 3 is odd }} {{ 4 is even }} {{ true is true }} {{ 1 is true }} {{ 'a' is eq 'a' }} {{ 2 is equalto(3) }}",
    "{{ 'aBc é ß' | upper }} {{ 'ABC É' | lower }} {{ 'äbc' | length }} {{ [1, 2] | length }} {{ '  x ' | trim }}| {{ 'xxaxx' | trim('x') }}"
    "{{ [1, 2, 3] | first }}{{ [1, 2, 3] | last }}{{ ['a', 'b'] | join(', ') }}{{ 'abc' | replace('b', '--') }}{{ missing | default('d') }}"
    "{{ '' | default('e', true) }}{{ none | default('f') }}{{ 'abc' | list | join('.') }}{{ 'abc' | reverse | join }}",
    "{{ ' a b '.strip() }}|{{ '  a'.lstrip() }}|{{ 'a--'.rstrip('-') }}|{{ 'a,b,,c'.split(',') | join(';') }}|{{ 'abc'.startswith('ab') }}|"
    "{{ 'abc'.endswith('ab') }}|{{ 'aBc'.upper() }}|{{ 'aBc'.lower() }}|{{ 'aXbX'.replace('X', 'yy') }}",
    "{% set d = {'a': 1, 'b': 'two'} %}{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{{ d.a }}{{ d['b'] }}{{ d.get('c', 'no') }}"
    "{{ d.get('z') }}{% for k in d %}{{ k }}{% endfor %}{{ d.keys() | join }}{{ d.values() | join }}",
    "{% for i in range(3) %}{{ i }}{% endfor %}{% for i in range(5, 1, -2) %}{{ i }}{% endfor %}{% for c in 'añb' %}{{ c }}.{% endfor %}",
    "{% for i in range(10) if i % 3 == 0 %}{{ loop.index }}:{{ i }} {% endfor %}",
    "{% for i in range(9) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}.",
    "{% for m in messages %}{% if loop.previtem is defined and loop.previtem.role == m.role %}same{% endif %}{{ loop.nextitem.role if loop.nextitem is defined }}{% endfor %}",
    "{{ 'a' 'b' \"c'd\" 'e\\n\\'f\\u00e9\\x41\\q' }}{{ \"{{ }}\" }}{{ '%}' }}",
    "{% if messages and messages[0].role == 'system' %}{% set system = messages[0].content | trim %}{% set messages = messages[1:] %}"
    "{% else %}{% set system = '' %}{% endif %}[{{ system }}]{% for m in messages %}{{ (m.role == 'user') != (loop.index0 % 2 == 0) }}{% endfor %}",
    "{{ [1, [2, 3]][1][0] }}{{ (1, 2)[1] }}{{ [] == [] }}{{ [1] + [2] == [1, 2] }}{{ {'a': [1]} == {'a': [1]} }}{{ 'a' < 'b' }}{{ 'é' > 'z' }}",
    "x\r\ny\r{% if true %}\r\nz{% endif %}\n",
    "{{- ' a ' -}}\n\n {{- 'b' }}\n{{ 'c' -}} \n",
    "{% for a in [1, 2] %}{% for b in [3, 4] %}{{ loop.index }}{{ a }}{{ b }} {% endfor %}{{ loop.index }}{% endfor %}",
]


def make_templates():
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    grouped = []
    for source in TEMPLATES:
        t, cases = environment.from_string(source), []
        for chat, messages in enumerate(CHATS):
            for prompt in (False, True):
                text = t.render(messages=messages, add_generation_prompt=prompt, bos_token="<s>", eos_token="</s>")
                cases.append([chat, prompt, text])
        grouped.append({"name": str(len(grouped)), "template": source, "cases": cases})
    return {"chats": CHATS, "templates": grouped}


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers")
    out = os.path.normpath(out)
    for name, make in (("bytelevel", byte_level), ("sentencepiece", sentence_piece)):
        config = make()
        dump(f"{out}/{name}/tokenizer.json", config)
        t = Tokenizer.from_str(json.dumps(config))
        dump_vectors(f"{out}/{name}/vectors.json", t)
    stories = os.path.join(os.path.dirname(__file__), "..", "..", "shared", "data", "models", "stories260K-hf", "tokenizer.json")
    if os.path.exists(stories):
        dump_vectors(f"{out}/stories260K.json", Tokenizer.from_file(stories))
    dump(f"{out}/features.json", make_features())
    dump(f"{out}/templates.json", make_templates())


main()
