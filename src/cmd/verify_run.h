// One layout of `colrow verify`: the same tokens through an engine of its own, and where two runs
// part.
#ifndef COLROW_CMD_VERIFY_RUN_H
#define COLROW_CMD_VERIFY_RUN_H

#include <colrow/colrow.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"
#include "cmd/cluster_flags.h"
#include "cmd/engine_flags.h"

// What may change no bit.
struct verify_layout {
    int tp, pp, dcp, nodes, chunk, threads, batch;
    const char *isa;
    int number; // how manieth layout of the command, in all groups
};

// What runs: the same for all layouts that are compared. The first run fills what is zero.
struct verify_subject {
    struct engine_flags engine; // dtype and product order among them
    const char *model;
    int32_t *ids; // [n_ids] the prompt, heap memory; NULL: a fixed walk through the vocabulary
    int n_ids, n_generate;
    struct colrow_info info;
    const struct cluster_plan *plan; // the nodes that a layout may be shared by
};

// What one layout computed. Rows are positions: the prompt's, then those of the generated tokens.
struct verify_run {
    float *hidden; // [n_layers + 1][rows_max][hidden_size]; NULL in a batch
    float *logits; // [n_ids][vocab_size]
    int32_t *ids;  // greedy continuation
    int n_ids, rows, n_logits;
    // In a batch, else NULL: the same prompt once more, with what the prefix cache knows of it.
    int32_t *again;             // its continuation
    struct colrow_logprob *log; // [n_generate][VERIFY_LOGPROBS] of it
    int n_again, n_cached;      // n_cached: tokens of the prompt that were not computed again
    enum status status;
};

enum { VERIFY_LOGPROBS = 21 }; // the chosen token's, and of 20 more
// The flags of a layout's engine.
enum status verify_flags_of(const struct verify_subject *subject,
                            const struct verify_layout *layout,
                            struct engine_flags *out) STATUS_MUST_USE;
enum status verify_run(struct verify_subject *subject, const struct verify_layout *layout,
                       struct verify_run *out) STATUS_MUST_USE;
void verify_run_free(struct verify_run *run);
// The first place where two runs part, as text; false when they are identical.
bool verify_differ(const struct verify_subject *subject, const struct verify_run *a,
                   const struct verify_run *b, char *text, size_t bytes);

#endif
