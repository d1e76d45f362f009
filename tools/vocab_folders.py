"""Random folders without a tokenizer.json: tokenizer.model of SentencePiece, tiktoken's files, vocab.json with merges.txt.
For differential_vocab_files.py and make_vocab_vectors.py. Models of SentencePiece are trained by its own package on a
small text."""
import base64
import io
import json
import os

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

from differential_tokenizers import LETTERS, TOKENS, WORDS, add_merges, flags, token_value

CORPUS = """The rank waits for the others before it adds its share. A rank that waits does not work.
the quick brown fox jumps over the lazy dog; hello hello world, Hello World! don't you'll we've I'm
def forward(self, x): return self.weight @ x + self.bias  # 1234 567 89 0.5 3.14
for (int i = 0; i < n; i++) total += values[i] * 2; /* sum */ if (total > 100) { print("many"); }
Der Zug fährt über die Brücke. Große Mühlen mahlen langsam. Ça va? Où est la bibliothèque? Él está aquí.
Быстрая лисица перепрыгнула через собаку. Числа 12 и 345. Привет, мир!
世界你好，今天天气很好。我们去公园散步吧。東京は日本の首都です。今日はとても暑い。안녕하세요 세계
नमस्ते दुनिया। مرحبا بالعالم. שלום עולם. Γειά σου Κόσμε. สวัสดีชาวโลก 😀 😀 🎉 ½ ﬁ Ⅻ ＡＢＣ ①
one two three four five six seven eight nine ten; ten nine eight seven six five four three two one
a b c d e f g h i j k l m n o p q r s t u v w x y z A B C D E F G H I J K L M N O P Q R S T U V W X Y Z
""".splitlines() * 3
RULES = ["identity", "identity", "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"]
CLASSES = [None, None, None, "PreTrainedTokenizerFast", "LlamaTokenizer", "LlamaTokenizer", "LlamaTokenizerFast", "GemmaTokenizer",
           "CodeLlamaTokenizer", "TokenizersBackend", "SomethingTokenizer"]
LETTER_CLASSES = ["GPT2Tokenizer", "GPT2TokenizerFast", "Qwen2Tokenizer", "GPTNeoXTokenizer", "CohereTokenizer"]


def train(rng, corpus=CORPUS, sizes=(640, 700, 800), rules=None):
    """A model's bytes. Its settings are changed after training where the trainer has no word for them. `rules`: a file of
    rules of normalisation."""
    kind = rng.choice(["unigram", "bpe", "bpe", "bpe", "char"])
    options = {"model_type": kind, "vocab_size": rng.choice(sizes), "hard_vocab_limit": False, "character_coverage": rng.choice([0.98, 1.0]),
               "byte_fallback": rng.random() < .6, "normalization_rule_name": rng.choice(RULES),
               "add_dummy_prefix": rng.random() < .6, "remove_extra_whitespaces": rng.random() < .4,
               "split_digits": rng.random() < .5, "minloglevel": 2, "num_threads": 1}
    if rules:
        options["normalization_rule_tsv"] = rules
    if rng.random() < .4:
        options["user_defined_symbols"] = rng.sample(["<x>", "hello", "  ", "(int", "。", "<|user|>", "a.b*", "\n", "\t", "[INST]"], rng.randrange(1, 5))
    if rng.random() < .4:
        options["control_symbols"] = rng.sample(["<tool>", "<pad>", "<|end|>", "[SEP]"], rng.randrange(1, 3))
    if rng.random() < .3:
        options.update(unk_id=0, bos_id=-1 if rng.random() < .5 else 1, eos_id=2, pad_id=3)
        if options["bos_id"] < 0:
            options.update(eos_id=1, pad_id=2)
    if rng.random() < .2:
        options.update(bos_piece="<bos>", eos_piece="<eos>")
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(corpus), model_writer=out, **options)
    model = proto.ModelProto.FromString(out.getvalue())
    if rng.random() < .15:
        model.normalizer_spec.escape_whitespaces = False
    if rng.random() < .2:  # a tie, and a piece that is not used
        model.pieces[-1].score = model.pieces[-2].score
        model.pieces[-3].type = proto.ModelProto.SentencePiece.UNUSED
    return model.SerializeToString()


def byte_merges(rng, n):
    vocab = {LETTERS[b]: i for i, b in enumerate(rng.sample(range(256), 256))}
    samples = [[LETTERS[b] for b in word.encode()] for line in CORPUS for word in (line, " " + rng.choice(line.split()))]
    return vocab, add_merges(rng, vocab, samples, n)


def tiktoken_lines(rng):
    vocab, _ = byte_merges(rng, 200)
    bytes_of = {letter: b for b, letter in LETTERS.items()}
    lines = [base64.b64encode(bytes(bytes_of[c] for c in token)) + b" %d" % i for token, i in vocab.items()]
    return b"\n".join(lines) + rng.choice([b"", b"\n"])


def config_files(rng, n, classes):
    config, files = {}, {}
    name = rng.choice(classes)
    if name:
        config["tokenizer_class"] = name
    for key in ("bos_token", "eos_token", "unk_token", "pad_token", "image_token"):
        if rng.random() < .25:
            config[key] = token_value(rng, rng.choice(TOKENS)) if rng.random() < .9 else None
    if rng.random() < .4:
        ids = rng.sample([0, 1, 2, 3, 5, n, n + 1, n + 4], rng.randrange(0, 5))
        config["added_tokens_decoder"] = {str(i): {"content": t, **flags(rng, rng.random() < .5)} for i, t in
                                          zip(sorted(ids), rng.sample(TOKENS, len(ids)))}
    if rng.random() < .2:
        config["extra_special_tokens"] = rng.choice([["<tool>", "<q>"], {"tool_token": "<tool>", "q_token": "<q>"}, [], {}])
    if rng.random() < .2:
        config["additional_special_tokens"] = [token_value(rng, t) for t in rng.sample(TOKENS, 2)]
    for key, share in (("legacy", .4), ("add_prefix_space", .2), ("add_bos_token", .5), ("add_eos_token", .3)):
        if rng.random() < share:
            config[key] = rng.random() < .5
    if rng.random() < .9:
        files["tokenizer_config.json"] = config
    if rng.random() < .2:
        files["special_tokens_map.json"] = {k: t for k, t in zip(["bos_token", "pad_token"], rng.sample(TOKENS, 2))}
        if rng.random() < .4:
            files["special_tokens_map.json"]["additional_special_tokens"] = rng.sample(TOKENS, 2)
    if rng.random() < .15:
        files["added_tokens.json"] = {t: n + i for i, t in enumerate(rng.sample(TOKENS, 3))}
    if rng.random() < .7:
        files["config.json"] = {"model_type": rng.choice(["llama", "llama", "mistral", "phi3", "internlm2"])}
    return {name: json.dumps(value, ensure_ascii=False).encode() for name, value in files.items()}


def random_folder(rng, models):
    """{file name: bytes}; `models`: some of train()'s to choose from."""
    kind = rng.random()
    if kind < .6:
        model = rng.choice(models)
        n = len(proto.ModelProto.FromString(model).pieces)
        return {"tokenizer.model": model, **config_files(rng, n, CLASSES)}
    if kind < .8:
        lines = tiktoken_lines(rng)
        name = rng.choice(["tokenizer.model", "tiktoken.model"])
        return {name: lines, **config_files(rng, len(lines.split()) // 2, CLASSES)}
    vocab, merges = byte_merges(rng, 150)
    end = rng.choice(["\n", "\r\n"])
    text = rng.choice(["#version: 0.2" + end, ""]) + end.join(" ".join(pair) for pair in merges) + rng.choice([end, ""])
    files = config_files(rng, len(vocab), LETTER_CLASSES)
    files.setdefault("tokenizer_config.json", json.dumps({"tokenizer_class": rng.choice(LETTER_CLASSES)}).encode())
    return {"vocab.json": json.dumps(vocab, ensure_ascii=rng.random() < .5).encode(), "merges.txt": text.encode(), **files}


def random_texts(rng, n):
    more = ["▁▁", "▁a", "½ﬁ", "Ⅻ", "\u00a0", "  \n  ", "[INST]", "a.b*", "(int i", "e\u0301", "ｱ", "👩‍👧"]
    return ["".join(rng.choice(WORDS + more) if rng.random() < .6 else rng.choice(TOKENS) if rng.random() < .5 else rng.choice(CORPUS)[:rng.randrange(40)]
                    for _ in range(rng.randrange(1, 9))) for _ in range(n)] + ["", " ", " hello", "<s> hello", "▁hello", "hello  ", "   "]


def write(folder, files):
    for name, data in files.items():
        with open(os.path.join(folder, name), "wb") as file:
            file.write(data)
