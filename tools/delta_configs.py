"""Random configurations of the families with the gated delta rule, for family_configs.py."""
from config_draws import F, bias, eps, rope, sizes

LINEAR = "linear_attention"


def delta_rule(rng):
    keys, each = rng.choice([1, 1, 2, 2, 3, 4]), rng.choice([1, 2, 2, 3])
    return {"linear_num_key_heads": keys, "linear_num_value_heads": keys * each,
            "linear_key_head_dim": rng.choice([4, 7, 8, 16, 24]), "linear_value_head_dim": rng.choice([4, 6, 8, 16, 18, 32]),
            "linear_conv_kernel_dim": rng.choice([2, 3, 4, 4, 5])}


def layers(rng, f):
    n = f["num_hidden_layers"]
    types = {"layer_types": [rng.choice([LINEAR, LINEAR, F]) for _ in range(n)]}
    return rng.choice([types, types, {"full_attention_interval": rng.choice([1, 2, 3])}])


def hybrid(rng):
    f = sizes(rng, head_dim="free")
    f["head_dim"] = rng.choice([8, 16, 24, 32])  # of which a quarter and a half turn in pairs
    f["hidden_act"] = "silu"  # it has no other
    partial = rng.choice([{}, {"partial_rotary_factor": 0.25}, {"partial_rotary_factor": 0.5}, {"partial_rotary_factor": 1.0}])
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **delta_rule(rng), **layers(rng, f),
            "rope_parameters": rope(rng, f, ("default", "default", "linear", "yarn"), **partial)}


def experts(rng):
    n = rng.choice([2, 3, 4, 6, 8, 12])
    return {"num_experts": n, "num_experts_per_tok": rng.randint(1, min(n, 4)),
            "moe_intermediate_size": rng.choice([9, 16, 24, 40]), "shared_expert_intermediate_size": rng.choice([17, 32, 80])}


def qwen3_next(rng):
    f = hybrid(rng)
    return {**f, **experts(rng), "decoder_sparse_step": rng.choice([1, 1, 1, 2]), "norm_topk_prob": rng.random() < 0.6,
            "mlp_only_layers": rng.sample(range(f["num_hidden_layers"]), rng.choice([0, 0, 1]))}


def qwen3_5_moe(rng):
    f = {**hybrid(rng), **experts(rng)}
    del f["intermediate_size"]
    return f


DELTA = {"linear_num_key_heads, linear_num_value_heads": "of the delta rule: the latter are a multiple",
         "linear_key_head_dim, linear_value_head_dim": "their sizes", "linear_conv_kernel_dim": "taps of the convolution",
         "layer_types | full_attention_interval": "linear_attention, full_attention",
         "attention_bias": "on q, k, v and o", "partial_rotary_factor": "default 0.25",
         "(always)": "a gate on attention's output; norms count from 1, but the delta rule's"}
MOE = {"num_experts": "of which each token has", "num_experts_per_tok": "so many of them", "moe_intermediate_size": "of each",
       "shared_expert_intermediate_size": "of the one that all tokens have, behind a gate"}
# (name, keys, draw)
DELTA_FAMILIES = [
    ("qwen3_next", {**DELTA, **MOE, "decoder_sparse_step, mlp_only_layers": "layers without experts",
                    "norm_topk_prob": "weights sum to 1 (default true)"}, qwen3_next),
    ("qwen3_5_text", DELTA, hybrid),
    ("qwen3_5_moe_text", {**DELTA, **MOE}, qwen3_5_moe),
]
