#include "model/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "device/device.h"
#include "model/expert_exchange.h"
#include "model/forward.h"
#include "model/kv_bytes.h"
#include "model/model_weights.h"
#include "model/plan_build.h"

// The rank's leaves in its own k, which begins at the first of them.
static void leaves_of(const struct reduction_tree *tree, const int32_t *bounds, int tree_rank,
                      struct leaf_plan *out)
{
    int merges[LEAVES_MAX];
    int first = tree->first_leaf[tree_rank], end = tree->first_leaf[tree_rank + 1];
    int n_present = reduction_tree_merges(tree, tree_rank, merges);
    *out = (struct leaf_plan){.n_nodes = reduction_tree_node_count(tree, tree_rank)};
    for (int i = first; i < end; i++) {
        if (bounds[i] == bounds[i + 1])
            continue;
        assert(out->n_leaves < n_present);
        out->leaf[out->n_leaves].k_begin = bounds[i] - bounds[first];
        out->leaf[out->n_leaves].k_end = bounds[i + 1] - bounds[first];
        out->leaf[out->n_leaves].merges = merges[out->n_leaves];
        out->n_leaves++;
    }
    assert(out->n_leaves == n_present);
}

static enum status set_leaves(struct model *m)
{
    const struct plan *plan = m->plan;
    TRY(arena_take(&m->arena, (size_t)plan->n_cuts, sizeof *m->leaves, &m->leaves));
    m->whole = leaf_plan_whole((plan->config.hidden_size + 1) / 2 * 2);
    for (int i = 0; i < plan->n_cuts; i++) {
        const struct cut *cut = &plan->cuts[i];
        if (cut->by_experts)
            leaves_of(&cut->leaf_tree, cut->leaf_bounds, expert_member(cut, m->rank),
                      &m->leaves[i]);
        else
            leaves_of(&cut->tree, cut->leaf_bounds, cut->tree.n_ranks > 1 ? m->rank : 0,
                      &m->leaves[i]);
    }
    return OK;
}

static enum status set_ropes(struct model *m)
{
    const struct model_config *c = &m->plan->config;
    TRY(arena_take(&m->arena, (size_t)c->n_ropes + 1, sizeof *m->ropes, &m->ropes));
    for (int i = 0; i < c->n_ropes; i++)
        rope_init(&m->ropes[i], &c->ropes[i]);
    return OK;
}

// ALiBi's of n = 2^k heads: 2^(-8/n), and its powers; of another number those of the next smaller
// power of two, then every other one of the next larger.
static void fill_slopes(float *slopes, int n)
{
    int power = 1;
    while (2 * power <= n)
        power *= 2;
    for (int i = 0; i < n; i++)
        slopes[i] = (float)(i < power ? number_pow(2, -8.0 * (i + 1) / power)
                                      : number_pow(2, -4.0 * (2 * (i - power) + 1) / power));
}

static enum status set_constants(struct model *m)
{
    const struct model_config *c = &m->plan->config;
    int n = c->hidden_size > KEY_DIM_MAX ? c->hidden_size : KEY_DIM_MAX;
    float *ones, *slopes;
    TRY(arena_take(&m->arena, (size_t)n, sizeof *ones, &ones));
    for (int i = 0; i < n; i++)
        ones[i] = 1;
    m->ones = ones;
    const struct sublayer_config *first = model_config_first(c, MIX_ATTENTION);
    if (!first || !first->attention.alibi)
        return OK;
    n = first->attention.num_attention_heads;
    TRY(arena_take(&m->arena, (size_t)n, sizeof *slopes, &slopes));
    fill_slopes(slopes, n);
    m->slopes = slopes;
    return OK;
}

// Where each layer's keys lie in a page; with it the page's size.
static enum status place_keys(struct model *m)
{
    const struct model_config *c = &m->plan->config;
    TRY(arena_take(&m->arena, (size_t)c->num_hidden_layers, sizeof *m->kv, &m->kv));
    size_t used[KV_GROUPS_MAX] = {0};
    memset(m->kv, 0, (size_t)c->num_hidden_layers * sizeof *m->kv);
    m->page_stride = kv_page_bytes(m->plan, m->stage * m->plan->n_ranks + m->rank);
    for (int layer = m->layers.begin; layer < m->layers.end; layer++) {
        int group = m->plan->kv.group_of[layer], i = kv_sublayer(c, layer);
        m->kv[layer] = (struct kv_place){.offset = used[group], .group = group};
        if (i >= 0)
            m->kv[layer].head_stride =
                kv_head_bytes(m->plan, &model_config_layer(c, layer)->sublayers[i].attention);
        used[group] += kv_layer_bytes(m->plan, m->rank, layer);
    }
    return OK;
}

// Of the first `n` pages of the pool, or places in host memory, those that this rank has.
static size_t own_pages(const struct model *m, int64_t n)
{
    const int ranks = m->plan->context_ranks;
    return (size_t)((n + ranks - 1 - m->context_rank) / ranks);
}

static void touch_memory(char *at, const char *past)
{
    enum { SMALL_PAGE = 4096 }; // or larger: then some writes are for nothing
    while (at < past) {
        *(volatile char *)at = 0;
        at += SMALL_PAGE - (uintptr_t)at % SMALL_PAGE;
    }
}

static enum status reserve_pages(struct model *m)
{
    size_t bytes;
    TRY(place_keys(m));
    TRY(place_states(m));
    size_t host_bytes;
    if (!checked_mul(m->page_stride, own_pages(m, m->kv_pages), &bytes) ||
        !checked_mul(m->page_stride, own_pages(m, m->host_pages), &host_bytes))
        return fail(ERR_INPUT, "%lld pages of KV cache do not fit into memory",
                    (long long)(m->kv_pages + m->host_pages));
    TRY(device_memory_new(bytes, "the KV cache", (void **)&m->kv_memory));
    m->memory.kv_bytes = bytes;
    if (m->host_pages == 0)
        return OK;
    TRY(device_memory_new(host_bytes, "offloaded keys and values", (void **)&m->host_memory));
    m->memory.host_kv_bytes = host_bytes;
    touch_memory(m->host_memory, m->host_memory + host_bytes); // all of it: its size was given
    return OK;
}

static enum status reserve_scratch(struct model *m)
{
    size_t bytes;
    TRY(scratch_place(m->plan, m->stage * m->plan->n_ranks + m->rank, m->size, NULL, &m->scratch,
                      &bytes));
    TRY(device_memory_new(bytes, "activations", &m->scratch_memory));
    m->memory.scratch_bytes = bytes;
    return scratch_place(m->plan, m->stage * m->plan->n_ranks + m->rank, m->size, m->scratch_memory,
                         &m->scratch, &bytes);
}

// For tests and measurements; all ranks have to be told the same.
static enum status choose_exchange(struct model *m)
{
    static const char variable[] = "COLROW_CONTEXT_EXCHANGE";
    static const char *const ways[] = {"auto", "sums", "pages"};
    const char *value = getenv(variable);
    if (m->plan->context_ranks == 1 || !value)
        return OK;
    for (int way = CONTEXT_BY_COST; way <= CONTEXT_BY_PAGES; way++)
        if (strcmp(value, ways[way]) == 0) {
            m->context_exchange = (enum context_exchange)way;
            return OK;
        }
    return fail(ERR_INPUT, "%s is \"%.40s\"; expected auto, sums or pages", variable, value);
}

enum status model_open(const struct model_options *options, struct model **out)
{
    assert(options && options->plan && options->weights && options->comm && options->kernels &&
           options->team);
    *out = NULL;
    const struct plan *plan = options->plan;
    struct comm *world = options->world ? options->world : options->comm;
    int rank = comm_rank(options->comm);
    if (comm_size(options->comm) != plan->n_ranks || comm_size(world) != plan_world_size(plan))
        return fail(ERR_INTERNAL, "the plan is for %d ranks; expected %d, the size of the group",
                    plan_world_size(plan), comm_size(world));
    if (options->rows_max < 1 || options->logit_rows_max < 0 ||
        options->logit_rows_max > options->rows_max || options->kv_pages < 1 ||
        options->host_pages < 0 || options->kv_pages > INT32_MAX - options->host_pages)
        return fail(ERR_INTERNAL,
                    "a model for %d rows, %d rows of logits and %lld pages cannot be opened",
                    options->rows_max, options->logit_rows_max, (long long)options->kv_pages);
    if (plan->context_ranks > 1 &&
        (!options->context || comm_size(options->context) != plan->context_ranks ||
         options->kv_pages % plan->context_ranks || options->host_pages % plan->context_ranks))
        return fail(ERR_INTERNAL,
                    "a model whose cache lies on %d ranks cannot be opened with %lld pages, and "
                    "%lld in host memory",
                    plan->context_ranks, (long long)options->kv_pages,
                    (long long)options->host_pages);
    struct model *m;
    TRY(memory_new(1, sizeof *m, "a model", &m));
    m->plan = plan;
    m->weights = options->weights->weights;
    m->memory = (struct model_memory){.weight_bytes = options->weights->bytes,
                                      .file_bytes_read = options->weights->file_bytes_read,
                                      .weights_ns = options->weights->load_ns};
    m->rank = rank;
    m->stage = comm_rank(world) / plan->n_ranks;
    m->layers = plan_stage_layers(plan, m->stage);
    m->share = &plan->shares[rank];
    m->comm = options->comm;
    m->world = world;
    m->context = options->context;
    m->context_rank = plan_context_rank(plan, rank);
    m->kernels = options->kernels;
    m->order = options->order;
    m->team = options->team;
    m->kv_pages = options->kv_pages;
    m->host_pages = options->host_pages;
    m->size =
        (struct scratch_size){options->rows_max, options->logit_rows_max, team_size(options->team)};
    arena_init(&m->arena);
    enum status status = OK;
    TRY_DONE(choose_exchange(m));
    TRY_DONE(set_ropes(m));
    TRY_DONE(set_leaves(m));
    TRY_DONE(set_constants(m));
    TRY_DONE(reserve_pages(m));
    TRY_DONE(reserve_scratch(m));
    *out = m;
done:
    if (status != OK)
        model_close(m);
    return status;
}

void model_close(struct model *m)
{
    if (!m)
        return;
    device_memory_free(m->kv_memory, m->memory.kv_bytes);
    device_memory_free(m->host_memory, m->memory.host_kv_bytes);
    device_memory_free(m->scratch_memory, m->memory.scratch_bytes);
    arena_fini(&m->arena);
    free(m);
}

void model_touch_pages(struct model *m, int64_t begin, int64_t end)
{
    assert(begin >= 0 && begin <= end && end <= m->kv_pages);
    touch_memory(m->kv_memory + m->page_stride * own_pages(m, begin),
                 m->kv_memory + m->page_stride * own_pages(m, end));
}

void model_memory(const struct model *m, struct model_memory *out)
{
    *out = m->memory;
}
