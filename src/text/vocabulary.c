#include "text/vocabulary.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "text/unicode.h"

struct vocabulary_slot {
    uint32_t hash;
    int32_t id_plus_1; // 0: free
};

// Eight bytes at a time, multiply and shift. The tables need spread, not secrecy: a hostile
// tokenizer.json slows only its own loading, which VOCABULARY_TOKENS_MAX bounds.
static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xA0761D6478BD642Fu;
    return hash ^ hash >> 32;
}

uint64_t text_hash(const char *text, size_t length)
{
    uint64_t hash = 0x9E3779B97F4A7C15u ^ length, word;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        hash = mix(hash, word);
    }
    if (length > 0) {
        word = 0;
        memcpy(&word, text, length);
        hash = mix(hash, word);
    }
    return mix(hash, 0x8EBC6AF09C88C6E3u);
}

void vocabulary_init(struct vocabulary *vocabulary)
{
    *vocabulary = (struct vocabulary){.id_max = TOKEN_ID_MAX};
}

void vocabulary_fini(struct vocabulary *vocabulary)
{
    free(vocabulary->tokens);
    free(vocabulary->slots);
    bytes_fini(&vocabulary->text);
    vocabulary_init(vocabulary);
}

static struct vocabulary_slot *find_slot(const struct vocabulary *v, const char *text,
                                         size_t length, uint32_t hash)
{
    assert(v->n_slots > 0 && (v->n_slots & (v->n_slots - 1)) == 0);
    size_t mask = v->n_slots - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        struct vocabulary_slot *slot = &v->slots[i];
        if (slot->id_plus_1 == 0)
            return slot;
        if (slot->hash != hash)
            continue;
        const struct vocabulary_token *token = &v->tokens[slot->id_plus_1 - 1];
        if (token->length == length && memcmp(v->text.data + token->offset, text, length) == 0)
            return slot;
    }
}

static enum status grow_slots(struct vocabulary *v, size_t wanted)
{
    struct vocabulary_slot *slots;
    assert(wanted > v->n_slots && (wanted & (wanted - 1)) == 0);
    TRY(memory_new(wanted, sizeof *slots, "the vocabulary's table", &slots));
    for (size_t i = 0; i < v->n_slots; i++) { // by the stored hashes: the texts are not looked at
        size_t at = v->slots[i].hash & (wanted - 1);
        if (v->slots[i].id_plus_1 == 0)
            continue;
        while (slots[at].id_plus_1 != 0)
            at = (at + 1) & (wanted - 1);
        slots[at] = v->slots[i];
    }
    free(v->slots);
    v->slots = slots;
    v->n_slots = wanted;
    return OK;
}

static enum status check_token(const struct vocabulary *v, const char *where, const char *text,
                               size_t length, int64_t id)
{
    assert(v && where);
    if (id < 0 || id > v->id_max)
        return fail(ERR_INPUT, "%s: token \"%s\" has id %lld; expected 0 to %lld", where,
                    text_show(text, length), (long long)id, (long long)v->id_max);
    if (length > TOKEN_BYTES_MAX)
        return fail(ERR_INPUT, "%s: token %lld has %zu bytes; at most %d are allowed", where,
                    (long long)id, length, TOKEN_BYTES_MAX);
    if (v->n_tokens >= VOCABULARY_TOKENS_MAX)
        return fail(ERR_INPUT, "%s: has too many tokens; at most %d are allowed", where,
                    VOCABULARY_TOKENS_MAX);
    if ((size_t)id < v->n_ids && v->tokens[id].present)
        return fail(
            ERR_INPUT,
            "%s: tokens \"%s\" and \"%s\" both have id %lld; expected an id of its own for each",
            where, text_show(v->text.data + v->tokens[id].offset, v->tokens[id].length),
            text_show(text, length), (long long)id);
    return OK;
}

enum status vocabulary_add(struct vocabulary *v, const char *where, const char *text, size_t length,
                           int64_t id)
{
    assert(v && where && (text || length == 0));
    TRY(check_token(v, where, text, length, id));
    if (v->n_tokens + v->n_tokens / 2 >= v->n_slots)
        TRY(grow_slots(v, v->n_slots ? v->n_slots * 2 : 1024));
    uint32_t hash = (uint32_t)text_hash(text, length);
    struct vocabulary_slot *slot = find_slot(v, text, length, hash);
    if (slot->id_plus_1 != 0 && !v->repeats)
        return fail(ERR_INPUT,
                    "%s: token \"%s\" is there twice, with ids %d and %lld; expected it once",
                    where, text_show(text, length), slot->id_plus_1 - 1, (long long)id);
    size_t before = v->ids_capacity;
    TRY(memory_grow(&v->tokens, &v->ids_capacity, (size_t)id + 1, sizeof *v->tokens,
                    "the vocabulary"));
    if (v->ids_capacity > before)
        memset(v->tokens + before, 0, (v->ids_capacity - before) * sizeof *v->tokens);
    if (v->text.length + length + 1 > UINT32_MAX / 2)
        return fail(ERR_INPUT, "%s: the tokens' texts are larger than 2 GB together", where);
    v->tokens[id] = (struct vocabulary_token){(uint32_t)v->text.length, (uint32_t)length, true};
    TRY(bytes_append(&v->text, text, length));
    TRY(bytes_append(&v->text, "", 1)); // so that messages can print it
    *slot = (struct vocabulary_slot){hash, (int32_t)id + 1};
    if ((size_t)id >= v->n_ids)
        v->n_ids = (size_t)id + 1;
    v->n_tokens++;
    return OK;
}

enum status vocabulary_expect(struct vocabulary *v, size_t n)
{
    assert(v);
    size_t wanted = 1024, most = n < VOCABULARY_TOKENS_MAX ? n : VOCABULARY_TOKENS_MAX;
    while (wanted < most + most / 2)
        wanted *= 2;
    return wanted > v->n_slots ? grow_slots(v, wanted) : OK;
}

void vocabulary_limit_ids(struct vocabulary *v, size_t likely)
{
    const size_t padding = 65536;
    v->id_max = likely < TOKEN_ID_MAX - padding ? (int64_t)(padding + likely) : TOKEN_ID_MAX;
}

enum { BYTES_LIKELY = 24 }; // of a token, its id, marks and blanks

enum status vocabulary_parse(struct vocabulary *v, struct json_reader *reader)
{
    assert(v && reader && reader->at <= reader->end);
    size_t bytes = (size_t)(reader->end - reader->at);
    struct bytes scratch;
    bytes_init(&scratch);
    enum status status;
    vocabulary_limit_ids(v, bytes);
    TRY_DONE(vocabulary_expect(v, bytes / BYTES_LIKELY));
    TRY_DONE(json_reader_expect(reader, '{'));
    if (!json_reader_at(reader, '}')) {
        do {
            const char *token;
            size_t length;
            int64_t id;
            TRY_DONE(json_reader_string(reader, &scratch, &token, &length));
            TRY_DONE(json_reader_expect(reader, ':'));
            TRY_DONE(json_reader_int(reader, &id));
            TRY_DONE(vocabulary_add(v, reader->where, token, length, id));
        } while (json_reader_take(reader, ','));
    }
    status = json_reader_expect(reader, '}');
done:
    bytes_fini(&scratch);
    return status;
}

int32_t vocabulary_find(const struct vocabulary *v, const char *text, size_t length)
{
    if (v->n_slots == 0)
        return -1;
    return find_slot(v, text, length, (uint32_t)text_hash(text, length))->id_plus_1 - 1;
}

// Slot, then token, then text: each says where the next one lies.
void vocabulary_find_all(const struct vocabulary *v, struct vocabulary_query *queries, size_t n)
{
    assert(v && (queries || n == 0));
    size_t mask = v->n_slots - 1;
    for (size_t i = 0; i < n; i++) {
        queries[i].hash = (uint32_t)text_hash(queries[i].text, queries[i].length);
        queries[i].id = -1;
        if (v->n_slots > 0)
            __builtin_prefetch(&v->slots[queries[i].hash & mask]);
    }
    if (v->n_slots == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        const struct vocabulary_slot *slot = &v->slots[queries[i].hash & mask];
        if (slot->id_plus_1 > 0)
            __builtin_prefetch(&v->tokens[slot->id_plus_1 - 1]);
    }
    for (size_t i = 0; i < n; i++) {
        const struct vocabulary_slot *slot = &v->slots[queries[i].hash & mask];
        if (slot->id_plus_1 > 0)
            __builtin_prefetch(v->text.data + v->tokens[slot->id_plus_1 - 1].offset);
    }
    for (size_t i = 0; i < n; i++) {
        struct vocabulary_query *q = &queries[i];
        q->id = find_slot(v, q->text, q->length, q->hash)->id_plus_1 - 1;
    }
}

bool vocabulary_is_joined(const struct vocabulary *v, int32_t id, const char *left,
                          size_t left_length, const char *right, size_t right_length)
{
    size_t length;
    const char *text = vocabulary_text(v, id, &length);
    return text && length == left_length + right_length && memcmp(text, left, left_length) == 0 &&
           memcmp(text + left_length, right, right_length) == 0;
}

const char *vocabulary_text(const struct vocabulary *v, int32_t id, size_t *length)
{
    assert(v && length);
    if (id < 0 || (size_t)id >= v->n_ids || !v->tokens[id].present)
        return NULL;
    *length = v->tokens[id].length;
    return v->text.data + v->tokens[id].offset;
}
