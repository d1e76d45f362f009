#!/usr/bin/env python3
"""The scripts of examples/python, which are the public tutorials' with other imports, on 1, 2 and 4 ranks: their texts
are those of `colrow generate`, and the same everywhere."""
import json
import os
import re
import sys

from examples_case import DEMO, ENVIRONMENT, LAUNCH, PYTHON, ROOT, has, run_example
from serve_client import Server
from support import check, finish, run

FOLDER = os.path.join(os.path.abspath(ROOT), "examples/python")
RANKS = (1, 2, 4)
figures = []


def generated(prompts, *flags):
    """-> the answers of `colrow generate`."""
    done = run("generate", DEMO, "--json", "-q", *(word for prompt in prompts for word in ("-p", prompt)), *flags)
    outputs = json.loads(done.stdout)["outputs"] if check(done.returncode == 0, done.stderr) else []
    return [output["text"] for output in outputs]


def quoted(text, label):
    """-> what stands behind a label, as Python has written it, on each line that has it."""
    return [eval(item) for item in re.findall(label + r": ('.*?'|\".*?\")(?:, |$)", text, re.M)]


def said_by(*command):
    done = run_example(*command)
    check(done.returncode == 0, f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


def check_batch(ranks):
    said = said_by(PYTHON, f"{FOLDER}/batch_generation.py", "--model", DEMO, "--tensor-parallel-size", ranks)
    prompts = quoted(said, "Prompt")
    wanted = generated(prompts, "-n", 48, "-t", 0.8, "--top-p", 0.95, "--sampling-seed", 42)
    check(len(prompts) == 4 and quoted(said, "Generated text") == wanted, f"batch_generation, {ranks} ranks: {said} is not {wanted}")


def check_transformers(ranks):
    said = said_by(*LAUNCH, "--nproc-per-node", ranks, f"{FOLDER}/transformers_auto.py", DEMO)
    (answer,) = generated(["What is tensor parallelism?"], "-n", 40, "-t", 0)
    check(said.count("Generated:") == 1, f"transformers_auto: {ranks} processes print {said}")
    check(f"{ranks} processes, tensor parallel size {ranks}\nq_proj: colwise" in said, said)
    check(quoted(said, "Generated") == ["What is tensor parallelism?" + answer], f"transformers_auto, {ranks} ranks: {said} is not {answer}")
    check(answer.startswith(quoted(said, "Next token")[0]), f"the first token of {answer!r}: {said}")


def check_plan(ranks):
    said = said_by(*LAUNCH, "--nproc-per-node", ranks, f"{FOLDER}/custom_plan.py", DEMO)
    prompts = ["What is tensor parallelism?", "Each rank holds", "The KV cache"]
    wanted = [prompt + answer for prompt, answer in zip(prompts, generated(prompts, "-n", 32, "-t", 0))]
    check("model.layers.*.mlp.down_proj: rowwise\n" in said and quoted(said, "Generated") == wanted,
          f"custom_plan, {ranks} ranks: {said} is not {wanted}")


def check_benchmark(ranks):
    said = said_by(PYTHON, f"{FOLDER}/benchmark.py", "--model", DEMO, "--tp", ranks, "--num-prompts", 8, "--max-tokens", 40)
    wanted = generated(["Question 0: what is tensor parallelism?"], "-n", 40, "-t", 0, "--ignore-eos")
    check("Generated tokens: 320\n" in said and quoted(said, "Sample") == wanted, f"benchmark, {ranks} ranks: {said} is not {wanted}")
    load, rate = (re.search(label + r": ([\d.]+)", said)[1] for label in ("Load time", "Throughput"))
    figures.append(f"{ranks}: loaded in {load} s, {rate} tokens/s")


def check_load(ranks):
    server = Server()
    server.command = [PYTHON, "-m", "colrow.entrypoints.openai.api_server", "--model", DEMO, "--port", "0", "--gpu-memory-utilization",
                      "0.2", "--tensor_parallel_size", str(ranks), "--trust-remote-code", "--uvicorn-log-level=warning"]
    server.environment = {**server.environment, **ENVIRONMENT}
    with server:
        said = said_by(PYTHON, f"{FOLDER}/load_test.py", "--url", f"http://{server.host}:{server.port}", "--requests", 24)
        check(server.stop() == 0, f"the server: {server.read_log()}")
    prompts = quoted(said, "Prompt")
    wanted = generated(prompts, "-n", 32, "-t", 0)
    check("Requests: 24 in" in said and len(prompts) == 4 and quoted(said, "Generated text") == wanted,
          f"load_test, {ranks} ranks: {said} is not {wanted}")
    figures.append(f"{ranks}: served {re.search('Throughput: (.*)', said)[1]}")


needs = [(check_batch, None), (check_transformers, "numpy"), (check_plan, "numpy"), (check_benchmark, None), (check_load, "aiohttp")]
skipped = []
for test, module in needs:
    if module and not has(module):
        skipped.append(f"{test.__name__[6:]}, for {module}")
        continue
    for n in RANKS:
        test(n)
if "-v" in sys.argv:
    print("\n".join(figures))
finish("tutorials" + (f" (skipped: {'; '.join(skipped)}, which is not installed)" if skipped else ""))
