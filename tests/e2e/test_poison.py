#!/usr/bin/env python3
"""A request that kills the ranks: it gets its error (500, with its id) and nobody else does; all others have their whole
answers, the ranks are started again fewer than five times for it, and the server goes on. COLROW_DIE_AT_TOKEN makes a
token deadly, in a prompt or in an answer."""
import json
import os
import threading

from chaos_requests import Mix, ask
from serve_client import Server
from support import DEMO, check, finish, skip

RESTARTS_MAX = 4
FLAGS = ("-tp", 2, "--max-model-len=512", "--kv-cache-memory=64MB", "--disable-log-requests", "--enable-request-id-headers")
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")
neighbours = [request for request in Mix(17, 64, seed=3, prompt_words=60).requests if not request.leaves]
BODY = {"prompt": "Why is the answer the same on every rank?", "max_tokens": 48, "temperature": 1, "ignore_eos": True, "return_token_ids": True}


def tokens_in(value):
    """Every token id that an answer names."""
    if isinstance(value, dict):
        return set().union(*(set(item) if key in ("token_ids", "prompt_token_ids") and item else tokens_in(item) for key, item in value.items()), set())
    return set().union(*map(tokens_in, value), set()) if isinstance(value, list) else set()


def undisturbed(server):
    """-> answers of the neighbours, a token that only the answer with one of some seeds has, and this seed"""
    connection = server.connect()
    known = [ask(connection, request, lambda: None) for request in neighbours]
    theirs = set()
    for request in neighbours:
        if request.path.endswith("completions"):
            body = {**request.body, "return_token_ids": True, "stream": False, "stream_options": None}
            theirs |= tokens_in(server.post(request.path, **body)[1])
        else:  # these paths do not say tokens: what their texts are made of
            theirs |= set(server.post("/tokenize", prompt=json.dumps(request.body))[1]["tokens"])
    theirs |= set(server.post("/tokenize", prompt=BODY["prompt"])[1]["tokens"])
    for answer in known:
        theirs |= set(server.post("/tokenize", prompt=answer)[1]["tokens"])
    for seed in range(100):
        ids = server.post("/v1/completions", **BODY, seed=seed)[1]["choices"][0]["token_ids"]
        for position in range(8, 40):
            if ids[position] not in theirs and ids[position] not in ids[:position]:
                connection.close()
                return known, ids[position], seed
    raise RuntimeError("no token that only one answer has")


def deadly(server, seed, stream, said):
    """-> status and error object of the request that kills"""
    body = {**BODY, "seed": seed, "stream": stream}
    status, fields, text = server.request("POST", "/v1/completions", body)
    if stream and status == 200:
        events = [event[6:] for event in text.split("\n\n") if event.startswith("data: ")]
        errors = [json.loads(event)["error"] for event in events if '"error"' in event]
        said.append((errors[0]["code"] if errors else 200, errors[0] if errors else text[-300:], fields, len(events)))
    else:
        said.append((status, text.get("error", text) if isinstance(text, dict) else text, fields, 0))


def together(server, known, deadly_ones):
    """All at once: the deadly and the neighbours -> what the deadly ones were told"""
    said, threads = [], []

    def one(i):
        connection = server.connect()
        try:
            answer = ask(connection, neighbours[i], lambda: None)
            check(answer == known[i], f"{neighbours[i].name} beside a deadly request: {answer[:300]} instead of {known[i][:300]}")
        except Exception as error:  # whatever it is, it should not have happened
            check(False, f"{neighbours[i].name} beside a deadly request: {type(error).__name__}: {error}")
        connection.close()

    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(neighbours))]
    threads[len(threads) // 2:len(threads) // 2] = [threading.Thread(target=deadly, args=(server, seed, stream, said)) for seed, stream in deadly_ones]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return said


def restarts(server):
    return int(server.metric("colrow_rank_restarts_total"))


with Server(*FLAGS) as one:
    known_answers, token, its_seed = undisturbed(one)
    one.stop()
with Server(*FLAGS, environment={"COLROW_DIE_AT_TOKEN": str(token)}) as one:
    for streamed in (False, True):
        before = restarts(one)
        (code, error, headers, n_events), = together(one, known_answers, [(its_seed, streamed)])
        taken = restarts(one) - before
        print(f"deadly, streamed {streamed}: {code} {error}, {taken} restarts, {n_events} events before")
        check(code == 500 and isinstance(error, dict) and error["code"] == 500, f"a deadly request, streamed {streamed}: {code} {error}")
        check(headers["x-request-id"] in error["message"], f"its id {headers['x-request-id']}: {error}")
        check(0 < taken <= RESTARTS_MAX, f"{taken} restarts for one deadly request")
        check(one.request("GET", "/health")[0] == 200, "/health after it")
    before = restarts(one)
    status, _, text = one.request("POST", "/v1/completions", {"prompt": [1000, token, 1001], "max_tokens": 4})
    check(status == 500, f"a deadly token in a prompt: {status} {text}")
    check(restarts(one) - before <= RESTARTS_MAX, f"{restarts(one) - before} restarts for a deadly prompt")
    both = together(one, known_answers, [(its_seed, False), (its_seed, False)])
    check([code for code, *_ in both] == [500, 500], f"two deadly requests at once: {both}")
    check(one.process.poll() is None and one.metric("vllm:kv_cache_usage_perc") == 0, "the server goes on, and all its pages are free")
    check(one.stop() == 0, "its exit status")
finish("poison")
