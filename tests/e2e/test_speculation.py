#!/usr/bin/env python3
"""Drafted tokens in a server: the same answers for models with windows, experts, a latent; in batches, from the prefix cache,
after preemption, with a rank killed; streamed; counted in /metrics and in the log. Models with states are refused."""
import json
import os
import signal
import tempfile
import threading
import time

from processes import ranks_below
from serve_client import Server
from serving_alike import check_golden, check_shipped
from support import DEMO, ROOT, check, finish, run, skip
from tiny_checkpoint import write_checkpoint

if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
NGRAM = {"method": "ngram", "num_speculative_tokens": 5, "prompt_lookup_min": 1, "prompt_lookup_max": 3}
FLAGS = ("--speculative-config", json.dumps(NGRAM))
PROMPTS = ["one two three four, one two three four, one two", "What is a rank?", "The KV cache of a rank", "a a a a a a"]
TOTALS = ("num_drafts", "num_draft_tokens", "num_accepted_tokens")


def ask(server, prompt, **more):
    status, answer = server.post("/v1/completions", prompt=prompt, max_tokens=200, temperature=0.3, seed=11, logprobs=2, **more)
    return (answer["choices"][0]["text"], answer["choices"][0]["logprobs"]) if check(status == 200, answer) else None


def streamed(server, prompt):
    """-> text and log-probabilities of all events"""
    text, tokens, values = "", [], []
    for event in server.events("/v1/completions", prompt=prompt, max_tokens=200, temperature=0.3, seed=11, logprobs=2):
        for choice in [] if event == "[DONE]" else event["choices"]:
            text += choice["text"]
            if choice["logprobs"]:
                tokens += choice["logprobs"]["tokens"]
                values += choice["logprobs"]["token_logprobs"]
    return text, tokens, values


def counts(server):
    return [server.metric(f"vllm:spec_decode_{name}_total") for name in TOTALS]


def kill_ranks(server, until):
    while not until.is_set():
        time.sleep(0.15)
        ranks = ranks_below(server.process.pid)
        if 1 in ranks:
            os.kill(ranks[1], signal.SIGKILL)
            return


def check_server(expected):
    with Server("-tp", 2, *FLAGS) as server:
        for prompt, wanted in zip(PROMPTS, expected):
            check(ask(server, prompt) == wanted, f"{prompt}: another answer with drafts")
            text, tokens, values = streamed(server, prompt)
            check((text, tokens, values) == (wanted[0], wanted[1]["tokens"], wanted[1]["token_logprobs"]), f"{prompt}: streamed")
        drafts, drafted, accepted = counts(server)
        check(0 < drafts <= drafted and 0 < accepted <= drafted, f"{drafts} drafts, {accepted} of {drafted} tokens right")
        at = [server.metric("vllm:spec_decode_num_accepted_tokens_per_pos_total", position=str(i)) for i in range(5)]
        check(sum(at) == accepted and at == sorted(at, reverse=True), f"{accepted} accepted, by position {at}")
        done = threading.Event()
        killer = threading.Thread(target=kill_ranks, args=(server, done))
        killer.start()
        for _ in range(6):
            for prompt, wanted in zip(PROMPTS, expected):
                check(ask(server, prompt) == wanted, f"{prompt}: another answer around a killed rank")
        done.set()
        killer.join()
        check(server.metric("colrow_rank_restarts_total") > 0, "no rank was lost")
        check("drafted tokens right" in server.read_log(), "the log says nothing of drafts")


def check_refusals():
    with open(os.path.join(ROOT, "tests/data/families/lfm2-5-19.json"), encoding="utf-8") as file:
        one = json.load(file)
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder, one["config"], one["weights"], one["seed"], one["dtype"])
        with open(os.path.join(folder, "ids"), "w", encoding="ascii") as file:
            file.write("5 6 7")
        done = run("logits", folder, "--input-ids", os.path.join(folder, "ids"), "--output", os.path.join(folder, "out"), *FLAGS)
        check(done.returncode == 2 and "keep a state" in done.stderr, f"{done.returncode}: {done.stderr}")
    done = run("generate", DEMO, "-p", "a", "--speculative-config", '{"method":"medusa","num_speculative_tokens":2}')
    check(done.returncode == 2 and "medusa" in done.stderr and done.stderr.count("\n") == 1, done.stderr)


with Server("-tp", 1) as plain:
    answers = [ask(plain, prompt) for prompt in PROMPTS]
    check("spec_decode" not in plain.request("GET", "/metrics")[2], "counts of drafts where nothing is drafted")
check_server(answers)
check_refusals()
for case in ("gemma3_text-41-3", "gpt_oss-5-23", "phi3-41-1"):
    check_shipped(case, (7,), ((2, *FLAGS),), preempts=False)
for case in ("qwen3-21-7", "glm4_moe-3-2"):
    check_shipped(case, (7,), ((2, *FLAGS),))
for name in ("deepseek-v2", "gemma4-moe"):
    check_golden(name, (7,), ((2, *FLAGS),), preempts=False)
finish("speculation")
