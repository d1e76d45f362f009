// Byte-pair encoding as HuggingFace's `tokenizers` does it (models/bpe): a word becomes characters
// (or bytes, or the unknown token), and the neighbours whose merge stands earliest in the list are
// joined, leftmost first, until none is left.
#ifndef COLROW_TEXT_BPE_H
#define COLROW_TEXT_BPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/token_ids.h"
#include "text/vocabulary.h"

enum {
    BPE_MERGES_MAX = 8 * 1000 * 1000,
    BPE_CHARS = 0x10000, // characters whose ids stand in a table
    BPE_BATCH = 32,
};

struct bpe {
    struct vocabulary vocabulary;
    struct bpe_merge *listed; // [n_ranks], in the order in which they came; NULL once all are there
    size_t n_ranks, listed_capacity;
    struct bpe_merge *merges; // open addressing, a power of two
    size_t n_merge_slots, n_merges;
    int32_t made_last; // the token that the last merge makes
    uint64_t *joints;  // set of (last character, first character) of the two sides of all merges
    size_t n_joint_slots, n_joints;
    bool may_cut;          // no merge touches the byte or unknown tokens: `joints` says all
    int32_t *char_ids;     // [BPE_CHARS], -1: not in the vocabulary
    int32_t byte_ids[256]; // "<0x00>" to "<0xFF>", -1: none
    char *unk_token;       // NULL: none
    int32_t unk_id;        // -1: none
    // The vocabulary has characters with this before all but a word's first one, and that behind
    // its last one; both are usually empty.
    struct bytes continuing_subword_prefix, end_of_word_suffix;
    bool fuse_unk, byte_fallback, ignore_merges;
};

void bpe_init(struct bpe *bpe);
void bpe_fini(struct bpe *bpe);

// Building, in this order: options, tokens (into `vocabulary`), bpe_vocabulary_ends(), merges in
// the order of their rank, bpe_merges_end().
enum status bpe_vocabulary_ends(struct bpe *bpe) STATUS_MUST_USE;
struct bpe_merge_text {
    const char *left, *right;
    size_t left_length, right_length;
};
// At most BPE_BATCH: looked up together, since each by itself would wait for memory.
enum status bpe_add_merges(struct bpe *bpe, const char *where, const struct bpe_merge_text *merges,
                           size_t n) STATUS_MUST_USE;
enum status bpe_merges_end(struct bpe *bpe) STATUS_MUST_USE;

// The encoding of many words: scratch memory, and a memory of words seen.
struct bpe_run {
    const struct bpe *bpe;
    struct token_ids *out;
    struct bpe_symbol *symbols; // of the segment at hand
    size_t n_symbols, symbols_capacity;
    uint64_t *heap; // rank << 32 | position, smallest first
    size_t n_heap, heap_capacity;
    struct bpe_memory *memory; // NULL for short texts
    struct bytes spelled;      // a character with prefix or suffix
    bool unk_pending;
};
// `text_length`: of all words together; it decides whether words are remembered.
enum status bpe_run_init(struct bpe_run *run, const struct bpe *bpe, size_t text_length,
                         struct token_ids *out) STATUS_MUST_USE;
void bpe_run_fini(struct bpe_run *run);
// Appends the ids of one word (valid UTF-8). The text must stay where it is until bpe_run_fini().
enum status bpe_run_word(struct bpe_run *run, const char *word, size_t length) STATUS_MUST_USE;

#endif
