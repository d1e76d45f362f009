// What goes from stage to stage: each rank's rows of the residual stream, or of all streams beside
// each other, to the rank with its number in the next stage.
#include <string.h>

#include "model/forward.h"

bool is_first_stage(const struct model *m)
{
    return m->stage == 0;
}

bool is_last_stage(const struct model *m)
{
    return m->stage == m->plan->n_stages - 1;
}

static size_t stream_bytes_of(const struct model *m, int n_rows)
{
    return (size_t)n_rows * (size_t)m->plan->config.hidden_size * sizeof(float);
}

// Of the rows that this rank keeps, which are the same on every stage.
static enum status pass_own_rows(struct run *run, bool sends)
{
    const struct model *m = run->model;
    int self = m->stage * m->plan->n_ranks + m->rank, n_ranks = m->plan->n_ranks;
    size_t bytes = stream_bytes_of(m, range_width(run->own_rows));
    if (bytes == 0) // fewer rows than ranks
        return OK;
    const int n_streams = m->plan->config.altup.num_inputs;
    for (int i = 0; i < (n_streams ? n_streams : 1); i++) {
        size_t first = (size_t)run->own_rows.begin;
        float *rows = n_streams ? stream_row(m, i, first)
                                : m->scratch.residual + first * (size_t)m->plan->config.hidden_size;
        TRY(sends ? comm_send(m->world, rows, bytes, self + n_ranks)
                  : comm_recv(m->world, rows, bytes, self - n_ranks));
    }
    return OK;
}

void receive_stream(const struct worker *w)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    if (w->thread == 0) {
        comm_mark(m->world, run->step->number, m->layers.begin, "stream of the stage before");
        run->status = pass_own_rows(run, false);
    }
    team_barrier(m->team);
}

void send_stream(const struct worker *w)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int next = (m->stage + 1) * m->plan->n_ranks + m->rank;
    if (w->thread == 0) {
        comm_mark(m->world, run->step->number, m->layers.end - 1, "stream to the next stage");
        if (m->scratch.first_stream)
            run->status = comm_send(m->world, m->scratch.first_stream,
                                    stream_bytes_of(m, run->step->n_rows), next);
        if (run->status == OK)
            run->status = pass_own_rows(run, true);
    }
    team_barrier(m->team);
}

// Every rank finds all rows of the layer inputs, with sequence_parallel too.
void receive_first_stream(const struct worker *w)
{
    struct run *run = w->run;
    const struct model *m = run->model;
    int before = (m->stage - 1) * m->plan->n_ranks + m->rank;
    if (m->plan->config.layer_inputs.size == 0)
        return;
    if (w->thread == 0) {
        comm_mark(m->world, run->step->number, m->layers.begin, "stream of the stage before");
        run->status =
            comm_recv(m->world, m->scratch.residual, stream_bytes_of(m, run->step->n_rows), before);
    }
    team_barrier(m->team);
}

void keep_first_stream(const struct worker *w)
{
    const struct model *m = w->run->model;
    struct range rows = range_part(w, (struct range){0, w->run->step->n_rows});
    size_t begin = (size_t)rows.begin * (size_t)m->plan->config.hidden_size;
    if (m->scratch.first_stream)
        memcpy(m->scratch.first_stream + begin, m->scratch.residual + begin,
               stream_bytes_of(m, range_width(rows)));
}
