// What a rank holds of a parameter, as `colrow plan` shows it.
#include <stdio.h>

#include "cmd/plan_command.h"

void show_range(struct range r, char *out, size_t bytes)
{
    snprintf(out, bytes, r.end - r.begin == 1 ? "%d" : "%d-%d", r.begin, r.end - 1);
}

json_t *range_json(struct range r)
{
    return json_pack("[i, i]", r.begin, r.end);
}

void show_shape_of(const struct plan_parameter *p, char *out, size_t bytes)
{
    if (p->n_experts) {
        snprintf(out, bytes, p->columns > 1 ? "%d x [%lld, %lld]" : "%d x [%lld]", p->n_experts,
                 (long long)p->rows, (long long)p->columns);
        return;
    }
    snprintf(out, bytes, p->columns > 1 ? "[%lld, %lld]" : "[%lld]", (long long)p->rows,
             (long long)p->columns);
}

bool next_rows(const struct plan_parameter *p, int rank, struct range *run)
{
    int32_t rows = (int32_t)p->rows, begin = run->end;
    while (begin < rows && !plan_has_row(p, rank, begin))
        begin++;
    *run = (struct range){begin, begin};
    while (run->end < rows && plan_has_row(p, rank, run->end))
        run->end++;
    return run->end > begin;
}

json_t *row_ranges_json(const struct plan_parameter *p, int rank)
{
    json_t *list = json_array();
    struct range run = {0, 0};
    if (p->n_heads)
        while (next_rows(p, rank, &run))
            json_array_append_new(list, range_json(run));
    for (int i = 0; i < p->n_parts && !p->n_heads; i++)
        json_array_append_new(list, range_json(p->rank_rows[rank * p->n_parts + i]));
    return list;
}

int rows_of_parts(const struct plan_parameter *p, int rank)
{
    int rows = 0;
    for (int i = 0; i < p->n_parts; i++) {
        struct range part = p->rank_rows[rank * p->n_parts + i];
        rows += part.end - part.begin;
    }
    return rows;
}

// Of an expert, or of the parts of a rank, one behind the other.
static int64_t bytes_of_recipe(const struct plan_parameter *p, int rank)
{
    const struct range columns = p->rank_columns[rank],
                       all = p->rank_experts ? p->rank_experts[rank] : (struct range){0, 1};
    int64_t bytes = 0;
    for (int expert = all.begin; expert < all.end; expert++)
        for (int i = 0; i < p->n_parts; i++) {
            const struct range part = p->rank_rows[rank * p->n_parts + i];
            const int64_t first = p->n_experts && p->n_tensors == 1 ? expert * p->rows : 0;
            bytes += (int64_t)stored_weight_bytes(p->recipe, first + part.begin, first + part.end,
                                                  columns.begin, columns.end);
        }
    return bytes;
}

int64_t bytes_of_part(const struct plan *plan, const struct plan_parameter *p, int rank)
{
    struct range columns = p->rank_columns[rank];
    const double bits =
        p->stored == ELEMENT_NONE ? 8.0 * (double)compute_bytes(plan->compute) : p->bits;
    int experts = p->rank_experts ? p->rank_experts[rank].end - p->rank_experts[rank].begin : 1;
    const int64_t rows = (int64_t)rows_of_parts(p, rank) * experts;
    if (p->recipe)
        return bytes_of_recipe(p, rank);
    return (int64_t)((double)(rows * (columns.end - columns.begin)) * bits / 8);
}
