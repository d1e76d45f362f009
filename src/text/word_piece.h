// WordPiece and WordLevel as HuggingFace's `tokenizers` does them (models/wordpiece, wordlevel). A
// word is cut from the left into the longest tokens there are, of which all but the first have a
// prefix ("##"); where that does not work out the whole word is unknown. WordLevel: a word is a
// token or unknown.
#ifndef COLROW_TEXT_WORD_PIECE_H
#define COLROW_TEXT_WORD_PIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/piece_trie.h"
#include "text/token_ids.h"
#include "text/vocabulary.h"

struct word_piece {
    struct vocabulary vocabulary;
    struct piece_trie trie;
    struct bytes unk_token, prefix;
    int32_t unk_id;        // -1: not in the vocabulary, an unknown word is an error then
    uint32_t continuation; // the trie's node behind the prefix
    bool continues;        // some token begins with the prefix
    bool whole_words;      // WordLevel
    int64_t chars_max;     // longer words are unknown
};

void word_piece_init(struct word_piece *model);
void word_piece_fini(struct word_piece *model);
// After the vocabulary is filled and unk_token, prefix, whole_words, chars_max are set.
enum status word_piece_end(struct word_piece *model) STATUS_MUST_USE;
// Appends the ids of one word (valid UTF-8).
enum status word_piece_encode(const struct word_piece *model, const char *word, size_t length,
                              struct token_ids *out) STATUS_MUST_USE;

#endif
