#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "text/tokenizer_parts.h"
#include "text/unicode.h"

// With dropout `tokenizers` leaves out merges at random, also when it serves.
static enum status refuse_dropout(const json_t *model, const char *where)
{
    const json_t *value = json_object_get(model, "dropout");
    if (!value || json_is_null(value) || (json_is_number(value) && json_number_value(value) == 0))
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"dropout\" is %s, with which the same text has other tokens each time; "
                "expected null",
                where, json_show(value));
}

static enum status parse_affix(const json_t *model, const char *where, const char *key,
                               struct bytes *out)
{
    const char *text;
    size_t length;
    bool found;
    TRY(json_get_string(model, where, key, &text, &length, &found));
    return found ? bytes_append(out, text, length) : OK;
}

enum status bpe_parse_options(const json_t *model, const char *where, struct bpe *bpe)
{
    bool found;
    const char *type = "BPE", *unk = NULL;
    TRY(json_get_text(model, where, "type", &type, &found)); // older files leave it out
    if (strcmp(type, "BPE") != 0)
        return fail(ERR_UNSUPPORTED, "%s: key \"type\" is \"%.60s\"; expected \"BPE\"", where,
                    type);
    TRY(refuse_dropout(model, where));
    TRY(parse_affix(model, where, "continuing_subword_prefix", &bpe->continuing_subword_prefix));
    TRY(parse_affix(model, where, "end_of_word_suffix", &bpe->end_of_word_suffix));
    TRY(json_get_bool(model, where, "fuse_unk", &bpe->fuse_unk, &found));
    TRY(json_get_bool(model, where, "byte_fallback", &bpe->byte_fallback, &found));
    TRY(json_get_bool(model, where, "ignore_merges", &bpe->ignore_merges, &found));
    TRY(json_get_text(model, where, "unk_token", &unk, &found));
    return unk ? memory_text(unk, &bpe->unk_token) : OK;
}

// ---- the two large parts ----

enum status bpe_parse_vocab(struct json_reader *reader, struct bpe *bpe)
{
    TRY(vocabulary_parse(&bpe->vocabulary, reader));
    return bpe_vocabulary_ends(bpe);
}

// Merges that are read but not yet added; their texts lie in the file, or in `scratch` where they
// have escapes.
struct merge_batch {
    struct bytes scratch[2 * BPE_BATCH];
    struct bpe_merge_text merges[BPE_BATCH];
    size_t n;
};

// "a b"
static enum status parse_merge_text(struct json_reader *reader, const struct bpe *bpe,
                                    struct merge_batch *batch)
{
    const char *text;
    size_t length;
    TRY(json_reader_string(reader, &batch->scratch[2 * batch->n], &text, &length));
    if (length >= 8 && memcmp(text, "#version", 8) == 0)
        return OK;
    const char *blank = memchr(text, ' ', length), *end = text + length;
    if (!blank || memchr(blank + 1, ' ', (size_t)(end - blank) - 1))
        return fail(ERR_INPUT,
                    "%s: merge %zu is \"%s\"; expected two tokens with one blank between",
                    reader->where, bpe->n_ranks + batch->n, text_show(text, length));
    batch->merges[batch->n++] =
        (struct bpe_merge_text){text, blank + 1, (size_t)(blank - text), (size_t)(end - blank) - 1};
    return OK;
}

// ["a", "b"]
static enum status parse_merge_pair(struct json_reader *reader, struct merge_batch *batch)
{
    struct bpe_merge_text *merge = &batch->merges[batch->n];
    struct bytes *scratch = &batch->scratch[2 * batch->n];
    TRY(json_reader_expect(reader, '['));
    TRY(json_reader_string(reader, &scratch[0], &merge->left, &merge->left_length));
    TRY(json_reader_expect(reader, ','));
    TRY(json_reader_string(reader, &scratch[1], &merge->right, &merge->right_length));
    TRY(json_reader_expect(reader, ']'));
    batch->n++;
    return OK;
}

static enum status parse_merge(struct json_reader *reader, struct merge_batch *batch,
                               struct bpe *bpe)
{
    if (json_reader_at(reader, '['))
        TRY(parse_merge_pair(reader, batch));
    else if (json_reader_at(reader, '"'))
        TRY(parse_merge_text(reader, bpe, batch));
    else
        return json_reader_wrong(reader, "a merge \"a b\" or [\"a\", \"b\"]");
    if (batch->n < BPE_BATCH)
        return OK;
    TRY(bpe_add_merges(bpe, reader->where, batch->merges, batch->n));
    batch->n = 0;
    return OK;
}

static enum status parse_merges(struct json_reader *reader, struct bpe *bpe)
{
    struct merge_batch batch = {0};
    enum status status;
    TRY_DONE(json_reader_expect(reader, '['));
    if (!json_reader_at(reader, ']')) {
        do {
            TRY_DONE(parse_merge(reader, &batch, bpe));
        } while (json_reader_take(reader, ','));
    }
    TRY_DONE(json_reader_expect(reader, ']'));
    TRY_DONE(bpe_add_merges(bpe, reader->where, batch.merges, batch.n));
    status = bpe_merges_end(bpe);
done:
    for (size_t i = 0; i < sizeof batch.scratch / sizeof *batch.scratch; i++)
        bytes_fini(&batch.scratch[i]);
    return status;
}

// A reader of the part `key`, which must be there.
static enum status open_part(const json_t *model, const char *where, const char *key,
                             struct json_span part, const char *file, struct json_reader *out)
{
    assert(model && where && key && out);
    if (!part.text || json_object_get(model, key) == NULL)
        return fail(ERR_INPUT, "%.400s: key \"%s\" is missing; expected the %s of a BPE model",
                    where, key, strcmp(key, "vocab") == 0 ? "tokens and ids" : "list of merges");
    *out = (struct json_reader){.file = file, .at = part.text, .end = part.text + part.length};
    return OK;
}

enum status bpe_parse(const json_t *root, const char *where, const char *file,
                      struct json_span vocab, struct json_span merges, struct bpe *bpe)
{
    assert(root && where && file && bpe);
    json_t *model;
    struct json_reader reader;
    char place[448], part[512];
    snprintf(place, sizeof place, "%.400s: model", where);
    TRY(json_get_object(root, where, "model", &model, NULL));
    TRY(bpe_parse_options(model, place, bpe));
    TRY(open_part(model, place, "vocab", vocab, file, &reader));
    snprintf(part, sizeof part, "%s: key \"vocab\"", place);
    reader.where = part;
    TRY(bpe_parse_vocab(&reader, bpe));
    TRY(open_part(model, place, "merges", merges, file, &reader));
    snprintf(part, sizeof part, "%s: key \"merges\"", place);
    reader.where = part;
    return parse_merges(&reader, bpe);
}
