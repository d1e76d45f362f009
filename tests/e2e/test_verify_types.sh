#!/bin/sh
# `colrow verify --all`: checkpoints of each type, each compute type and product order, in one table.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for type in bfloat16 float16 float32; do
    cat >"$folder/$type.json" <<JSON
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 48, "intermediate_size": 100, "num_attention_heads": 6,
 "num_key_value_heads": 3, "head_dim": 16, "num_hidden_layers": 2, "vocab_size": 211, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
 "max_position_embeddings": 256, "hidden_act": "silu", "tie_word_embeddings": false, "torch_dtype": "$type"}
JSON
    "$COLROW" synth "$folder/$type.json" "$folder/$type" 2>/dev/null
done
set -- "$folder/bfloat16" "$folder/float16" "$folder/float32" --tokens 12 --generate 2 --isa reference,avx512bf16,amx
"$COLROW" verify --all "$@" --tp 1,3 --threads 1 --chunks 512,5 --batches 1,3 | tee "$folder/table"
[ "$(grep -c 'identical$' "$folder/table")" = 12 ] || { echo "expected 12 groups"; exit 1; }
"$COLROW" verify --all "$@" --json --tp 1,2 --threads 2 --chunks 7 --batches 1 --isa reference --dtypes float32 >"$folder/json"
python3 - "$folder/json" <<'PYTHON'
import json, sys
report = json.load(open(sys.argv[1]))
assert report["identical"] and len(report["groups"]) == 3, report
assert [g["stored"] for g in report["groups"]] == ["bfloat16", "float16", "float32"], report
assert all(len(g["layouts"]) == 2 and g["layouts"][1]["result"] == "identical" for g in report["groups"]), report
PYTHON
