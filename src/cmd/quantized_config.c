#include "cmd/quantized_config.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"

static enum status write_json(const char *folder, const char *name, const json_t *root)
{
    char path[FILE_PATH_MAX], *text = json_dumps(root, JSON_INDENT(2));
    if (!text)
        return fail_memory(0, name);
    enum status status = file_join(folder, name, path);
    if (status == OK)
        status = file_write(path, text, strlen(text));
    free(text);
    return status;
}

// Of `target` (a class, or a module's name) so many bits, in groups, symmetric.
static json_t *scheme_json(const char *target, int bits, int group)
{
    json_t *weights =
        json_pack("{s:i, s:s, s:b, s:s, s:i, s:b, s:s, s:n, s:n}", "num_bits", bits, "type", "int",
                  "symmetric", 1, "strategy", "group", "group_size", group, "dynamic", 0,
                  "observer", "minmax", "actorder", "block_structure");
    return json_pack("{s:[s], s:o, s:n, s:n, s:s}", "targets", target, "weights", weights,
                     "input_activations", "output_activations", "format", "pack-quantized");
}

static json_t *quantization_json(const struct quantization *how, json_t *left)
{
    json_t *groups = json_object();
    json_object_set_new(groups, "group_0", scheme_json("Linear", how->bits, how->group));
    if (how->lm_head_bits && how->lm_head_bits != how->bits)
        json_object_set_new(groups, "group_1",
                            scheme_json("lm_head", how->lm_head_bits, how->group));
    return json_pack("{s:s, s:s, s:s, s:o, s:O, s:n, s:n}", "quant_method", "compressed-tensors",
                     "format", "pack-quantized", "quantization_status", "compressed",
                     "config_groups", groups, "ignore", left, "kv_cache_scheme",
                     "global_compression_ratio");
}

enum status quantized_config_write(const char *from, const char *to, const struct quantization *how,
                                   bool unties, json_t *left)
{
    char path[FILE_PATH_MAX];
    json_t *root = NULL;
    TRY(file_join(from, "config.json", path));
    TRY(json_file(path, CONFIG_BYTES_MAX, &root));
    json_t *text = json_object_get(root, "text_config");
    if (unties) {
        json_object_set_new(root, "tie_word_embeddings", json_false());
        if (json_object_get(text, "tie_word_embeddings"))
            json_object_set_new(text, "tie_word_embeddings", json_false());
    }
    json_object_set_new(root, "quantization_config", quantization_json(how, left));
    enum status status = write_json(to, "config.json", root);
    json_decref(root);
    return status;
}

enum status quantized_index_write(const char *to, json_t *map)
{
    json_t *root = json_pack("{s:{}, s:O}", "metadata", "weight_map", map);
    enum status status = write_json(to, "model.safetensors.index.json", root);
    json_decref(root);
    return status;
}
