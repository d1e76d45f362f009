#include "model/scratch.h"

#include <assert.h>

#include "base/checked.h"

enum { LINE = 64 };

struct walk {
    char *memory;
    size_t bytes;
    bool overflow;
};

static void *reserve_floats(struct walk *w, size_t rows, size_t columns, size_t item_bytes)
{
    size_t begin = w->bytes, bytes;
    if (!checked_mul3(rows, columns, item_bytes, &bytes) || !checked_add(begin, bytes, &bytes) ||
        !checked_add(bytes, LINE - 1, &bytes)) {
        w->overflow = true;
        return NULL;
    }
    w->bytes = bytes / LINE * LINE;
    return w->memory ? w->memory + begin : NULL;
}

static size_t scratch_width(struct range range)
{
    return (size_t)(range.end - range.begin);
}

static size_t most_floats(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void place_exchange(struct walk *w, const struct plan *plan, size_t rows,
                           struct scratch *out)
{
    const struct model_config *c = &plan->config;
    size_t qkv =
        (size_t)(c->num_attention_heads + 2 * c->num_key_value_heads) * (size_t)c->head_dim;
    size_t gathered = 0, received = 0;
    if (plan_gathers(plan, plan->styles.qkv))
        gathered = most_floats(gathered, qkv);
    if (plan_gathers(plan, plan->styles.gate_up))
        gathered = most_floats(gathered, 2 * (size_t)plan->intermediate);
    if (plan->n_ranks > 1 && plan->embed_sharded)
        received = (size_t)c->hidden_size;
    if (plan->n_ranks > 1 && plan->residual_sharded)
        received = most_floats(received, (size_t)c->hidden_size);
    received = most_floats(received, gathered);
    out->received = received ? reserve_floats(w, rows, received, sizeof(float)) : NULL;
    out->gathered = gathered ? reserve_floats(w, rows, gathered, sizeof(float)) : NULL;
}

enum status scratch_place(const struct plan *plan, int rank, struct scratch_size size, void *memory,
                          struct scratch *out, size_t *bytes)
{
    assert(size.rows_max > 0 && size.logit_rows_max >= 0 && size.n_threads > 0);
    const struct rank_share *s = &plan->shares[rank];
    const struct model_config *c = &plan->config;
    struct walk w = {.memory = memory};
    size_t rows = (size_t)size.rows_max, hidden = (size_t)c->hidden_size,
           threads = (size_t)size.n_threads;
    size_t attended = scratch_width(s->o_columns), activated = scratch_width(s->intermediate),
           item = input_bytes(plan->compute);
    size_t fused = most_floats(scratch_width(s->q_rows) + 2 * scratch_width(s->kv_rows),
                               2 * scratch_width(s->gate_up_rows));
    int attention_rank = plan->attention_tree.n_ranks > 1 ? rank : 0,
        mlp_rank = plan->mlp_tree.n_ranks > 1 ? rank : 0;
    size_t nodes =
        most_floats((size_t)reduction_tree_node_count(&plan->attention_tree, attention_rank),
                    (size_t)reduction_tree_node_count(&plan->mlp_tree, mlp_rank));
    out->kernel = reserve_floats(&w, threads, MATMUL_SCRATCH_BYTES, 1);
    out->residual = reserve_floats(&w, rows, hidden, sizeof(float));
    out->input =
        reserve_floats(&w, rows, most_floats(hidden, most_floats(attended, activated)), item);
    out->outputs = reserve_floats(&w, rows, fused, sizeof(float));
    out->query = reserve_floats(&w, rows, attended, input_bytes(plan->cache));
    out->nodes = reserve_floats(&w, rows, nodes * hidden, sizeof(float));
    out->summed = reserve_floats(&w, rows, 1, sizeof(int32_t));
    out->cosines = reserve_floats(&w, rows, (size_t)c->head_dim / 2, sizeof(float));
    out->sines = reserve_floats(&w, rows, (size_t)c->head_dim / 2, sizeof(float));
    place_exchange(&w, plan, rows, out);
    out->logits =
        reserve_floats(&w, threads * (size_t)size.logit_rows_max, LOGIT_COLUMNS, sizeof(float));
    out->best = reserve_floats(&w, threads, (size_t)size.logit_rows_max, sizeof *out->best);
    if (w.overflow)
        return fail(ERR_INPUT,
                    "activations for %d rows and %d rows of logits do not fit into memory",
                    size.rows_max, size.logit_rows_max);
    *bytes = w.bytes;
    return OK;
}
