"""Checkpoints that follow from a seed: the same bytes wherever they are made, with the standard library alone.

A checkpoint is a list of rows [name, shape, centre, spread], in the order of the file. A tensor's numbers are drawn
evenly, with that mean and that standard deviation, from a generator that is keyed by the seed and the tensor's name; a
row [name, shape, "as", other] repeats another one. tools/differential_families.py writes its cases with this, and
tests/e2e/test_families.py makes those again that ever went wrong.
"""
import array
import json
import math
import os
import random
import struct

BYTES = {"F32": 4, "BF16": 2, "F16": 2}


def numbers(seed, name, count, centre, spread):
    draw = random.Random(f"{seed} {name}").random  # keyed by sha512 of the text, whatever the version of Python
    low, width = centre - spread * math.sqrt(3), 2 * spread * math.sqrt(3)
    return array.array("f", [low + width * draw() for _ in range(count)])


def packed(values, dtype):
    """Bytes of float32 values in the type of the file, rounded to nearest even."""
    if dtype == "F32":
        return values.tobytes()
    if dtype == "F16":
        return struct.pack(f"<{len(values)}e", *values)
    bits = array.array("I", values.tobytes())
    return array.array("H", [(b + 0x7FFF + (b >> 16 & 1)) >> 16 for b in bits]).tobytes()


def write_weights(path, rows, seed, dtype):
    header, chunks, end = {}, [], 0
    for name, shape, *rule in rows:
        drawn_as = name
        if rule[0] == "as":
            drawn_as = rule[1]
            rule = next(other[2:] for other in rows if other[0] == drawn_as)
        chunks.append(packed(numbers(seed, drawn_as, math.prod(shape), *rule), dtype))
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + len(chunks[-1])]}
        end += len(chunks[-1])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def write_checkpoint(folder, config, rows, seed, dtype):
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
        json.dump(config, file, indent=1)
    write_weights(os.path.join(folder, "model.safetensors"), rows, seed, dtype)
