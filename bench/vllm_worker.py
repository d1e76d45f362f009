"""vLLM on the CPU, kept open for bench/peers.py: a line "BATCH INPUT OUTPUT" in, a line of JSON out.

The time of a run with one new token is the prefill; what further tokens add is the decoding. The first run of each shape warms up and does not count.
"""
import json
import random
import sys
import time


def main():
    from vllm import LLM, SamplingParams

    model, tp, max_model_len, max_num_seqs = sys.argv[1], *map(int, sys.argv[2:5])
    llm = LLM(model, tensor_parallel_size=tp, dtype="bfloat16", max_model_len=max_model_len, max_num_seqs=max_num_seqs,
              enable_prefix_caching=False, disable_log_stats=True, skip_tokenizer_init=True,
              distributed_executor_backend="mp" if tp > 1 else None)
    numbers = random.Random(0)
    warm = set()

    def run(batch, length, new):
        prompts = [{"prompt_token_ids": [numbers.randint(10, 100000) for _ in range(length)]} for _ in range(batch)]
        start = time.perf_counter()
        llm.generate(prompts, SamplingParams(temperature=0, max_tokens=new, ignore_eos=True, detokenize=False), use_tqdm=False)
        return time.perf_counter() - start

    run(1, 16, 1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        batch, length, new = map(int, line.split())
        if (batch, length) not in warm:
            run(batch, length, min(new, 3))
            warm.add((batch, length))
        first = run(batch, length, 1)
        rest = run(batch, length, new) - first if new > 1 else 0
        print(json.dumps({"prefill": batch * length / first, "decode": batch * (new - 1) / rest if rest > 0 else 0}), flush=True)


if __name__ == "__main__":
    main()
