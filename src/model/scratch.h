// The activations of a step: one block, laid out once for the largest step.
#ifndef COLROW_MODEL_SCRATCH_H
#define COLROW_MODEL_SCRATCH_H

#include "model/plan.h"
#include "model/step.h"

// Columns that a thread computes of the logits before it looks for the largest.
enum { LOGIT_PANELS = 16, LOGIT_COLUMNS = LOGIT_PANELS * PANEL_WIDTH };

// Numbers of a row that AltUp makes on the way: a router's, then the factors of `n` streams.
#define ALTUP_ROUTED(n) (((n) + 1) / 2 * 2)
#define ALTUP_COEFS(n) (ALTUP_ROUTED(n) + (n) * (n))

struct scratch {
    float *residual; // [rows, hidden]
    void *input;     // of a product, in the compute type (f16 as f32): [rows, widest]
    float *outputs;  // of the fused column-parallel products: [rows, widest]
    void *query;     // [rows, attended columns], like `input`
    void *held;      // like `input`: of a sublayer that runs in parallel; NULL: none does
    // of heads, where q and k are normed whole: [rows, heads]; of leaves, where an MLP is sparse:
    // [rows, 2 · leaves], their sums, then their spreads; or NULL
    float *own_squares, *squares;
    float *output_gates; // [rows, attended columns] of attention that has a gate; or NULL
    float *layer_inputs; // [rows, the stage's layers, size rounded up to a pair]; NULL: the model
                         // has none
    float *first_stream; // [rows, hidden] the stream's first value, for the layer inputs of later
                         // stages; NULL: there are none
    float *streams;      // of AltUp: [streams, rows_max, hidden]; NULL: the model has none
    float *laurel;       // [rows, hidden] what is added beside a mix; NULL: nothing is
    void *narrow;        // like `input`: of products with a small k, Laurel's and AltUp's; or NULL
    // Of experts (experts_block.c); NULL where the model has none. A pair is a row and one of the
    // rank's experts that it has chosen; they are sorted by expert.
    float *router;          // [rows, experts] logits
    int32_t *chosen;        // [rows, experts of a token] ascending
    float *chosen_weights;  // [rows, experts of a token]
    int32_t *pair_of;       // [rows, experts of a token]; -1: another rank's
    uint8_t *pair_merges;   // [rows, experts of a token] of the row's sum
    int32_t *pair_rows;     // [pairs]
    int32_t *first_pair;    // [experts + 1]
    void *pair_inputs;      // [pairs, hidden], like `input`
    void *pair_activated;   // [pairs, mlp rows], like `input`
    void *expert_latents;   // [rows, latent], like `input`; NULL: experts read the input
    char *pair_sums;        // [threads][pair_sum_bytes]
    size_t pair_sum_bytes;  // of a thread
    float *expert_nodes;    // of whole experts: see expert_exchange.h; NULL: ranks have none
    float *expert_received; // likewise; NULL: nothing comes that is not in expert_nodes
    void *router_input; // like `input`: of a router that does not read what experts read; or NULL
    float *token_gates; // [rows] of an MLP that has them
    // Of latent attention (latent_block.c); NULL where the model has none
    void *latent_query;   // [rows, heads, latent and key], in the cache's type (f16 as f32)
    void *latent_sums;    // [rows, heads, latent], like `input`
    float *latent_rows;   // [threads][LATENT_ROWS, latent]
    size_t latent_stride; // floats of a thread
    // Of sparse attention (sparse_latents.c); NULL where no position is left out
    void *index_query;        // [rows, index heads · their size], like latent_query
    int32_t *positions;       // [rows, topk] that are attended, ascending
    float *index_scores;      // [threads][index_stride], of all positions
    size_t index_stride;      // floats of a thread
    char *chosen_pages;       // [threads][chosen_stride], copies of their latents
    size_t chosen_stride;     // bytes of a thread
    int32_t *chosen_pages_of; // [pages of a copy] 0, 1, ...
    // Where ranks divide its cache by position (latent_context.h); else NULL
    float *context_state;                 // [rows, heads, sums of a row]
    float *context_rows;                  // [threads][rows of a call, sums]
    size_t context_rows_stride;           // floats of a thread
    char *context_queries;                // of all heads, in the cache's type (f16 as f32)
    float *context_sums, *context_packed; // as they are computed and come, and as they are sent
    char *context_pages;
    float *sums;     // [rows, hidden] what is normed before it is added; NULL: nothing is
    float *kept;     // [rows, hidden] a sublayer's normed sum, for the next one; or NULL
    float *nodes;    // of row-parallel products: [nodes, rows, hidden], of two that share an
                     // all-reduce [nodes, 2, rows, hidden]
    int32_t *summed; // [rows] numbers of the row whose sums have come; 0 between products
    float *cosines[ROPES_MAX], *sines[ROPES_MAX]; // of each rope: [rows, half]
    float *received; // rows or columns of all ranks, as they come: [rows, widest]; NULL where
                     // nothing is gathered
    float *gathered; // in order: [rows, widest]; NULL likewise
    char *kernel;    // [threads][MATMUL_SCRATCH_BYTES]
    float *logits;   // [threads][logit rows, LOGIT_COLUMNS]
    struct step_best *best; // [threads][logit rows]
};

// Of a thread: stay in its core's cache, and in the cache behind that.
enum { PAIR_SUM_BYTES = 256 << 10, FAR_SUM_BYTES = 6 << 20 };
enum { LATENT_ROWS = 64 }; // of a head, whose products a thread makes at once

// Of a row of `outputs` where attention is latent, the columns where its parts begin: the latent
// with the key behind it, what an indexer makes of the row, the `queries` numbers of heads, and
// those of the indexer where it `leaves_out` positions. What `down` makes comes first.
struct latent_columns {
    size_t latent, index_key, index_weights, query, index_query, stride;
};
struct latent_columns latent_columns_of(const struct latent_config *latent, size_t queries,
                                        bool leaves_out);

struct scratch_size {
    int rows_max, logit_rows_max, n_threads;
};

// With memory NULL only `*bytes` is found.
enum status scratch_place(const struct plan *plan, int world_rank, struct scratch_size size,
                          void *memory, struct scratch *out, size_t *bytes) STATUS_MUST_USE;

// Bytes of one number in `input` and `query`.
static inline size_t input_bytes(enum compute_type type)
{
    return type == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float);
}

#endif
