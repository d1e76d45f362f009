#!/usr/bin/env python3
"""Serving allocates nothing in ranks, and in the front-end for each request, not for each token: counted in every process by a library
that is loaded in front of the C library's allocator."""
import os
import struct
import tempfile

from serve_client import Server
from support import SANITIZE, check, finish, skip

LIBRARY = os.environ.get("COUNT_LIBRARY") or os.path.join(os.environ.get("BUILD_DIR", "build/release"), "tests", "libcount_allocations.so")
if SANITIZE:
    skip("sanitizers have allocators of their own")
if not os.path.exists(LIBRARY):
    skip(f"{LIBRARY} is not built")
folder = tempfile.TemporaryDirectory()
LIMIT = 0.1  # of the front-end, a token: buffers that grow
BODY = {"prompt": "Tensor", "ignore_eos": True, "seed": 1}


def counts():
    found = {}
    for name in os.listdir(folder.name):
        with open(os.path.join(folder.name, name), "rb") as file:
            found[int(name)] = struct.unpack("<Q", file.read(8))[0]
    return found


def allocated(server, ranks, work):
    """-> (in the front-end, in the ranks) while `work` runs."""
    before = counts()
    work()
    after = counts()
    pid = server.process.pid
    return after[pid] - before[pid], sum(after[rank] - before[rank] for rank in ranks)


with Server("-tp", "2", "--max-model-len", "1024", "--kv-cache-memory", "64MB", "--max-num-seqs", "16",
            environment={"LD_PRELOAD": os.path.abspath(LIBRARY), "COUNT_ALLOCATIONS": folder.name}) as server:
    ranks = server.children()  # keepers: the page of a count is shared with the rank that is forked
    check(len(ranks) == 2 and set(ranks) <= set(counts()), f"processes: {ranks} {counts()}")
    check(min(counts()[rank] for rank in ranks) > 100, f"every rank allocates while it starts: {counts()}")
    kinds = {
        "greedy": {"temperature": 0},
        "drawn": {"temperature": 1, "top_p": 0.9, "repetition_penalty": 1.1},
        "log-probabilities": {"temperature": 1, "logprobs": 3},
    }
    for stream in (False, True):
        for name, more in kinds.items():
            def ask(tokens):
                body = {**BODY, **more, "max_tokens": tokens}
                if stream:
                    server.events("/v1/completions", **body)
                else:
                    server.post("/v1/completions", **body)

            for tokens in (64, 512):
                ask(tokens)  # what is kept from here on, buffers and their sizes
            few, ranks_few = allocated(server, ranks, lambda: ask(64))
            many, ranks_many = allocated(server, ranks, lambda: ask(512))
            each = (many - few) / (512 - 64)
            print(f"{name}{', streamed' if stream else ''}: 64 tokens {few} allocations, 512 tokens {many}: {each:.3f} a token; "
                  f"ranks {ranks_few + ranks_many}")
            check(ranks_few + ranks_many == 0, f"{name}: ranks allocate while they serve")
            check(each < LIMIT, f"{name}: {each:.3f} allocations a token")
    check(server.stop() == 0, "the exit status")
finish("allocations")
