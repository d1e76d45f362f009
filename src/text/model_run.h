// Words to ids, whichever model a tokenizer has.
#ifndef COLROW_TEXT_MODEL_RUN_H
#define COLROW_TEXT_MODEL_RUN_H

#include "text/tokenizer_parts.h"

// The encoding of many words, with scratch memory.
struct model_run {
    const struct tokenizer *tokenizer;
    struct token_ids *out;
    struct bpe_run bpe;
    struct unigram_run unigram;
};
// `text_length`: of all words together.
enum status model_run_init(struct model_run *run, const struct tokenizer *tokenizer,
                           size_t text_length, struct token_ids *out) STATUS_MUST_USE;
void model_run_fini(struct model_run *run);
// Appends the ids of one word (valid UTF-8). The text must stay where it is until
// model_run_fini().
enum status model_run_word(struct model_run *run, const char *word, size_t length) STATUS_MUST_USE;

#endif
