#!/usr/bin/env python3
"""Ranks of models whose layers keep a state, and of ones whose ranks have whole experts, are killed in the middle of streams,
while the prefix cache holds pages and states: every answer is the one that one undisturbed rank gives. Models of
tests/data/families, whose config says more positions than they were drawn with; what they say is no matter here."""
import json
import os
import random
import signal
import tempfile
import threading
import time

from processes import ranks_below
from serve_client import Server
from serving_alike import EP, add_tokenizer, prompts_for
from support import ROOT, check, finish, patience
from tiny_checkpoint import write_checkpoint

CONTEXT, NEW = 1024, 160
AFTER = (60, 400, 1200)  # pieces of all streams of a round after which a rank is killed
random.seed(int(os.environ.get("KILL_SEED", "3")))


class Round:
    """All prompts at once, as streams; a thread kills ranks by what these have brought."""

    def __init__(self, server, prompts):
        self.server, self.prompts = server, prompts
        self.answers, self.pieces, self.lock = [[] for _ in prompts], 0, threading.Lock()
        self.killed, self.met, self.streaming = 0, set(), set()

    def stream(self, i):
        body = {"prompt": self.prompts[i], "max_tokens": NEW, "temperature": 0, "ignore_eos": True, "stream": True,
                "return_token_ids": True, "logprobs": 2}
        connection = self.server.connect()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        for line in reply:
            if not line.startswith(b"data: {"):
                continue
            event = json.loads(line[6:])
            if not check("choices" in event, f"an error in a stream: {event}"):
                break
            for choice in event["choices"]:
                self.answers[i].append((choice["token_ids"], choice["logprobs"]))
            with self.lock:
                self.pieces += 1
                self.streaming.add(i)
        with self.lock:
            self.streaming.discard(i)
        connection.close()

    def kill(self, threads):
        for n in AFTER:
            while self.pieces < n and any(thread.is_alive() for thread in threads):
                time.sleep(0.001)
            ranks = ranks_below(self.server.process.pid)
            if not ranks or not any(thread.is_alive() for thread in threads):
                return
            with self.lock:
                self.met |= self.streaming
            victim = random.choice(sorted(ranks.values()))
            os.kill(victim, signal.SIGKILL)
            self.killed += 1
            until = time.monotonic() + patience(60)
            while time.monotonic() < until:  # the next ones are there
                now = ranks_below(self.server.process.pid)
                if len(now) == len(ranks) and victim not in now.values():
                    break
                time.sleep(0.005)
            check(victim not in ranks_below(self.server.process.pid).values(), f"no rank in the place of {victim}")

    def run(self, kills):
        threads = [threading.Thread(target=self.stream, args=(i,)) for i in range(len(self.prompts))]
        for thread in threads:
            thread.start()
        if kills:
            self.kill(threads)
        for thread in threads:
            thread.join()
        return [joined(answer) for answer in self.answers]


def joined(pieces):
    """Tokens and their logprobs, however many came in a piece."""
    tokens = [token for ids, _ in pieces for token in ids or []]
    numbers = [number for _, logprobs in pieces for number in (logprobs or {}).get("token_logprobs", [])]
    return tokens, numbers


def check_killed(what, server, prompts, expected):
    killed, met = 0, 0
    for number in range(2):  # the second one begins with what the prefix cache has since
        one = Round(server, prompts)
        found = one.run(kills=True)
        wrong = [i for i, (a, b) in enumerate(zip(found, expected)) if a != b]
        check(not wrong, f"{what}, round {number}: streams {wrong} are not what one rank says")
        killed, met = killed + one.killed, met + len(one.met)
    check(killed >= 4 and met >= len(prompts), f"{what}: {killed} ranks were killed in the middle of {met} streams")
    check(server.metric("vllm:prefix_cache_hits_total") > 0, f"{what}: no prefix was found")
    return killed, met


def check_model_killed(case, ways):
    with open(os.path.join(ROOT, f"tests/data/families/{case}.json"), encoding="utf-8") as file:
        one = json.load(file)
    for key in ("max_position_embeddings", "model_max_length"):
        if key in one["config"]:
            one["config"][key] = CONTEXT
    with tempfile.TemporaryDirectory() as folder:
        write_checkpoint(folder, one["config"], one["weights"], one["seed"], one["dtype"])
        add_tokenizer(folder)
        prompts = list(prompts_for(one["config"]["vocab_size"]))
        common = ("--max-model-len", CONTEXT, "--max-num-seqs", len(prompts), "--disable-log-requests")
        with Server("-tp", 1, *common, "--no-enable-prefix-caching", model=folder) as server:
            expected = Round(server, prompts).run(kills=False)
        check(all(len(tokens) == len(numbers) == NEW for tokens, numbers in expected), f"{case}: answers of other lengths")
        for way in ways:
            what = f"{case} -tp {' '.join(map(str, way))}"
            with Server("-tp", *way, *common, model=folder) as server:
                killed, met = check_killed(what, server, prompts, expected)
                server.read_log()
            print(f"{what}: {killed} ranks killed in the middle of {met} streams", flush=True)


check_model_killed("lfm2-5-19", ((2,),))
check_model_killed("qwen3_next-14-0", ((2,), (2, EP)))
check_model_killed("kimi_linear-3-18", ((2, EP),))
check_model_killed("qwen3_moe-6-4", ((2, EP),))
finish("states killed")
