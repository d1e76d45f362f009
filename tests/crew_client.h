// Crews of the toy model, for tests.
#ifndef COLROW_TESTS_CREW_CLIENT_H
#define COLROW_TESTS_CREW_CLIENT_H

#include "testing.h"
#include "toy_llama.h"

#include "engine/crew.h"

static inline struct crew_options crew_client_options(int n_ranks, const char *program)
{
    struct crew_options options = {
        .shape =
            {
                .n_ranks = n_ranks,
                .n_arriving = n_ranks,
                .limits = {.rows_max = 16,
                           .sequences_max = 4,
                           .logit_rows_max = 4,
                           .page_entries_max = 32},
                .kv_pages = 32,
                .vocab_size = TOY_VOCAB,
                .hidden_size = TOY_HIDDEN,
                .num_hidden_layers = TOY_LAYERS,
            },
        .board = {.compute = COMPUTE_BF16, .threads_per_rank = 1, .log_level = 3},
        .deadline_seconds = 60,
    };
    snprintf(options.program, sizeof options.program, "%s", program);
    snprintf(options.board.model, sizeof options.board.model, "%s", toy.folder);
    return options;
}

// Six tokens, and the logits of the last one.
static inline void crew_client_post(struct crew *crew)
{
    static const int32_t tokens[] = {TOY_BOS, 'h', 'e', 'l', 'l', 'o'}, pages[] = {3},
                         logit_rows[] = {5};
    static const uint8_t logit_full[] = {1};
    static const struct step_sequence sequence = {
        .n_tokens = 6, .pages = pages, .n_pages = 1, .pages_stride = 1};
    const struct step step = {
        .n_rows = 6,
        .tokens = tokens,
        .n_sequences = 1,
        .sequences = &sequence,
        .n_logits = 1,
        .logit_rows = logit_rows,
        .logit_full = logit_full,
    };
    crew_post(crew, &step);
}

#endif
