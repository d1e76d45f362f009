// Sparse attention over latents (docs/numerics.md section 15): an indexer's scores choose which
// positions a row attends, and those are copied together, so that attention is that of section 7
// over a shorter sequence. Rows that see no more positions than that attend the cache itself.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/best_positions.h"
#include "model/latent_work.h"

int count_dense_tokens(const struct latent_config *config, const struct step_sequence *sequence)
{
    const int64_t left = config->index.topk - sequence->position;
    if (!config->index.topk || left >= sequence->n_tokens)
        return sequence->n_tokens;
    return left > 0 ? (int)left : 0;
}

bool step_leaves_out(const struct latent_config *config, const struct step *step)
{
    for (int s = 0; s < step->n_sequences; s++)
        if (count_dense_tokens(config, &step->sequences[s]) < step->sequences[s].n_tokens)
            return true;
    return false;
}

// ---- what an indexer makes of rows ----

static size_t index_query_width(const struct latent_work *a)
{
    return (size_t)a->config->latent.index.num_heads * (size_t)a->config->latent.index.head_dim;
}

static char *index_query_row(const struct latent_work *a, size_t row)
{
    return (char *)a->m->scratch.index_query +
           row * index_query_width(a) * input_bytes(a->m->plan->cache);
}

void multiply_index_queries(const struct latent_work *a)
{
    const struct leaf_plan leaves = leaf_plan_whole(a->config->latent.q_rank);
    multiply(a->w, &(struct column_product){.input = a->m->scratch.input,
                                            .panels = &a->weights->latent.index_query,
                                            .leaves = &leaves,
                                            .out = a->m->scratch.outputs + a->columns.index_query,
                                            .out_stride = a->columns.stride});
    team_barrier(a->m->team);
}

void prepare_index_row(const struct latent_work *a, size_t row)
{
    const struct model *m = a->m;
    const struct index_config *index = &a->config->latent.index;
    float *x = latent_row(a, row), *key = x + a->columns.index_key,
          *query = x + a->columns.index_query;
    apply_norm(m, &index->norm, &a->weights->latent.index_norm, key, index->head_dim, COMPUTE_F32,
               key);
    rotate_numbers(m, index->rope, row, key);
    if (!a->leaves_out)
        return;
    for (int head = 0; head < index->num_heads; head++)
        rotate_numbers(m, index->rope, row, query + (size_t)head * (size_t)index->head_dim);
    m->kernels->round(query, index_query_width(a), m->plan->cache, index_query_row(a, row));
    m->kernels->scale(x + a->columns.index_weights,
                      (float)(1 / sqrt((double)index->num_heads * index->head_dim)),
                      (size_t)index->num_heads);
}

// Behind the page's latents.
static struct kv_view index_view(const struct latent_work *a, const struct step_sequence *sequence)
{
    struct kv_view kv = latent_view(a, sequence);
    kv.keys += KV_PAGE_TOKENS * latent_key_width(a) * compute_bytes(kv.type);
    kv.head_dim = a->config->latent.index.head_dim;
    kv.value_dim = 0;
    return kv;
}

void store_index_keys(const struct latent_work *a, const struct step_sequence *sequence, int token,
                      int n_tokens)
{
    const struct kv_view kv = index_view(a, sequence);
    const size_t row = (size_t)sequence->first_row + (size_t)token;
    a->m->kernels->kv_write(&kv, sequence->position + token, n_tokens,
                            latent_row(a, row) + a->columns.index_key, NULL, a->columns.stride);
}

// ---- rows that leave positions out ----

struct sparse_row {
    const struct step_sequence *sequence;
    int row;
    int64_t position;
};

// While there is a row for each thread, each takes one by itself; the last few are shared. Of these
// `share` is called by all threads together.
static void for_sparse_rows(const struct latent_work *a,
                            void (*take)(const struct latent_work *, const struct sparse_row *),
                            void (*share)(const struct latent_work *, const struct sparse_row *,
                                          int n))
{
    const struct step *step = a->w->run->step;
    struct sparse_row rest[TEAM_THREADS_MAX];
    int n = 0, next = 0, n_rest = 0;
    for (int s = 0; s < step->n_sequences; s++)
        n += step->sequences[s].n_tokens -
             count_dense_tokens(&a->config->latent, &step->sequences[s]);
    const int alone = n - n % a->w->n_threads;
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        for (int t = count_dense_tokens(&a->config->latent, q); t < q->n_tokens; t++, next++) {
            const struct sparse_row row = {q, q->first_row + t, q->position + t};
            if (next >= alone)
                rest[n_rest++] = row;
            else if (next % a->w->n_threads == a->w->thread)
                take(a, &row);
        }
    }
    if (!n_rest)
        return;
    team_barrier(a->m->team); // their places in scratch may be in use
    share(a, rest, n_rest);
}

// ---- the choice ----

static float *scores_at(const struct latent_work *a, int place)
{
    return a->m->scratch.index_scores + (size_t)place * a->m->scratch.index_stride;
}

static int32_t *positions_of(const struct latent_work *a, const struct sparse_row *row)
{
    return a->m->scratch.positions + (size_t)row->row * (size_t)a->config->latent.index.topk;
}

static int pages_of_row(const struct sparse_row *row)
{
    return (int)(row->position / KV_PAGE_TOKENS + 1);
}

static void score_pages(const struct latent_work *a, const struct sparse_row *row,
                        struct range pages, float *out)
{
    const struct model *m = a->m;
    if (pages.begin >= pages.end)
        return;
    const struct index_scoring scoring = {
        .kv = index_view(a, row->sequence),
        .n_heads = a->config->latent.index.num_heads,
        .page_begin = pages.begin,
        .page_end = pages.end,
        .q = index_query_row(a, (size_t)row->row),
        .weights = latent_row(a, (size_t)row->row) + a->columns.index_weights,
        .out = out,
        .scratch = m->scratch.kernel + (size_t)a->w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->plan->cache == COMPUTE_BF16 ? m->order : ORDER_PAIRS,
    };
    m->kernels->index_scores(&scoring);
}

static void choose_of(const struct latent_work *a, const struct sparse_row *row,
                      const float *scores)
{
    best_positions(scores, (int32_t)(row->position + 1), a->config->latent.index.topk,
                   positions_of(a, row));
}

static void choose_alone(const struct latent_work *a, const struct sparse_row *row)
{
    float *scores = scores_at(a, a->w->thread);
    score_pages(a, row, (struct range){0, pages_of_row(row)}, scores);
    choose_of(a, row, scores);
}

static void choose_together(const struct latent_work *a, const struct sparse_row *rows, int n)
{
    for (int i = 0; i < n; i++)
        score_pages(a, &rows[i], range_part(a->w, (struct range){0, pages_of_row(&rows[i])}),
                    scores_at(a, i));
    team_barrier(a->m->team);
    if (a->w->thread < n)
        choose_of(a, &rows[a->w->thread], scores_at(a, a->w->thread));
}

void choose_positions(const struct latent_work *a)
{
    for_sparse_rows(a, choose_alone, choose_together);
    team_barrier(a->m->team);
}

// ---- attention of what is chosen ----

static char *chosen_at(const struct latent_work *a, int place)
{
    return a->m->scratch.chosen_pages + (size_t)place * a->m->scratch.chosen_stride;
}

static size_t copied_page_bytes(const struct latent_work *a)
{
    return KV_PAGE_TOKENS * latent_key_width(a) * compute_bytes(a->m->plan->cache);
}

// Columns of pages: one number, or of bf16 a pair, of each position.
static void copy_position_columns(char *to, const char *const from[KV_PAGE_TOKENS], int n,
                                  size_t item, size_t n_items)
{
    const size_t row = KV_PAGE_TOKENS * item;
    for (size_t d = 0; d < n_items; d++, to += row)
        for (int i = 0; i < n; i++) {
            if (item == sizeof(uint32_t))
                ((uint32_t *)(void *)to)[i] = *(const uint32_t *)(const void *)(from[i] + d * row);
            else
                ((uint16_t *)(void *)to)[i] = *(const uint16_t *)(const void *)(from[i] + d * row);
        }
}

// Some pages of the copy: chosen positions in their order, and zeros behind the last one.
static void copy_chosen(const struct latent_work *a, const struct sparse_row *row,
                        struct range pages, char *out)
{
    const struct kv_view kv = latent_view(a, row->sequence);
    const int32_t topk = a->config->latent.index.topk, *positions = positions_of(a, row);
    const size_t page_bytes = copied_page_bytes(a), key = latent_key_width(a),
                 item = kv.type == COMPUTE_F16 ? sizeof(uint16_t) : sizeof(uint32_t),
                 n_items = kv.type == COMPUTE_BF16 ? key / 2 : key;
    for (int page = pages.begin; page < pages.end; page++) {
        const int first = page * KV_PAGE_TOKENS,
                  n = topk - first < KV_PAGE_TOKENS ? topk - first : KV_PAGE_TOKENS;
        const char *from[KV_PAGE_TOKENS];
        char *to = out + (size_t)page * page_bytes;
        for (int i = 0; i < n; i++) {
            const int32_t at = positions[first + i];
            from[i] = kv.keys + (size_t)kv.pages[at / KV_PAGE_TOKENS] * kv.page_stride +
                      (size_t)(at % KV_PAGE_TOKENS) * item;
        }
        if (n < KV_PAGE_TOKENS)
            memset(to, 0, page_bytes);
        copy_position_columns(to, from, n, item, n_items);
    }
}

static struct range all_copied_pages(const struct latent_work *a)
{
    return (struct range){0, (a->config->latent.index.topk + KV_PAGE_TOKENS - 1) / KV_PAGE_TOKENS};
}

static void attend_copy(const struct latent_work *a, const struct sparse_row *row,
                        struct range heads, char *copy)
{
    struct latent_call call = {.kv = latent_view(a, row->sequence),
                               .row = row->row,
                               .n_rows = 1,
                               .position = a->config->latent.index.topk - 1,
                               .heads = heads};
    call.kv.keys = copy;
    call.kv.page_stride = copied_page_bytes(a);
    call.kv.pages = a->m->scratch.chosen_pages_of;
    attend_latents(a, &call);
}

static void attend_alone(const struct latent_work *a, const struct sparse_row *row)
{
    char *copy = chosen_at(a, a->w->thread);
    copy_chosen(a, row, all_copied_pages(a), copy);
    attend_copy(a, row, a->attended, copy);
}

static void attend_together(const struct latent_work *a, const struct sparse_row *rows, int n)
{
    const int heads = range_width(a->attended), threads = a->w->n_threads,
              each = (n * heads + threads - 1) / threads, most = each < heads ? each : heads;
    for (int i = 0; i < n; i++)
        copy_chosen(a, &rows[i], range_part(a->w, all_copied_pages(a)), chosen_at(a, i));
    team_barrier(a->m->team);
    int turn = 0;
    for (int i = 0; i < n; i++)
        for (int head = a->attended.begin; head < a->attended.end; head += most) {
            const int end = head + most < a->attended.end ? head + most : a->attended.end;
            if (turn++ % threads == a->w->thread)
                attend_copy(a, &rows[i], (struct range){head, end}, chosen_at(a, i));
        }
}

void attend_chosen(const struct latent_work *a)
{
    for_sparse_rows(a, attend_alone, attend_together);
}
