// What ranks hand to each other besides sums: columns that a style gathers, and rows of a table
// that is cut by tokens.
#include <assert.h>
#include <string.h>

#include "model/forward.h"

static struct range part_range(int rank, const struct column_part *part)
{
    return part->shares[rank].dims[part->dim];
}

// Puts one rank's rows, `width` floats each, where they belong.
static void place_columns(const struct run *run, int rank, const struct column_part *parts,
                          int n_parts, const float *from, float *out, size_t out_stride)
{
    for (int row = 0; row < run->step->n_rows; row++)
        for (int i = 0; i < n_parts; i++) {
            struct range range = part_range(rank, &parts[i]);
            size_t count = (size_t)range_width(range);
            memcpy(out + (size_t)row * out_stride + parts[i].base + range.begin, from,
                   count * sizeof *out);
            from += count;
        }
}

enum status gather_columns(struct run *run, const struct column_part *parts, int n_parts,
                           const float *own, float *out, size_t out_stride)
{
    const struct model *m = run->model;
    size_t bytes[COMM_RANKS_MAX], rows = (size_t)run->step->n_rows;
    for (int rank = 0; rank < m->plan->n_ranks; rank++) {
        bytes[rank] = 0;
        for (int i = 0; i < n_parts; i++)
            bytes[rank] += (size_t)range_width(part_range(rank, &parts[i])) * rows * sizeof *out;
    }
    TRY(comm_all_gather(m->comm, own, bytes[m->rank], bytes, m->scratch.received));
    const float *next = m->scratch.received;
    for (int rank = 0; rank < m->plan->n_ranks; rank++) {
        place_columns(run, rank, parts, n_parts, next, out, out_stride);
        next += bytes[rank] / sizeof *next;
    }
    return OK;
}

struct range rows_of_rank(const struct run *run, int rank)
{
    int begin, end;
    team_part(run->step->n_rows, rank, run->model->plan->n_ranks, &begin, &end);
    return (struct range){begin, end};
}

enum status gather_rows(struct run *run, const int *counts, size_t row_bytes, void *rows)
{
    const struct model *m = run->model;
    size_t bytes[COMM_RANKS_MAX], before = 0;
    for (int rank = 0; rank < m->plan->n_ranks; rank++) {
        bytes[rank] = (size_t)counts[rank] * row_bytes;
        before += rank < m->rank ? bytes[rank] : 0;
    }
    return comm_all_gather(m->comm, (char *)rows + before, bytes[m->rank], bytes, rows);
}

static int owner_of(const struct plan *plan, const struct table_rows *table, int32_t token)
{
    const int32_t row = table_row(table->n_tokens, token);
    int rank = 0;
    while (row >= plan->shares[rank].dims[table->dim].end)
        rank++;
    assert(rank < plan->n_ranks);
    return rank;
}

// Own rows move to the front of `rows`. Sent as rows rather than summed with zeros: each row
// travels once, and a sum would turn -0 into +0.
enum status gather_table_rows(struct run *run, const struct table_rows *table)
{
    const struct model *m = run->model;
    const struct step *step = run->step;
    size_t bytes[COMM_RANKS_MAX] = {0}, row_bytes = table->width * sizeof(float);
    char *rows = (char *)table->rows, *received = (char *)m->scratch.received;
    for (int row = 0; row < step->n_rows; row++) {
        int rank = owner_of(m->plan, table, step->tokens[row]);
        if (rank == m->rank)
            memmove(rows + bytes[rank], rows + (size_t)row * row_bytes, row_bytes);
        bytes[rank] += row_bytes;
    }
    TRY(comm_all_gather(m->comm, rows, bytes[m->rank], bytes, received));
    const char *next[COMM_RANKS_MAX];
    for (int rank = 0; rank < m->plan->n_ranks; rank++) {
        next[rank] = received;
        received += bytes[rank];
    }
    for (int row = 0; row < step->n_rows; row++) {
        int rank = owner_of(m->plan, table, step->tokens[row]);
        memcpy(rows + (size_t)row * row_bytes, next[rank], row_bytes);
        next[rank] += row_bytes;
    }
    return OK;
}
