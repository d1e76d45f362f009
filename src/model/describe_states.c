// What families with states have in common when they read config.json.
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/name_list.h"
#include "model/describe.h"

enum { MAMBA_STATE_MAX = 1 << 12 };

static enum status unknown_word(const struct config_reader *reader, const char *key,
                                const json_t *item, int32_t layer, const char *const *words)
{
    char names[256] = "";
    for (int i = 0; words[i]; i++)
        name_list_add(names, sizeof names, words[i]);
    return fail(ERR_UNSUPPORTED,
                "%s: key \"%s\" has %s for layer %d; expected one of %s for each of the layers of "
                "%s",
                reader->name, key, item ? json_show(item) : "nothing", (int)layer, names,
                reader->architecture);
}

enum status describe_layer_words(const struct config_reader *reader, const char *const *words,
                                 int32_t n_layers, int absent, uint8_t out[LAYERS_MAX])
{
    static const char *const keys[] = {"layer_types", "layers_block_type"};
    json_t *list = NULL;
    const bool older = config_is_absent(reader, keys[0]) && !config_is_absent(reader, keys[1]);
    const char *key = keys[older];
    bool found;
    assert(n_layers <= LAYERS_MAX);
    TRY(json_get_array(reader->root, reader->name, key, &list, &found));
    if (!found && absent >= 0) {
        memset(out, absent, (size_t)n_layers);
        return OK;
    }
    for (int32_t layer = 0; layer < n_layers; layer++) {
        const json_t *item = json_array_get(list, (size_t)layer);
        int word = 0;
        while (words[word] &&
               (!json_is_string(item) || strcmp(json_string_value(item), words[word]) != 0))
            word++;
        if (!words[word])
            return unknown_word(reader, key, item, layer, words);
        out[layer] = (uint8_t)word;
    }
    return OK;
}

// A number; infinity also as Transformers 5 writes it, {"__float__": "Infinity"}.
static bool read_limit(const json_t *item, double *out)
{
    const json_t *text = json_object_get(item, "__float__");
    if (json_is_number(item)) {
        *out = json_number(item);
        return !isnan(*out);
    }
    *out = HUGE_VAL;
    return json_is_string(text) && strcmp(json_string_value(text), "Infinity") == 0;
}

static enum status read_step_limit(const struct config_reader *reader, const char *key,
                                   struct mamba_config *out)
{
    json_t *list;
    bool found;
    double least, most;
    out->step_min = 0;
    out->step_max = HUGE_VALF;
    if (!key || json_is_null(json_object_get(reader->root, key)))
        return OK;
    TRY(json_get_array(reader->root, reader->name, key, &list, &found));
    if (!found)
        return OK;
    if (json_array_size(list) != 2 || !read_limit(json_array_get(list, 0), &least) ||
        !read_limit(json_array_get(list, 1), &most) || least > most)
        return fail(ERR_INPUT, "%s: key \"%s\" is %s; expected two numbers, the smaller one first",
                    reader->name, key, json_show(list));
    out->step_min = (float)least;
    out->step_max = (float)most;
    return OK;
}

// A number of a head, or "auto".
static enum status read_mamba_head(const struct config_reader *reader,
                                   const struct mamba_keys *keys, struct mamba_config *out)
{
    const json_t *value = json_object_get(reader->root, keys->head_dim);
    int64_t size = keys->absent.head_dim;
    if (keys->inner && size == 0)
        size = keys->inner / out->num_heads;
    if (!json_is_string(value) || strcmp(json_string_value(value), "auto") != 0)
        TRY(config_read_int(reader, keys->head_dim, 2, HEAD_DIM_MAX, &size));
    if (keys->inner && size * out->num_heads != keys->inner)
        return fail(ERR_INPUT,
                    "%s: keys \"%s\" and \"%s\" give %d heads of %lld, %lld together; expected %d, "
                    "%s",
                    reader->name, keys->heads, keys->head_dim, out->num_heads, (long long)size,
                    (long long)size * out->num_heads, keys->inner, keys->inner_name);
    if (size < 2 || size > HEAD_DIM_MAX)
        return fail(ERR_INPUT, "%s: Mamba's heads have %lld numbers each; expected 2 to %d",
                    reader->name, (long long)size, HEAD_DIM_MAX);
    out->head_dim = (int32_t)size;
    return config_expect_even(reader, keys->head_dim, out->head_dim);
}

static enum status read_mamba_flags(const struct config_reader *reader,
                                    const struct mamba_keys *keys, struct mamba_config *out)
{
    if (keys->conv_bias)
        TRY(config_read_flag(reader, keys->conv_bias, &out->conv_bias));
    if (keys->in_bias)
        TRY(config_read_flag(reader, keys->in_bias, &out->in_bias));
    if (keys->out_bias)
        TRY(config_read_flag(reader, keys->out_bias, &out->out_bias));
    return OK;
}

void describe_mamba_names(struct mamba_keys *keys)
{
    memset(keys, 0, sizeof *keys); // padding too: kinds are compared by bytes
    keys->heads = "mamba_n_heads";
    keys->head_dim = "mamba_d_head";
    keys->groups = "mamba_n_groups";
    keys->state_size = "mamba_d_state";
    keys->taps = "mamba_d_conv";
    keys->conv_bias = "mamba_conv_bias";
    keys->in_bias = "mamba_proj_bias";
    keys->step_limit = "time_step_limit";
    keys->absent.num_heads = 128;
    keys->absent.n_groups = 1;
    keys->absent.state_size = 256;
    keys->absent.taps = 4;
    keys->absent.conv_bias = true;
}

enum status describe_mamba(const struct config_reader *reader, const struct mamba_keys *keys,
                           struct mamba_config *out)
{
    memcpy(out, &keys->absent, sizeof *out); // padding too: kinds are compared by bytes
    TRY(config_read_size(reader, keys->heads, 1, HEADS_MAX, keys->absent.num_heads,
                         &out->num_heads));
    TRY(config_read_size(reader, keys->groups, 1, HEADS_MAX, keys->absent.n_groups,
                         &out->n_groups));
    TRY(config_read_size(reader, keys->state_size, 1, MAMBA_STATE_MAX, keys->absent.state_size,
                         &out->state_size));
    TRY(config_read_size(reader, keys->taps, 1, CONVOLUTION_TAPS_MAX, keys->absent.taps,
                         &out->taps));
    if (out->num_heads % out->n_groups != 0)
        return fail(ERR_INPUT, "%s: key \"%s\" is %d; expected a divisor of %s, which is %d",
                    reader->name, keys->groups, (int)out->n_groups, keys->heads,
                    (int)out->num_heads);
    TRY(read_mamba_head(reader, keys, out));
    TRY(read_mamba_flags(reader, keys, out));
    return read_step_limit(reader, keys->step_limit, out);
}

enum status describe_expect_silu(const struct config_reader *reader, const char *key)
{
    enum activation activation;
    TRY(describe_activation(reader, key, "silu", &activation));
    if (activation == ACTIVATION_SILU)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"%s\" is %s; expected \"silu\": the convolution has no other here",
                reader->name, key, json_show(json_object_get(reader->root, key)));
}

void describe_mamba_layer(const struct mamba_config *mamba, struct layer_config *layer)
{
    struct sublayer_config *mix = &layer->sublayers[0];
    assert(mix->kind == MIX_ATTENTION);
    memset(&mix->attention, 0, sizeof mix->attention);
    mix->kind = MIX_MAMBA;
    memcpy(&mix->mamba, mamba, sizeof *mamba);
}
