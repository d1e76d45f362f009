// A model of one rank (or this process's rank of a group) for tests: opened from a folder, fed
// tokens in chunks.
#ifndef COLROW_TESTS_MODEL_RUNNER_H
#define COLROW_TESTS_MODEL_RUNNER_H

#include "testing.h"

#include "comm/comm.h"
#include "hf/checkpoint.h"
#include "model/model.h"
#include "model/model_config.h"

struct runner {
    struct model_config config;
    struct checkpoint *checkpoint;
    struct plan *plan;
    struct team *team;
    struct model_weights *weights;
    struct model *model;
    const struct kernels *kernels;
    int rows_max, logit_rows_max, n_pages, n_ranks;
    int32_t *pages;
    int32_t *states; // pages of the states of a sequence that fills `pages`; or NULL
    struct step_results results;
    bool own_results;
    int64_t steps;
    bool is_long; // of the sequence (struct step_sequence); runner_logits() sets it
};

struct runner_options {
    const char *folder;
    enum compute_type compute;
    enum kv_cache kv_cache;
    int n_threads, rows_max, n_pages, reduction_leaves;
    const struct tp_plan_rules *rules;
    bool rules_over;               // laid over the default, not in its place
    const struct kernels *kernels; // NULL: the machine's
    enum product_order order;
};

#define RUNNER_TRY(expression)                                                                     \
    do {                                                                                           \
        enum status runner_status_ = (expression);                                                 \
        if (runner_status_ != OK)                                                                  \
            return runner_status_;                                                                 \
    } while (0)

static inline void runner_close(struct runner *r)
{
    model_close(r->model);
    model_weights_close(r->weights);
    team_free(r->team);
    plan_free(r->plan);
    checkpoint_close(r->checkpoint);
    free(r->pages);
    free(r->states);
    if (r->own_results) {
        free(r->results.logits);
        free(r->results.best);
        free(r->results.capture);
    }
    *r = (struct runner){0};
}

static inline int runner_pages(const struct runner *r)
{
    return r->n_pages * r->plan->kv.n_groups;
}

static inline int runner_state_pages(const struct runner *r)
{
    const struct kv_layout *kv = &r->plan->kv;
    return kv_count_states(kv, 0, r->n_pages * KV_PAGE_TOKENS) * kv->state_pages;
}

static inline enum status runner_open_parts(const struct runner_options *o, struct comm *comm,
                                            struct runner *r)
{
    RUNNER_TRY(model_config_read(o->folder, &r->config));
    RUNNER_TRY(checkpoint_open(o->folder, &r->checkpoint));
    r->kernels = o->kernels;
    if (!r->kernels)
        RUNNER_TRY(kernels_choose(&r->kernels));
    r->n_ranks = comm_size(comm);
    const struct plan_options options = {.n_ranks = r->n_ranks,
                                         .reduction_leaves = o->reduction_leaves,
                                         .compute = o->compute,
                                         .kv_cache = o->kv_cache,
                                         .rules = o->rules,
                                         .rules_replace = !o->rules_over};
    RUNNER_TRY(plan_compile(&r->config, &options, &r->plan));
    RUNNER_TRY(team_new(o->n_threads ? o->n_threads : 1, NULL, &r->team));
    r->rows_max = r->logit_rows_max = o->rows_max ? o->rows_max : 64;
    r->n_pages = o->n_pages ? o->n_pages : 16;
    const struct model_weights_options weights = {.plan = r->plan,
                                                  .checkpoint = r->checkpoint,
                                                  .rank = comm_rank(comm),
                                                  .kernels = r->kernels,
                                                  .team = r->team};
    RUNNER_TRY(model_weights_open(&weights, &r->weights));
    const struct model_options model = {.plan = r->plan,
                                        .weights = r->weights,
                                        .comm = comm,
                                        .kernels = r->kernels,
                                        .order = o->order,
                                        .team = r->team,
                                        .rows_max = r->rows_max,
                                        .logit_rows_max = r->logit_rows_max,
                                        .kv_pages = runner_pages(r) + runner_state_pages(r)};
    RUNNER_TRY(model_open(&model, &r->model));
    int n_entries = runner_pages(r);
    RUNNER_TRY(memory_new((size_t)n_entries, sizeof *r->pages, "pages", &r->pages));
    for (int i = 0; i < n_entries; i++)
        r->pages[i] = n_entries - 1 - i; // not in order
    if (!r->plan->kv.state_pages)
        return OK;
    RUNNER_TRY(memory_new((size_t)runner_state_pages(r), sizeof *r->states, "pages", &r->states));
    for (int i = 0; i < runner_state_pages(r); i++)
        r->states[i] = n_entries + runner_state_pages(r) - 1 - i;
    return OK;
}

// `results` NULL: memory of our own.
static inline enum status runner_open(const struct runner_options *o, struct comm *comm,
                                      const struct step_results *results, struct runner *r)
{
    *r = (struct runner){0};
    enum status status = runner_open_parts(o, comm, r);
    if (status == OK && results) {
        r->results = *results;
    } else if (status == OK) {
        size_t rows = (size_t)r->logit_rows_max, hidden = (size_t)r->config.hidden_size;
        r->own_results = true;
        r->results.logit_rows_max = r->logit_rows_max;
        r->results.capture_rows_max = r->rows_max;
        status = memory_new(rows * (size_t)r->config.vocab_size, sizeof(float), "logits",
                            &r->results.logits);
        if (status == OK)
            status = memory_new(rows * (size_t)r->n_ranks, sizeof(struct step_best), "best",
                                &r->results.best);
        if (status == OK)
            status =
                memory_new((size_t)(r->config.num_hidden_layers + 1) * (size_t)r->rows_max * hidden,
                           sizeof(float), "capture", &r->results.capture);
    }
    if (status != OK)
        runner_close(r);
    return status;
}

// One step of one sequence: logits of all rows go to r->results.
static inline enum status runner_step(struct runner *r, const int32_t *tokens, int n,
                                      int64_t position, bool capture)
{
    int32_t rows[1024];
    uint8_t full[1024];
    for (int i = 0; i < n; i++) {
        rows[i] = i;
        full[i] = 1;
    }
    const struct kv_layout *kv = &r->plan->kv;
    const size_t first =
        kv->state_pages ? (size_t)(kv_first_state(kv, position) * kv->state_pages) : 0;
    const struct step_sequence sequence = {.first_row = 0,
                                           .n_tokens = n,
                                           .position = position,
                                           .pages = r->pages,
                                           .n_pages = r->n_pages,
                                           .pages_stride = r->n_pages,
                                           .states = r->states ? r->states + first : NULL,
                                           .n_states = kv_count_states(kv, position, n),
                                           .is_long = r->is_long};
    const struct step step = {.number = r->steps++,
                              .n_rows = n,
                              .tokens = tokens,
                              .n_sequences = 1,
                              .sequences = &sequence,
                              .n_logits = n,
                              .logit_rows = rows,
                              .logit_full = full,
                              .capture = capture};
    return model_forward(r->model, &step, &r->results);
}

// All logits [n, vocab] of a sequence, fed in chunks. `hidden` [layers + 1, n, hidden_size] or
// NULL.
static inline enum status runner_logits(struct runner *r, const int32_t *tokens, int n, int chunk,
                                        float *logits, float *hidden)
{
    size_t vocab = (size_t)r->config.vocab_size, width = (size_t)r->config.hidden_size;
    int64_t length = model_config_long_length(&r->config);
    r->is_long = length && n > length;
    for (int begin = 0, count; begin < n; begin += count) {
        count = n - begin < chunk ? n - begin : chunk;
        RUNNER_TRY(runner_step(r, tokens + begin, count, begin, hidden != NULL));
        memcpy(logits + (size_t)begin * vocab, r->results.logits,
               (size_t)count * vocab * sizeof(float));
        for (int layer = 0; hidden && layer <= r->config.num_hidden_layers; layer++)
            memcpy(hidden + ((size_t)layer * (size_t)n + (size_t)begin) * width,
                   r->results.capture + (size_t)layer * (size_t)r->results.capture_rows_max * width,
                   (size_t)count * width * sizeof(float));
    }
    return OK;
}

// The front-end's choice among what the ranks found for a row.
static inline int32_t runner_best(const struct runner *r, int row)
{
    struct step_best best = r->results.best[row];
    for (int rank = 1; rank < r->n_ranks; rank++) {
        struct step_best other = r->results.best[rank * r->results.logit_rows_max + row];
        if (other.value > best.value || (other.value == best.value && other.id < best.id))
            best = other;
    }
    return best.id;
}

#endif
