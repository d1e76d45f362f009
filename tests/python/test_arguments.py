#!/usr/bin/env python3
"""What `colrow.LLM` and its requests refuse: one sentence each, as an exception of its kind, and the engine goes on."""
import os
import subprocess
import sys

from python_case import DEMO, SMALL, need_demo, refused
from support import check, finish

need_demo()
import colrow  # noqa: E402
from colrow import LLM, EngineArgs, SamplingParams  # noqa: E402

def subprocess_import(library):
    done = subprocess.run([sys.executable, "-c", "import colrow; colrow.Tokenizer('.')"], capture_output=True, text=True,
                          env={**os.environ, "COLROW_LIBRARY": library, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False)
    kind, _, sentence = done.stderr.strip().split("\n")[-1].partition(": ")
    raise ImportError(sentence) if kind == "ImportError" else RuntimeError(done.stderr)


# engines
for kind, words, arguments in (
        (TypeError, ["no argument", "tensor_paralel_size"], {"tensor_paralel_size": 2}),
        (ValueError, ["tensor_parallel_size", "'2'"], {"tensor_parallel_size": "2"}),
        (ValueError, ["tensor_parallel_size", "True"], {"tensor_parallel_size": True}),
        (colrow.UsageError, ["tensor_parallel_size", "0"], {"tensor_parallel_size": 0}),
        (ValueError, ["tensor_parallel_size", "bits"], {"tensor_parallel_size": 2**40}),
        (colrow.UsageError, ["dtype", "int4"], {"dtype": "int4"}),
        (ValueError, ["quantization", "'awq'"], {"quantization": "awq"}),
        (ValueError, ["gpu_memory_utilization", "nan"], {"gpu_memory_utilization": float("nan")}),
        (colrow.UsageError, ["gpu_memory_utilization"], {"gpu_memory_utilization": 7.0}),
        (ValueError, ["enable_prefix_caching", "'yes'"], {"enable_prefix_caching": "yes"}),
        (ValueError, ["log_level", "'loud'"], {"log_level": "loud"}),
        (ValueError, ["seed", "-1"], {"seed": -1}),
        (ValueError, ["tp_plan"], {"tp_plan": {"layers.*": 3}}),
        (colrow.ColrowError, ["rule", "sideways"], {"tp_plan": {"layers.*.mlp.up_proj": "sideways"}}),
        (ValueError, ["tokenizer", "'other'"], {"tokenizer": "other"}),
        (ValueError, ["rank_program"], {"rank_program": "a\0b"}),
        (colrow.ColrowError, ["scheduling_policy", "dice"], {"scheduling_policy": "dice"}),
):
    refused(check, kind, words, lambda given=arguments: LLM(DEMO, **{**SMALL, **given}))
refused(check, colrow.ModelError, ["/nowhere"], lambda: LLM("/nowhere"))
refused(check, OSError, ["/nowhere"], lambda: LLM("/nowhere"))
os.environ["HF_HUB_OFFLINE"] = "1"
refused(check, ValueError, ["no/model", "download"], lambda: LLM("no/model"))
refused(check, ImportError, ["COLROW_LIBRARY"], lambda: subprocess_import("/nowhere/libcolrow.so.0"))
args = EngineArgs(DEMO, tensor_parallel_size=None, enforce_eager=True, trust_remote_code=True, tokenizer=DEMO, device="cpu")
check(args.options()[0].tensor_parallel_size == 1, "None keeps the default")

# parameters
for words, arguments in (
        (["temperature", "-1"], {"temperature": -1}), (["temperature", "2.5"], {"temperature": 2.5}),
        (["temperature", "nan"], {"temperature": float("nan")}), (["temperature", "str"], {"temperature": "1"}),
        (["top_p", "0"], {"top_p": 0}), (["top_k", "-2"], {"top_k": -2}), (["top_k"], {"top_k": 1.5}),
        (["min_p", "2"], {"min_p": 2}), (["presence_penalty", "3"], {"presence_penalty": 3}),
        (["repetition_penalty", "0"], {"repetition_penalty": 0}), (["max_tokens", "0"], {"max_tokens": 0}),
        (["min_tokens", "max_tokens"], {"max_tokens": 2, "min_tokens": 3}), (["n must be", "0"], {"n": 0}),
        (["n must be 1", "greedy"], {"n": 2, "temperature": 0}), (["logprobs", "-2"], {"logprobs": -2}),
        (["stop"], {"stop": [""]}), (["stop"], {"stop": [3]}), (["stop_token_ids"], {"stop_token_ids": ["a"]}),
        (["detokenize"], {"stop": "a", "detokenize": False}), (["seed"], {"seed": -2}), (["seed"], {"seed": 2**64}),
        (["bad_words", "colrow does not have"], {"bad_words": ["no"]}), (["logit_bias"], {"logit_bias": {"a": 1}}),
        (["structured_outputs"], {"structured_outputs": {"json": "{}"}}), (["allowed_token_ids"], {"allowed_token_ids": [1]}),
):
    refused(check, ValueError, words, lambda given=arguments: SamplingParams(**given))
refused(check, TypeError, ["best_of"], lambda: SamplingParams(best_of=2))
check(SamplingParams(temperature=1e-3).temperature == 1e-2 and SamplingParams(temperature=1e-6, top_p=0.5).top_p == 1
      and SamplingParams(seed=-1).seed is None and SamplingParams(stop="a").stop == ["a"], "vLLM's corrections")
check(SamplingParams.from_optional(max_tokens=None, top_p=None, n=2) == SamplingParams(max_tokens=None, n=2), "from_optional")

# requests
one = SamplingParams(temperature=0, max_tokens=4)
with LLM(DEMO, **SMALL) as llm:
    wanted = llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].token_ids
    for kind, words, prompts, params in (
            (TypeError, ["prompts", "3"], 3, one),
            (TypeError, ["prompt 1", "None"], ["a", None], one),
            (TypeError, ["prompt 0"], [[1, "a"]], one),
            (ValueError, ["token id 1", "-1"], [[1, -1]], one),
            (colrow.InvalidRequestError, ["1280", "vocab_size"], [[1280]], one),
            (colrow.InvalidRequestError, ["no tokens"], [[]], one),
            (ValueError, ["dict", "'text'"], {"text": "a"}, one),
            (ValueError, ["dict"], {"prompt": "a", "prompt_token_ids": [1]}, one),
            (colrow.TooLargeError, ["512", "513"], [[7] * 513], one),
            (ValueError, ["lengths", "2", "1"], ["a", "b"], [one]),
            (TypeError, ["sampling_params"], ["a"], [{"temperature": 0}]),
            (colrow.InvalidRequestError, ["UTF-8"], ["\ud800"], one),
            (colrow.InvalidRequestError, ["stop_token_ids", "1280"], ["a"], SamplingParams(stop_token_ids=[1280])),
            (ValueError, ["logit_bias", "1280"], ["a"], SamplingParams(logit_bias={1280: 1})),
            (colrow.InvalidRequestError, ["logprobs"], ["a"], SamplingParams(logprobs=100000)),
    ):
        refused(check, kind, words, lambda p=prompts, s=params: llm.generate(p, s, use_tqdm=False))
    # one bad prompt among good ones: none is answered, and the next batch is not disturbed
    refused(check, colrow.InvalidRequestError, ["vocab_size"],
            lambda: llm.generate(["Each rank", "The", [99999]], SamplingParams(max_tokens=100), use_tqdm=False))
    check(llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].token_ids == wanted, "an answer after refusals")
    for kind, words, messages in (
            (TypeError, ["messages"], "hello"), (TypeError, ["messages"], []),
            (ValueError, ["message 0", "role"], [{"content": "a"}]),
            (ValueError, ["message 0", "content"], [{"role": "user", "content": [{"type": "image_url"}]}]),
            (ValueError, ["message 0", "role"], [{"content": "a", "tool_calls": []}]),
            (ValueError, ["U+0000"], [{"role": "user", "content": "a\0b"}]),
    ):
        refused(check, kind, words, lambda m=messages: llm.chat(m, one, use_tqdm=False))
    refused(check, ValueError, ["lora_request"], lambda: llm.generate("a", one, lora_request="x"))
    check(llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].token_ids == wanted, "an answer at the end")
refused(check, RuntimeError, ["closed"], lambda: llm.generate("a", one, use_tqdm=False))
with LLM(DEMO, prompt_logits=False, **SMALL) as bare:
    refused(check, colrow.InvalidRequestError, ["prompt_logits"],
            lambda: bare.generate("a b", SamplingParams(prompt_logprobs=1), use_tqdm=False))

# the bar: one step for each prompt
steps = []


class Bar:
    def __init__(self, total, desc, **_):
        steps.append((total, desc))

    def update(self, n):
        steps.append(n)

    def close(self):
        steps.append("closed")


with LLM(DEMO, **SMALL) as llm:
    llm.generate(["a", "b"], one, use_tqdm=Bar)
check(steps == [(2, "Processed prompts"), 1, 1, "closed"], f"the progress bar saw {steps}")


class Interrupted(Bar):
    def update(self, n):
        raise KeyboardInterrupt


# Ctrl-C in the middle of a batch: the rest of it is ended, and the next one is answered as ever
with LLM(DEMO, **SMALL) as llm:
    try:
        llm.generate(["Each rank", "The"], [one, SamplingParams(max_tokens=400, ignore_eos=True)], use_tqdm=Interrupted)
        check(False, "KeyboardInterrupt was swallowed")
    except KeyboardInterrupt:
        pass
    check(llm.generate("Each rank", one, use_tqdm=False)[0].outputs[0].token_ids == wanted, "an answer after Ctrl-C")
    check(llm.llm_engine.gauges()["requests"] == 0, "requests of a batch that was given up are alive")
finish("arguments")
