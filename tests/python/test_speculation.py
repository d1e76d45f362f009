#!/usr/bin/env python3
"""Drafted tokens change no bit: random requests (penalties, log-probabilities, stop strings and tokens, seeds, min_p,
several sequences, biases), all at once, by engines that draft and by one that does not.

SPECULATION_REQUESTS=1000 makes it as long as the claim in docs/performance.md."""
import os
import random

from python_case import DEMO, need_demo, refused
from support import check, finish

need_demo()
from colrow import LLM, SamplingParams  # noqa: E402

SEED = int(os.environ.get("SPECULATION_SEED", "16"))
N = int(os.environ.get("SPECULATION_REQUESTS", "150"))
SIZES = {"gpu_memory_utilization": 0.1, "max_model_len": 512, "seed": 5}
TEXTS = ["Tensor parallelism", "Each rank holds", "What is a rank?", "The KV cache", "A group of ranks",
         "one two three four one two three four one two", "a, b, c, a, b, c, a, b,", "The matrices are cut. " * 6]


def draw(rng):
    """-> prompt, parameters"""
    params = {"max_tokens": rng.choice((1, 2, 5, 20, 60, 120)), "ignore_eos": rng.random() < 0.6}
    if rng.random() < 0.6:
        params.update(temperature=rng.choice((0.2, 0.7, 1.2)), seed=rng.randrange(1 << 30))
        for name, values in (("top_p", (0.5, 0.9)), ("top_k", (1, 5, 40)), ("min_p", (0.02, 0.2))):
            if rng.random() < 0.4:
                params[name] = rng.choice(values)
    else:
        params["temperature"] = 0
    for name, values in (("repetition_penalty", (0.8, 1.2)), ("presence_penalty", (-1, 0.7)),
                         ("frequency_penalty", (-0.5, 0.3)), ("logprobs", (0, 3)), ("n", (2, 3)), ("min_tokens", (3, 10)),
                         ("stop", ([","], [" the", "ank"], [". "])), ("stop_token_ids", ([270, 272], [13])),
                         ("include_stop_str_in_output", (True,)), ("logit_bias", ({270: 5.0, 13: -100.0},))):
        if rng.random() < 0.25:
            params[name] = rng.choice(values)
    params["min_tokens"] = min(params.get("min_tokens", 0), params["max_tokens"])
    if params["temperature"] == 0:
        params.pop("n", None)  # as vLLM has it
    return rng.choice(TEXTS) * rng.choice((1, 1, 2, 3)), SamplingParams(**params)


def answers(requests, **arguments):
    with LLM(DEMO, **SIZES, **arguments) as llm:
        outputs = llm.generate([prompt for prompt, _ in requests], [params for _, params in requests], use_tqdm=False)
    return [[(one.token_ids, one.text, one.finish_reason, one.stop_reason, one.logprobs and repr(one.logprobs))
             for one in output.outputs] for output in outputs]


requests = [draw(random.Random(SEED * 1000003 + i)) for i in range(N)]
wanted = answers(requests, tensor_parallel_size=1)
tokens = sum(len(one[0]) for output in wanted for one in output)
check(tokens > 20 * N, f"{tokens} tokens of {N} requests")
for ranks, config, more in ((1, {"num_speculative_tokens": 4, "prompt_lookup_min": 1, "prompt_lookup_max": 3}, {}),
                            (2, {"num_speculative_tokens": 16, "prompt_lookup_min": 2, "prompt_lookup_max": 4}, {}),
                            (3, {"num_speculative_tokens": 1, "prompt_lookup_max": 1}, {"max_num_seqs": 3}),
                            (2, {"num_speculative_tokens": 7, "prompt_lookup_min": 1, "prompt_lookup_max": 2},
                             {"pipeline_parallel_size": 2, "max_num_batched_tokens": 24, "kv_cache_memory_bytes": 6 << 20})):
    found = answers(requests, tensor_parallel_size=ranks, speculative_config={"method": "ngram", **config}, **more)
    for i, (one, other) in enumerate(zip(found, wanted)):
        check(one == other, f"request {i}, {ranks} ranks, {config}: {one} is not {other}; {requests[i]}")

for config, words in (("{", ["speculative_config"]), ({"method": "eagle", "num_speculative_tokens": 3}, ["eagle", "ngram"]),
                      ({"method": "ngram"}, ["num_speculative_tokens", "missing"]),
                      ({"method": "ngram", "num_speculative_tokens": 17}, ["17", "16"])):
    refused(check, Exception, words, lambda config=config: LLM(DEMO, speculative_config=config, **SIZES))
print(f"{N} requests, {tokens} tokens")
finish("drafted tokens")
