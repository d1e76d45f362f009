"""A model that all processes share, with tp_plan="auto", as with Transformers:

    colrow launch --nproc-per-node 4 examples/python/transformers_auto.py models/demo
"""
import os
import sys

from colrow import AutoModelForCausalLM, AutoTokenizer  # was: from transformers import ...

model_id = sys.argv[1] if len(sys.argv) > 1 else "models/demo"
rank = int(os.environ.get("RANK", 0))
world_size = int(os.environ.get("WORLD_SIZE", 1))

model = AutoModelForCausalLM.from_pretrained(model_id, dtype="auto", tp_plan="auto")
tokenizer = AutoTokenizer.from_pretrained(model_id)

if rank == 0:
    print(f"{world_size} processes, tensor parallel size {model.tp_size}")
    print("q_proj:", model.config._tp_plan["model.layers.*.self_attn.q_proj"])

prompt = "What is tensor parallelism?"
inputs = tokenizer(prompt, return_tensors="pt").to(model.device)

# One step by hand: the likeliest next token.
logits = model(inputs.input_ids).logits
next_token = logits[0, -1].argmax()

outputs = model.generate(**inputs, max_new_tokens=40, do_sample=False)
if rank == 0:
    print("Next token:", repr(tokenizer.decode(int(next_token))))
    print("Generated:", repr(tokenizer.decode(outputs[0], skip_special_tokens=True)))
