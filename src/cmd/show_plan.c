// `colrow plan`: how a model splits over N ranks, from config.json and safetensors headers alone.
#include "cmd/commands.h"

#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/engine_flags.h"
#include "cmd/json_output.h"
#include "cmd/layer_kinds.h"
#include "cmd/plan_command.h"

// Layers of one kind look alike: their parameters share the ranges, and are shown once.
static bool looks_like_earlier(const struct plan *plan, int at)
{
    for (int i = 0; i < at; i++)
        if (plan->parameters[i].rank_rows == plan->parameters[at].rank_rows)
            return true;
    return false;
}

static json_t *rows_json(const struct plan_parameter *p, int rank)
{
    return p->n_parts == 1 ? range_json(p->rank_rows[rank]) : row_ranges_json(p, rank);
}

static enum status print_parameters(const struct plan_command *c, const struct plan *plan)
{
    struct table t;
    int ranks = plan->n_ranks, shown = ranks > 4 ? 4 : ranks;
    table_init(&t, 4 + shown);
    table_cell(&t, "parameter");
    table_cell(&t, "shape");
    table_cell(&t, "style");
    table_cell(&t, "placement");
    for (int r = 0; r < shown; r++)
        table_cell(&t, shown < ranks && r == shown - 1 ? "rank %d ..." : "rank %d", r);
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        if (!c->all_layers && looks_like_earlier(plan, i))
            continue;
        char name[sizeof p->name + 8], shape[64];
        show_shape_of(p, shape, sizeof shape);
        // with several kinds of layers the first of each stands for it
        bool one_kind = !c->all_layers && plan->config.n_layer_kinds == 1;
        const char *layer = one_kind ? strstr(p->name, ".0.") : NULL;
        if (layer)
            snprintf(name, sizeof name, "%.*s.*.%s", (int)(layer - p->name), p->name, layer + 3);
        table_cell(&t, "%s", layer ? name : p->name);
        table_cell(&t, "%s", shape);
        table_cell(&t, "%s", p->style == TP_NONE ? "-" : tp_style_name(p->style));
        table_cell(&t, "%s", placement_name(p->placement));
        for (int r = 0; r < shown; r++) {
            struct range columns = p->rank_columns[r];
            table_cell(&t, p->columns > 1 ? "[%d, %d]" : "[%d]", rows_of_parts(p, r),
                       columns.end - columns.begin);
        }
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

// A rank's share of the first sublayer of that kind, which stands for all; NULL: there is none.
static const struct share *share_of(const struct plan *plan, enum mix_kind kind, int rank)
{
    for (int i = 0; i < plan->n_cuts; i++)
        if (plan->cuts[i].sublayer->kind == kind)
            return &plan->cuts[i].shares[rank];
    return NULL;
}

// What the tables say of a rank.
struct rank_view {
    struct range heads, kv_heads, intermediate, vocab;
};

static struct rank_view view_rank(const struct plan *plan, int rank)
{
    const struct share *attention = share_of(plan, MIX_ATTENTION, rank),
                       *mlp = share_of(plan, MIX_MLP, rank);
    mlp = mlp ? mlp : share_of(plan, MIX_EXPERTS, rank);
    struct rank_view view = {.vocab = plan->shares[rank].dims[DIM_VOCAB]};
    if (attention) {
        view.heads = attention->heads;
        view.kv_heads = attention->kv_heads;
    }
    if (mlp)
        view.intermediate = mlp->dims[DIM_ACTIVATED];
    return view;
}

static enum status print_ranks(const struct plan_command *c, const struct plan *plan)
{
    struct table t;
    enum status status = OK;
    table_init(&t, 9);
    const char *heading[] = {"rank",    "heads", "KV heads", "MLP columns", "vocabulary",
                             "weights", "read",  "KV/token", "sent/token"};
    for (int i = 0; i < 9; i++)
        table_cell(&t, "%s", heading[i]);
    for (int r = 0; r < plan_world_size(plan) && status == OK; r++) {
        const struct rank_view s = view_rank(plan, r % plan->n_ranks);
        struct plan_memory m;
        char text[4][40];
        status = plan_memory(plan, c->checkpoint, r, c->rows, 1, 1, &m);
        if (status != OK)
            break;
        show_range(s.heads, text[0], 40);
        show_range(s.kv_heads, text[1], 40);
        show_range(s.intermediate, text[2], 40);
        show_range(s.vocab, text[3], 40);
        table_cell(&t, "%d", r);
        for (int k = 0; k < 4; k++)
            table_cell(&t, "%s", text[k]);
        table_cell(&t, "%s", show_bytes((double)m.weight_bytes));
        table_cell(&t, "%s", c->checkpoint ? show_bytes((double)m.file_bytes) : "-");
        table_cell(&t, "%s", show_bytes((double)m.kv_bytes_per_token));
        table_cell(&t, "%s", show_bytes((double)plan_bytes_sent_per_token(plan, r)));
    }
    if (status == OK)
        status = table_print(&t, output());
    table_fini(&t);
    return status;
}

static enum status print_edges(const struct plan *plan)
{
    struct table t;
    table_init(&t, 6);
    const char *heading[] = {"edge", "have", "need", "action", "sent/token", "a step"};
    for (int i = 0; i < 6; i++)
        table_cell(&t, "%s", heading[i]);
    for (int i = 0; i < plan->n_edges; i++) {
        table_cell(&t, "%s", plan->edges[i].name);
        table_cell(&t, "%s", placement_name(plan->edges[i].have));
        table_cell(&t, "%s", placement_name(plan->edges[i].need));
        table_cell(&t, "%s%s", edge_action_name(plan->edges[i].action),
                   plan->edges[i].n_joined ? " (joined)" : "");
        table_cell(&t, "%s", show_bytes((double)plan->edges[i].bytes_per_token));
        table_cell(&t, "%d", plan->edges[i].n_times);
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    int layers = plan->config.num_hidden_layers, in_layers,
        all = plan_collectives(plan, &in_layers);
    if (status != OK || all == 0)
        return status;
    output_print("collectives  %d a step", all);
    if (in_layers % layers == 0)
        output_print(", %d a layer", in_layers / layers);
    output_print("\n");
    return OK;
}

// Of a pipeline: which layers and ranks are whose.
static void print_stages(const struct plan *plan)
{
    for (int stage = 0; stage < plan->n_stages && plan->n_stages > 1; stage++) {
        char layers[40], ranks[40];
        int first = stage * plan->n_ranks;
        show_range(plan_stage_layers(plan, stage), layers, sizeof layers);
        show_range((struct range){first, first + plan->n_ranks}, ranks, sizeof ranks);
        output_print("Stage %d: layers %s (TP=%d), rank%s %s\n", stage, layers, plan->n_ranks,
                     plan->n_ranks == 1 ? "" : "s", ranks);
    }
}

static json_t *stages_json(const struct plan *plan)
{
    json_t *list = json_array();
    for (int stage = 0; stage < plan->n_stages; stage++) {
        int first = stage * plan->n_ranks;
        json_array_append_new(list,
                              json_pack("{s:i, s:o, s:o}", "stage", stage, "layers",
                                        range_json(plan_stage_layers(plan, stage)), "ranks",
                                        range_json((struct range){first, first + plan->n_ranks})));
    }
    return list;
}

static void show_sizes(const struct plan_command *c, char *out, size_t bytes)
{
    int sizes[COMM_RANKS_MAX], n = plan_valid_sizes(&c->config, &c->options, sizes, COMM_RANKS_MAX);
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < n && used + 8 < bytes; i++)
        used += (size_t)snprintf(out + used, bytes - used, "%s%d", i ? ", " : "", sizes[i]);
}

// "MLP 14336", "8 experts of 14336, 2 a token"
static void show_mlp(const struct model_config *m, char *out, size_t room)
{
    const struct sublayer_config *experts = model_config_first(m, MIX_EXPERTS);
    if (experts)
        snprintf(out, room, "%d experts of %d, %d a token", experts->experts.num_experts,
                 experts->experts.intermediate_size, experts->experts.num_experts_per_tok);
    else
        snprintf(out, room, "MLP %d", model_config_intermediate_size(m));
}

static void print_model(const struct model_config *m, const char *name, const struct plan *plan)
{
    const struct attention_config *a = model_config_attention(m);
    char mlp[96], active[64] = "";
    show_mlp(m, mlp, sizeof mlp);
    if (model_config_first(m, MIX_EXPERTS))
        snprintf(active, sizeof active, ", %lld of a token", (long long)plan_count_active(plan));
    output_print("%s · %s · %d layers · hidden %d · %d/%d heads of %d · %s · vocabulary %d · "
                 "%lld parameters%s · %s\n",
                 name, m->architecture, m->num_hidden_layers, m->hidden_size,
                 a->num_attention_heads, a->num_key_value_heads, a->head_dim, mlp, m->vocab_size,
                 (long long)plan_count_parameters(plan), active, compute_name(plan->compute));
}

// How matrices are stored, each way once: "gptq ...: 28 matrices".
static void print_recipes(const struct plan *plan)
{
    enum { WAYS = 8, WAY_BYTES = 160 };
    char ways[WAYS][WAY_BYTES], way[WAY_BYTES];
    int count[WAYS] = {0}, n = 0;
    for (int i = 0; i < plan->n_parameters; i++) {
        int at = 0;
        if (!plan->parameters[i].recipe)
            continue;
        stored_weight_show(plan->parameters[i].recipe, way, sizeof way);
        while (at < n && strcmp(ways[at], way) != 0)
            at++;
        if (at == WAYS)
            continue;
        if (at == n)
            snprintf(ways[n++], WAY_BYTES, "%s", way);
        count[at] += plan->parameters[i].n_tensors;
    }
    for (int i = 0; i < n; i++)
        output_print("stored as %s: %d tensor%s of weights\n", ways[i], count[i],
                     count[i] == 1 ? "" : "s");
}

static enum status print_plan(const struct plan_command *c, const struct plan *plan)
{
    const struct model_config *m = &c->config;
    char sizes[512];
    show_sizes(c, sizes, sizeof sizes);
    print_model(m, c->model, plan);
    print_recipes(plan);
    output_print("tensor parallel size %d of %s; sums have %d leaves", plan->n_ranks, sizes,
                 plan->reduction_leaves);
    if (c->more_leaves)
        output_print(", as so many ranks need: start them with --reduction-leaves %d",
                     c->more_leaves);
    output_print("\n");
    print_stages(plan);
    node_layout_print(plan, &c->nodes);
    if (plan->rules_source)
        output_print("rules of %s %s colrow's own\n", plan->rules_source,
                     plan->rules_replace ? "replace" : "are laid over");
    for (int i = 0; i < plan->n_idle_rules; i++)
        output_print("the rule \"%s\" names nothing that this model has\n", plan->idle_rules[i]);
    output_print("\n");
    if (c->on.machine)
        return predict_plan(c, plan, NULL);
    if (m->n_layer_kinds > 1) {
        TRY(layer_kinds_print(m));
        output_print("\n");
    }
    TRY(print_parameters(c, plan));
    output_print("\n");
    TRY(print_edges(plan));
    output_print("\n");
    TRY(print_ranks(c, plan));
    struct plan_memory one;
    uint64_t weights = 0, kv = 0, states = 0, sent = 0;
    for (int r = 0; r < plan_world_size(plan); r++) {
        TRY(plan_memory(plan, c->checkpoint, r, c->rows, 1, 1, &one));
        weights += one.weight_bytes;
        kv += one.kv_bytes_per_token;
        states += one.state_bytes;
        sent += plan_bytes_sent_per_token(plan, r);
    }
    output_print("total  weights %s  KV %s/token", show_bytes((double)weights),
                 show_bytes((double)kv));
    if (states)
        output_print("  states %s/sequence, one more every %d tokens for the prefix cache",
                     show_bytes((double)states), (int)plan->kv.state_interval);
    output_print("  sent %s/token\n", show_bytes((double)sent));
    output_print("\n");
    return reading_print(plan);
}

static json_t *parameter_json(const struct plan *plan, const struct plan_parameter *p)
{
    json_t *ranks = json_array();
    for (int r = 0; r < plan->n_ranks; r++) {
        struct range columns = p->rank_columns[r];
        int64_t height = rows_of_parts(p, r), width = columns.end - columns.begin;
        json_t *shape = p->columns > 1 ? json_pack("[I, I]", (json_int_t)height, (json_int_t)width)
                                       : json_pack("[I]", (json_int_t)height);
        json_array_append_new(ranks, json_pack("{s:o, s:o, s:o, s:I}", "shape", shape, "rows",
                                               rows_json(p, r), "columns", range_json(columns),
                                               "bytes", (json_int_t)bytes_of_part(plan, p, r)));
    }
    json_t *shape = p->columns > 1
                        ? json_pack("[I, I]", (json_int_t)p->rows, (json_int_t)p->columns)
                        : json_pack("[I]", (json_int_t)p->rows);
    if (p->n_experts)
        json_array_insert_new(shape, 0, json_integer(p->n_experts));
    char stored[160];
    if (p->recipe)
        stored_weight_show(p->recipe, stored, sizeof stored);
    return json_pack("{s:s, s:o, s:s?, s:s?, s:s, s:s?, s:s?, s:o}", "name", p->name, "shape",
                     shape, "style", p->style == TP_NONE ? NULL : tp_style_name(p->style), "rule",
                     p->rule, "placement", placement_name(p->placement), "dtype",
                     p->stored == ELEMENT_NONE ? NULL : element_name(p->stored), "stored",
                     p->recipe ? stored : NULL, "ranks", ranks);
}

static json_t *idle_rules_json(const struct plan *plan)
{
    json_t *list = json_array();
    for (int i = 0; i < plan->n_idle_rules; i++)
        json_array_append_new(list, json_foreign(plan->idle_rules[i]));
    return list;
}

static enum status print_plan_json(const struct plan_command *c, const struct plan *plan)
{
    int sizes[COMM_RANKS_MAX], n = plan_valid_sizes(&c->config, &c->options, sizes, COMM_RANKS_MAX);
    json_t *valid = json_array(), *parameters = json_array(), *ranks = json_array(),
           *edges = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(valid, json_integer(sizes[i]));
    for (int i = 0; plan && i < plan->n_parameters; i++)
        json_array_append_new(parameters, parameter_json(plan, &plan->parameters[i]));
    for (int i = 0; plan && i < plan->n_edges; i++) {
        const struct plan_edge *e = &plan->edges[i];
        json_t *edge = json_pack("{s:s, s:s, s:s, s:I}", "name", e->name, "have",
                                 placement_name(e->have), "action", edge_action_name(e->action),
                                 "bytes_sent_per_token", (json_int_t)e->bytes_per_token);
        json_object_set_new(edge, "need", json_string(placement_name(e->need)));
        json_object_set_new(edge, "times_per_step", json_integer(e->n_times));
        json_object_set_new(edge, "joined_per_step", json_integer(e->n_joined));
        json_array_append_new(edges, edge);
    }
    for (int r = 0; plan && r < plan_world_size(plan); r++) {
        const struct rank_view s = view_rank(plan, r % plan->n_ranks);
        struct plan_memory m;
        TRY(plan_memory(plan, c->checkpoint, r, c->rows, 1, 1, &m));
        json_array_append_new(
            ranks,
            json_pack("{s:i, s:o, s:o, s:o, s:o, s:I, s:I, s:I, s:I, s:I}", "rank", r, "heads",
                      range_json(s.heads), "kv_heads", range_json(s.kv_heads), "intermediate",
                      range_json(s.intermediate), "vocab", range_json(s.vocab), "weight_bytes",
                      (json_int_t)m.weight_bytes, "file_bytes", (json_int_t)m.file_bytes,
                      "kv_bytes_per_token", (json_int_t)m.kv_bytes_per_token, "state_bytes",
                      (json_int_t)m.state_bytes, "bytes_sent_per_token",
                      (json_int_t)plan_bytes_sent_per_token(plan, r)));
    }
    json_t *root =
        json_pack("{s:o, s:s, s:s, s:o}", "model", json_foreign(c->model), "architecture",
                  c->config.architecture, "dtype", compute_name(c->options.compute),
                  "valid_tensor_parallel_sizes", valid);
    if (plan) {
        json_object_set_new(root, "tensor_parallel_size", json_integer(plan->n_ranks));
        json_object_set_new(root, "pipeline_parallel_size", json_integer(plan->n_stages));
        json_object_set_new(root, "stages", stages_json(plan));
        json_object_set_new(root, "nodes", node_layout_json(plan, &c->nodes));
        json_object_set_new(root, "reduction_leaves", json_integer(plan->reduction_leaves));
        json_object_set_new(root, "parameter_count", json_integer(plan_count_parameters(plan)));
        json_object_set_new(root, "active_parameter_count", json_integer(plan_count_active(plan)));
        json_object_set_new(root, "reading", reading_json(plan));
        json_object_set_new(root, "collectives_per_step", json_integer(plan_collectives(plan, &n)));
        json_object_set_new(root, "layer_kinds", layer_kinds_json(&plan->config));
        json_object_set_new(root, "idle_rules", idle_rules_json(plan));
        json_object_set(root, "parameters", parameters);
        json_object_set(root, "edges", edges);
        json_object_set(root, "ranks", ranks);
    }
    json_decref(parameters);
    json_decref(edges);
    json_decref(ranks);
    enum status status = plan && c->on.machine ? predict_plan(c, plan, root) : OK;
    if (status == OK)
        return json_write(root, JSON_INDENT(2), NULL);
    json_decref(root);
    return status;
}

// Without -tp: every size that works, and what a rank would hold.
static enum status print_all_sizes(struct plan_command *c)
{
    int sizes[COMM_RANKS_MAX], n = plan_valid_sizes(&c->config, &c->options, sizes, COMM_RANKS_MAX);
    struct table t;
    enum status status = OK;
    table_init(&t, 6);
    const char *heading[] = {
        "-tp", "heads", "KV heads", "MLP columns", "largest rank's weights", "KV/token"};
    for (int i = 0; i < 6; i++)
        table_cell(&t, "%s", heading[i]);
    for (int i = 0; i < n && status == OK; i++) {
        struct plan *plan = NULL;
        struct plan_memory most = {0};
        int heads[2] = {1 << 30, 0}, kv[2] = {1 << 30, 0}, columns[2] = {1 << 30, 0};
        c->options.n_ranks = sizes[i];
        status = plan_compile(&c->config, &c->options, &plan);
        for (int r = 0; status == OK && r < sizes[i]; r++) {
            const struct rank_view s = view_rank(plan, r);
            struct plan_memory m;
            int *pairs[] = {heads, kv, columns};
            struct range ranges[] = {s.heads, s.kv_heads, s.intermediate};
            for (int k = 0; k < 3; k++) {
                int size = ranges[k].end - ranges[k].begin;
                pairs[k][0] = size < pairs[k][0] ? size : pairs[k][0];
                pairs[k][1] = size > pairs[k][1] ? size : pairs[k][1];
            }
            status = plan_memory(plan, c->checkpoint, r, c->rows, 1, 1, &m);
            if (status == OK && m.weight_bytes > most.weight_bytes)
                most = m;
        }
        table_cell(&t, "%d", sizes[i]);
        int *pairs[] = {heads, kv, columns};
        for (int k = 0; k < 3; k++)
            table_cell(&t, pairs[k][0] == pairs[k][1] ? "%d" : "%d-%d", pairs[k][0], pairs[k][1]);
        table_cell(&t, "%s", show_bytes((double)most.weight_bytes));
        table_cell(&t, "%s", show_bytes((double)most.kv_bytes_per_token));
        plan_free(plan);
    }
    if (status == OK) {
        const struct attention_config *a = model_config_attention(&c->config);
        output_print("%s · %s · %d/%d heads: valid sizes\n\n", c->model, c->config.architecture,
                     a->num_attention_heads, a->num_key_value_heads);
        status = table_print(&t, output());
    }
    table_fini(&t);
    return status;
}

static enum status explain(const struct plan_command *c, const struct plan *plan)
{
    if (!plan)
        return fail(ERR_USAGE, "flag --explain: expected --tensor-parallel-size N beside it");
    return c->json ? explain_plan_json(plan, c->explain) : explain_plan(plan, c->explain);
}

static enum status run_plan(struct plan_command *c)
{
    struct plan *plan = NULL;
    enum status status = OK;
    TRY_DONE(plan_command_prepare(c));
    TRY_DONE(predict_check(c));
    if (c->tensor_parallel_size > 0) {
        TRY_DONE(plan_command_compile(c, &plan));
        TRY_DONE(machine_flags_lay_out(&c->on, plan->n_ranks, plan->n_stages, &c->nodes));
        if (c->on.machine)
            TRY_DONE(machine_flags_read(&c->on, c->nodes.first_rank[1], c->threads, &c->machine));
        if (c->checkpoint)
            TRY_DONE(plan_check_checkpoint(plan, c->checkpoint));
    }
    if (c->explain)
        status = explain(c, plan);
    else if (c->json)
        status = print_plan_json(c, plan);
    else
        status = plan ? print_plan(c, plan) : print_all_sizes(c);
done:
    plan_free(plan);
    plan_command_end(c);
    return status;
}

static int plan_main(int argc, char **argv);
#define AT(field) offsetof(struct plan_command, field)
static const struct flag plan_flags[] = {
    {FLAG_INT, "--tensor-parallel-size", "-tp --tp", AT(tensor_parallel_size), 1, 64, "N",
     "ranks; without it all valid sizes are listed"},
    {FLAG_INT, "--pipeline-parallel-size", "-pp --pp", AT(pipeline_parallel_size), 1, 64, "N",
     "stages of so many ranks (default 1); COLROW_PP_LAYER_PARTITION=16,16 says how many layers "
     "each has"},
    {FLAG_TEXT, "--dtype", NULL, AT(dtype), 0, 0, "TYPE",
     "auto, bfloat16, float16 or float32 (default auto)"},
    {FLAG_TEXT, "--kv-cache-dtype", NULL, AT(kv_cache_dtype), 0, 0, "TYPE",
     "auto (--dtype), float32, fp8 (fp8_e4m3) or int8 (default auto)"},
    {FLAG_TEXT, "--quantization", NULL, AT(quantization), 0, 0, "TYPE", QUANTIZATION_HELP},
    {FLAG_INT, "--quantization-group-size", NULL, AT(quantization_group_size), 32, 1024, "N",
     QUANTIZATION_GROUP_HELP},
    {FLAG_TEXT, "--quantization-lm-head", NULL, AT(quantization_lm_head), 0, 0, "TYPE",
     QUANTIZATION_LM_HEAD_HELP},
    {FLAG_TEXT, "--tp-plan", NULL, AT(tp_plan), 0, 0, "FILE", TP_PLAN_HELP},
    {FLAG_TEXT, "--tp-plan-replace", NULL, AT(tp_plan_replace), 0, 0, "FILE", TP_PLAN_REPLACE_HELP},
    {FLAG_ON, "--enable-expert-parallel", NULL, AT(expert_parallel), 0, 0, NULL,
     EXPERT_PARALLEL_HELP},
    {FLAG_INT, "--expert-parallel-size", "--ep-size --ep", AT(expert_parallel_size), 1, 64, "N",
     EXPERT_PARALLEL_SIZE_HELP},
    {FLAG_INT, "--decode-context-parallel-size", "-dcp --dcp", AT(context_parallel_size), 1, 64,
     "N", CONTEXT_PARALLEL_HELP},
    {FLAG_TEXT, "--explain", NULL, AT(explain), 0, 0, "PARAM",
     "which rule a parameter follows, where it lies, what its edges cost; a name, a module, or a "
     "pattern with *"},
    {FLAG_INT, "--reduction-leaves", NULL, AT(reduction_leaves), 0, 64, "N",
     "leaves of a sum, a power of two (default 8)"},
    {FLAG_INT, "--concurrency", NULL, AT(concurrency), 1, 1e6, "N",
     "with --machine: streams side by side (default 1)"},
    {FLAG_INT, "--input-len", NULL, AT(input_len), 1, 1e8, "N",
     "... each of so many prompt tokens (default 1024)"},
    {FLAG_INT, "--output-len", NULL, AT(output_len), 1, 1e8, "N",
     "... and so many new ones (default 256)"},
    {FLAG_INT, "--max-num-batched-tokens", NULL, AT(rows), 1, 65536, "N",
     "tokens in one step at most (default 512)"},
    {FLAG_INT, "--threads-per-rank", NULL, AT(threads), 0, 256, "N",
     "with --machine auto: cores a rank works on (default: its share)"},
    {FLAG_TEXT, "--svg", NULL, AT(svg), 0, 0, "FILE",
     "with --machine: a diagram of the steps, who works and who waits when"},
    {FLAG_ON, "--all-layers", NULL, AT(all_layers), 0, 0, NULL,
     "show each layer's parameters, not one layer's"},
    {FLAG_ON, "--json", NULL, AT(json), 0, 0, NULL, "for machines; always all layers"},
};
const struct command command_plan = {
    .name = "plan",
    .brief = "show how a model splits over ranks, without reading weights",
    .positional = "MODEL",
    .summary = "Shows how the model in the folder MODEL splits over N ranks: each parameter's "
               "style and placement, what\n"
               "each rank holds, reads, caches and sends. Reads config.json and safetensors "
               "headers, no weights.",
    .examples =
        "  colrow plan models/demo\n  colrow plan models/demo -tp 3\n  colrow plan "
        "models/demo -tp 2 -pp 2\n  colrow plan models/demo -tp 2 --json\n  colrow plan "
        "models/demo -tp 2 --explain k_proj\n  colrow plan ~/models/Llama-3-70B -tp 8 -pp 4 "
        "--nodes 4 --gpus-per-node 8 --machine FILE",
    .sections = {FLAG_SECTION(plan_flags, 0), {machine_flag_rows, MACHINE_FLAGS, AT(on)}},
    .run = plan_main,
};

static int plan_main(int argc, char **argv)
{
    struct plan_command c = {.dtype = "auto",
                             .kv_cache_dtype = "auto",
                             .rows = 512,
                             .concurrency = 1,
                             .input_len = 1024,
                             .output_len = 256};
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_plan, &c, argc, argv, &c.model, 1, &n_positional, &helped);
    if (status == OK && !helped)
        status = c.model ? run_plan(&c) : fail(ERR_USAGE, "no model: colrow plan MODEL [-tp N]");
    return status == OK ? 0 : flags_failed(status);
}
