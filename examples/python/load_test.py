"""Many clients at a time against an OpenAI-compatible server:

    python -m colrow.entrypoints.openai.api_server --model models/demo --tensor-parallel-size 2 --port 8000
    python examples/python/load_test.py --url http://localhost:8000 --requests 64 --concurrency 16
"""
import argparse
import asyncio
import time

import aiohttp

PROMPTS = ["What is tensor parallelism?", "Each rank holds", "The KV cache", "A scheduler decides"]


async def send_request(session, semaphore, url, model, prompt, max_tokens):
    payload = {"model": model, "prompt": prompt, "max_tokens": max_tokens, "temperature": 0}
    async with semaphore:
        start = time.perf_counter()
        async with session.post(f"{url}/v1/completions", json=payload) as response:
            response.raise_for_status()
            body = await response.json()
        return prompt, body["choices"][0]["text"], body["usage"]["completion_tokens"], time.perf_counter() - start


async def main(args):
    semaphore = asyncio.Semaphore(args.concurrency)
    timeout = aiohttp.ClientTimeout(total=600)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        async with session.get(f"{args.url}/v1/models") as response:
            model = (await response.json())["data"][0]["id"]
        start = time.perf_counter()
        results = await asyncio.gather(*(
            send_request(session, semaphore, args.url, model, PROMPTS[i % len(PROMPTS)], args.max_tokens)
            for i in range(args.requests)))
        elapsed = time.perf_counter() - start

    latencies = sorted(latency for _, _, _, latency in results)
    tokens = sum(n for _, _, n, _ in results)
    print(f"Requests: {len(results)} in {elapsed:.2f} s, {len(results) / elapsed:.1f} requests/s")
    print(f"Throughput: {tokens / elapsed:.1f} tokens/s")
    print(f"Latency: p50 {latencies[len(latencies) // 2]:.3f} s, p99 {latencies[int(len(latencies) * 0.99)]:.3f} s")
    for prompt, text in sorted({(prompt, text) for prompt, text, _, _ in results}):
        print(f"Prompt: {prompt!r}, Generated text: {text!r}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=32)
    asyncio.run(main(parser.parse_args()))
