// What families with latent attention have in common when they read config.json.
//
// Source: Transformers 5.24, models/deepseek_v3 (modeling_deepseek_v3.py,
// configuration_deepseek_v3.py).
#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/describe.h"
#include "model/rope.h"

static const float LATENT_EPS = 1e-6f; // of both latents' norms, whatever rms_norm_eps says

static enum status read_even(const struct config_reader *reader, const char *key, int32_t most,
                             int32_t *value)
{
    TRY(config_read_size(reader, key, 2, most, *value, value));
    return config_expect_even(reader, key, *value);
}

// null, or absent where that means it: one product makes the queries.
static enum status read_query_rank(const struct config_reader *reader, int32_t *value)
{
    static const char key[] = "q_lora_rank";
    if (json_is_null(json_object_get(reader->root, key)) ||
        (*value == 0 && config_is_absent(reader, key))) {
        *value = 0;
        return OK;
    }
    return read_even(reader, key, HIDDEN_SIZE_MAX, value);
}

enum status describe_latent_keys(const struct config_reader *reader, struct latent_keys *latent,
                                 struct plain_keys *keys)
{
    TRY(read_query_rank(reader, &latent->q_lora_rank));
    TRY(read_even(reader, "kv_lora_rank", KEY_DIM_MAX - 2, &latent->kv_lora_rank));
    TRY(read_even(reader, "qk_rope_head_dim", HEAD_DIM_MAX / 2, &latent->qk_rope_head_dim));
    TRY(read_even(reader, "qk_nope_head_dim", HEAD_DIM_MAX / 2, &latent->qk_nope_head_dim));
    TRY(read_even(reader, "v_head_dim", KEY_DIM_MAX, &latent->v_head_dim));
    if (latent->kv_lora_rank + latent->qk_rope_head_dim > KEY_DIM_MAX)
        return fail(ERR_UNSUPPORTED,
                    "%s: keys \"kv_lora_rank\" and \"qk_rope_head_dim\" are %d and %d; expected at "
                    "most %d together",
                    reader->name, (int)latent->kv_lora_rank, (int)latent->qk_rope_head_dim,
                    KEY_DIM_MAX);
    latent->interleaved = true;
    TRY(config_read_flag(reader, "rope_interleave", &latent->interleaved));
    latent->interleaved = latent->interleaved || latent->pairs_always;
    keys->head_dim = latent->qk_nope_head_dim + latent->qk_rope_head_dim;
    keys->fixed_head_dim = true; // head_dim is of the rope here
    return OK;
}

enum status describe_latent(const struct config_reader *reader, const struct latent_keys *latent,
                            struct layer_config *layer)
{
    struct attention_config *a = &layer->sublayers[0].attention;
    bool bias = false;
    TRY(config_read_flag(reader, "attention_bias", &bias));
    if (a->num_key_value_heads != a->num_attention_heads)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"num_key_value_heads\" is %d; expected %d, as many as "
                    "num_attention_heads: all heads of %s have one latent",
                    reader->name, (int)a->num_key_value_heads, (int)a->num_attention_heads,
                    reader->architecture);
    assert(a->head_dim == latent->qk_nope_head_dim + latent->qk_rope_head_dim);
    a->latent = (struct latent_config){
        .kv_rank = latent->kv_lora_rank,
        .q_rank = latent->q_lora_rank,
        .nope_dim = latent->qk_nope_head_dim,
        .rope_dim = latent->qk_rope_head_dim,
        .value_dim = latent->v_head_dim,
    };
    a->value_dim = latent->v_head_dim;
    a->latent.norm.kind = NORM_RMS;
    a->latent.norm.eps = LATENT_EPS;
    a->q_bias = bias && latent->q_lora_rank;
    a->k_bias = a->o_bias = bias;
    return OK;
}

void describe_latent_scale(const struct rope_config *rope, double mscale_all_dim,
                           struct attention_config *attention)
{
    double scale = 1 / sqrt((double)attention->head_dim);
    if (rope->type != ROPE_DEFAULT && mscale_all_dim > 0) {
        const double mscale = rope_mscale(rope->factor, mscale_all_dim);
        scale = scale * mscale * mscale;
    }
    attention->scale = (float)scale;
}

enum status describe_latent_rope(const struct config_reader *reader, const struct plain_keys *keys,
                                 const struct latent_keys *latent, struct model_config *out,
                                 struct attention_config *attention)
{
    struct plain_keys own = *keys;
    if (own.partial_rotary_factor <= 0) // a part of what turns is not thought of
        own.head_dim = latent->qk_rope_head_dim;
    TRY(describe_rope(reader, &own, NULL, latent->interleaved, out, &attention->rope));
    const struct rope_config *rope = &out->ropes[attention->rope];
    if (rope->n_dimensions != latent->qk_rope_head_dim)
        return fail(ERR_INPUT,
                    "%s: key \"partial_rotary_factor\" lets %d of %d dimensions turn; expected %d, "
                    "qk_rope_head_dim",
                    reader->name, (int)rope->n_dimensions, (int)own.head_dim,
                    (int)latent->qk_rope_head_dim);
    double all = 0;
    TRY(describe_rope_number(reader, "mscale_all_dim", 0, 1e3, &all));
    describe_latent_scale(rope, all, attention);
    return OK;
}

enum status describe_mlp_types(const struct config_reader *reader, int32_t n_layers,
                               int64_t n_dense, bool sparse[LAYERS_MAX])
{
    json_t *list = NULL;
    bool found;
    TRY(json_get_array(reader->root, reader->name, "mlp_layer_types", &list, &found));
    for (int32_t i = 0; i < n_layers; i++) {
        const json_t *item = found ? json_array_get(list, (size_t)i) : NULL;
        const char *type = json_is_string(item) ? json_string_value(item) : "";
        sparse[i] = found ? strcmp(type, "sparse") == 0 : i >= n_dense;
        if (found && !sparse[i] && strcmp(type, "dense") != 0)
            return fail(ERR_INPUT,
                        "%s: key \"mlp_layer_types\" has %s for layer %d; expected \"dense\" or "
                        "\"sparse\" for each of the layers",
                        reader->name, item ? json_show(item) : "nothing", (int)i);
    }
    return OK;
}

enum status describe_expect_text(const struct config_reader *reader, const char *key,
                                 const char *expected)
{
    const char *text = expected;
    bool found;
    TRY(json_get_text(reader->root, reader->name, key, &text, &found));
    if (strcmp(text, expected) == 0)
        return OK;
    return fail(ERR_UNSUPPORTED, "%s: key \"%s\" is \"%.80s\"; expected \"%s\" for %s",
                reader->name, key, text, expected, reader->architecture);
}
