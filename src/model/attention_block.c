// x += o_proj(attention(q_proj(norm(x)), k_proj(norm(x)), v_proj(norm(x))))
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "model/forward.h"

// Queries of one call where threads share a sequence: a tile of the kernels, which read the cache
// once for each.
enum { BLOCK_ROWS = 192 };

// The sublayer at work.
struct attending {
    const struct worker *w;
    const struct model *m;
    const struct attention_config *config;
    const struct cut *cut;
    const struct share *share; // of this rank
    const struct attention_weights *weights;
    int layer;
};

// Where q, k and v of this rank's heads lie in the rows that the fused product (or a gather) left.
struct projected {
    float *rows;
    size_t stride;
    size_t query, key, value; // columns of the first attended head, and of the first cached KV head
};

// The heads whose output o_proj reads on this rank. All of a rank's heads, unless o_proj splits a
// whole input.
static struct range attended_heads(const struct attending *a)
{
    return a->share->dims[DIM_HEADS];
}

static int heads_per_group(const struct attending *a)
{
    return a->config->num_attention_heads / a->config->num_key_value_heads;
}

static struct projected view_projected(const struct attending *a)
{
    const struct attention_config *c = a->config;
    const struct range *dims = a->share->dims;
    const size_t kv_head = (size_t)a->share->kv_heads.begin,
                 value_dim = (size_t)attention_value_dim(c);
    size_t first = (size_t)dims[DIM_HEADS].begin * (size_t)c->head_dim,
           first_key = kv_head * (size_t)c->head_dim, first_value = kv_head * value_dim;
    size_t queries = (size_t)c->num_attention_heads * (size_t)c->head_dim;
    size_t keys = (size_t)c->num_key_value_heads * (size_t)c->head_dim,
           values = (size_t)c->num_key_value_heads * value_dim;
    if (cut_gathers(a->m->plan, a->cut))
        return (struct projected){a->m->scratch.gathered, queries + keys + values, first,
                                  queries + first_key, queries + keys + first_value};
    queries = (size_t)range_width(dims[DIM_QUERY]);
    keys = (size_t)range_width(dims[DIM_KEY]);
    values = (size_t)range_width(dims[DIM_VALUE]);
    return (struct projected){a->m->scratch.outputs, queries + keys + values,
                              first - (size_t)dims[DIM_QUERY].begin,
                              queries + first_key - (size_t)dims[DIM_KEY].begin,
                              queries + keys + first_value - (size_t)dims[DIM_VALUE].begin};
}

// Rows are as wide as if the layer had all three projections.
static void project(const struct attending *a, const void *input)
{
    const struct range *dims = a->share->dims;
    const struct panels *qkv = &a->weights->qkv;
    size_t queries = (size_t)range_width(dims[DIM_QUERY]),
           keys = (size_t)range_width(dims[DIM_KEY]), values = (size_t)range_width(dims[DIM_VALUE]),
           stride = queries + keys + values;
    struct model *m = a->w->run->model;
    multiply(a->w, &(struct column_product){.input = input,
                                            .panels = qkv,
                                            .bias = a->weights->qkv_bias,
                                            .out = m->scratch.outputs,
                                            .out_stride = stride});
    if (a->config->output_gate)
        multiply(a->w, &(struct column_product){.input = input,
                                                .panels = &a->weights->gate,
                                                .bias = a->weights->gate_bias,
                                                .out = m->scratch.output_gates,
                                                .out_stride = (size_t)a->weights->gate.n});
    team_barrier(m->team);
    if (!a->config->value_is_key)
        return;
    const struct range rows = step_rows(a->w);
    for (int row = rows.begin; row < rows.end; row++) {
        float *key = m->scratch.outputs + (size_t)row * stride + queries;
        memcpy(key + keys, key, keys * sizeof *key);
    }
    team_barrier(m->team);
}

static void gather_projected(const struct attending *a)
{
    struct run *run = a->w->run;
    const struct attention_config *c = a->config;
    const struct share *shares = a->cut->shares;
    int32_t query = c->num_attention_heads * c->head_dim,
            key = c->num_key_value_heads * c->head_dim,
            value = c->num_key_value_heads * attention_value_dim(c);
    const struct column_part parts[] = {
        {shares, DIM_QUERY, 0}, {shares, DIM_KEY, query}, {shares, DIM_VALUE, query + key}};
    if (a->w->thread == 0) {
        comm_mark(a->m->comm, run->step->number, a->layer, "q,k,v");
        run->status = gather_columns(run, parts, 3, a->m->scratch.outputs, a->m->scratch.gathered,
                                     (size_t)query + (size_t)key + (size_t)value);
    }
    team_barrier(a->m->team);
}

static struct kv_view view_cache(const struct attending *a, int local_head,
                                 const struct step_sequence *sequence)
{
    const struct kv_place *place = &a->m->kv[a->m->plan->config.kv_layer[a->layer]];
    const struct plan *plan = a->m->plan;
    const size_t numbers = KV_PAGE_TOKENS * kv_number_bytes(plan->cache, plan->kv_codes);
    char *keys = a->m->kv_memory + place->offset + (size_t)local_head * place->head_stride,
         *values = keys + numbers * (size_t)a->config->head_dim;
    return (struct kv_view){
        .type = plan->cache,
        .codes = plan->kv_codes,
        .head_dim = a->config->head_dim,
        .value_dim = attention_value_dim(a->config),
        .keys = keys,
        .values = values,
        .scales = values + numbers * (size_t)attention_value_dim(a->config),
        .page_stride = a->m->page_stride,
        .pages = sequence->pages + (size_t)place->group * (size_t)sequence->pages_stride,
    };
}

// ---- norms over all heads together: sums of squares of heads, of which ranks have some ----

// Squares of a row: of all query heads, then of all KV heads.
static size_t squares_stride(const struct attending *a)
{
    return (size_t)a->config->num_attention_heads + (size_t)a->config->num_key_value_heads;
}

// Of `n` heads, one number each.
static void square_heads(const struct attending *a, const float *x, int n, float *out)
{
    size_t head_dim = (size_t)a->config->head_dim;
    for (int head = 0; head < n; head++)
        out[head] = a->m->kernels->squares(x + (size_t)head * head_dim, head_dim);
}

// The heads that a rank has for its own, and all of them where each rank has all.
static void find_squares(const struct attending *a, const struct projected *p)
{
    struct run *run = a->w->run;
    struct model *m = run->model;
    const struct range *dims = a->share->dims;
    bool shares = a->cut->sharded && m->plan->n_ranks > 1;
    struct range heads = dims[DIM_HEADS], own = dims[DIM_OWN_KEY_HEADS];
    size_t head_dim = (size_t)a->config->head_dim, stride = squares_stride(a);
    // p is at the first attended head and at the first cached KV head
    size_t query = p->query, key = p->key;
    if (shares) {
        key += (size_t)(own.begin - a->share->kv_heads.begin) * head_dim;
        stride = (size_t)range_width(heads) + (size_t)range_width(own);
    } else {
        query -= (size_t)heads.begin * head_dim;
        key -= (size_t)a->share->kv_heads.begin * head_dim;
        heads = (struct range){0, a->config->num_attention_heads};
        own = (struct range){0, a->config->num_key_value_heads};
    }
    float *out = shares ? m->scratch.own_squares : m->scratch.squares;
    const struct range rows = step_rows(a->w);
    for (int row = rows.begin; row < rows.end; row++) {
        const float *x = p->rows + (size_t)row * p->stride;
        square_heads(a, x + query, range_width(heads), out + (size_t)row * stride);
        square_heads(a, x + key, range_width(own), out + (size_t)row * stride + range_width(heads));
    }
    team_barrier(m->team);
    if (!shares)
        return;
    const struct column_part parts[] = {
        {a->cut->shares, DIM_HEADS, 0},
        {a->cut->shares, DIM_OWN_KEY_HEADS, a->config->num_attention_heads}};
    if (a->w->thread == 0) {
        comm_mark(m->comm, run->step->number, a->layer, "squares of q,k");
        run->status = gather_columns(run, parts, 2, m->scratch.own_squares, m->scratch.squares,
                                     squares_stride(a));
    }
    team_barrier(m->team);
}

// 1 / sqrt(mean + eps), the heads summed in ascending order.
static float whole_factor(const struct attending *a, const float *squares, int n_heads, float eps)
{
    float sum = 0;
    for (int head = 0; head < n_heads; head++)
        sum += squares[head];
    return 1.0f / sqrtf(sum / (float)(n_heads * a->config->head_dim) + eps);
}

static float query_factor(const struct attending *a, size_t row)
{
    return whole_factor(a, a->m->scratch.squares + row * squares_stride(a),
                        a->config->num_attention_heads, a->config->q_norm.eps);
}

static float key_factor(const struct attending *a, size_t row)
{
    const float *squares = a->m->scratch.squares + row * squares_stride(a);
    return whole_factor(a, squares + a->config->num_attention_heads, a->config->num_key_value_heads,
                        a->config->k_norm.eps);
}

// ---- queries and keys ----

void rotate_numbers(const struct model *m, int rope, size_t row, float *x)
{
    if (rope < 0)
        return;
    const size_t half = (size_t)m->ropes[rope].half;
    const float *cos = m->scratch.cosines[rope] + row * half,
                *sin = m->scratch.sines[rope] + row * half;
    if (m->plan->config.ropes[rope].interleaved)
        m->kernels->rope_interleaved(x, cos, sin, (int)(2 * half));
    else
        m->kernels->rope(x, cos, sin, (int)(2 * half));
}

// One head, or of a norm over all heads together this head's part of it. `head` counts from the
// first that the weights have; `r` is of the whole norm.
static void norm_head(const struct attending *a, const struct norm_config *norm,
                      const struct norm_weights *weights, int head, float r, float *x)
{
    int n = a->config->head_dim;
    size_t first = a->config->qk_norm_width == QK_NORM_HEAD ? 0 : (size_t)head * (size_t)n;
    const struct norm_weights part = {
        .weight = weights->weight ? weights->weight + first : a->m->ones,
        .bias = weights->bias ? weights->bias + first : NULL,
    };
    if (norm->kind == NORM_NONE)
        return;
    if (a->config->qk_norm_width == QK_NORM_WHOLE)
        a->m->kernels->scale_weighted(x, r, part.weight, (size_t)n);
    else
        apply_norm(a->m, norm, &part, x, n, COMPUTE_F32, x);
}

static void norm_and_rotate(const struct attending *a, const struct norm_config *norm,
                            const struct norm_weights *weights, int head, float r, size_t row,
                            float *x)
{
    if (!a->config->qk_norm_after_rope)
        norm_head(a, norm, weights, head, r, x);
    rotate_numbers(a->m, a->config->rope, row, x);
    if (a->config->qk_norm_after_rope)
        norm_head(a, norm, weights, head, r, x);
}

float query_temperature(const struct attention_config *c, int64_t position)
{
    int64_t turns = (position + c->temperature_first) / c->temperature_length;
    return 1.0f + c->temperature_beta * number_log((float)(1 + turns));
}

static void heat_queries(const struct attending *a, const struct step_sequence *sequence, int token,
                         float *query, size_t width)
{
    a->m->kernels->scale(query, query_temperature(a->config, sequence->position + token), width);
}

// Queries of these rows of a sequence: normed, rotated, and rounded as the attention wants them.
static void rotate_queries_of(const struct attending *a, const struct projected *p,
                              const struct step_sequence *sequence, struct range rows)
{
    const struct model *m = a->m;
    const int head_dim = a->config->head_dim,
              width = range_width(a->share->dims[DIM_HEADS]) * head_dim;
    size_t item = input_bytes(m->plan->cache);
    for (int row = rows.begin; row < rows.end; row++) {
        float *query = p->rows + (size_t)row * p->stride + p->query;
        float r = a->config->qk_norm_width == QK_NORM_WHOLE ? query_factor(a, (size_t)row) : 0;
        for (int head = 0; head * head_dim < width; head++)
            norm_and_rotate(a, &a->config->q_norm, &a->weights->q_norm, head, r, (size_t)row,
                            query + (size_t)head * (size_t)head_dim);
        if (a->config->temperature_length)
            heat_queries(a, sequence, row - sequence->first_row, query, (size_t)width);
        m->kernels->round(query, (size_t)width, m->plan->cache,
                          (char *)m->scratch.query + (size_t)row * (size_t)width * item);
    }
}

// Of this thread's rows.
static void rotate_queries(const struct attending *a, const struct projected *p)
{
    const struct step *step = a->w->run->step;
    const struct range rows = step_rows(a->w);
    for (int s = 0; s < step->n_sequences; s++) {
        const struct step_sequence *q = &step->sequences[s];
        rotate_queries_of(a, p, q, sequence_rows(q, rows));
    }
}

// New keys and values go into the cache: by sequence and head, since whoever writes a page's first
// position clears it.
static void store_keys(const struct attending *a, const struct projected *p)
{
    const struct step *step = a->w->run->step;
    const struct norm_weights none = {0};
    int heads = range_width(a->share->kv_heads), begin, end;
    team_part(step->n_sequences * heads, a->w->thread, a->w->n_threads, &begin, &end);
    for (int item = begin; item < end; item++) {
        const struct step_sequence *sequence = &step->sequences[item / heads];
        int head = item % heads;
        const size_t first = (size_t)sequence->first_row,
                     value_dim = (size_t)attention_value_dim(a->config);
        float *keys =
            p->rows + first * p->stride + p->key + (size_t)head * (size_t)a->config->head_dim;
        float *values = p->rows + first * p->stride + p->value + (size_t)head * value_dim;
        for (int t = 0; t < sequence->n_tokens; t++) {
            size_t row = first + (size_t)t;
            float r = a->config->qk_norm_width == QK_NORM_WHOLE ? key_factor(a, row) : 0;
            norm_and_rotate(a, &a->config->k_norm, &a->weights->k_norm, head, r, row,
                            keys + (size_t)t * p->stride);
            norm_head(a, &a->config->v_norm, &none, head, 0, values + (size_t)t * p->stride);
            if (a->config->value_scale != 0)
                a->m->kernels->scale(values + (size_t)t * p->stride, a->config->value_scale,
                                     value_dim);
        }
        struct kv_view kv = view_cache(a, head, sequence);
        a->m->kernels->kv_write(&kv, sequence->position, sequence->n_tokens, keys, values,
                                p->stride);
    }
}

// One call: some query heads of one KV head, some tokens of one sequence.
static void attend_local_heads(const struct attending *a, const struct step_sequence *sequence,
                               struct range heads, int token, int n_tokens)
{
    const struct model *m = a->m;
    const size_t head_dim = (size_t)a->config->head_dim,
                 value_dim = (size_t)attention_value_dim(a->config),
                 stride = (size_t)range_width(a->share->dims[DIM_HEADS]) * head_dim,
                 out_stride = (size_t)range_width(a->share->dims[DIM_ATTENDED]);
    size_t row = (size_t)sequence->first_row + (size_t)token;
    size_t first = (size_t)(heads.begin - attended_heads(a).begin);
    const bool gated = a->config->output_gate; // then rounded after that
    struct attention attention = {
        .kv = view_cache(a, heads.begin / heads_per_group(a) - a->share->kv_heads.begin, sequence),
        .n_heads = range_width(heads),
        .n_tokens = n_tokens,
        .position = sequence->position + token,
        .window = a->config->chunked ? 0 : a->config->sliding_window,
        .chunk = a->config->chunked ? a->config->sliding_window : 0,
        .scale = a->config->scale,
        .softcap = a->config->softcap,
        .sinks = a->weights->sinks ? a->weights->sinks + first : NULL,
        .slopes = a->config->alibi ? a->m->slopes + heads.begin : NULL,
        .q = (char *)m->scratch.query +
             (row * stride + first * head_dim) * input_bytes(m->plan->cache),
        .q_stride = stride,
        .out_type = gated ? COMPUTE_F32 : m->plan->compute,
        .out = gated ? (char *)(m->scratch.outputs + row * out_stride + first * value_dim)
                     : (char *)m->scratch.input +
                           (row * out_stride + first * value_dim) * input_bytes(m->plan->compute),
        .out_stride = out_stride,
        .scratch = m->scratch.kernel + (size_t)a->w->thread * MATMUL_SCRATCH_BYTES,
        .order = m->plan->cache == COMPUTE_BF16 ? m->order : ORDER_PAIRS,
    };
    m->kernels->attention(&attention);
}

// Deals calls out in turn: later tokens see more keys, so that whole runs would be uneven.
static void attend_all(const struct attending *a)
{
    const struct worker *w = a->w;
    const struct step *step = w->run->step;
    const struct range all = attended_heads(a);
    int per_group = heads_per_group(a);
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
                    attend_local_heads(a, sequence, (struct range){head, next}, token,
                                       rest < block ? rest : block);
            }
        }
    }
}

// sigmoid(gate) · y of this thread's rows, as o_proj's input.
static void gate_outputs(const struct attending *a)
{
    static const struct activation_args sigmoid = {.kind = ACTIVATION_SIGMOID};
    const struct model *m = a->m;
    const size_t width = (size_t)a->weights->gate.n, item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(a->w);
    for (int i = rows.begin; i < rows.end; i++) {
        const size_t first = (size_t)i * width;
        m->kernels->activate_mul(&sigmoid, m->scratch.output_gates + first,
                                 m->scratch.outputs + first, (int)width, m->plan->compute,
                                 (char *)m->scratch.input + first * item);
    }
    team_barrier(m->team);
}

void attention_block(const struct worker *w, int layer, int sublayer)
{
    struct model *m = w->run->model;
    const struct cut *cut = plan_cut_of(m->plan, layer, sublayer);
    const struct attending a = {
        .w = w,
        .m = m,
        .config = &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].attention,
        .cut = cut,
        .share = &cut->shares[m->rank],
        .weights = &m->weights.layers[layer][sublayer].attention,
        .layer = layer,
    };
    project(&a, sublayer_input(m, layer, sublayer));
    if (cut_gathers(m->plan, cut))
        gather_projected(&a);
    LEAVE_IF_FAILED(w);
    struct projected projected = view_projected(&a);
    if (a.config->qk_norm_width == QK_NORM_WHOLE)
        find_squares(&a, &projected);
    LEAVE_IF_FAILED(w);
    rotate_queries(&a, &projected);
    if (!a.config->keys_of_earlier)
        store_keys(&a, &projected);
    team_barrier(m->team);
    attend_all(&a);
    team_barrier(m->team);
    if (a.config->output_gate)
        gate_outputs(&a);
    multiply_and_reduce(w, layer, sublayer,
                        &(struct row_product){.what = "o_proj",
                                              .input = m->scratch.input,
                                              .input_stride = (size_t)a.weights->o.k,
                                              .panels = &a.weights->o,
                                              .bias = a.weights->o_bias});
}
