// One step: embedding, layers, logits.
#include "model/forward.h"

#include <assert.h>
#include <string.h>

static enum status check_pages(const struct model *m, const struct step *step, int sequence,
                               int group)
{
    const struct step_sequence *q = &step->sequences[sequence];
    const int32_t *pages = q->pages + (size_t)group * (size_t)q->pages_stride;
    int64_t i = kv_first_page(m->plan->kv.windows[group], q->position);
    for (; i * KV_PAGE_TOKENS < q->position + q->n_tokens; i++)
        if (pages[i] < 0 || pages[i] >= m->kv_pages)
            return fail(ERR_INTERNAL, "step %lld: sequence %d has page %d; expected one of %lld",
                        (long long)step->number, sequence, pages[i], (long long)m->kv_pages);
    return OK;
}

// A step comes from our own engine, but through memory that ranks share: what would reach beyond
// our buffers ends the group instead.
static enum status check_sequences(const struct model *m, const struct step *step)
{
    int32_t next = 0;
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        int64_t last = m->plan->config.max_position_embeddings;
        if (q->first_row != next || q->n_tokens < 1 || q->n_tokens > step->n_rows - next ||
            q->position < 0 || q->position > last - q->n_tokens ||
            (q->position + q->n_tokens + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS > q->n_pages)
            return fail(ERR_INTERNAL,
                        "step %lld: sequence %d has rows %d + %d at position %lld with %d pages; "
                        "expected row %d next "
                        "and pages for all positions up to %lld",
                        (long long)step->number, s, q->first_row, q->n_tokens,
                        (long long)q->position, q->n_pages, next, (long long)last);
        for (int group = 0; group < m->plan->kv.n_groups; group++)
            TRY(check_pages(m, step, s, group));
        TRY(check_states(m, step, s));
        next += q->n_tokens;
    }
    if (next != step->n_rows)
        return fail(ERR_INTERNAL, "step %lld: sequences have %d rows; expected %d",
                    (long long)step->number, next, step->n_rows);
    return OK;
}

static enum status check_step(const struct model *m, const struct step *step,
                              const struct step_results *results)
{
    if (step->n_rows < 1 || step->n_rows > m->size.rows_max || step->n_logits < 0 ||
        step->n_logits > m->size.logit_rows_max || step->n_logits > results->logit_rows_max)
        return fail(ERR_INTERNAL,
                    "step %lld: %d rows, %d of logits; expected 1 to %d, and at most %d",
                    (long long)step->number, step->n_rows, step->n_logits, m->size.rows_max,
                    m->size.logit_rows_max);
    for (int row = 0; row < step->n_rows; row++)
        if (step->tokens[row] < 0 || step->tokens[row] >= m->plan->config.vocab_size)
            return fail(ERR_INTERNAL, "step %lld: token %d in row %d; expected 0 to %d",
                        (long long)step->number, step->tokens[row], row,
                        m->plan->config.vocab_size - 1);
    for (int i = 0; i < step->n_logits; i++)
        if (step->logit_rows[i] < (i ? step->logit_rows[i - 1] : 0) ||
            step->logit_rows[i] >= step->n_rows)
            return fail(ERR_INTERNAL,
                        "step %lld: logits of row %d; expected 0 to %d, in ascending order",
                        (long long)step->number, step->logit_rows[i], step->n_rows - 1);
    if (step->capture && results->capture && step->n_rows > results->capture_rows_max)
        return fail(ERR_INTERNAL, "step %lld: %d rows to capture; expected at most %d",
                    (long long)step->number, step->n_rows, results->capture_rows_max);
    TRY(check_copies(m, step));
    return check_sequences(m, step);
}

// cos and sin of these rows of a sequence.
static void find_angles_of(const struct model *m, const struct step_sequence *q, struct range rows)
{
    for (int i = 0; i < m->plan->config.n_ropes; i++) {
        const struct rope *rope = &m->ropes[i];
        size_t half = (size_t)rope->half;
        for (int row = rows.begin; row < rows.end; row++)
            rope_angles(rope, q->position + (row - q->first_row), q->is_long,
                        m->scratch.cosines[i] + (size_t)row * half,
                        m->scratch.sines[i] + (size_t)row * half);
    }
}

static void find_angles(const struct worker *w)
{
    const struct step *step = w->run->step;
    const struct range rows = step_rows(w);
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        find_angles_of(w->run->model, q, sequence_rows(q, rows));
    }
}

// Rank 0 hands out all rows of the residual, or of a stream, so that it has to have them.
static void gather_captured(const struct worker *w, int layer, float *rows)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int counts[COMM_RANKS_MAX];
    team_barrier(m->team); // all have looked at the run's status before it may change
    if (w->thread == 0) {
        for (int rank = 0; rank < m->plan->n_ranks; rank++)
            counts[rank] = range_width(rows_of_rank(run, rank));
        comm_mark(m->comm, run->step->number, layer, "captured rows");
        run->status =
            gather_rows(run, counts, (size_t)m->plan->config.hidden_size * sizeof(float), rows);
    }
    team_barrier(m->team);
}

// The residual stream after `layer` layers; after the last one it is normed, as in Transformers'
// hidden_states.
static void capture(const struct worker *w, int layer)
{
    const struct run *run = w->run;
    const struct model *m = run->model;
    const struct model_config *c = &m->plan->config;
    const struct stream_norm norm = {&c->final_norm, &m->weights.final_norm};
    const bool is_last = layer == c->num_hidden_layers;
    if (!run->step->capture)
        return;
    // of streams the first one, until they are joined
    float *from = c->altup.num_inputs && !is_last ? stream_row(m, 0, 0) : m->scratch.residual;
    if (m->plan->residual_sharded && m->plan->n_ranks > 1)
        gather_captured(w, layer, from);
    if (run->status != OK || !run->results->capture || m->rank != 0)
        return;
    size_t hidden = (size_t)c->hidden_size;
    const struct range rows = step_rows(w);
    float *out =
        run->results->capture + (size_t)layer * (size_t)run->results->capture_rows_max * hidden;
    for (int row = rows.begin; row < rows.end; row++) {
        const float *x = from + (size_t)row * hidden;
        if (is_last)
            norm_row(m, &norm, x, COMPUTE_F32, out + (size_t)row * hidden);
        else
            memcpy(out + (size_t)row * hidden, x, hidden * sizeof *x);
    }
    if (c->altup.num_inputs) // the next layer's prediction changes them, in other threads' hands
        team_barrier(m->team);
}

// For who asks where a rank was when it died, or is late: each part anew.
static void begin_part(const struct worker *w, int layer, const char *part)
{
    if (w->thread == 0)
        comm_mark(w->run->model->comm, w->run->step->number, layer, part);
}

static void run_sublayer(const struct worker *w, int layer, int sublayer)
{
    const struct model_config *c = &w->run->model->plan->config;
    const struct sublayer_config *config = &model_config_layer(c, layer)->sublayers[sublayer];
    if (config->predicts) {
        begin_part(w, layer, "streams");
        predict_streams(w, layer);
    }
    LEAVE_IF_FAILED(w);
    if (config->adds_to_normed)
        norm_residual_itself(w, layer, sublayer);
    if (config->laurel.rank)
        find_laurel(w, layer, sublayer);
    switch (config->kind) {
    case MIX_ATTENTION:
        begin_part(w, layer, "attention");
        if (config->attention.latent.kv_rank)
            latent_block(w, layer, sublayer);
        else
            attention_block(w, layer, sublayer);
        break;
    case MIX_MLP:
        begin_part(w, layer, "mlp");
        mlp_block(w, layer, sublayer);
        break;
    case MIX_EXPERTS:
        begin_part(w, layer, "experts");
        experts_block(w, layer, sublayer);
        break;
    case MIX_MAMBA:
        begin_part(w, layer, "mamba");
        mamba_block(w, layer, sublayer);
        break;
    case MIX_DELTA:
        begin_part(w, layer, "delta rule");
        delta_block(w, layer, sublayer);
        break;
    case MIX_CONVOLUTION:
        begin_part(w, layer, "convolution");
        convolution_block(w, layer, sublayer);
        break;
    }
    LEAVE_IF_FAILED(w);
    if (config->corrects) {
        begin_part(w, layer, "streams");
        correct_streams(w, layer, sublayer);
    }
}

static void run_layer(const struct worker *w, int layer)
{
    const struct model_config *c = &w->run->model->plan->config;
    for (int i = 0; i < model_config_layer(c, layer)->n_sublayers; i++) {
        run_sublayer(w, layer, i);
        LEAVE_IF_FAILED(w);
    }
    if (layer + 1 == c->num_hidden_layers)
        join_streams(w);
    capture(w, layer + 1);
}

// The stream as the stage's first layer reads it, and what its layers read beside it.
static void begin_stream(const struct worker *w)
{
    const struct model *m = w->run->model;
    if (is_first_stage(m)) {
        begin_part(w, -1, "embed_tokens");
        embed_tokens(w);
    } else {
        receive_first_stream(w);
    }
    LEAVE_IF_FAILED(w);
    round_first_stream(w);
    if (is_first_stage(m))
        begin_streams(w);
    find_layer_inputs(w);
    LEAVE_IF_FAILED(w);
    keep_first_stream(w);
    if (is_first_stage(m)) {
        capture(w, 0);
        return;
    }
    if (m->plan->config.layer_inputs.size)
        team_barrier(m->team); // all have kept their rows
    receive_stream(w);
}

static void forward_work(void *context, int thread, int n_threads)
{
    struct worker w = {context, thread, n_threads};
    const struct model *m = w.run->model;
    const struct model_config *c = &m->plan->config;
    number_mode_set();
    copy_pages(&w);
    LEAVE_IF_FAILED(&w);
    find_angles(&w);
    begin_stream(&w);
    LEAVE_IF_FAILED(&w);
    const struct next_inputs first = inputs_of(m, m->layers.begin, 0);
    if (!model_config_layer(c, m->layers.begin)->sublayers[0].predicts)
        norm_rows(&w, m->layers.begin, &first);
    LEAVE_IF_FAILED(&w);
    for (int layer = m->layers.begin; layer < m->layers.end; layer++) {
        run_layer(&w, layer);
        LEAVE_IF_FAILED(&w);
    }
    if (!is_last_stage(m)) {
        send_stream(&w);
        return;
    }
    begin_part(&w, -1, "lm_head");
    compute_logits(&w);
}

struct canary {
    struct model *model;
    int64_t number;
    enum status status;
};

static void canary_work(void *context, int thread, int n_threads)
{
    struct canary *canary = context;
    struct comm *comm = canary->model->world;
    (void)n_threads;
    if (thread > 0) // team_run() ends when all have been here
        return;
    comm_mark(comm, canary->number, -1, "canary");
    canary->status = comm_barrier(comm);
}

enum status model_canary(struct model *model, int64_t number)
{
    struct canary canary = {.model = model, .number = number};
    team_run(model->team, canary_work, &canary);
    return canary.status;
}

enum status model_forward(struct model *model, const struct step *step,
                          const struct step_results *results)
{
    assert(model && step && results && results->best);
    TRY(check_step(model, step, results));
    struct run run = {.model = model, .step = step, .results = results};
    run.own_rows = model->plan->residual_sharded ? rows_of_rank(&run, model->rank)
                                                 : (struct range){0, step->n_rows};
    team_run(model->team, forward_work, &run);
    return run.status;
}
