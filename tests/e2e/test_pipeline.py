#!/usr/bin/env python3
"""Pipeline stages: the same bits for every number of ranks and stages, with chunks, batches, the prefix cache and rows cut by
tokens; stages as they are named; sentences about those that cannot be; ranks of any stage killed."""
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from processes import children_of, ranks_below
from support import COLROW, DEMO, SHARED, check, finish, logits_file, run, skip

GOLDENS = os.path.join(SHARED, "goldens")
# windows, norms of whole rows, parallel sublayers, tied and untied heads, keys of earlier layers with layer inputs
FAMILIES = ("llama3", "gemma2", "gemma3", "gemma4", "gemma4-ple", "gemma3n", "olmo2", "olmo3", "cohere2", "gpt-neox", "phi")
ANSWERS = ("-p", "Tensor parallelism", "-n", "500", "--samples", "8", "--ignore-eos", "--temperature", "0.9", "--sampling-seed", "3",
           "--json")
PROMPT = "The group of ranks answers together. " * 12
if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
    skip("models/demo is not here")


def with_partition(text, *arguments):
    environment = dict(os.environ, COLROW_PP_LAYER_PARTITION=text)
    return subprocess.run([COLROW, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=300)


def check_verify(model, *flags):
    done = run("verify", model, "--json", "--generate", 4, *flags)
    if not check(done.returncode == 0, f"verify {model} {flags}: {done.stderr.strip() or done.stdout}"):
        return
    group = json.loads(done.stdout)["groups"][0]
    print(f"{os.path.basename(model):12s} {len(group['layouts']):3d} layouts identical", flush=True)


def sizes_of(model):
    """-> (tensor-parallel sizes up to 4, most stages up to 3); None: a family that is not known"""
    done = run("plan", model, "-tp", 1, "--json")
    if done.returncode:
        return None
    tp = [n for n in json.loads(done.stdout)["valid_tensor_parallel_sizes"] if n <= 4]
    return tp, max(pp for pp in (1, 2, 3) if run("plan", model, "-tp", 1, "-pp", pp).returncode == 0)


def check_families():
    check_verify(DEMO, "--tp", "1,2,3,4", "--pp", "1,2,3,4", "--chunks", "512", "--tokens", 40)
    check_verify(DEMO, "--tp", "1,2", "--pp", "1,3", "--chunks", "512,7,1", "--batches", "1,5", "--tokens", 40)
    for name in FAMILIES:
        model = os.path.join(GOLDENS, name)
        sizes = sizes_of(model) if os.path.exists(model) else None
        if sizes:
            tp, pp = sizes
            check(pp >= 2, f"{name}: cannot be split into stages")
            check_verify(model, "--tp", ",".join(map(str, tp)), "--pp", ",".join(map(str, range(1, pp + 1))), "--chunks", "64",
                         "--tokens", 150)
            check_verify(model, "--tp", f"1,{tp[-1]}", "--pp", f"1,{pp}", "--chunks", "7", "--batches", "1,3", "--tokens", 70)


def check_tokens_cut():
    """Norms by tokens: each rank sends the rows that it keeps."""
    norms = [f"layers.*.{name}" for name in ("input_layernorm", "post_attention_layernorm")] + ["norm"]
    ids = list(range(1, 20))
    _, wanted = logits_file(DEMO, ids)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as rules:
        json.dump(dict.fromkeys(norms, "sequence_parallel"), rules)
        rules.flush()
        for tp, pp in ((1, 2), (2, 2), (3, 4)):
            for chunk in (512, 2):
                _, digest = logits_file(DEMO, ids, "-tp", tp, "-pp", pp, "--tp-plan", rules.name, "--max-num-batched-tokens", chunk)
                check(digest == wanted, f"norms by tokens, {tp} ranks, {pp} stages, chunks of {chunk}: other bits")


def answers(*flags):
    """Of prompts with a common beginning, one after the other, then sampled."""
    done = run("generate", DEMO, "-p", PROMPT, "-p", PROMPT + "So", "-p", PROMPT + "And", "-n", 40, "--samples", 2, "--temperature", 0.8,
               "--sampling-seed", 5, "--ignore-eos", "--json", "--logprobs", 2, *flags)
    check(done.returncode == 0, f"generate {flags}: {done.stderr.strip()}")
    return json.loads(done.stdout)["outputs"] if done.returncode == 0 else None


def check_generate():
    wanted = answers("--no-enable-prefix-caching")
    for flags in (("-tp", 2, "-pp", 2), ("-pp", 3, "--max-num-seqs", 2), ("-pp", 4, "--max-num-batched-tokens", 16),
                  ("-pp", 2, "--kv-cache-memory=3MB", "--max-model-len=640", "--kv-offloading-size=0.01")):
        check(answers(*flags) == wanted, f"generate {flags}: another answer")


def check_layouts():
    plan = json.loads(run("plan", DEMO, "-tp", 2, "-pp", 2, "--json").stdout)
    stages = [(s["layers"], s["ranks"]) for s in plan["stages"]]
    check(stages == [([0, 2], [0, 2]), ([2, 4], [2, 4])] and len(plan["ranks"]) == 4, f"plan -tp 2 -pp 2: {stages}")
    text = run("plan", DEMO, "-tp", 2, "-pp", 2).stdout
    check("Stage 1: layers 2-3 (TP=2), ranks 2-3" in text, f"plan -tp 2 -pp 2:\n{text}")
    plan = json.loads(with_partition("1,3", "plan", DEMO, "-pp", 2, "--json").stdout)
    check([s["layers"] for s in plan["stages"]] == [[0, 1], [1, 4]], f"COLROW_PP_LAYER_PARTITION=1,3: {plan['stages']}")
    done = with_partition("3,1", "verify", DEMO, "--pp", 2, "--tp", "1,2", "--tokens", 20)
    check(done.returncode == 0, f"COLROW_PP_LAYER_PARTITION=3,1: {done.stderr}")
    for flags, words in ((("-pp", 5), "--pipeline-parallel-size is 5; expected 1 to 4: LlamaForCausalLM has 4 layers"),
                         (("-tp", 8, "-pp", 16), "are 128 ranks; expected at most 64")):
        done = run("generate", DEMO, "-p", "a", *flags)
        check(done.returncode == 2 and words in done.stderr, f"generate {flags}: {done.stderr.strip()}")
    done = with_partition("2,3", "generate", DEMO, "-p", "a", "-pp", 2)
    check(done.returncode == 2 and 'COLROW_PP_LAYER_PARTITION is "2,3"' in done.stderr, f"a wrong partition: {done.stderr.strip()}")


def kill_one(victim, *flags):
    """-> (standard output, standard error, exit status) of an answer during which a rank was killed"""
    def said():
        with open(errors.name, encoding="utf-8") as file:
            return file.read()
    with tempfile.NamedTemporaryFile("w+") as errors:
        process = subprocess.Popen([COLROW, "generate", DEMO, *ANSWERS, "-tp", "2", "-pp", "2", "-v", *flags],
                                   stdout=subprocess.PIPE, stderr=errors, text=True)
        while process.poll() is None and "ready after" not in said():  # what dies before is not started again
            time.sleep(0.005)
        time.sleep(0.1)
        ranks = ranks_below(process.pid)
        if victim in ranks:
            os.kill(ranks[victim], signal.SIGKILL)
        output, _ = process.communicate(timeout=300)
        return output, said(), process.returncode


def check_kills():
    place = re.compile(r"rank \d+ \(pid \d+\) was killed by signal 9 \(Killed\)")
    output, errors, status = kill_one(0, "--rank-restarts", "0")
    check(status == 1 and place.search(errors), f"without restarts: exit status {status}, {errors.strip()[-300:]}")
    wanted = json.loads(run("generate", DEMO, *ANSWERS).stdout)["outputs"]
    for victim in range(4):
        output, errors, status = kill_one(victim)
        told = place.findall(errors)
        same = status == 0 and json.loads(output)["outputs"] == wanted
        check(same and told, f"rank {victim} of 2 x 2 killed: exit status {status}, {errors.strip()[-300:]}")
        check(not children_of(os.getpid()), "a process is left")


check_families()
check_tokens_cut()
check_generate()
check_layouts()
check_kills()
finish("pipeline")
