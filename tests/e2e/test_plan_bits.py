#!/usr/bin/env python3
"""Rules laid over the default plan of every family that has a golden: what is gathered, on every rank or split by tokens
gives the same bits, or is refused with the reason."""
import json
import os
import re
import tempfile

from support import DEMO, SHARED, Safetensors, check, finish, logits_file, run

GOLDENS = os.path.join(SHARED, "goldens")
TOKENS = 20


def models():
    """The demo, and one golden of each model_type that colrow knows."""
    yield DEMO, list(range(1, TOKENS + 1))
    seen = set()
    for name in sorted(os.listdir(GOLDENS)) if os.path.exists(GOLDENS) else []:
        path = os.path.join(GOLDENS, name)
        if not os.path.exists(os.path.join(path, "golden.safetensors")) or run("plan", path).returncode:
            continue
        with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
            model_type = json.load(file)["model_type"]
        if model_type not in seen:
            seen.add(model_type)
            yield path, [int(i) for i in Safetensors(os.path.join(path, "golden.safetensors"))["input_ids"]][:TOKENS]


def modules_of(model):
    """{pattern: default style} of the weights, layers starred."""
    plan = json.loads(run("plan", model, "-tp", 1, "--json").stdout)
    return {re.sub(r"\.\d+\.", ".*.", p["name"].removesuffix(".weight")): p["style"] for p in plan["parameters"]
            if p["name"].endswith(".weight")}


def rules_of(modules):
    """[(what, rules, words of the refusal or None)]"""
    def cut(part, style):
        return [name for name, own in modules.items() if part in name and own == style and "linear_attn." not in name]
    outputs, inputs = cut("att", "colwise"), cut("att", "rowwise")
    ups, downs = cut("mlp", "colwise"), cut("mlp", "rowwise")
    keys = [name for name in outputs if re.search(r"\.[kv]_proj$", name)]
    queries = [name for name in outputs if name.endswith(".q_proj")]
    # of the residual stream: not of queries and keys, nor of the embedding, nor of what is beside the stream
    norms = [name for name in modules if re.search("norm|ln_f", name)
             and not re.search(r"attn\.|attention\.|mamba\.|mixer\.|embeddings_|altup\.|laurel\.|per_layer_projection_norm", name)]
    head = cut("", "colwise_gather_output")[0]
    gathered_attention = dict.fromkeys(outputs, "colwise_rep") | dict.fromkeys(inputs, "rowwise_rep")
    if any(name.endswith(".kv_b_proj") for name in modules):  # what latents become stays with its heads
        gathered_attention, queries = {}, []
    alone = outputs  # that may be whole while what they go into is cut
    if any(name.endswith(".self_attn.f_a_proj") for name in modules):  # Kimi Linear's delta rule has names of attention's
        alone, keys = [], []
    experts = [name for name in ups if ".experts." in name]
    gathered = [name for name in ups if name not in experts]
    summed = [name for name in downs if ".experts." not in name]
    yield "all is gathered", gathered_attention | dict.fromkeys(gathered, "colwise_rep") | dict.fromkeys(summed, "rowwise_rep"), None
    if experts:
        yield "gathered experts", dict.fromkeys(experts, "colwise_rep"), "would gather what experts give"
    yield "whole attention", dict.fromkeys(outputs + inputs, "replicate"), None
    yield "whole MLPs, names of weights", {f"{name}.weight": "replicate" for name in ups + downs}, None
    yield "whole outputs", dict.fromkeys(alone + ups, "replicate"), None
    if keys:
        yield "whole keys and values", dict.fromkeys(keys, "replicate"), None
        yield "one of them", {keys[0]: "replicate"}, None
    if queries:
        yield "gathered queries", dict.fromkeys(queries, "colwise_gather_output"), None
        yield "whole queries", dict.fromkeys(queries, "replicate") | {head: "colwise"}, None
    yield "a whole head", {head: "replicate"} | {norms[0]: "replicated_with_grad_allreduce"}, None
    yield "a head of summands", {head: "rowwise_split_input"}, "another order than one rank"
    if inputs:
        yield "whole sums", dict.fromkeys(inputs, "replicate"), "contradicts"
    yield "norms by tokens", dict.fromkeys(norms, "sequence_parallel"), None
    if len(norms) > 1:
        yield "some norms by tokens", {norms[-1]: "sequence_parallel"}, "the residual stream lies one way"


def check_model(model, ids, path):
    _, expected = logits_file(model, ids)
    done = []
    for what, rules, refusal in rules_of(modules_of(model)):
        with open(path, "w", encoding="utf-8") as file:
            json.dump(rules, file)
        for size in (2, 3):
            plan = run("plan", model, "-tp", size, "--tp-plan", path)
            if refusal or (plan.returncode and size == 3 and "valid sizes" in plan.stderr):
                check(plan.returncode and (not refusal or refusal in plan.stderr), f"{model}: {what}: {plan.stderr.strip()}")
                continue
            check(plan.returncode == 0, f"{model}: {what} at {size}: {plan.stderr.strip()}")
            if plan.returncode == 0:
                _, digest = logits_file(model, ids, "-tp", size, "--tp-plan", path)
                check(digest == expected, f"{model}: {what} at {size} ranks: other bits")
                done.append(what)
    print(f"{os.path.basename(model):24s} {len(done)} runs with the bits of one rank", flush=True)


with tempfile.TemporaryDirectory() as temporary:
    for one, tokens in models():
        check_model(one, tokens, os.path.join(temporary, "rules.json"))
finish("plans")
