#include "text/made_merges.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

struct cut {
    int32_t left, right; // ids of the halves
    size_t at;
};

struct merge_maker {
    struct bpe *bpe;
    const char *where;
    const struct merge_rules *rules;
    struct cut *cuts; // of the token at hand
    size_t n, capacity;
    struct bpe_merge_text batch[BPE_BATCH];
    size_t n_batch;
};

static enum status flush_made(struct merge_maker *maker)
{
    TRY(bpe_add_merges(maker->bpe, maker->where, maker->batch, maker->n_batch));
    maker->n_batch = 0;
    return OK;
}

static enum status keep_cuts(struct merge_maker *maker, const struct vocabulary_query *halves,
                             size_t n)
{
    const bool *usable = maker->rules->usable;
    for (size_t i = 0; i < n; i += 2) {
        int32_t left = halves[i].id, right = halves[i + 1].id;
        if (left < 0 || right < 0 || (usable && !(usable[left] && usable[right])))
            continue;
        TRY(memory_grow(&maker->cuts, &maker->capacity, maker->n + 1, sizeof *maker->cuts,
                        "the merges"));
        maker->cuts[maker->n++] = (struct cut){left, right, halves[i].length};
    }
    return OK;
}

// Between two characters, both halves in the vocabulary.
static enum status find_halves(struct merge_maker *maker, const char *text, size_t length)
{
    struct vocabulary_query halves[BPE_BATCH];
    size_t n = 0;
    maker->n = 0;
    for (size_t i = 1; i < length; i++) {
        if (((unsigned char)text[i] & 0xC0) == 0x80)
            continue;
        halves[n++] = (struct vocabulary_query){.text = text, .length = i};
        halves[n++] = (struct vocabulary_query){.text = text + i, .length = length - i};
        if (n < BPE_BATCH)
            continue;
        vocabulary_find_all(&maker->bpe->vocabulary, halves, n);
        TRY(keep_cuts(maker, halves, n));
        n = 0;
    }
    vocabulary_find_all(&maker->bpe->vocabulary, halves, n);
    return keep_cuts(maker, halves, n);
}

static int compare_cuts(const void *a, const void *b)
{
    const struct cut *x = a, *y = b;
    if (x->left != y->left)
        return x->left < y->left ? -1 : 1;
    return (x->right > y->right) - (x->right < y->right);
}

static enum status make_of_token(struct merge_maker *maker, int32_t id)
{
    size_t length;
    const char *text = vocabulary_text(&maker->bpe->vocabulary, id, &length);
    if (!text)
        return OK;
    TRY(find_halves(maker, text, length));
    if (maker->rules->by_id && maker->n > 1)
        qsort(maker->cuts, maker->n, sizeof *maker->cuts, compare_cuts);
    for (size_t i = 0; i < maker->n; i++) {
        size_t at = maker->cuts[i].at;
        maker->batch[maker->n_batch++] = (struct bpe_merge_text){text, text + at, at, length - at};
        if (maker->n_batch == BPE_BATCH)
            TRY(flush_made(maker));
    }
    return OK;
}

enum status make_merges(struct bpe *bpe, const char *where, const struct merge_rules *rules)
{
    assert(bpe && where && rules && bpe->n_ranks == 0);
    struct merge_maker maker = {.bpe = bpe, .where = where, .rules = rules};
    size_t n = rules->tokens ? rules->n_tokens : bpe->vocabulary.n_ids;
    enum status status;
    for (size_t i = 0; i < n; i++)
        TRY_DONE(make_of_token(&maker, rules->tokens ? rules->tokens[i] : (int32_t)i));
    TRY_DONE(flush_made(&maker));
    status = bpe_merges_end(bpe);
done:
    free(maker.cuts);
    return status;
}
