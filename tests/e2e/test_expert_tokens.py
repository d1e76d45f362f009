#!/usr/bin/env python3
"""Tokens of each expert and rank, in /metrics and in `colrow generate --json`: the counts of a model whose routing is found
here once more, with Python's own numbers. Attention and experts of that model add nothing, so that every layer's router
sees the embedding alone."""
import json
import math
import os
import re
import tempfile

from serve_client import Server
from serving_alike import EP, add_tokenizer
from support import Safetensors, check, finish, run
from tiny_checkpoint import write_checkpoint

HIDDEN, EXPERTS, CHOSEN, LAYERS, VOCABULARY, EPS = 32, 10, 3, 3, 1280, 1e-6
CONFIG = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": HIDDEN, "vocab_size": VOCABULARY,
          "num_hidden_layers": LAYERS, "num_attention_heads": 4, "num_key_value_heads": 4, "head_dim": 8, "num_experts": EXPERTS,
          "num_experts_per_tok": CHOSEN, "moe_intermediate_size": 24, "intermediate_size": 48, "mlp_only_layers": [],
          "decoder_sparse_step": 1, "norm_topk_prob": True, "rms_norm_eps": EPS, "max_position_embeddings": 512,
          "tie_word_embeddings": False, "hidden_act": "silu", "dtype": "float32", "bos_token_id": 0, "eos_token_id": 1,
          "rope_theta": 10000.0}
PROMPT = "Tensor parallelism splits a model over ranks."


def rows():
    yield "model.embed_tokens.weight", [VOCABULARY, HIDDEN], 0, 1
    yield "model.norm.weight", [HIDDEN], 1, 0
    yield "lm_head.weight", [VOCABULARY, HIDDEN], 0, 0.5
    for layer in range(LAYERS):
        for name, shape, *rule in (("input_layernorm", [HIDDEN], 1, 0), ("post_attention_layernorm", [HIDDEN], 1, 0.1),
                                   ("self_attn.q_proj", [32, HIDDEN], 0, 0.1), ("self_attn.k_proj", [32, HIDDEN], 0, 0.1),
                                   ("self_attn.v_proj", [32, HIDDEN], 0, 0.1), ("self_attn.o_proj", [HIDDEN, 32], 0, 0),
                                   ("self_attn.q_norm", [8], 1, 0), ("self_attn.k_norm", [8], 1, 0),
                                   ("mlp.gate", [EXPERTS, HIDDEN], 0, 0.3)):
            yield f"model.layers.{layer}.{name}.weight", shape, *rule
        for expert in range(EXPERTS):
            for name, shape, *rule in (("gate_proj", [24, HIDDEN], 0, 0.1), ("up_proj", [24, HIDDEN], 0, 0.1),
                                       ("down_proj", [HIDDEN, 24], 0, 0)):
                yield f"model.layers.{layer}.mlp.experts.{expert}.{name}.weight", shape, *rule


def make_model(folder):
    write_checkpoint(folder, CONFIG, [list(row) for row in rows()], 11, "F32")
    add_tokenizer(folder)
    weights = Safetensors(os.path.join(folder, "model.safetensors"))

    def chosen(token, layer):
        stream = weights["model.embed_tokens.weight"][token * HIDDEN : (token + 1) * HIDDEN]
        norm = weights[f"model.layers.{layer}.post_attention_layernorm.weight"]
        router = weights[f"model.layers.{layer}.mlp.gate.weight"]
        root = math.sqrt(sum(x * x for x in stream) / HIDDEN + EPS)
        logits = [sum(x / root * n * r for x, n, r in zip(stream, norm, router[e * HIDDEN : (e + 1) * HIDDEN])) for e in range(EXPERTS)]
        order = sorted(range(EXPERTS), key=lambda e: -logits[e])
        margin = logits[order[CHOSEN - 1]] - logits[order[CHOSEN]]
        check(margin > 1e-4, f"token {token} is too near a tie in layer {layer}: choose another seed")
        return order[:CHOSEN]
    return chosen


def expected_of(chosen, steps, owners, stages=1):
    """Pairs of each rank and expert, and of the busiest rank of each rank's stage; `steps`: tokens of each, `owners`: experts of
    each rank of a stage, which has a part of the layers."""
    pairs, busiest, size = [[0] * EXPERTS for _ in range(stages * len(owners))], [0] * (stages * len(owners)), len(owners)
    for step in steps:
        for layer in range(LAYERS):
            first = layer * stages // LAYERS * size
            all_chosen = [e for token in step for e in chosen(token, layer)]
            for rank, own in enumerate(owners):
                for expert in all_chosen:
                    pairs[first + rank][expert] += expert in own
                busiest[first + rank] += max(sum(e in other for e in all_chosen) for other in owners)
    return pairs, busiest


def owners_of(folder, size, flags):
    plan = json.loads(run("plan", folder, "-tp", size, *flags, "--json").stdout)
    down = next(p for p in plan["parameters"] if len(p["shape"]) == 3)
    if EP not in flags:
        return [range(EXPERTS)] * size
    groups = flags[flags.index("--expert-parallel-size") + 1] if "--expert-parallel-size" in flags else size
    inside = size // groups
    shares = [sum(rank["bytes"] for rank in down["ranks"][g * inside : (g + 1) * inside]) for g in range(groups)]
    firsts = [sum(shares[:g]) * EXPERTS // sum(shares) for g in range(groups + 1)]
    return [range(firsts[rank // inside], firsts[rank // inside + 1]) for rank in range(size)]


def check_counts(what, ranks, busiest_of, expected):
    pairs, busiest = expected
    for rank, experts in enumerate(pairs):
        found = [ranks.get((rank, e), 0) for e in range(EXPERTS)]
        check(found == experts, f"{what}: rank {rank} has {found}, expected {experts}")
        check(busiest_of.get(rank) == busiest[rank],
              f"{what}: the busiest, says rank {rank}, had {busiest_of.get(rank)}, expected {busiest[rank]}")


def check_generate(folder, chosen, prompt, size, *flags):
    done = run("generate", folder, "-p", PROMPT, "--max-tokens", 9, "--ignore-eos", "--temperature", 0, "-tp", size, "--json",
               "--dtype", "float32", *flags)
    what = f"generate -tp {size} {' '.join(map(str, flags))}"
    if not check(done.returncode == 0, f"{what}: {done.stderr}"):
        return None
    answer = json.loads(done.stdout)
    new = answer["outputs"][0]["token_ids"]
    check(answer["outputs"][0]["prompt_tokens"] == len(prompt), f"{what}: {answer['outputs'][0]['prompt_tokens']} prompt tokens")
    stages = flags[flags.index("-pp") + 1] if "-pp" in flags else 1
    expected = expected_of(chosen, [prompt] + [[token] for token in new[:-1]], owners_of(folder, size, [f for f in flags if f not in ("-pp", stages)]), stages)
    ranks, busiest = {}, {}
    for rank in answer["ranks"]:
        experts = rank["experts"]
        busiest[rank["rank"]] = experts["busiest_tokens"]
        for group in experts["experts"]:
            check(group["first"] == group["last"], f"{what}: a group {group} with few experts")
            ranks[rank["rank"], group["first"]] = group["tokens"]
        mean = sum(map(sum, expected[0])) / size / stages
        check(abs(experts["load"] - sum(expected[0][rank["rank"]]) / mean) < 1e-4, f"{what}: load {experts['load']}")
        check(abs(experts["imbalance"] - expected[1][rank["rank"]] / mean) < 1e-4, f"{what}: imbalance {experts['imbalance']}")
    check_counts(what, ranks, busiest, expected)
    return new


def check_serve(folder, chosen, prompt, size, *flags):
    with Server("-tp", size, "--max-model-len=256", "--kv-cache-memory=16MB", "--dtype", "float32", "--canary-interval", 0, *flags,
                model=folder) as server:
        status, _, text = server.request("GET", "/metrics")
        check(status == 200 and 'colrow_expert_tokens_total{expert="0",rank="0"} 0.0' in text, "counts begin with 0")
        status, answer = server.post("/v1/completions", prompt=prompt, max_tokens=6, temperature=0, ignore_eos=True, return_token_ids=True)[:2]
        if not check(status == 200, f"serve: {answer}"):
            return
        text = server.request("GET", "/metrics")[2]
    new = answer["choices"][0]["token_ids"]
    expected = expected_of(chosen, [prompt] + [[token] for token in new[:-1]], owners_of(folder, size, flags))
    ranks = {(int(r), int(e)): float(n) for e, r, n in re.findall(r'colrow_expert_tokens_total\{expert="(\d+)",rank="(\d+)"\} (\S+)', text)}
    busiest = {int(r): float(n) for r, n in re.findall(r'colrow_expert_busiest_rank_tokens_total\{rank="(\d+)"\} (\S+)', text)}
    check_counts(f"serve -tp {size} {flags}", ranks, busiest, expected)


with tempfile.TemporaryDirectory() as temporary:
    choose = make_model(temporary)
    ids = json.loads(run("tokenize", temporary, "-p", PROMPT, "--add-special-tokens", "--json").stdout)[0]
    answers = [check_generate(temporary, choose, ids, *way) for way in
               ((1,), (2,), (2, EP), (3, EP),
                (2, EP, "-pp", 3), (4, EP, "--expert-parallel-size", 2))]
    check(all(answer == answers[0] for answer in answers), f"the same answer: {answers}")
    check_serve(temporary, choose, ids, 3, EP)
with Server(name="demo") as dense:
    check("colrow_expert" not in dense.request("GET", "/metrics")[2], "a model without experts has no such series")
finish("tokens of experts")
