"""Random configurations of the families with the gated delta rule, for family_configs.py."""
from config_draws import F, bias, eps, latent_sizes, maybe, rope, sizes

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


def kimi_linear(rng):
    f = latent_sizes(rng)
    f["hidden_act"] = "silu"  # it has no other
    f.update(tie_word_embeddings=False)  # which Transformers does not heed here
    n, groups = f["num_hidden_layers"], rng.choice([1, 1, 2, 3])
    each, kept = rng.choice([2, 3, 4]), rng.randint(1, groups)
    full = [i + 1 for i in range(n) if rng.random() < 0.35]
    delta = {"num_heads": rng.choice([1, 2, 3, 4, 5]), "head_dim": rng.choice([2, 4, 6, 8, 16, 18, 24]),
             "short_conv_kernel_size": rng.choice([1, 2, 3, 4, 4])}
    lists = {"full_attn_layers": full, "kda_layers": [i + 1 for i in range(n) if i + 1 not in full]}
    linear = rng.choice([
        {"linear_attn_config": {**delta, **lists}}, {"linear_attn_config": delta},
        {"linear_num_heads": delta["num_heads"], "linear_head_dim": delta["head_dim"],
         "linear_conv_kernel_dim": delta["short_conv_kernel_size"],
         "layer_types": [F if i + 1 in full else LINEAR for i in range(n)]}])
    return {**f, **eps(rng), **linear, **bias(rng, "attention_bias"), "num_local_experts": groups * each,
            "n_group": groups, "topk_group": kept, "num_experts_per_tok": rng.randint(1, min(each * kept, 4)),
            "norm_topk_prob": rng.random() < 0.5, "moe_intermediate_size": rng.choice([9, 16, 24, 40]),
            "n_shared_experts": rng.choice([1, 1, 2]), "routed_scaling_factor": rng.choice([1.0, 1.5, 2.446]),
            **maybe(rng, 0.5, first_k_dense_replace=[0, 1, 2], mlp_layer_types=[
                [rng.choice(["dense", "sparse"]) for _ in range(n)]])}


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
    ("kimi_linear", {
        "linear_attn_config.num_heads, .head_dim | linear_num_heads, linear_head_dim": "of the delta rule",
        "linear_attn_config.full_attn_layers, .kda_layers | layer_types": "numbers from 1; absent: every fourth but the first",
        "first_k_dense_replace, mlp_layer_types": "layers without experts", "q_lora_rank": "null: q_proj makes the queries",
        "kv_lora_rank, qk_nope_head_dim, qk_rope_head_dim, v_head_dim": "of latent attention, where nothing turns",
        "num_experts | num_local_experts": "of which each token has", "num_experts_per_token | num_experts_per_tok": "so many",
        "num_shared_experts | n_shared_experts": "that all tokens have",
        "num_expert_group | n_group, topk_group": "experts of the best groups alone are chosen",
        "moe_renormalize | norm_topk_prob, routed_scaling_factor": "of the weights, which are sigmoids",
        "(always)": "a decay for each number of a key; gates by way of head_dim numbers"}, kimi_linear),
]
