"""llama.cpp's converter, for a folder without a tokenizer (colrow synth writes none): the file says that it has no vocabulary.

usage: PYTHONPATH=LLAMA.CPP:LLAMA.CPP/gguf-py python to_gguf.py FOLDER --outtype bf16 --outfile FILE
"""
import convert_hf_to_gguf
from conversion.llama import LlamaModel


def no_vocabulary(self):
    self.gguf_writer.add_tokenizer_model("none")
    self.gguf_writer.add_vocab_size(self.hparams["vocab_size"])


LlamaModel.set_vocab = no_vocabulary
convert_hf_to_gguf.main()
