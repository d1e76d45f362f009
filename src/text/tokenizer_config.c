#include "text/tokenizer_config.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/memory.h"
#include "text/added_tokens.h"
#include "text/vocabulary.h"

enum {
    CONFIG_FILE_BYTES_MAX = 16 * 1024 * 1024,
    NAMED_TOKENS_MAX = 256,
};

static const char *const standard_names[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                             "pad_token", "cls_token", "mask_token"};
enum { N_STANDARD = sizeof standard_names / sizeof *standard_names };

void tokenizer_config_init(struct tokenizer_config *config)
{
    *config = (struct tokenizer_config){0};
}

void tokenizer_config_fini(struct tokenizer_config *config)
{
    json_decref(config->config);
    json_decref(config->map);
    json_decref(config->added);
    json_decref(config->model_config);
    json_decref(config->collected);
    json_decref(config->model_tokens);
    json_decref(config->usual_names);
    free(config->named);
    free(config->extra);
    free(config->numbered);
    tokenizer_config_init(config);
}

// ---- the files ----

static const char *const file_names[] = {"tokenizer_config.json", "special_tokens_map.json",
                                         "added_tokens.json", "config.json"};

static enum status check_root(const char *path, const json_t *root)
{
    if (json_is_object(root))
        return OK;
    return fail(ERR_INPUT, "%s: holds %s; expected an object", path, json_kind(root));
}

// An absent file is an empty object; config.json's own reader says what is wrong with it.
static enum status read_one(const char *folder, size_t i, json_t **out)
{
    char path[FILE_PATH_MAX];
    TRY(file_join(folder, file_names[i], path));
    if (!file_exists(path)) {
        *out = json_object();
        return *out ? OK : fail_memory(0, "a tokenizer's files");
    }
    enum status status = json_file(path, CONFIG_FILE_BYTES_MAX, out);
    if (status == OK)
        status = check_root(path, *out);
    return status;
}

enum status tokenizer_config_choose(struct tokenizer_config *out, const char *text, size_t length)
{
    assert(out && (text || length == 0));
    TRY(tokenizer_class_choose(out->config, out->model_config, out->where,
                               memmem(text, length, "\"ByteLevel\"", 11) != NULL, &out->class));
    bool found;
    return json_get_bool(out->config, out->where, "split_special_tokens",
                         &out->split_special_tokens, &found);
}

enum status tokenizer_config_read(const char *folder, const char *text, size_t length,
                                  struct tokenizer_config *out)
{
    json_t **roots[] = {&out->config, &out->map, &out->added, &out->model_config};
    snprintf(out->where, sizeof out->where, "%.480s/%s", folder, file_names[0]);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++)
        TRY(read_one(folder, i, roots[i]));
    return tokenizer_config_choose(out, text, length);
}

enum status tokenizer_config_parse(const char *name, const char *const files[4], const char *text,
                                   size_t length, struct tokenizer_config *out)
{
    json_t **roots[] = {&out->config, &out->map, &out->added, &out->model_config};
    snprintf(out->where, sizeof out->where, "%.480s", name);
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        const char *file = files[i] ? files[i] : "{}";
        TRY(json_parse(name, file, strlen(file), roots[i]));
        TRY(check_root(name, *roots[i]));
    }
    return tokenizer_config_choose(out, text, length);
}

// ---- one token ----

static enum status read_flag(const json_t *object, const char *where, const char *key, bool *out)
{
    bool found;
    return json_get_bool(object, where, key, out, &found);
}

// {"content": "<s>", "lstrip": false, ...}, as AddedToken(...) reads it.
static enum status read_object(const json_t *object, const char *where, struct token_spec *out)
{
    *out = (struct token_spec){0};
    TRY(json_get_string(object, where, "content", &out->text, &out->length, NULL));
    TRY(read_flag(object, where, "lstrip", &out->lstrip));
    TRY(read_flag(object, where, "rstrip", &out->rstrip));
    TRY(read_flag(object, where, "single_word", &out->single_word));
    TRY(read_flag(object, where, "special", &out->special));
    out->normalized = !out->special;
    return read_flag(object, where, "normalized", &out->normalized);
}

static enum status read_token(const json_t *value, const char *where, const char *key,
                              struct token_spec *out)
{
    char place[640];
    if (json_is_object(value)) {
        snprintf(place, sizeof place, "%.500s: %.80s", where, key);
        return read_object(value, place, out);
    }
    if (!json_is_string(value))
        return fail(ERR_INPUT, "%s: key \"%.60s\" holds %s; expected a token's text or an object",
                    where, key, json_kind(value));
    *out = (struct token_spec){
        .text = json_string_value(value), .length = json_string_length(value), .plain = true};
    return OK;
}

static bool same_text(const struct token_spec *a, const struct token_spec *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

static struct token_spec static_token(const char *text)
{
    return (struct token_spec){.text = text, .length = strlen(text), .plain = true};
}

// ---- named tokens ----

static bool is_standard(const char *name)
{
    for (size_t i = 0; i < N_STANDARD; i++)
        if (strcmp(name, standard_names[i]) == 0)
            return true;
    return false;
}

static bool is_token_name(const char *name)
{
    size_t length = strlen(name);
    return length >= 6 && strcmp(name + length - 6, "_token") == 0;
}

const struct token_spec *tokenizer_config_named(const struct tokenizer_config *config,
                                                const char *name)
{
    assert(config && name);
    for (size_t i = 0; i < config->n_named; i++)
        if (strcmp(config->named[i].name, name) == 0)
            return &config->named[i].token;
    return NULL;
}

// A name that is there already keeps its place.
static enum status set_named(struct tokenizer_config *config, const char *name,
                             const struct token_spec *token)
{
    assert(config && name && token);
    for (size_t i = 0; i < config->n_named; i++) {
        if (strcmp(config->named[i].name, name) == 0) {
            config->named[i].token = *token;
            return OK;
        }
    }
    if (config->n_named >= NAMED_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many keys \"..._token\"; at most %d are allowed",
                    config->where, NAMED_TOKENS_MAX);
    TRY(memory_grow(&config->named, &config->named_capacity, config->n_named + 1,
                    sizeof *config->named, "the special tokens"));
    config->named[config->n_named++] = (struct named_token){name, *token};
    return OK;
}

static const struct class_default *class_default(const struct tokenizer_class *class,
                                                 const char *name)
{
    for (size_t i = 0; i < CLASS_DEFAULTS_MAX && class->defaults[i].name; i++)
        if (strcmp(class->defaults[i].name, name) == 0)
            return &class->defaults[i];
    return NULL;
}

// "padding" of tokenizer.json names a pad token where nothing else does.
static enum status padding_token(const struct tokenizer_config *config, const json_t *root,
                                 struct token_spec *out, bool *found)
{
    const json_t *padding = json_object_get(root, "padding");
    *found = json_is_object(padding) && json_is_string(json_object_get(padding, "pad_token"));
    return *found
               ? read_token(json_object_get(padding, "pad_token"), config->where, "pad_token", out)
               : OK;
}

// Flags that a token has by its number count, wherever else it stands as a text. The last one of
// a text counts.
static void take_config_flags(const struct tokenizer_config *config, struct token_spec *token)
{
    for (size_t i = config->n_numbered; i-- > 0;) {
        if (same_text(&config->numbered[i].token, token)) {
            *token = config->numbered[i].token;
            return;
        }
    }
}

static enum status resolve_standard(struct tokenizer_config *config, const json_t *root)
{
    for (size_t i = 0; i < N_STANDARD; i++) {
        const char *name = standard_names[i];
        const struct class_default *usual = class_default(config->class, name);
        const json_t *value = json_object_get(config->config, name);
        struct token_spec token;
        bool found = false;
        if (value && !json_is_null(value)) {
            TRY(read_token(value, config->where, name, &token));
            take_config_flags(config, &token);
            found = true;
        } else if (!value && usual) {
            found = usual->text != NULL;
            if (found)
                token = static_token(usual->text);
        } else if (!value && strcmp(name, "pad_token") == 0) {
            TRY(padding_token(config, root, &token, &found));
        }
        if (found)
            TRY(set_named(config, name, &token));
    }
    return OK;
}

// Names of a class's own, then every other "..._token", then those that were collected before.
static enum status resolve_specific(struct tokenizer_config *config, json_t *collected)
{
    const char *key;
    json_t *value;
    struct token_spec token;
    for (size_t i = 0; i < CLASS_DEFAULTS_MAX && config->class->defaults[i].name; i++) {
        const struct class_default *usual = &config->class->defaults[i];
        if (is_standard(usual->name) || !usual->text ||
            json_object_get(config->config, usual->name)) // null there: none
            continue;
        token = static_token(usual->text);
        TRY(set_named(config, usual->name, &token));
    }
    json_object_foreach(config->config, key, value)
    {
        if (!is_token_name(key) || is_standard(key) ||
            !(json_is_string(value) || json_is_object(value)))
            continue;
        TRY(read_token(value, config->where, key, &token));
        TRY(set_named(config, key, &token));
    }
    json_object_foreach(collected, key, value)
    {
        TRY(read_token(value, config->where, key, &token));
        TRY(set_named(config, key, &token));
    }
    return OK;
}

// ---- tokens without a name ----

static enum status add_extra(struct tokenizer_config *config, const struct token_spec *token)
{
    if (config->n_extra >= ADDED_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many tokens; at most %d are allowed", config->where,
                    ADDED_TOKENS_MAX);
    TRY(memory_grow(&config->extra, &config->extra_capacity, config->n_extra + 1,
                    sizeof *config->extra, "the special tokens"));
    config->extra[config->n_extra++] = *token;
    return OK;
}

static enum status resolve_extra(struct tokenizer_config *config)
{
    const char *key = "extra_special_tokens";
    const json_t *list = json_object_get(config->config, key);
    json_t *item;
    size_t i;
    if (!list) {
        key = "additional_special_tokens";
        list = json_object_get(config->config, key);
    }
    if (!list || json_is_null(list))
        return OK;
    if (!json_is_array(list))
        return fail(ERR_INPUT, "%s: key \"%s\" holds %s; expected a list or an object of tokens",
                    config->where, key, json_kind(list));
    json_array_foreach(list, i, item)
    {
        struct token_spec token;
        TRY(read_token(item, config->where, key, &token));
        TRY(add_extra(config, &token));
    }
    return OK;
}

// ---- tokens by number ----

static enum status add_numbered(struct tokenizer_config *config, int64_t id,
                                const struct token_spec *token)
{
    size_t n = config->n_numbered;
    if (n >= ADDED_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many tokens; at most %d are allowed", config->where,
                    ADDED_TOKENS_MAX);
    TRY(memory_grow(&config->numbered, &config->numbered_capacity, n + 1, sizeof *config->numbered,
                    "the added tokens"));
    config->numbered[config->n_numbered++] = (struct numbered_token){id, n, *token};
    return OK;
}

static enum status read_decoder(struct tokenizer_config *config, const json_t *decoder)
{
    const char *key;
    json_t *value;
    if (!json_is_object(decoder))
        return fail(ERR_INPUT, "%s: key \"added_tokens_decoder\" holds %s; expected an object",
                    config->where, json_kind(decoder));
    json_object_foreach((json_t *)decoder, key, value)
    {
        char *end, place[640];
        struct token_spec token;
        errno = 0;
        long long id = strtoll(key, &end, 10);
        snprintf(place, sizeof place, "%.500s: added_tokens_decoder: \"%.40s\"", config->where,
                 key);
        if (end == key || *end || errno || id < 0 || id > TOKEN_ID_MAX)
            return fail(ERR_INPUT, "%s: expected a token id from 0 to %d", place, TOKEN_ID_MAX);
        if (!json_is_object(value))
            return fail(ERR_INPUT, "%s: holds %s; expected an object", place, json_kind(value));
        TRY(read_object(value, place, &token));
        TRY(add_numbered(config, id, &token));
    }
    return OK;
}

// True when a special token, as far as it is known yet, has that text.
static bool is_special_text(const struct tokenizer_config *config, const char *text)
{
    for (size_t i = 0; i < N_STANDARD; i++) {
        const json_t *value = json_object_get(config->config, standard_names[i]);
        if (json_is_object(value) &&
            !json_is_object(json_object_get(config->map, standard_names[i])))
            continue; // an object of tokenizer_config.json is not looked into at this point
        if (json_is_object(value))
            value = json_object_get(value, "content");
        if (json_is_string(value) && strcmp(json_string_value(value), text) == 0)
            return true;
    }
    const json_t *extra = json_object_get(config->config, "extra_special_tokens");
    for (size_t i = 0; i < json_array_size(extra); i++) {
        const char *item = json_string_value(json_array_get(extra, i));
        if (item && strcmp(item, text) == 0)
            return true;
    }
    return false;
}

static enum status read_added_file(struct tokenizer_config *config)
{
    const char *key;
    json_t *value;
    json_object_foreach(config->added, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > TOKEN_ID_MAX)
            return fail(ERR_INPUT,
                        "%s: added_tokens.json beside it: token \"%.60s\" has id %s; expected one "
                        "from 0 to %d",
                        config->where, key, json_show(value), TOKEN_ID_MAX);
        struct token_spec token = static_token(key);
        token.plain = false;
        token.special = is_special_text(config, key);
        token.normalized = !token.special;
        TRY(add_numbered(config, json_integer_value(value), &token));
    }
    return OK;
}

static enum status read_file_tokens(struct tokenizer_config *config, const json_t *root,
                                    const char *file)
{
    const json_t *list = json_object_get(root, "added_tokens");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        char place[512];
        struct token_spec token;
        int64_t id;
        snprintf(place, sizeof place, "%.400s: added_tokens[%zu]", file, i);
        TRY(read_object(item, place, &token));
        TRY(json_get_int(item, place, "id", 0, UINT32_MAX, &id, NULL));
        TRY(add_numbered(config, id, &token));
    }
    return OK;
}

static enum status add_to_object(json_t *object, const char *key, json_t *value)
{
    return json_object_set(object, key, value) == 0 ? OK : fail_memory(0, "a tokenizer's files");
}

// Tokens of special_tokens_map.json's own list go behind those that are there.
static enum status merge_extra(struct tokenizer_config *config, const json_t *list)
{
    json_t *there = json_object_get(config->config, "extra_special_tokens"), *item;
    size_t i, k;
    if (!json_is_array(there)) {
        there = json_array();
        if (json_object_set_new(config->config, "extra_special_tokens", there) != 0)
            return fail_memory(0, "a tokenizer's files");
    }
    json_array_foreach(list, i, item)
    {
        bool known = false;
        for (k = 0; k < json_array_size(there); k++)
            known |= json_equal(json_array_get(there, k), item) != 0;
        if (!known && json_array_append(there, item) != 0)
            return fail_memory(0, "a tokenizer's files");
    }
    return OK;
}

static enum status merge_map(struct tokenizer_config *config, json_t *collected)
{
    const char *key;
    json_t *value;
    json_object_foreach(config->map, key, value)
    {
        bool extra = strcmp(key, "extra_special_tokens") == 0;
        if (json_is_object(value) && !extra &&
            json_object_set_new(value, "special", json_true()) != 0)
            return fail_memory(0, "a tokenizer's files");
        if (extra && json_is_array(value))
            TRY(merge_extra(config, value));
        else
            TRY(add_to_object(config->config, key, value));
    }
    json_t *extra = json_object_get(config->config, "extra_special_tokens");
    if (!json_is_object(extra))
        return OK;
    if (json_object_update(collected, extra) != 0)
        return fail_memory(0, "a tokenizer's files");
    json_object_del(config->config, "extra_special_tokens");
    return OK;
}

// Where tokenizer_config.json has no "added_tokens_decoder": the files of older versions.
static enum status read_older_files(struct tokenizer_config *config, const json_t *root,
                                    const char *file)
{
    TRY(merge_map(config, config->collected));
    TRY(read_added_file(config));
    return read_file_tokens(config, root, file);
}

// ---- all of it ----

static bool is_empty(const json_t *value)
{
    return !value || json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && json_array_size(value) == 0) ||
           (json_is_object(value) && json_object_size(value) == 0);
}

// Moves tokens with names of their own out of `config`.
static enum status collect_specific(struct tokenizer_config *config, json_t *collected)
{
    const char *key;
    json_t *value, *extra, *root = config->config;
    void *next;
    extra = json_object_get(root, "additional_special_tokens");
    if (extra && is_empty(json_object_get(root, "extra_special_tokens"))) {
        TRY(add_to_object(root, "extra_special_tokens", extra));
        json_object_del(root, "additional_special_tokens");
    }
    json_object_foreach_safe(root, next, key, value)
    {
        if (!is_token_name(key) || is_standard(key) || !json_is_string(value))
            continue;
        TRY(add_to_object(collected, key, value));
        json_object_del(root, key);
    }
    extra = json_object_get(root, "extra_special_tokens");
    if (json_is_object(extra)) {
        if (json_object_update(collected, extra) != 0)
            return fail_memory(0, "a tokenizer's files");
        json_object_del(root, "extra_special_tokens");
    }
    extra = json_object_get(root, "model_specific_special_tokens");
    if (extra && !json_is_null(extra) && !json_is_object(extra))
        return fail(ERR_INPUT,
                    "%s: key \"model_specific_special_tokens\" holds %s; expected an object of "
                    "tokens",
                    config->where, json_kind(extra));
    // As there: it counts where no other key names such a token.
    if (json_object_size(collected) == 0 && json_is_object(extra) &&
        json_object_update(collected, extra) != 0)
        return fail_memory(0, "a tokenizer's files");
    return OK;
}

static int by_id(const void *a, const void *b)
{
    const struct numbered_token *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->turn > y->turn) - (x->turn < y->turn);
}

// In the order of their ids; of two tokens with one id the later one counts.
static void sort_numbered(struct tokenizer_config *config)
{
    struct numbered_token *tokens = config->numbered;
    size_t n = 0;
    if (config->n_numbered == 0)
        return;
    qsort(tokens, config->n_numbered, sizeof *tokens, by_id);
    for (size_t i = 0; i < config->n_numbered; i++) {
        if (n > 0 && tokens[n - 1].id == tokens[i].id)
            n--;
        tokens[n++] = tokens[i];
    }
    config->n_numbered = n;
}

static enum status take_model_tokens(struct tokenizer_config *config)
{
    if (config->model_tokens &&
        json_object_set(config->config, "additional_special_tokens", config->model_tokens) != 0)
        return fail_memory(0, "the special tokens");
    if (config->usual_names && json_object_update_missing(config->config, config->usual_names) != 0)
        return fail_memory(0, "the special tokens");
    return OK;
}

enum status tokenizer_config_resolve(struct tokenizer_config *config, const json_t *root,
                                     const char *file)
{
    assert(config && file); // root NULL: tokenizer.json does not count
    assert(config->class && config->n_named == 0 && config->n_numbered == 0);
    const json_t *decoder = json_object_get(config->config, "added_tokens_decoder");
    config->collected = json_object();
    if (!config->collected)
        return fail_memory(0, "a tokenizer's files");
    TRY(collect_specific(config, config->collected));
    if (decoder && !json_is_null(decoder))
        TRY(read_decoder(config, decoder));
    else
        TRY(read_older_files(config, root, file));
    TRY(take_model_tokens(config));
    TRY(resolve_standard(config, root));
    TRY(resolve_specific(config, config->collected));
    TRY(resolve_extra(config));
    sort_numbered(config);
    for (size_t i = 0; i < config->n_numbered && config->numbered_raw; i++)
        config->numbered[i].token.normalized = false;
    return OK;
}
