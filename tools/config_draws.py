"""How values of random configurations are drawn: what the families of family_configs.py share."""

S, F = "sliding_attention", "full_attention"
VOCABULARIES = [97, 131, 192, 256, 301]


def maybe(rng, p, **fields):
    """Each field with probability p; a list is drawn from."""
    return {key: rng.choice(values) for key, values in fields.items() if rng.random() < p}


def heads(rng, at_most):
    """(query heads, KV heads): MQA, odd numbers and groups of any size among them."""
    if at_most > 16 and rng.random() < 0.03:
        return 200, 1
    while True:
        kv, group = rng.choice([1, 1, 2, 2, 2, 3, 4, 4, 5, 6, 8]), rng.choice([1, 1, 2, 2, 3, 4, 5, 7])
        if kv * group <= 16:
            return kv * group, kv


def sizes(rng, *, head_dim="free", divides=False, kv=True, act="hidden_act", usual="silu"):
    """head_dim "free": a key of its own, unlike hidden / heads; "implied": hidden / heads; "either". `divides`: Transformers
    wants hidden_size to be a multiple of the heads."""
    n, n_kv = heads(rng, 16 if divides or not kv or head_dim != "free" else 200)
    if not kv:
        n_kv = n
    d = 4 if n > 16 else rng.choice([4, 6, 8, 8, 12, 16, 16, 20, 24, 32])
    implied = head_dim == "implied" or head_dim == "either" and rng.random() < 0.4
    if implied:
        while n * d > 160:
            d = max(4, d // 4 * 2)
        hidden = n * d
    elif divides:
        hidden = n * rng.randint(max(1, 16 // n), max(2, 96 // n))
        hidden += n if hidden % 2 and rng.random() < 0.9 else 0
    else:
        hidden = rng.choice([24, 33, 40, 48, 50, 64, 75, 72, 80, 96])
    fields = {"hidden_size": hidden, "num_attention_heads": n, "num_key_value_heads": n_kv,
              "intermediate_size": rng.choice([17, 24, 32, 45, 56, 64, 90, 96, 112, 128, 130, 144]),
              "num_hidden_layers": rng.choice([1, 2, 2, 3, 3, 4]), "vocab_size": rng.choice(VOCABULARIES),
              "max_position_embeddings": rng.choice([256, 512, 1024]), "tie_word_embeddings": rng.random() < 0.5,
              "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    if not implied:
        fields["head_dim"] = d
    if not kv:
        del fields["num_key_value_heads"]
    if rng.random() < 0.12:
        fields[act] = rng.choice(["silu", "gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast", "quick_gelu", "relu"])
    else:
        fields[act] = usual
    return fields


def eps(rng, key="rms_norm_eps"):
    return maybe(rng, 0.6, **{key: [1e-6, 1e-5, 1e-3, 1.5e-7, 0.1]})


def head_dim_of(fields):
    return fields.get("head_dim") or fields["hidden_size"] // fields["num_attention_heads"]


def rope(rng, fields, kinds=("default", "default", "default", "linear", "dynamic", "llama3", "yarn"), **more):
    kind = rng.choice(kinds)
    r = {"rope_type": kind, "rope_theta": rng.choice([100.0, 10000.0, 10000, 500000.0, 1e6]), **more}
    original = rng.choice([16, 32, 64, 128])
    if kind in ("linear", "dynamic"):
        r["factor"] = rng.choice([2.0, 4.5, 8.0])
    elif kind == "llama3":
        r.update(factor=rng.choice([4.0, 8.0]), low_freq_factor=1.0, high_freq_factor=rng.choice([4.0, 2.0]),
                 original_max_position_embeddings=original)
    elif kind == "yarn":
        r.update(factor=rng.choice([4.0, 2.5, 16.0]), original_max_position_embeddings=original)
        r.update(maybe(rng, 0.3, beta_fast=[32.0, 8.0], beta_slow=[1.0, 2.0], attention_factor=[1.0, 1.21],
                       truncate=[False, True]))
        if rng.random() < 0.3:
            r.update(mscale=rng.choice([1.0, 0.707]), mscale_all_dim=rng.choice([1.0, 0.8]))
    elif kind == "longrope":
        half = int(head_dim_of(fields) * r.get("partial_rotary_factor", 1.0)) // 2
        r.update(short_factor=[round(rng.uniform(1, 1.5), 3) for _ in range(half)],
                 long_factor=[round(rng.uniform(1.5, 6), 3) for _ in range(half)],
                 original_max_position_embeddings=original)
        r.update(maybe(rng, 0.25, factor=[4.0, 16.0], attention_factor=[1.1]))
    return r


def even_parts(f, *parts):
    """Those that turn an even number of dimensions: with an odd one Transformers fails in these families."""
    return [p for p in parts if int(head_dim_of(f) * p) % 2 == 0 and int(head_dim_of(f) * p) > 0]


def latent_sizes(rng):
    """Latent attention: as many KV heads as heads, and a head's numbers in two parts."""
    f = sizes(rng, head_dim="free", divides=True)
    while f["hidden_size"] < 16:
        f["hidden_size"] *= 2
    del f["head_dim"]
    f.update(num_key_value_heads=f["num_attention_heads"], q_lora_rank=rng.choice([None, 6, 16, 24, 40]),
             kv_lora_rank=rng.choice([2, 8, 16, 24, 34, 66]), qk_nope_head_dim=rng.choice([2, 4, 8, 12, 16, 30]),
             qk_rope_head_dim=rng.choice([2, 4, 8, 12]), v_head_dim=rng.choice([2, 4, 8, 16, 20]))
    return f


def latent_rope(rng, f, kinds=("default", "default", "yarn", "yarn", "yarn", "linear", "llama3")):
    r = rope(rng, {"head_dim": f["qk_rope_head_dim"]}, kinds)
    if r["rope_type"] == "yarn":
        r.update(maybe(rng, 0.6, mscale_all_dim=[1.0, 0.707]))
        if "mscale_all_dim" in r:
            r.update(maybe(rng, 0.7, mscale=[1.0, 0.707]))
    return r


def even_partial(rng, f):
    parts = even_parts(f, 0.25, 0.4, 0.5, 0.75, 1.0)
    return rope(rng, f, ("default", "default", "default", "linear"), partial_rotary_factor=rng.choice(parts))


def layer_types(rng, fields, p=0.7, last_full=False):
    """A list by layer, or none: the class's own pattern."""
    if rng.random() > p:
        return {}
    types = [rng.choice([S, S, F]) for _ in range(fields["num_hidden_layers"])]
    if last_full:
        types[-1] = F
    return {"layer_types": types}


def window(rng, none=0.2):
    return None if rng.random() < none else rng.choice([1, 2, 5, 16, 33, 63, 64, 65, 100, 4096])


def flagged_window(rng, f):
    slides = rng.random() < 0.5
    types = layer_types(rng, f, 0.3 if slides else 0.05)  # Transformers fails where a layer slides without the flag
    return {"use_sliding_window": slides, "sliding_window": window(rng, 0.1), "max_window_layers": rng.choice([0, 1, 2, 28]),
            **types}


def multipliers(rng):
    return {"embedding_multiplier": rng.choice([1.0, 3.0, 12]), "residual_multiplier": rng.choice([1.0, 0.22, 0.5]),
            "attention_multiplier": rng.choice([0.05, 0.2, 0.0078125]), "logits_scaling": rng.choice([1.0, 2.0, 8])}


def bias(rng, *keys):
    return {key: rng.random() < 0.4 for key in keys}


# ---- what stands around the text part of a multimodal model ----

TOWER = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2, image_size=16,
             patch_size=4)
QWEN_TOWER = dict(depth=1, hidden_size=16, intermediate_size=24, num_heads=2, in_channels=3, patch_size=4,
                  spatial_merge_size=2, temporal_patch_size=2)


def wrapped(text, **more):
    return {"text_config": text, "tie_word_embeddings": text.get("tie_word_embeddings", False), **more}


def qwen_ids(text):
    n = text["vocab_size"]
    return dict(image_token_id=n - 1, video_token_id=n - 2, vision_start_token_id=n - 3, vision_end_token_id=n - 4)
