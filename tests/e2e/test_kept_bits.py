#!/usr/bin/env python3
"""Logits keep their bits from version to version: the sha256 of what small models of each kind give is written here. A change
that alters one is a change of docs/numerics.md, and says so there. `--write` prints the table anew."""
import hashlib
import json
import os
import sys
import tempfile

from support import check, finish, logits_file, run

LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "torch_dtype": "bfloat16", "hidden_size": 96,
         "intermediate_size": 200, "num_hidden_layers": 3, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 16,
         "vocab_size": 320, "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "tie_word_embeddings": True,
         "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                             "original_max_position_embeddings": 128}}
MODELS = {
    "llama": LLAMA,
    "llama, biases, untied, odd": {**LLAMA, "attention_bias": True, "mlp_bias": True, "tie_word_embeddings": False, "intermediate_size": 151,
                                   "num_key_value_heads": 6, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "llama, yarn": {**LLAMA, "torch_dtype": "float32", "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                                                           "original_max_position_embeddings": 64}},
    "mistral, a window": {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral", "sliding_window": 40,
                          "rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
}
WAYS = {"bfloat16, pairs": ("--dtype", "bfloat16", "--product-order", "pairs"), "bfloat16, tiles": ("--dtype", "bfloat16", "--product-order", "tiles"),
        "float16": ("--dtype", "float16"), "float32": ("--dtype", "float32")}
KEPT = {
    ("llama", "weights"): "1fad26db732fd181",
    ("llama", "bfloat16, pairs"): "102d492ed11f2eaa",
    ("llama", "bfloat16, tiles"): "e97f3b6a332f917e",
    ("llama", "float16"): "095d4ecc58b872b2",
    ("llama", "float32"): "3ace2ef393ed23d2",
    ("llama, biases, untied, odd", "weights"): "943a6d3add47a24f",
    ("llama, biases, untied, odd", "bfloat16, pairs"): "dba7edc76553f493",
    ("llama, biases, untied, odd", "bfloat16, tiles"): "ae37dfccd76d909f",
    ("llama, biases, untied, odd", "float16"): "88e3852a1096ec8d",
    ("llama, biases, untied, odd", "float32"): "c6a274ad91553141",
    ("llama, yarn", "weights"): "a9099c346600fb24",
    ("llama, yarn", "bfloat16, pairs"): "d9b8a5989d0eaad8",
    ("llama, yarn", "bfloat16, tiles"): "38650678e1c8bb20",
    ("llama, yarn", "float16"): "ef4bc489649bfcb8",
    ("llama, yarn", "float32"): "2a89e8e5f7d1b823",
    ("mistral, a window", "weights"): "1fad26db732fd181",
    ("mistral, a window", "bfloat16, pairs"): "3fba4381cca0cc91",
    ("mistral, a window", "bfloat16, tiles"): "f1096ef072145042",
    ("mistral, a window", "float16"): "5f6c5ae6ad65688e",
    ("mistral, a window", "float32"): "6990dcca119c951e",
}
IDS = [(7 * i * i + 3 * i + 11) % 320 for i in range(150)]


def digest(values):
    return hashlib.sha256(values.tobytes()).hexdigest()[:16]


found = {}
with tempfile.TemporaryDirectory() as folder:
    for name, config in MODELS.items():
        source, model = os.path.join(folder, "config.json"), os.path.join(folder, name)
        with open(source, "w", encoding="ascii") as file:
            json.dump(config, file)
        done = run("synth", source, model)
        if not check(done.returncode == 0, f"{name}: colrow synth: {done.stderr.strip()}"):
            continue
        with open(os.path.join(model, "model.safetensors"), "rb") as file:
            found[name, "weights"] = hashlib.sha256(file.read()).hexdigest()[:16]
        for way, flags in WAYS.items():
            values, _ = logits_file(model, IDS, *flags, "-tp", "2")
            if values is not None:
                found[name, way] = digest(values)
if "--write" in sys.argv:
    for (name, way), kept in found.items():
        print(f'    ("{name}", "{way}"): "{kept}",')
    sys.exit()
for key, kept in KEPT.items():
    check(found.get(key) == kept, f"{key[0]}: {key[1]}: {found.get(key)}, expected {kept}")
check(found.keys() == KEPT.keys(), "the table lacks some")
finish(f"{len(found)} kept bits")
