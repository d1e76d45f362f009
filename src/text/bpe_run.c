#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "text/bpe.h"
#include "text/bpe_tables.h"
#include "text/unicode.h"

enum {
    REMEMBERED_BYTES_MAX = 48, // longer words seldom come twice
    MEMORY_SLOTS = 1 << 14,    // one word each, the later replaces the earlier
    MEMORY_FROM_BYTES = 1024,  // shorter texts do not repeat themselves enough to pay for it
    SCAN_SYMBOLS_MAX = 40,     // up to here looking at all pairs beats a heap (measured)
};
#define NO_RANK UINT32_MAX

struct bpe_symbol {
    int32_t id; // -1: merged away
    uint32_t prev, next;
    uint32_t rank; // of the merge with the next symbol
    int32_t new_id;
};

struct remembered_word {
    const char *text; // NULL: free
    uint32_t hash, length;
    size_t begin; // its ids: out->ids[begin .. begin + n]
    size_t n;
};

struct bpe_memory {
    struct remembered_word words[MEMORY_SLOTS];
};

enum status bpe_run_init(struct bpe_run *run, const struct bpe *bpe, size_t text_length,
                         struct token_ids *out)
{
    assert(run && bpe && out);
    *run = (struct bpe_run){.bpe = bpe, .out = out};
    if (text_length >= MEMORY_FROM_BYTES)
        TRY(memory_new(1, sizeof *run->memory, "the words seen", &run->memory));
    return OK;
}

void bpe_run_fini(struct bpe_run *run)
{
    free(run->symbols);
    free(run->heap);
    free(run->memory);
    bytes_fini(&run->spelled);
    *run = (struct bpe_run){0};
}

// ---- merging the symbols of one segment ----

static void look_up_merge(struct bpe_run *run, uint32_t left, uint32_t right)
{
    struct bpe_symbol *symbol = &run->symbols[left];
    const struct bpe_merge *merge = NULL;
    if (right != UINT32_MAX)
        merge = bpe_find_merge(run->bpe, symbol->id, run->symbols[right].id);
    symbol->rank = merge ? merge->rank : NO_RANK;
    symbol->new_id = merge ? merge->new_id : -1;
}

// Few symbols: find the best pair by looking at all, close the gap by moving.
static void merge_by_scanning(struct bpe_run *run)
{
    struct bpe_symbol *s = run->symbols;
    size_t n = run->n_symbols;
    for (size_t i = 0; i < n; i++)
        look_up_merge(run, (uint32_t)i, i + 1 < n ? (uint32_t)i + 1 : UINT32_MAX);
    for (;;) {
        size_t best = 0;
        for (size_t i = 1; i < n; i++)
            if (s[i].rank < s[best].rank)
                best = i;
        if (s[best].rank == NO_RANK)
            break;
        s[best].id = s[best].new_id;
        memmove(s + best + 1, s + best + 2, (n - best - 2) * sizeof *s);
        n--;
        look_up_merge(run, (uint32_t)best, best + 1 < n ? (uint32_t)best + 1 : UINT32_MAX);
        if (best > 0)
            look_up_merge(run, (uint32_t)best - 1, (uint32_t)best);
    }
    run->n_symbols = n;
}

static void sift_merge_down(uint64_t *heap, size_t n, size_t at)
{
    uint64_t item = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= item)
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void heap_push(struct bpe_run *run, uint32_t rank, uint32_t position)
{
    assert(run->n_heap < run->heap_capacity);
    uint64_t item = (uint64_t)rank << 32 | position;
    size_t at = run->n_heap++;
    for (; at > 0 && run->heap[(at - 1) / 2] > item; at = (at - 1) / 2)
        run->heap[at] = run->heap[(at - 1) / 2];
    run->heap[at] = item;
}

static uint64_t heap_pop(struct bpe_run *run)
{
    assert(run->n_heap > 0);
    uint64_t top = run->heap[0];
    run->heap[0] = run->heap[--run->n_heap];
    if (run->n_heap > 0)
        sift_merge_down(run->heap, run->n_heap, 0);
    return top;
}

static void look_up_and_push(struct bpe_run *run, uint32_t position)
{
    struct bpe_symbol *symbol = &run->symbols[position];
    look_up_merge(run, position, symbol->next);
    if (symbol->rank != NO_RANK)
        heap_push(run, symbol->rank, position);
}

// Joins the symbol at `position` with the next one and looks at the two new pairs.
static void merge_at(struct bpe_run *run, uint32_t position)
{
    assert(position < run->n_symbols);
    struct bpe_symbol *left = &run->symbols[position], *right = &run->symbols[left->next];
    left->id = left->new_id;
    left->next = right->next;
    right->id = -1;
    right->rank = NO_RANK;
    if (left->next != UINT32_MAX)
        run->symbols[left->next].prev = position;
    look_up_and_push(run, position);
    if (left->prev != UINT32_MAX)
        look_up_and_push(run, left->prev);
}

// Many symbols: O(n log n), as `tokenizers` does.
static enum status merge_by_heap(struct bpe_run *run)
{
    size_t n = run->n_symbols, wanted;
    // Each of at most n - 1 merges adds two entries and takes one, after n - 1 at the beginning.
    if (n >= UINT32_MAX || !checked_mul(n, 2, &wanted))
        return fail(ERR_INPUT, "a word of %zu symbols is too long", n);
    TRY(memory_grow(&run->heap, &run->heap_capacity, wanted, sizeof *run->heap,
                    "a heap of merges"));
    run->n_heap = 0;
    for (uint32_t i = 0; i < n; i++) {
        struct bpe_symbol *symbol = &run->symbols[i];
        symbol->prev = i == 0 ? UINT32_MAX : i - 1;
        symbol->next = i + 1 == n ? UINT32_MAX : i + 1;
        look_up_merge(run, i, symbol->next);
        if (symbol->rank != NO_RANK)
            run->heap[run->n_heap++] = (uint64_t)symbol->rank << 32 | i;
    }
    for (size_t i = run->n_heap / 2; i-- > 0;)
        sift_merge_down(run->heap, run->n_heap, i);
    while (run->n_heap > 0) {
        uint64_t top = heap_pop(run);
        uint32_t position = (uint32_t)top;
        // A pair only ever grows, so an entry of a pair that is gone has another rank than what is
        // there now.
        if (run->symbols[position].rank == (uint32_t)(top >> 32))
            merge_at(run, position);
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (run->symbols[i].id >= 0)
            run->symbols[kept++].id = run->symbols[i].id;
    run->n_symbols = kept;
    return OK;
}

static enum status end_segment(struct bpe_run *run)
{
    if (run->n_symbols > SCAN_SYMBOLS_MAX)
        TRY(merge_by_heap(run));
    else if (run->n_symbols > 1)
        merge_by_scanning(run);
    for (size_t i = 0; i < run->n_symbols; i++)
        TRY(token_ids_push(run->out, run->symbols[i].id));
    run->n_symbols = 0;
    return OK;
}

// ---- characters to symbols ----

static enum status add_symbol(struct bpe_run *run, int32_t id)
{
    if (run->n_symbols == run->symbols_capacity)
        TRY(memory_grow(&run->symbols, &run->symbols_capacity, run->n_symbols + 1,
                        sizeof *run->symbols, "the symbols of a word"));
    run->symbols[run->n_symbols++].id = id;
    return OK;
}

static enum status write_unk(struct bpe_run *run)
{
    if (!run->unk_pending)
        return OK;
    run->unk_pending = false;
    return add_symbol(run, run->bpe->unk_id);
}

static bool has_byte_tokens(const struct bpe *bpe, const char *text, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (bpe->byte_ids[(unsigned char)text[i]] < 0)
            return false;
    return bpe->byte_fallback;
}

// A character that is no token: its bytes, else the unknown token, else nothing.
static enum status add_unknown(struct bpe_run *run, const char *text, size_t bytes)
{
    const struct bpe *bpe = run->bpe;
    if (has_byte_tokens(bpe, text, bytes)) {
        // `tokenizers` leaves a pending unknown token pending here, so it may come after the bytes.
        for (size_t i = 0; i < bytes; i++)
            TRY(add_symbol(run, bpe->byte_ids[(unsigned char)text[i]]));
        return OK;
    }
    if (!bpe->unk_token)
        return OK;
    if (bpe->unk_id < 0)
        return fail(ERR_INPUT,
                    "the tokenizer's \"unk_token\" \"%.60s\" is not in its \"vocab\", and the text "
                    "has \"%.*s\", which is no token",
                    bpe->unk_token, (int)bytes, text);
    if (!bpe->fuse_unk)
        TRY(write_unk(run));
    run->unk_pending = true;
    return OK;
}

static struct remembered_word *recall(struct bpe_run *run, const char *text, size_t length,
                                      bool *known)
{
    *known = false;
    if (!run->memory || length > REMEMBERED_BYTES_MAX)
        return NULL;
    uint64_t hash = text_hash(text, length);
    struct remembered_word *word = &run->memory->words[(hash >> 32) & (MEMORY_SLOTS - 1)];
    *known = word->text && word->hash == (uint32_t)hash && word->length == length &&
             memcmp(word->text, text, length) == 0;
    if (!*known)
        *word = (struct remembered_word){
            .text = NULL, .hash = (uint32_t)hash, .length = (uint32_t)length};
    return word;
}

static enum status repeat(struct bpe_run *run, const struct remembered_word *word)
{
    assert(run && word);
    for (size_t i = 0; i < word->n; i++)
        TRY(token_ids_push(run->out, run->out->ids[word->begin + i]));
    return OK;
}

static enum status add_character_symbols(struct bpe_run *run, const char *text, size_t length)
{
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        int32_t id = bpe_char_id(run->bpe, code, text + i, bytes);
        if (id < 0) {
            TRY(add_unknown(run, text + i, bytes));
            continue;
        }
        TRY(write_unk(run));
        TRY(add_symbol(run, id));
    }
    return OK;
}

// The character at text[i] as the vocabulary spells it, into run->spelled.
static enum status spell(struct bpe_run *run, const char *text, size_t i, size_t bytes,
                         size_t length)
{
    const struct bytes *prefix = &run->bpe->continuing_subword_prefix,
                       *suffix = &run->bpe->end_of_word_suffix;
    bytes_clear(&run->spelled);
    if (i > 0)
        TRY(bytes_append(&run->spelled, prefix->data, prefix->length));
    TRY(bytes_append(&run->spelled, text + i, bytes));
    if (i + bytes == length)
        TRY(bytes_append(&run->spelled, suffix->data, suffix->length));
    return OK;
}

// The word of a model whose characters have a prefix or a suffix.
static enum status add_spelled_symbols(struct bpe_run *run, const char *text, size_t length)
{
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        TRY(spell(run, text, i, bytes, length));
        int32_t id = vocabulary_find(&run->bpe->vocabulary, run->spelled.data, run->spelled.length);
        if (id < 0) {
            TRY(add_unknown(run, run->spelled.data, run->spelled.length));
            continue;
        }
        TRY(write_unk(run));
        TRY(add_symbol(run, id));
    }
    return OK;
}

// Text between two places where nothing can be joined: encoded by itself.
static enum status encode_segment(struct bpe_run *run, const char *text, size_t length)
{
    bool known;
    struct remembered_word *word = recall(run, text, length, &known);
    if (known)
        return repeat(run, word);
    size_t begin = run->out->n;
    if (run->bpe->continuing_subword_prefix.length > 0 || run->bpe->end_of_word_suffix.length > 0)
        TRY(add_spelled_symbols(run, text, length));
    else
        TRY(add_character_symbols(run, text, length));
    TRY(write_unk(run));
    TRY(end_segment(run));
    if (word) {
        word->text = text;
        word->begin = begin;
        word->n = run->out->n - begin;
    }
    return OK;
}

// A long word, such as a whole text of a SentencePiece-style model, falls into segments: the result
// is the same, because a merge across the cut would have to join the two characters there, and no
// merge does.
// Characters that are no tokens count as if they were not there, which some are not in the end:
// they may fuse, or be dropped, and then the characters around them are neighbours.
static enum status encode_in_segments(struct bpe_run *run, const char *text, size_t length)
{
    uint32_t before = 0, code;
    size_t begin = 0;
    for (size_t i = 0, bytes; i < length; i += bytes) {
        utf8_next(text + i, length - i, &code, &bytes);
        if (bpe_char_id(run->bpe, code, text + i, bytes) < 0)
            continue;
        if (i > 0 && !bpe_may_join(run->bpe, before, code)) {
            TRY(encode_segment(run, text + begin, i - begin));
            begin = i;
        }
        before = code;
    }
    return encode_segment(run, text + begin, length - begin);
}

enum status bpe_run_word(struct bpe_run *run, const char *word, size_t length)
{
    assert(run && run->bpe && run->out && (word || length == 0));
    if (length == 0)
        return OK;
    if (run->bpe->ignore_merges) {
        int32_t id = vocabulary_find(&run->bpe->vocabulary, word, length);
        if (id >= 0)
            return token_ids_push(run->out, id);
    }
    if (length > REMEMBERED_BYTES_MAX && run->bpe->may_cut)
        return encode_in_segments(run, word, length);
    return encode_segment(run, word, length);
}
