"""llama.cpp's converter, for a folder that colrow synth wrote: with the vocabulary of its tokenizer.json (bench/make_tokenizer.py), which the converter would
refuse as one that it does not know, or with none.

usage: PYTHONPATH=LLAMA.CPP:LLAMA.CPP/gguf-py python to_gguf.py FOLDER --outtype bf16 --outfile FILE
"""
import json
import os
import sys

import conversion
import convert_hf_to_gguf
from conversion.base import TextModel

NORMAL, CONTROL = 1, 3


def no_vocabulary(self):
    self.gguf_writer.add_tokenizer_model("none")
    self.gguf_writer.add_vocab_size(self.hparams["vocab_size"])


def vocabulary(self):
    path = os.path.join(self.dir_model, "tokenizer.json")
    if not os.path.exists(path):
        no_vocabulary(self)
        return
    with open(path, encoding="utf-8") as file:
        tokenizer = json.load(file)
    tokens = dict(sorted((i, token) for token, i in tokenizer["model"]["vocab"].items()))
    special = {token["id"]: token["content"] for token in tokenizer["added_tokens"]}
    texts = list({**tokens, **special}.values())
    self.gguf_writer.add_tokenizer_model("gpt2")
    self.gguf_writer.add_tokenizer_pre("gpt-2")
    self.gguf_writer.add_token_list(texts)
    self.gguf_writer.add_token_types([CONTROL if i in special else NORMAL for i in range(len(texts))])
    self.gguf_writer.add_token_merges([" ".join(pair) for pair in tokenizer["model"]["merges"]])
    self.gguf_writer.add_bos_token_id(self.hparams.get("bos_token_id") or 0)
    self.gguf_writer.add_eos_token_id(self.hparams.get("eos_token_id") or 0)
    self.gguf_writer.add_add_bos_token(False)


def all_below(cls):
    return {cls, *(found for below in cls.__subclasses__() for found in all_below(below))}


with open(os.path.join(sys.argv[1], "config.json"), encoding="utf-8") as config:
    conversion.get_model_class(json.load(config)["architectures"][0])  # which imports its module
for model in all_below(TextModel):
    if "set_vocab" in vars(model):
        model.set_vocab = vocabulary
convert_hf_to_gguf.main()
