#!/usr/bin/env python3
"""`colrow.AsyncLLMEngine`: many requests at once have the answers of `LLM`; outputs grow, or are parts, or come at the
end; whoever leaves or aborts ends the request; refusals hit one request alone; a lost group hits all of them."""
import asyncio
import os
import signal

from python_case import DEMO, SMALL, need_demo
from processes import children_of
from support import check, finish

need_demo()
import colrow  # noqa: E402
from colrow import LLM, AsyncEngineArgs, AsyncLLMEngine, RequestOutputKind, SamplingParams  # noqa: E402

PROMPTS = [f"{start} number {i}" for i in range(6) for start in ("The rank", "Each layer", "What is")]


def parameters(kind, **more):
    return SamplingParams(**{"temperature": 0.7, "seed": 5, "max_tokens": 30, "output_kind": kind, **more})


async def last_of(engine, prompt, name, params):
    outputs = [output async for output in engine.generate(prompt, params, name)]
    check(outputs[-1].finished and not any(output.finished for output in outputs[:-1]), f"{name}: finished too early or never")
    return outputs


async def many(engine, wanted):
    cumulative = await asyncio.gather(*(last_of(engine, prompt, f"a{i}", parameters(RequestOutputKind.CUMULATIVE))
                                        for i, prompt in enumerate(PROMPTS)))
    for outputs, answer in zip(cumulative, wanted):
        texts = [output.outputs[0].text for output in outputs]
        check(all(later.startswith(earlier) for earlier, later in zip(texts, texts[1:])), f"{texts} do not grow")
        check(outputs[-1].outputs[0].token_ids == answer.outputs[0].token_ids and texts[-1] == answer.outputs[0].text,
              f"{outputs[-1]} is not {answer}")
    deltas = await asyncio.gather(*(last_of(engine, prompt, f"b{i}", parameters(RequestOutputKind.DELTA))
                                    for i, prompt in enumerate(PROMPTS)))
    for outputs, answer in zip(deltas, wanted):
        check("".join(output.outputs[0].text for output in outputs) == answer.outputs[0].text, "parts do not make the text")
        check(sum((output.outputs[0].token_ids for output in outputs), []) == answer.outputs[0].token_ids, "nor the tokens")
    final = await last_of(engine, PROMPTS[0], "c", parameters(RequestOutputKind.FINAL_ONLY, n=3))
    check(len(final) == 1 and [item.index for item in final[0].outputs] == [0, 1, 2], f"{final}")
    several = await last_of(engine, PROMPTS[0], "d", parameters(RequestOutputKind.CUMULATIVE, n=3))
    check(all(len(output.outputs) == 1 for output in several), "one sequence in each output")
    ends = {output.outputs[0].index: output.outputs[0].token_ids for output in several}
    check([ends[i] for i in range(3)] == [item.token_ids for item in final[0].outputs], "three sequences")


async def endings(engine):
    long = SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)
    seen = []
    async for output in engine.generate("The", long, "left"):
        seen.append(output)
        if len(seen) == 3:
            break
    async for output in engine.generate("The", long, "aborted"):
        if not output.finished and len(output.outputs[0].token_ids) >= 2:
            await engine.abort("aborted")
    check(output.outputs[0].finish_reason == "abort" and output.finished, f"aborted: {output}")
    task = asyncio.ensure_future(last_of(engine, "The", "cancelled", long))
    await asyncio.sleep(0)
    task.cancel()
    check((await asyncio.gather(task, return_exceptions=True))[0].__class__ is asyncio.CancelledError, "the task is cancelled")
    for words, prompt, params, kind in (("vocab_size", [99999], long, colrow.InvalidRequestError),
                                        ("512", [7] * 600, long, colrow.TooLargeError),
                                        ("None", None, long, TypeError)):
        try:
            await last_of(engine, prompt, "bad", params)
            check(False, f"{prompt} was not refused")
        except kind as error:
            check(words in str(error), f"{error}")
    holder = engine.generate("The", long, "twice")
    await holder.__anext__()
    try:
        await last_of(engine, "The", "twice", long)
        check(False, "two requests of one name")
    except ValueError as error:
        check("twice" in str(error), f"{error}")
    await holder.aclose()
    await last_of(engine, "The", "after", parameters(RequestOutputKind.CUMULATIVE))
    while engine.engine.gauges()["requests"]:  # those that were left are over, in a moment
        await asyncio.sleep(0.01)


async def lost(engine):
    """The only rank dies, and may not be started again: everybody is told, in colrow's words."""
    check(engine.is_running, "it runs")
    long = SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)
    first = engine.generate("The", long, "lost")
    await first.__anext__()
    children = children_of(os.getpid())
    check(children, "there are no ranks")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    try:
        while True:
            await first.__anext__()
    except colrow.GroupLostError as error:
        check("rank" in str(error), f"{error}")
    except StopAsyncIteration:
        check(False, "the answer came to its end although its ranks were killed")


with LLM(DEMO, tensor_parallel_size=2, **SMALL) as llm:
    answers = llm.generate(PROMPTS, parameters(RequestOutputKind.CUMULATIVE), use_tqdm=False)
served = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(DEMO, tensor_parallel_size=2, **SMALL))
asyncio.run(many(served, answers))
asyncio.run(endings(served))  # another loop
served.shutdown()
mortal = AsyncLLMEngine.from_engine_args(AsyncEngineArgs(DEMO, rank_restarts=0, **SMALL))
asyncio.run(lost(mortal))
mortal.shutdown()
finish("AsyncLLMEngine")
