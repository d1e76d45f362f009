"""Many prompts at once, as with vLLM:

    python examples/python/batch_generation.py --model models/demo --tensor-parallel-size 2
"""
import argparse

from colrow import LLM, SamplingParams  # was: from vllm import LLM, SamplingParams

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="models/demo")
parser.add_argument("--tensor-parallel-size", type=int, default=1)
args = parser.parse_args()

prompts = [
    "What is tensor parallelism?",
    "Each rank holds a part of",
    "The KV cache keeps",
    "A scheduler decides which",
]
sampling_params = SamplingParams(temperature=0.8, top_p=0.95, max_tokens=48, seed=42)


def main():
    llm = LLM(
        model=args.model,
        tensor_parallel_size=args.tensor_parallel_size,
        dtype="bfloat16",
        max_model_len=1024,
        gpu_memory_utilization=0.2,
        trust_remote_code=True,
    )
    outputs = llm.generate(prompts, sampling_params)
    for output in outputs:
        prompt = output.prompt
        generated_text = output.outputs[0].text
        print(f"Prompt: {prompt!r}, Generated text: {generated_text!r}")


if __name__ == "__main__":
    main()
