#!/usr/bin/env python3
"""Writes the corpus of fuzz_weight_recipe: a matrix in each of the formats of tests/e2e/quantised_folders.py."""
import json
import os
import random
import struct
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "e2e"))
from quantised_folders import FORMATS, stored  # noqa: E402


def safetensors(tensors, metadata):
    header, end = {"__metadata__": metadata} if metadata else {}, 0
    for name, (kind, shape, data) in tensors.items():
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values())


folder = os.path.join(HERE, "corpus", "weight_recipe")
os.makedirs(folder, exist_ok=True)
for form, (make, _, config) in FORMATS.items():
    tensors, _ = make(random.Random(form), 16, 64)
    metadata = tensors.pop("metadata", None)
    whole = {"m" + suffix: tensor for suffix, tensor in tensors.items()}
    with open(os.path.join(folder, form), "wb") as file:
        file.write(json.dumps(config).encode() + b"\n")
        file.write(safetensors(whole, {"m.weight": json.dumps(metadata)} if metadata else None))
rng = random.Random("mxfp4")
blocks = {"experts_blocks": stored("U8", [2, 8, 1, 16], [rng.randrange(256) for _ in range(256)]),
          "experts_scales": stored("U8", [2, 8, 1], [rng.choice([0, 120, 125, 254]) for _ in range(16)])}
with open(os.path.join(folder, "mxfp4"), "wb") as file:
    file.write(b'{"quant_method": "mxfp4"}\n' + safetensors(blocks, None))
