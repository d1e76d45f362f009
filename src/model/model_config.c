#include "model/model_config.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/name_list.h"
#include "model/family.h"

struct reading {
    struct config_reader keys;
    const struct family *family;
};

static const struct family *find_family(const char *model_type, const char *name)
{
    for (int i = 0; families[i]; i++)
        if ((model_type && strcmp(model_type, families[i]->model_type) == 0) ||
            (name && strcmp(name, families[i]->architecture) == 0))
            return families[i];
    return NULL;
}

// `names` as list_architectures() made it; `model_type` may be NULL.
static enum status unknown_model(const char *file, const char *names, const char *model_type)
{
    char known[1024] = "";
    for (int i = 0; families[i]; i++)
        name_list_add(known, sizeof known,
                      *names ? families[i]->architecture : families[i]->model_type);
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
static enum status choose_family(struct reading *reader)
{
    const char *model_type = NULL;
    char names[200];
    bool found;
    const json_t *list = json_object_get(reader->keys.root, "architectures");
    list_architectures(list, names, sizeof names);
    TRY(json_get_text(reader->keys.root, reader->keys.name, "model_type", &model_type, &found));
    if (found) {
        reader->family = find_family(model_type, NULL);
        if (!reader->family)
            return unknown_model(reader->keys.name, names, model_type);
        if (*names && strcmp(names, reader->family->architecture) != 0)
            log_warning("%s: key \"architectures\" names %s: read as %s, as model_type \"%s\" says",
                        reader->keys.name, names, reader->family->architecture, model_type);
        return OK;
    }
    for (size_t i = 0; i < json_array_size(list) && !reader->family; i++) {
        const json_t *item = json_array_get(list, i);
        if (json_is_string(item))
            reader->family = find_family(NULL, json_string_value(item));
    }
    return reader->family ? OK : unknown_model(reader->keys.name, names, NULL);
}

static enum status describe_file(struct reading *reading, struct model_config *out)
{
    TRY(choose_family(reading));
    const struct family *family = reading->family;
    assert(family);
    reading->keys.architecture = family->architecture;
    out->family = family;
    snprintf(out->architecture, sizeof out->architecture, "%s", family->architecture);
    snprintf(out->model_type, sizeof out->model_type, "%s", family->model_type);
    TRY(config_refuse_quantised(&reading->keys));
    config_read_dtype(&reading->keys, &out->dtype, out->unusable_dtype, sizeof out->unusable_dtype);
    return family->describe(&reading->keys, out);
}

enum status model_config_parse(const char *name, const char *text, size_t length,
                               struct model_config *out)
{
    json_t *root;
    memset(out, 0, sizeof *out);
    TRY(json_parse(name, text, length, &root));
    struct reading reading = {.keys = {.name = name, .root = root}};
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
