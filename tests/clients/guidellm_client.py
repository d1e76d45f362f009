#!/usr/bin/env python3
"""guidellm against a running server: synthetic prompts, streams, four at a time and then at a Poisson rate; every request has
to succeed with the tokens that were asked for.

    guidellm_client.py URL MODEL_FOLDER        the server serves that model under the name "demo"
"""
import json
import os
import subprocess
import sys
import tempfile

from packages import python_with

REQUIREMENTS = ["guidellm==0.8.1"]
REQUESTS, PROMPT_TOKENS, OUTPUT_TOKENS = 40, 64, 16


def run_guidellm(python, url, model, profile, folder):
    path = os.path.join(folder, "report.json")
    command = [os.path.join(os.path.dirname(python), "guidellm"), "run", "--backend", f"kind=openai_http,target={url},model=demo", "--profile", profile,
               "--constraint", f"kind=max_requests,count={REQUESTS}", "--tokenizer", f"kind=huggingface_auto,model={model}",
               "--data", f"kind=synthetic_text,prompt_tokens={PROMPT_TOKENS},output_tokens={OUTPUT_TOKENS}",
               "--output", f"kind=json,path={path}", "--disable-console-interactive"]
    done = subprocess.run(command, env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": folder}, capture_output=True, text=True)
    if done.returncode != 0 or not os.path.exists(path):
        sys.exit(f"guidellm ended with {done.returncode}: {(done.stdout + done.stderr)[-3000:]}")
    with open(path, encoding="utf-8") as file:
        return json.load(file)["benchmarks"][0]


def main():
    url, model, failed = sys.argv[1].rstrip("/"), os.path.abspath(sys.argv[2]), 0
    python = python_with("guidellm", REQUIREMENTS, "guidellm")
    for profile in ("kind=concurrent,streams=4", "kind=poisson,rate=20"):
        with tempfile.TemporaryDirectory() as folder:
            benchmark = run_guidellm(python, url, model, profile, folder)
        requests = benchmark["requests"]
        good = [r for r in requests["successful"] if r["output_metrics"]["text_tokens"] == OUTPUT_TOKENS]
        failed += len(good) != REQUESTS or len(requests["errored"]) > 0
        print(f"guidellm, {profile}: {len(good)} of {REQUESTS} requests with {OUTPUT_TOKENS} tokens each, {len(requests['errored'])} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
