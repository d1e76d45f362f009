#!/bin/sh
# Transformers 5.24.0: rope_scaling {"type": "linear", "factor": 4}, the spelling of before 4.45, still scales a Llama's
# positions: the configuration class fills in rope_type from it. In Gemma 3, whose types of layers have rope settings of
# their own, the same key does nothing: full_attention is given rope_type "default" first and rope_scaling is laid over
# it, so "type" and "factor" stand beside a rope_type that ignores them. No error, no warning; the model answers from
# unscaled positions. One would guess that an older spelling works for all families or is refused by one. Whoever writes
# configurations of long-context fine-tunes by hand, or with a tool from 2024, meets it.
#
# Seen 2026-11-29, Python 3.11 (configuration classes alone; torch is not needed):
#   Llama   type:      linear, factor 4.0
#   Llama   rope_type: linear, factor 4.0
#   Gemma 3 type:      default, factor 4.0
#   Gemma 3 rope_type: linear, factor 4.0
#
# Exit status: 0 while this is so, 77 without Python 3 and pip, 1 once the behaviour has changed.
set -eu
python3 -m venv --help >/dev/null 2>&1 || { echo "skipped: needs python3 with venv"; exit 77; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT INT TERM
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check transformers==5.24.0
cat >"$dir/show.py" <<'PYTHON'
import sys

from transformers import Gemma3TextConfig, LlamaConfig

FAMILIES = (("Llama", LlamaConfig), ("Gemma 3", Gemma3TextConfig))
EXPECTED = {("Llama", "type"): "linear", ("Llama", "rope_type"): "linear",
            ("Gemma 3", "type"): "default", ("Gemma 3", "rope_type"): "linear"}
seen = {}
for name, family in FAMILIES:
    for key in ("type", "rope_type"):
        config = family(num_hidden_layers=6, rope_scaling={key: "linear", "factor": 4.0})
        rope = config.rope_parameters.get("full_attention", config.rope_parameters)
        seen[name, key] = rope["rope_type"]
        print(f"{name:7} {key + ':':10} {rope['rope_type']}, factor {rope.get('factor')}")
sys.exit(seen != EXPECTED)
PYTHON
"$dir/venv/bin/python" "$dir/show.py" 2>/dev/null
