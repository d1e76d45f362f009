// Streams beside each other, of which layers work on one (struct altup_config). A row is a thread's
// own affair: predicting and correcting need no other row, and no other rank.
#include <assert.h>
#include <math.h>

#include "model/forward.h"

enum { BLOCK = 256 }; // columns of all streams that stay in the first-level cache

static const float least_square = 1e-5f; // of a stream's numbers, on average

float *stream_row(const struct model *m, int stream, size_t row)
{
    size_t rows_max = (size_t)m->size.rows_max;
    return m->scratch.streams +
           ((size_t)stream * rows_max + row) * (size_t)m->plan->config.hidden_size;
}

// ---- the first and the last value ----

// y, a projection of another stream, gets the root of the mean square that `first` has.
static void match_magnitude(const struct model *m, const float *first, float *y)
{
    size_t hidden = (size_t)m->plan->config.hidden_size;
    float wanted = sqrtf(m->kernels->squares(first, hidden) / (float)hidden);
    float found = m->kernels->squares(y, hidden) / (float)hidden;
    m->kernels->scale(y, wanted / sqrtf(found < least_square ? least_square : found), hidden);
}

void begin_streams(const struct worker *w)
{
    const struct model *m = w->run->model;
    const int n = m->plan->config.altup.num_inputs;
    size_t hidden = (size_t)m->plan->config.hidden_size;
    if (!n)
        return;
    for (int i = 1; i < n; i++)
        multiply(w, &(struct column_product){.input = m->scratch.input,
                                             .panels = &m->weights.stream_projections[i - 1],
                                             .out = stream_row(m, i, 0),
                                             .out_stride = hidden});
    team_barrier(m->team);
    struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++) {
        const float *first = m->scratch.residual + (size_t)row * hidden;
        m->kernels->copy(stream_row(m, 0, (size_t)row), first, hidden);
        for (int i = 1; i < n; i++)
            match_magnitude(m, first, stream_row(m, i, (size_t)row));
    }
    team_barrier(m->team);
}

// Rows of the step that somebody reads when all layers are done, this rank's.
struct last_rows {
    const int32_t *rows; // NULL: all in the range
    struct range range;
};

static struct last_rows last_rows_of(const struct run *run)
{
    if (run->step->capture)
        return (struct last_rows){NULL, run->own_rows};
    return (struct last_rows){run->step->logit_rows, logits_in(run->step, run->own_rows)};
}

static size_t last_row(const struct last_rows *last, int i)
{
    return (size_t)(last->rows ? last->rows[i] : i);
}

static void unembed(const struct worker *w, const struct last_rows *last, int stream)
{
    const struct model *m = w->run->model;
    size_t hidden = (size_t)m->plan->config.hidden_size;
    struct range part = range_part(w, last->range);
    for (int i = part.begin; i < part.end; i++)
        round_input(m, stream_row(m, stream, last_row(last, i)), (size_t)(i - last->range.begin));
    team_barrier(m->team);
    multiply(w, &(struct column_product){.input = m->scratch.input,
                                         .n_rows = range_width(last->range),
                                         .panels = &m->weights.stream_unembeddings[stream - 1],
                                         .out = m->scratch.outputs,
                                         .out_stride = hidden});
    team_barrier(m->team);
    for (int i = part.begin; i < part.end; i++) {
        float *y = m->scratch.outputs + (size_t)(i - last->range.begin) * hidden;
        match_magnitude(m, stream_row(m, 0, last_row(last, i)), y);
        m->kernels->add(m->scratch.residual + last_row(last, i) * hidden, y, hidden);
    }
}

void join_streams(const struct worker *w)
{
    const struct model *m = w->run->model;
    const int n = m->plan->config.altup.num_inputs;
    size_t hidden = (size_t)m->plan->config.hidden_size;
    const struct last_rows last = last_rows_of(w->run);
    if (!n || range_width(last.range) == 0)
        return;
    struct range part = range_part(w, last.range);
    for (int i = part.begin; i < part.end; i++)
        m->kernels->copy(m->scratch.residual + last_row(&last, i) * hidden,
                         stream_row(m, 0, last_row(&last, i)), hidden);
    for (int stream = 1; stream < n; stream++)
        unembed(w, &last, stream);
    for (int i = part.begin; i < part.end; i++)
        m->kernels->scale(m->scratch.residual + last_row(&last, i) * hidden, 1.0f / (float)n,
                          hidden);
    team_barrier(m->team);
}

// ---- before and after a layer's work ----

// This thread's rows times the panels, as the next lines need them.
static void multiply_own_rows(const struct worker *w, const struct panels *panels,
                              const void *input, size_t input_stride, struct range rows, float *out,
                              size_t out_stride)
{
    const struct model *m = w->run->model;
    const struct leaf_plan whole = leaf_plan_whole(panels->k);
    const struct matmul product = {
        .w = panels,
        .leaves = &whole,
        .panel_end = panels->n_panels,
        .m = range_width(rows),
        .a =
            (const char *)input + (size_t)rows.begin * input_stride * input_bytes(m->plan->compute),
        .a_is_bf16 = m->plan->compute == COMPUTE_BF16,
        .a_stride = input_stride,
        .out = out + (size_t)rows.begin * out_stride,
        .out_stride = out_stride,
        .scratch = m->scratch.kernel + (size_t)w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->order,
    };
    m->kernels->matmul(&product);
}

// Into scratch.outputs, of this thread's rows of `x` [rows, hidden]: the router's numbers, and
// behind them the factors that `coefs` makes of these.
static void route(const struct worker *w, const struct altup_weights *weights,
                  const struct panels *coefs, const float *x, struct range rows)
{
    const struct model *m = w->run->model;
    const struct model_config *c = &m->plan->config;
    const size_t hidden = (size_t)c->hidden_size, n = (size_t)c->altup.num_inputs,
                 item = input_bytes(m->plan->compute), routed = ALTUP_ROUTED(n),
                 stride = ALTUP_COEFS(n);
    const struct stream_norm norm = {&c->altup.router_norm, &weights->router_norm};
    for (int row = rows.begin; row < rows.end; row++) {
        float *normed = m->scratch.sums + (size_t)row * hidden;
        norm_row(m, &norm, x + (size_t)row * hidden, COMPUTE_F32, normed);
        m->kernels->scale(normed, (float)(1.0 / (double)hidden), hidden);
        round_input(m, normed, (size_t)row);
    }
    multiply_own_rows(w, &weights->router, m->scratch.input, input_width(m), rows,
                      m->scratch.outputs, stride);
    for (int row = rows.begin; row < rows.end; row++) {
        float *numbers = m->scratch.outputs + (size_t)row * stride;
        for (size_t i = 0; i < n; i++)
            numbers[i] = number_tanh(numbers[i]);
        for (size_t i = n; i < routed; i++)
            numbers[i] = 0;
        m->kernels->round(numbers, routed, m->plan->compute,
                          (char *)m->scratch.narrow + (size_t)row * routed * item);
    }
    multiply_own_rows(w, coefs, m->scratch.narrow, routed, rows, m->scratch.outputs + routed,
                      stride);
}

// Factors [to, from]; each stream begins with itself and adds the streams in order.
static void predict_row(const struct model *m, size_t row, const float *factors)
{
    const struct model_config *c = &m->plan->config;
    const int n = c->altup.num_inputs;
    const size_t hidden = (size_t)c->hidden_size;
    float old[ALTUP_INPUTS_MAX][BLOCK];
    for (size_t at = 0, count; at < hidden; at += count) {
        count = hidden - at < BLOCK ? hidden - at : BLOCK;
        for (int i = 0; i < n; i++)
            m->kernels->copy(old[i], stream_row(m, i, row) + at, count);
        for (int i = 0; i < n; i++)
            for (int j = 0; j < n; j++)
                m->kernels->add_scaled(stream_row(m, i, row) + at, factors[i * n + j], old[j],
                                       count);
    }
    m->kernels->copy(m->scratch.residual + row * hidden, stream_row(m, c->altup.active_idx, row),
                     hidden);
}

void predict_streams(const struct worker *w, int layer)
{
    const struct model *m = w->run->model;
    const struct altup_weights *weights = &m->weights.layers[layer][0].altup;
    const struct altup_config *config = &m->plan->config.altup;
    const size_t n = (size_t)config->num_inputs;
    const struct range rows = range_part(w, w->run->own_rows);
    assert(n >= 1 && n <= ALTUP_INPUTS_MAX);
    if (range_width(rows) > 0)
        route(w, weights, &weights->prediction, stream_row(m, config->active_idx, 0), rows);
    for (int row = rows.begin; row < rows.end; row++)
        predict_row(m, (size_t)row,
                    m->scratch.outputs + (size_t)row * ALTUP_COEFS(n) + ALTUP_ROUTED(n));
    const struct next_inputs next = inputs_of(m, layer, 0);
    norm_rows(w, layer, &next);
}

// The residual is what the layer made of the active stream; then it is that stream corrected.
static void correct_row(const struct model *m, const struct altup_weights *weights, size_t row,
                        const float *factors)
{
    const struct model_config *c = &m->plan->config;
    const size_t hidden = (size_t)c->hidden_size;
    const float *active = stream_row(m, c->altup.active_idx, row);
    float *residual = m->scratch.residual + row * hidden, change[BLOCK];
    for (size_t at = 0, count; at < hidden; at += count) {
        count = hidden - at < BLOCK ? hidden - at : BLOCK;
        m->kernels->copy(change, residual + at, count);
        m->kernels->add_scaled(change, -1, active + at, count);
        for (int i = 0; i < c->altup.num_inputs; i++)
            m->kernels->add_scaled(stream_row(m, i, row) + at, factors[i] + 1, change, count);
    }
    m->kernels->copy(residual, active, hidden);
    if (c->altup.correct_scale)
        m->kernels->scale_weighted(residual, 1, weights->correct_scale, hidden);
}

void correct_streams(const struct worker *w, int layer, int sublayer)
{
    const struct model *m = w->run->model;
    const struct altup_weights *weights = &m->weights.layers[layer][0].altup;
    const size_t n = (size_t)m->plan->config.altup.num_inputs;
    const struct range rows = range_part(w, w->run->own_rows);
    if (range_width(rows) > 0)
        route(w, weights, &weights->correction, m->scratch.residual, rows);
    for (int row = rows.begin; row < rows.end; row++)
        correct_row(m, weights, (size_t)row,
                    m->scratch.outputs + (size_t)row * ALTUP_COEFS(n) + ALTUP_ROUTED(n));
    const struct next_inputs next = inputs_of(m, layer, sublayer + 1);
    norm_rows(w, layer, &next);
}
