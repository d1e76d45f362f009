// x += o_proj(attention(q_proj(norm(x)), k_proj(norm(x)), v_proj(norm(x))))
#include <math.h>
#include <stddef.h>

#include "model/forward.h"

// Queries of one call where threads share a sequence: a tile of the kernels, which read the cache
// once for each.
enum { BLOCK_ROWS = 192 };

// Where q, k and v of this rank's heads lie in the rows that the fused product (or a gather) left.
struct projected {
    float *rows;
    size_t stride;
    size_t query, key, value; // columns of the first attended head, and of the first cached KV head
};

// The heads whose output o_proj reads on this rank. All of a rank's heads, unless o_proj splits a
// whole input.
static struct range attended_heads(const struct model *m)
{
    int head_dim = m->plan->config.head_dim;
    return (struct range){m->share->o_columns.begin / head_dim, m->share->o_columns.end / head_dim};
}

static struct projected view_projected(const struct model *m)
{
    const struct model_config *c = &m->plan->config;
    const struct rank_share *s = m->share;
    size_t query = (size_t)c->num_attention_heads * (size_t)c->head_dim;
    size_t key = (size_t)c->num_key_value_heads * (size_t)c->head_dim;
    if (plan_gathers(m->plan, m->plan->styles.qkv))
        return (struct projected){m->scratch.gathered, query + 2 * key, (size_t)s->o_columns.begin,
                                  query, query + key};
    size_t queries = (size_t)range_width(s->q_rows), keys = (size_t)range_width(s->kv_rows);
    return (struct projected){m->scratch.outputs, queries + 2 * keys,
                              (size_t)(s->o_columns.begin - s->q_rows.begin), queries,
                              queries + keys};
}

static void gather_projected(const struct worker *w, int layer)
{
    struct run *run = w->run;
    struct model *m = run->model;
    const struct model_config *c = &m->plan->config;
    int32_t query = c->num_attention_heads * c->head_dim,
            key = c->num_key_value_heads * c->head_dim;
    const struct column_part parts[] = {{offsetof(struct rank_share, q_rows), 0},
                                        {offsetof(struct rank_share, kv_rows), query},
                                        {offsetof(struct rank_share, kv_rows), query + key}};
    if (w->thread == 0) {
        comm_mark(m->comm, run->step->number, layer, "q,k,v");
        run->status = gather_columns(run, parts, 3, m->scratch.outputs, m->scratch.gathered,
                                     (size_t)query + 2 * (size_t)key);
    }
    team_barrier(m->team);
}

static struct kv_view view_cache(const struct model *m, int layer, int local_head,
                                 const struct step_sequence *sequence)
{
    size_t heads = (size_t)range_width(m->share->kv_heads);
    char *keys = m->kv_memory + ((size_t)layer * heads + (size_t)local_head) * m->head_stride;
    return (struct kv_view){
        .type = m->plan->cache,
        .head_dim = m->plan->config.head_dim,
        .keys = keys,
        .values = keys + m->head_stride / 2,
        .page_stride = m->page_stride,
        .pages = sequence->pages,
    };
}

// Queries of this thread's rows: rotated, and rounded as the attention wants them.
static void rotate_queries(const struct worker *w, const struct projected *p)
{
    const struct model *m = w->run->model;
    int head_dim = m->plan->config.head_dim, width = range_width(m->share->o_columns), begin, end;
    size_t half = (size_t)head_dim / 2, item = input_bytes(m->plan->cache);
    team_part(w->run->step->n_rows, w->thread, w->n_threads, &begin, &end);
    for (int row = begin; row < end; row++) {
        float *query = p->rows + (size_t)row * p->stride + p->query;
        const float *cos = m->scratch.cosines + (size_t)row * half,
                    *sin = m->scratch.sines + (size_t)row * half;
        for (int at = 0; at < width; at += head_dim)
            m->kernels->rope(query + at, cos, sin, head_dim);
        m->kernels->round(query, (size_t)width, m->plan->cache,
                          (char *)m->scratch.query + (size_t)row * (size_t)width * item);
    }
}

// New keys and values go into the cache: by sequence and head, since whoever writes a page's first
// position clears it.
static void store_keys(const struct worker *w, int layer, const struct projected *p)
{
    const struct model *m = w->run->model;
    const struct step *step = w->run->step;
    int head_dim = m->plan->config.head_dim, heads = range_width(m->share->kv_heads), begin, end;
    size_t half = (size_t)head_dim / 2;
    team_part(step->n_sequences * heads, w->thread, w->n_threads, &begin, &end);
    for (int item = begin; item < end; item++) {
        const struct step_sequence *sequence = &step->sequences[item / heads];
        int head = item % heads;
        size_t first = (size_t)sequence->first_row, column = (size_t)head * (size_t)head_dim;
        float *keys = p->rows + first * p->stride + p->key + column;
        float *values = p->rows + first * p->stride + p->value + column;
        for (int t = 0; t < sequence->n_tokens; t++)
            m->kernels->rope(keys + (size_t)t * p->stride,
                             m->scratch.cosines + (first + (size_t)t) * half,
                             m->scratch.sines + (first + (size_t)t) * half, head_dim);
        struct kv_view kv = view_cache(m, layer, head, sequence);
        m->kernels->kv_write(&kv, sequence->position, sequence->n_tokens, keys, values, p->stride);
    }
}

// One call: some query heads of one KV head, some tokens of one sequence.
static void attend_local_heads(const struct worker *w, int layer,
                               const struct step_sequence *sequence, struct range heads, int token,
                               int n_tokens)
{
    const struct model *m = w->run->model;
    const struct model_config *c = &m->plan->config;
    int per_group = c->num_attention_heads / c->num_key_value_heads;
    size_t stride = (size_t)range_width(m->share->o_columns);
    size_t row = (size_t)sequence->first_row + (size_t)token;
    size_t column = (size_t)(heads.begin - attended_heads(m).begin) * (size_t)c->head_dim;
    struct attention attention = {
        .kv = view_cache(m, layer, heads.begin / per_group - m->share->kv_heads.begin, sequence),
        .n_heads = range_width(heads),
        .n_tokens = n_tokens,
        .position = sequence->position + token,
        .window = c->sliding_window,
        .scale = (float)(1 / sqrt((double)c->head_dim)),
        .q = (char *)m->scratch.query + (row * stride + column) * input_bytes(m->plan->cache),
        .q_stride = stride,
        .out_type = m->plan->compute,
        .out = (char *)m->scratch.input + (row * stride + column) * input_bytes(m->plan->compute),
        .out_stride = stride,
        .scratch = m->scratch.kernel + (size_t)w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->plan->cache == COMPUTE_BF16 ? m->order : ORDER_PAIRS,
    };
    m->kernels->attention(&attention);
}

// Deals calls out in turn: later tokens see more keys, so that whole runs would be uneven.
static void attend_all(const struct worker *w, int layer)
{
    const struct model *m = w->run->model;
    const struct step *step = w->run->step;
    const struct range all = attended_heads(m);
    int per_group = m->plan->config.num_attention_heads / m->plan->config.num_key_value_heads;
    int groups = (all.end - 1) / per_group - all.begin / per_group + 1;
    // A group's heads share what is read of the cache, so they stay together while there is work
    // for all threads.
    int most = step->n_rows * groups < w->n_threads ? 1 : per_group, turn = 0;
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *sequence = &step->sequences[s];
        for (int head = all.begin, next; head < all.end; head = next) {
            int group_end = (head / per_group + 1) * per_group;
            next = head + most < group_end ? head + most : group_end;
            next = next < all.end ? next : all.end;
            int block = BLOCK_ROWS / (next - head) > 0 ? BLOCK_ROWS / (next - head) : 1;
            if (w->n_threads == 1)
                block = sequence->n_tokens;
            for (int token = 0; token < sequence->n_tokens; token += block) {
                int rest = sequence->n_tokens - token;
                if (turn++ % w->n_threads == w->thread)
                    attend_local_heads(w, layer, sequence, (struct range){head, next}, token,
                                       rest < block ? rest : block);
            }
        }
    }
}

void attention_block(const struct worker *w, int layer)
{
    struct model *m = w->run->model;
    const struct layer_weights *weights = &m->weights.layers[layer];
    multiply(w, &(struct column_product){.panels = &weights->qkv,
                                         .bias = weights->qkv_bias,
                                         .out = m->scratch.outputs,
                                         .out_stride = (size_t)weights->qkv.n});
    team_barrier(m->team);
    if (plan_gathers(m->plan, m->plan->styles.qkv))
        gather_projected(w, layer);
    LEAVE_IF_FAILED(w);
    struct projected projected = view_projected(m);
    rotate_queries(w, &projected);
    store_keys(w, layer, &projected);
    team_barrier(m->team);
    attend_all(w, layer);
    team_barrier(m->team);
    struct row_product o_proj = {.what = "o_proj",
                                 .input = m->scratch.input,
                                 .input_stride = (size_t)weights->o.k,
                                 .panels = &weights->o,
                                 .leaves = &m->attention_leaves,
                                 .tree = &m->plan->attention_tree,
                                 .bias = weights->o_bias,
                                 .next_norm = weights->post_norm};
    multiply_and_reduce(w, layer, &o_proj);
}
