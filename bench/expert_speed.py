#!/usr/bin/env python3
"""How a mixture of experts uses the machine, beside a dense model of the same active size: prefill per active parameter, and
decoding over the bytes that a step has to touch, as a part of the read bandwidth that is measured in the same runs.

    bench/expert_speed.py [--config CONFIG.json] [--layers 4] [--dir DIR] [-tp 2] [--rounds 5] [--colrow PROGRAM]

Synthesises both models into DIR where they are not (Qwen3-30B-A3B's shape, four layers: 6 GB and 2 GB): the dense one has the
mixture's config with one MLP of num_experts_per_tok times moe_intermediate_size. They run in turn; figures are medians over
the rounds, with the load of the machine beside them.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
QWEN3_30B = {"architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "attention_bias": False, "decoder_sparse_step": 1,
             "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048, "intermediate_size": 8192, "max_position_embeddings": 40960,
             "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": True, "num_attention_heads": 32, "num_experts": 128,
             "num_experts_per_tok": 8, "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
             "tie_word_embeddings": False, "torch_dtype": "bfloat16", "vocab_size": 151936}
WAYS = {"prefill": (1, 512, 1, "prefill_of_peak"), "decode 1": (1, 8, 33, "decode_of_bandwidth"), "decode 8": (8, 8, 33, "decode_of_bandwidth")}
RATES = {"prefill_of_peak": "prefill_tokens_per_second", "decode_of_bandwidth": "decode_tokens_per_second"}


def dense_of(config):
    wide = config["num_experts_per_tok"] * config["moe_intermediate_size"]
    dropped = ("num_experts", "num_experts_per_tok", "moe_intermediate_size", "mlp_only_layers", "decoder_sparse_step", "norm_topk_prob",
               "router_aux_loss_coef", "output_router_logits")
    return {**{k: v for k, v in config.items() if k not in dropped}, "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3",
            "intermediate_size": wide}


def synthesise(options, name, config):
    folder = os.path.join(options.dir, name)
    if os.path.exists(os.path.join(folder, "config.json")):
        return folder
    os.makedirs(options.dir, exist_ok=True)
    path = os.path.join(options.dir, f"{name}.config.json")
    with open(path, "w", encoding="utf-8") as file:
        json.dump(config, file)
    subprocess.run([options.colrow, "synth", path, folder], check=True)
    return folder


def measure(options, model, way):
    batch, input_len, output_len, part = WAYS[way]
    command = [options.colrow, "bench", "latency", model, "-tp", str(options.tp), "--batch-size", str(batch), "--input-len", str(input_len),
               "--output-len", str(output_len), "--num-iters", "5", "--kv-cache-memory", "256MB", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "COLROW_RANK_PROGRAM": options.colrow})
    if done.returncode:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    return result[part], result[RATES[part]]


def show(values):
    return f"{statistics.median(values):.3f} ({min(values):.3f}-{max(values):.3f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", help="of a qwen3_moe model (default: Qwen3-30B-A3B's)")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--dir", default=os.path.expanduser("~/.cache/colrow-experts"))
    parser.add_argument("--model", help="a folder of the mixture, in place of one that is synthesised")
    parser.add_argument("-tp", "--tensor-parallel-size", dest="tp", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--colrow", default=os.path.join(ROOT, "build/release/colrow"))
    options = parser.parse_args()
    options.colrow = os.path.abspath(options.colrow)
    config = QWEN3_30B
    if options.config or options.model:
        with open(options.config or os.path.join(options.model, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
    config = {**config, "num_hidden_layers": options.layers}
    models = {"experts": options.model or synthesise(options, f"experts-{options.layers}", config),
              "dense": synthesise(options, f"dense-{options.layers}", dense_of(config))}
    parts, loads = {}, []
    for i in range(options.rounds):
        for way in WAYS:
            for name in sorted(models, reverse=i % 2 == 0):
                loads.append(os.getloadavg()[0])
                parts.setdefault((way, name), []).append(measure(options, models[name], way))
    print(f"{os.cpu_count()} CPUs, TP={options.tp}, {options.rounds} rounds, load {min(loads):.1f} to {max(loads):.1f}")
    for way in WAYS:
        for name in models:
            print(f"{way:9s} {name:8s} {show([rate for _, rate in parts[way, name]])} tok/s, of the machine's limit "
                  f"{show([part for part, _ in parts[way, name]])}")
        ratios = [mixed[0] / dense[0] for mixed, dense in zip(parts[way, "experts"], parts[way, "dense"])]
        print(f"{way:9s} experts over dense, {'per active parameter' if way == 'prefill' else 'of the bandwidth'}: {show(ratios)}")


main()
