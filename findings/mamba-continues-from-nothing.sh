#!/bin/sh
# Transformers 5.24.0: Mamba's first kind (Mamba, Falcon-Mamba, Jamba) starts from an empty recurrent state whenever a
# forward pass gets more than one token, even on a cache that holds one: the convolution's past is taken from the cache,
# the state is written to it and not read. One token at a time is right, and so is Mamba 2 with any number. No error and
# no warning. So a prompt given in pieces is forgotten but for its last piece: Jamba's greedy generate() answers
# otherwise with prefill_chunk_size, which is there to save memory, and a cache kept from a conversation's last turn is
# worth nothing for the next. One would guess that a cache which is taken is used, as in Mamba 2, Falcon-H1 and
# Qwen3-Next, or is refused. (Transformers' maintainers know that Mamba 1 has no path for pieces: pull request 47087.)
# Whoever gives long prompts in pieces, reuses a prefix, or takes this for an engine's reference, meets it.
#
# Seen 2026-11-30, Python 3.11, torch 2.13.0, f32, two layers of random weights, 24 tokens, without mamba_ssm:
#   Mamba 2:      8+1+1+...: same logits as all at once, 8+10+6: same
#   Mamba:        8+1+1+...: same logits as all at once, 8+10+6: others
#   Falcon-Mamba: 8+1+1+...: same logits as all at once, 8+10+6: others
#   Jamba:        8+1+1+...: same logits as all at once, 8+10+6: others
#   Jamba's generate() with prefill_chunk_size 8: others
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
from transformers import (FalconMambaConfig, FalconMambaForCausalLM, JambaConfig, JambaForCausalLM, Mamba2Config,
                          Mamba2ForCausalLM, MambaConfig, MambaForCausalLM)

SMALL = dict(hidden_size=32, vocab_size=64, num_hidden_layers=2)
FAMILIES = {
    "Mamba 2": (Mamba2ForCausalLM, Mamba2Config(**SMALL, num_heads=8, head_dim=8, n_groups=1, state_size=8,
                                                chunk_size=8)),
    "Mamba": (MambaForCausalLM, MambaConfig(**SMALL, state_size=8)),
    "Falcon-Mamba": (FalconMambaForCausalLM, FalconMambaConfig(**SMALL, state_size=8)),
    "Jamba": (JambaForCausalLM, JambaConfig(**SMALL, num_attention_heads=4, num_key_value_heads=2,
                                            intermediate_size=48, attn_layer_offset=1, attn_layer_period=2,
                                            num_experts=1, num_experts_per_tok=1, mamba_d_state=8, mamba_dt_rank=4))}
WORDS = {True: "same", False: "others"}


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
    for family, (kind, config) in FAMILIES.items():
        torch.manual_seed(0)
        model = kind(config).eval()
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(0, 1.5 * weight[0].numel() ** -0.5)
        whole = model(tokens, use_cache=False).logits
        same = [bool((in_pieces(model, tokens, sizes) - whole).abs().max() < 1e-3 * whole.abs().max())
                for sizes in ([8] + [1] * 16, [8, 10, 6])]
        seen += same
        print(f"{family + ':':13} 8+1+1+...: {WORDS[same[0]]} logits as all at once, 8+10+6: {WORDS[same[1]]}")
    answers = [model.generate(tokens, max_new_tokens=24, do_sample=False, eos_token_id=None, pad_token_id=0,
                              **keys).tolist() for keys in ({}, {"prefill_chunk_size": 8})]
    seen.append(answers[0] == answers[1])
    print(f"Jamba's generate() with prefill_chunk_size 8: {WORDS[seen[-1]]}")
sys.exit(seen != [True, True] + [True, False] * 3 + [False])
PYTHON
"$dir/venv/bin/python" "$dir/show.py" 2>/dev/null
