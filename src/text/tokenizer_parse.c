// From tokenizer.json to a struct tokenizer.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

void tokenizer_close(struct tokenizer *tokenizer)
{
    if (!tokenizer)
        return;
    bpe_fini(&tokenizer->bpe);
    normalizer_fini(&tokenizer->normalizer);
    pre_tokenizer_fini(&tokenizer->pre_tokenizer);
    decoder_fini(&tokenizer->decoder);
    post_processor_fini(&tokenizer->post_processor);
    added_tokens_fini(&tokenizer->added);
    free(tokenizer->added_index);
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

// An id of the vocabulary is the token's own; any other must be free.
static enum status check_id(const struct tokenizer *tokenizer, const char *where,
                            const char *content, size_t length, int64_t id)
{
    const struct vocabulary *v = &tokenizer->bpe.vocabulary;
    int32_t known = vocabulary_find(v, content, length);
    if (known >= 0 && known != id)
        return fail(ERR_INPUT, "%s: token \"%s\" has id %lld; expected %d as in \"vocab\"", where,
                    text_show(content, length), (long long)id, known);
    size_t other_length;
    const char *other = known < 0 ? vocabulary_text(v, (int32_t)id, &other_length) : NULL;
    if (other)
        return fail(ERR_INPUT,
                    "%s: token \"%s\" has id %lld; expected a free one, this is that of \"%s\" in "
                    "\"vocab\"",
                    where, text_show(content, length), (long long)id,
                    text_show(other, other_length));
    return OK;
}

static enum status parse_added_token(const json_t *item, const char *where,
                                     struct tokenizer *tokenizer)
{
    struct added_token token = {0};
    struct bytes matched;
    const char *content;
    int64_t id;
    size_t length;
    TRY(json_get_string(item, where, "content", &content, &length, NULL));
    TRY(json_get_int(item, where, "id", 0, TOKEN_ID_MAX, &id, NULL));
    TRY(parse_flags(item, where, &token));
    if (length == 0) // `tokenizers` ignores it
        return OK;
    TRY(check_id(tokenizer, where, content, length, id));
    token.id = (int32_t)id;
    bytes_init(&matched);
    enum status status;
    if (token.normalized)
        TRY_DONE(normalizer_apply(&tokenizer->normalizer, content, length, &matched));
    else
        TRY_DONE(bytes_append(&matched, content, length));
    status = added_tokens_add(&tokenizer->added, where, &token, content, length, matched.data,
                              matched.length);
done:
    bytes_fini(&matched);
    return status;
}

static const char *show_added(const struct added_tokens *added, int32_t i)
{
    return text_show(added->text.data + added->tokens[i].content, added->tokens[i].content_length);
}

static enum status index_added_tokens(struct tokenizer *tokenizer, const char *where)
{
    const struct added_tokens *added = &tokenizer->added;
    tokenizer->n_ids = tokenizer->bpe.vocabulary.n_ids;
    for (size_t i = 0; i < added->n; i++)
        if ((size_t)added->tokens[i].id >= tokenizer->n_ids)
            tokenizer->n_ids = (size_t)added->tokens[i].id + 1;
    if (tokenizer->n_ids == 0)
        return fail(ERR_INPUT, "%s: has no tokens; expected some in \"vocab\" or \"added_tokens\"",
                    where);
    TRY(memory_new(tokenizer->n_ids, sizeof *tokenizer->added_index, "the added tokens",
                   &tokenizer->added_index));
    memset(tokenizer->added_index, 0xFF, tokenizer->n_ids * sizeof *tokenizer->added_index);
    for (size_t i = 0; i < added->n; i++) {
        int32_t *index = &tokenizer->added_index[added->tokens[i].id];
        if (*index >= 0)
            return fail(ERR_INPUT,
                        "%s: added_tokens: \"%s\" and \"%s\" both have id %d; expected an id of "
                        "its own for each",
                        where, show_added(added, *index), show_added(added, (int32_t)i),
                        added->tokens[i].id);
        *index = (int32_t)i;
    }
    return OK;
}

static enum status parse_added_tokens(const json_t *root, const char *where,
                                      struct tokenizer *tokenizer)
{
    json_t *list, *item;
    bool found;
    size_t i;
    char place[512];
    TRY(json_get_array(root, where, "added_tokens", &list, &found));
    if (found) {
        json_array_foreach(list, i, item)
        {
            snprintf(place, sizeof place, "%.400s: added_tokens[%zu]", where, i);
            TRY(parse_added_token(item, place, tokenizer));
        }
    }
    return index_added_tokens(tokenizer, where);
}

static enum status check_post_processor(const struct tokenizer *tokenizer, const char *where)
{
    const struct token_ids *lists[] = {&tokenizer->post_processor.before,
                                       &tokenizer->post_processor.after};
    for (size_t k = 0; k < 2; k++) {
        for (size_t i = 0; i < lists[k]->n; i++) {
            size_t length;
            if (!tokenizer_piece(tokenizer, lists[k]->ids[i], &length))
                return fail(ERR_INPUT,
                            "%s: post_processor: special_tokens: id %d has no token; expected one "
                            "of \"vocab\" "
                            "or \"added_tokens\"",
                            where, lists[k]->ids[i]);
        }
    }
    return OK;
}

static enum status parse_root(const json_t *root, const char *where, const char *file,
                              struct json_span vocab, struct json_span merges,
                              struct tokenizer *tokenizer)
{
    const char *version = "1.0";
    bool found;
    TRY(json_get_text(root, where, "version", &version, &found));
    if (strcmp(version, "1.0") != 0)
        return fail(ERR_UNSUPPORTED, "%s: key \"version\" is \"%.20s\"; expected \"1.0\"", where,
                    version);
    TRY(bpe_parse(root, where, file, vocab, merges, &tokenizer->bpe));
    TRY(normalizer_parse(root, where, &tokenizer->normalizer));
    TRY(pre_tokenizer_parse(root, where, &tokenizer->pre_tokenizer));
    TRY(decoder_parse(root, where, &tokenizer->decoder));
    TRY(post_processor_parse(root, where, &tokenizer->post_processor));
    TRY(parse_added_tokens(root, where, tokenizer));
    return check_post_processor(tokenizer, where);
}

// A tree is made of the file without its two large parts. `tokenizers` reads it with serde_json.
static enum status parse_text(const char *name, struct json_span file, struct tokenizer *tokenizer)
{
    struct json_span model = json_span_member(file, "model"),
                     vocab = json_span_member(model, "vocab"),
                     merges = json_span_member(model, "merges");
    struct json_span parts[] = {vocab, merges};
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
    status = parse_root(root, name, file.text, vocab, merges, tokenizer);
done:
    json_decref(root);
    bytes_fini(&small);
    return status;
}

enum status tokenizer_parse(const char *name, const char *text, size_t length,
                            struct tokenizer **out)
{
    *out = NULL;
    if (length > TOKENIZER_FILE_BYTES_MAX)
        return fail(ERR_INPUT, "%s: has %zu bytes, at most %d are allowed", name, length,
                    TOKENIZER_FILE_BYTES_MAX);
    struct tokenizer *tokenizer;
    TRY(memory_new(1, sizeof *tokenizer, "a tokenizer", &tokenizer));
    bpe_init(&tokenizer->bpe);
    enum status status;
    TRY_DONE(memory_text(name, &tokenizer->name));
    TRY_DONE(parse_text(name, (struct json_span){text, length}, tokenizer));
    *out = tokenizer;
    tokenizer = NULL;
done:
    tokenizer_close(tokenizer);
    return status;
}

enum status tokenizer_open(const char *folder, struct tokenizer **out)
{
    char path[FILE_PATH_MAX];
    struct bytes text;
    *out = NULL;
    TRY(file_join(folder, "tokenizer.json", path));
    if (!file_exists(path))
        return fail(ERR_INPUT,
                    "%s: is missing; expected it in a HuggingFace model folder (a fast tokenizer)",
                    path);
    bytes_init(&text);
    enum status status = file_read(path, TOKENIZER_FILE_BYTES_MAX, &text);
    if (status == OK)
        status = tokenizer_parse(path, text.data, text.length, out);
    bytes_fini(&text);
    return status;
}
