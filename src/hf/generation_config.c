#include "hf/generation_config.h"

#include "base/file.h"
#include "base/json.h"

enum { GENERATION_CONFIG_BYTES_MAX = 1 << 20, TOP_K_MAX = 1 << 30 };

static const double temperature_max = 100, top_p_min = 1e-9, penalty_min = 1e-3, penalty_max = 100;

static enum status add_eos(const char *name, const json_t *value, int32_t vocab_size,
                           struct generation_config *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        json_integer_value(value) >= vocab_size)
        return fail(ERR_INPUT, "%s: key \"eos_token_id\" is %s; expected token ids from 0 to %d",
                    name, json_show(value), (int)vocab_size - 1);
    if (out->n_eos_token_ids == EOS_TOKENS_MAX)
        return fail(ERR_INPUT,
                    "%s: key \"eos_token_id\" has more than %d ids; expected at most so many", name,
                    EOS_TOKENS_MAX);
    out->eos_token_ids[out->n_eos_token_ids++] = (int32_t)json_integer_value(value);
    return OK;
}

// One id or a list of them.
static enum status read_eos(const char *name, const json_t *root, int32_t vocab_size,
                            struct generation_config *out)
{
    const json_t *value = json_object_get(root, "eos_token_id");
    if (!value || json_is_null(value))
        return OK;
    if (!json_is_array(value))
        return add_eos(name, value, vocab_size, out);
    for (size_t i = 0; i < json_array_size(value); i++)
        TRY(add_eos(name, json_array_get(value, i), vocab_size, out));
    return OK;
}

static enum status read_bos(const char *name, const json_t *root, int32_t vocab_size,
                            struct generation_config *out)
{
    int64_t id = -1;
    bool found;
    TRY(json_get_int(root, name, "bos_token_id", 0, vocab_size - 1, &id, &found));
    out->bos_token_id = (int32_t)id;
    return OK;
}

static enum status read_sampling(const char *name, const json_t *root,
                                 struct generation_config *out)
{
    TRY(json_get_bool(root, name, "do_sample", &out->do_sample, &out->has_do_sample));
    TRY(json_get_number(root, name, "temperature", 0, temperature_max, &out->temperature,
                        &out->has_temperature));
    TRY(json_get_number(root, name, "top_p", top_p_min, 1, &out->top_p, &out->has_top_p));
    TRY(json_get_int(root, name, "top_k", -1, TOP_K_MAX, &out->top_k, &out->has_top_k));
    TRY(json_get_number(root, name, "min_p", 0, 1, &out->min_p, &out->has_min_p));
    return json_get_number(root, name, "repetition_penalty", penalty_min, penalty_max,
                           &out->repetition_penalty, &out->has_repetition_penalty);
}

static enum status read_file(const char *folder, const char *file, bool whole, int32_t vocab_size,
                             struct generation_config *out)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    TRY(file_join(folder, file, path));
    if (!file_exists(path))
        return OK;
    TRY(json_file(path, GENERATION_CONFIG_BYTES_MAX, &root));
    enum status status = OK;
    if (out->n_eos_token_ids == 0)
        TRY_DONE(read_eos(path, root, vocab_size, out));
    if (out->bos_token_id < 0)
        TRY_DONE(read_bos(path, root, vocab_size, out));
    if (whole)
        TRY_DONE(read_sampling(path, root, out));
done:
    json_decref(root);
    return status;
}

enum status generation_config_read(const char *folder, int32_t vocab_size,
                                   struct generation_config *out)
{
    *out = (struct generation_config){
        .bos_token_id = -1, .temperature = 1, .top_p = 1, .top_k = 0, .repetition_penalty = 1};
    TRY(read_file(folder, "generation_config.json", true, vocab_size, out));
    return read_file(folder, "config.json", false, vocab_size, out);
}
