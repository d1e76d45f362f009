"""Random configurations of the families with experts or latent attention; see family_configs.py."""
from config_draws import (F, S, bias, eps, even_parts, even_partial, flagged_window, latent_rope, latent_sizes, layer_types,
                          maybe, multipliers, rope, sizes, window)
from family_register import HEAD_DIM, MULTIPLIERS, family


def experts_of(rng, count="num_experts"):
    n = rng.choice([2, 3, 4, 6, 8, 12])
    return {count: n, "num_experts_per_tok": rng.randint(1, min(n, 4))}


def dense_layers(rng, f):
    """Which of Qwen's layers have no experts."""
    n = f["num_hidden_layers"]
    return {"decoder_sparse_step": rng.choice([1, 1, 1, 2]),
            "mlp_only_layers": rng.sample(range(n), rng.choice([0, 0, 1])), "norm_topk_prob": rng.random() < 0.5,
            "moe_intermediate_size": rng.choice([9, 16, 24, 40, 66])}


EXPERTS = {"num_experts | num_local_experts": "of which each token has", "num_experts_per_tok": "so many"}
QWEN_EXPERTS = {**EXPERTS, "moe_intermediate_size": "of each expert; intermediate_size: of layers without experts",
                "norm_topk_prob": "the weights of a token's experts are divided by their sum",
                "decoder_sparse_step, mlp_only_layers": "layers with experts: (i + 1) % step == 0 and not listed"}


@family("mixtral", {**HEAD_DIM, **EXPERTS, "sliding_window": "every layer; null: none"})
def mixtral(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **experts_of(rng, "num_local_experts"), "sliding_window": window(rng),
            "rope_parameters": rope(rng, f)}


@family("qwen2_moe", {**QWEN_EXPERTS, "qkv_bias": "on q, k, v (default true)",
                      "shared_expert_intermediate_size": "of the one that all tokens have, behind a gate",
                      "use_sliding_window, sliding_window, max_window_layers, layer_types":
                      "absent types: with the flag every other layer before max_window_layers slides"})
def qwen2_moe(rng):
    f = sizes(rng, head_dim="implied")
    return {**f, **eps(rng), **experts_of(rng), **dense_layers(rng, f), **bias(rng, "qkv_bias"),
            **flagged_window(rng, f),
            "shared_expert_intermediate_size": rng.choice([17, 32, 80]), "rope_parameters": rope(rng, f)}


@family("qwen3_moe", {**QWEN_EXPERTS, **HEAD_DIM, "attention_bias": "on q, k, v and o",
                      "(always)": "RMSNorm of each head's q and k before rope",
                      "use_sliding_window, sliding_window": "all layers slide"})
def qwen3_moe(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), **experts_of(rng), **dense_layers(rng, f), **bias(rng, "attention_bias"),
            "use_sliding_window": rng.random() < 0.3, "sliding_window": window(rng, 0.1),
            "rope_parameters": rope(rng, f)}


@family("granitemoe", {**EXPERTS, **MULTIPLIERS, "attention_bias": "on q, k, v and o"})
def granitemoe(rng):
    f = sizes(rng, head_dim="implied")
    return {**f, **eps(rng), **experts_of(rng, "num_local_experts"), **multipliers(rng), **bias(rng, "attention_bias"),
            "rope_parameters": rope(rng, f)}


@family("gpt_oss", {**EXPERTS, **HEAD_DIM, "attention_bias": "on q, k, v and o (default true)",
                    "intermediate_size": "of each expert", "swiglu_alpha, swiglu_limit": "of the clamped activation",
                    "sliding_window, layer_types": "absent types: every other layer slides, the first one does",
                    "quantization_config": "quant_method mxfp4: experts in blocks of 32 with scales",
                    "(always)": "a sink for each query head; biases of the router and of experts"})
def gpt_oss(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **experts_of(rng, "num_local_experts"), **layer_types(rng, f),
            **maybe(rng, 0.3, attention_bias=[False], swiglu_alpha=[1.0, 0.7], swiglu_limit=[0.5, 1.5, 3.0]),
            "sliding_window": window(rng, 0), "rope_parameters": rope(rng, f, ("yarn", "yarn", "yarn", "default"),
                                                                     truncate=False)}


@family("phimoe", {**EXPERTS, **HEAD_DIM, "attention_bias": "on q, k, v and o", "lm_head_bias": "on the logits",
                   "router_jitter_noise": "how far from the largest a logit counts", "sliding_window": "every layer",
                   "rope_parameters": "longrope: short_factor alone, times short_mscale or, beyond the length, long_mscale",
                   "(always)": "LayerNorms with biases; two experts, each with its own softmax"})
def phimoe(rng):
    f = sizes(rng, head_dim="either", divides=True)
    n = rng.choice([2, 3, 4, 6, 8, 12])
    r = rope(rng, f, ("default", "default", "longrope"))
    if r["rope_type"] == "longrope":
        r.update(short_mscale=rng.choice([1.0, 1.2]), long_mscale=rng.choice([1.0, 1.2, 1.5]))
        r.pop("attention_factor", None)
    return {**f, **eps(rng), **bias(rng, "attention_bias", "lm_head_bias"), "num_local_experts": n,
            "num_experts_per_tok": 2, "router_jitter_noise": rng.choice([0.01, 0.1, 0.3, 0.8]),
            "sliding_window": window(rng, 0.5), "rope_parameters": r}


@family("llama4_text", {**EXPERTS, **HEAD_DIM, "attention_bias": "on q, k, v and o",
                        "intermediate_size, intermediate_size_mlp": "of experts and the shared one; of layers without",
                        "moe_layers | interleave_moe_layer_step": "layers with experts",
                        "no_rope_layers | no_rope_layer_interval": "1: rope; else every so many-th layer is without",
                        "layer_types, attention_chunk_size": "chunked_attention: keys of the same block of positions alone",
                        "use_qk_norm": "q and k after rope, without a weight", "attn_temperature_tuning, attn_scale, floor_scale":
                        "layers without rope: q *= 1 + attn_scale ln(1 + floor((pos + 1) / floor_scale))",
                        "(always)": "the sigmoid of the k largest logits, times the experts' inputs"})
def llama4_text(rng):
    f = sizes(rng, head_dim="free")
    n = f["num_hidden_layers"]
    mlp = f["intermediate_size"]
    more = {"moe_layers": rng.sample(range(n), rng.randint(0, n))} if rng.random() < 0.3 else {
        "interleave_moe_layer_step": rng.choice([1, 1, 2])}
    if rng.random() < 0.3:
        more["layer_types"] = [rng.choice(["chunked_attention", F]) for _ in range(n)]
    more.update({"no_rope_layers": [rng.randint(0, 1) for _ in range(n)]} if rng.random() < 0.4 else {
        "no_rope_layer_interval": rng.choice([1, 2, 4])})
    return {**f, **eps(rng), **experts_of(rng, "num_local_experts"), **bias(rng, "attention_bias"), **more,
            "intermediate_size": rng.choice([9, 16, 24, 40]), "intermediate_size_mlp": mlp,
            "attention_chunk_size": rng.choice([1, 5, 16, 33, 64, 100, 4096]), "use_qk_norm": rng.random() < 0.6,
            "attn_temperature_tuning": rng.random() < 0.7, "floor_scale": rng.choice([3, 16, 32]),
            "attn_scale": rng.choice([0.1, 0.5]), "rope_parameters": rope(rng, f, ("default", "llama3", "linear", "yarn"))}


CORRECTED = {"n_routed_experts | num_local_experts": "of which each token has", "num_experts_per_tok": "so many",
             "moe_intermediate_size": "of each expert; intermediate_size: of the first layers",
             "n_shared_experts": "that all tokens have", "first_k_dense_replace": "layers without experts",
             "n_group, topk_group": "experts of the best groups alone are chosen",
             "norm_topk_prob, routed_scaling_factor": "of the weights, which are sigmoids"}


@family("glm4_moe", {**CORRECTED, **HEAD_DIM, "attention_bias": "on q, k and v", "use_qk_norm": "before rope",
                     "partial_rotary_factor": "of each head (default 0.5)"})
def glm4_moe(rng):
    f = sizes(rng, head_dim="free")
    groups = rng.choice([1, 1, 2, 3])
    each, kept = rng.choice([2, 3, 4]), rng.randint(1, groups)
    return {**f, **eps(rng), "n_routed_experts": groups * each, "n_group": groups, "topk_group": kept,
            "num_experts_per_tok": rng.randint(1, min(each * kept, 4)), "norm_topk_prob": rng.random() < 0.5,
            "moe_intermediate_size": rng.choice([9, 16, 24, 40]), "n_shared_experts": rng.choice([1, 1, 2]),
            "routed_scaling_factor": rng.choice([1.0, 1.5, 2.5]), "first_k_dense_replace": rng.choice([0, 1, 1, 2]),
            **bias(rng, "attention_bias", "use_qk_norm"), "rope_parameters": even_partial(rng, f)}


@family("mimo_v2_flash", {**CORRECTED, **HEAD_DIM, "v_head_dim": "of a head's values",
                          "attention_value_scale": "times the values", "attention_bias": "on q, k and v",
                          "sliding_window | sliding_window_size": "of the layers with a window; the latter does not count the query",
                          "layer_types, mlp_layer_types": "absent: the first and every sixth are full; the first is dense",
                          "rope_parameters by layer type": "partial_rotary_factor 0.334 where absent",
                          "(always)": "layers with a window: twice the KV heads, a sink for each query head"})
def mimo_v2_flash(rng):
    f = sizes(rng, head_dim="free")
    while f["num_attention_heads"] % (2 * f["num_key_value_heads"]):
        f = sizes(rng, head_dim="free")
    n, groups = f["num_hidden_layers"], rng.choice([1, 1, 2])
    each = rng.choice([2, 3, 4])
    f["head_dim"] = rng.choice([8, 12, 16, 24])
    parts = even_parts(f, 0.25, 0.334, 0.5, 1.0)
    ropes = {kind: {"rope_type": "default", "rope_theta": rng.choice([100.0, 10000.0, 5e6]),
                    "partial_rotary_factor": rng.choice(parts)} for kind in (F, S)}
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **layer_types(rng, f), "v_head_dim": rng.choice([4, 8, 10, 16, 24, 32]),
            **maybe(rng, 0.5, attention_value_scale=[None, 1.0, 0.5], routed_scaling_factor=[2.5],
                    mlp_layer_types=[[rng.choice(["dense", "sparse"]) for _ in range(n)]]),
            "n_routed_experts": groups * each, "n_group": groups, "topk_group": rng.randint(1, groups),
            "num_experts_per_tok": rng.randint(1, min(each, 4)), "norm_topk_prob": rng.random() < 0.5,
            "moe_intermediate_size": rng.choice([9, 16, 24, 40]), "sliding_window": window(rng, 0),
            "rope_parameters": ropes}


LATENT = {"q_lora_rank": "null: q_proj makes the queries", "kv_lora_rank": "of the latent that is cached",
          "qk_nope_head_dim, qk_rope_head_dim, v_head_dim": "of a head; the rope turns the second",
          "attention_bias": "on q_a, kv_a and o", "(always)": "eps of both latents' norms is 1e-6",
          "rope_parameters.mscale_all_dim": "the softmax scale times its yarn mscale squared"}


def latent_experts(rng):
    groups = rng.choice([1, 1, 2, 3])
    each, kept = rng.choice([2, 3, 4]), rng.randint(1, groups)
    return {"n_routed_experts": groups * each, "n_group": groups, "topk_group": kept,
            "num_experts_per_tok": rng.randint(1, min(each * kept, 4)), "norm_topk_prob": rng.random() < 0.5,
            "moe_intermediate_size": rng.choice([9, 16, 24, 40]), "n_shared_experts": rng.choice([1, 1, 2]),
            "routed_scaling_factor": rng.choice([1.0, 1.5, 2.5]), "first_k_dense_replace": rng.choice([0, 1, 1, 2]),
            **bias(rng, "attention_bias")}


@family("deepseek_v2", {**CORRECTED, **LATENT, "topk_method": "greedy, or group_limited_greedy: groups by their best expert",
                        "mlp_bias": "on gate, up and down, not of experts", "norm_topk_prob": "without effect"})
def deepseek_v2(rng):
    f = latent_sizes(rng)
    return {**f, **eps(rng), **latent_experts(rng), **bias(rng, "mlp_bias"),
            "topk_method": rng.choice(["greedy", "group_limited_greedy", "group_limited_greedy"]),
            "rope_parameters": latent_rope(rng, f)}


@family("deepseek_v3", {**CORRECTED, **LATENT, "rope_interleave": "pairs (2i, 2i + 1) (default true)"})
def deepseek_v3(rng):
    f = latent_sizes(rng)
    return {**f, **eps(rng), **latent_experts(rng), **maybe(rng, 0.3, rope_interleave=[False, True]),
            "rope_parameters": latent_rope(rng, f)}


@family("glm4_moe_lite", {**CORRECTED, **LATENT, "rope_interleave": "pairs (2i, 2i + 1) (default true)",
                          "mlp_layer_types": "dense or sparse, by layer; absent: the first one is dense"})
def glm4_moe_lite(rng):
    f = latent_sizes(rng)
    more = {**latent_experts(rng), **maybe(rng, 0.3, rope_interleave=[False, True])}
    del more["first_k_dense_replace"]
    if rng.random() < 0.6:
        more["mlp_layer_types"] = [rng.choice(["dense", "sparse"]) for _ in range(f["num_hidden_layers"])]
    return {**f, **eps(rng), **more, "rope_parameters": latent_rope(rng, f)}


INDEXER = {"index_topk": "positions that a query attends", "index_n_heads, index_head_dim": "of the indexer",
           "mlp_layer_types": "dense or sparse, by layer; absent: first_k_dense_replace"}


def indexer(rng, f):
    """Small enough that positions are left out; many heads, so that few positions score exactly zero."""
    if f["q_lora_rank"] is None:
        f["q_lora_rank"] = 16
    rest = rng.choice([0, 2, 4, 8, 20])
    return {"index_topk": rng.choice([1, 3, 8, 16, 24, 31, 48, 64, 65, 90, 400]), "index_n_heads": rng.choice([8, 12, 16, 17, 24, 33]),
            "index_head_dim": f["qk_rope_head_dim"] + rest, **latent_experts(rng),
            **maybe(rng, 0.4, mlp_layer_types=[[rng.choice(["dense", "sparse"]) for _ in range(f["num_hidden_layers"])]])}


@family("deepseek_v32", {**CORRECTED, **LATENT, **INDEXER, "(always)": "the indexer's rope turns halves, attention's pairs"})
def deepseek_v32(rng):
    f = latent_sizes(rng)
    return {**f, **eps(rng), **indexer(rng, f), "q_lora_rank": f["q_lora_rank"], "rope_parameters": latent_rope(rng, f)}


@family("glm_moe_dsa", {**CORRECTED, **LATENT, **INDEXER, "indexer_types": "full, or shared: the choice of the layer before",
                        "index_topk_freq, index_skip_topk_offset, index_topk_pattern": "the same by a rule",
                        "(always)": "both ropes turn pairs"})
def glm_moe_dsa(rng):
    f = latent_sizes(rng)
    n = f["num_hidden_layers"]
    types = ["full", *(rng.choice(["full", "shared"]) for _ in range(n - 1))]
    how = rng.choice([{"indexer_types": types}, {"index_topk_pattern": "".join(t[0].upper() for t in types)},
                      {"index_topk_freq": rng.choice([2, 3]), "index_skip_topk_offset": rng.choice([1, 2])}, {}])
    return {**f, **eps(rng), **indexer(rng, f), "q_lora_rank": f["q_lora_rank"], **how, "rope_parameters": latent_rope(rng, f)}


@family("mistral4", {**CORRECTED, **LATENT, "rope_interleave": "pairs (2i, 2i + 1) (default true)",
                     "rope_parameters.llama_4_scaling_beta": "all of q times 1 + beta ln(1 + floor(pos / original length))",
                     "rope_parameters.partial_rotary_factor": "absent: the rope's part of a head",
                     "norm_topk_prob, routed_scaling_factor": "of the weights, a softmax over all"})
def mistral4(rng):
    f = latent_sizes(rng)
    r = latent_rope(rng, f, ("yarn",))
    r.update(llama_4_scaling_beta=rng.choice([0.1, 0.3, 1.0]),
             partial_rotary_factor=f["qk_rope_head_dim"] / (f["qk_rope_head_dim"] + f["qk_nope_head_dim"]))
    return {**f, **eps(rng), **latent_experts(rng), **maybe(rng, 0.3, rope_interleave=[False, True]),
            "rope_parameters": r}


@family("ernie4_5_moe", {"moe_num_experts, moe_k": "so many, of which each token has so many",
                         "moe_intermediate_size": "of each expert; intermediate_size: of layers without experts",
                         "moe_num_shared_experts": "that all tokens have; may be 0", "use_bias": "but of experts",
                         "moe_layer_start_index, moe_layer_end_index, moe_layer_interval": "layers with experts",
                         "moe_norm_min": "the least sum that weights are divided by",
                         "(always)": "rope turns pairs (2i, 2i + 1)"})
def ernie4_5_moe(rng):
    f = sizes(rng, head_dim="implied")
    n = experts_of(rng)
    return {**f, **eps(rng), **bias(rng, "use_bias"), "moe_num_experts": n["num_experts"],
            "moe_k": n["num_experts_per_tok"], "moe_intermediate_size": rng.choice([9, 16, 24, 40]),
            "moe_num_shared_experts": rng.choice([0, 1, 2]), "moe_layer_start_index": rng.choice([0, 1, 1, 2]),
            "moe_layer_end_index": rng.choice([-1, -1, 1]), "moe_layer_interval": rng.choice([1, 1, 2]),
            "moe_norm_min": rng.choice([1e-12, 1e-12, 0.7]), "rope_parameters": rope(rng, f)}


@family("minimax_m2", {**EXPERTS, **HEAD_DIM, "(always)": "RMSNorm over all heads of q, and of k, before rope",
                       "rotary_dim": "dimensions of a head that turn"})
def minimax_m2(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **experts_of(rng, "num_local_experts"), "rope_parameters": even_partial(rng, f)}
