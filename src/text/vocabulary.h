// The tokens of a tokenizer: text to id and id to text.
#ifndef COLROW_TEXT_VOCABULARY_H
#define COLROW_TEXT_VOCABULARY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/json_reader.h"
#include "base/memory.h"
#include "base/status.h"

enum {
    TOKEN_ID_MAX = (1 << 24) - 1,
    VOCABULARY_TOKENS_MAX = 4 * 1000 * 1000,
    TOKEN_BYTES_MAX = 64 * 1024,
    TOKENIZER_FILE_BYTES_MAX = 64 * 1024 * 1024,
};

struct vocabulary_token {
    uint32_t offset; // into `text`
    uint32_t length;
    bool present;
};

struct vocabulary {
    struct vocabulary_token *tokens; // [n_ids], by id
    size_t n_ids, ids_capacity;      // n_ids: largest id + 1
    size_t n_tokens;
    struct bytes text;
    struct vocabulary_slot *slots; // open addressing, a power of two
    size_t n_slots;
    int64_t id_max; // TOKEN_ID_MAX, or less where a file cannot hold that many tokens
    bool repeats;   // a text may come again, with another id: it is found under the later one
};

void vocabulary_init(struct vocabulary *vocabulary);
void vocabulary_fini(struct vocabulary *vocabulary);
// Adds a token; a text (but for `repeats`) or id that is there already, or an id out of range, is
// an error. `where` is the file and key.
enum status vocabulary_add(struct vocabulary *vocabulary, const char *where, const char *text,
                           size_t length, int64_t id) STATUS_MUST_USE;
// Makes room for about `n` tokens at once: growing costs as much as adding.
enum status vocabulary_expect(struct vocabulary *vocabulary, size_t n) STATUS_MUST_USE;
// Ids are dense but for some padding; a table for one far away would only waste memory. `likely`:
// as many tokens as there can be.
void vocabulary_limit_ids(struct vocabulary *vocabulary, size_t likely);
// {"token": id, ...}, all that is read of `reader`: limits the ids and adds the tokens.
enum status vocabulary_parse(struct vocabulary *vocabulary,
                             struct json_reader *reader) STATUS_MUST_USE;
int32_t vocabulary_find(const struct vocabulary *vocabulary, const char *text,
                        size_t length); // -1: none
// Many at once: what one of them waits for is fetched while the others are looked at.
struct vocabulary_query {
    const char *text;
    size_t length;
    uint32_t hash;
    int32_t id; // what is found
};
void vocabulary_find_all(const struct vocabulary *vocabulary, struct vocabulary_query *queries,
                         size_t n);
// True when the token with that id is `left` and `right` joined.
bool vocabulary_is_joined(const struct vocabulary *vocabulary, int32_t id, const char *left,
                          size_t left_length, const char *right, size_t right_length);
// NULL when no token has that id.
const char *vocabulary_text(const struct vocabulary *vocabulary, int32_t id, size_t *length);

uint64_t text_hash(const char *text, size_t length);

#endif
