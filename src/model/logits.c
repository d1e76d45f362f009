// The final norm and lm_head, of the rows that are asked for.
#include <math.h>
#include <string.h>

#include "model/forward.h"

struct range logits_in(const struct step *step, struct range rows)
{
    struct range found = {0, 0};
    while (found.begin < step->n_logits && step->logit_rows[found.begin] < rows.begin)
        found.begin++;
    found.end = found.begin;
    while (found.end < step->n_logits && step->logit_rows[found.end] < rows.end)
        found.end++;
    return found;
}

static void gather_logit_rows(const struct worker *w)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int counts[COMM_RANKS_MAX];
    for (int rank = 0; rank < m->plan->n_ranks; rank++)
        counts[rank] = range_width(logits_in(run->step, rows_of_rank(run, rank)));
    comm_mark(m->comm, run->step->number, -1, "normed rows for lm_head");
    size_t row_bytes = input_width(m) * input_bytes(m->plan->compute);
    run->status = gather_rows(run, counts, row_bytes, m->scratch.input);
}

// Ends with a barrier; the run may have failed.
static void norm_logit_rows(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct step *step = w->run->step;
    const struct stream_norm norm = {&m->plan->config.final_norm, &m->weights.final_norm};
    size_t hidden = (size_t)m->plan->config.hidden_size;
    struct range part = range_part(w, logits_in(step, w->run->own_rows));
    for (int i = part.begin; i < part.end; i++)
        norm_input(m, &norm, m->scratch.residual + (size_t)step->logit_rows[i] * hidden, (size_t)i,
                   m->scratch.input);
    team_barrier(m->team);
    if (!m->plan->residual_sharded || m->plan->n_ranks == 1)
        return;
    if (w->thread == 0)
        gather_logit_rows(w);
    team_barrier(m->team);
}

// Panels [first, first + count) of `w` as a matrix of their own.
static struct panels some_panels(const struct panels *w, int first, int count)
{
    struct panels part = *w;
    int rest = w->n - first * PANEL_WIDTH;
    part.n = rest < count * PANEL_WIDTH ? rest : count * PANEL_WIDTH;
    part.n_panels = count;
    part.data = panel_data(w, first);
    part.last = (size_t)(count - 1) * w->stride;
    return part;
}

// What became of columns [column, column + n) of all rows: full rows are handed out, the largest is
// kept of each.
static void take_columns(const struct worker *w, const float *logits, int column, int n,
                         struct step_best *best)
{
    const struct run *run = w->run;
    const struct model *m = run->model;
    size_t vocab = (size_t)m->plan->config.vocab_size;
    for (int i = 0; i < run->step->n_logits; i++) {
        const float *row = logits + (size_t)i * LOGIT_COLUMNS;
        float largest;
        int at = m->kernels->argmax(row, n, &largest);
        if (best[i].id < 0 || largest > best[i].value) // of equals, the smaller id came first
            best[i] = (struct step_best){largest, m->share->dims[DIM_VOCAB].begin + column + at};
        if (run->step->logit_full[i])
            memcpy(run->results->logits + (size_t)i * vocab + m->share->dims[DIM_VOCAB].begin +
                       column,
                   row, (size_t)n * sizeof *row);
    }
}

static void finish_logits(const struct worker *w, float *logits, int n)
{
    const struct model *m = w->run->model;
    const struct model_config *c = &m->plan->config;
    for (int i = 0; i < w->run->step->n_logits; i++) {
        float *row = logits + (size_t)i * LOGIT_COLUMNS;
        if (c->logit_multiplier != 1)
            m->kernels->scale(row, c->logit_multiplier, (size_t)n);
        if (c->logit_softcap > 0)
            m->kernels->softcap(row, c->logit_softcap, (size_t)n);
    }
}

// This thread's panels, some at a time, so that their logits stay in its cache until they are
// looked at.
static void compute_part(const struct worker *w)
{
    const struct model *m = w->run->model;
    const struct panels *lm_head = &m->weights.lm_head;
    struct step_best *best = m->scratch.best + (size_t)w->thread * (size_t)m->size.logit_rows_max;
    float *logits =
        m->scratch.logits + (size_t)w->thread * (size_t)m->size.logit_rows_max * LOGIT_COLUMNS;
    int begin, end;
    for (int i = 0; i < w->run->step->n_logits; i++)
        best[i] = (struct step_best){-INFINITY, -1};
    team_part(lm_head->n_panels, w->thread, w->n_threads, &begin, &end);
    for (int panel = begin; panel < end; panel += LOGIT_PANELS) {
        struct panels part =
            some_panels(lm_head, panel, end - panel < LOGIT_PANELS ? end - panel : LOGIT_PANELS);
        struct matmul product = {
            .w = &part,
            .leaves = &m->whole,
            .panel_end = part.n_panels,
            .m = w->run->step->n_logits,
            .a = m->scratch.input,
            .a_is_bf16 = m->plan->compute == COMPUTE_BF16,
            .a_stride = (size_t)part.k,
            .out = logits,
            .out_stride = LOGIT_COLUMNS,
            .scratch = m->scratch.kernel + (size_t)w->thread * MATMUL_SCRATCH_BYTES,
            .order = product_order_of(&part, m->order),
        };
        if (m->weights.lm_head_bias)
            product.bias = m->weights.lm_head_bias + (size_t)panel * PANEL_WIDTH;
        m->kernels->matmul(&product);
        finish_logits(w, logits, part.n);
        take_columns(w, logits, panel * PANEL_WIDTH, part.n, best);
    }
}

// Threads have ascending columns, so that of equals the first is the smallest id.
static void combine_best(const struct worker *w, struct step_best *out)
{
    const struct model *m = w->run->model;
    for (int i = 0; i < w->run->step->n_logits; i++) {
        struct step_best best = {-INFINITY, -1};
        for (int thread = 0; thread < w->n_threads; thread++) {
            struct step_best other =
                m->scratch.best[(size_t)thread * (size_t)m->size.logit_rows_max + (size_t)i];
            if (other.id >= 0 && (best.id < 0 || other.value > best.value))
                best = other;
        }
        out[i] = best;
    }
}

void compute_logits(const struct worker *w)
{
    const struct run *run = w->run;
    struct model *m = run->model;
    struct step_best *out =
        run->results->best + (size_t)m->rank * (size_t)run->results->logit_rows_max;
    if (run->step->n_logits == 0)
        return;
    norm_logit_rows(w);
    LEAVE_IF_FAILED(w);
    if (!m->plan->lm_head_sharded && m->rank > 0) { // all would find the same: rank 0 does it
        for (int i = 0; i < run->step->n_logits && w->thread == 0; i++)
            out[i] = (struct step_best){-INFINITY, INT32_MAX};
        return;
    }
    compute_part(w);
    team_barrier(m->team);
    if (w->thread == 0)
        combine_best(w, out);
}
