// What families with an indexer (docs/numerics.md section 15) have in common when they read
// config.json.
//
// Source: Transformers 5.24, models/deepseek_v32 and models/glm_moe_dsa (configuration_*.py).
#include <string.h>

#include "device/kernels.h"
#include "model/describe.h"

static const float INDEX_EPS = 1e-6f; // of its keys' norm, whatever rms_norm_eps says
enum { INDEX_HEADS_MAX = HEADS_MAX, INDEX_TOPK_MAX = 1 << 20 };

enum status describe_index(const struct config_reader *reader, const struct index_keys *keys,
                           struct model_config *out, struct attention_config *attention)
{
    struct index_config *index = &attention->latent.index;
    const int32_t rope_dim = attention->latent.rope_dim;
    if (!attention->latent.q_rank)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"q_lora_rank\" is null; expected a number: the indexer of %s reads "
                    "the queries' latent",
                    reader->name, reader->architecture);
    TRY(config_read_size(reader, "index_topk", 1, INDEX_TOPK_MAX, keys->topk, &index->topk));
    TRY(config_read_size(reader, "index_n_heads", 1, INDEX_HEADS_MAX, keys->num_heads,
                         &index->num_heads));
    TRY(config_read_size(reader, "index_head_dim", 2, KEY_DIM_MAX, keys->head_dim,
                         &index->head_dim));
    TRY(config_expect_even(reader, "index_head_dim", index->head_dim));
    if (index->head_dim < rope_dim)
        return fail(ERR_INPUT,
                    "%s: key \"index_head_dim\" is %d; expected at least qk_rope_head_dim, %d, "
                    "numbers that the rope turns",
                    reader->name, (int)index->head_dim, (int)rope_dim);
    index->norm = (struct norm_config){.kind = NORM_LAYER, .has_bias = true, .eps = INDEX_EPS};
    struct rope_config rope = out->ropes[attention->rope];
    rope.interleaved = keys->interleaved;
    return describe_add_rope(reader, &rope, out, &index->rope);
}

// Two layers are alike by their bytes.
void describe_shared_index(struct index_config *index)
{
    const int32_t topk = index->topk;
    memset(index, 0, sizeof *index);
    index->topk = topk;
    index->shared = true;
}

// "FSSF": a letter for each layer.
static enum status read_index_pattern(const struct config_reader *reader, const char *text,
                                      int32_t n_layers, bool shared[LAYERS_MAX])
{
    if (strlen(text) < (size_t)n_layers || strspn(text, "FS") < (size_t)n_layers)
        return fail(ERR_INPUT,
                    "%s: key \"index_topk_pattern\" is \"%.80s\"; expected F (full) or S (shared) "
                    "for each of %d layers",
                    reader->name, text, (int)n_layers);
    for (int32_t i = 0; i < n_layers; i++)
        shared[i] = text[i] == 'S';
    return OK;
}

static enum status read_index_list(const struct config_reader *reader, const char *key,
                                   const json_t *list, int32_t n_layers, bool shared[LAYERS_MAX])
{
    for (int32_t i = 0; i < n_layers; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        const char *type = json_is_string(item) ? json_string_value(item) : "";
        shared[i] = strcmp(type, "shared") == 0;
        if (!shared[i] && strcmp(type, "full") != 0)
            return fail(ERR_INPUT,
                        "%s: key \"%s\" has %s for layer %d; expected \"full\" or \"shared\" for "
                        "each of the layers",
                        reader->name, key, item ? json_show(item) : "nothing", (int)i);
    }
    return OK;
}

// Every so many layers, from so many on, one is full; those before them are.
static enum status read_index_schedule(const struct config_reader *reader, int32_t n_layers,
                                       bool shared[LAYERS_MAX])
{
    int64_t every = 1, offset = 2;
    TRY(config_read_int(reader, "index_topk_freq", -LAYERS_MAX, LAYERS_MAX, &every));
    TRY(config_read_int(reader, "index_skip_topk_offset", -LAYERS_MAX, LAYERS_MAX, &offset));
    for (int32_t i = 0; i < n_layers; i++)
        shared[i] = every > 1 && i - offset + 1 > 0 && (i - offset + 1) % every != 0;
    return OK;
}

static enum status read_index_types(const struct config_reader *reader, int32_t n_layers,
                                    bool shared[LAYERS_MAX])
{
    static const char types[] = "indexer_types", pattern[] = "index_topk_pattern";
    const json_t *list = json_object_get(reader->root, types),
                 *letters = json_object_get(reader->root, pattern);
    if (list && !json_is_null(list))
        return read_index_list(reader, types, list, n_layers, shared);
    if (json_is_string(letters))
        return read_index_pattern(reader, json_string_value(letters), n_layers, shared);
    if (letters && !json_is_null(letters))
        return read_index_list(reader, pattern, letters, n_layers, shared);
    return read_index_schedule(reader, n_layers, shared);
}

enum status describe_index_types(const struct config_reader *reader, int32_t n_layers,
                                 bool shared[LAYERS_MAX])
{
    TRY(read_index_types(reader, n_layers, shared));
    if (!shared[0])
        return OK;
    return fail(ERR_INPUT,
                "%s: layer 0 is to share the indexer's choice of the layer before it, as key "
                "\"indexer_types\" or index_topk_pattern, index_topk_freq or "
                "index_skip_topk_offset has it; expected a layer with an indexer first",
                reader->name);
}
