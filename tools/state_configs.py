"""Random configurations of the families whose layers keep a state, for family_configs.py."""
from config_draws import F, bias, eps, maybe, multipliers, rope, sizes

MAMBA, CONV = "linear_attention", "conv"
ROUTED = {"num_experts_per_tok": "so many of them", "moe_intermediate_size": "of each expert"}


def mixed_layers(rng, f, *words):
    return {"layer_types": [rng.choice(words) for _ in range(f["num_hidden_layers"])]}


def even_hidden(f):
    """The products of these layers go in pairs of channels."""
    f["hidden_size"] += f["hidden_size"] % 2 * (f["num_attention_heads"] if "head_dim" not in f else 1)
    return f


def mamba_heads(rng, inner=None):
    """(heads, head_dim, groups); heads times head_dim is `inner`, where that is fixed."""
    while True:
        groups, each = rng.choice([1, 1, 1, 2, 3, 4]), rng.choice([1, 2, 3, 4, 6])
        n, d = groups * each, rng.choice([4, 6, 8, 16, 18, 32])
        if inner and inner % n == 0 and inner // n % 2 == 0 and inner // n <= 64:
            return n, inner // n, groups
        if not inner and n * d <= 200:
            return n, d, groups


def step_limit(rng):
    return maybe(rng, 0.4, time_step_limit=[[0.0, 1.0], [0.05, 0.6], [0.3, float("inf")]])


def lfm2(rng):
    f = even_hidden(sizes(rng, head_dim="implied"))
    f["hidden_act"] = "silu"  # it has no other
    return {**f, **eps(rng, "norm_eps"), **bias(rng, "conv_bias"), **mixed_layers(rng, f, CONV, CONV, F),
            "conv_L_cache": rng.choice([2, 3, 3, 4, 5]), "block_multiple_of": rng.choice([2, 16, 10]),
            "block_auto_adjust_ff_dim": rng.random() < 0.6, "block_ffn_dim_multiplier": rng.choice([1.0, 1.3, 0.7]),
            "rope_parameters": rope(rng, f)}


def lfm2_moe(rng):
    f = even_hidden(sizes(rng, head_dim="implied"))
    f["hidden_act"] = "silu"
    n = rng.choice([2, 3, 4, 6, 8, 12])
    return {**f, **eps(rng, "norm_eps"), **bias(rng, "conv_bias"), **mixed_layers(rng, f, CONV, CONV, F),
            "conv_L_cache": rng.choice([2, 3, 3, 4, 5]), "num_experts": n, "num_experts_per_tok": rng.randint(1, min(n, 4)),
            "moe_intermediate_size": rng.choice([9, 16, 24, 40]), "num_dense_layers": rng.choice([0, 1, 1, 2]),
            "use_expert_bias": rng.random() < 0.7, "norm_topk_prob": rng.random() < 0.7,
            "routed_scaling_factor": rng.choice([1.0, 1.0, 2.5]), "rope_parameters": rope(rng, f)}


def granitemoehybrid(rng):
    f = even_hidden(sizes(rng, head_dim="either"))
    experts = rng.choice([0, 0, 2, 4, 6])
    expand = rng.choice([1, 2, 2, 3])
    n, d, groups = 2, "auto", 1
    has_mamba = rng.random() < 0.75
    if has_mamba:
        f["hidden_act"] = "silu"
        f["hidden_size"] = rng.choice([24, 48, 72, 96]) if "head_dim" in f else f["hidden_size"] // 12 * 12 or 24
        if "head_dim" not in f:
            f.update(num_attention_heads=rng.choice([2, 3, 6]), num_key_value_heads=1)
        n, d, groups = mamba_heads(rng, expand * f["hidden_size"])
    return {**f, **eps(rng), **multipliers(rng), **bias(rng, "attention_bias", "mamba_proj_bias"),
            "shared_intermediate_size": rng.choice([24, 56, 96, 130]), "num_local_experts": experts,
            "num_experts_per_tok": rng.randint(1, min(experts, 3)) if experts else 0,
            **(mixed_layers(rng, f, MAMBA, MAMBA, F) if has_mamba else {"layer_types": [F] * f["num_hidden_layers"]}),
            "position_embedding_type": rng.choice(["rope", "rope", "nope", None]), "mamba_n_heads": n,
            "mamba_d_head": rng.choice([d, "auto"]), "mamba_n_groups": groups, "mamba_expand": expand,
            "mamba_d_state": rng.choice([8, 16, 5]), "mamba_d_conv": rng.choice([2, 4, 4, 3]),
            "mamba_conv_bias": rng.random() < 0.7, "mamba_chunk_size": rng.choice([16, 256]), **step_limit(rng),
            "rope_parameters": rope(rng, f)}


def falcon_h1(rng):
    f = sizes(rng, head_dim="either")
    f["hidden_act"] = "silu"
    n, d, groups = mamba_heads(rng)
    more = maybe(rng, 0.6, embedding_multiplier=[2.0, 0.5], lm_head_multiplier=[0.5, 2.0], key_multiplier=[0.5, 1.5],
                 attention_out_multiplier=[0.8, 0.3], ssm_out_multiplier=[0.6, 1.4],
                 mlp_multipliers=[[0.9, 0.6], [1.0, 0.5]], ssm_multipliers=[[0.7, 1.3, 0.6, 0.8, 0.9]])
    biases = bias(rng, "attention_bias", "mamba_proj_bias", "projectors_bias", "mlp_bias")
    more.update(maybe(rng, 0.5, attention_in_multiplier=[1.2, 0.7], ssm_in_multiplier=[1.1, 0.6]))
    return {**f, **eps(rng), **biases, **more, "mamba_n_heads": n, "mamba_d_head": rng.choice([d, "auto"]),
            "mamba_d_ssm": n * d, "mamba_n_groups": groups, "mamba_d_state": rng.choice([8, 16, 5]),
            "mamba_d_conv": rng.choice([2, 4, 4, 3]), "mamba_conv_bias": rng.random() < 0.7,
            "mamba_chunk_size": rng.choice([16, 256]), "mamba_rms_norm": rng.random() < 0.5,
            "mamba_norm_before_gate": rng.random() < 0.5, **step_limit(rng), "rope_parameters": rope(rng, f)}


def nemotron_h(rng):
    f = sizes(rng, head_dim="free", act="mlp_hidden_act", usual="relu2")
    del f["num_hidden_layers"]
    f["intermediate_size"] += f["intermediate_size"] % 2
    n, d, groups = mamba_heads(rng)
    parts = rng.choice([1, 1, 2, 3])
    each, kept = rng.choice([2, 3, 4]), rng.randint(1, parts)
    words = [MAMBA, MAMBA, F, "mlp", "moe"]
    return {**f, **eps(rng, "layer_norm_epsilon"), **bias(rng, "mlp_bias", "use_bias"),
            "layers_block_type": [rng.choice(words) for _ in range(rng.randint(1, 6))], "mamba_num_heads": n,
            "mamba_head_dim": d, "n_groups": groups, "ssm_state_size": rng.choice([8, 16, 5]),
            "conv_kernel": rng.choice([2, 4, 4, 3]), "use_conv_bias": rng.random() < 0.7,
            "chunk_size": rng.choice([16, 128]), "time_step_min": 1e-9,  # which counts over prompts alone
            "n_routed_experts": parts * each, "n_group": parts, "topk_group": kept,
            "num_experts_per_tok": rng.randint(1, min(each * kept, 4)), "norm_topk_prob": rng.random() < 0.5,
            "routed_scaling_factor": rng.choice([1.0, 2.5]), "moe_intermediate_size": rng.choice([9, 16, 24, 40]),
            "moe_shared_expert_intermediate_size": rng.choice([17, 24, 48]),
            **maybe(rng, 0.5, moe_latent_size=[2, 6, 12, 16, 20, 24])}


def olmo_hybrid(rng):
    f = sizes(rng, head_dim="either")
    f["hidden_act"] = "silu"
    f["num_hidden_layers"] = max(2, f["num_hidden_layers"])
    types = [rng.choice([MAMBA, MAMBA, F]) for _ in range(f["num_hidden_layers"] - 2)] + [MAMBA, F]
    rng.shuffle(types)
    n, each = rng.choice([1, 2, 3, 4]), rng.choice([1, 1, 2, 3])
    return {**f, **eps(rng), **bias(rng, "attention_bias"), "layer_types": types, "linear_num_key_heads": n,
            "linear_num_value_heads": n * each, "linear_key_head_dim": rng.choice([4, 9, 12, 16]),
            "linear_value_head_dim": rng.choice([4, 8, 18, 24]), "linear_conv_kernel_dim": rng.choice([2, 4, 4, 3]),
            "linear_allow_neg_eigval": rng.random() < 0.6,
            "rope_parameters": rope(rng, f) if rng.random() < 0.7 else {"rope_type": "default", "rope_theta": None}}


STEPS = {"time_step_limit": "of dt, after softplus", "mamba_d_conv": "taps of the convolution",
         "mamba_n_heads, mamba_d_head": "\"auto\": their part of the inner width", "mamba_n_groups": "of B, of C and of the norm",
         "mamba_conv_bias, mamba_proj_bias": "of the convolution; of in_proj"}
# (name, keys, draw)
STATE_FAMILIES = [
    ("lfm2", {"layer_types | full_attn_idxs": "conv or full_attention", "conv_L_cache, conv_bias": "taps; biases of all three",
              "block_auto_adjust_ff_dim, block_ffn_dim_multiplier, block_multiple_of": "of intermediate_size",
              "(always)": "RMSNorm of each head's q and k before rope"}, lfm2),
    ("lfm2_moe", {"layer_types": "conv or full_attention", "num_experts": "of which each token has", **ROUTED,
                  "num_dense_layers": "the first, without experts", "use_expert_bias": "added where experts are chosen",
                  "norm_topk_prob, routed_scaling_factor": "of the weights, which are sigmoids"}, lfm2_moe),
    ("granitemoehybrid",
     {"embedding_multiplier, attention_multiplier, residual_multiplier, logits_scaling": "as in granite",
      "shared_intermediate_size": "width of the MLP that all tokens have, gate and up fused in input_linear",
      "num_local_experts": "0: there is no other MLP", "layer_types | layers_block_type": "linear_attention (mamba), full_attention (attention)",
      "position_embedding_type": "rope; nope, null or absent: none", "attention_bias": "on q, k, v and o", **STEPS},
     granitemoehybrid),
    ("falcon_h1", {"*_multiplier, *_multipliers": "of nearly everything", "mamba_d_ssm": "null: mamba_expand times hidden_size",
                   "mamba_rms_norm, mamba_norm_before_gate": "the norm over each group, before or after the gate", **STEPS},
     falcon_h1),
    ("nemotron_h", {"layers_block_type | hybrid_override_pattern": "one mix each layer, M*-E", "n_routed_experts": "of which each token has",
                    **ROUTED, "n_group, topk_group": "experts of the best groups alone are chosen",
                    "use_bias": "of Mamba's in_proj and out_proj", "mlp_bias": "of MLPs, not of experts, but of their latents",
                    "moe_latent_size": "experts read a projection of the input; null: that"}, nemotron_h),
    ("olmo_hybrid", {"layer_types": "linear_attention or full_attention", "linear_*_heads, linear_*_dim": "of the delta rule",
                     "linear_allow_neg_eigval": "beta up to 2", "rope_parameters.rope_theta": "null: no rope"}, olmo_hybrid),
]
