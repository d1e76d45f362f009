#!/usr/bin/env python3
"""What clients of `colrow serve` see of the prefix cache: the same answers, cached_tokens, metrics, vLLM's flags."""
import os
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from serve_client import Server
from support import check, finish

FLAGS = ("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests")
PAGE = 64
IDS = [0] + [260 + i * i % 1000 for i in range(299)]
WHOLE = (len(IDS) - 1) // PAGE * PAGE  # at least one token is computed


def ask(server, prompt=IDS, **body):
    body = {"prompt": prompt, "max_tokens": 24, "temperature": 0, "ignore_eos": True, "logprobs": 2,
            "return_token_ids": True, **body}
    status, answer = server.post("/v1/completions", **body)
    check(status == 200, f"{status} {answer}")
    details = answer["usage"]["prompt_tokens_details"]
    return answer["choices"], details and details["cached_tokens"]


def same(got, wanted, what):
    check([(c["token_ids"], c["logprobs"]) for c in got] == [(c["token_ids"], c["logprobs"]) for c in wanted], what)


with Server(*FLAGS, "--no-enable-prefix-caching", "--enable-prompt-tokens-details") as server:
    expected, cached = ask(server)
    longer = IDS[:200] + [400 + i for i in range(100)]
    expected_longer, _ = ask(server, longer)
    expected_four, _ = ask(server, n=4, temperature=1, seed=5)
    _, again = ask(server)
    check((cached, again) == (0, 0), f"without the cache: {cached} {again}")
    check(server.metric("vllm:prefix_cache_queries_total") == 0, "without the cache nothing is looked up")
    check(server.metric("vllm:cache_config_info", enable_prefix_caching="False") == 1, "cache_config_info says off")
    config = server.request("GET", "/metrics")[2].split("vllm:cache_config_info{")[1]
    page_bytes = server.metric("colrow_rank_memory_bytes", kind="kv") / int(config.split('num_gpu_blocks="')[1].split('"')[0])

with Server(*FLAGS, "--enable-prefix-caching", "--enable-prompt-tokens-details", "-tp", 3) as server:
    check(server.metric("vllm:cache_config_info", enable_prefix_caching="True") == 1, "cache_config_info says on")
    for i, wanted in enumerate((0, WHOLE, WHOLE)):
        choices, cached = ask(server)
        same(choices, expected, f"answer {i}")
        check(cached == wanted, f"answer {i}: {cached} tokens cached, expected {wanted}")
    choices, cached = ask(server, longer)
    same(choices, expected_longer, "a prompt that begins alike")
    check(cached == 192, f"200 tokens in common: {cached} cached")
    choices, cached = ask(server, n=4, temperature=1, seed=5)
    same(choices, expected_four, "four answers")
    check(cached == WHOLE, f"four answers: {cached}, of the prompt that is counted once")
    queries, hits = (3 + 4) * len(IDS) + len(longer), 2 * WHOLE + 192 + 4 * WHOLE
    for prefix in ("vllm:", "vllm:gpu_"):
        found = [server.metric(f"{prefix}prefix_cache_{what}_total") for what in ("queries", "hits")]
        check(found == [queries, hits], f"{prefix}prefix_cache_*: {found}, expected {[queries, hits]}")
    check(server.metric("vllm:prompt_tokens_cached_total") == hits, "prompt_tokens_cached_total")
    sources = {s: server.metric("vllm:prompt_tokens_by_source_total", source=s) for s in ("local_compute", "local_cache_hit")}
    check(sources == {"local_compute": queries - hits, "local_cache_hit": hits}, f"by source: {sources}")
    computed = server.metric("vllm:request_prefill_kv_computed_tokens_sum")
    check(computed == len(IDS) + 3 * (len(IDS) - WHOLE) + 300 - 192, f"prefill_kv_computed_tokens: {computed}")
    for name in ("queue", "prefill", "decode", "inference"):
        full = f"vllm:request_{name}_time_seconds"
        check(server.metric(full + "_count") == 8 and server.metric(full + "_sum") > 0, full)
    # what is asked about the prompt is computed
    _, cached = ask(server, prompt_logprobs=1)
    check(cached == 0, f"prompt_logprobs: {cached} cached")
    _, cached = ask(server, echo=True)
    check(cached == 0, f"echo with logprobs: {cached} cached")
    # a salt keeps prompts apart
    found = [ask(server, cache_salt=salt)[1] for salt in ("a", "b", "a")]
    check(found == [0, 0, WHOLE], f"cache_salt: {found}")
    # the second turn finds the first prompt and its answer
    choices, _ = ask(server, IDS[:150], max_tokens=60)
    turn = IDS[:150] + choices[0]["token_ids"] + [500] * 20
    _, cached = ask(server, turn)
    check(cached == 192, f"second turn: {cached} of {150 + 59} tokens that were computed")
    # at once
    results = [None] * 12
    def one(i):
        results[i] = ask(server, (IDS, longer)[i % 2], cache_salt="at once")[0]
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(results))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, result in enumerate(results):
        same(result, (expected, expected_longer)[i % 2], f"at once: answer {i}")
    # the other endpoints
    text = "Tell me something about tensor parallelism. " * 12
    chat = {"messages": [{"role": "user", "content": text}], "max_tokens": 4}
    usages = [server.post("/v1/chat/completions", **chat)[1]["usage"] for _ in range(2)]
    found = usages[1]["prompt_tokens_details"]["cached_tokens"]
    check(found == (usages[1]["prompt_tokens"] - 1) // PAGE * PAGE > 0, f"chat: {usages[1]}")
    event = server.events("/v1/chat/completions", **chat, stream_options={"include_usage": True})[-2]
    check(event["usage"]["prompt_tokens_details"] == {"cached_tokens": found, "created_cache_tokens": 0}, f"stream: {event}")
    usage = server.post("/v1/messages", **chat, model="demo")[1]["usage"]
    check(usage["cache_read_input_tokens"] == found and usage["input_tokens"] == usages[1]["prompt_tokens"] - found,
          f"messages: {usage}")
    usage = server.post("/v1/responses", input=text, max_output_tokens=4)[1]["usage"]
    check(usage["input_tokens_details"]["cached_tokens"] == found, f"responses: {usage}")
    check(server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0), "known pages are free ones")

with Server(*FLAGS) as server:  # on by default; what was cached is said only where it is asked for
    check([ask(server)[1] for _ in range(2)] == [None, None], "prompt_tokens_details without the flag")
    check(server.metric("vllm:prefix_cache_hits_total") == WHOLE, "on by default")
    usage = server.post("/v1/messages", messages=[{"role": "user", "content": "Hi"}], max_tokens=2, model="demo")[1]["usage"]
    check(sorted(usage) == ["input_tokens", "output_tokens"], f"messages without the flag: {usage}")

# ten pages: what one prompt pushes out, another time comes back from host memory
small = ("-tp", 2, "--max-model-len=512", "--disable-log-requests", "--enable-prompt-tokens-details",
         f"--kv-cache-memory={int(10 * page_bytes)}")
with Server(*small, "--swap-space", 0.01, "--kv-offloading-backend", "native") as server:
    for i in range(3):
        for prompt, wanted in ((IDS, expected), (longer, expected_longer)):
            choices, cached = ask(server, prompt, cache_salt=str(len(prompt)) + str(prompt is IDS))
            same(choices, wanted, "an answer from host memory")
            check(cached == (WHOLE if i else 0), f"from host memory: {cached}")
            ask(server, [700] * 450, cache_salt="another one")
    hits = server.metric("vllm:external_prefix_cache_hits_total")
    check(hits > 2 * WHOLE, f"external_prefix_cache_hits_total: {hits}")
    check(server.metric("vllm:prompt_tokens_cached_by_source_total", source="host") == hits, "prompt_tokens_cached_by_source_total")
    check(server.metric("colrow_rank_memory_bytes", kind="kv_offload") > 0, "host memory is shown")
finish("prefix cache")
