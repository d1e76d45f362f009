// What the cost model says, as text and as JSON.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/json_output.h"
#include "cmd/plan_command.h"
#include "cmd/prediction.h"

// ---- which layers are on which node ----

// The ranks that a node has of a stage.
static struct range stage_on_node(const struct plan *plan, const struct node_layout *nodes,
                                  int node, int stage)
{
    int first = stage * plan->n_ranks, begin = nodes->first_rank[node],
        end = nodes->first_rank[node + 1];
    begin = begin > first ? begin : first;
    end = end < first + plan->n_ranks ? end : first + plan->n_ranks;
    return (struct range){begin, end > begin ? end : begin};
}

void node_layout_print(const struct plan *plan, const struct node_layout *nodes)
{
    for (int node = 0; node < nodes->n_nodes && nodes->n_nodes > 1; node++) {
        const char *between = " ";
        char text[40];
        output_print("Node %d:", node);
        for (int stage = 0; stage < plan->n_stages; stage++) {
            struct range ranks = stage_on_node(plan, nodes, node, stage);
            int n = ranks.end - ranks.begin;
            if (n == 0)
                continue;
            show_range(plan_stage_layers(plan, stage), text, sizeof text);
            output_print("%slayers %s (TP=%d), ", between, text, plan->n_ranks);
            show_range(ranks, text, sizeof text);
            output_print("rank%s %s", n == 1 ? "" : "s", text);
            between = "; ";
        }
        output_print("\n");
    }
}

json_t *node_layout_json(const struct plan *plan, const struct node_layout *nodes)
{
    json_t *list = json_array();
    for (int node = 0; node < nodes->n_nodes; node++) {
        json_t *stages = json_array();
        for (int stage = 0; stage < plan->n_stages; stage++) {
            struct range ranks = stage_on_node(plan, nodes, node, stage);
            if (ranks.end > ranks.begin)
                json_array_append_new(stages, json_pack("{s:i, s:o, s:o}", "stage", stage, "layers",
                                                        range_json(plan_stage_layers(plan, stage)),
                                                        "ranks", range_json(ranks)));
        }
        json_array_append_new(list, json_pack("{s:i, s:o}", "node", node, "stages", stages));
    }
    return list;
}

// ---- a prediction ----

// Of all streams at their full length; what users ask for may be more than any memory.
static double kv_bytes_needed(const struct plan_memory *m, const struct cost_work *work)
{
    return (double)m->kv_bytes_per_token * work->concurrency *
           ((double)work->input_len + work->output_len);
}

static double needed_bytes(const struct plan_memory *m, const struct cost_work *work)
{
    return (double)m->weight_bytes + kv_bytes_needed(m, work) + (double)m->scratch_bytes;
}

double shown_rank_bytes(const struct shown_prediction *shown, int stage)
{
    return needed_bytes(&shown->memory[stage], &shown->work);
}

enum status shown_prediction_make(const struct cost_model *model,
                                  const struct checkpoint *checkpoint, const struct cost_work *work,
                                  const char *name, struct shown_prediction *out)
{
    const struct plan *plan = model->plan;
    *out = (struct shown_prediction){.model = *model, .work = *work, .name = name};
    TRY(memory_new((size_t)plan->n_stages, sizeof *out->memory, "stages", &out->memory));
    for (int rank = 0; rank < plan_world_size(plan); rank++) {
        struct plan_memory m, *most = &out->memory[rank / plan->n_ranks];
        int logits =
            work->concurrency < work->batched_tokens ? work->concurrency : work->batched_tokens;
        TRY(plan_memory(plan, checkpoint, rank, work->batched_tokens, logits, 1, &m));
        if (needed_bytes(&m, work) > needed_bytes(most, work))
            *most = m;
    }
    return cost_predict(&out->model, &out->work, &out->costs);
}

void shown_prediction_fini(struct shown_prediction *shown)
{
    cost_prediction_fini(&shown->costs);
    free(shown->memory);
    *shown = (struct shown_prediction){0};
}

const char *cost_bound(const struct stage_cost *stages, int n_stages, double turnaround,
                       int n_under_way)
{
    double period = cost_period(stages, n_stages, turnaround, n_under_way);
    const struct stage_cost *slowest = &stages[0];
    for (int stage = 1; stage < n_stages; stage++)
        if (stages[stage].seconds + stages[stage].hand_over > slowest->seconds + slowest->hand_over)
            slowest = &stages[stage];
    const struct {
        double seconds;
        const char *what;
    } parts[] = {
        {slowest->read_seconds >= slowest->flop_seconds ? slowest->work : 0,
         "reading weights and KV"},
        {slowest->read_seconds < slowest->flop_seconds ? slowest->work : 0, "arithmetic"},
        {slowest->exchange, "exchanges inside stages"},
        {slowest->hand_over, "handing the stream over"},
        {period - slowest->seconds - slowest->hand_over,
         n_stages > 1 ? "too few micro-batches for the stages" : "planning and sampling"},
    };
    int most = 0;
    for (int i = 1; i < (int)(sizeof parts / sizeof parts[0]); i++)
        most = parts[i].seconds > parts[most].seconds ? i : most;
    return parts[most].what;
}

// The memory that a rank has: its device's, or its part of its node's.
static double rank_has(const struct cost_model *model, int stage)
{
    const struct machine *m = model->machine;
    const struct node_layout *nodes = model->nodes;
    double least = m->memory_bytes.value;
    for (int r = 0; r < model->plan->n_ranks && m->node_memory_bytes.value > 0; r++) {
        int node = node_of_rank(nodes, stage * model->plan->n_ranks + r);
        least = fmin(least, m->node_memory_bytes.value /
                                (nodes->first_rank[node + 1] - nodes->first_rank[node]));
    }
    return least;
}

static void nodes_of_stage(const struct cost_model *model, int stage, char *out, size_t bytes)
{
    int n = model->plan->n_ranks;
    show_range((struct range){node_of_rank(model->nodes, stage * n),
                              node_of_rank(model->nodes, stage * n + n - 1) + 1},
               out, bytes);
}

static enum status print_memory(const struct shown_prediction *s)
{
    struct table t;
    bool fits = true;
    table_init(&t, 8);
    const char *heading[] = {"stage", "node", "weights a rank", "KV", "scratch", "together",
                             "of",    "fits"};
    for (int i = 0; i < 8; i++)
        table_cell(&t, "%s", heading[i]);
    for (int stage = 0; stage < s->model.plan->n_stages; stage++) {
        const struct plan_memory *m = &s->memory[stage];
        double needs = shown_rank_bytes(s, stage), has = rank_has(&s->model, stage);
        char nodes[40];
        nodes_of_stage(&s->model, stage, nodes, sizeof nodes);
        fits = fits && needs <= has;
        table_cell(&t, "%d", stage);
        table_cell(&t, "%s", nodes);
        table_cell(&t, "%s", show_bytes((double)m->weight_bytes));
        table_cell(&t, "%s", show_bytes(kv_bytes_needed(m, &s->work)));
        table_cell(&t, "%s", show_bytes((double)m->scratch_bytes));
        table_cell(&t, "%s", show_bytes(needs));
        table_cell(&t, "%s", show_bytes(has));
        table_cell(&t, "%s", needs <= has ? "yes" : "no");
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    if (!fits)
        output_print("It does not fit: more ranks, fewer streams, or shorter ones are needed.\n");
    return status;
}

// "1.23 ms"
static void milliseconds(struct table *t, double seconds)
{
    table_cell(t, seconds < 1e-4 ? "%.4f" : seconds < 0.1 ? "%.3f" : "%.1f", seconds * 1e3);
}

static enum status print_stage_costs(const struct shown_prediction *s,
                                     const struct stage_cost *stages,
                                     const struct micro_batch *batch)
{
    const struct plan *plan = s->model.plan;
    double period = cost_period(stages, plan->n_stages, s->costs.turnaround, batch->n_under_way);
    struct table t;
    table_init(&t, 10);
    const char *heading[] = {"stage",         "layers",  "work ms",   "arithmetic alone",
                             "reading alone", "waiting", "exchanges", "hand-over",
                             "all",           "bubble"};
    for (int i = 0; i < 10; i++)
        table_cell(&t, "%s", heading[i]);
    for (int stage = 0; stage < plan->n_stages; stage++) {
        const struct stage_cost *c = &stages[stage];
        const double columns[] = {
            c->work,     c->flop_seconds, c->read_seconds,          c->waiting,
            c->exchange, c->hand_over,    c->seconds + c->hand_over};
        char layers[40];
        show_range(plan_stage_layers(plan, stage), layers, sizeof layers);
        table_cell(&t, "%d", stage);
        table_cell(&t, "%s", layers);
        for (int i = 0; i < 7; i++)
            milliseconds(&t, columns[i]);
        table_cell(&t, "%.1f %%", 100 * (1 - (c->seconds + c->hand_over) / period));
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

enum status shown_prediction_print(const struct shown_prediction *s)
{
    const struct cost_prediction *c = &s->costs;
    const struct micro_batch *d = &c->decode_batch, *f = &c->prefill_batch;
    int n_stages = s->model.plan->n_stages;
    output_print("predicted for %s; %d stream%s of %d + %d tokens\n\n", s->model.machine->name,
                 s->work.concurrency, s->work.concurrency == 1 ? "" : "s", s->work.input_len,
                 s->work.output_len);
    TRY(print_memory(s));
    output_print("\ndecode, %d step%s under way, each of %d token%s:\n", d->n_under_way,
                 d->n_under_way == 1 ? "" : "s", d->n_sequences, d->n_sequences == 1 ? "" : "s");
    TRY(print_stage_costs(s, c->decode, d));
    output_print("A token for every stream each %.3f ms: %.1f tok/s a stream, %.1f tok/s in all. "
                 "Bound by %s.\n",
                 c->decode_period * 1e3, c->stream_tokens_per_second, c->decode_tokens_per_second,
                 cost_bound(c->decode, n_stages, c->turnaround, d->n_under_way));
    output_print("\nprefill, steps of %d token%s, %d for a prompt:\n",
                 f->n_sequences * f->tokens_each, f->n_sequences * f->tokens_each == 1 ? "" : "s",
                 c->n_chunks);
    TRY(print_stage_costs(s, c->prefill, f));
    output_print("First token of a prompt alone after %.1f ms; %.1f tok/s in all. Bound by %s.\n",
                 c->first_token_seconds * 1e3, c->prefill_tokens_per_second,
                 cost_bound(c->prefill, n_stages, c->turnaround, f->n_under_way));
    return OK;
}

// ---- the same for machines ----

static json_t *machine_json(const struct machine *m)
{
    json_t *root = json_object();
    const char *section, *key;
    const struct figure *f;
    json_object_set_new(root, "name", json_foreign(m->name));
    for (int i = 0; (f = machine_figure(m, i, &section, &key)); i++) {
        if (f->value == 0 && !f->source[0])
            continue;
        if (!json_object_get(root, section))
            json_object_set_new(root, section, json_object());
        json_object_set_new(json_object_get(root, section), key,
                            f->source[0] ? json_pack("{s:f, s:o}", "value", f->value, "source",
                                                     json_foreign(f->source))
                                         : json_real(f->value));
    }
    return root;
}

static json_t *stage_costs_json(const struct shown_prediction *s, const struct stage_cost *stages,
                                const struct micro_batch *batch)
{
    const struct plan *plan = s->model.plan;
    double period = cost_period(stages, plan->n_stages, s->costs.turnaround, batch->n_under_way);
    json_t *list = json_array();
    for (int stage = 0; stage < plan->n_stages; stage++) {
        const struct stage_cost *c = &stages[stage];
        json_array_append_new(
            list,
            json_pack("{s:i, s:o, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "stage", stage,
                      "layers", range_json(plan_stage_layers(plan, stage)), "work_seconds", c->work,
                      "arithmetic_seconds", c->flop_seconds, "read_seconds", c->read_seconds,
                      "waiting_seconds", c->waiting, "exchange_seconds", c->exchange,
                      "hand_over_seconds", c->hand_over, "seconds", c->seconds + c->hand_over,
                      "bubble", 1 - (c->seconds + c->hand_over) / period));
    }
    return list;
}

static json_t *memory_json(const struct shown_prediction *s)
{
    json_t *list = json_array();
    for (int stage = 0; stage < s->model.plan->n_stages; stage++) {
        const struct plan_memory *m = &s->memory[stage];
        double needs = shown_rank_bytes(s, stage), has = rank_has(&s->model, stage);
        json_array_append_new(
            list, json_pack("{s:i, s:I, s:f, s:I, s:f, s:f, s:b}", "stage", stage, "weight_bytes",
                            (json_int_t)m->weight_bytes, "kv_bytes", kv_bytes_needed(m, &s->work),
                            "scratch_bytes", (json_int_t)m->scratch_bytes, "bytes", needs,
                            "memory_bytes", has, "fits", needs <= has));
    }
    return list;
}

json_t *shown_prediction_json(const struct shown_prediction *s)
{
    const struct cost_prediction *c = &s->costs;
    const struct micro_batch *d = &c->decode_batch, *f = &c->prefill_batch;
    int n_stages = s->model.plan->n_stages;
    json_t *decode = json_pack(
        "{s:i, s:i, s:f, s:f, s:f, s:s, s:o}", "steps_under_way", d->n_under_way, "step_tokens",
        d->n_sequences, "seconds_per_token", c->decode_period, "tokens_per_second_per_stream",
        c->stream_tokens_per_second, "tokens_per_second", c->decode_tokens_per_second, "bound_by",
        cost_bound(c->decode, n_stages, c->turnaround, d->n_under_way), "stages",
        stage_costs_json(s, c->decode, d));
    json_t *prefill = json_pack(
        "{s:i, s:i, s:i, s:f, s:f, s:s, s:o}", "steps_under_way", f->n_under_way, "step_tokens",
        f->n_sequences * f->tokens_each, "steps_per_prompt", c->n_chunks, "first_token_seconds",
        c->first_token_seconds, "tokens_per_second", c->prefill_tokens_per_second, "bound_by",
        cost_bound(c->prefill, n_stages, c->turnaround, f->n_under_way), "stages",
        stage_costs_json(s, c->prefill, f));
    return json_pack("{s:o, s:i, s:i, s:i, s:f, s:o, s:o, s:o}", "machine",
                     machine_json(s->model.machine), "concurrency", s->work.concurrency,
                     "input_len", s->work.input_len, "output_len", s->work.output_len,
                     "turnaround_seconds", c->turnaround, "memory", memory_json(s), "decode",
                     decode, "prefill", prefill);
}
