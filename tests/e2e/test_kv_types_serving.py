#!/usr/bin/env python3
"""Keys and values as bytes in a server: the same answers for every number of ranks, chunk and batch, from the prefix
cache, after preemption and from host memory, as serving_alike.py has it; twice the pages in the same memory; what
cannot be is refused."""
import json
import os
import re
import tempfile

from serve_client import Server
from serving_alike import CONTEXT, ask, check_shipped, prompts_for
from support import DEMO, ROOT, check, finish, run
from tiny_checkpoint import write_checkpoint

MEMORY = 1 << 20


def synthesise(case, folder):
    with open(os.path.join(ROOT, f"tests/data/families/{case}.json"), encoding="utf-8") as file:
        one = json.load(file)
    write_checkpoint(folder, one["config"], one["weights"], one["seed"], one["dtype"])


def info(server):
    """The labels of vllm:cache_config_info."""
    text = server.request("GET", "/metrics")[2].split("vllm:cache_config_info{")[1].split("}")[0]
    return dict(re.findall(r'(\w+)="([^"]*)"', text))


def check_pages():
    """All of a server's memory for keys and values, in pages; and what the metrics call the cache."""
    pages = {}
    for kind, name in (("auto", "bfloat16"), ("fp8", "fp8_e4m3"), ("fp8_e4m3", "fp8_e4m3"), ("int8", "int8")):
        with Server("--kv-cache-memory", MEMORY, "--kv-cache-dtype", kind, "--max-model-len", 64) as server:
            labels = info(server)
            check(labels["cache_dtype"] == name, f"--kv-cache-dtype {kind}: {labels}")
            pages[kind] = int(labels["num_gpu_blocks"])
    check(pages["fp8"] == pages["fp8_e4m3"] and pages["fp8"] // 2 == pages["auto"], f"pages {pages}")
    check(pages["auto"] * 1.8 < pages["int8"] <= pages["fp8"], f"pages {pages}")


def check_host_memory(kind):
    """Pages that the pool has no room for lie in host memory, and come back."""
    prompts = list(prompts_for(1280))
    common = ("--kv-cache-dtype", kind, "--max-model-len", CONTEXT, "--disable-log-requests")
    with Server(*common, "--no-enable-prefix-caching") as server:
        expected = [ask(server, prompt) for prompt in prompts]
    with Server(*common, "-tp", 2, "--kv-cache-memory", MEMORY // 2, "--kv-offloading-size", "0.01") as server:
        for turn in range(2):
            answers = [ask(server, prompt) for prompt in prompts]
            check(answers == expected, f"{kind}: turn {turn} with host memory is different")
        check(server.metric("vllm:external_prefix_cache_hits_total") > 0, f"{kind}: nothing came from host memory")


def check_refusals():
    done = run("generate", DEMO, "--prompt", "a", "--kv-cache-dtype", "fp4")
    check(done.returncode == 2 and 'kv_cache_dtype is "fp4"; expected auto' in done.stderr, done.stderr)
    with tempfile.TemporaryDirectory() as folder:
        synthesise("deepseek_v32-1-9", folder)
        for kind in ("int8", "fp8"):
            done = run("plan", folder, "--kv-cache-dtype", kind)
            check(done.returncode == 2 and "caches latents" in done.stderr, f"{done.returncode} {done.stderr}")


for kind in ("int8", "fp8"):
    flags = ("--kv-cache-dtype", kind)
    check_shipped("llama-1-4", (1, 7, 64), ((2,), (3,)) if kind == "int8" else ((3,),), flags=flags)
    check_shipped("gpt_oss-5-23", (7,), ((2,),), preempts=False, flags=flags)
    check_host_memory(kind)
check_shipped("gemma2-41-0", (7,), ((2,),), preempts=False, flags=("--kv-cache-dtype", "int8"))
check_shipped("lfm2-5-19", (7,), ((2, "-pp", 2),), flags=("--kv-cache-dtype", "int8"))
check_pages()
check_refusals()
finish("keys and values as bytes")
