// From tokenizer.json to a struct tokenizer.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"
#include "text/vocab_files.h"

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    bpe_fini(&tokenizer->bpe);
    unigram_fini(&tokenizer->unigram);
    word_piece_fini(&tokenizer->word_piece);
    normalizer_fini(&tokenizer->normalizer);
    pre_tokenizer_fini(&tokenizer->pre_tokenizer);
    decoder_fini(&tokenizer->decoder);
    post_processor_fini(&tokenizer->post_processor);
    added_tokens_fini(&tokenizer->added);
    special_tokens_fini(&tokenizer->special);
    free(tokenizer->name);
    free(tokenizer);
}

static enum status parse_flags(const json_t *item, const char *where, struct added_token *token)
{
    TRY(json_get_bool(item, where, "single_word", &token->single_word, NULL));
    TRY(json_get_bool(item, where, "lstrip", &token->lstrip, NULL));
    TRY(json_get_bool(item, where, "rstrip", &token->rstrip, NULL));
    TRY(json_get_bool(item, where, "normalized", &token->normalized, NULL));
    return json_get_bool(item, where, "special", &token->special, NULL);
}

// The ids that tokenizer.json gives its added tokens do not count (added_tokens.h).
static enum status parse_added_token(const json_t *item, const char *where,
                                     struct tokenizer *tokenizer)
{
    struct added_token flags = {0};
    const char *content;
    int64_t id;
    size_t length;
    TRY(json_get_string(item, where, "content", &content, &length, NULL));
    TRY(json_get_int(item, where, "id", 0, UINT32_MAX, &id, NULL));
    TRY(parse_flags(item, where, &flags));
    return added_tokens_add(&tokenizer->added, where, tokenizer_vocabulary(tokenizer), &flags,
                            content, length);
}

static enum status parse_added_tokens(const json_t *root, const char *where,
                                      struct tokenizer *tokenizer)
{
    json_t *list, *item;
    bool found;
    size_t i;
    char place[512];
    TRY(json_get_array(root, where, "added_tokens", &list, &found));
    added_tokens_begin(&tokenizer->added, tokenizer_vocabulary(tokenizer));
    if (!found)
        return OK;
    json_array_foreach(list, i, item)
    {
        snprintf(place, sizeof place, "%.400s: added_tokens[%zu]", where, i);
        TRY(parse_added_token(item, place, tokenizer));
    }
    return OK;
}

static enum status end_tokens(struct tokenizer *tokenizer, const char *where)
{
    assert(tokenizer && where);
    struct added_tokens *added = &tokenizer->added;
    TRY(added_tokens_end(added, &tokenizer->normalizer));
    tokenizer->n_ids = tokenizer_vocabulary(tokenizer)->n_ids;
    if (added->n_ids > tokenizer->n_ids)
        tokenizer->n_ids = added->n_ids;
    if (tokenizer->n_ids > 0)
        return OK;
    return fail(ERR_INPUT, "%s: has no tokens; expected some in \"vocab\" or \"added_tokens\"",
                where);
}

static enum status check_post_processor(const struct tokenizer *tokenizer, const char *where)
{
    const struct token_ids *layout = &tokenizer->post_processor.with_special;
    for (size_t i = 0; i < layout->n; i++) {
        size_t length;
        if (layout->ids[i] != POST_PROCESSOR_TEXT &&
            !tokenizer_piece(tokenizer, layout->ids[i], &length))
            return fail(ERR_INPUT,
                        "%s: post_processor: special_tokens: id %d has no token; expected one of "
                        "\"vocab\" or \"added_tokens\"",
                        where, layout->ids[i]);
    }
    return OK;
}

static enum status parse_steps(const json_t *root, const char *where, struct tokenizer *tokenizer)
{
    TRY(normalizer_parse(root, where, &tokenizer->normalizer));
    TRY(pre_tokenizer_parse(root, where, &tokenizer->pre_tokenizer));
    TRY(decoder_parse(root, where, &tokenizer->decoder));
    return post_processor_parse(root, where, &tokenizer->post_processor);
}

static enum status prepend_bos(const struct tokenizer_config *config, struct tokenizer *tokenizer)
{
    const struct token_spec *bos = tokenizer_config_named(config, "bos_token");
    return bos ? post_processor_prepend(
                     &tokenizer->post_processor,
                     added_tokens_find(&tokenizer->added, bos->text, bos->length))
               : OK;
}

// `config` may be NULL: tokenizer.json alone.
static enum status parse_root(json_t *root, const char *where, const char *file,
                              struct json_span vocab, struct json_span merges,
                              struct tokenizer_config *config, struct tokenizer *tokenizer)
{
    assert(root && where && tokenizer);
    const char *version = "1.0";
    bool found;
    TRY(json_get_text(root, where, "version", &version, &found));
    if (strcmp(version, "1.0") != 0)
        return fail(ERR_UNSUPPORTED, "%s: key \"version\" is \"%.20s\"; expected \"1.0\"", where,
                    version);
    if (config)
        TRY(tokenizer_config_use(config, root, where));
    TRY(model_parse(root, where, file, vocab, merges, tokenizer));
    TRY(parse_steps(root, where, tokenizer));
    if (!config || !config->class->model)
        TRY(parse_added_tokens(root, where, tokenizer));
    if (config)
        TRY(tokenizer_config_add_tokens(config, tokenizer));
    if (config && config->class->post == POST_BOS)
        TRY(prepend_bos(config, tokenizer));
    TRY(end_tokens(tokenizer, where));
    return check_post_processor(tokenizer, where);
}

// A tree is made of the file without its two large parts. `tokenizers` reads it with serde_json.
static enum status parse_text(const char *name, struct json_span file,
                              struct tokenizer_config *config, struct tokenizer *tokenizer)
{
    static const char *const large[] = {"vocab", "merges"};
    struct json_span parts[2];
    json_span_members(file, "model", large, 2, parts);
    struct json_span vocab = parts[0], merges = parts[1];
    if (vocab.text && merges.text && merges.text < vocab.text) {
        parts[0] = merges;
        parts[1] = vocab;
    }
    struct bytes small;
    json_t *root = NULL;
    bytes_init(&small);
    enum status status;
    TRY_DONE(json_check_utf8(name, file.text, file.length));
    TRY_DONE(json_span_replace(file, parts, 2, &small));
    TRY_DONE(json_parse_within(name, small.data ? small.data : "", small.length, JSON_RFC,
                               JSON_FILE_NODES_MAX, &root));
    status = parse_root(root, name, file.text, vocab, merges, config, tokenizer);
done:
    json_decref(root);
    bytes_fini(&small);
    return status;
}

static enum status new_tokenizer(const char *name, struct tokenizer **out)
{
    struct tokenizer *tokenizer;
    *out = NULL;
    TRY(memory_new(1, sizeof *tokenizer, "a tokenizer", &tokenizer));
    bpe_init(&tokenizer->bpe);
    unigram_init(&tokenizer->unigram);
    word_piece_init(&tokenizer->word_piece);
    added_tokens_init(&tokenizer->added);
    enum status status = memory_text(name, &tokenizer->name);
    if (status == OK)
        *out = tokenizer;
    else
        tokenizer_close(tokenizer);
    return status;
}

static enum status parse_with(const char *name, const char *text, size_t length,
                              struct tokenizer_config *config, struct tokenizer **out)
{
    *out = NULL;
    if (length > TOKENIZER_FILE_BYTES_MAX)
        return fail(ERR_INPUT, "%s: has %zu bytes, at most %d are allowed", name, length,
                    TOKENIZER_FILE_BYTES_MAX);
    TRY(new_tokenizer(name, out));
    enum status status = parse_text(name, (struct json_span){text, length}, config, *out);
    if (status == OK)
        return OK;
    tokenizer_close(*out);
    *out = NULL;
    return status;
}

enum status tokenizer_parse(const char *name, const char *text, size_t length,
                            struct tokenizer **out)
{
    assert(name && (text || length == 0) && out);
    return parse_with(name, text, length, NULL, out);
}

enum status tokenizer_parse_files(const char *name, const char *text, size_t length,
                                  const char *const files[4], struct tokenizer **out)
{
    struct tokenizer_config config;
    tokenizer_config_init(&config);
    *out = NULL;
    enum status status = tokenizer_config_parse(name, files, text, length, &config);
    if (status == OK)
        status = parse_with(name, text, length, &config, out);
    tokenizer_config_fini(&config);
    return status;
}

// ---- without a tokenizer.json ----

static enum status fill_from_vocab(const struct vocab_files *files, struct tokenizer_config *config,
                                   struct tokenizer *tokenizer)
{
    json_t *root = NULL;
    enum status status;
    TRY_DONE(vocab_files_root(files, config, &root));
    TRY_DONE(vocab_files_model(files, config, root, tokenizer));
    TRY_DONE(parse_steps(root, files->where, tokenizer));
    TRY_DONE(parse_added_tokens(root, files->where, tokenizer));
    TRY_DONE(tokenizer_config_add_tokens(config, tokenizer));
    TRY_DONE(vocab_files_ends(files, config, tokenizer));
    status = end_tokens(tokenizer, files->where);
done:
    json_decref(root);
    return status;
}

static enum status open_from_vocab(const struct vocab_files *files, struct tokenizer_config *config,
                                   struct tokenizer **out)
{
    TRY(new_tokenizer(files->where, out));
    enum status status = fill_from_vocab(files, config, *out);
    if (status == OK)
        return OK;
    tokenizer_close(*out);
    *out = NULL;
    return status;
}

enum status tokenizer_parse_vocab(const char *name, const struct bytes *text,
                                  const struct bytes *merges, const char *const config_files[4],
                                  struct tokenizer **out)
{
    assert(name && text && config_files && out);
    struct tokenizer_config config;
    struct vocab_files files;
    *out = NULL;
    tokenizer_config_init(&config);
    enum status status = vocab_files_parse(name, text, merges, &files);
    if (status == OK)
        status = tokenizer_config_parse(name, config_files, "", 0, &config);
    if (status == OK)
        status = open_from_vocab(&files, &config, out);
    tokenizer_config_fini(&config);
    vocab_files_fini(&files);
    return status;
}

static enum status open_vocab_folder(const char *folder, struct tokenizer **out)
{
    struct tokenizer_config config;
    struct vocab_files files;
    tokenizer_config_init(&config);
    enum status status = vocab_files_read(folder, &files);
    if (status == OK)
        status = tokenizer_config_read(folder, "", 0, &config);
    if (status == OK)
        status = open_from_vocab(&files, &config, out);
    tokenizer_config_fini(&config);
    vocab_files_fini(&files);
    return status;
}

// ---- a folder ----

bool tokenizer_there(const char *folder)
{
    char path[FILE_PATH_MAX];
    return file_join(folder, "tokenizer.json", path) == OK &&
           (file_exists(path) || vocab_files_there(folder));
}

enum status tokenizer_open(const char *folder, struct tokenizer **out)
{
    assert(folder && out);
    char path[FILE_PATH_MAX];
    struct bytes text;
    struct tokenizer_config config;
    *out = NULL;
    TRY(file_join(folder, "tokenizer.json", path));
    if (!file_exists(path))
        return open_vocab_folder(folder, out);
    bytes_init(&text);
    tokenizer_config_init(&config);
    enum status status;
    TRY_DONE(file_read(path, TOKENIZER_FILE_BYTES_MAX, &text));
    TRY_DONE(tokenizer_config_read(folder, text.data ? text.data : "", text.length, &config));
    status = parse_with(path, text.data, text.length, &config, out);
done:
    tokenizer_config_fini(&config);
    bytes_fini(&text);
    return status;
}
