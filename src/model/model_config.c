#include "model/model_config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/name_list.h"
#include "base/nearest_name.h"
#include "model/family.h"
#include "model/wrapper.h"

struct reading {
    struct config_reader file, text; // the whole file, and the part that says what the text part is
    const struct family *family;
    const struct wrapper *wrapper;      // or NULL
    char text_name[FILE_PATH_MAX + 32]; // of the text part, for messages
};

static const struct family *find_family(const char *model_type, const char *name)
{
    for (int i = 0; families[i]; i++)
        if ((model_type && strcmp(model_type, families[i]->model_type) == 0) ||
            (name && strcmp(name, families[i]->architecture) == 0))
            return families[i];
    return NULL;
}

// ---- what is not known ----

enum { NEAREST = 3 };

struct known_model {
    const char *model_type, *architecture;
    int distance;
};

// Keeps the nearest ones, in order.
static void keep_nearest(struct known_model nearest[NEAREST], struct known_model model)
{
    for (int i = 0; i < NEAREST; i++)
        if (!nearest[i].model_type || model.distance < nearest[i].distance) {
            struct known_model other = nearest[i];
            nearest[i] = model;
            model = other;
            if (!model.model_type)
                return;
        }
}

// "A (a), B (b)" of what colrow serves, nearest to the model_type or, where that is NULL, to the
// architecture.
static void list_nearest(const char *model_type, const char *architecture, char *out, size_t room)
{
    struct known_model nearest[NEAREST] = {{0}};
    for (int i = 0; families[i]; i++)
        keep_nearest(nearest,
                     (struct known_model){
                         families[i]->model_type, families[i]->architecture,
                         model_type ? name_distance(model_type, families[i]->model_type)
                                    : name_distance(architecture, families[i]->architecture)});
    for (int i = 0; wrapper_at(i); i++)
        keep_nearest(nearest,
                     (struct known_model){
                         wrapper_at(i)->model_type, wrapper_at(i)->architecture,
                         model_type ? name_distance(model_type, wrapper_at(i)->model_type)
                                    : name_distance(architecture, wrapper_at(i)->architecture)});
    *out = '\0';
    for (int i = 0; i < NEAREST && nearest[i].model_type; i++) {
        char name[128];
        snprintf(name, sizeof name, "%s (%s)", nearest[i].model_type, nearest[i].architecture);
        name_list_add(out, room, name);
    }
}

// `names` as list_architectures() made it; `model_type` may be NULL.
static enum status unknown_model(const char *file, const char *names, const char *model_type)
{
    static const char advice[] = "expected a model that colrow serves; the nearest are";
    char nearest[512];
    list_nearest(model_type, *names || model_type ? names : "LlamaForCausalLM", nearest,
                 sizeof nearest);
    if (model_type && *names)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"model_type\" is \"%.80s\", and \"architectures\" names %s; %s %s",
                    file, model_type, names, advice, nearest);
    if (model_type)
        return fail(ERR_UNSUPPORTED, "%s: key \"model_type\" is \"%.80s\"; %s %s", file, model_type,
                    advice, nearest);
    if (*names)
        return fail(ERR_UNSUPPORTED, "%s: key \"architectures\" names %s; %s %s", file, names,
                    advice, nearest);
    return fail(ERR_INPUT,
                "%s: keys \"model_type\" and \"architectures\" are missing; expected a model_type "
                "such as \"llama\", as HuggingFace writes it",
                file);
}

// ---- what is known ----

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

static void find_model(struct reading *reading, const char *model_type, const char *name)
{
    reading->wrapper = wrapper_find(model_type, name);
    if (!reading->wrapper)
        reading->family = find_family(model_type, name);
}

static bool is_found(const struct reading *reading)
{
    return reading->wrapper || reading->family;
}

// As AutoModelForCausalLM does, model_type says which model this is, whatever `architectures`
// names: wrappers (Peft..., FSDP...), the base model, other spellings. Files without model_type are
// known by their architecture.
static enum status choose_model(struct reading *reading)
{
    const char *model_type = NULL;
    char names[200];
    bool found;
    const json_t *list = json_object_get(reading->file.root, "architectures");
    list_architectures(list, names, sizeof names);
    TRY(json_get_text(reading->file.root, reading->file.name, "model_type", &model_type, &found));
    if (found)
        find_model(reading, model_type, NULL);
    for (size_t i = 0; !found && i < json_array_size(list) && !is_found(reading); i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item))
            find_model(reading, NULL, json_string_value(item));
    }
    if (!is_found(reading))
        return unknown_model(reading->file.name, names, model_type);
    reading->file.architecture =
        reading->wrapper ? reading->wrapper->architecture : reading->family->architecture;
    if (found && *names && strcmp(names, reading->file.architecture) != 0)
        log_warning("%s: key \"architectures\" names %s: read as %s, as model_type \"%s\" says",
                    reading->file.name, names, reading->file.architecture, model_type);
    return OK;
}

// The text part of a multimodal model; `name` has room for its name in messages.
static enum status choose_text(struct reading *reading, char *name, size_t room)
{
    const struct wrapper *wrapper = reading->wrapper;
    json_t *text = NULL;
    bool found;
    const char *type = NULL;
    TRY(json_get_object(reading->file.root, reading->file.name, WRAPPER_TEXT_KEY, &text, &found));
    if (!text && !wrapper->may_be_flat)
        return fail(ERR_INPUT,
                    "%s: key \"" WRAPPER_TEXT_KEY "\" is missing; expected an object with the text "
                    "part's keys, as %s has",
                    reading->file.name, wrapper->architecture);
    if (text) {
        snprintf(name, room, "%s: " WRAPPER_TEXT_KEY, reading->file.name);
        reading->text.name = name;
        reading->text.root = text;
        if (wrapper->text_says)
            TRY(json_get_text(text, name, "model_type", &type, &found));
    }
    reading->family = find_family(type ? type : wrapper->text_type, NULL);
    return reading->family ? OK : unknown_model(name, "", type ? type : wrapper->text_type);
}

// The whole model's key counts, not the text part's.
static enum status choose_ties(const struct reading *reading, struct model_config *out)
{
    bool tied = reading->wrapper->is_tied;
    TRY(config_read_flag(&reading->file, "tie_word_embeddings", &tied));
    out->tie_word_embeddings = tied || (reading->wrapper->text_may_tie && out->tie_word_embeddings);
    return OK;
}

static void read_dtype(const struct config_reader *reader, struct model_config *out)
{
    config_read_dtype(reader, &out->dtype, out->unusable_dtype, sizeof out->unusable_dtype);
}

// Refuses what no recipe reads; the checkpoint has it read again.
static enum status read_quantisation(const struct config_reader *reader, struct model_config *out)
{
    struct quantisation *quantisation;
    TRY(quantisation_of_config(reader->root, reader->name, &quantisation));
    out->quant_method = quantisation_method(quantisation);
    out->quant_bits = quantisation ? quantisation_bits(quantisation) : 0;
    quantisation_free(quantisation);
    return OK;
}

static enum status describe_file(struct reading *reading, struct model_config *out)
{
    TRY(choose_model(reading));
    reading->text = reading->file;
    if (reading->wrapper)
        TRY(choose_text(reading, reading->text_name, sizeof reading->text_name));
    assert(reading->family);
    out->family = reading->family;
    out->wrapper = reading->wrapper;
    snprintf(out->architecture, sizeof out->architecture, "%s", reading->file.architecture);
    snprintf(out->model_type, sizeof out->model_type, "%s",
             reading->wrapper ? reading->wrapper->model_type : reading->family->model_type);
    TRY(read_quantisation(&reading->file, out));
    read_dtype(&reading->file, out);
    if (out->dtype == ELEMENT_NONE && !out->unusable_dtype[0])
        read_dtype(&reading->text, out);
    TRY(reading->family->describe(&reading->text, out));
    if (!reading->wrapper)
        return OK;
    if (reading->wrapper->uncapped)
        out->logit_softcap = 0;
    return choose_ties(reading, out);
}

enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out)
{
    json_t *root;
    memset(out, 0, sizeof *out);
    TRY(json_parse(name, text, length, &root));
    struct reading reading = {.file = {.name = name, .root = root}};
    enum status status = describe_file(&reading, out);
    json_decref(root);
    return status;
}

enum status model_config_read(const char *folder, struct model_config *out)
{
    char path[FILE_PATH_MAX];
    struct bytes text;
    memset(out, 0, sizeof *out);
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

int64_t model_config_long_length(const struct model_config *config)
{
    for (int i = 0; i < config->n_ropes; i++)
        if (config->ropes[i].type == ROPE_LONGROPE)
            return (int64_t)config->ropes[i].original_max_position_embeddings;
    return 0;
}

const struct sublayer_config *model_config_first(const struct model_config *config,
                                                 enum mix_kind kind)
{
    for (int layer = 0; layer < config->num_hidden_layers; layer++) {
        const struct layer_config *l = model_config_layer(config, layer);
        for (int i = 0; i < l->n_sublayers; i++)
            if (l->sublayers[i].kind == kind)
                return &l->sublayers[i];
    }
    return NULL;
}

const struct attention_config *model_config_attention(const struct model_config *config)
{
    static const struct attention_config none;
    const struct sublayer_config *first = model_config_first(config, MIX_ATTENTION);
    return first ? &first->attention : &none;
}

int32_t model_config_intermediate_size(const struct model_config *config)
{
    const struct sublayer_config *mlp = model_config_first(config, MIX_MLP),
                                 *experts = model_config_first(config, MIX_EXPERTS);
    return mlp ? mlp->mlp.intermediate_size : experts ? experts->experts.intermediate_size : 0;
}
