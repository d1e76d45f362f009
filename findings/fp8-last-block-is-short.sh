#!/bin/sh
# Transformers 5.24.0: a fp8 checkpoint with weight_block_size [128, 128] has one scale per 128 rows and columns, the
# last one for what is left over, as in DeepSeek's own checkpoints. Where Transformers turns such weights into floats
# (without a GPU, or with dequantize=True) it takes the size of a block to be rows / scales instead. So 192 rows, two
# scales, become two blocks of 96: rows 96 to 127 get the second scale, and the model loads without a word and computes
# with wrong weights. Where the division leaves a rest (576 rows, five scales: the shape of DeepSeek-V3's
# kv_a_proj_with_mqa), from_pretrained() fails. One would guess that the block size is the one that config.json gives.
# Whoever checks a quantised model on a CPU meets it, unless all sizes are multiples of 128.
#
# Seen 2026-11-30, Python 3.11, torch 2.13.0, a Llama of one layer, made by the script:
#   intermediate_size 384: loaded, rows of gate_proj off: none
#   intermediate_size 192: loaded, rows of gate_proj off: 32, 96 to 127
#   intermediate_size 576: RuntimeError
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.24.0 accelerate==1.15.0 numpy
cat >"$dir/show.py" <<'PYTHON'
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import FineGrainedFP8Config, LlamaConfig, LlamaForCausalLM

BLOCK, HIDDEN = 128, 128
NAME = "model.layers.0.mlp.gate_proj.weight"


def quantise(weight):
    """The weight [rows, columns] in fp8, its scales [blocks, blocks], and the floats that the two stand for."""
    rows, columns = weight.shape
    down, across = -(-rows // BLOCK), -(-columns // BLOCK)
    padded = torch.zeros(down * BLOCK, across * BLOCK)
    padded[:rows, :columns] = weight
    blocks = padded.view(down, BLOCK, across, BLOCK)
    scales = blocks.abs().amax((1, 3)) / 448
    spread = scales.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[:rows, :columns]
    small = (weight / spread).to(torch.float8_e4m3fn)
    return small, scales, small.float() * spread


def rows_off(folder, inner):
    """Which rows of gate_proj are read otherwise than they were written, or the error's name."""
    config = LlamaConfig(hidden_size=HIDDEN, intermediate_size=inner, num_hidden_layers=1, num_attention_heads=2,
                         num_key_value_heads=2, vocab_size=64)
    torch.manual_seed(0)
    tensors, truth = {}, {}
    for name, weight in LlamaForCausalLM(config).state_dict().items():
        tensors[name] = weight
        if "_proj" in name:
            uneven = weight * torch.linspace(1, 9, weight.shape[0])[:, None]
            tensors[name], tensors[name + "_scale_inv"], truth[name] = quantise(uneven)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    keys = config.to_dict() | {"architectures": ["LlamaForCausalLM"], "quantization_config": {
        "quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [BLOCK, BLOCK],
        "modules_to_not_convert": ["lm_head"]}}
    (folder / "config.json").write_text(json.dumps(keys))
    try:
        model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                 quantization_config=FineGrainedFP8Config(dequantize=True))
    except RuntimeError as error:
        return type(error).__name__
    off = (model.state_dict()[NAME] - truth[NAME]).abs().amax(1) > 1e-6
    return off.nonzero().flatten().tolist()


folder, seen = pathlib.Path(sys.argv[1]), []
for inner in (384, 192, 576):
    rows = rows_off(folder, inner)
    seen.append(rows)
    if isinstance(rows, str):
        print(f"intermediate_size {inner}: {rows}")
    else:
        where = f"{len(rows)}, {rows[0]} to {rows[-1]}" if rows else "none"
        print(f"intermediate_size {inner}: loaded, rows of gate_proj off: {where}")
sys.exit(seen != [[], list(range(96, 128)), "RuntimeError"])
PYTHON
mkdir "$dir/model"
"$dir/venv/bin/python" "$dir/show.py" "$dir/model" 2>/dev/null
