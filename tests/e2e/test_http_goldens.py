#!/usr/bin/env python3
"""The answers of vLLM 0.32 to recorded requests, and a server's: equal, or different as docs/compatibility.md says."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "../clients")]
from http_goldens import GOLDENS, compare
from serve_client import Server
from support import check, finish, skip

FLAGS = ["--api-key=sk-golden", "--api-key=sk-second", "--enable-request-id-headers", "--enable-tokenizer-info-endpoint",
         "--enable-server-load-tracking", '--allowed-origins=["http://app.example"]', "--enable-prompt-tokens-details",
         "--max-logprobs=2", "--host=127.0.0.1"]

if not os.path.exists(GOLDENS):
    skip("../shared/goldens/http is not there")
for name, flags in (("default", []), ("flags", FLAGS)):
    with Server("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests", *flags) as server:
        equal, listed, different = compare(f"http://{server.host}:{server.port}", name)
        print(f"{name}: {equal} equal, {len(listed)} listed, {len(different)} different", flush=True)
        check(equal > (0 if flags else 700), f"{name}: {equal} equal")
        check(not different, f"{name}: {different}")
finish("answers")
