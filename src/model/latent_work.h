// The sublayer of latent attention at work: what latent_block.c and sparse_latents.c share.
#ifndef COLROW_MODEL_LATENT_WORK_H
#define COLROW_MODEL_LATENT_WORK_H

#include "model/forward.h"

struct latent_work {
    const struct worker *w;
    struct model *m;
    const struct attention_config *config;
    const struct attention_weights *weights;
    const struct cut *cut;
    // Heads whose queries this rank makes, and of these the ones that it attends: all of them,
    // unless o_proj splits a whole input.
    struct range heads, attended;
    int layer;
    struct latent_columns columns; // of a row of scratch.outputs
    // A row of this step does not attend all positions; and the layer chooses by itself which.
    bool leaves_out, chooses;
};

static inline size_t latent_key_width(const struct latent_work *a)
{
    return (size_t)a->config->latent.kv_rank + (size_t)a->config->latent.rope_dim;
}

static inline float *latent_row(const struct latent_work *a, size_t row)
{
    return a->m->scratch.outputs + row * a->columns.stride;
}

// The layer's latents of a sequence in the cache.
struct kv_view latent_view(const struct latent_work *a, const struct step_sequence *sequence);
// One call of attention: some heads of consecutive rows, the first at `position` of what `kv` has.
struct latent_call {
    struct kv_view kv;
    int row, n_rows;
    int64_t position;
    struct range heads;
};
void attend_latents(const struct latent_work *a, const struct latent_call *call);

// sparse_latents.c. How many of a sequence's tokens, the first ones, attend all positions.
int count_dense_tokens(const struct latent_config *config, const struct step_sequence *sequence);
bool step_leaves_out(const struct latent_config *config, const struct step *step);
// Of a layer with an indexer. Its queries, of the queries' latent in scratch.input, with a barrier
// behind them if the step needs any; of a row, what `down` and that made; and its keys into a page.
void multiply_index_queries(const struct latent_work *a);
void prepare_index_row(const struct latent_work *a, size_t row);
void store_index_keys(const struct latent_work *a, const struct step_sequence *sequence, int token,
                      int n_tokens);
// Of a step that leaves positions out, behind a barrier: which ones each row attends, by a layer
// that chooses, with a barrier behind it; and attention of these rows.
void choose_positions(const struct latent_work *a);
void attend_chosen(const struct latent_work *a);

#endif
