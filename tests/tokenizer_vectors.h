// Vectors of `tokenizers` (tools/make_test_tokenizers.py) against ours: ids without and with
// special tokens, decoded text, and the pieces of a stream.
#ifndef COLROW_TESTS_TOKENIZER_VECTORS_H
#define COLROW_TESTS_TOKENIZER_VECTORS_H

#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "text/decode_stream.h"
#include "text/tokenizer.h"

static inline void must(enum status status)
{
    if (status != OK)
        printf("%s\n", status_message());
    assert_int_equal(status, OK);
}

// What `tokenizers` itself reads: tokenizer.json without the files beside it.
static inline struct tokenizer *open_alone(const char *folder)
{
    char path[FILE_PATH_MAX];
    struct bytes text;
    struct tokenizer *tokenizer;
    bytes_init(&text);
    must(file_join(folder, "tokenizer.json", path));
    must(file_read(path, 1 << 26, &text));
    must(tokenizer_parse(path, text.data, text.length, &tokenizer));
    bytes_fini(&text);
    return tokenizer;
}

static inline bool same_ids(const json_t *expected, const struct token_ids *found)
{
    if (json_array_size(expected) != found->n)
        return false;
    for (size_t i = 0; i < found->n; i++)
        if (json_integer_value(json_array_get(expected, i)) != found->ids[i])
            return false;
    return true;
}

static inline bool same_text(const json_t *expected, const struct bytes *found)
{
    return json_string_length(expected) == found->length &&
           (found->length == 0 ||
            memcmp(json_string_value(expected), found->data, found->length) == 0);
}

static inline bool encodes(const struct tokenizer *tokenizer, const json_t *item, const char *key,
                           bool special)
{
    const json_t *text = json_object_get(item, "text"), *expected = json_object_get(item, key);
    struct token_ids ids;
    if (!expected || !text)
        return true;
    token_ids_init(&ids);
    must(tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), special,
                          &ids));
    bool same = same_ids(expected, &ids);
    token_ids_fini(&ids);
    return same;
}

static inline void read_ids(const json_t *list, struct token_ids *out)
{
    size_t i;
    json_t *id;
    token_ids_init(out);
    json_array_foreach(list, i, id)
        assert_int_equal(token_ids_push(out, (int32_t)json_integer_value(id)), OK);
}

static inline bool decodes(const struct tokenizer *tokenizer, const json_t *item, const char *from,
                           const char *to, bool skip)
{
    struct token_ids ids;
    struct bytes text;
    if (!json_object_get(item, to))
        return true;
    bytes_init(&text);
    read_ids(json_object_get(item, from), &ids);
    assert_int_equal(tokenizer_decode(tokenizer, ids.ids, ids.n, skip, &text), OK);
    bool same = same_text(json_object_get(item, to), &text);
    token_ids_fini(&ids);
    bytes_fini(&text);
    return same;
}

// The pieces, and that they add up to the whole.
static inline bool streams(const struct tokenizer *tokenizer, const json_t *item)
{
    struct decode_stream stream;
    struct token_ids ids;
    struct bytes piece, all;
    if (!json_object_get(item, "text")) // random ids may have invalid runs of bytes
        return true;
    const json_t *pieces = json_object_get(item, "pieces");
    bool same = true;
    bytes_init(&piece);
    bytes_init(&all);
    read_ids(json_object_get(item, "ids"), &ids);
    decode_stream_init(&stream, tokenizer, true);
    for (size_t i = 0; i < ids.n; i++) {
        bytes_clear(&piece);
        assert_int_equal(decode_stream_step(&stream, ids.ids[i], &piece), OK);
        assert_int_equal(bytes_append(&all, piece.data, piece.length), OK);
        if (json_is_array(pieces) && !same_text(json_array_get(pieces, i), &piece))
            same = false;
    }
    assert_int_equal(decode_stream_flush(&stream, &all), OK);
    same = same && same_text(json_object_get(item, "decoded"), &all);
    decode_stream_fini(&stream);
    token_ids_fini(&ids);
    bytes_fini(&piece);
    bytes_fini(&all);
    return same;
}

// The number of `cases` that differ in anything; each is reported on stdout.
static inline size_t count_wrong(const char *name, const struct tokenizer *tokenizer,
                                 const json_t *cases)
{
    static const char *const what[] = {"ids", "ids_special", "decoded", "decoded_all", "pieces"};
    size_t wrong = 0, i;
    json_t *item;
    json_array_foreach(cases, i, item)
    {
        bool good[] = {encodes(tokenizer, item, "ids", false),
                       encodes(tokenizer, item, "ids_special", true),
                       decodes(tokenizer, item, "ids", "decoded", true),
                       decodes(tokenizer, item, "ids_special", "decoded_all", false),
                       streams(tokenizer, item)};
        bool all = true;
        for (size_t k = 0; k < sizeof good; k++) {
            if (!good[k])
                printf("%s: case %zu: %s differ: %.80s\n", name, i, what[k],
                       json_string_value(json_object_get(item, "text")));
            all = all && good[k];
        }
        wrong += !all;
    }
    return wrong;
}

#endif
