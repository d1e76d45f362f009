// Unigram as HuggingFace's `tokenizers` does it (models/unigram): of all ways to cut a word into
// pieces the one whose scores have the largest sum.
#ifndef COLROW_TEXT_UNIGRAM_H
#define COLROW_TEXT_UNIGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/piece_trie.h"
#include "text/token_ids.h"
#include "text/vocabulary.h"

struct unigram {
    struct vocabulary vocabulary; // a text that comes again belongs to the later id
    double *scores;               // [vocabulary.n_ids]
    size_t scores_capacity;
    struct piece_trie trie;
    double score_least, unk_score;
    int32_t unk_id;        // -1: none; an unknown character is an error then
    int32_t byte_ids[256]; // "<0x00>" to "<0xFF>", -1: none
    bool byte_fallback;    // unknown characters become bytes where all of them have tokens
};

void unigram_init(struct unigram *unigram);
void unigram_fini(struct unigram *unigram);

// Building, in this order: pieces, which get the ids 0, 1, 2, ...; unk_id and byte_fallback;
// unigram_pieces_end(). `where`: file and key, for messages.
enum status unigram_add_piece(struct unigram *unigram, const char *where, const char *text,
                              size_t length, double score) STATUS_MUST_USE;
enum status unigram_pieces_end(struct unigram *unigram, const char *where) STATUS_MUST_USE;

// The encoding of many words, with scratch memory.
struct unigram_run {
    const struct unigram *unigram;
    struct token_ids *out;
    struct unigram_node *nodes; // the places of the word at hand whose pieces are not decided yet
    size_t capacity;
    size_t unk_begin, unk_end; // of the word: unknown text not yet written; empty: none
};
void unigram_run_init(struct unigram_run *run, const struct unigram *unigram,
                      struct token_ids *out);
void unigram_run_fini(struct unigram_run *run);
// Appends the ids of one word (valid UTF-8).
enum status unigram_run_word(struct unigram_run *run, const char *word,
                             size_t length) STATUS_MUST_USE;

#endif
