#include "model/cost_model.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "device/number.h"

enum { FLOAT_BYTES = 4, FLOPS_OF_FMA = 2 };

int node_of_rank(const struct node_layout *nodes, int world_rank)
{
    int node = 0;
    while (node + 1 < nodes->n_nodes && world_rank >= nodes->first_rank[node + 1])
        node++;
    return node;
}

// ---- who shares what ----

// A stage's ranks lie on consecutive nodes.
struct stage_place {
    int first_node, n_nodes;
    int most; // ranks of it on one node
};

static struct stage_place place_stage(const struct cost_model *model, int stage)
{
    int n = model->plan->n_ranks, first = stage * n;
    struct stage_place place = {.first_node = node_of_rank(model->nodes, first)};
    place.n_nodes = node_of_rank(model->nodes, first + n - 1) - place.first_node + 1;
    for (int node = place.first_node; node < place.first_node + place.n_nodes; node++) {
        int begin = model->nodes->first_rank[node], end = model->nodes->first_rank[node + 1];
        begin = begin > first ? begin : first;
        end = end < first + n ? end : first + n;
        place.most = end - begin > place.most ? end - begin : place.most;
    }
    return place;
}

// Ranks of the node that work at once: all where each stage has a micro-batch, at least one
// stage's.
static double busy_ranks(const struct cost_model *model, const struct micro_batch *batch, int stage,
                         int node)
{
    const struct stage_place place = place_stage(model, stage);
    double ranks = model->nodes->first_rank[node + 1] - model->nodes->first_rank[node];
    double busy = ranks * fmin(1, (double)batch->n_under_way / model->plan->n_stages);
    return fmax(busy, fmin(place.most, ranks));
}

// A rank's part of what the node has, or all that its device has.
static double shared_rate(double device, double node, double n_busy)
{
    return node > 0 ? fmin(device, node / n_busy) : device;
}

static double device_flops(const struct machine *m, enum compute_type type)
{
    switch (type) {
    case COMPUTE_F32:
        return m->float32_flops_per_second.value;
    case COMPUTE_F16:
        return m->float16_flops_per_second.value > 0 ? m->float16_flops_per_second.value
                                                     : m->bfloat16_flops_per_second.value;
    case COMPUTE_BF16:
        break;
    }
    return m->bfloat16_flops_per_second.value;
}

// ---- the two sides of a roofline ----

static void take_longer(const struct cost_model *model, const struct micro_batch *batch, int stage,
                        int rank, struct operation_cost *op)
{
    const struct machine *m = model->machine;
    int node = node_of_rank(model->nodes, stage * model->plan->n_ranks + rank);
    double busy = busy_ranks(model, batch, stage, node);
    double flops =
        shared_rate(device_flops(m, model->plan->compute), m->node_flops_per_second.value, busy);
    double read =
        shared_rate(m->read_bytes_per_second.value, m->node_read_bytes_per_second.value, busy);
    op->flop_seconds = op->flops / flops;
    op->read_seconds = op->bytes / read;
    op->seconds = fmax(op->flop_seconds, op->read_seconds);
}

static double rows_of_batch(const struct micro_batch *batch)
{
    return (double)batch->n_sequences * batch->tokens_each;
}

static double numbers_of(const struct plan_parameter *p, int rank)
{
    double height = 0;
    for (int part = 0; part < p->n_parts; part++) {
        struct range rows = p->rank_rows[rank * p->n_parts + part];
        height += rows.end - rows.begin;
    }
    return height * (p->rank_columns[rank].end - p->rank_columns[rank].begin);
}

// ---- exchanges ----

static double link_rate(const struct machine_link *link, double n_sharing)
{
    return shared_rate(link->bytes_per_second.value, link->node_bytes_per_second.value, n_sharing);
}

// Each rank shows its summands to all others, who add them up; or each sums its part and shows
// that. Which is done is the faster one.
static double sum_in_node(const struct machine *m, int n, double bytes)
{
    double latency = m->in_node.latency_seconds.value, rate = link_rate(&m->in_node, n);
    double one_shot = latency + (n - 1) * bytes / rate;
    double two_shot = 2 * latency + 2.0 * (n - 1) / n * bytes / rate;
    return fmin(one_shot, two_shot);
}

// The same between the nodes' leads.
static double sum_between(const struct machine *m, int n, double bytes, double *latency)
{
    double once = m->between_nodes.latency_seconds.value, rate = link_rate(&m->between_nodes, 1);
    double one_shot = once + (n - 1) * bytes / rate;
    double two_shot = 2 * once + 2.0 * (n - 1) / n * bytes / rate;
    *latency = one_shot <= two_shot ? once : 2 * once;
    return fmin(one_shot, two_shot) - *latency;
}

double cost_all_reduce(const struct cost_model *model, int stage, double bytes)
{
    const struct machine *m = model->machine;
    const struct stage_place place = place_stage(model, stage);
    double start = m->exchange_seconds.value, latency;
    if (model->plan->n_ranks == 1)
        return 0;
    if (place.n_nodes == 1)
        return start + sum_in_node(m, place.most, bytes);
    double wire = sum_between(m, place.n_nodes, bytes, &latency);
    if (place.most == 1)
        return start + latency + wire;
    // The lead reads the others' summands, they read the sum; chunks of both and of the wire
    // overlap.
    double memory = place.most * bytes / link_rate(&m->in_node, place.most);
    return start + latency + 2 * m->in_node.latency_seconds.value + fmax(wire, memory);
}

// Every rank puts `bytes` in and gets everybody's.
static double cost_all_gather(const struct cost_model *model, int stage, double bytes)
{
    const struct machine *m = model->machine;
    const struct stage_place place = place_stage(model, stage);
    double seconds = m->exchange_seconds.value;
    int n = model->plan->n_ranks;
    if (n == 1)
        return 0;
    if (place.most > 1)
        seconds += m->in_node.latency_seconds.value +
                   (place.most - 1) * bytes / link_rate(&m->in_node, place.most);
    if (place.n_nodes > 1)
        seconds += m->between_nodes.latency_seconds.value +
                   (n - place.most) * bytes / link_rate(&m->between_nodes, 1);
    return seconds;
}

static double cost_reduce_scatter(const struct cost_model *model, int stage, double bytes)
{
    const struct machine *m = model->machine;
    const struct stage_place place = place_stage(model, stage);
    int n = model->plan->n_ranks;
    if (n == 1 || place.n_nodes > 1) // over a wire it is an all-reduce of which a part is kept
        return cost_all_reduce(model, stage, bytes);
    return m->exchange_seconds.value + m->in_node.latency_seconds.value +
           (double)(n - 1) / n * bytes / link_rate(&m->in_node, n);
}

// ---- the operations of a layer ----

struct listing {
    const struct cost_model *model;
    const struct micro_batch *batch;
    int stage, rank, sublayer;
    struct operation_cost *out;
    int n;
};

static struct operation_cost *list_operation(struct listing *l, enum operation_kind kind,
                                             const char *name)
{
    assert(l->n < OPERATIONS_MAX);
    struct operation_cost *op = &l->out[l->n++];
    *op = (struct operation_cost){.kind = kind, .sublayer = l->sublayer};
    snprintf(op->name, sizeof op->name, "%s", name);
    return op;
}

static void list_product(struct listing *l, const char *name, double numbers, double rows)
{
    struct operation_cost *op = list_operation(l, OPERATION_PRODUCT, name);
    op->flops = FLOPS_OF_FMA * numbers * rows;
    op->bytes = numbers * (double)compute_bytes(l->model->plan->compute);
    take_longer(l->model, l->batch, l->stage, l->rank, op);
}

// An indexer's scores, of all that is seen; its keys are read once for each sequence.
static void list_index(struct listing *l, const struct latent_config *latent, double seen)
{
    const struct index_config *index = &latent->index;
    if (!index_key_dim(latent) || seen <= index->topk)
        return;
    struct operation_cost *op = list_operation(l, OPERATION_ATTENTION, "indexer");
    op->flops =
        FLOPS_OF_FMA * index->num_heads * (index->head_dim + 1.0) * seen * rows_of_batch(l->batch);
    op->bytes = index->head_dim * seen * l->batch->n_sequences *
                (double)compute_bytes(l->model->plan->cache);
    take_longer(l->model, l->batch, l->stage, l->rank, op);
}

// Scores and values: products of head_dim and of a value's width for each head, token and token
// that it sees. Keys and values are read once for each sequence.
static void list_attention(struct listing *l, const struct cut *cut)
{
    const struct attention_config *a = &cut->sublayer->attention;
    const struct share *share = &cut->shares[l->rank];
    double heads = share->heads.end - share->heads.begin,
           kv_heads = share->kv_heads.end - share->kv_heads.begin, seen = l->batch->context,
           held = seen + (l->batch->tokens_each - 1) / 2.0;
    if (a->sliding_window > 0) {
        seen = fmin(seen, (double)a->sliding_window);
        held = fmin(held, (double)a->sliding_window + l->batch->tokens_each - 1);
    }
    list_index(l, &a->latent, seen);
    if (a->latent.index.topk) { // each row reads its own
        seen = fmin(seen, a->latent.index.topk);
        held = fmin(held, seen * l->batch->tokens_each);
    }
    struct operation_cost *op = list_operation(l, OPERATION_ATTENTION, "attention");
    double key = a->head_dim, value = attention_value_dim(a), cached = key + value;
    if (a->latent.kv_rank) {
        value = a->latent.kv_rank;
        key = cached = value + a->latent.rope_dim;
    }
    op->flops = FLOPS_OF_FMA * heads * (key + value) * seen * rows_of_batch(l->batch);
    const struct plan *plan = l->model->plan;
    op->bytes = kv_heads * held * l->batch->n_sequences *
                (cached * (double)kv_number_bytes(plan->cache, plan->kv_codes) +
                 (double)kv_scales_bytes(plan->kv_codes) / KV_PAGE_TOKENS);
    take_longer(l->model, l->batch, l->stage, l->rank, op);
}

// Three products for each number of a state and token, which is read and written once a step.
static void list_states(struct listing *l, const struct cut *cut)
{
    const struct mamba_config *m = &cut->sublayer->mamba;
    const struct delta_config *d = &cut->sublayer->delta;
    const struct range heads = cut->shares[l->rank].heads;
    double of_head = cut->sublayer->kind == MIX_DELTA ? (double)d->key_head_dim * d->value_head_dim
                                                      : (double)m->head_dim * m->state_size;
    double numbers = (heads.end - heads.begin) * of_head;
    struct operation_cost *op = list_operation(l, OPERATION_ATTENTION, "states");
    op->flops = 3 * FLOPS_OF_FMA * numbers * rows_of_batch(l->batch);
    op->bytes = 2 * numbers * FLOAT_BYTES * l->batch->n_sequences;
    take_longer(l->model, l->batch, l->stage, l->rank, op);
}

static void list_exchange(struct listing *l, const struct plan_edge *edge, double rows)
{
    double bytes = (double)edge->bytes_per_token * rows;
    struct operation_cost *op = NULL;
    switch (edge->action) {
    case EDGE_ALL_REDUCE:
        op = list_operation(l, OPERATION_EXCHANGE, "all-reduce");
        op->seconds = cost_all_reduce(l->model, l->stage, bytes);
        break;
    case EDGE_REDUCE_SCATTER:
        op = list_operation(l, OPERATION_EXCHANGE, "reduce-scatter");
        op->seconds = cost_reduce_scatter(l->model, l->stage, bytes);
        break;
    case EDGE_ALL_GATHER:
        op = list_operation(l, OPERATION_EXCHANGE, "all-gather");
        op->seconds = cost_all_gather(l->model, l->stage, bytes);
        break;
    case EDGE_NOTHING:
    case EDGE_SLICE:
        return;
    }
    assert(op);
    op->bytes = bytes;
}

static void list_edges(struct listing *l, const struct cut *cut, enum edge_place place, double rows)
{
    const struct plan *plan = l->model->plan;
    for (int i = 0; i < plan->n_edges; i++)
        if (plan->edges[i].cut == cut && plan->edges[i].place == place &&
            plan->edges[i].bytes_per_token > 0)
            list_exchange(l, &plan->edges[i], rows);
}

// "q_proj" of "model.layers.7.self_attn.q_proj.weight"
static void name_product(const struct plan_parameter *p, char *out, size_t room)
{
    size_t length = strlen(p->name), begin;
    if (length > 7 && strcmp(p->name + length - 7, ".weight") == 0)
        length -= 7;
    begin = length;
    while (begin > 0 && p->name[begin - 1] != '.')
        begin--;
    snprintf(out, room, "%.*s", (int)(length - begin), p->name + begin);
}

// Experts that rows choose as if by lot: those that somebody chose are read, and each has its part
// of the rows.
static void list_experts_product(struct listing *l, const char *name,
                                 const struct plan_parameter *p)
{
    const struct range own = p->rank_experts[l->rank];
    double rows = rows_of_batch(l->batch), part = (double)p->n_chosen / p->n_experts,
           touched = (own.end - own.begin) * (1 - pow(1 - part, rows));
    list_product(l, name, numbers_of(p, l->rank) * touched,
                 touched > 0 ? rows * part * (own.end - own.begin) / touched : 0);
}

// Those whose outputs are summands, or the others.
static void list_products(struct listing *l, int layer, bool ending)
{
    const struct plan *plan = l->model->plan;
    for (int i = plan->first_of_layer[layer]; i < plan->first_of_layer[layer + 1]; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        char name[40];
        bool ends = slots[p->slots[0]].role == ROLE_INPUTS;
        if (slot_is_taps(p->slots[0]) || p->sublayer != l->sublayer || p->is_vector || p->is_bias ||
            ends != ending || slots[p->slots[0]].role == ROLE_NORM)
            continue;
        name_product(p, name, sizeof name);
        if (p->n_experts)
            list_experts_product(l, name, p);
        else
            list_product(l, name, numbers_of(p, l->rank), rows_of_batch(l->batch));
    }
}

static void list_sublayer(struct listing *l, int layer, int sublayer)
{
    const struct plan *plan = l->model->plan;
    const struct cut *cut = plan_cut_of(plan, layer, sublayer);
    double rows = rows_of_batch(l->batch), joined = 1;
    l->sublayer = sublayer;
    list_edges(l, cut, EDGE_OF_OUTPUTS, rows);
    int first = l->n;
    list_products(l, layer, false);
    list_edges(l, cut, EDGE_OF_MIX, rows);
    if (cut->sublayer->kind == MIX_ATTENTION)
        list_attention(l, cut);
    if (cut->sublayer->kind == MIX_MAMBA || cut->sublayer->kind == MIX_DELTA)
        list_states(l, cut);
    list_edges(l, cut, EDGE_OF_INPUTS, rows);
    list_products(l, layer, true);
    if (l->n > first)
        l->out[first].seconds += l->model->machine->sublayer_seconds.value;
    if (plan_joins_next(plan, layer, sublayer))
        return;
    if (sublayer > 0 && plan_joins_next(plan, layer, sublayer - 1))
        joined = 2;
    list_edges(l, cut, EDGE_OF_SUM, rows * joined);
}

int cost_operations(const struct cost_model *model, const struct micro_batch *batch, int layer,
                    int rank, struct operation_cost out[OPERATIONS_MAX])
{
    const struct plan *plan = model->plan;
    const struct model_config *c = &plan->config;
    struct listing l = {.model = model, .batch = batch, .rank = rank, .sublayer = -1, .out = out};
    if (layer == c->num_hidden_layers) {
        struct range vocab = plan->shares[rank].dims[DIM_VOCAB];
        l.stage = plan->n_stages - 1;
        list_edges(&l, NULL, EDGE_OF_LM_HEAD, batch->n_logits);
        list_product(&l, "lm_head", (double)(vocab.end - vocab.begin) * c->hidden_size,
                     batch->n_logits);
        return l.n;
    }
    while (layer >= plan->first_layer[l.stage + 1])
        l.stage++;
    if (layer == 0)
        list_edges(&l, NULL, EDGE_OF_EMBED, rows_of_batch(batch));
    for (int i = 0; i < model_config_layer(c, layer)->n_sublayers; i++)
        list_sublayer(&l, layer, i);
    return l.n;
}

// ---- a stage ----

// All ranks have the same operations; between two exchanges they wait for the slowest.
struct stage_sum {
    struct stage_cost *out;
    int n_ranks;
    double since[COMM_RANKS_MAX]; // work since the exchange before
};

static void meet_slowest(struct stage_sum *s)
{
    double most = 0;
    for (int r = 0; r < s->n_ranks; r++)
        most = fmax(most, s->since[r]);
    for (int r = 0; r < s->n_ranks; r++) {
        s->out->waiting += (most - s->since[r]) / s->n_ranks;
        s->since[r] = 0;
    }
    s->out->work += most;
}

static void add_layer_costs(const struct cost_model *model, const struct micro_batch *batch,
                            int layer, struct stage_sum *s)
{
    struct operation_cost ops[COMM_RANKS_MAX][OPERATIONS_MAX];
    int n = 0;
    for (int r = 0; r < s->n_ranks; r++)
        n = cost_operations(model, batch, layer, r, ops[r]);
    for (int i = 0; i < n; i++) {
        if (ops[0][i].kind == OPERATION_EXCHANGE) {
            meet_slowest(s);
            s->out->exchange += ops[0][i].seconds;
            continue;
        }
        double flops = 0, read = 0;
        for (int r = 0; r < s->n_ranks; r++) {
            s->since[r] += ops[r][i].seconds;
            s->out->rank_work[r] += ops[r][i].seconds;
            flops = fmax(flops, ops[r][i].flop_seconds);
            read = fmax(read, ops[r][i].read_seconds);
        }
        s->out->flop_seconds += flops;
        s->out->read_seconds += read;
    }
}

// Each rank sends its rows to the one with its number on the next stage, all at once.
static double cost_hand_over(const struct cost_model *model, const struct micro_batch *batch,
                             int stage)
{
    const struct plan *plan = model->plan;
    const struct machine *m = model->machine;
    double most = 0, sent = rows_of_batch(batch) * plan->config.hidden_size * FLOAT_BYTES;
    if (stage == plan->n_stages - 1)
        return 0;
    if (plan->config.altup.num_inputs)
        sent *= plan->config.altup.num_inputs;
    if (plan->residual_sharded)
        sent /= plan->n_ranks;
    for (int r = 0; r < plan->n_ranks; r++) {
        int from = stage * plan->n_ranks + r;
        bool same =
            node_of_rank(model->nodes, from) == node_of_rank(model->nodes, from + plan->n_ranks);
        const struct machine_link *link = same ? &m->in_node : &m->between_nodes;
        most = fmax(most, link->latency_seconds.value +
                              sent / link_rate(link, place_stage(model, stage).most));
    }
    return m->exchange_seconds.value + most;
}

void cost_stage(const struct cost_model *model, const struct micro_batch *batch, int stage,
                struct stage_cost *out)
{
    const struct plan *plan = model->plan;
    struct range layers = plan_stage_layers(plan, stage);
    struct stage_sum sum = {.out = out, .n_ranks = plan->n_ranks};
    *out = (struct stage_cost){0};
    if (stage == plan->n_stages - 1)
        layers.end++; // lm_head
    for (int layer = layers.begin; layer < layers.end; layer++)
        add_layer_costs(model, batch, layer, &sum);
    meet_slowest(&sum);
    out->seconds = out->work + out->exchange;
    out->hand_over = cost_hand_over(model, batch, stage);
}

// Results of other nodes' ranks come over the wire.
double cost_turnaround(const struct cost_model *model)
{
    int last = plan_world_size(model->plan) - 1;
    bool far = node_of_rank(model->nodes, last) > 0;
    return model->machine->step_seconds.value +
           (far ? model->machine->between_nodes.latency_seconds.value : 0);
}

// ---- what a user asks for ----

double cost_period(const struct stage_cost *stages, int n_stages, double turnaround,
                   int n_under_way)
{
    double slowest = 0, through = turnaround;
    for (int stage = 0; stage < n_stages; stage++) {
        double busy = stages[stage].seconds + stages[stage].hand_over;
        slowest = fmax(slowest, busy);
        through += busy;
    }
    return fmax(slowest, through / n_under_way);
}

static double cost_through(const struct stage_cost *stages, int n_stages, double turnaround)
{
    return cost_period(stages, n_stages, turnaround, 1); // nobody else is under way
}

static void cost_stages(const struct cost_model *model, const struct micro_batch *batch,
                        struct stage_cost *out)
{
    for (int stage = 0; stage < model->plan->n_stages; stage++)
        cost_stage(model, batch, stage, &out[stage]);
}

static void predict_decode(const struct cost_model *model, const struct cost_work *work,
                           struct cost_prediction *p)
{
    int n_stages = model->plan->n_stages;
    int n = work->concurrency < n_stages ? work->concurrency : n_stages;
    int each = (work->concurrency + n - 1) / n;
    p->decode_batch = (struct micro_batch){.n_sequences = each,
                                           .tokens_each = 1,
                                           .context = work->input_len + work->output_len / 2.0,
                                           .n_logits = each,
                                           .n_under_way = n};
    cost_stages(model, &p->decode_batch, p->decode);
    p->decode_period = n * cost_period(p->decode, n_stages, p->turnaround, n);
    p->stream_tokens_per_second = 1 / p->decode_period;
    p->decode_tokens_per_second = work->concurrency / p->decode_period;
}

// Chunks of a prompt follow each other through the stages; so do prompts.
static void predict_prefill(const struct cost_model *model, const struct cost_work *work,
                            struct cost_prediction *p)
{
    int n_stages = model->plan->n_stages, together = 1;
    int chunks = (work->input_len + work->batched_tokens - 1) / work->batched_tokens;
    int chunk = (work->input_len + chunks - 1) / chunks;
    if (chunks == 1) { // several prompts may fit into a chunk
        together = work->batched_tokens / work->input_len;
        together = together < work->concurrency ? together : work->concurrency;
    }
    struct micro_batch batch = {.n_sequences = 1,
                                .tokens_each = chunk,
                                .context = (work->input_len + 1) / 2.0,
                                .n_logits = 1,
                                .n_under_way = chunks < n_stages ? chunks : n_stages};
    cost_stages(model, &batch, p->prefill);
    p->n_chunks = chunks;
    p->first_token_seconds =
        cost_through(p->prefill, n_stages, p->turnaround) +
        (chunks - 1) * cost_period(p->prefill, n_stages, p->turnaround, batch.n_under_way);
    p->n_prefill_passes = (int64_t)((work->concurrency + together - 1) / together) * chunks;
    batch.n_sequences = batch.n_logits = together;
    batch.n_under_way = p->n_prefill_passes < n_stages ? (int)p->n_prefill_passes : n_stages;
    p->prefill_batch = batch;
    cost_stages(model, &batch, p->prefill);
    double all = cost_through(p->prefill, n_stages, p->turnaround) +
                 (double)(p->n_prefill_passes - 1) *
                     cost_period(p->prefill, n_stages, p->turnaround, batch.n_under_way);
    p->prefill_tokens_per_second = (double)work->input_len * work->concurrency / all;
}

enum status cost_predict(const struct cost_model *model, const struct cost_work *work,
                         struct cost_prediction *out)
{
    assert(work->concurrency > 0 && work->input_len > 0 && work->batched_tokens > 0);
    const struct machine *m = model->machine;
    *out = (struct cost_prediction){.turnaround = cost_turnaround(model)};
    if (device_flops(m, model->plan->compute) <= 0)
        return fail(ERR_INPUT,
                    "machine \"%s\" has no \"float32_flops_per_second\", but the model computes in "
                    "float32; expected that figure in \"device\"",
                    m->name);
    if (model->nodes->n_nodes > 1 && m->between_nodes.bytes_per_second.value <= 0)
        return fail(
            ERR_INPUT,
            "machine \"%s\" has no \"link_between_nodes\", but there are %d nodes; expected "
            "its latency and bandwidth",
            m->name, model->nodes->n_nodes);
    if (plan_world_size(model->plan) > model->nodes->n_nodes &&
        m->in_node.bytes_per_second.value <= 0)
        return fail(
            ERR_INPUT,
            "machine \"%s\" has no \"link_in_node\", but a node has several ranks; expected "
            "its latency and bandwidth",
            m->name);
    TRY(memory_new(2 * (size_t)model->plan->n_stages, sizeof *out->decode, "stages", &out->decode));
    out->prefill = out->decode + model->plan->n_stages;
    predict_decode(model, work, out);
    predict_prefill(model, work, out);
    return OK;
}

void cost_prediction_fini(struct cost_prediction *prediction)
{
    free(prediction->decode);
    *prediction = (struct cost_prediction){0};
}
