// One layout of `colrow verify`: the same tokens through an engine of its own, and where two runs
// part.
#ifndef COLROW_CMD_VERIFY_RUN_H
#define COLROW_CMD_VERIFY_RUN_H

#include <colrow/colrow.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cmd/engine_flags.h"

// What may change no bit.
struct verify_layout {
    int tp, pp, chunk, threads, batch;
    const char *isa;
};

// What runs: the same for all layouts that are compared. The first run fills what is zero.
struct verify_subject {
    struct engine_flags engine; // dtype and product order among them
    const char *model;
    int32_t *ids; // [n_ids] the prompt, heap memory; NULL: a fixed walk through the vocabulary
    int n_ids, n_generate;
    struct colrow_info info;
};

// What one layout computed. Rows are positions: the prompt's, then those of the generated tokens.
struct verify_run {
    float *hidden; // [n_layers + 1][rows_max][hidden_size]; NULL in a batch
    float *logits; // [n_ids][vocab_size]
    int32_t *ids;  // greedy continuation
    int n_ids, rows, n_logits;
    enum status status;
};

enum status verify_run(struct verify_subject *subject, const struct verify_layout *layout,
                       struct verify_run *out) STATUS_MUST_USE;
void verify_run_free(struct verify_run *run);
// The first place where two runs part, as text; false when they are identical.
bool verify_differ(const struct verify_subject *subject, const struct verify_run *a,
                   const struct verify_run *b, char *text, size_t bytes);

#endif
