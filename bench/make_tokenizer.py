"""Writes tokenizer.json and tokenizer_config.json for a checkpoint that has none (colrow synth writes none), so that servers can be measured with it.

usage: python bench/make_tokenizer.py FOLDER

A byte-level BPE with as many tokens as config.json says. Every id is a text, no two are the same.
The last 256 ids are special tokens; bos and eos are those of config.json.
"""
import json
import os
import sys

SPECIAL = 256


def byte_characters():
    """The characters that stand for the 256 bytes in byte-level vocabularies."""
    shown = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    hidden = [b for b in range(256) if b not in shown]
    return [chr(b) for b in shown] + [chr(256 + i) for i in range(len(hidden))]


def vocabulary(n):
    """Bytes, then pairs and triples of ASCII: answers of random weights are then texts that every server can send token by token; pieces of
    characters would be held back until the character is whole."""
    tokens, merges = byte_characters(), []
    alphabet = [chr(b) for b in range(ord("!"), ord("~") + 1)]
    fronts = list(alphabet)
    for front in fronts:  # grows: single characters, then the pairs
        for character in alphabet:
            if len(tokens) >= n:
                return tokens[:n], merges
            merges.append([front, character])
            tokens.append(front + character)
            fronts.append(front + character)
    return tokens, merges


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    size = config["vocab_size"]
    tokens, merges = vocabulary(size - SPECIAL)
    specials = {i: f"<|special_{i}|>" for i in range(len(tokens), size)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {"version": "1.0", "truncation": None, "padding": None,
                 "added_tokens": [{"id": i, "content": text, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                                  for i, text in specials.items()],
                 "normalizer": None, "pre_tokenizer": byte_level, "post_processor": byte_level, "decoder": byte_level,
                 "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                           "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                           "vocab": {token: i for i, token in enumerate(tokens)}, "merges": merges}}
    names = {key: specials[config[f"{key}_id"]] for key in ("bos_token", "eos_token") if config.get(f"{key}_id") in specials}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": config["max_position_embeddings"], "clean_up_tokenization_spaces": False, **names}
    for name, content in (("tokenizer.json", tokenizer), ("tokenizer_config.json", settings)):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            json.dump(content, file, ensure_ascii=False)


if __name__ == "__main__":
    main()
