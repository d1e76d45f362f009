#!/usr/bin/env python3
"""Golden ids of tokenizer folders: what Transformers 5.24 makes of the files beside tokenizer.json.

    python3 tools/make_folder_vectors.py [tests/data/tokenizers/folders.json]

Each folder is one of the two test tokenizers (tools/make_test_tokenizers.py) with some keys changed, and the files
beside it as texts. Needs transformers.
"""
import json
import os
import sys
import tempfile

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["HF_HUB_OFFLINE"] = "1"
from transformers import AutoTokenizer  # noqa: E402

DATA = os.path.normpath(os.path.join(os.path.dirname(__file__), "..", "tests", "data", "tokenizers"))
TEXTS = ["a<tool>b", "a <tool> b", "<s> hello", " hello", "hello</s>the", "<pad><x><X>", "the cat 12 don't", "é世界 ", "<q>a<tool>"]


def token(content, token_id=None, **flags):
    t = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}
    return t if token_id is None else {"id": token_id, **t}


def made(content, **flags):
    return {"__type": "AddedToken", **token(content, **flags)}


def folders(base, n, specials):
    """Names, changes of tokenizer.json, files beside it. `n`: ids of the base, `specials`: its own added tokens."""
    config, plain = "tokenizer_config.json", {"tokenizer_class": "PreTrainedTokenizerFast"}
    yield "alone", {}, {}
    yield "decoder", {}, {config: {**plain, "added_tokens_decoder": {str(n): token("<tool>")}}}
    yield "decoder, not special", {}, {config: {**plain, "added_tokens_decoder": {str(n): token("<tool>", special=False)}}}
    yield "decoder overrides flags", {"added_tokens": specials + [token("<tool>", n)]}, {
        config: {**plain, "added_tokens_decoder": {str(n): token("<tool>", lstrip=True, rstrip=True)}}}
    yield "decoder without flags", {}, {config: {**plain, "added_tokens_decoder": {str(n + 4): {"content": "<tool>"}, str(n): {"content": "<x>"}}}}
    yield "extra list", {}, {config: {**plain, "extra_special_tokens": ["<tool>", "<q>"]}}
    yield "extra dict", {}, {config: {**plain, "extra_special_tokens": {"tool_token": "<tool>", "q_token": "<q>"}}}
    yield "additional", {}, {config: {**plain, "additional_special_tokens": ["<q>", made("<tool>", lstrip=True)]}}
    yield "extra before additional", {}, {config: {**plain, "extra_special_tokens": ["<q>"], "additional_special_tokens": ["<tool>"]}}
    yield "new pad", {}, {config: {**plain, "pad_token": "<pad>"}}
    yield "new pad, made", {}, {config: {**plain, "pad_token": made("<pad>", rstrip=True, special=False)}}
    yield "new eos", {}, {config: {**plain, "eos_token": "<tool>"}}
    yield "own name", {}, {config: {**plain, "image_token": "<tool>", "bos_token": None}}
    yield "padding", {"padding": {"strategy": "BatchLongest", "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
                                  "pad_token": "<pad>"}}, {config: plain}
    yield "map", {}, {config: plain, "special_tokens_map.json": {"eos_token": "<tool>", "pad_token": token("<pad>", lstrip=True),
                                                                 "additional_special_tokens": ["<q>"]}}
    yield "map beside decoder", {}, {config: {**plain, "added_tokens_decoder": {}}, "special_tokens_map.json": {"eos_token": "<tool>"}}
    yield "added file", {}, {config: {**plain, "eos_token": "<tool>"}, "added_tokens.json": {"<q>": n + 1, "<tool>": n, "<x>": n + 9}}
    yield "split special", {"added_tokens": specials + [token("<tool>", n), token("<x>", n + 1, special=False)]}, {
        config: {**plain, "split_special_tokens": True}}
    yield "hole", {"added_tokens": specials + [token("<tool>", n + 5), token("<x>", n + 2)]}, {config: plain}
    yield "twice", {"added_tokens": specials + [token("<tool>", n), token("<tool>", n), token("<x>", n, special=False)]}, {config: plain}
    yield "of the vocabulary", {"added_tokens": specials + [token("a", n + 3), token("<x>", 0)]}, {config: plain}
    yield "normalised twice", {"normalizer": {"type": "Lowercase"}, "added_tokens": specials + [
        token("<X>", n, normalized=True), token("<x>", n + 1, normalized=True), token("<pad>", n, normalized=True)]}, {}
    yield "normalised once", {"normalizer": {"type": "Lowercase"}, "added_tokens": specials + [
        token("<X>", n, normalized=True)]}, {config: {**plain, "added_tokens_decoder": {str(n): token("<X>")}}}
    for name in ("LlamaTokenizer", "GPT2Tokenizer", "Qwen2Tokenizer", "Qwen3_5Tokenizer", "GPTNeoXTokenizerFast", "GemmaTokenizerFast",
                 "CohereTokenizerFast", "CodeLlamaTokenizer", "NoSuchTokenizer"):
        yield name, {}, {config: {"tokenizer_class": name}}
        yield name + " and blanks", {}, {config: {"tokenizer_class": name, "legacy": True, "add_prefix_space": name != "LlamaTokenizer",
                                                  "bos_token": "<s>", "eos_token": "<tool>"}}
    yield "legacy llama", {}, {config: {"tokenizer_class": "LlamaTokenizerFast", "legacy": True}}
    yield "llama without blank", {}, {config: {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False}}
    yield "llama in mistral", {}, {config: {"tokenizer_class": "LlamaTokenizer"}, "config.json": {"model_type": "mistral"}}
    yield "llama in phi3", {}, {config: {"tokenizer_class": "LlamaTokenizer"}, "config.json": {"model_type": "phi3"}}
    yield "qwen2 by model", {}, {"config.json": {"model_type": "qwen2"}}
    yield "class of config.json", {}, {"config.json": {"model_type": "llama", "tokenizer_class": "LlamaTokenizer"}}
    yield "templates", {"post_processor": {"type": "Sequence", "processors": [two("<s>", None), two(None, "</s>")]}}, {config: plain}
    yield "template of two", {"post_processor": {"type": "Sequence", "processors": [two("<s>", None), two("</s>", "</s>", True)]}}, {}
    yield "bert", {"post_processor": {"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1]}}, {}
    yield "roberta", {"post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 1], "trim_offsets": True,
                                         "add_prefix_space": True}}, {}


def two(before, after, pair=False):
    def piece(n):
        return [{"SpecialToken": {"id": n, "type_id": 0}}] if n else []
    a, b = [{"Sequence": {"id": x, "type_id": 0}} for x in "AB"]
    return {"type": "TemplateProcessing", "single": piece(before) + [a] + piece(after),
            "pair": ([b] + piece(before) + [a] + piece(after)) if pair else [a, b],
            "special_tokens": {n: {"id": n, "ids": [i], "tokens": [n]} for n, i in (("<s>", 1), ("</s>", 2))}}


def one(base, change, files):
    with tempfile.TemporaryDirectory() as folder:
        for name, value in {"tokenizer.json": {**base, **change}, "config.json": {"model_type": "llama"}, **files}.items():
            with open(os.path.join(folder, name), "w") as f:
                json.dump(value, f)
        t = AutoTokenizer.from_pretrained(folder)
        return {"ids": [t(x, add_special_tokens=False)["input_ids"] for x in TEXTS],
                "ids_special": [t(x, add_special_tokens=True)["input_ids"] for x in TEXTS],
                "named": t.special_tokens_map, "eos_id": -1 if t.eos_token_id is None else t.eos_token_id}


def main():
    out, result = sys.argv[1] if len(sys.argv) > 1 else os.path.join(DATA, "folders.json"), []
    for base_name in ("bytelevel", "sentencepiece"):
        with open(os.path.join(DATA, base_name, "tokenizer.json")) as f:
            base = json.load(f)
        n = len(base["model"]["vocab"])
        for name, change, files in folders(base, n + len(base["added_tokens"]), base["added_tokens"]):
            try:
                got = one(base, change, files)
            except BaseException as e:
                print(f"{base_name}: {name}: left out: {str(e)[:90]}")
                continue
            result.append({"name": name, "base": base_name, "change": change, "files": {"config.json": {"model_type": "llama"}, **files}, **got})
    with open(out, "w") as f:
        f.write('{"texts": ' + json.dumps(TEXTS) + ',\n"folders": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in result) + "\n]}\n")
    print(f"{out}: {len(result)} folders")


main()
