#include "text/bpe.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/bpe_tables.h"
#include "text/unicode.h"

void bpe_init(struct bpe *bpe)
{
    *bpe = (struct bpe){.unk_id = -1, .made_last = -1, .may_cut = true};
    vocabulary_init(&bpe->vocabulary);
    memset(bpe->byte_ids, 0xFF, sizeof bpe->byte_ids);
}

void bpe_fini(struct bpe *bpe)
{
    vocabulary_fini(&bpe->vocabulary);
    free(bpe->listed);
    free(bpe->merges);
    free(bpe->joints);
    free(bpe->char_ids);
    free(bpe->unk_token);
    bytes_fini(&bpe->continuing_subword_prefix);
    bytes_fini(&bpe->end_of_word_suffix);
    bpe_init(bpe);
}

// ---- tokens ----

static enum status find_chars(struct bpe *bpe)
{
    const struct vocabulary *v = &bpe->vocabulary;
    TRY(memory_new(BPE_CHARS, sizeof *bpe->char_ids, "the table of characters", &bpe->char_ids));
    memset(bpe->char_ids, 0xFF, BPE_CHARS * sizeof *bpe->char_ids);
    for (size_t id = 0; id < v->n_ids; id++) {
        uint32_t code;
        size_t length = 0, bytes;
        const char *text = vocabulary_text(v, (int32_t)id, &length);
        if (length > 0 && length <= UTF8_BYTES_MAX &&
            utf8_next(text, length, &code, &bytes) == UTF8_VALID && bytes == length &&
            code < BPE_CHARS)
            bpe->char_ids[code] = vocabulary_find(v, text, length);
    }
    return OK;
}

enum status bpe_vocabulary_ends(struct bpe *bpe)
{
    assert(bpe && bpe->n_ranks == 0 && !bpe->char_ids); // merges come after
    TRY(find_chars(bpe));
    for (unsigned byte = 0; byte < 256 && bpe->byte_fallback; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        bpe->byte_ids[byte] = vocabulary_find(&bpe->vocabulary, name, 6);
    }
    // What a character is depends on its place in the word then.
    if (bpe->continuing_subword_prefix.length > 0 || bpe->end_of_word_suffix.length > 0)
        bpe->may_cut = false;
    if (bpe->unk_token)
        bpe->unk_id = vocabulary_find(&bpe->vocabulary, bpe->unk_token, strlen(bpe->unk_token));
    return OK;
}

int32_t bpe_char_id(const struct bpe *bpe, uint32_t code, const char *text, size_t bytes)
{
    if (code < BPE_CHARS)
        return bpe->char_ids ? bpe->char_ids[code] : -1;
    return vocabulary_find(&bpe->vocabulary, text, bytes);
}

// ---- merges ----

static size_t spread(uint64_t key, size_t n_slots)
{
    assert(n_slots > 0 && (n_slots & (n_slots - 1)) == 0);
    uint64_t hash = key * 0x9E3779B97F4A7C15u;
    return (size_t)(hash ^ hash >> 32) & (n_slots - 1);
}

static uint64_t merge_key(int32_t left, int32_t right)
{
    return ((uint64_t)left << 32 | (uint32_t)right) + 1;
}

static struct bpe_merge *merge_slot(const struct bpe *bpe, uint64_t key)
{
    size_t i = spread(key, bpe->n_merge_slots);
    while (bpe->merges[i].key_plus_1 != 0 && bpe->merges[i].key_plus_1 != key + 1)
        i = (i + 1) & (bpe->n_merge_slots - 1);
    return &bpe->merges[i];
}

static uint64_t *joint_slot(const struct bpe *bpe, uint64_t key)
{
    size_t i = spread(key, bpe->n_joint_slots);
    while (bpe->joints[i] != 0 && bpe->joints[i] != key + 1)
        i = (i + 1) & (bpe->n_joint_slots - 1);
    return &bpe->joints[i];
}

static enum status grow_joints(struct bpe *bpe)
{
    uint64_t *old = bpe->joints, *fresh;
    size_t n_old = bpe->n_joint_slots, wanted = n_old ? n_old * 2 : 1024;
    TRY(memory_new(wanted, sizeof *fresh, "the table of neighbours", &fresh));
    bpe->joints = fresh;
    bpe->n_joint_slots = wanted;
    for (size_t i = 0; i < n_old; i++)
        if (old[i] != 0)
            *joint_slot(bpe, old[i] - 1) = old[i];
    free(old);
    return OK;
}

static uint64_t joint_key(uint32_t last, uint32_t first)
{
    return (uint64_t)last << 32 | first;
}

static bool is_byte_token(const char *text, size_t length)
{
    return length == 6 && memcmp(text, "<0x", 3) == 0 && text[5] == '>';
}

// Remembers which characters this merge brings together.
static enum status add_joint(struct bpe *bpe, const char *left, size_t left_length, int32_t left_id,
                             const char *right, size_t right_length, int32_t right_id)
{
    // A byte or the unknown token has no character of its own: such a merge could join anything.
    if (left_length == 0 || right_length == 0 || left_id == bpe->unk_id ||
        right_id == bpe->unk_id ||
        (bpe->byte_fallback &&
         (is_byte_token(left, left_length) || is_byte_token(right, right_length))))
        bpe->may_cut = false;
    if (!bpe->may_cut)
        return OK;
    if (bpe->n_joints * 2 >= bpe->n_joint_slots)
        TRY(grow_joints(bpe));
    uint32_t last, first;
    size_t bytes;
    utf8_last(left, left_length, &last);
    utf8_next(right, right_length, &first, &bytes);
    uint64_t key = joint_key(last, first), *slot = joint_slot(bpe, key);
    bpe->n_joints += *slot == 0;
    *slot = key + 1;
    return OK;
}

static enum status unknown_token(const char *where, size_t rank, const char *text, size_t length)
{
    return fail(ERR_INPUT, "%s: merge %zu has or makes token \"%s\"; expected one of \"vocab\"",
                where, rank, text_show(text, length));
}

// The token that two others make, by its text.
static enum status find_joined(const struct bpe *bpe, const char *where, size_t rank,
                               const struct bpe_merge_text *merge, int32_t *id)
{
    char both[256], *joined = both;
    size_t length = merge->left_length + merge->right_length;
    if (length >= sizeof both)
        TRY(memory_new(length + 1, 1, "a token", &joined));
    memcpy(joined, merge->left, merge->left_length);
    memcpy(joined + merge->left_length, merge->right, merge->right_length);
    *id = vocabulary_find(&bpe->vocabulary, joined, length);
    enum status status = *id < 0 ? unknown_token(where, rank, joined, length) : OK;
    if (joined != both)
        free(joined);
    return status;
}

// Lists of merges go through the vocabulary in order: most make the token that the one before
// makes, or the next one. That is seen without a search.
static enum status find_made(const struct bpe *bpe, const char *where, size_t rank,
                             const struct bpe_merge_text *merge, int32_t *id)
{
    for (*id = bpe->made_last; *id <= bpe->made_last + 1; ++*id)
        if (vocabulary_is_joined(&bpe->vocabulary, *id, merge->left, merge->left_length,
                                 merge->right, merge->right_length))
            return OK;
    return find_joined(bpe, where, rank, merge, id);
}

static enum status add_merge(struct bpe *bpe, const char *where, const struct bpe_merge_text *merge,
                             int32_t left, int32_t right)
{
    size_t rank = bpe->n_ranks;
    int32_t made;
    if (rank >= BPE_MERGES_MAX)
        return fail(ERR_INPUT, "%s: has too many entries; at most %d are allowed", where,
                    BPE_MERGES_MAX);
    if (left < 0)
        return unknown_token(where, rank, merge->left, merge->left_length);
    if (right < 0)
        return unknown_token(where, rank, merge->right, merge->right_length);
    struct bpe_merge_text sides = *merge; // of the right one without its prefix
    size_t prefix = bpe->continuing_subword_prefix.length;
    if (sides.right_length < prefix)
        return fail(
            ERR_INPUT, "%s: merge %zu has \"%s\" on the right; expected a token with \"%s\"", where,
            rank, text_show(sides.right, sides.right_length), bpe->continuing_subword_prefix.data);
    sides.right += prefix;
    sides.right_length -= prefix;
    TRY(find_made(bpe, where, rank, &sides, &made));
    TRY(memory_grow(&bpe->listed, &bpe->listed_capacity, rank + 1, sizeof *bpe->listed,
                    "the merges"));
    bpe->listed[bpe->n_ranks++] = (struct bpe_merge){merge_key(left, right), (uint32_t)rank, made};
    bpe->made_last = made;
    return add_joint(bpe, merge->left, merge->left_length, left, merge->right, merge->right_length,
                     right);
}

enum status bpe_add_merges(struct bpe *bpe, const char *where, const struct bpe_merge_text *merges,
                           size_t n)
{
    assert(bpe && where && (merges || n == 0) && n <= BPE_BATCH);
    struct vocabulary_query sides[2 * BPE_BATCH];
    for (size_t i = 0; i < n; i++) {
        sides[2 * i].text = merges[i].left;
        sides[2 * i].length = merges[i].left_length;
        sides[2 * i + 1].text = merges[i].right;
        sides[2 * i + 1].length = merges[i].right_length;
    }
    vocabulary_find_all(&bpe->vocabulary, sides, 2 * n);
    for (size_t i = 0; i < n; i++)
        TRY(add_merge(bpe, where, &merges[i], sides[2 * i].id, sides[2 * i + 1].id));
    return OK;
}

// The table, at once and of the right size. Of a merge that is given twice the later one counts, as
// in `tokenizers`.
enum status bpe_merges_end(struct bpe *bpe)
{
    enum { AHEAD = 16 };
    assert(bpe && !bpe->merges);
    size_t wanted = 16, n = bpe->n_ranks;
    while (wanted < n + n / 2)
        wanted *= 2;
    if (n == 0)
        return OK;
    TRY(memory_new(wanted, sizeof *bpe->merges, "the table of merges", &bpe->merges));
    bpe->n_merge_slots = wanted;
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(&bpe->merges[spread(bpe->listed[i + AHEAD].key_plus_1 - 1, wanted)]);
        struct bpe_merge *slot = merge_slot(bpe, bpe->listed[i].key_plus_1 - 1);
        bpe->n_merges += slot->key_plus_1 == 0;
        *slot = bpe->listed[i];
    }
    free(bpe->listed);
    bpe->listed = NULL;
    return OK;
}

const struct bpe_merge *bpe_find_merge(const struct bpe *bpe, int32_t left, int32_t right)
{
    if (bpe->n_merges == 0)
        return NULL;
    const struct bpe_merge *merge = merge_slot(bpe, merge_key(left, right) - 1);
    return merge->key_plus_1 ? merge : NULL;
}

bool bpe_may_join(const struct bpe *bpe, uint32_t last, uint32_t first)
{
    return bpe->n_joints > 0 && *joint_slot(bpe, joint_key(last, first)) != 0;
}
