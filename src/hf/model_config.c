// Source: Transformers 5.24, configuration_llama.py, configuration_mistral.py,
// configuration_utils.py and quantizers/auto.py. Absent keys mean what they mean there; of those
// that shape the weights it is said, and the weights' shapes are held against them.
#include "hf/model_config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/name_list.h"
#include "hf/rope_config.h"

struct architecture {
    const char *name, *model_type;
    enum model_family family;
    int64_t max_position_embeddings; // from here on: what an absent key means
    int64_t num_key_value_heads;     // 0: as many as heads
    int64_t sliding_window;
    int32_t hidden_size, intermediate_size, num_hidden_layers, num_attention_heads, vocab_size;
    bool has_window, has_bias; // whether the architecture knows these at all
};

static const struct architecture architectures[] = {
    {"LlamaForCausalLM", "llama", FAMILY_LLAMA, 2048, 0, 0, 4096, 11008, 32, 32, 32000, false,
     true},
    {"MistralForCausalLM", "mistral", FAMILY_MISTRAL, 131072, 8, 4096, 4096, 14336, 32, 32, 32000,
     true, false},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

static const double eps_default = 1e-6, eps_max = 1;

struct reader {
    const char *name;
    const json_t *root;
    const struct architecture *architecture;
};

static bool is_absent(const struct reader *reader, const char *key) // null is not absent
{
    return json_object_get(reader->root, key) == NULL;
}

// A number that shapes the weights.
static enum status read_size(const struct reader *reader, const char *key, int64_t least,
                             int64_t most, int32_t absent, int32_t *out)
{
    int64_t value = absent;
    if (is_absent(reader, key)) {
        log_warning("%s: key \"%s\" is missing: it is %d in %s without it, as in Transformers",
                    reader->name, key, (int)absent, reader->architecture->name);
        assert(least <= absent && absent <= most);
    } else {
        TRY(json_get_int(reader->root, reader->name, key, least, most, &value, NULL));
    }
    *out = (int32_t)value;
    return OK;
}

// ---- which model ----

static const struct architecture *find_architecture(const char *model_type, const char *name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if ((model_type && strcmp(model_type, architectures[i].model_type) == 0) ||
            (name && strcmp(name, architectures[i].name) == 0))
            return &architectures[i];
    return NULL;
}

// `names` as list_architectures() made it; `model_type` may be NULL.
static enum status unknown_model(const char *file, const char *names, const char *model_type)
{
    char known[256] = "";
    for (int i = 0; i < N_ARCHITECTURES; i++)
        name_list_add(known, sizeof known,
                      *names ? architectures[i].name : architectures[i].model_type);
    if (*names)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"architectures\" names %s%s%.80s%s; expected one of %s", file, names,
                    model_type ? " (model_type \"" : "", model_type ? model_type : "",
                    model_type ? "\")" : "", known);
    if (model_type)
        return fail(ERR_UNSUPPORTED, "%s: key \"model_type\" is \"%.80s\"; expected one of %s",
                    file, model_type, known);
    return fail(ERR_INPUT,
                "%s: keys \"model_type\" and \"architectures\" are missing; expected a model_type, "
                "one of %s",
                file, known);
}

// The names that `architectures` holds, as one text: "A, B".
static void list_architectures(const json_t *value, char *out, size_t room)
{
    assert(room > 0);
    *out = '\0';
    if (json_is_string(value))
        name_list_add(out, room, json_string_value(value));
    for (size_t i = 0; i < json_array_size(value); i++) {
        const json_t *item = json_array_get(value, i);
        name_list_add(out, room, json_is_string(item) ? json_string_value(item) : json_kind(item));
    }
}

// As AutoModelForCausalLM does, model_type says which model this is, whatever `architectures`
// names: wrappers (Peft..., FSDP...), the base model, other spellings. Files without model_type are
// known by their architecture.
static enum status read_architecture(struct reader *reader)
{
    const char *model_type = NULL;
    char names[200];
    bool found;
    const json_t *list = json_object_get(reader->root, "architectures");
    list_architectures(list, names, sizeof names);
    TRY(json_get_text(reader->root, reader->name, "model_type", &model_type, &found));
    if (found) {
        reader->architecture = find_architecture(model_type, NULL);
        if (!reader->architecture)
            return unknown_model(reader->name, names, model_type);
        if (*names && strcmp(names, reader->architecture->name) != 0)
            log_warning("%s: key \"architectures\" names %s: read as %s, as model_type \"%s\" says",
                        reader->name, names, reader->architecture->name, model_type);
        return OK;
    }
    for (size_t i = 0; i < json_array_size(list) && !reader->architecture; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item))
            reader->architecture = find_architecture(NULL, json_string_value(item));
    }
    return reader->architecture ? OK : unknown_model(reader->name, names, NULL);
}

// ---- keys that would change what the model computes, or what its files hold ----

// What a merge leaves behind: bitsandbytes with nothing on, or keys that say nothing. The weights'
// types are checked all the same.
static bool is_switched_off(const json_t *config)
{
    static const char *const switches[] = {"load_in_8bit", "load_in_4bit", "_load_in_8bit",
                                           "_load_in_4bit"};
    const json_t *method = json_object_get(config, "quant_method"), *value;
    const char *key;
    bool has_switch = false, says_something = false;
    if (json_is_falsy(config))
        return true;
    if (!json_is_object(config))
        return false;
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        value = json_object_get(config, switches[i]);
        has_switch = has_switch || value;
        if (!json_is_falsy(value))
            return false;
    }
    json_object_foreach((json_t *)(uintptr_t)config, key, value) says_something =
        says_something || !json_is_falsy(value);
    if (json_is_falsy(method))
        return has_switch || !says_something;
    return json_is_string(method) && strcmp(json_string_value(method), "bitsandbytes") == 0;
}

static enum status refuse_quantised(const struct reader *reader)
{
    static const char *const keys[] = {"quantization_config", "compression_config"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const json_t *value = json_object_get(reader->root, keys[i]);
        if (!is_switched_off(value)) {
            const char *method = json_string_value(json_object_get(value, "quant_method"));
            return fail(
                ERR_UNSUPPORTED,
                "%s: key \"%s\" is present (%.40s); expected unquantised weights in "
                "bfloat16, float16, float32 or float64: use the model's original checkpoint",
                reader->name, keys[i], method ? method : "no quant_method");
        }
        if (!json_is_falsy(value))
            log_info("%s: key \"%s\" is switched off and ignored", reader->name, keys[i]);
    }
    return OK;
}

// silu by its names in Transformers' ACT2FN.
static enum status check_activation(const struct reader *reader)
{
    const char *act = "silu";
    bool found;
    TRY(json_get_text(reader->root, reader->name, "hidden_act", &act, &found));
    if (strcmp(act, "silu") == 0 || strcmp(act, "swish") == 0)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"hidden_act\" is \"%.80s\"; expected \"silu\" (or \"swish\") for %s",
                reader->name, act, reader->architecture->name);
}

// ---- shapes ----

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
    TRY(read_size(reader, "num_attention_heads", 1, HEADS_MAX,
                  reader->architecture->num_attention_heads, &out->num_attention_heads));
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
    assert(out->num_key_value_heads > 0 && out->num_attention_heads >= out->num_key_value_heads);
    out->head_dim = (int32_t)value;
    return expect_even(reader, "head_dim", out->head_dim);
}

static enum status read_shape(const struct reader *reader, struct model_config *out)
{
    const struct architecture *a = reader->architecture;
    TRY(read_size(reader, "hidden_size", 2, HIDDEN_SIZE_MAX, a->hidden_size, &out->hidden_size));
    TRY(read_size(reader, "intermediate_size", 1, INTERMEDIATE_SIZE_MAX, a->intermediate_size,
                  &out->intermediate_size));
    TRY(read_size(reader, "num_hidden_layers", 1, LAYERS_MAX, a->num_hidden_layers,
                  &out->num_hidden_layers));
    TRY(read_size(reader, "vocab_size", 1, VOCAB_MAX, a->vocab_size, &out->vocab_size));
    TRY(expect_even(reader, "hidden_size", out->hidden_size));
    return read_heads(reader, out);
}

static enum status read_bias_key(const struct reader *reader, const char *key, bool *out)
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

static bool is_computable(enum element_type type)
{
    return type == ELEMENT_BF16 || type == ELEMENT_F16 || type == ELEMENT_F32;
}

// `dtype` counts before its older name. "auto" says nothing, nor does {}: the weights do. What
// names no type to compute in is kept for model_config_check_dtype(): whoever names one need not
// stop.
static void read_dtype(const struct reader *reader, struct model_config *out)
{
    const json_t *value = json_object_get(reader->root, "dtype");
    const char *key = !value || json_is_null(value) ? "torch_dtype" : "dtype";
    value = json_object_get(reader->root, key);
    out->dtype = ELEMENT_NONE;
    if (!value || json_is_null(value) || (json_is_object(value) && json_object_size(value) == 0))
        return;
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    if (strcmp(text, "auto") == 0)
        return;
    enum element_type type = element_from_dtype(text);
    if (type == ELEMENT_F64) {
        log_info("%s: key \"%s\" is \"%.80s\": computed in float32", reader->name, key, text);
        type = ELEMENT_F32;
    }
    if (is_computable(type))
        out->dtype = type;
    else
        snprintf(out->unusable_dtype, sizeof out->unusable_dtype, "key \"%s\" is %s", key,
                 json_show(value));
}

enum status model_config_check_dtype(const struct model_config *config, const char *name)
{
    assert(config && name && (!config->unusable_dtype[0] || config->dtype == ELEMENT_NONE));
    if (!config->unusable_dtype[0])
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: %s; expected bfloat16, float16 (half), float32 (float) or auto: correct the "
                "key, or say --dtype",
                name, config->unusable_dtype);
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

static enum status read_model_config(struct reader *reader, struct model_config *out)
{
    bool found;
    TRY(read_architecture(reader));
    const struct architecture *architecture = reader->architecture;
    assert(architecture);
    out->family = architecture->family;
    snprintf(out->architecture, sizeof out->architecture, "%s", architecture->name);
    snprintf(out->model_type, sizeof out->model_type, "%s", architecture->model_type);
    TRY(refuse_quantised(reader));
    TRY(check_activation(reader));
    TRY(read_shape(reader, out));
    out->max_position_embeddings = architecture->max_position_embeddings;
    TRY(json_get_int(reader->root, reader->name, "max_position_embeddings", 1, POSITIONS_MAX,
                     &out->max_position_embeddings, &found));
    out->rms_norm_eps = eps_default;
    TRY(json_get_number(reader->root, reader->name, "rms_norm_eps", 0, eps_max, &out->rms_norm_eps,
                        &found));
    TRY(read_bias_key(reader, "attention_bias", &out->attention_bias));
    TRY(read_bias_key(reader, "mlp_bias", &out->mlp_bias));
    TRY(json_get_bool(reader->root, reader->name, "tie_word_embeddings", &out->tie_word_embeddings,
                      &found));
    TRY(read_window(reader, out));
    TRY(check_layer_types(reader, out));
    read_dtype(reader, out);
    return read_rope(reader, out);
}

enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out)
{
    json_t *root;
    *out = (struct model_config){0};
    TRY(json_parse(name, text, length, &root));
    struct reader reader = {.name = name, .root = root};
    enum status status = read_model_config(&reader, out);
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
