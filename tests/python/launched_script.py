"""What test_launched_model.py starts: one model for all processes, as a script for torchrun has it. Every process writes
what it got into a file of its own; rank 0 prints."""
import json
import os
import sys

from colrow import AutoModelForCausalLM, AutoTokenizer

folder, out = sys.argv[1:3]
rank = int(os.environ.get("RANK", "0"))
model = AutoModelForCausalLM.from_pretrained(folder, tp_plan="auto", gpu_memory_utilization=0.2, max_model_len=512)
tokenizer = AutoTokenizer.from_pretrained(folder)
inputs = tokenizer("What is tensor parallelism?")
outputs = model.generate(**inputs, max_new_tokens=40, do_sample=False)
try:
    model.generate([[0, 999999]])
    refusal = None
except ValueError as error:
    refusal = str(error)
with open(os.path.join(out, f"{rank}.json"), "w", encoding="utf-8") as file:
    json.dump({"outputs": outputs, "tp_size": model.tp_size, "refusal": refusal, "plan": model.config._tp_plan}, file)
if rank == 0:
    print(tokenizer.decode(outputs[0], skip_special_tokens=True))
model.close()
