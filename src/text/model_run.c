#include "text/model_run.h"

#include <assert.h>

enum status model_run_init(struct model_run *run, const struct tokenizer *tokenizer,
                           size_t text_length, struct token_ids *out)
{
    assert(run && tokenizer && out);
    *run = (struct model_run){.tokenizer = tokenizer, .out = out};
    switch (tokenizer->model) {
    case MODEL_BPE:
        return bpe_run_init(&run->bpe, &tokenizer->bpe, text_length, out);
    case MODEL_UNIGRAM:
        unigram_run_init(&run->unigram, &tokenizer->unigram, out);
        break;
    case MODEL_WORD_PIECE:
        break;
    }
    return OK;
}

void model_run_fini(struct model_run *run)
{
    bpe_run_fini(&run->bpe);
    unigram_run_fini(&run->unigram);
    *run = (struct model_run){0};
}

enum status model_run_word(struct model_run *run, const char *word, size_t length)
{
    assert(run && run->tokenizer);
    switch (run->tokenizer->model) {
    case MODEL_BPE:
        return bpe_run_word(&run->bpe, word, length);
    case MODEL_UNIGRAM:
        return unigram_run_word(&run->unigram, word, length);
    case MODEL_WORD_PIECE:
        return word_piece_encode(&run->tokenizer->word_piece, word, length, run->out);
    }
    return fail(ERR_INTERNAL, "unknown tokenizer model");
}
