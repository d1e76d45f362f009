#!/usr/bin/env python3
"""EleutherAI's lm_eval (local-completions) against a running server: log-likelihoods of a small task of several choices,
with the tokenizer from the model's folder and with the server's, each compared with what `colrow logits` says.

    lm_eval_client.py URL MODEL_FOLDER [COLROW]        the server serves that model under the name "demo"
"""
import glob
import json
import math
import os
import struct
import subprocess
import sys
import tempfile
import urllib.request

from packages import python_with

REQUIREMENTS = ["lm_eval[api]==0.4.13", "transformers==5.24.0"]
ITEMS = [
    ("Tensor parallelism splits", ["weights over ranks", "bananas over trees"], 0),
    ("A rank is one", ["process of a group", "tree in a garden", "sum"], 0),
    ("The KV cache holds", ["fresh apples", "keys and values"], 1),
    ("Each rank holds one", ["shard of the weights", "umbrella", "secret of the moon"], 0),
    ("What is prefill? It is the", ["step that reads the prompt", "soup of the day"], 0),
    ("\u00dcber den Wolken, 1 + 1 =", ["2", "\u00e9t\u00e9", "\u65e5\u672c"], 0),
]
TASK = """task: colrow_tiny
dataset_path: json
dataset_kwargs: {data_files: {test: %s}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
TOLERANCE = 1e-4  # of a sum: the server's summands are f32


def run_lm_eval(python, url, model, backend, folder):
    """-> {(question, choice): (log-likelihood, greedy)}, accuracy"""
    items = os.path.join(folder, "items.jsonl")
    with open(items, "w", encoding="utf-8") as file:
        for question, choices, answer in ITEMS:
            file.write(json.dumps({"question": question, "choices": choices, "answer": answer}) + "\n")
    with open(os.path.join(folder, "colrow_tiny.yaml"), "w", encoding="utf-8") as file:
        file.write(TASK % items)
    arguments = f"model=demo,base_url={url}/v1/completions,tokenizer={model},tokenizer_backend={backend},num_concurrent=4,max_retries=1,max_length=512"
    out = os.path.join(folder, backend)
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": folder}
    done = subprocess.run([python, "-m", "lm_eval", "run", "--model", "local-completions", "--model_args", arguments, "--tasks", "colrow_tiny",
                           "--include_path", folder, "--log_samples", "--output_path", out], env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"lm_eval ended with {done.returncode}: {done.stderr[-3000:]}")
    found = {}
    with open(glob.glob(out + "/**/samples_*.jsonl", recursive=True)[0], encoding="utf-8") as file:
        for sample in map(json.loads, file):
            for choice, (value, greedy) in zip(sample["doc"]["choices"], sample["filtered_resps"]):
                found[sample["doc"]["question"], choice] = float(value), str(greedy) == "True"
    with open(glob.glob(out + "/**/results_*.json", recursive=True)[0], encoding="utf-8") as file:
        return found, json.load(file)["results"]["colrow_tiny"]["acc,none"]


def tokens_of(url, text, special):
    body = json.dumps({"prompt": text, "add_special_tokens": special}).encode()
    request = urllib.request.Request(url + "/tokenize", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)["tokens"]


def rows_of_logits(colrow, model, ids, folder):
    """`colrow logits`: a row of numbers for each position."""
    path = os.path.join(folder, "logits.safetensors")
    subprocess.run([colrow, "logits", model, "--input-ids", ",".join(map(str, ids)), "--output", path, "-q"], check=True)
    with open(path, "rb") as file:
        data = file.read()
    (length,) = struct.unpack("<Q", data[:8])
    (tensor,) = [v for k, v in json.loads(data[8 : 8 + length]).items() if k != "__metadata__"]
    begin, end = (8 + length + at for at in tensor["data_offsets"])
    numbers, width = struct.unpack(f"<{(end - begin) // 4}f", data[begin:end]), tensor["shape"][-1]
    return [numbers[i : i + width] for i in range(0, len(numbers), width)]


def expected(colrow, url, model, question, choice, special, folder):
    whole, context = tokens_of(url, question + " " + choice, special), tokens_of(url, question, special)
    total, greedy = 0.0, True
    rows = rows_of_logits(colrow, model, whole, folder)
    for position in range(len(context), len(whole)):
        row, token = rows[position - 1], whole[position]
        largest = max(row)
        total += row[token] - largest - math.log(sum(math.exp(x - largest) for x in row))
        greedy &= row[token] == largest
    return total, greedy


def main():
    url, model = sys.argv[1].rstrip("/"), os.path.abspath(sys.argv[2])
    colrow = sys.argv[3] if len(sys.argv) > 3 else os.environ.get("COLROW", "colrow")
    python, different = python_with("lm_eval", REQUIREMENTS, "lm_eval"), 0
    with tempfile.TemporaryDirectory() as folder:
        for backend in ("huggingface", "remote"):
            special = backend == "remote"  # lm_eval lets the server add what stands before a text, and Transformers not
            want = {(q, c): expected(colrow, url, model, q, c, special, folder) for q, choices, _ in ITEMS for c in choices}
            found, accuracy = run_lm_eval(python, url, model, backend, folder)
            worst = max(abs(found[key][0] - want[key][0]) for key in want)
            wrong = [key for key in want if abs(found[key][0] - want[key][0]) > TOLERANCE or found[key][1] != want[key][1]]
            right = sum(max(choices, key=lambda c, q=q: want[q, c][0]) == choices[answer] for q, choices, answer in ITEMS) / len(ITEMS)
            different += len(wrong) + (abs(accuracy - right) > 1e-9) + (found.keys() != want.keys())
            for key in wrong:
                print(f"DIFFERENT: {key}: lm_eval {found[key]}, colrow logits {want[key]}")
            print(f"lm_eval, tokenizer {backend}: {len(want) - len(wrong)} of {len(want)} log-likelihoods equal those of colrow logits "
                  f"(largest difference {worst:.1e}), accuracy {accuracy:.3f}, expected {right:.3f}", flush=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
