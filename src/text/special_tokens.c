#include "text/special_tokens.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/memory.h"
#include "text/added_tokens.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_parts.h"
#include "text/vocab_files.h"
#include "text/vocabulary.h"

void special_tokens_fini(struct special_tokens *tokens)
{
    for (size_t i = 0; i < tokens->n; i++) {
        free(tokens->items[i].name);
        free(tokens->items[i].text);
    }
    free(tokens->items);
    *tokens = (struct special_tokens){0};
}

static enum status copy_named(const struct tokenizer_config *config, struct special_tokens *out)
{
    assert(out->n == 0);
    for (size_t i = 0; i < config->n_named; i++) {
        TRY(memory_grow(&out->items, &out->capacity, out->n + 1, sizeof *out->items,
                        "the special tokens"));
        struct special_token *token = &out->items[out->n];
        *token = (struct special_token){NULL, NULL};
        out->n++;
        TRY(memory_text(config->named[i].name, &token->name));
        TRY(memory_text(config->named[i].token.text, &token->text));
    }
    return OK;
}

// Where there is no tokenizer.json, tokenizer.model may name some.
static enum status read_model_tokens(const char *folder, struct tokenizer_config *config)
{
    char path[FILE_PATH_MAX];
    struct vocab_files files = {0};
    TRY(file_join(folder, "tokenizer.json", path));
    if (file_exists(path) || !vocab_files_there(folder))
        return OK;
    enum status status = vocab_files_read(folder, &files);
    if (status == OK)
        status = vocab_files_tokens(&files, config);
    vocab_files_fini(&files);
    return status;
}

enum status special_tokens_read(const char *folder, struct special_tokens *out)
{
    assert(folder && out);
    char path[FILE_PATH_MAX];
    struct tokenizer_config config;
    struct bytes text;
    *out = (struct special_tokens){0};
    tokenizer_config_init(&config);
    bytes_init(&text);
    enum status status;
    TRY_DONE(file_join(folder, "tokenizer.json", path));
    TRY_DONE(tokenizer_config_read(folder, "", 0, &config));
    // The usual class needs no look into the largest file.
    if (tokenizer_class_asks_byte_level(config.config, config.model_config) && file_exists(path)) {
        TRY_DONE(file_read(path, TOKENIZER_FILE_BYTES_MAX, &text));
        TRY_DONE(tokenizer_config_choose(&config, text.data ? text.data : "", text.length));
    }
    TRY_DONE(read_model_tokens(folder, &config));
    TRY_DONE(tokenizer_config_resolve(&config, NULL, path));
    status = copy_named(&config, out);
done:
    if (status != OK)
        special_tokens_fini(out);
    tokenizer_config_fini(&config);
    bytes_fini(&text);
    return status;
}

// ---- a tokenizer's own ----

// The classes that build their own rules build BPE. Of a Unigram tokenizer.json Transformers 5.24
// makes a BPE model without merges then, which knows only single characters; the model was trained
// with the file's own rules, which Transformers 4 followed.
static void keep_rules_of_other_models(struct tokenizer_config *config, const json_t *root)
{
    const char *type = json_string_value(json_object_get(json_object_get(root, "model"), "type"));
    if (!config->class->model || !type || strcmp(type, "BPE") == 0)
        return;
    config->plain_class = *config->class;
    config->plain_class.model = NULL;
    config->plain_class.post = POST_OF_FILE;
    config->plain_class.marks = MARKS_NOTHING;
    config->class = &config->plain_class;
}

enum status tokenizer_config_use(struct tokenizer_config *config, json_t *root, const char *file)
{
    assert(config && root && file);
    keep_rules_of_other_models(config, root);
    TRY(tokenizer_config_resolve(config, root, file));
    return tokenizer_class_use(config, root);
}

enum status tokenizer_class_use(const struct tokenizer_config *config, json_t *root)
{
    const struct token_spec *unk = tokenizer_config_named(config, "unk_token");
    return tokenizer_class_apply(config->class, config->config, unk ? unk->text : NULL, root);
}

static enum status add_spec(struct tokenizer *tokenizer, const char *where,
                            const struct token_spec *spec, bool special)
{
    struct added_token flags = {
        .lstrip = spec->lstrip,
        .rstrip = spec->rstrip,
        .single_word = spec->single_word,
        .normalized = spec->normalized,
        .special = spec->special || special,
    };
    return added_tokens_add(&tokenizer->added, where, tokenizer_vocabulary(tokenizer), &flags,
                            spec->text, spec->length);
}

static bool is_known(const struct tokenizer_config *config, const struct tokenizer *tokenizer,
                     const struct token_spec *spec)
{
    if (added_tokens_find(&tokenizer->added, spec->text, spec->length) >= 0)
        return true;
    for (size_t i = 0; i < config->n_numbered; i++)
        if (config->numbered[i].token.length == spec->length &&
            memcmp(config->numbered[i].token.text, spec->text, spec->length) == 0)
            return true;
    return false;
}

static bool is_named(const struct tokenizer_config *config, const struct token_spec *spec)
{
    for (size_t i = 0; i < config->n_named; i++)
        if (config->named[i].token.length == spec->length &&
            memcmp(config->named[i].token.text, spec->text, spec->length) == 0)
            return true;
    return false;
}

// Classes that mark all special tokens once more at the end.
static enum status mark_special(const struct tokenizer_config *config, struct tokenizer *tokenizer)
{
    size_t n = config->n_named + config->n_extra;
    if (config->class->marks == MARKS_NOTHING)
        return OK;
    for (size_t i = 0; i < n; i++) {
        struct token_spec spec =
            i < config->n_named ? config->named[i].token : config->extra[i - config->n_named];
        if (config->class->marks == MARKS_SPECIAL_PLAIN)
            spec = (struct token_spec){.text = spec.text, .length = spec.length};
        TRY(add_spec(tokenizer, config->where, &spec, true));
    }
    return OK;
}

enum status tokenizer_config_add_tokens(const struct tokenizer_config *config,
                                        struct tokenizer *tokenizer)
{
    assert(config && tokenizer);
    size_t n = config->n_named + config->n_extra;
    bool *known;
    TRY(memory_new(n + 1, sizeof *known, "the special tokens", &known));
    enum status status;
    tokenizer->added.split_special = config->split_special_tokens;
    // Which tokens are new is decided before the first is added.
    for (size_t i = 0; i < n; i++)
        known[i] = is_known(config, tokenizer,
                            i < config->n_named ? &config->named[i].token
                                                : &config->extra[i - config->n_named]);
    added_tokens_begin(&tokenizer->added, tokenizer_vocabulary(tokenizer));
    for (size_t i = 0; i < config->n_numbered; i++) {
        const struct token_spec *spec = &config->numbered[i].token;
        TRY_DONE(add_spec(tokenizer, config->where, spec, is_named(config, spec)));
    }
    for (size_t i = 0; i < n; i++) {
        const struct token_spec *spec =
            i < config->n_named ? &config->named[i].token : &config->extra[i - config->n_named];
        if (!known[i])
            TRY_DONE(
                add_spec(tokenizer, config->where, spec, spec->plain || is_named(config, spec)));
    }
    TRY_DONE(mark_special(config, tokenizer));
    status = copy_named(config, &tokenizer->special);
done:
    free(known);
    return status;
}
