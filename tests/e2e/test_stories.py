#!/usr/bin/env python3
"""A trained model, split every way: the text of Transformers, and one sha256 of logits for all layouts."""
import json
import os

from support import SHARED, Safetensors, check, finish, isas, logits_file, run, skip

MODEL = os.path.join(SHARED, "data/models/stories260K-hf")
if not os.path.exists(MODEL):
    skip("shared/ is not here")
golden = Safetensors(os.path.join(MODEL, "golden.safetensors"))
prompt = list(golden["prompt_ids"])
wanted = list(golden["prompt_greedy_ids"])[len(prompt) :]

for tp in (1, 2, 3, 4, 8):
    done = run("generate", MODEL, "-p", golden.metadata["prompt"], "--max-tokens", len(wanted), "--temperature", 0,
               "--ignore-eos", "-tp", tp, "--json")
    if check(done.returncode == 0, f"generate -tp {tp}: {done.stderr.strip()}"):
        check(json.loads(done.stdout)["outputs"][0]["token_ids"] == wanted, f"tp {tp}: another text than Transformers'")

ids = list(golden["input_ids"])
logits, _ = logits_file(MODEL, ids)
worst = max(abs(a - b) for a, b in zip(logits, golden["logits"]))
print(f"largest difference to Transformers' float32 logits: {worst:.3g}")
check(worst <= 5e-4, f"logits differ by {worst}")

ids = (prompt + wanted)[:100]
digests = {}
for tp in (1, 2, 3, 4, 8):
    _, digests[f"tp {tp}"] = logits_file(MODEL, ids, "-tp", tp)
for chunk in (1, 7, 64, 512):
    _, digests[f"chunk {chunk}"] = logits_file(MODEL, ids, "-tp", 2, "--max-num-batched-tokens", chunk)
for isa in isas():
    for tp in (1, 3):
        _, digests[f"{isa}, tp {tp}"] = logits_file(MODEL, ids, "-tp", tp, isa=isa)
_, digests["batch of 16"] = logits_file(MODEL, ids, "-tp", 2, "--batch", 16)
_, digests["batch of 16, chunk 64, tp 3"] = logits_file(
    MODEL, ids, "-tp", 3, "--batch", 16, "--max-num-batched-tokens", 64
)
for name, digest in digests.items():
    check(digest == digests["tp 1"], f"logits of {name} differ from those of tp 1")
print(f"{len(digests)} layouts, {len(set(digests.values()))} sha256: {digests['tp 1']}")
finish("stories260K")
