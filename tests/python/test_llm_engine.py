#!/usr/bin/env python3
"""`colrow.LLMEngine`, whose steps a program runs: answers are those of `LLM` whenever requests come, whole or in parts;
aborted requests bring nothing more; refusals hit one request alone."""
from python_case import DEMO, SMALL, need_demo, refused
from support import check, finish

need_demo()
import colrow  # noqa: E402
from colrow import LLM, EngineArgs, LLMEngine, RequestOutputKind, SamplingParams  # noqa: E402
from colrow.engine.llm_engine import LLMEngine as SameEngine  # noqa: E402

PROMPTS = ["What is tensor parallelism?", "Each rank holds", "The KV cache", [0, 401, 296]]


def parameters(kind=RequestOutputKind.CUMULATIVE, **more):
    return SamplingParams(**{"temperature": 0.7, "seed": 5, "max_tokens": 20, "output_kind": kind, **more})


def run_all(engine, kind, **more):
    """Requests come one a step; -> the outputs of each."""
    waiting, outputs = list(enumerate(PROMPTS)), {}
    while waiting or engine.has_unfinished_requests():
        if waiting:
            number, prompt = waiting.pop(0)
            engine.add_request(str(number), prompt, parameters(kind, **more))
        for output in engine.step():
            outputs.setdefault(output.request_id, []).append(output)
    check(engine.get_num_unfinished_requests() == 0, "requests are left")
    for name, found in outputs.items():
        check([output.finished for output in found] == [False] * (len(found) - 1) + [True], f"{name}: finished too early or never")
    return [outputs[str(number)] for number in range(len(PROMPTS))]


check(SameEngine is LLMEngine, "vLLM's place")
with LLM(DEMO, **SMALL) as llm:
    wanted = [output.outputs[0] for output in llm.generate(PROMPTS, parameters(), use_tqdm=False)]
    several = llm.generate(PROMPTS, parameters(n=3), use_tqdm=False)
engine = LLMEngine.from_engine_args(EngineArgs(DEMO, tensor_parallel_size=2, max_num_seqs=2, **SMALL))
for found, answer in zip(run_all(engine, RequestOutputKind.CUMULATIVE), wanted):
    check(found[-1].outputs[0].token_ids == answer.token_ids and found[-1].outputs[0].text == answer.text, f"{found[-1]} is not {answer}")
for found, answer in zip(run_all(engine, RequestOutputKind.DELTA), wanted):
    check(sum((output.outputs[0].token_ids for output in found), []) == answer.token_ids, "parts do not make the answer")
for found, answer in zip(run_all(engine, RequestOutputKind.FINAL_ONLY, n=3), several):
    check(len(found) == 1 and [item.token_ids for item in found[0].outputs] == [item.token_ids for item in answer.outputs], f"{found}")
for found, answer in zip(run_all(engine, RequestOutputKind.CUMULATIVE, n=3), several):
    ends = {output.outputs[0].index: output.outputs[0].token_ids for output in found}
    check([ends[i] for i in range(3)] == [item.token_ids for item in answer.outputs], "three sequences")

long = SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)
engine.add_request("a", "The", long)
engine.add_request("b", PROMPTS[0], parameters())
refused(check, ValueError, ["a", "already running"], lambda: engine.add_request("a", "The", long))
refused(check, colrow.InvalidRequestError, ["vocab_size"], lambda: engine.add_request("c", [99999], long))
engine.step()
engine.abort_request(["a", "nobody"])
last = None
while engine.has_unfinished_requests():
    for last in engine.step():
        check(last.request_id == "b", f"{last.request_id} was aborted")
check(last.outputs[0].token_ids == wanted[0].token_ids, "the other one's answer")
engine.shutdown()
finish("LLMEngine")
