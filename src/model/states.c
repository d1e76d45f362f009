// A step's part in states: which pages are read and written, and where units lie in them.
#include <assert.h>
#include <string.h>

#include "model/forward.h"

enum status check_states(const struct model *m, const struct step *step, int sequence)
{
    const struct step_sequence *q = &step->sequences[sequence];
    const struct kv_layout *kv = &m->plan->kv;
    if (q->n_states != kv_count_states(kv, q->position, q->n_tokens))
        return fail(ERR_INTERNAL, "step %lld: sequence %d has %d states; expected %d",
                    (long long)step->number, sequence, q->n_states,
                    kv_count_states(kv, q->position, q->n_tokens));
    for (int32_t i = 0; i < q->n_states * kv->state_pages; i++)
        if (q->states[i] < 0 || q->states[i] >= m->kv_pages)
            return fail(ERR_INTERNAL,
                        "step %lld: sequence %d has page %d of a state; expected one of %lld",
                        (long long)step->number, sequence, q->states[i], (long long)m->kv_pages);
    return OK;
}

static bool next_state_run(const struct model *m, const struct step_sequence *q,
                           struct state_run *run)
{
    const struct kv_layout *kv = &m->plan->kv;
    const int64_t interval = kv->state_interval;
    run->token += run->n_tokens;
    if (run->token >= q->n_tokens)
        return false;
    int64_t position = q->position + run->token, end = (position / interval + 1) * interval;
    int64_t rest = q->n_tokens - run->token;
    int32_t first = kv_first_state(kv, q->position), pages = kv->state_pages;
    run->n_tokens = (int)(end - position < rest ? end - position : rest);
    run->to = q->states + (position / interval - first) * pages;
    run->from =
        position > 0 ? q->states + (int64_t)(kv_first_state(kv, position) - first) * pages : NULL;
    return true;
}

static char *unit_at(const struct model *m, const int32_t *pages, int layer, int unit)
{
    const struct state_place place = m->states[layer][unit];
    return m->kv_memory + (size_t)pages[place.page] * m->page_stride + place.offset;
}

void *open_state(const struct model *m, const struct state_run *run, int layer, int unit,
                 size_t bytes)
{
    char *to = unit_at(m, run->to, layer, unit);
    assert(m->states[layer]);
    if (!run->from)
        memset(to, 0, bytes);
    else if (run->from != run->to)
        memcpy(to, unit_at(m, run->from, layer, unit), bytes);
    return to;
}

void for_state_runs(const struct worker *w, int n_units, state_work *work, const void *context)
{
    const struct step *step = w->run->step;
    const struct range part = range_part(w, (struct range){0, n_units * step->n_sequences});
    for (int i = part.begin; i < part.end; i++) {
        const struct step_sequence *sequence = &step->sequences[i / n_units];
        struct state_run run = {0};
        while (next_state_run(w->run->model, sequence, &run))
            work(context, sequence, &run, i % n_units);
    }
    team_barrier(w->run->model->team);
}

void convolve_in_place(const struct kernels *kernels, struct convolution convolution)
{
    convolution.state_stride = (size_t)convolution.channels;
    convolution.x = convolution.out;
    convolution.x_stride = convolution.out_stride;
    kernels->convolve(&convolution);
}

void convolve_and_silu(const struct kernels *kernels, struct convolution convolution)
{
    static const struct activation_args silu = {.kind = ACTIVATION_SILU};
    convolve_in_place(kernels, convolution);
    for (size_t t = 0; t < (size_t)convolution.n_tokens; t++) {
        float *x = convolution.out + t * convolution.out_stride;
        kernels->activate_mul(&silu, x, NULL, convolution.channels, COMPUTE_F32, x);
    }
}

enum status place_states(struct model *m)
{
    const struct plan *plan = m->plan;
    struct state_walk walk = {.page_bytes = m->page_stride};
    TRY(arena_take(&m->arena, (size_t)plan->config.num_hidden_layers, sizeof *m->states,
                   &m->states));
    memset(m->states, 0, (size_t)plan->config.num_hidden_layers * sizeof *m->states);
    for (int layer = m->layers.begin; layer < m->layers.end; layer++) {
        const struct state_units units = state_units_on(plan, m->rank, layer);
        size_t n = (size_t)units.heads + (size_t)units.groups;
        if (n == 0)
            continue;
        TRY(arena_take(&m->arena, n, sizeof **m->states, &m->states[layer]));
        for (int i = 0; i < units.heads; i++)
            m->states[layer][i] = state_next_place(&walk, units.head_bytes);
        for (int i = 0; i < units.groups; i++)
            m->states[layer][units.heads + i] = state_next_place(&walk, units.group_bytes);
    }
    assert(walk.page == 0 || walk.page < plan->kv.state_pages);
    return OK;
}
