#!/bin/sh
# Transformers 5.24.0: Nemotron-H holds its Mamba layers' step sizes above the configuration's `time_step_min` (0.001;
# fresh biases are drawn between it and time_step_max) when it computes several positions at once, and does not when it
# computes one. So a prompt and the tokens after it follow two recurrences: as soon as one head's step is smaller (a
# head that remembers for long), one token at a time gives other logits than the same tokens at once, far beyond
# rounding, and greedy generate() with its cache and without part ways. Pieces of several tokens agree. The key that
# names such a limit, `time_step_limit`, is read, saved and not used. One would guess that in f32 it does not matter
# how many tokens a forward pass gets, as it does not in Falcon-H1 and Granite 4, or that the key which is called a
# limit is the limit (a change for that is open: Transformers' pull request 48989). Whoever writes an engine, or
# compares one token by token, meets it: there are two references.
#
# Seen 2026-11-30, Python 3.11, torch 2.13.0, f32, one Mamba and one attention layer, random weights:
#   time_step_min 0.001: 8+10+6 tokens as all at once: True, 8+1+1+...: False, generate() same without cache: False
#   time_step_min 1e-09: 8+10+6 tokens as all at once: True, 8+1+1+...: True, generate() same without cache: True
#   time_step_limit (0.05, 0.1) changes a logit: False
#
# Exit status: 0 while this is so, 77 without Python 3 and venv, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 transformers==5.24.0 numpy
cat >"$dir/show.py" <<'PYTHON'
import sys

import torch
from transformers import NemotronHConfig, NemotronHForCausalLM

INFINITE = float("inf")


def build(least, limit=(0.0, INFINITE)):
    """The same random weights whatever the keys; softplus(-10) = 0.00005 is the heads' own step, before the input's."""
    config = NemotronHConfig(hidden_size=32, vocab_size=64, num_hidden_layers=2, num_attention_heads=4,
                             layers_block_type=["linear_attention", "full_attention"], num_key_value_heads=2,
                             head_dim=8, intermediate_size=48, mamba_num_heads=8, mamba_head_dim=8, ssm_state_size=8,
                             n_groups=1, chunk_size=8, time_step_min=least, time_step_limit=limit)
    model = NemotronHForCausalLM(config).eval()
    torch.manual_seed(0)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if weight.dim() > 1:
                weight.normal_(0, 2 * weight[0].numel() ** -0.5)
            elif name.endswith("dt_bias"):
                weight.fill_(-10)
    return model


def in_pieces(model, tokens, sizes):
    """Logits [1, tokens, words] of the tokens given in pieces, each on the cache of those before."""
    cache, logits = None, []
    for piece in tokens.split(sizes, dim=1):
        answer = model(piece, cache=cache, use_cache=True)
        cache = answer.cache
        logits.append(answer.logits)
    return torch.cat(logits, 1)


tokens = torch.randint(3, 64, (1, 24), generator=torch.Generator().manual_seed(1))
seen = []
with torch.no_grad():
    for least in (0.001, 1e-9):
        model = build(least)
        whole = model(tokens, use_cache=False).logits
        same = [bool((in_pieces(model, tokens, sizes) - whole).abs().max() < 1e-5 * whole.abs().max())
                for sizes in ([8, 10, 6], [8] + [1] * 16)]
        answers = [model.generate(tokens, max_new_tokens=40, do_sample=False, eos_token_id=None, pad_token_id=0,
                                  use_cache=cache).tolist() for cache in (True, False)]
        same.append(answers[0] == answers[1])
        print(f"time_step_min {least}: 8+10+6 tokens as all at once: {same[0]}, 8+1+1+...: {same[1]}, "
              f"generate() same without cache: {same[2]}")
        seen += same
    limited = build(1e-9, (0.05, 0.1))(tokens, use_cache=False).logits
    seen.append(not torch.equal(limited, whole))
    print(f"time_step_limit (0.05, 0.1) changes a logit: {seen[-1]}")
sys.exit(seen != [True, False, False, True, True, True, False])
PYTHON
"$dir/venv/bin/python" "$dir/show.py" 2>/dev/null
