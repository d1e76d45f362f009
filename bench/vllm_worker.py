"""vLLM on the CPU, kept open for bench/peers.py: a line "BATCH INPUT OUTPUT" in, a line of JSON out.

The time of a run with one new token is the prefill; what further tokens add is the decoding.
"""
import json
import random
import sys
import time


def main():
    from vllm import LLM, SamplingParams

    model, tp = sys.argv[1], int(sys.argv[2])
    begun = time.time()
    llm = LLM(model, tensor_parallel_size=tp, dtype="bfloat16", max_model_len=2304, max_num_seqs=64,
              enable_prefix_caching=False, disable_log_stats=True,
              distributed_executor_backend="mp" if tp > 1 else None)
    print(json.dumps({"load": time.time() - begun}), flush=True)
    numbers = random.Random(0)

    def run(batch, length, new):
        prompts = [dict(prompt_token_ids=[numbers.randint(10, 100000) for _ in range(length)]) for _ in range(batch)]
        start = time.time()
        llm.generate(prompts, SamplingParams(temperature=0, max_tokens=new, ignore_eos=True), use_tqdm=False)
        return time.time() - start

    run(1, 16, 4)
    for line in sys.stdin:
        batch, length, new = map(int, line.split())
        first = run(batch, length, 1)
        rest = run(batch, length, new) - first if new > 1 else 0
        print(json.dumps({"prefill": batch * length / first, "decode": batch * (new - 1) / rest if rest > 0 else 0}), flush=True)


if __name__ == "__main__":
    main()
