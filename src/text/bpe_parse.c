#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "text/tokenizer_parts.h"

// A key that must be absent, null or empty.
static enum status check_absent(const json_t *model, const char *where, const char *key)
{
    const json_t *value = json_object_get(model, key);
    if (!value || json_is_null(value) || (json_is_string(value) && json_string_length(value) == 0))
        return OK;
    if (json_is_number(value) && json_number_value(value) == 0)
        return OK;
    return fail(ERR_UNSUPPORTED, "%s: key \"%s\" is %s, which is not supported; expected null",
                where, key, json_show(value));
}

static enum status parse_options(const json_t *model, const char *where, struct bpe *bpe)
{
    bool found;
    const char *type = "BPE", *unk = NULL;
    TRY(json_get_text(model, where, "type", &type, &found)); // older files leave it out
    if (strcmp(type, "BPE") != 0)
        return fail(ERR_UNSUPPORTED, "%s: key \"type\" is \"%.60s\"; only BPE is supported", where,
                    type);
    TRY(check_absent(model, where, "dropout"));
    TRY(check_absent(model, where, "continuing_subword_prefix"));
    TRY(check_absent(model, where, "end_of_word_suffix"));
    TRY(json_get_bool(model, where, "fuse_unk", &bpe->fuse_unk, &found));
    TRY(json_get_bool(model, where, "byte_fallback", &bpe->byte_fallback, &found));
    TRY(json_get_bool(model, where, "ignore_merges", &bpe->ignore_merges, &found));
    TRY(json_get_text(model, where, "unk_token", &unk, &found));
    return unk ? memory_text(unk, &bpe->unk_token) : OK;
}

static enum status parse_vocab(const json_t *model, const char *where, struct bpe *bpe)
{
    json_t *vocab, *value;
    const char *token;
    size_t length;
    char place[512];
    snprintf(place, sizeof place, "%.400s: key \"vocab\"", where);
    TRY(json_get_object(model, where, "vocab", &vocab, NULL));
    json_object_keylen_foreach(vocab, token, length, value)
    {
        if (!json_is_integer(value))
            return fail(ERR_INPUT, "%s: token \"%.60s\" has id %s; expected an integer", place,
                        token, json_show(value));
        TRY(bpe_add_token(bpe, place, token, length, json_integer_value(value)));
    }
    return bpe_vocabulary_ends(bpe);
}

// "a b"
static enum status parse_merge_text(const json_t *merge, const char *where, struct bpe *bpe)
{
    const char *text = json_string_value(merge);
    size_t length = json_string_length(merge);
    if (strncmp(text, "#version", 8) == 0)
        return OK;
    const char *blank = memchr(text, ' ', length);
    const char *second = blank ? memchr(blank + 1, ' ', length - (size_t)(blank + 1 - text)) : NULL;
    if (!blank || second)
        return fail(
            ERR_INPUT,
            "%s: key \"merges\": merge %u is \"%.80s\"; expected two tokens with one blank between",
            where, bpe->n_ranks, text);
    size_t left = (size_t)(blank - text);
    return bpe_add_merge(bpe, where, text, left, blank + 1, length - left - 1);
}

// ["a", "b"]
static enum status parse_merge_pair(const json_t *merge, const char *where, struct bpe *bpe)
{
    const json_t *left = json_array_get(merge, 0), *right = json_array_get(merge, 1);
    if (json_array_size(merge) != 2 || !json_is_string(left) || !json_is_string(right))
        return fail(ERR_INPUT, "%s: key \"merges\": merge %u is not a pair of two tokens", where,
                    bpe->n_ranks);
    return bpe_add_merge(bpe, where, json_string_value(left), json_string_length(left),
                         json_string_value(right), json_string_length(right));
}

static enum status parse_merges(const json_t *model, const char *where, struct bpe *bpe)
{
    json_t *merges, *merge;
    size_t i;
    TRY(json_get_array(model, where, "merges", &merges, NULL));
    json_array_foreach(merges, i, merge)
    {
        if (json_is_string(merge))
            TRY(parse_merge_text(merge, where, bpe));
        else if (json_is_array(merge))
            TRY(parse_merge_pair(merge, where, bpe));
        else
            return fail(ERR_INPUT,
                        "%s: key \"merges\": merge %zu is %s; expected \"a b\" or [\"a\", \"b\"]",
                        where, i, json_show(merge));
    }
    return OK;
}

enum status bpe_parse(const json_t *root, const char *where, struct bpe *bpe)
{
    json_t *model;
    char place[512];
    snprintf(place, sizeof place, "%.400s: model", where);
    TRY(json_get_object(root, where, "model", &model, NULL));
    TRY(parse_options(model, place, bpe));
    TRY(parse_vocab(model, place, bpe));
    return parse_merges(model, place, bpe);
}
