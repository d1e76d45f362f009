"""Random configurations of every model family, as Transformers 5.24 reads them. config_draws.py draws the values.

`FAMILIES[name]` has `model_type`, `draw(rng)`, which gives the fields of a small random configuration, and `keys`: the keys of
config.json that change what is computed, beyond those in COMMON_KEYS. They are what an engine must read or refuse; the
fuzz (differential_families.py) draws every one of them. `python3 tools/family_configs.py` prints them as a table.

Source: configuration_*.py, modeling_*.py and modeling_rope_utils.py of Transformers 5.24.
"""
import random

from config_draws import (F, QWEN_TOWER, S, TOWER, bias, eps, even_parts, even_partial, flagged_window, head_dim_of,
                          layer_types, maybe, multipliers, qwen_ids, rope, sizes, window, wrapped)
from delta_configs import DELTA_FAMILIES
from expert_configs import mistral4  # and registers the rest
from family_register import FAMILIES, HEAD_DIM, MULTIPLIERS, WINDOW_BY_FLAG, family
from state_configs import STATE_FAMILIES

COMMON_KEYS = {
    "vocab_size, hidden_size, intermediate_size, num_hidden_layers": "sizes",
    "num_attention_heads, num_key_value_heads": "query heads share KV heads in order; KV heads absent or null: as many as query heads",
    "rms_norm_eps": "of every RMSNorm",
    "tie_word_embeddings": "no lm_head in the file, or one that is ignored",
    "rope_parameters | rope_theta + rope_scaling": "rope_type (or type) default, linear, dynamic, llama3, yarn with their keys",
    "hidden_act": "silu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, quick_gelu, relu ...",
}


# ---- Llama and what is near it ----

@family("llama", {**HEAD_DIM, "attention_bias": "on q, k, v and o", "mlp_bias": "on gate, up and down"})
def llama(rng):
    f = sizes(rng, head_dim="either", divides=True)
    return {**f, **eps(rng), **bias(rng, "attention_bias", "mlp_bias"), "rope_parameters": rope(rng, f)}


@family("internlm3", {**HEAD_DIM, "qkv_bias | attention_bias": "on q, k, v and o",
                      "bias | mlp_bias": "on gate, up and down; Transformers wants it equal to qkv_bias"})
def internlm3(rng):
    f = sizes(rng, head_dim="free", divides=True)
    b = rng.random() < 0.3
    return {**f, **eps(rng), "qkv_bias": b, "bias": b, "rope_parameters": rope(rng, f,
                                                                               ("dynamic", "dynamic", "default",
                                                                                "linear", "llama3"))}


@family("mistral", {**HEAD_DIM, "sliding_window": "every layer; null: none"})
def mistral(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), "sliding_window": window(rng), "rope_parameters": rope(rng, f)}


@family("ministral3", {**HEAD_DIM, "sliding_window": "every layer; null: none",
                       "rope_parameters.llama_4_scaling_beta": "q *= 1 + beta ln(1 + floor(pos / original_max_position_embeddings)), after rope"})
def ministral3(rng):
    f = sizes(rng, head_dim="free")
    r = rope(rng, f, ("yarn", "yarn", "yarn", "llama3"), llama_4_scaling_beta=rng.choice([0.1, 0.3, 1.0]))
    return {**f, **eps(rng), "sliding_window": window(rng, 0.6), "rope_parameters": r}


@family("qwen2", {"head_dim": "read where it is there, though no field of the class",
                  "(always)": "bias on q, k, v, none on o", **WINDOW_BY_FLAG})
def qwen2(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), **flagged_window(rng, f), "rope_parameters": rope(rng, f)}


@family("qwen3", {"head_dim": "128 where absent", "attention_bias": "on q, k, v and o",
                  "(always)": "RMSNorm of each head's q and k before rope", **WINDOW_BY_FLAG})
def qwen3(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **flagged_window(rng, f), "rope_parameters": rope(rng, f)}


@family("smollm3", {"no_rope_layers": "1: the layer has rope, 0: none",
                    "no_rope_layer_interval": "every n-th has none, if the list is absent",
                    "use_sliding_window, sliding_window, layer_types": "absent types: layers without rope slide",
                    "attention_bias, mlp_bias": "all of them"})
def smollm3(rng):
    f = sizes(rng, head_dim="either")
    more = {"no_rope_layer_interval": rng.choice([2, 3, 4])}
    if rng.random() < 0.5:
        more = {"no_rope_layers": [rng.choice([0, 1]) for _ in range(f["num_hidden_layers"])]}
    return {**f, **eps(rng), **more, **bias(rng, "attention_bias", "mlp_bias"),
            "use_sliding_window": rng.random() < 0.5,
            "sliding_window": window(rng), **layer_types(rng, f, 0.3), "rope_parameters": rope(rng, f)}


@family("seed_oss", {**HEAD_DIM, "attention_bias": "on q, k, v (default true)", "attention_out_bias": "on o",
                     "mlp_bias": "on gate, up and down"})
def seed_oss(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **bias(rng, "attention_bias", "attention_out_bias", "mlp_bias"),
            "rope_parameters": rope(rng, f)}


@family("ernie4_5", {**HEAD_DIM, "use_bias": "on all seven projections", "(always)": "rope turns pairs (2i, 2i + 1)"})
def ernie4_5(rng):
    f = sizes(rng, head_dim="free")
    return {**f, **eps(rng), **bias(rng, "use_bias"), "rope_parameters": rope(rng, f)}


@family("hunyuan_v1_dense", {"head_dim": "must be there", "attention_bias": "on q, k, v and o",
                             "(always)": "RMSNorm of each head's q and k *after* rope",
                             "rope_parameters.alpha": "with type dynamic: theta * alpha^(d / (d - 2)), constant; without it as dynamic elsewhere"})
def hunyuan(rng):
    f = sizes(rng, head_dim="free")
    r = rope(rng, f, ("dynamic", "dynamic", "default", "linear", "llama3"))
    if r["rope_type"] == "dynamic" and rng.random() < 0.8:
        r.update(alpha=rng.choice([50.0, 1000.0]), factor=1.0, beta_fast=32, beta_slow=1, mscale=1.0,
                 mscale_all_dim=0.0)
    return {**f, **eps(rng), **bias(rng, "attention_bias"), "rope_parameters": r}


@family("apertus", {"hidden_act": "xielu with alpha_p, alpha_n, beta, eps from the file; no gate",
                    "attention_bias": "on q, k, v and o",
                    "(always)": "RMSNorm of each head's q and k before rope; rope_theta 12e6, llama3 by default"})
def apertus(rng):
    f = {**sizes(rng, head_dim="either"), "hidden_act": "xielu"}
    more = {} if rng.random() < 0.15 else {"rope_parameters": rope(rng, f, ("llama3", "llama3", "default", "yarn"))}
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **more}


# ---- Gemma ----

GEMMA = {"head_dim": "a key of its own", "attention_bias": "on q, k, v and o",
         "hidden_activation": "gelu_pytorch_tanh unless said",
         "(always)": "norms times 1 + w; embedding * sqrt(hidden_size)"}


@family("gemma", {**GEMMA, "hidden_act": "gelu means gelu_pytorch_tanh here",
                  "use_bidirectional_attention": "true is refused"})
def gemma(rng):
    f = sizes(rng, head_dim="free", usual=rng.choice(["gelu_pytorch_tanh", "gelu"]))
    return {**f, **eps(rng), **bias(rng, "attention_bias"), "rope_parameters": rope(rng, f)}


@family("gemma2", {**GEMMA, "use_bidirectional_attention": "true is refused",
                   "query_pre_attn_scalar": "softmax scale is its -1/2th power",
                   "attn_logit_softcapping, final_logit_softcapping": "null: none",
                   "sliding_window, layer_types": "absent types: layers 0, 2, ... slide"})
def gemma2(rng):
    f = sizes(rng, head_dim="free", divides=True, act="hidden_activation", usual="gelu_pytorch_tanh")
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **layer_types(rng, f, 0.5),
            "sliding_window": window(rng, 0), "query_pre_attn_scalar": rng.choice([8, 16, 24, 144]),
            "attn_logit_softcapping": rng.choice([None, 2.0, 5.0, 50.0]),
            "final_logit_softcapping": rng.choice([None, 4.0, 30.0]), "rope_parameters": rope(rng, f)}


@family("gemma3_text", {**GEMMA, "query_pre_attn_scalar": "softmax scale is its -1/2th power",
                        "final_logit_softcapping": "null: none", "attn_logit_softcapping": "read, but without effect",
                        "sliding_window, layer_types | sliding_window_pattern": "absent: every sixth layer is full",
                        "rope_parameters by layer type | rope_theta, rope_scaling (full layers), rope_local_base_freq (sliding)": "1e6 and 1e4",
                        "use_bidirectional_attention": "true is refused",
                        "(also)": "RMSNorm (1 + w) of each head's q and k before rope"})
def gemma3(rng, divides=True):
    f = sizes(rng, head_dim="free", divides=divides, act="hidden_activation", usual="gelu_pytorch_tanh")
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **layer_types(rng, f), "sliding_window": window(rng, 0),
            "query_pre_attn_scalar": rng.choice([8, 16, 24, 144]),
            **maybe(rng, 0.2, final_logit_softcapping=[4.0, 30.0], attn_logit_softcapping=[5.0]),
            "rope_parameters": {S: rope(rng, f, ("default",)), F: rope(rng, f)}}


@family("gemma4_text",
        {"head_dim, global_head_dim | per_layer_config": "of sliding and of full layers (512 where absent)",
         "num_key_value_heads, num_global_key_value_heads": "the latter counts with attention_k_eq_v only",
                        "attention_k_eq_v": "full layers: v is k before its norm and rope",
                        "num_kv_shared_layers": "the last ones read K and V of the last earlier layer of their type",
                        "use_double_wide_mlp": "of sharing layers",
                        "hidden_size_per_layer_input, vocab_size_per_layer_input": "0: no per-layer inputs",
                        "final_logit_softcapping": "null: none",
                        "sliding_window, layer_types": "the last layer is always full",
                        "rope_parameters by layer type": "proportional with partial_rotary_factor on full layers",
                        "attention_bias": "on q, k, v and o", "use_bidirectional_attention": "\"all\" is refused",
                        "enable_moe_block": "see gemma4_moe",
                        "(always)": "norm weights plain; softmax scale 1; RMSNorm of q, k (weight) and v (none); layer_scalar; embedding * sqrt(hidden_size)"})
def gemma4(rng):
    f = sizes(rng, head_dim="free", act="hidden_activation", usual="gelu_pytorch_tanh")
    f["num_hidden_layers"] = rng.choice([2, 3, 4, 5])
    f.update(layer_types(rng, f, 1, last_full=True))
    full = {"rope_type": "proportional", "rope_theta": 1e6, "partial_rotary_factor": rng.choice([0.25, 0.5, 1.0])}
    if rng.random() < 0.2:
        full = rope(rng, f, ("default", "linear"))
    shared = shared_layers(rng, f["layer_types"])
    f.update(global_head_dim=rng.choice([8, 16, 24, 32, 40]), sliding_window=window(rng, 0),
             attention_k_eq_v=rng.random() < 0.5, num_kv_shared_layers=shared,
             use_double_wide_mlp=rng.random() < 0.5, final_logit_softcapping=rng.choice([None, 6.0, 30.0]),
             # Transformers fails with shared layers and no per-layer inputs
             hidden_size_per_layer_input=rng.choice([6, 12, 16] if shared else [0, 0, 12]),
             vocab_size_per_layer_input=f["vocab_size"],
             rope_parameters={S: rope(rng, f, ("default",)), F: full})
    if f["attention_k_eq_v"] or rng.random() < 0.3:
        f["num_global_key_value_heads"] = rng.choice([n for n in range(1, f["num_attention_heads"] + 1)
                                                      if f["num_attention_heads"] % n == 0])
    return {**f, **eps(rng), **bias(rng, "attention_bias")}


@family("gemma4_moe", {"enable_moe_block": "experts beside the MLP of every layer",
                       "num_experts, top_k_experts, moe_intermediate_size": "so many, of which each token has so many",
                       "(always)": "the router's own norm and scale, and one for each expert; norms around both"},
        model_type="gemma4_text")
def gemma4_moe(rng):
    n = rng.choice([2, 3, 4, 6, 8, 12])
    return {**gemma4(rng), "enable_moe_block": True, "num_experts": n, "top_k_experts": rng.randint(1, min(n, 4)),
            "moe_intermediate_size": rng.choice([9, 16, 24, 40])}


def shared_layers(rng, types):
    """How many layers at the end may share: each type among them needs one before."""
    possible = [n for n in range(1, len(types)) if set(types[: len(types) - n]) == set(types)]
    return rng.choice([0, 0] + possible)


@family("gemma3n_text", {"hidden_activation": "gelu_pytorch_tanh unless said",
                         "head_dim": "a key of its own", "intermediate_size": "a number or a list by layer",
                         "activation_sparsity_pattern": "by layer; 0: dense. Mean and deviation are over the whole width",
                         "altup_num_inputs, altup_active_idx, altup_correct_scale": "streams (altup_coef_clip has no effect on a forward pass)", "laurel_rank": "width of the low-rank path",
                         "num_kv_shared_layers": "the last ones read K and V of the last earlier layer of their type",
                         "hidden_size_per_layer_input, vocab_size_per_layer_input": "tokens beyond the table use row 0",
                         "sliding_window, layer_types": "absent: every fifth layer is full",
                         "rope_parameters by layer type | rope_theta, rope_scaling, rope_local_base_freq": "1e6 and 1e4",
                         "final_logit_softcapping": "30 where absent", "attention_bias": "on q, k, v and o",
                         "(always)": "norm weights plain; softmax scale 1; RMSNorm of q, k (weight) and v (none)"})
def gemma3n(rng):
    f = sizes(rng, head_dim="free", divides=True, act="hidden_activation", usual="gelu_pytorch_tanh")
    n = f["num_hidden_layers"] = rng.choice([2, 3, 4, 5])
    f.update(layer_types(rng, f, 1))
    if rng.random() < 0.4:
        f["intermediate_size"] = [rng.choice([24, 45, 64, 96]) for _ in range(n)]
    inputs = rng.choice([2, 3, 4])
    f.update(num_kv_shared_layers=shared_layers(rng, f["layer_types"]), altup_num_inputs=inputs,
             altup_active_idx=rng.randrange(inputs) if rng.random() < 0.3 else 0,
             altup_correct_scale=rng.random() < 0.8,
             laurel_rank=rng.choice([3, 8]), activation_sparsity_pattern=[rng.choice([0.0, 0.5, 0.8, 0.95])
                                                                          for _ in range(n)],
             hidden_size_per_layer_input=rng.choice([4, 8, 11]),
             vocab_size_per_layer_input=f["vocab_size"] - rng.choice([0, 30]), sliding_window=window(rng, 0),
             final_logit_softcapping=rng.choice([8.0, 30.0]),
             rope_parameters={S: rope(rng, f, ("default",)), F: rope(rng, f)})
    return {**f, **eps(rng), **bias(rng, "attention_bias")}


# ---- fused projections, partial rope ----

@family("phi3", {"partial_rotary_factor": "first int(head_dim p) dimensions turn",
                 "rope_parameters longrope | rope_scaling su": "short_factor; long_factor when the text is longer than original_max_position_embeddings",
                 "original_max_position_embeddings": "of the config itself: it wins over that of rope_parameters",
                 "sliding_window": "every layer", "(always)": "qkv_proj and gate_up_proj are fused"})
def phi3(rng):
    f = sizes(rng, head_dim="implied")
    r = rope(rng, f, ("default", "longrope"), partial_rotary_factor=rng.choice(even_parts(f, 1.0, 1.0, 0.75, 0.5)))
    if "original_max_position_embeddings" in r:
        f["original_max_position_embeddings"] = r["original_max_position_embeddings"]
    return {**f, **eps(rng), "sliding_window": window(rng, 0.6), "rope_parameters": r}


@family("glm", {**HEAD_DIM, "partial_rotary_factor": "0.5 where absent",
                "attention_bias": "on q, k, v (default true), never on o",
                "(always)": "rope turns pairs (2i, 2i + 1); gate_up_proj is fused; rms_norm_eps 1.5625e-7"})
def glm(rng):
    f = sizes(rng, head_dim="free")
    r = rope(rng, f, ("default", "default", "default", "linear", "yarn"),
             partial_rotary_factor=rng.choice(even_parts(f, 0.25, 0.5, 0.5, 1.0)))  # Transformers rounds odd ones up
    return {**f, **eps(rng), **bias(rng, "attention_bias"), "rope_parameters": r}


@family("glm4", {**FAMILIES["glm"].keys, "(also)": "norms after attention and after the MLP"})
def glm4(rng):
    return glm(rng)


@family("stablelm", {"layer_norm_eps": "LayerNorm with bias", "partial_rotary_factor": "0.25 where absent",
                     "use_qkv_bias": "on q, k, v", "qk_layernorm": "LayerNorm per head, weights of each head",
                     "use_parallel_residual": "x + attn(n) + mlp(n)"})
def stablelm(rng):
    f = sizes(rng, head_dim="implied")
    return {**f, **eps(rng, "layer_norm_eps"), **bias(rng, "use_qkv_bias", "qk_layernorm", "use_parallel_residual"),
            "rope_parameters": even_partial(rng, f)}


@family("phi", {"layer_norm_eps": "LayerNorm with bias, one a layer", "partial_rotary_factor": "0.5 where absent",
                "qk_layernorm": "LayerNorm over head_dim, shared by the heads", "hidden_act": "gelu_new",
                "(always)": "parallel block; bias everywhere, lm_head too"})
def phi(rng):
    f = sizes(rng, head_dim="implied", usual="gelu_new")
    f["tie_word_embeddings"] = False
    return {**f, **eps(rng, "layer_norm_eps"), **bias(rng, "qk_layernorm"), "rope_parameters": even_partial(rng, f)}


@family("gpt_neox",
        {"layer_norm_eps": "LayerNorm with bias",
         "rotary_pct | partial_rotary_factor, rotary_emb_base | rope_theta": "0.25, 10000",
         "use_parallel_residual": "x + attn(LN1 x) + mlp(LN2 x), else one after the other",
                     "attention_bias": "on query_key_value and dense", "hidden_act": "gelu",
                     "(always)": "query_key_value is fused head by head"})
def gpt_neox(rng):
    f = sizes(rng, head_dim="implied", kv=False, usual=rng.choice(["gelu", "gelu", "gelu_fast", "gelu_new"]))
    return {**f, **eps(rng, "layer_norm_eps"), **bias(rng, "use_parallel_residual", "attention_bias"),
            "rope_parameters": even_partial(rng, f)}


@family("starcoder2", {"norm_epsilon": "LayerNorm with bias", "use_bias": "on all projections",
                       "sliding_window": "every layer; null: none", "hidden_act": "gelu_pytorch_tanh",
                       "(always)": "c_fc, c_proj, no gate"})
def starcoder2(rng):
    f = sizes(rng, head_dim="either", usual="gelu_pytorch_tanh")
    return {**f, **eps(rng, "norm_epsilon"), **bias(rng, "use_bias"), "sliding_window": window(rng, 0.5),
            "rope_parameters": rope(rng, f)}


@family("bloom", {"n_layer, n_head, hidden_size | n_embed": "sizes; the MLP is 4 * hidden_size",
                  "layer_norm_epsilon": "LayerNorm with bias, also after the embedding",
                  "apply_residual_connection_post_layernorm": "the normed input is what is added to",
                  "(always)": "ALiBi by key position; query_key_value is fused head by head; gelu with tanh"})
def bloom(rng):
    f = sizes(rng, head_dim="implied", kv=False)
    f = {"hidden_size": f["hidden_size"], "n_head": f["num_attention_heads"], "n_layer": f["num_hidden_layers"],
         "vocab_size": f["vocab_size"], "tie_word_embeddings": rng.random() < 0.8,
         "bos_token_id": 1, "eos_token_id": 2}
    return {**f, **eps(rng, "layer_norm_epsilon"), **bias(rng, "apply_residual_connection_post_layernorm")}


# ---- norms elsewhere, multipliers ----

@family("olmo2", {"attention_bias": "on q, k, v and o", "head_dim": "read where it is there",
                  "(always)": "norms after the blocks alone; RMSNorm of q over all heads, of k over all KV heads, before rope"})
def olmo2(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), **bias(rng, "attention_bias"), "rope_parameters": rope(rng, f)}


@family("olmo3", {**FAMILIES["olmo2"].keys, "sliding_window, layer_types": "absent: every fourth layer is full",
                  "rope_parameters by layer type | rope_theta, rope_scaling": "the older keys are those of full layers; sliding ones then take 500000"})
def olmo3(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), **bias(rng, "attention_bias"), **layer_types(rng, f), "sliding_window": window(rng, 0),
            "rope_parameters": {S: rope(rng, f, ("default",)), F: rope(rng, f)}}


@family("exaone4", {"sliding_window": "null: no layer slides and all have rope",
                    "layer_types | sliding_window_pattern": "full layers have no rope where there is a window",
                    "head_dim": "read where it is there",
                    "(always)": "norms after the blocks alone; RMSNorm of each head's q and k before rope"})
def exaone4(rng):
    f = sizes(rng, head_dim="either")
    w = window(rng, 0.3)
    more = layer_types(rng, f, 0.5) or {"sliding_window_pattern": rng.choice([2, 3, 4])}
    if w is None:
        more = {"layer_types": [F] * f["num_hidden_layers"], "sliding_window_pattern": 0}
    return {**f, **eps(rng), "sliding_window": w, **more, "rope_parameters": rope(rng, f)}


@family("cohere2", {"layer_norm_eps": "LayerNorm without bias", "logit_scale": "times the logits (0.0625)",
                    "sliding_window, layer_types | sliding_window_pattern": "absent: every fourth layer is full; full layers have no rope",
                    "attention_bias": "on q, k, v and o",
                    "(always)": "parallel block; rope turns pairs (2i, 2i + 1); head_dim is hidden_size // num_attention_heads"})
def cohere2(rng):
    f = sizes(rng, head_dim="implied")
    f["tie_word_embeddings"] = rng.random() < 0.8
    return {**f, **eps(rng, "layer_norm_eps"), **bias(rng, "attention_bias"), **layer_types(rng, f),
            "sliding_window": window(rng, 0), "logit_scale": rng.choice([0.0625, 0.5, 1.0]),
            "rope_parameters": rope(rng, f)}


@family("granite", {**MULTIPLIERS, "attention_bias, mlp_bias": "all of them", "head_dim": "read where it is there"})
def granite(rng):
    f = sizes(rng, head_dim="either")
    return {**f, **eps(rng), **multipliers(rng), **bias(rng, "attention_bias", "mlp_bias"),
            "rope_parameters": rope(rng, f)}


@family("granite_swa", {**MULTIPLIERS, "attention_bias, mlp_bias": "all of them",
                        "sliding_window, layer_types": "absent: layers 0, 4, ... are full",
                        "layer_rope_theta": "by layer; 0: no rope", "(always)": "a sink per head"})
def granite_swa(rng):
    f = sizes(rng, head_dim="either")
    thetas = {"layer_rope_theta": [rng.choice([0, 10000.0, 500.0])
                                   for _ in range(f["num_hidden_layers"])]} if rng.random() < 0.5 else {}
    return {**f, **eps(rng), **multipliers(rng), **bias(rng, "attention_bias", "mlp_bias"), **layer_types(rng, f),
            **thetas, "sliding_window": window(rng, 0), "rope_parameters": rope(rng, f)}


# ---- layers with a state ----

for state_family, state_keys, draw_state in STATE_FAMILIES + DELTA_FAMILIES:
    family(state_family, state_keys)(draw_state)


# ---- multimodal wrappers, run on text ----

IMAGE_TOKENS = 6  # ids at the end of the vocabulary that texts avoid
WRAPPED = {"text_config": "all that the text family reads",
           "(file)": "names with model.language_model., language_model.model. or none; tensors of towers are ignored"}


@family("mistral3", WRAPPED, wrapper=True)
def mistral3(rng):
    kind = rng.choice(["mistral", "ministral3"])
    text = {**FAMILIES[kind].draw(rng), "model_type": kind}
    return wrapped(text, vision_config={**TOWER, "model_type": "pixtral"}, image_token_index=text["vocab_size"] - 1)


@family("mistral4_mm", WRAPPED, model_type="mistral3", wrapper=True)
def mistral4_wrapper(rng):
    text = {**mistral4(rng), "model_type": "mistral4"}
    return wrapped(text, vision_config={**TOWER, "model_type": "pixtral"}, image_token_index=text["vocab_size"] - 1)


@family("gemma3", WRAPPED, wrapper=True)
def gemma3_wrapper(rng):
    text = gemma3(rng)
    n = text["vocab_size"]
    return wrapped(text, vision_config={**TOWER, "model_type": "siglip_vision_model", "vision_use_head": False},
                   mm_tokens_per_image=4, boi_token_index=n - 1, eoi_token_index=n - 2, image_token_index=n - 3)


@family("gemma4", WRAPPED, wrapper=True)
def gemma4_wrapper(rng):
    text = gemma4(rng)
    n = text["vocab_size"]
    tower = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
                 num_key_value_heads=2, head_dim=8, patch_size=4, position_embedding_size=16, pooling_kernel_size=1)
    return wrapped(text, vision_config=tower, audio_config=None, image_token_id=n - 1, video_token_id=n - 2,
                   audio_token_id=n - 3, boi_token_id=n - 4, eoi_token_id=n - 5, boa_token_id=n - 6)


@family("qwen2_5_vl", {**WRAPPED, "rope_parameters.mrope_section": "without effect on text", **WINDOW_BY_FLAG},
        wrapper=True)
def qwen2_5_vl(rng):
    text = qwen2(rng)
    text.pop("head_dim", None)
    while text["hidden_size"] % text["num_attention_heads"] or text["hidden_size"] // text["num_attention_heads"] % 2:
        text["hidden_size"] += 2
    third = head_dim_of(text) // 2
    text["rope_parameters"] = rope(rng, text, ("default",), mrope_section=[third - third // 3 * 2, third // 3,
                                                                           third // 3])
    return wrapped(text, vision_config={**QWEN_TOWER, "window_size": 16, "out_hidden_size": text["hidden_size"],
                                        "fullatt_block_indexes": [0]}, **qwen_ids(text))


@family("qwen3_vl", {**WRAPPED, "rope_parameters.mrope_section, mrope_interleaved": "without effect on text",
                     "attention_bias": "on q, k, v and o"}, wrapper=True)
def qwen3_vl(rng):
    text = {**sizes(rng, head_dim="free"), **eps(rng), **bias(rng, "attention_bias")}
    third = text["head_dim"] // 2
    text["rope_parameters"] = rope(rng, text, ("default",), mrope_section=[third - third // 3 * 2, third // 3,
                                                                           third // 3], mrope_interleaved=True)
    return wrapped(text, vision_config={**QWEN_TOWER, "out_hidden_size": text["hidden_size"],
                                        "num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
                   **qwen_ids(text))


def print_keys():
    def table(keys):
        for key, effect in keys.items():
            print(f"  {key}: {effect}")
    print("all families")
    table(COMMON_KEYS)
    for one in FAMILIES.values():
        print(f"\n{one.name}")
        table(one.keys)


if __name__ == "__main__":
    print_keys()
    assert all(one.draw(random.Random(1)) for one in FAMILIES.values())
