// Source: Transformers 5.23, configuration_llama.py and configuration_mistral.py. Numbers that
// shape the weights must stand in the file; for the rest Transformers' defaults hold.
#include "hf/model_config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "hf/rope_config.h"

struct architecture {
    const char *name, *model_type;
    enum model_family family;
    int64_t max_position_embeddings; // the rest: what an absent key means
    int64_t num_key_value_heads;     // 0: as many as heads
    int64_t sliding_window;
    bool has_window, has_bias; // whether the architecture knows these at all
};

static const struct architecture architectures[] = {
    {"LlamaForCausalLM", "llama", FAMILY_LLAMA, 2048, 0, 0, false, true},
    {"MistralForCausalLM", "mistral", FAMILY_MISTRAL, 131072, 8, 4096, true, false},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

static const double eps_default = 1e-6, eps_min = 1e-12, eps_max = 0.1;

struct reader {
    const char *name;
    const json_t *root;
    const struct architecture *architecture;
};

static enum status read_int32(const struct reader *reader, const char *key, int64_t least,
                              int64_t most, int32_t *out)
{
    int64_t value;
    TRY(json_get_int(reader->root, reader->name, key, least, most, &value, NULL));
    *out = (int32_t)value;
    return OK;
}

static bool is_absent(const struct reader *reader, const char *key) // null is not absent
{
    return json_object_get(reader->root, key) == NULL;
}

static enum status unknown_architecture(const char *name, const char *found)
{
    char known[256] = "";
    size_t used = 0;
    for (int i = 0; i < N_ARCHITECTURES; i++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i ? ", " : "",
                                 architectures[i].name);
    return fail(ERR_UNSUPPORTED, "%s: key \"architectures\" names %.80s; expected one of %s", name,
                found, known);
}

static enum status read_architecture(struct reader *reader)
{
    json_t *list;
    TRY(json_get_array(reader->root, reader->name, "architectures", &list, NULL));
    if (json_array_size(list) != 1) {
        char found[64];
        snprintf(found, sizeof found, "%zu architectures", json_array_size(list));
        return unknown_architecture(reader->name, found);
    }
    const json_t *item = json_array_get(list, 0);
    const char *name = json_is_string(item) ? json_string_value(item) : json_kind(item);
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (json_is_string(item) && strcmp(name, architectures[i].name) == 0)
            reader->architecture = &architectures[i];
    if (!reader->architecture)
        return unknown_architecture(reader->name, name);
    const char *model_type = reader->architecture->model_type;
    bool found;
    TRY(json_get_text(reader->root, reader->name, "model_type", &model_type, &found));
    if (strcmp(model_type, reader->architecture->model_type) != 0)
        return fail(ERR_INPUT, "%s: key \"model_type\" is \"%.80s\"; expected \"%s\" for %s",
                    reader->name, model_type, reader->architecture->model_type,
                    reader->architecture->name);
    return OK;
}

// Keys that would change what the model computes, or what its files hold.
static enum status refuse_foreign_keys(const struct reader *reader)
{
    static const char *const quantised[] = {"quantization_config", "compression_config"};
    for (size_t i = 0; i < sizeof quantised / sizeof quantised[0]; i++) {
        const json_t *value = json_object_get(reader->root, quantised[i]);
        if (value && !json_is_null(value)) {
            const char *method = json_string_value(json_object_get(value, "quant_method"));
            return fail(ERR_UNSUPPORTED,
                        "%s: key \"%s\" is present (%.40s); expected unquantised weights in "
                        "bfloat16, float16 or "
                        "float32: use the model's original checkpoint",
                        reader->name, quantised[i], method ? method : "no quant_method");
        }
    }
    const char *act = "silu";
    bool found;
    TRY(json_get_text(reader->root, reader->name, "hidden_act", &act, &found));
    if (strcmp(act, "silu") != 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"hidden_act\" is \"%.80s\"; expected \"silu\" for %s", reader->name,
                    act, reader->architecture->name);
    return OK;
}

static enum status expect_even(const struct reader *reader, const char *key, int32_t value)
{
    if (value % 2 == 0)
        return OK;
    return fail(
        ERR_UNSUPPORTED,
        "%s: key \"%s\" is %d; expected an even number (products and rotary embeddings take "
        "elements in pairs)",
        reader->name, key, (int)value);
}

static enum status read_heads(const struct reader *reader, struct model_config *out)
{
    int64_t value;
    bool found;
    TRY(read_int32(reader, "num_attention_heads", 1, HEADS_MAX, &out->num_attention_heads));
    int64_t absent = reader->architecture->num_key_value_heads;
    value = is_absent(reader, "num_key_value_heads") && absent ? absent : out->num_attention_heads;
    TRY(json_get_int(reader->root, reader->name, "num_key_value_heads", 1, HEADS_MAX, &value,
                     &found));
    out->num_key_value_heads = (int32_t)value;
    if (out->num_attention_heads % out->num_key_value_heads != 0)
        return fail(
            ERR_INPUT,
            "%s: key \"num_key_value_heads\" is %d%s; expected a divisor of num_attention_heads, "
            "which is %d",
            reader->name, (int)out->num_key_value_heads, found ? "" : " (absent, the default)",
            (int)out->num_attention_heads);
    value = out->hidden_size / out->num_attention_heads;
    TRY(json_get_int(reader->root, reader->name, "head_dim", 2, HEAD_DIM_MAX, &value, &found));
    if (!found && out->hidden_size % out->num_attention_heads != 0)
        return fail(
            ERR_INPUT,
            "%s: key \"hidden_size\" is %d; expected a multiple of num_attention_heads, which is "
            "%d, or a key \"head_dim\"",
            reader->name, (int)out->hidden_size, (int)out->num_attention_heads);
    if (value < 2 || value > HEAD_DIM_MAX)
        return fail(
            ERR_INPUT,
            "%s: key \"hidden_size\" is %d, so that each of %d heads has %lld elements; expected 2 "
            "to %d",
            reader->name, (int)out->hidden_size, (int)out->num_attention_heads, (long long)value,
            HEAD_DIM_MAX);
    out->head_dim = (int32_t)value;
    return expect_even(reader, "head_dim", out->head_dim);
}

static enum status read_shape(const struct reader *reader, struct model_config *out)
{
    TRY(read_int32(reader, "hidden_size", 2, HIDDEN_SIZE_MAX, &out->hidden_size));
    TRY(read_int32(reader, "intermediate_size", 2, INTERMEDIATE_SIZE_MAX, &out->intermediate_size));
    TRY(read_int32(reader, "num_hidden_layers", 1, LAYERS_MAX, &out->num_hidden_layers));
    TRY(read_int32(reader, "vocab_size", 1, VOCAB_MAX, &out->vocab_size));
    TRY(expect_even(reader, "hidden_size", out->hidden_size));
    TRY(expect_even(reader, "intermediate_size", out->intermediate_size));
    return read_heads(reader, out);
}

static enum status read_bias(const struct reader *reader, const char *key, bool *out)
{
    bool found;
    *out = false;
    TRY(json_get_bool(reader->root, reader->name, key, out, &found));
    if (*out && !reader->architecture->has_bias)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"%s\" is true; expected false or nothing: %s has no biases",
                    reader->name, key, reader->architecture->name);
    return OK;
}

static enum status read_window(const struct reader *reader, struct model_config *out)
{
    bool found;
    int64_t window = is_absent(reader, "sliding_window") ? reader->architecture->sliding_window : 0;
    TRY(json_get_int(reader->root, reader->name, "sliding_window", 1, POSITIONS_MAX, &window,
                     &found));
    if (window && !reader->architecture->has_window) {
        log_warning(
            "%s: sliding_window is ignored, as in Transformers: %s attends to all positions",
            reader->name, reader->architecture->name);
        window = 0;
    }
    out->sliding_window = window;
    return OK;
}

// layer_types may only repeat what the other keys say: every layer is of one kind here.
static enum status check_layer_types(const struct reader *reader, const struct model_config *config)
{
    json_t *list;
    bool found;
    TRY(json_get_array(reader->root, reader->name, "layer_types", &list, &found));
    if (!found)
        return OK;
    const char *wanted = config->sliding_window ? "sliding_attention" : "full_attention";
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        if (!json_is_string(item) || strcmp(json_string_value(item), wanted) != 0)
            return fail(ERR_UNSUPPORTED,
                        "%s: key \"layer_types\" has %s for layer %zu; expected \"%s\" for every "
                        "layer of this %s",
                        reader->name, json_show(item), i, wanted, reader->architecture->name);
    }
    return OK;
}

static enum status read_dtype(const struct reader *reader, enum element_type *out)
{
    const char *key = is_absent(reader, "dtype") ? "torch_dtype" : "dtype";
    const char *text;
    bool found;
    *out = ELEMENT_NONE;
    TRY(json_get_text(reader->root, reader->name, key, &text, &found));
    if (!found)
        return OK;
    *out = element_from_dtype(text);
    if (*out != ELEMENT_BF16 && *out != ELEMENT_F16 && *out != ELEMENT_F32)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"%s\" is \"%.80s\"; expected bfloat16, float16 or float32",
                    reader->name, key, text);
    return OK;
}

static enum status read_rope(const struct reader *reader, struct model_config *out)
{
    TRY(rope_config_parse(reader->name, reader->root, out->max_position_embeddings, &out->rope));
    if (out->rope.type == ROPE_DYNAMIC &&
        out->head_dim <= 2) // its exponent is head_dim / (head_dim - 2)
        return fail(ERR_INPUT,
                    "%s: key \"head_dim\" is %d; expected at least 4 with rope_type dynamic",
                    reader->name, (int)out->head_dim);
    return OK;
}

static enum status read_config(struct reader *reader, struct model_config *out)
{
    bool found;
    TRY(read_architecture(reader));
    const struct architecture *architecture = reader->architecture;
    assert(architecture);
    out->family = architecture->family;
    snprintf(out->architecture, sizeof out->architecture, "%s", architecture->name);
    snprintf(out->model_type, sizeof out->model_type, "%s", architecture->model_type);
    TRY(refuse_foreign_keys(reader));
    TRY(read_shape(reader, out));
    out->max_position_embeddings = architecture->max_position_embeddings;
    TRY(json_get_int(reader->root, reader->name, "max_position_embeddings", 1, POSITIONS_MAX,
                     &out->max_position_embeddings, &found));
    out->rms_norm_eps = eps_default;
    TRY(json_get_number(reader->root, reader->name, "rms_norm_eps", eps_min, eps_max,
                        &out->rms_norm_eps, &found));
    TRY(read_bias(reader, "attention_bias", &out->attention_bias));
    TRY(read_bias(reader, "mlp_bias", &out->mlp_bias));
    TRY(json_get_bool(reader->root, reader->name, "tie_word_embeddings", &out->tie_word_embeddings,
                      &found));
    TRY(read_window(reader, out));
    TRY(check_layer_types(reader, out));
    TRY(read_dtype(reader, &out->dtype));
    return read_rope(reader, out);
}

enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out)
{
    json_t *root;
    *out = (struct model_config){0};
    TRY(json_parse(name, text, length, &root));
    struct reader reader = {.name = name, .root = root};
    enum status status = read_config(&reader, out);
    json_decref(root);
    return status;
}

enum status model_config_read(const char *folder, struct model_config *out)
{
    char path[FILE_PATH_MAX];
    struct bytes text;
    *out = (struct model_config){0};
    if (!file_is_folder(folder))
        return fail(
            ERR_INPUT,
            "%s: %s; expected a folder with config.json and safetensors files, as HuggingFace "
            "writes it",
            folder, file_exists(folder) ? "is a file" : "does not exist");
    TRY(file_join(folder, "config.json", path));
    if (!file_exists(path))
        return fail(ERR_INPUT,
                    "%s: is missing; expected the model's config.json beside its weights", path);
    bytes_init(&text);
    enum status status = file_read(path, CONFIG_BYTES_MAX, &text);
    if (status == OK)
        status = model_config_parse(path, text.data, text.length, out);
    bytes_fini(&text);
    return status;
}
