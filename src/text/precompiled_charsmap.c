#include "text/precompiled_charsmap.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "text/grapheme.h"
#include "text/splits.h"
#include "text/unicode.h"

enum { CLUSTER_BYTES_MAX = 5 }; // longer clusters are mapped character by character

void precompiled_charsmap_fini(struct precompiled_charsmap *map)
{
    free(map->units);
    bytes_fini(&map->texts);
    *map = (struct precompiled_charsmap){0};
}

// ---- reading ----

static enum status wrong_charsmap(const char *where, const char *found)
{
    return fail(ERR_INPUT,
                "%s: key \"precompiled_charsmap\" %s; expected a character map of SentencePiece",
                where, found);
}

enum status precompiled_charsmap_read(struct precompiled_charsmap *map, const char *where,
                                      const char *data, size_t length)
{
    assert(map && where && (data || length == 0) && !map->units);
    uint32_t array_bytes;
    size_t at;
    if (length < sizeof array_bytes)
        return wrong_charsmap(where, "is too short");
    memcpy(&array_bytes, data, sizeof array_bytes);
    data += sizeof array_bytes;
    length -= sizeof array_bytes;
    map->n_units = array_bytes / sizeof *map->units;
    if (map->n_units == 0 || map->n_units > length / sizeof *map->units)
        return wrong_charsmap(where, "is shorter than it says");
    TRY(memory_new(map->n_units, sizeof *map->units, "a character map", &map->units));
    size_t used = map->n_units * sizeof *map->units;
    memcpy(map->units, data, used);
    if (!utf8_check(data + used, length - used, &at))
        return wrong_charsmap(where, "has texts that are not valid UTF-8");
    return bytes_append(&map->texts, data + used, length - used);
}

enum status precompiled_charsmap_decode(struct precompiled_charsmap *map, const char *where,
                                        const char *base64, size_t length)
{
    struct bytes data;
    bool valid;
    bytes_init(&data);
    enum status status;
    TRY_DONE(base64_decode(base64, length, &data, &valid));
    TRY_DONE(valid ? OK : wrong_charsmap(where, "is not base64"));
    status = precompiled_charsmap_read(map, where, data.data, data.length);
done:
    bytes_fini(&data);
    return status;
}

// ---- applying ----

// Units of a Darts-clone array: 8 bits label, "a leaf hangs here", and the offset of the children,
// which may be a multiple of 256.
static bool has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}

static uint32_t label_of(uint32_t unit)
{
    return unit & (1u << 31 | 0xFF);
}

static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & 1u << 9) >> 6);
}

// The value of the shortest text in the map that `key` begins with; false when there is none.
static bool find_value(const struct precompiled_charsmap *map, const char *key, size_t length,
                       uint32_t *value)
{
    uint32_t at = offset_of(map->units[0]);
    for (size_t i = 0; i < length && key[i] != '\0'; i++) {
        at ^= (unsigned char)key[i];
        if (at >= map->n_units)
            return false;
        uint32_t unit = map->units[at];
        if (label_of(unit) != (unsigned char)key[i])
            return false;
        at ^= offset_of(unit);
        if (!has_leaf(unit))
            continue;
        *value = at < map->n_units ? map->units[at] & ~(1u << 31) : UINT32_MAX;
        return true;
    }
    return false;
}

// What `key` becomes as a whole: NULL when nothing in the map is its begin.
static enum status find_mapped(const struct precompiled_charsmap *map, const char *key,
                               size_t length, const char **mapped, size_t *mapped_length)
{
    uint32_t at;
    *mapped = NULL;
    if (!find_value(map, key, length, &at))
        return OK;
    const struct bytes *texts = &map->texts;
    if (at > texts->length ||
        (at < texts->length && ((unsigned char)texts->data[at] & 0xC0) == 0x80))
        return fail(ERR_INPUT,
                    "the tokenizer's \"precompiled_charsmap\" has no text for \"%s\"; expected a "
                    "character map of SentencePiece",
                    text_show(key, length));
    *mapped = texts->data ? texts->data + at : "";
    const char *end = memchr(*mapped, '\0', texts->length - at);
    *mapped_length = end ? (size_t)(end - *mapped) : texts->length - at;
    return OK;
}

static size_t count_chars(const char *text, size_t length)
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++)
        n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

// How `tokenizers` keeps books about which character comes from which: by counts of characters that
// were put in or taken out. A replacement by nothing is booked on the character before it, and
// where there is none, not at all. Only what comes from the text's begin matters here.
struct charsmap_books {
    const char *text;
    size_t length, start; // of the input: bytes that come from the text's begin
    size_t read;          // bytes of the input that are booked
    size_t mapped;        // bytes of the output that come from the text's begin
    bool pending;         // the last character of the output is not booked yet:
    size_t bytes;         // its bytes
    ptrdiff_t change;     // 0: it replaces a character; 1: it was put in; -n: n were taken out too
    bool done;            // what comes now is not from the begin
};

static void skip_booked(struct charsmap_books *books, size_t n)
{
    uint32_t code;
    size_t bytes;
    for (; n > 0 && books->read < books->length; n--, books->read += bytes)
        utf8_next(books->text + books->read, books->length - books->read, &code, &bytes);
}

static void book_pending(struct charsmap_books *books)
{
    if (!books->pending)
        return;
    books->pending = false;
    bool put_in = books->change > 0;
    if (put_in ? books->read == 0 || books->read - 1 < books->start : books->read < books->start)
        books->mapped += books->bytes;
    else
        books->done = true;
    if (!put_in)
        skip_booked(books, 1 + (size_t)-books->change);
}

static void book(struct charsmap_books *books, size_t bytes, ptrdiff_t change)
{
    book_pending(books);
    books->pending = true;
    books->bytes = bytes;
    books->change = change;
}

// `old` characters became the text.
static void book_mapped(struct charsmap_books *books, size_t old, const char *text, size_t length)
{
    size_t now = count_chars(text, length), i = 0, bytes;
    uint32_t code;
    if (books->done)
        return;
    for (size_t at = 0; at < length; at += bytes, i++) {
        utf8_next(text + at, length - at, &code, &bytes);
        book(books, bytes, i >= old ? 1 : 0);
    }
    if (old > now && books->pending)
        books->change -= (ptrdiff_t)(old - now);
}

static enum status map_char(const struct precompiled_charsmap *map, const char *text, size_t bytes,
                            struct charsmap_books *books, struct bytes *out)
{
    const char *mapped;
    size_t length;
    TRY(find_mapped(map, text, bytes, &mapped, &length));
    if (!mapped) {
        mapped = text;
        length = bytes;
    }
    book_mapped(books, 1, mapped, length);
    return bytes_append(out, mapped, length);
}

static enum status map_cluster(const struct precompiled_charsmap *map, const char *text,
                               size_t length, struct charsmap_books *books, struct bytes *out)
{
    const char *mapped = NULL;
    size_t mapped_length = 0, bytes;
    uint32_t code;
    if (length <= CLUSTER_BYTES_MAX)
        TRY(find_mapped(map, text, length, &mapped, &mapped_length));
    if (mapped) {
        book_mapped(books, count_chars(text, length), mapped, mapped_length);
        return bytes_append(out, mapped, mapped_length);
    }
    for (size_t i = 0; i < length; i += bytes) {
        utf8_next(text + i, length - i, &code, &bytes);
        TRY(map_char(map, text + i, bytes, books, out));
    }
    return OK;
}

enum status precompiled_charsmap_apply(const struct precompiled_charsmap *map, const char *text,
                                       size_t length, size_t *start, struct bytes *out)
{
    assert(map && map->n_units > 0 && (text || length == 0) && start && out);
    struct charsmap_books books = {.text = text, .length = length, .start = *start};
    for (size_t i = 0, bytes; i < length; i += bytes) {
        bytes = grapheme_length(text + i, length - i);
        TRY(map_cluster(map, text + i, bytes, &books, out));
        if (out->length > TEXT_BYTES_MAX)
            return fail(ERR_INPUT, "the text grows beyond %zu bytes in the tokenizer",
                        TEXT_BYTES_MAX);
    }
    book_pending(&books);
    *start = books.mapped;
    return OK;
}
