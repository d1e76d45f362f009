#!/usr/bin/env python3
"""The bundled model answers, with the same tokens on any number of ranks."""
import json
import os

from support import DEMO, ROOT, SANITIZE, check, finish, isas, logits_file, run, skip

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")

QUESTIONS = ["What is tensor parallelism?", "Explain the difference between data and model parallelism."]
sizes = (1, 2, 3, 8) if not SANITIZE else (1, 3)
for question in QUESTIONS:
    answers = {}
    for tp in sizes:
        done = run("generate", DEMO, "--chat", "-p", question, "-tp", tp, "--json", "-q")
        if not check(done.returncode == 0, f"-tp {tp}: {done.stderr.strip()}"):
            continue
        answers[tp] = json.loads(done.stdout)["outputs"][0]
        check(answers[tp]["finish_reason"] == "stop", f"-tp {tp}: does not end: {answers[tp]['finish_reason']}")
    texts = {answer["text"] for answer in answers.values()}
    check(len(texts) == 1, f"{question}: {len(texts)} different answers")
    for text in texts:
        print(f"{question}\n  {text}")
        check("parallel" in text and len(text) > 60, f"{question}: a strange answer: {text}")

vectors = os.path.join(ROOT, "tests/data/demo_vectors.json")
if os.path.exists(vectors):
    with open(vectors, encoding="utf-8") as file:
        vectors = json.load(file)
    encoded = run("tokenize", DEMO, "--json", stdin=json.dumps([case["text"] for case in vectors["tokenizer"]]))
    if check(encoded.returncode == 0, encoded.stderr):
        for case, ids in zip(vectors["tokenizer"], json.loads(encoded.stdout)):
            check(ids == case["ids"], f"tokenize {case['text']!r}: {ids}, expected {case['ids']}")
    agree = 0
    for case in vectors["greedy"]:
        if "messages" in case and (len(case["messages"]) != 1 or case["messages"][0]["role"] != "user"):
            continue
        chat = ["--chat", "-p", case["messages"][0]["content"]] if "messages" in case else ["-p", case["prompt"]]
        done = run("generate", DEMO, *chat, "-tp", 2, "--max-tokens", len(case["greedy_ids"]), "--temperature", 0, "--json")
        if check(done.returncode == 0, done.stderr):
            ids = json.loads(done.stdout)["outputs"][0]["token_ids"]
            end = case["greedy_ids"]
            check(ids == end or ids == end[:-1], f"{chat}: {ids}, expected {end}")
            agree += 1
    print(f"{agree} answers of Transformers reproduced")

# ids that no token has add no text, as in tokenizers; what is no id is refused
decoded = run("tokenize", DEMO, "--decode", "--json", stdin="[[72, 101], [72, 99999, 101], [2147483648, 72, 4294967295, 101], [99999], []]")
texts = json.loads(decoded.stdout) if check(decoded.returncode == 0, decoded.stderr) else [""] * 5
check(texts[0] and texts[0] == texts[1] == texts[2] and texts[3] == texts[4] == "", f"ids beyond the vocabulary: {texts}")
for wrong in ("-1", "4294967296", "1.5", '"1"', "null", "100000000000000000000"):
    decoded = run("tokenize", DEMO, "--decode", stdin=f"[[1, {wrong}]]")
    check(decoded.returncode == 1 and "token id" in decoded.stderr and "0 to 4294967295" in decoded.stderr, f"id {wrong}: {decoded.stderr}")

ids = list(range(5, 400, 3))
digests = {tp: logits_file(DEMO, ids, "-tp", tp)[1] for tp in (1, 2, 3, 5, 8)}
digests |= {isa: logits_file(DEMO, ids, "-tp", 3, isa=isa)[1] for isa in isas()}
digests["chunk 7"] = logits_file(DEMO, ids, "-tp", 2, "--max-num-batched-tokens", 7)[1]
check(len(set(digests.values())) == 1, f"logits depend on the layout: {digests}")
finish("demo")
