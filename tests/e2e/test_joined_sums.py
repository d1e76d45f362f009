#!/usr/bin/env python3
"""Sublayers that run side by side share an all-reduce where their cuts allow it: `colrow plan` says how many collectives
a step has, a step has just as many, and no bit depends on whether they are shared."""
import json
import os
import tempfile

from support import check, finish, logits_file, run
from tiny_checkpoint import write_checkpoint

HIDDEN, MLP, HEADS, LAYERS, VOCAB = 48, 128, 4, 3, 100
IDS = [3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 97]
LAYER = {"attention.dense": (HIDDEN, HIDDEN), "attention.query_key_value": (3 * HIDDEN, HIDDEN),
         "mlp.dense_4h_to_h": (HIDDEN, MLP), "mlp.dense_h_to_4h": (MLP, HIDDEN)}
PLANS = {
    "tokens": {"gpt_neox.layers.*.input_layernorm": "sequence_parallel",
               "gpt_neox.layers.*.post_attention_layernorm": "sequence_parallel",
               "gpt_neox.final_layer_norm": "sequence_parallel"},
    "whole": {"gpt_neox.layers.*.attention.query_key_value": "replicate", "gpt_neox.layers.*.attention.dense": "replicate"},
}


def write_model(folder, parallel):
    config = {"model_type": "gpt_neox", "architectures": ["GPTNeoXForCausalLM"], "hidden_size": HIDDEN,
              "intermediate_size": MLP, "num_attention_heads": HEADS, "num_hidden_layers": LAYERS, "vocab_size": VOCAB,
              "max_position_embeddings": 256, "use_parallel_residual": parallel, "torch_dtype": "bfloat16",
              "hidden_act": "gelu", "rotary_pct": 0.5}
    rows = [[name, [VOCAB, HIDDEN], 0.0, 0.5] for name in ("embed_out.weight", "gpt_neox.embed_in.weight")]
    norms = ["gpt_neox.final_layer_norm"]
    for layer in range(LAYERS):
        rows += [[f"gpt_neox.layers.{layer}.{name}.weight", list(shape), 0.0, 0.2] for name, shape in LAYER.items()]
        rows += [[f"gpt_neox.layers.{layer}.{name}.bias", [shape[0]], 0.0, 0.2] for name, shape in LAYER.items()]
        norms += [f"gpt_neox.layers.{layer}.{name}" for name in ("input_layernorm", "post_attention_layernorm")]
    rows += [[f"{name}.{part}", [HIDDEN], float(part == "weight"), 0.2] for name in norms for part in ("weight", "bias")]
    write_checkpoint(folder, config, rows, 7, "BF16")


def check_count(folder, flags, in_layers):
    """The n-th collective of rank 0 is made to fail: the last one that can be is the step's last."""
    done = run("plan", folder, "--json", *flags)
    if not check(done.returncode == 0, f"plan {flags}: {done.stderr.strip()}"):
        return
    planned = json.loads(done.stdout)["collectives_per_step"]
    check(planned == 1 + in_layers, f"{flags}: {planned} collectives are planned, expected the embedding's and {in_layers}")
    tuning = 1
    for more, fails in ((0, True), (1, False)):
        os.environ["COLROW_FAIL_COLLECTIVE"] = f"0:{tuning + planned + more}"
        done = run("logits", folder, "--input-ids", "1,2,3", "-o", os.path.join(folder, "logits"), "-q", *flags)
        check((done.returncode != 0) == fails,
              f"{flags}: collective {planned + more} of {planned} of a step; exit status {done.returncode}")
    del os.environ["COLROW_FAIL_COLLECTIVE"]


def check_model(folder):
    write_model(folder, parallel=False)
    check_count(folder, ("-tp", 2), 2 * LAYERS)
    write_model(folder, parallel=True)
    paths = {}
    for name, rules in PLANS.items():
        paths[name] = os.path.join(folder, name + ".json")
        with open(paths[name], "w", encoding="utf-8") as file:
            json.dump(rules, file)
    check_count(folder, ("-tp", 2), LAYERS)
    check_count(folder, ("-tp", 4), LAYERS)
    check_count(folder, ("-tp", 3), 2 * LAYERS)  # four heads, eight leaves of the MLP: they are cut at other leaves
    check_count(folder, ("-tp", 2, "--tp-plan", paths["whole"]), LAYERS)
    text = run("plan", folder, "-tp", 2).stdout
    check("all-reduce (joined)" in text and "collectives  4 a step, 1 a layer\n" in text, f"plan says\n{text}")
    check("joined" in run("plan", folder, "-tp", 2, "--explain", "dense_4h_to_h").stdout, "--explain of a joined sum")
    check("joined" not in run("plan", folder, "-tp", 3).stdout, "plan -tp 3 joins what is cut differently")
    for dtype in ("bfloat16", "float32"):
        digests = {}
        for flags in ((), ("-tp", 2), ("-tp", 2, "--max-num-batched-tokens", 1), ("-tp", 2, "--max-num-batched-tokens", 4),
                      ("-tp", 3), ("-tp", 4), ("-tp", 2, "--threads-per-rank", 3),
                      ("-tp", 2, "--threads-per-rank", 3, "--max-num-batched-tokens", 2),
                      ("-tp", 2, "--tp-plan", paths["tokens"]), ("-tp", 3, "--tp-plan", paths["whole"])):
            digests[flags] = logits_file(folder, IDS, "--dtype", dtype, *flags)[1]
        check(len(set(digests.values())) == 1, f"{dtype}: bits depend on {digests}")


with tempfile.TemporaryDirectory() as temporary:
    check_model(temporary)
finish("joined sums")
