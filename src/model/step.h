// A step: one forward pass over a batch, as the engine plans it and every rank executes it. Prefill
// chunks and decode tokens are the same thing here: a sequence contributes `n_tokens` new tokens
// that follow `position` older ones.
#ifndef COLROW_MODEL_STEP_H
#define COLROW_MODEL_STEP_H

#include <stdbool.h>
#include <stdint.h>

struct step_sequence {
    int32_t first_row, n_tokens; // rows [first_row, first_row + n_tokens) of the batch
    int64_t position;            // of its first new token
    // Page ids, of each group of layers (model/kv_layout.h): [groups][n_pages], enough for position
    // + n_tokens. Those behind a group's window are not looked at.
    const int32_t *pages;
    int32_t n_pages, pages_stride; // from one group's to the next one's
    // Page ids of its states (model/kv_layout.h): [n_states][state_pages], from the one that is
    // read before its first new token (begun, where that is at position 0) to the one of its last.
    const int32_t *states;
    int32_t n_states;
    // Its tokens in the end, of which those before may be earlier steps', are more than
    // model_config_long_length(). The same in all steps that its pages have seen.
    bool is_long;
};

// A page that moves before anything is computed. Numbers from the model's kv_pages on are pages in
// host memory; one of the two is.
struct step_copy {
    int32_t from, to;
};

struct step {
    int64_t number;
    int32_t n_rows; // tokens in the batch
    const int32_t *tokens;
    int32_t n_sequences;
    const struct step_sequence *sequences;
    int32_t n_logits;          // rows whose next-token logits are wanted
    const int32_t *logit_rows; // [n_logits], ascending
    const uint8_t *logit_full; // [n_logits] 1: all logits; 0: only the largest (greedy)
    int32_t n_copies;
    const struct step_copy *copies; // [n_copies], in this order
    bool capture; // also hand out the residual stream after each layer (colrow verify)
};

// Where a rank puts what it found; the memory is shared by the ranks of one machine and the
// front-end.
struct step_best {
    float value;
    int32_t id;
};
struct step_results {
    float *logits; // [logits_rows_max][vocab_size]; each rank writes its columns of full rows
    struct step_best *best; // [n_ranks][logit_rows_max]: each rank's own largest
    int32_t logit_rows_max;
    float *capture; // [num_hidden_layers + 1][rows_max][hidden_size], written by rank 0; or NULL
    int32_t capture_rows_max;
};

#endif
