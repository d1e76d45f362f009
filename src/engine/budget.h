// How much memory the group takes and how many KV pages that leaves, computed before anything is
// started.
#ifndef COLROW_ENGINE_BUDGET_H
#define COLROW_ENGINE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "comm/cluster_frame.h"
#include "device/device.h"
#include "model/plan.h"

// A machine and what its ranks may take of it.
struct budget_node {
    char name[96]; // "node 1 (10.0.0.2)"; "": there is one
    int first_rank, n_ranks;
    struct device_memory device; // as far as its processes may use it
    double utilization;          // of device.total
    int64_t kv_cache_memory;     // bytes for KV over its ranks; 0: what the others leave
    uint64_t front_end_bytes;    // resident already, so no longer among those that are free
};

struct budget_request {
    const struct plan *plan;
    const struct checkpoint *checkpoint;
    int rows_max, logit_rows_max, n_threads;
    int max_num_seqs;
    int64_t max_model_len;
    bool fit_model_len;              // a shorter one is taken where that does not fit
    bool prefix_caching;             // then pages beyond what all sequences can use are of use
    double kv_offloading_size;       // GiB of host pages over a machine's ranks
    uint64_t shared_bytes;           // the board and what the collectives touch, on each machine
    const struct budget_node *nodes; // [n_nodes], in the order of their ranks; this one first
    int n_nodes;
};

// What a rank takes beside what its plan says: program, libraries, plan, names of tensors.
enum { RANK_PROCESS_BYTES = 8 << 20 };
// Of what is free, so much may be taken at most, whatever the share of all is: others live here.
#define BUDGET_FREE_PART 0.95

// What one machine gives; of the bytes, those that are there.
struct budget_part {
    const struct budget_node *node; // borrowed
    uint64_t allowed_bytes;         // for everything of colrow
    uint64_t fixed_bytes;           // all but pages
    uint64_t kv_bytes;              // pages, without host pages
    uint64_t front_end_bytes;       // with what is kept of all pages
    uint64_t kv_page_bytes;         // of one page
};

struct budget {
    struct plan_memory ranks[COMM_RANKS_MAX];
    int n_ranks; // of all stages
    int n_stages;
    struct range layers[COMM_RANKS_MAX]; // of each rank's stage
    struct budget_part parts[CLUSTER_NODES_MAX];
    int n_parts;
    uint64_t shared_bytes;
    uint64_t file_bytes;          // to be read, over all ranks
    int64_t kv_pages, host_pages; // as many as the machine with the least room has
    int32_t kv_groups;            // of layers: a token has a page in each (model/kv_layout.h)
    int64_t max_model_len;        // as requested, or what fits
    int64_t sequence_pages;       // that one of max_model_len holds at most
    int64_t sequence_state_pages; // ... of these, its states'
};

// Tokens that all pages hold together, each in all its layers, in sequences of max_model_len, whose
// states take their part.
int64_t budget_kv_tokens(const struct budget *budget);

// How many sequences of max_model_len fit at once.
double budget_full_requests(const struct budget *budget);

// A pool without room for one sequence of max_model_len is refused, with the numbers and what to
// change.
enum status budget_compute(const struct budget_request *request,
                           struct budget *out) STATUS_MUST_USE;
// The table of all ranks, on stderr; or all of it as one line of JSON.
void budget_print(const struct budget *budget);
void budget_print_json(const struct budget *budget);

#endif
