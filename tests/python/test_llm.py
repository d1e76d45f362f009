#!/usr/bin/env python3
"""`colrow.LLM` answers as `colrow generate` does, on 1 and 2 ranks: tokens, texts, log-probabilities, reasons to end;
prompts in all their forms, chats, several answers, log-probabilities of prompts with and without numpy."""
import json
import math
import struct

from python_case import DEMO, SMALL, need_demo
from support import check, finish, run

need_demo()
from colrow import LLM, SamplingParams, requests  # noqa: E402

WITH_NUMPY = requests.numpy is not None
PROMPTS = ["What is tensor parallelism?", "Each rank holds", "The KV cache"]


def single(value):
    """As a float32, which nine digits of JSON name."""
    return struct.unpack("f", struct.pack("f", value))[0]


def generated(*flags):
    done = run("generate", DEMO, "--json", "-q", *(word for prompt in PROMPTS for word in ("-p", prompt)), *flags)
    return json.loads(done.stdout)["outputs"] if check(done.returncode == 0, done.stderr) else []


def same(outputs, wanted, what):
    sequences = [sequence for output in outputs for sequence in output.outputs]
    check(len(sequences) == len(wanted), f"{what}: {len(sequences)} answers, expected {len(wanted)}")
    for found, item in zip(sequences, wanted):
        check(found.token_ids == item["token_ids"] and found.text == item["text"]
              and found.finish_reason == item["finish_reason"] and found.finished(), f"{what}: {found} is not {item}")
        if "logprobs" in item:
            check(len(found.logprobs) == len(item["logprobs"]), f"{what}: log-probabilities are missing")
            for position, entries in zip(found.logprobs, item["logprobs"]):
                for entry in entries:
                    other = position[entry["id"]]
                    check(single(other.logprob) == single(entry["logprob"]) and other.rank == entry["rank"],
                          f"{what}: {other} is not {entry}")
            total = sum(entries[0]["logprob"] for entries in item["logprobs"])
            check(math.isclose(found.cumulative_logprob, total, rel_tol=1e-6), f"{what}: {found.cumulative_logprob}")


def compare_with_program(llm, ranks):
    flags = ["-tp", ranks]
    greedy = SamplingParams(temperature=0, max_tokens=40, logprobs=3)
    same(llm.generate(PROMPTS, greedy, use_tqdm=False),
         generated("-n", 40, "-t", 0, "--logprobs", 3, *flags), f"greedy, {ranks} ranks")
    drawn = SamplingParams(n=3, temperature=0.9, top_p=0.95, top_k=40, min_p=0.01, seed=7, max_tokens=24,
                           presence_penalty=0.5, frequency_penalty=0.25, repetition_penalty=1.1, min_tokens=4)
    same(llm.generate(PROMPTS, drawn, use_tqdm=False),
         generated("-n", 24, "-t", 0.9, "--top-p", 0.95, "--top-k", 40, "--min-p", 0.01, "--sampling-seed", 7, "--n", 3,
                   "--presence-penalty", 0.5, "--frequency-penalty", 0.25, "--repetition-penalty", 1.1,
                   "--min-tokens", 4, *flags), f"drawn, {ranks} ranks")
    stopped = SamplingParams(temperature=0, max_tokens=64, stop=[",", " and"], ignore_eos=True)
    outputs = llm.generate(PROMPTS, stopped, use_tqdm=False)
    wanted = generated("-n", 64, "-t", 0, "--stop", ",", "--stop", " and", "--ignore-eos", *flags)
    same(outputs, wanted, f"stopped, {ranks} ranks")
    check([output.outputs[0].stop_reason for output in outputs] == [item["stop_reason"] for item in wanted], "reasons")


def check_forms(llm):
    """Prompts as texts, tokens, dicts; one or several; parameters for each."""
    greedy = SamplingParams(temperature=0, max_tokens=8)
    plain = llm.generate(PROMPTS, greedy, use_tqdm=False)
    ids = [output.prompt_token_ids for output in plain]
    check(ids[0] == llm.get_tokenizer().encode(PROMPTS[0]), "the tokens of a prompt are not the tokenizer's")
    check([output.prompt for output in plain] == PROMPTS, "prompts come back in another order")
    forms = [ids, [{"prompt": text} for text in PROMPTS], [{"prompt_token_ids": tokens, "cache_salt": "a"} for tokens in ids],
             [PROMPTS[0], ids[1], {"prompt": PROMPTS[2]}], tuple(PROMPTS)]
    for form in forms:
        outputs = llm.generate(form, greedy, use_tqdm=False)
        check([output.outputs[0].token_ids for output in outputs] == [output.outputs[0].token_ids for output in plain],
              f"{form} is answered otherwise")
    for one in (PROMPTS[0], ids[0], {"prompt": PROMPTS[0]}):
        check(llm.generate(one, greedy, use_tqdm=False)[0].outputs[0].text == plain[0].outputs[0].text, f"{one}")
    check(llm.generate(ids[0], greedy, use_tqdm=False)[0].prompt is None, "token ids have no text")
    check(llm.generate([], greedy, use_tqdm=False) == [], "no prompts have no answers")
    mixed = llm.generate(PROMPTS, [SamplingParams(temperature=0, max_tokens=n) for n in (1, 2, 3)], use_tqdm=False)
    check([len(output.outputs[0].token_ids) for output in mixed] == [1, 2, 3], "each prompt has its own parameters")
    names = llm.enqueue(PROMPTS, greedy)
    waited = llm.wait_for_completion(use_tqdm=False)
    check([output.request_id for output in waited] == names and waited[2].outputs[0].text == plain[2].outputs[0].text, "queued")
    bare = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=8, detokenize=False), use_tqdm=False)[0]
    check(bare.outputs[0].text == "" and bare.outputs[0].token_ids == plain[0].outputs[0].token_ids, "detokenize=False")
    forced = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=4, logit_bias={42: 100}), use_tqdm=False)[0]
    check(forced.outputs[0].token_ids == [42] * 4, f"logit_bias: {forced}")
    cached = llm.generate(" ".join(["every rank"] * 60), SamplingParams(max_tokens=1), use_tqdm=False)
    again = llm.generate(" ".join(["every rank"] * 60), SamplingParams(max_tokens=1), use_tqdm=False)
    check(cached[0].num_cached_tokens == 0 and again[0].num_cached_tokens >= 64, f"{again[0].num_cached_tokens} were cached")


def check_chat(llm):
    conversation = [{"role": "user", "content": "What is a rank?"}]
    output = llm.chat(conversation, SamplingParams(temperature=0, max_tokens=200), use_tqdm=False)[0]
    done = run("generate", DEMO, "--chat", "-q", "-p", "What is a rank?")
    check(output.outputs[0].text == done.stdout.rstrip("\n"), f"{output} is not {done.stdout}")
    check(output.outputs[0].finish_reason == "stop" and output.outputs[0].stop_reason is None, "ended by the end token")
    parts = [{"role": "user", "content": [{"type": "text", "text": "What is a rank?"}]}]
    both = llm.chat([conversation, parts], SamplingParams(temperature=0, max_tokens=200), use_tqdm=False)
    check([item.outputs[0].text for item in both] == [output.outputs[0].text] * 2, "two chats")
    ended = llm.chat(conversation, SamplingParams(temperature=0, max_tokens=200, stop_token_ids=[334]), use_tqdm=False)[0]
    check(ended.outputs[0].stop_reason == 334 and ended.outputs[0].token_ids[-1] == 334, f"stop_token_ids: {ended}")


def check_prompt_logprobs(llm):
    """Those of the prompt's tokens are those of the same tokens when they are drawn."""
    answer = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=12, logprobs=2), use_tqdm=False)[0]
    tokens = answer.prompt_token_ids + answer.outputs[0].token_ids
    for numpy in {requests.numpy, None}:
        requests.numpy = numpy
        scored = llm.generate(tokens, SamplingParams(max_tokens=1, prompt_logprobs=2), use_tqdm=False)[0].prompt_logprobs
        check(len(scored) == len(tokens) and scored[0] is None, f"{len(scored)} positions")
        for found, drawn in zip(scored[len(answer.prompt_token_ids):], answer.outputs[0].logprobs):
            check(set(found) == set(drawn) and all(abs(found[token].logprob - drawn[token].logprob) < 1e-4
                                                   and found[token].rank == drawn[token].rank
                                                   and found[token].decoded_token == drawn[token].decoded_token
                                                   for token in found), f"{found} is not {drawn}")
        everything = llm.generate(tokens[:3], SamplingParams(max_tokens=1, prompt_logprobs=-1), use_tqdm=False)[0]
        total = sum(math.exp(entry.logprob) for entry in everything.prompt_logprobs[2].values())
        check(abs(total - 1) < 1e-6, f"probabilities of all tokens sum up to {total}")


answers = []
for ranks in (1, 2):
    with LLM(DEMO, tensor_parallel_size=ranks, **SMALL) as model:
        check(model.get_world_size() == ranks, f"{model.get_world_size()} ranks")
        compare_with_program(model, ranks)
        answers.append([output.outputs[0].token_ids for output in model.generate(PROMPTS, SamplingParams(seed=3), use_tqdm=False)])
        if ranks == 2:
            check_forms(model)
            check_chat(model)
            check_prompt_logprobs(model)
check(answers[0] == answers[1], "one rank draws other tokens than two")
finish("LLM" if WITH_NUMPY else "LLM (skipped: numpy, which is not installed, for log-probabilities of prompts)")
