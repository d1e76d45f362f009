"""How long a model takes to load, and how many tokens a second it writes, as with vLLM:

    python examples/python/benchmark.py --tp 2
"""
import argparse
import time

from colrow import LLM, SamplingParams  # was: from vllm import LLM, SamplingParams


def benchmark(model, tp_size, num_prompts, max_tokens):
    start = time.time()
    llm = LLM(model=model, tensor_parallel_size=tp_size, gpu_memory_utilization=0.2, enforce_eager=True)
    load_time = time.time() - start

    prompts = [f"Question {i}: what is tensor parallelism?" for i in range(num_prompts)]
    sampling_params = SamplingParams(temperature=0.0, max_tokens=max_tokens, ignore_eos=True)

    llm.generate(prompts[:1], sampling_params, use_tqdm=False)  # warm-up

    start = time.time()
    outputs = llm.generate(prompts, sampling_params)
    elapsed = time.time() - start

    total_tokens = sum(len(output.outputs[0].token_ids) for output in outputs)
    print(f"Tensor parallel size: {tp_size}")
    print(f"Load time: {load_time:.2f} s")
    print(f"Generated tokens: {total_tokens}")
    print(f"Throughput: {total_tokens / elapsed:.1f} tokens/s")
    print(f"Sample: {outputs[0].outputs[0].text!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="models/demo")
    parser.add_argument("--tp", type=int, default=1)
    parser.add_argument("--num-prompts", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=64)
    args = parser.parse_args()
    benchmark(args.model, args.tp, args.num_prompts, args.max_tokens)
