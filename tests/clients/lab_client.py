#!/usr/bin/env python3
"""50 chat requests at concurrency 1, 5, 10 and 20 against a running server, with aiohttp: how many succeed, whether
each answer is the one given alone, and times. Exit status 1 if any fails or differs, 77 without aiohttp.

    lab_client.py URL
"""
import asyncio
import statistics
import sys
import time

try:
    import aiohttp
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)

REQUESTS, TOKENS = 50, 64
QUESTIONS = [
    "What is tensor parallelism?", "What is a rank?", "Who are you?", "Why is an all-reduce needed?", "What does colrow do?",
    "What is a KV cache?", "How are attention heads split?", "What is a column-parallel layer?", "What is prefill?", "Hi",
]


async def ask(session, url, question):
    """-> (answer, tokens, seconds)"""
    body = {"messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": TOKENS}
    begin = time.perf_counter()
    async with session.post(url + "/v1/chat/completions", json=body) as reply:
        answer = await reply.json()
        reply.raise_for_status()
        return answer["choices"][0]["message"]["content"], answer["usage"]["completion_tokens"], time.perf_counter() - begin


async def at_once(session, url, concurrency, alone):
    gate = asyncio.Semaphore(concurrency)

    async def one(question):
        async with gate:
            try:
                return await ask(session, url, question)
            except (aiohttp.ClientError, asyncio.TimeoutError, KeyError) as error:
                return f"{type(error).__name__}: {error}", 0, 0.0

    begin = time.perf_counter()
    questions = [QUESTIONS[i % len(QUESTIONS)] for i in range(REQUESTS)]
    results = await asyncio.gather(*[one(question) for question in questions])
    seconds = time.perf_counter() - begin
    good = [result for question, result in zip(questions, results) if result[0] == alone[question]]
    latencies = sorted(result[2] for result in good) or [0.0]
    tokens = sum(result[1] for result in good)
    print(f"| {concurrency} | {len(good) / REQUESTS:.2f} | {REQUESTS / seconds:.1f} | {tokens / seconds:.0f} | "
          f"{statistics.median(latencies) * 1000:.0f} | {latencies[int(len(latencies) * 0.95)] * 1000:.0f} |", flush=True)
    return len(good) == REQUESTS


async def main(url):
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:
        alone = {question: (await ask(session, url, question))[0] for question in QUESTIONS}
        print("| at a time | answered as alone | requests/s | tokens/s | median ms | p95 ms |\n|---|---|---|---|---|---|")
        return all([await at_once(session, url, concurrency, alone) for concurrency in (1, 5, 10, 20)])


sys.exit(0 if asyncio.run(main(sys.argv[1])) else 1)
