// How much memory the group takes and how many KV pages that leaves, computed before anything is
// started.
#ifndef COLROW_ENGINE_BUDGET_H
#define COLROW_ENGINE_BUDGET_H

#include <stdint.h>

#include "base/status.h"
#include "model/plan.h"

struct budget_request {
    const struct plan *plan;
    const struct checkpoint *checkpoint;
    int rows_max, logit_rows_max, n_threads;
    int max_num_seqs;
    int64_t max_model_len;
    uint64_t available_bytes; // that this machine has free
    double utilization;       // of these
    int64_t kv_cache_memory;  // bytes for KV over all ranks; 0: what the others leave
    uint64_t shared_bytes;    // the board and what the collectives touch
    uint64_t front_end_bytes; // resident already, so no longer among those that are free
};

// What a rank takes beside what its plan says: program, libraries, plan, names of tensors.
enum { RANK_PROCESS_BYTES = 8 << 20 };

struct budget {
    struct plan_memory ranks[COMM_RANKS_MAX];
    int n_ranks;
    uint64_t available_bytes, allowed_bytes;
    uint64_t fixed_bytes; // over all ranks: weights, scratch and processes; and what they share
    uint64_t kv_bytes;    // over all ranks: pages
    uint64_t shared_bytes, front_end_bytes;
    uint64_t kv_page_bytes; // of one page, over all ranks
    uint64_t file_bytes;    // to be read, over all ranks
    int64_t kv_pages;
};

// A pool without room for one sequence of max_model_len is refused, with the numbers and what to
// change.
enum status budget_compute(const struct budget_request *request,
                           struct budget *out) STATUS_MUST_USE;
// The table of all ranks, on stderr.
void budget_print(const struct budget *budget);

#endif
