"""What test_launched_llm.py starts: vLLM's `LLM` in a script for torchrun, where every process makes the same calls and
gets the same answers. Every process writes what it got into a file of its own; rank 0 prints."""
import json
import os
import sys
import time

from colrow import LLM, SamplingParams
from colrow.launched import on_rank_0

folder, out, ranks, backend, idle_seconds = sys.argv[1:6]
rank = int(os.environ.get("RANK", "0"))
more = {} if backend == "none" else {"distributed_executor_backend": backend}
llm = LLM(folder, tensor_parallel_size=int(ranks), gpu_memory_utilization=0.1, max_model_len=512, kv_cache_memory_bytes=32 << 20, **more)
params = SamplingParams(temperature=0.8, seed=3, max_tokens=20, logprobs=1)
prompts = ["What is tensor parallelism?", "Each rank"]
outputs = llm.generate(prompts, params)
chat = llm.chat([{"role": "user", "content": "What is a rank?"}], llm.get_default_sampling_params(), use_tqdm=False)
llm.enqueue(prompts, params)
queued = llm.wait_for_completion(use_tqdm=False)
try:
    llm.generate([[99999]], params, use_tqdm=False)
    refusal = None
except ValueError as error:
    refusal = f"{type(error).__name__}: {error}"
on_rank_0(lambda: time.sleep(float(idle_seconds)))
try:
    kind = type(llm.llm_engine).__name__
except RuntimeError as error:
    kind = str(error)
with open(os.path.join(out, f"{rank}.json"), "w", encoding="utf-8") as file:
    json.dump({"texts": [output.outputs[0].text for output in outputs + queued], "chat": chat[0].outputs[0].token_ids,
               "logprobs": [output.outputs[0].cumulative_logprob for output in outputs], "refusal": refusal,
               "ranks": llm.get_world_size(), "ids": llm.get_tokenizer().encode("a rank"), "engine": kind}, file)
if rank == 0:
    print(outputs[0].outputs[0].text)
llm.close()
