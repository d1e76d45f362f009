#include "text/post_processor.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "text/vocabulary.h"

// `tokenizers` keeps what a processor has made as a list of encodings, which the next processor in
// a Sequence takes for the sequences A and B of its template. Templates are worked out once, on
// layouts instead of encodings.
enum { ENCODINGS_MAX = 256 };

struct encodings {
    struct token_ids items[ENCODINGS_MAX];
    size_t n;
};

static void encodings_fini(struct encodings *encodings)
{
    for (size_t i = 0; i < encodings->n; i++)
        token_ids_fini(&encodings->items[i]);
    encodings->n = 0;
}

void post_processor_fini(struct post_processor *post)
{
    token_ids_fini(&post->with_special);
    token_ids_fini(&post->plain);
}

static enum status add_ids(const char *where, const struct token_ids *from, struct token_ids *to)
{
    if (from->n > POST_PROCESSOR_IDS_MAX - to->n)
        return fail(ERR_INPUT, "%s: adds more than %d tokens", where, POST_PROCESSOR_IDS_MAX);
    return token_ids_append(to, from->ids, from->n);
}

// One more encoding, whose ids are taken over.
static enum status add_encoding(const char *where, struct encodings *to, struct token_ids *ids)
{
    if (to->n == ENCODINGS_MAX)
        return fail(ERR_INPUT, "%s: makes more than %d parts; expected fewer", where,
                    ENCODINGS_MAX);
    to->items[to->n++] = *ids;
    *ids = (struct token_ids){0};
    return OK;
}

static enum status push_special(const char *where, const json_t *id, struct token_ids *out)
{
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > TOKEN_ID_MAX)
        return fail(ERR_INPUT, "%s: found id %s; expected ids from 0 to %d", where, json_show(id),
                    TOKEN_ID_MAX);
    if (out->n >= POST_PROCESSOR_IDS_MAX)
        return fail(ERR_INPUT, "%s: adds more than %d tokens", where, POST_PROCESSOR_IDS_MAX);
    return token_ids_push(out, (int32_t)json_integer_value(id));
}

// ---- TemplateProcessing ----

// The ids of special_tokens[name] onto `out`.
static enum status special_ids(const json_t *specials, const char *where, const char *name,
                               struct token_ids *out)
{
    char place[600];
    snprintf(place, sizeof place, "%.400s: special_tokens: \"%.80s\"", where, name);
    json_t *entry, *ids, *item;
    size_t i;
    TRY(json_get_object(specials, where, name, &entry, NULL));
    TRY(json_get_array(entry, place, "ids", &ids, NULL));
    json_array_foreach(ids, i, item) TRY(push_special(place, item, out));
    return OK;
}

static enum status sequence_ids(const struct encodings *in, const char *where, const char *key,
                                const char *id, struct token_ids *out)
{
    size_t index = strcmp(id, "A") == 0 ? 0 : strcmp(id, "B") == 0 ? 1 : SIZE_MAX;
    if (index >= in->n)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"%s\" holds the sequence \"%.20s\"; expected \"A\"%s", where, key, id,
                    in->n > 1 ? " or \"B\"" : "");
    return add_ids(where, &in->items[index], out);
}

static enum status apply_template(const json_t *object, const char *where, bool special,
                                  const struct encodings *in, struct encodings *out)
{
    const char *key = in->n == 1 ? "single" : "pair", *id;
    json_t *pieces, *piece, *specials;
    bool found;
    size_t i;
    struct token_ids ids = {0};
    TRY(json_get_array(object, where, key, &pieces, NULL));
    TRY(json_get_object(object, where, "special_tokens", &specials, &found));
    enum status status = OK;
    json_array_foreach(pieces, i, piece)
    {
        const json_t *sequence = json_object_get(piece, "Sequence"),
                     *token = json_object_get(piece, "SpecialToken");
        if (!sequence && !token) {
            status = fail(ERR_INPUT,
                          "%s: key \"%s\" holds %s; expected {\"Sequence\": ...} or "
                          "{\"SpecialToken\": ...}",
                          where, key, json_kind(piece));
            goto done;
        }
        TRY_DONE(json_get_text(sequence ? sequence : token, where, "id", &id, NULL));
        if (sequence)
            TRY_DONE(sequence_ids(in, where, key, id, &ids));
        else
            TRY_DONE(special_ids(found ? specials : NULL, where, id, &ids));
        if (sequence || special)
            TRY_DONE(add_encoding(where, out, &ids));
        ids.n = 0;
    }
done:
    token_ids_fini(&ids);
    return status;
}

// ---- BertProcessing, RobertaProcessing ----

// ["<s>", 0]
static enum status pair_id(const json_t *object, const char *where, const char *key,
                           struct token_ids *out)
{
    json_t *pair;
    char place[512];
    snprintf(place, sizeof place, "%.400s: key \"%s\"", where, key);
    TRY(json_get_array(object, where, key, &pair, NULL));
    return push_special(place, json_array_get(pair, 1), out);
}

static enum status apply_classic(const json_t *object, const char *where, bool special,
                                 bool roberta, const struct encodings *in, struct encodings *out)
{
    struct token_ids begin = {0}, end = {0}, ids = {0};
    enum status status;
    TRY_DONE(pair_id(object, where, "cls", &begin));
    TRY_DONE(pair_id(object, where, "sep", &end));
    for (size_t i = 0; i < in->n; i++) {
        if (special && (i == 0 || roberta))
            TRY_DONE(add_ids(where, i == 0 ? &begin : &end, &ids));
        TRY_DONE(add_ids(where, &in->items[i], &ids));
        if (special)
            TRY_DONE(add_ids(where, &end, &ids));
        TRY_DONE(add_encoding(where, out, &ids));
    }
    status = OK;
done:
    token_ids_fini(&begin);
    token_ids_fini(&end);
    token_ids_fini(&ids);
    return status;
}

// ---- all of them ----

static enum status apply_one(const json_t *object, const char *where, const char *type,
                             bool special, struct encodings *encodings)
{
    struct encodings next = {0};
    enum status status;
    // `tokenizers` tells these two apart by their keys, not by their type.
    bool roberta =
        json_object_get(object, "trim_offsets") && json_object_get(object, "add_prefix_space");
    if (strcmp(type, "TemplateProcessing") != 0)
        status = apply_classic(object, where, special, roberta, encodings, &next);
    else if (encodings->n == 1 || encodings->n == 2)
        status = apply_template(object, where, special, encodings, &next);
    else
        status = fail(ERR_UNSUPPORTED,
                      "%s: takes what the processors before it made for %zu sequences; expected "
                      "one or two",
                      where, encodings->n);
    encodings_fini(encodings);
    *encodings = next;
    return status;
}

static enum status apply_processors(const json_t *object, const char *where, bool special,
                                    struct encodings *encodings)
{
    static const char *const known[] = {"TemplateProcessing", "BertProcessing",
                                        "RobertaProcessing"};
    const char *type;
    TRY(json_get_text(object, where, "type", &type, NULL));
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(type, known[i]) == 0)
            return apply_one(object, where, type, special, encodings);
    if (strcmp(type, "ByteLevel") == 0) // moves offsets, which nobody here asks for
        return OK;
    if (strcmp(type, "Sequence") != 0)
        return fail(ERR_UNSUPPORTED,
                    "%s: key \"type\" is \"%.60s\"; expected TemplateProcessing, BertProcessing, "
                    "RobertaProcessing, ByteLevel, Sequence",
                    where, type);
    json_t *list, *item;
    size_t i;
    TRY(json_get_array(object, where, "processors", &list, NULL));
    json_array_foreach(list, i, item) TRY(apply_processors(item, where, special, encodings));
    return OK;
}

static enum status work_out(const json_t *object, const char *where, bool special,
                            struct token_ids *out)
{
    struct encodings encodings = {.n = 1};
    enum status status;
    TRY_DONE(token_ids_push(&encodings.items[0], POST_PROCESSOR_TEXT));
    if (object)
        TRY_DONE(apply_processors(object, where, special, &encodings));
    for (size_t i = 0; i < encodings.n; i++)
        TRY_DONE(add_ids(where, &encodings.items[i], out));
    status = OK;
done:
    encodings_fini(&encodings);
    return status;
}

enum status post_processor_parse(const json_t *root, const char *where, struct post_processor *post)
{
    json_t *object = NULL;
    bool found;
    char place[512];
    assert(post->with_special.n == 0 && post->plain.n == 0);
    snprintf(place, sizeof place, "%.400s: post_processor", where);
    TRY(json_get_object(root, where, "post_processor", &object, &found));
    TRY(work_out(found ? object : NULL, place, true, &post->with_special));
    return work_out(found ? object : NULL, place, false, &post->plain);
}

enum status post_processor_prepend(struct post_processor *post, int32_t id)
{
    struct token_ids *layout = &post->with_special;
    assert(id >= 0 && layout->n > 0);
    TRY(token_ids_push(layout, id));
    memmove(layout->ids + 1, layout->ids, (layout->n - 1) * sizeof *layout->ids);
    layout->ids[0] = id;
    return OK;
}

enum status post_processor_append(struct post_processor *post, int32_t id)
{
    assert(id >= 0 && post->with_special.n > 0);
    return token_ids_push(&post->with_special, id);
}
