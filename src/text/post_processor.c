#include "text/post_processor.h"

#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "text/vocabulary.h"

void post_processor_init(struct post_processor *post)
{
    token_ids_init(&post->before);
    token_ids_init(&post->after);
}

void post_processor_fini(struct post_processor *post)
{
    token_ids_fini(&post->before);
    token_ids_fini(&post->after);
}

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
    json_array_foreach(ids, i, item)
    {
        if (!json_is_integer(item) || json_integer_value(item) < 0 ||
            json_integer_value(item) > TOKEN_ID_MAX)
            return fail(ERR_INPUT, "%s: key \"ids\" holds %s; expected ids from 0 to %d", place,
                        json_show(item), TOKEN_ID_MAX);
        if (out->n >= POST_PROCESSOR_IDS_MAX)
            return fail(ERR_INPUT, "%s: adds more than %d tokens", where, POST_PROCESSOR_IDS_MAX);
        TRY(token_ids_push(out, (int32_t)json_integer_value(item)));
    }
    return OK;
}

static enum status parse_pieces(const json_t *pieces, const json_t *specials, const char *where,
                                struct token_ids *before, struct token_ids *after)
{
    bool seen = false;
    size_t i;
    json_t *piece;
    json_array_foreach(pieces, i, piece)
    {
        const json_t *sequence = json_object_get(piece, "Sequence"),
                     *special = json_object_get(piece, "SpecialToken");
        const char *id;
        if (!sequence && !special)
            return fail(ERR_INPUT,
                        "%s: key \"single\" holds %s; expected {\"Sequence\": ...} or "
                        "{\"SpecialToken\": ...}",
                        where, json_kind(piece));
        TRY(json_get_text(sequence ? sequence : special, where, "id", &id, NULL));
        if (special) {
            TRY(special_ids(specials, where, id, seen ? after : before));
            continue;
        }
        if (seen || strcmp(id, "A") != 0)
            return fail(
                ERR_UNSUPPORTED,
                "%s: key \"single\" is expected to hold the sequence \"A\" once; found \"%.20s\"%s",
                where, id, seen ? " as a second one" : "");
        seen = true;
    }
    if (!seen)
        return fail(
            ERR_UNSUPPORTED,
            "%s: key \"single\" is expected to hold the sequence \"A\" once; it is not there",
            where);
    return OK;
}

// A template around what the processors before it have made.
static enum status parse_template(const json_t *object, const char *where,
                                  struct post_processor *post)
{
    json_t *single, *specials;
    bool found;
    struct token_ids before;
    token_ids_init(&before);
    TRY(json_get_array(object, where, "single", &single, NULL));
    TRY(json_get_object(object, where, "special_tokens", &specials, &found));
    enum status status;
    TRY_DONE(parse_pieces(single, found ? specials : NULL, where, &before, &post->after));
    TRY_DONE(token_ids_append(&before, post->before.ids, post->before.n));
    struct token_ids swap = before;
    before = post->before;
    post->before = swap;
done:
    token_ids_fini(&before);
    return status;
}

static enum status parse(const json_t *object, const char *where, struct post_processor *post)
{
    const char *type;
    TRY(json_get_text(object, where, "type", &type, NULL));
    if (strcmp(type, "ByteLevel") == 0) // moves offsets, which nobody here asks for
        return OK;
    if (strcmp(type, "TemplateProcessing") == 0)
        return parse_template(object, where, post);
    if (strcmp(type, "Sequence") != 0)
        return fail(
            ERR_UNSUPPORTED,
            "%s: key \"type\" is \"%.60s\"; expected TemplateProcessing, ByteLevel, Sequence",
            where, type);
    json_t *list, *item;
    size_t i;
    TRY(json_get_array(object, where, "processors", &list, NULL));
    json_array_foreach(list, i, item) TRY(parse(item, where, post));
    return OK;
}

enum status post_processor_parse(const json_t *root, const char *where, struct post_processor *post)
{
    json_t *object;
    bool found;
    char place[512];
    snprintf(place, sizeof place, "%.400s: post_processor", where);
    TRY(json_get_object(root, where, "post_processor", &object, &found));
    return found ? parse(object, place, post) : OK;
}
