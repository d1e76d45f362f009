"""The same configuration as older Transformers, hubs and people write it: what differential_families.py puts on disk."""
import json

from config_draws import F, S

TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}


def older_rope(rng, c):
    """rope_theta, rope_scaling and what stands beside them in files of Transformers 4."""
    r = c.get("rope_parameters")
    if not isinstance(r, dict):
        return
    if c["model_type"] == "gpt_neox":
        if r["rope_type"] == "default":
            c.update(rotary_pct=r["partial_rotary_factor"], rotary_emb_base=r["rope_theta"])
            del c["rope_parameters"]
        return
    if S in r:
        if c["model_type"] in ("gemma3_text", "gemma3n_text") and r[S]["rope_type"] == "default":
            c["rope_local_base_freq"] = r[S]["rope_theta"]
        elif c["model_type"] != "olmo3" or r[S] != {"rope_type": "default", "rope_theta": 500000.0}:
            return  # no older spelling says this
        r = r[F]
    del c["rope_parameters"]
    r = dict(r)
    c["rope_theta"] = r.pop("rope_theta")
    partial = r.pop("partial_rotary_factor", None)
    if partial is not None:
        c["partial_rotary_factor"] = partial
    kind = r.pop("rope_type")
    key = rng.choice(["type", "rope_type"])
    c["rope_scaling"] = {key: "su" if kind == "longrope" and rng.random() < 0.5 else kind, **r}
    if kind == "default" and not r:
        c["rope_scaling"] = None


def older_keys(rng, c):
    older_rope(rng, c)
    if c["model_type"] == "gemma4_text" and c.get("per_layer_config"):
        over = list(c.pop("per_layer_config").values())[0]
        c["global_head_dim"] = over.get("head_dim", c["head_dim"])
        if "num_key_value_heads" in over:
            c["num_global_key_value_heads"] = over["num_key_value_heads"]
    if c["model_type"] == "granitemoehybrid" and "layer_types" in c:
        c["layer_types"] = [{F: "attention", "linear_attention": "mamba"}.get(t, t) for t in c["layer_types"]]
    if c["model_type"] == "glm_moe_dsa" and (len({*c["indexer_types"]}) == 1 or "index_topk_pattern" in c or "index_topk_freq" in c):
        del c["indexer_types"]
    if c["model_type"] == "nemotron_h":
        letters = {F: "*", "linear_attention": "M", "mlp": "-", "moe": "E"}
        c["hybrid_override_pattern"] = "".join(letters[t] for t in c.pop("layers_block_type"))
    if c["model_type"] in ("cohere2", "gemma3_text") and "layer_types" in c and rng.random() < 0.5:
        period = c["layer_types"].index(F) + 1 if F in c["layer_types"] else 0
        if period and c["layer_types"] == [S if (i + 1) % period else F for i in range(len(c["layer_types"]))]:
            del c["layer_types"]
            c["sliding_window_pattern"] = period


def flatten_text(c):
    """Older files of Qwen 2.5-VL have the keys of text_config beside those of the wrapper."""
    text = c.pop("text_config")
    for key, value in text.items():
        if key != "model_type":
            c.setdefault(key, value)


def drop_defaults(rng, c, kind):
    """Files leave out what the class says anyway, or did when they were written."""
    try:
        default = kind().to_dict()
    except Exception:  # some classes need arguments
        return
    for key in [key for key, value in c.items() if key in default and default[key] == value]:
        if rng.random() < 0.5 and key not in ("model_type", "architectures", "text_config", "vision_config",
                                              "audio_config"):
            del c[key]


def spelled(rng, config, kind, dtype):
    c = json.loads(json.dumps(config))
    c["dtype"] = TYPES[dtype]
    texts = [c] + ([c["text_config"]] if "text_config" in c else [])
    for one in texts:
        one.pop("transformers_version", None)
    if rng.random() < 0.5:
        older_keys(rng, texts[-1])
        c["torch_dtype"] = c.pop("dtype")
        if c["model_type"] == "qwen2_5_vl" and rng.random() < 0.5:
            flatten_text(c)
    if rng.random() < 0.5:
        drop_defaults(rng, c, kind)
    implied = c.get("hidden_size", 0) // c.get("num_attention_heads", 1)
    if rng.random() < 0.1 and c["model_type"] in ("llama", "mistral") and c.get("head_dim") == implied:
        c["head_dim"] = None
    return c
