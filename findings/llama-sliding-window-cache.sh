#!/bin/sh
# Transformers 5.24.0: a `sliding_window` key in a Llama's config.json (Llama has no such feature) changes what
# generate() answers, though not what the model computes. LlamaModel builds a full causal mask and attends to every
# position; DynamicCache, however, looks at the same configuration, finds the key, and keeps only the last positions.
# So generate() with its cache (the default) and without it part ways, silently, and the logits of one forward pass
# over the whole text agree with the second. One would guess that a key which a family's configuration class does not
# know has no effect, or that it has the same one in both. Who converts checkpoints between Mistral's and Llama's
# layout leaves the key there.
#
# Seen 2026-11-28, Python 3.11, torch 2.13.0, greedy, one layer of random weights:
#   sliding_window None: with cache == without cache: True
#   sliding_window 4: with cache == without cache: False
#   sliding_window 4: without cache == no key: True
#
# Exit status: 0 while this is so, 77 without Python 3 and pip, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.24.0 numpy
cat >"$dir/show.py" <<'PYTHON'
import sys

import torch
from transformers import LlamaConfig, LlamaForCausalLM


def answers(window):
    """Greedy ids with the cache and without it; the same weights whatever the window."""
    torch.manual_seed(0)
    key = {} if window is None else {"sliding_window": window}
    config = LlamaConfig(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
                         vocab_size=64, max_position_embeddings=64, **key)
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
    prompt = torch.tensor([[5, 9, 11, 30, 7, 8]])
    return [model.generate(prompt, max_new_tokens=12, do_sample=False, use_cache=cache, eos_token_id=None,
                           pad_token_id=0)[0, 6:].tolist() for cache in (True, False)]


plain, windowed = answers(None), answers(4)
seen = [("sliding_window None: with cache == without cache", plain[0] == plain[1], True),
        ("sliding_window 4: with cache == without cache", windowed[0] == windowed[1], False),
        ("sliding_window 4: without cache == no key", windowed[1] == plain[1], True)]
for what, now, _ in seen:
    print(f"{what}: {now}")
sys.exit(any(now != then for _, now, then in seen))
PYTHON
"$dir/venv/bin/python" "$dir/show.py"
