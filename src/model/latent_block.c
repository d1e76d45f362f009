// Latent attention, in the absorbed form (docs/numerics.md section 13): a head's query meets the
// latents themselves, after kv_b_proj's rows of keys have turned it to them, and its sum of latents
// becomes its value by kv_b_proj's rows of values.
#include <stddef.h>
#include <string.h>

#include "model/latent_context.h"

// Rows (a token's head each) of one call of attention: as many as share what is read of the cache.
enum { CALL_ROWS = 96, CALL_HEADS = 64 };

static size_t query_width(const struct latent_work *a)
{
    return (size_t)range_width(a->heads) * (size_t)a->config->head_dim;
}

// The latent of the queries, normed, makes them.
static void raise_queries(const struct latent_work *a)
{
    struct model *m = a->m;
    const int32_t rank = a->config->latent.q_rank;
    const struct leaf_plan leaves = leaf_plan_whole(rank);
    const size_t item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(a->w);
    for (int row = rows.begin; row < rows.end; row++)
        apply_norm(m, &a->config->latent.norm, &a->weights->latent.query_norm,
                   latent_row(a, (size_t)row), rank, m->plan->compute,
                   (char *)m->scratch.input + (size_t)row * (size_t)rank * item);
    team_barrier(m->team);
    multiply(a->w, &(struct column_product){.input = m->scratch.input,
                                            .panels = &a->weights->latent.query_up,
                                            .leaves = &leaves,
                                            .out = m->scratch.outputs + a->columns.query,
                                            .out_stride = a->columns.stride});
    team_barrier(m->team);
}

static void project_latent(const struct latent_work *a, const void *input)
{
    struct model *m = a->m;
    multiply(a->w, &(struct column_product){.input = input,
                                            .panels = &a->weights->latent.down,
                                            .bias = a->weights->latent.down_bias,
                                            .out = m->scratch.outputs,
                                            .out_stride = a->columns.stride});
    team_barrier(m->team);
    if (a->config->latent.q_rank)
        raise_queries(a);
    if (a->chooses && a->leaves_out)
        multiply_index_queries(a);
}

// The latent normed, the key and the queries' last numbers turned, all in their places; the queries
// as an input in scratch.query.
static void prepare_rows(const struct latent_work *a)
{
    const struct model *m = a->m;
    const struct latent_config *l = &a->config->latent;
    const size_t width = query_width(a), item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(a->w);
    for (int row = rows.begin; row < rows.end; row++) {
        float *x = latent_row(a, (size_t)row), *latent = x + a->columns.latent,
              *query = x + a->columns.query;
        apply_norm(m, &l->norm, &a->weights->latent.norm, latent, l->kv_rank, COMPUTE_F32, latent);
        rotate_numbers(m, a->config->rope, (size_t)row, latent + l->kv_rank);
        m->kernels->round(query, width, m->plan->compute,
                          (char *)m->scratch.query + (size_t)row * width * item);
        for (int head = 0; head < range_width(a->heads); head++)
            rotate_numbers(m, a->config->rope, (size_t)row,
                           query + (size_t)(head * a->config->head_dim + l->nope_dim));
        if (a->chooses)
            prepare_index_row(a, (size_t)row);
    }
    team_barrier(m->team);
}

struct kv_view latent_view(const struct latent_work *a, const struct step_sequence *sequence)
{
    const struct kv_place *place = &a->m->kv[a->m->plan->config.kv_layer[a->layer]];
    return (struct kv_view){
        .type = a->m->plan->cache,
        .head_dim = (int)latent_key_width(a),
        .value_dim = a->config->latent.kv_rank,
        .keys = a->m->kv_memory + place->offset,
        .values = NULL,
        .page_stride = a->m->page_stride,
        .pages = sequence->pages + (size_t)place->group * (size_t)sequence->pages_stride,
    };
}

// New tokens into one page, if this rank has it.
static void store_in_page(const struct latent_work *a, struct kv_view kv, int64_t position, int n,
                          const float *latents)
{
    const struct model *m = a->m;
    const int32_t page = kv.pages[position / KV_PAGE_TOKENS], own = page / m->plan->context_ranks;
    if (page % m->plan->context_ranks != m->context_rank)
        return;
    kv.pages = &own;
    m->kernels->kv_write(&kv, position % KV_PAGE_TOKENS, n, latents, NULL, a->columns.stride);
}

// Page by page: whoever writes a page's first position clears it.
static void store_latents(const struct latent_work *a)
{
    const struct step *step = a->w->run->step;
    int turn = 0;
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        const struct kv_view kv = latent_view(a, q);
        for (int t = 0, n; t < q->n_tokens; t += n) {
            const int64_t position = q->position + t;
            const int room = KV_PAGE_TOKENS - (int)(position % KV_PAGE_TOKENS);
            n = q->n_tokens - t < room ? q->n_tokens - t : room;
            if (turn++ % a->w->n_threads != a->w->thread)
                continue;
            store_in_page(a, kv, position, n,
                          latent_row(a, (size_t)q->first_row + (size_t)t) + a->columns.latent);
            if (a->chooses)
                store_index_keys(a, q, t, n);
        }
    }
}

// ---- products of heads, a thread's few rows at a time ----

static float *thread_rows(const struct latent_work *a)
{
    return a->m->scratch.latent_rows + (size_t)a->w->thread * a->m->scratch.latent_stride;
}

static void multiply_head(const struct latent_work *a, const struct panels *panels, const void *in,
                          size_t in_stride, int n_rows, size_t out_stride)
{
    const struct leaf_plan leaves = leaf_plan_whole(panels->k);
    struct matmul product = product_of(a->w, panels, &leaves);
    product.panel_begin = 0;
    product.panel_end = panels->n_panels;
    product.m = n_rows;
    product.a = in;
    product.a_stride = in_stride;
    product.out = thread_rows(a);
    product.out_stride = out_stride;
    a->m->kernels->matmul(&product);
}

// Which sequence a row is of.
static int sequence_of_row(const struct step *step, int row)
{
    int s = 0;
    while (row >= step->sequences[s].first_row + step->sequences[s].n_tokens)
        s++;
    return s;
}

// Queries as attention reads them: a head's numbers for the latent, and behind them those that the
// rope has turned.
static void absorb_rows(const struct latent_work *a, int head, struct range rows)
{
    const struct model *m = a->m;
    const struct latent_config *l = &a->config->latent;
    const size_t key = latent_key_width(a), width = query_width(a),
                 cached = input_bytes(m->plan->cache), n_heads = (size_t)range_width(a->attended),
                 number = (size_t)(head - a->attended.begin),
                 column = (size_t)(head - a->heads.begin) * (size_t)a->config->head_dim;
    const struct panels up = equal_panels_at(&a->weights->latent.key_up, head - a->heads.begin);
    multiply_head(a, &up,
                  (const char *)m->scratch.query +
                      ((size_t)rows.begin * width + column) * input_bytes(m->plan->compute),
                  width, range_width(rows), key);
    const struct step *step = a->w->run->step;
    int s = a->config->temperature_length ? sequence_of_row(step, rows.begin) : 0;
    for (int row = rows.begin; row < rows.end; row++) {
        float *x = thread_rows(a) + (size_t)(row - rows.begin) * key;
        memcpy(x + l->kv_rank,
               latent_row(a, (size_t)row) + a->columns.query + column + (size_t)l->nope_dim,
               (size_t)l->rope_dim * sizeof *x);
        if (a->config->temperature_length) {
            const struct step_sequence *q = &step->sequences[s];
            s += row >= q->first_row + q->n_tokens;
            q = &step->sequences[s];
            m->kernels->scale(x, query_temperature(a->config, q->position + row - q->first_row),
                              key);
        }
        m->kernels->round(x, key, m->plan->cache,
                          (char *)m->scratch.latent_query +
                              ((size_t)row * n_heads + number) * key * cached);
    }
}

// A head's sums of latents become its values, o_proj's input.
static void raise_values(const struct latent_work *a, int head, struct range rows)
{
    const struct model *m = a->m;
    const size_t rank = (size_t)a->config->latent.kv_rank, item = input_bytes(m->plan->compute),
                 value = (size_t)a->config->latent.value_dim,
                 n_heads = (size_t)range_width(a->attended),
                 number = (size_t)(head - a->attended.begin);
    const struct panels up = equal_panels_at(&a->weights->latent.value_up, head - a->heads.begin);
    multiply_head(a, &up,
                  (const char *)m->scratch.latent_sums +
                      ((size_t)rows.begin * n_heads + number) * rank * item,
                  n_heads * rank, range_width(rows), value);
    for (int row = rows.begin; row < rows.end; row++)
        m->kernels->round(
            thread_rows(a) + (size_t)(row - rows.begin) * value, value, m->plan->compute,
            (char *)m->scratch.input + ((size_t)row * n_heads + number) * value * item);
}

// Of all attended heads, dealt out to the threads.
static void for_head_rows(const struct latent_work *a,
                          void (*work)(const struct latent_work *, int, struct range))
{
    const int n_rows = a->w->run->step->n_rows;
    int turn = 0;
    for (int head = a->attended.begin; head < a->attended.end; head++)
        for (int row = 0; row < n_rows; row += LATENT_ROWS)
            if (turn++ % a->w->n_threads == a->w->thread)
                work(a, head,
                     (struct range){row, row + LATENT_ROWS < n_rows ? row + LATENT_ROWS : n_rows});
}

// ---- attention ----

void attend_latents(const struct latent_work *a, const struct latent_call *call)
{
    const struct model *m = a->m;
    const size_t key = latent_key_width(a), rank = (size_t)a->config->latent.kv_rank,
                 n_heads = (size_t)range_width(a->attended),
                 first =
                     (size_t)call->row * n_heads + (size_t)(call->heads.begin - a->attended.begin);
    const struct attention attention = {
        .kv = call->kv,
        .n_heads = range_width(call->heads),
        .n_tokens = call->n_rows,
        .position = call->position,
        .scale = a->config->scale,
        .q = (char *)m->scratch.latent_query + first * key * input_bytes(m->plan->cache),
        .q_stride = n_heads * key,
        .out_type = m->plan->compute,
        .out = (char *)m->scratch.latent_sums + first * rank * input_bytes(m->plan->compute),
        .out_stride = n_heads * rank,
        .scratch = m->scratch.kernel + (size_t)a->w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->plan->cache == COMPUTE_BF16 ? m->order : ORDER_PAIRS,
    };
    m->kernels->attention(&attention);
}

static int heads_of_call(const struct latent_work *a)
{
    const int heads = range_width(a->attended), threads = a->w->n_threads;
    // all heads share what is read of the cache, so they stay together while all threads have work
    const int each = (a->w->run->step->n_rows * heads + threads - 1) / threads,
              most = each < CALL_HEADS ? each : CALL_HEADS;
    return heads < most ? heads : most;
}

// Deals calls out in turn: later tokens see more keys, so that whole runs would be uneven.
static void attend_all_latents(const struct latent_work *a)
{
    const struct worker *w = a->w;
    const struct step *step = w->run->step;
    const int most = heads_of_call(a), block = CALL_ROWS / most > 0 ? CALL_ROWS / most : 1;
    int turn = 0;
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        const int n_tokens = count_dense_tokens(&a->config->latent, q);
        struct latent_call call = {.kv = latent_view(a, q)};
        for (int head = a->attended.begin; head < a->attended.end; head += most) {
            const int rest = a->attended.end - head, n = rest < most ? rest : most;
            for (int token = 0; token < n_tokens; token += block) {
                const int left = n_tokens - token;
                if (turn++ % w->n_threads != w->thread)
                    continue;
                call.row = q->first_row + token;
                call.n_rows = left < block ? left : block;
                call.position = q->position + token;
                call.heads = (struct range){head, head + n};
                attend_latents(a, &call);
            }
        }
    }
}

// How a step's rows lie, and which of them leave positions out.
static void lay_latent_work(struct latent_work *a)
{
    const struct latent_config *l = &a->config->latent;
    const int64_t positions = a->m->plan->config.max_position_embeddings;
    a->columns = latent_columns_of(l, query_width(a), index_leaves_out(&l->index, positions));
    a->leaves_out = step_leaves_out(l, a->w->run->step);
    a->chooses = index_key_dim(l) > 0;
}

// Rows that attend all positions read the cache itself, the others a copy of what is chosen.
static void attend_rows(const struct latent_work *a)
{
    if (a->leaves_out && a->chooses)
        choose_positions(a);
    attend_all_latents(a);
    if (a->leaves_out)
        attend_chosen(a);
}

void latent_block(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const struct share *share = &cut->shares[m->rank];
    struct latent_work a = {
        .w = w,
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].attention,
        .weights = &m->weights.layers[layer][sublayer].attention,
        .heads = {share->dims[DIM_QUERY].begin, share->dims[DIM_QUERY].end},
        .attended = share->dims[DIM_HEADS],
        .cut = cut,
        .layer = layer,
    };
    a.heads.begin /= a.config->head_dim;
    a.heads.end /= a.config->head_dim;
    lay_latent_work(&a);
    project_latent(&a, sublayer_input(m, layer, sublayer));
    prepare_rows(&a);
    store_latents(&a);
    for_head_rows(&a, absorb_rows);
    team_barrier(m->team);
    if (m->plan->context_ranks > 1)
        attend_context(&a);
    else
        attend_rows(&a);
    team_barrier(m->team);
    LEAVE_IF_FAILED(w);
    for_head_rows(&a, raise_values);
    team_barrier(m->team);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "o_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)a.weights->o.k,
                                              .panels = &a.weights->o,
                                              .bias = a.weights->o_bias});
}
