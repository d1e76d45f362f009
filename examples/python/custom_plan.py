"""A tensor-parallel plan of one's own, as with Transformers:

    colrow launch --nproc-per-node 4 examples/python/custom_plan.py models/demo
"""
import os
import sys

from colrow import AutoModelForCausalLM, AutoTokenizer  # was: from transformers import ...

model_id = sys.argv[1] if len(sys.argv) > 1 else "models/demo"

# Columns of the first matrices and rows of the second ones: one sum for attention, one for the MLP.
tp_plan = {
    "model.layers.*.self_attn.q_proj": "colwise",
    "model.layers.*.self_attn.k_proj": "colwise",
    "model.layers.*.self_attn.v_proj": "colwise",
    "model.layers.*.self_attn.o_proj": "rowwise",
    "model.layers.*.mlp.gate_proj": "colwise",
    "model.layers.*.mlp.up_proj": "colwise",
    "model.layers.*.mlp.down_proj": "rowwise",
}

model = AutoModelForCausalLM.from_pretrained(model_id, dtype="auto", tp_plan=tp_plan)
tokenizer = AutoTokenizer.from_pretrained(model_id, padding_side="left")
tokenizer.pad_token = tokenizer.eos_token

prompts = ["What is tensor parallelism?", "Each rank holds", "The KV cache"]
inputs = tokenizer(prompts, return_tensors="pt", padding=True).to(model.device)
outputs = model.generate(**inputs, max_new_tokens=32, do_sample=False, pad_token_id=tokenizer.eos_token_id)

if int(os.environ.get("RANK", 0)) == 0:
    for module, style in model.tp_plan.items():
        print(f"{module}: {style}")
    for text in tokenizer.batch_decode(outputs, skip_special_tokens=True):
        print("Generated:", repr(text))
