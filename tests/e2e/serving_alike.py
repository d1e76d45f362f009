"""For tests of models in a server: answers and log-probabilities are those that each prompt gets alone from one rank, whatever
the chunks, alone and in a batch of 16, from the prefix cache and after preemption."""
import json
import os
import re
import shutil
import tempfile
import threading

from serve_client import Server
from support import DEMO, ROOT, SHARED, check, run
from tiny_checkpoint import write_checkpoint

EP, CONTEXT, NEW, PROMPTS = "--enable-expert-parallel", 256, 12, 16
LONG = 80  # new tokens of answers that need more pages than their prompts


def prompts_for(vocabulary):
    """Some begin alike, for more pages than lie between two states that are kept; one is a page and a token long."""
    shared = [(7 + i * i) % (vocabulary - 8) + 4 for i in range(200)]
    lengths = (1, 5, 33, 65, 70, 90, 130)
    for i in range(PROMPTS):
        own = [(i * 31 + k * k * 3) % (vocabulary - 8) + 4 for k in range(lengths[i % len(lengths)])]
        yield shared + own[:40] if i % 4 == 1 else own


def long_ones(prompts):
    """Each takes a page to begin with, and another one later."""
    return [prompt[:50] for prompt in prompts if len(prompt) > 30][:8]


def ask(server, prompt, new=NEW):
    status, answer = server.post("/v1/completions", prompt=prompt, max_tokens=new, temperature=0, ignore_eos=True, logprobs=3,
                                 return_token_ids=True)
    if not check(status == 200, f"{status} {answer}"):
        return None
    return answer["choices"][0]["token_ids"], answer["choices"][0]["logprobs"]


def ask_all(server, prompts, new=NEW):
    """At once: the step that takes the last prompt in has all of them."""
    answers = [None] * len(prompts)

    def one(i):
        answers[i] = ask(server, prompts[i], new)
    threads = [threading.Thread(target=one, args=(i,)) for i in range(len(prompts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def compare(what, found, expected):
    wrong = [i for i, (a, b) in enumerate(zip(found, expected)) if a != b]
    check(not wrong and len(found) == len(expected), f"{what}: prompts {wrong} have other answers")


def least_memory(folder, *way):
    """Of a KV cache that holds one sequence of CONTEXT tokens, over all ranks."""
    with tempfile.TemporaryDirectory() as temporary:
        ids = os.path.join(temporary, "ids.txt")
        with open(ids, "w", encoding="ascii") as file:
            file.write("5 6 7")
        done = run("logits", folder, "--input-ids", ids, "--output", os.path.join(temporary, "out"), "--max-model-len", CONTEXT,
                   "--kv-cache-memory", 1, "-tp", *way)
    found = re.search(r"set --kv-cache-memory to (\d+) or more", done.stderr)
    check(found, f"{folder}: {done.stderr}")
    return int(found[1]) if found else 0


def check_way(name, folder, prompts, expected, way, chunks, preempts):
    expected, expected_long = expected
    what = f"{name} -tp {' '.join(map(str, way))}"
    common = ("--max-model-len", CONTEXT, "--disable-log-requests", "-tp", *way)
    for chunk in chunks:  # of prompts that come alone
        with Server(*common, "--max-num-batched-tokens", chunk, "--max-num-seqs", min(chunk, PROMPTS), model=folder) as server:
            compare(f"{what}: chunks of {chunk}", [ask(server, prompt) for prompt in prompts[:6]], expected[:6])
    with Server(*common, "--max-num-seqs", PROMPTS, model=folder) as server:
        compare(f"{what}: whole prompts", [ask(server, prompt) for prompt in prompts], expected)
        hits = server.metric("vllm:prefix_cache_hits_total")
        check(hits > 0, f"{what}: no prefix was found")
        compare(f"{what}: at once, from the prefix cache", ask_all(server, prompts), expected)
        check(server.metric("vllm:prefix_cache_hits_total") > hits, f"{what}: no prefix was found again")
    # not enough for two long sequences: most who decode have to give their pages back
    room = least_memory(folder, *way) * 3 // 2
    with Server(*common, "--max-num-seqs", PROMPTS, "--kv-cache-memory", room, "--no-enable-prefix-caching", model=folder) as server:
        compare(f"{what}: with few pages", ask_all(server, long_ones(prompts), LONG), expected_long)
        preempted = server.metric("vllm:num_preemptions_total")
    check(preempted > 0 or not preempts, f"{what}: no preemption in {room} bytes of KV cache")


def check_model(name, folder, chunks, ways, preempts=True, flags=()):
    """`flags` are those of every server."""
    add_tokenizer(folder)
    with open(os.path.join(folder, "config.json"), encoding="utf-8") as file:
        prompts = list(prompts_for(json.load(file)["vocab_size"]))
    with Server("-tp", 1, "--max-model-len", CONTEXT, "--no-enable-prefix-caching", "--disable-log-requests", *flags,
                model=folder) as server:
        expected = [ask(server, prompt) for prompt in prompts], [ask(server, prompt, LONG) for prompt in long_ones(prompts)]
    for way in ways:
        check_way(name, folder, prompts, expected, (*way, *flags), chunks, preempts)
    print(name, "done", flush=True)


def add_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(os.path.join(DEMO, name), folder)


def check_shipped(case, chunks, ways, preempts=True, flags=()):
    """A file of tests/data/families, without its ending. With windows sequences give pages back by themselves, so that none may
    be preempted."""
    with open(os.path.join(ROOT, f"tests/data/families/{case}.json"), encoding="utf-8") as file:
        one = json.load(file)
    with tempfile.TemporaryDirectory() as temporary:
        write_checkpoint(temporary, one["config"], one["weights"], one["seed"], one["dtype"])
        check_model(one["case"], temporary, chunks, ways, preempts, flags)


def check_golden(golden, chunks, ways, preempts=True):
    """Where it is; `preempts` as there."""
    model = os.path.join(SHARED, "goldens", golden)
    if not os.path.exists(model):
        return
    with tempfile.TemporaryDirectory() as temporary:
        for source in ("config.json", "generation_config.json", "model.safetensors"):
            if os.path.exists(os.path.join(model, source)):
                os.symlink(os.path.abspath(os.path.join(model, source)), os.path.join(temporary, source))
        check_model(golden, temporary, chunks, ways, preempts)
