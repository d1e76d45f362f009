// `colrow plan --explain PARAM`: why a parameter lies as it does, and what crosses its edges.
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

#include "base/name_list.h"
#include "base/nearest_name.h"
#include "base/output.h"
#include "base/progress.h"
#include "cmd/json_output.h"
#include "cmd/plan_command.h"

enum { WANTED_MAX = 512, EDGES_AROUND_MAX = 4, NEAREST = 3 };

// ---- which parameters are meant ----

// A full name, a module, or an end of either; with stars for what may be anything.
static bool is_wanted(const char *name, const char *wanted)
{
    static const char *const forms[] = {"%s", "%s.*", "*.%s", "*.%s.*"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        char pattern[WANTED_MAX + 8];
        snprintf(pattern, sizeof pattern, forms[i], wanted);
        if (fnmatch(pattern, name, 0) == 0)
            return true;
    }
    return false;
}

// Layers of one kind share the ranges of a parameter: it is shown once for all of them.
static bool is_same(const struct plan_parameter *a, const struct plan_parameter *b)
{
    return a->rank_rows == b->rank_rows;
}

static bool is_first(const struct plan *plan, int at, const char *wanted)
{
    for (int i = 0; i < at; i++)
        if (is_same(&plan->parameters[i], &plan->parameters[at]) &&
            is_wanted(plan->parameters[i].name, wanted))
            return false;
    return true;
}

// "model.layers.*.mlp.up_proj.weight" of "model.layers.7.mlp.up_proj.weight"
static void star_layer(const char *name, char *out, size_t room)
{
    const char *end = name;
    while (*end && !(end[0] == '.' && end[1] >= '0' && end[1] <= '9'))
        end++;
    size_t digits = *end ? strspn(end + 1, "0123456789") : 0;
    if (digits && end[1 + digits] == '.')
        snprintf(out, room, "%.*s.*%s", (int)(end - name), name, end + 1 + digits);
    else
        snprintf(out, room, "%s", name);
}

static int layer_of(const struct plan *plan, int at)
{
    int layer = 0;
    if (plan->parameters[at].sublayer < 0)
        return -1;
    while (plan->first_of_layer[layer + 1] <= at)
        layer++;
    return layer;
}

// Without "model.layers.*." and without ".weight": what people write.
static const char *short_name(const char *starred)
{
    const char *layers = strstr(starred, ".*.");
    return layers ? layers + 3 : starred;
}

struct near_name {
    char name[sizeof((struct plan_parameter *)0)->name];
    int distance;
};

static int smaller_of(int a, int b)
{
    return a < b ? a : b;
}

// By the whole, by what stands behind the layer, and by the last module, whichever is nearest.
static int distance_to(const char *starred, const char *wanted)
{
    char module[sizeof((struct near_name *)0)->name];
    const char *dot = strrchr(wanted, '.'), *end = dot ? dot + 1 : wanted;
    snprintf(module, sizeof module, "%s", short_name(starred));
    char *kind = strrchr(module, '.'); // weight or bias
    if (kind)
        *kind = '\0';
    const char *last = strrchr(module, '.') ? strrchr(module, '.') + 1 : module;
    return smaller_of(name_distance(wanted, starred),
                      smaller_of(name_distance(wanted, module), name_distance(end, last)));
}

// Keeps the nearest ones, in order.
static void consider(struct near_name nearest[NEAREST], const char *name, int distance)
{
    int place = NEAREST;
    for (int i = 0; i < NEAREST; i++)
        if (strcmp(nearest[i].name, name) == 0)
            return;
    while (place > 0 && (!nearest[place - 1].name[0] || nearest[place - 1].distance > distance))
        place--;
    if (place == NEAREST)
        return;
    memmove(&nearest[place + 1], &nearest[place],
            (size_t)(NEAREST - place - 1) * sizeof nearest[0]);
    snprintf(nearest[place].name, sizeof nearest[place].name, "%s", name);
    nearest[place].distance = distance;
}

static enum status refuse_name(const struct plan *plan, const char *wanted)
{
    struct near_name nearest[NEAREST] = {0};
    char list[600] = "";
    for (int i = 0; i < plan->n_parameters; i++) {
        char name[sizeof nearest[0].name];
        star_layer(plan->parameters[i].name, name, sizeof name);
        consider(nearest, name, distance_to(name, wanted));
    }
    for (int i = 0; i < NEAREST && nearest[i].name[0]; i++)
        name_list_add(list, sizeof list, nearest[i].name);
    return fail(ERR_USAGE,
                "flag --explain: no parameter of %s is named \"%.200s\"; expected a name, a module "
                "or a pattern with *; the nearest are %s",
                plan->config.architecture, wanted, list);
}

static enum status check_wanted(const struct plan *plan, const char *wanted)
{
    if (strlen(wanted) >= WANTED_MAX || !*wanted)
        return fail(ERR_USAGE, "flag --explain has %zu bytes; expected 1 to %d", strlen(wanted),
                    WANTED_MAX - 1);
    for (int i = 0; i < plan->n_parameters; i++)
        if (is_wanted(plan->parameters[i].name, wanted))
            return OK;
    return refuse_name(plan, wanted);
}

// ---- its edges ----

struct edges_around {
    const struct plan_edge *before[EDGES_AROUND_MAX], *after[EDGES_AROUND_MAX];
    int n_before, n_after;
};

static void add_edges(const struct plan *plan, enum edge_place place, const struct cut *cut,
                      const struct plan_edge **list, int *n)
{
    for (int i = 0; i < plan->n_edges; i++) {
        const struct plan_edge *edge = &plan->edges[i];
        if (edge->place == place && edge->cut == cut && *n < EDGES_AROUND_MAX)
            list[(*n)++] = edge;
    }
}

// What brings the residual stream to a sublayer: the sum before it, or the embedding.
static void add_stream(const struct plan *plan, int layer, int sublayer, struct edges_around *out)
{
    if (sublayer == 0 && layer > 0)
        sublayer = model_config_layer(&plan->config, --layer)->n_sublayers;
    if (sublayer > 0)
        add_edges(plan, EDGE_OF_SUM, plan_cut_of(plan, layer, sublayer - 1), out->before,
                  &out->n_before);
    else
        add_edges(plan, EDGE_OF_EMBED, NULL, out->before, &out->n_before);
}

static void find_edges_outside(const struct plan *plan, enum slot slot, struct edges_around *out)
{
    int last = plan->config.num_hidden_layers - 1;
    switch (slot) {
    case SLOT_EMBED:
    case SLOT_EMBED_NORM:
        add_edges(plan, EDGE_OF_EMBED, NULL, out->after, &out->n_after);
        return;
    case SLOT_INPUTS_TABLE:
        add_edges(plan, EDGE_OF_TABLE, NULL, out->after, &out->n_after);
        return;
    case SLOT_FINAL_NORM:
        add_stream(plan, last, model_config_layer(&plan->config, last)->n_sublayers, out);
        add_edges(plan, EDGE_OF_LM_HEAD, NULL, out->after, &out->n_after);
        return;
    case SLOT_LM_HEAD:
        add_edges(plan, EDGE_OF_LM_HEAD, NULL, out->before, &out->n_before);
        add_edges(plan, EDGE_OF_LOGITS, NULL, out->after, &out->n_after);
        return;
    default:
        return;
    }
}

static void find_edges(const struct plan *plan, int at, struct edges_around *out)
{
    const struct plan_parameter *p = &plan->parameters[at];
    int layer = layer_of(plan, at);
    *out = (struct edges_around){0};
    if (layer < 0) {
        find_edges_outside(plan, p->slots[0], out);
        return;
    }
    const struct cut *cut = plan_cut_of(plan, layer, p->sublayer);
    enum slot slot = p->slots[0];
    if (slot == SLOT_BEFORE_NORM) {
        add_stream(plan, layer, p->sublayer, out);
        add_edges(plan, EDGE_OF_OUTPUTS, cut, out->after, &out->n_after);
    } else if (slot >= SLOT_ROUTER_NORM && slot <= SLOT_LAUREL_NORM) { // beside the mix
        add_stream(plan, layer, p->sublayer, out);
    } else if (slot == SLOT_AFTER_NORM || slot == SLOT_LAYER_SCALAR) {
        add_edges(plan, EDGE_OF_SUM, cut, out->before, &out->n_before);
    } else if (slots[slot].role == ROLE_INPUTS) {
        add_edges(plan, EDGE_OF_INPUTS, cut, out->before, &out->n_before);
        add_edges(plan, EDGE_OF_SUM, cut, out->after, &out->n_after);
    } else if (slots[slot].role == ROLE_OUTPUTS) {
        add_edges(plan, EDGE_OF_OUTPUTS, cut, out->before, &out->n_before);
        add_edges(plan, EDGE_OF_MIX, cut, out->after, &out->n_after);
    } else { // inside attention or the activation
        add_edges(plan, EDGE_OF_MIX, cut, out->before, &out->n_before);
        add_edges(plan, EDGE_OF_INPUTS, cut, out->after, &out->n_after);
    }
}

// ---- for people ----

static void say_rule(const struct plan *plan, const struct plan_parameter *p)
{
    const char *style = p->style == TP_NONE ? "replicate" : tp_style_name(p->style);
    if (p->rule)
        output_print("  rule       \"%s\": \"%s\", of %s\n", p->rule, style, plan->rules_source);
    else if (plan->rules_source && plan->rules_replace && p->style == TP_NONE)
        output_print("  rule       none in %s, which replaces colrow's plan: %s\n",
                     plan->rules_source, style);
    else if (plan->rules_source)
        output_print("  rule       none in %s; colrow's own plan: %s\n", plan->rules_source, style);
    else
        output_print("  rule       colrow's own plan: %s\n", style);
}

static void say_edge(const char *when, const struct plan_edge *edge)
{
    char have[32];
    snprintf(have, sizeof have, "%s", placement_name(edge->have));
    output_print("  %-9s  %s: %s -> %s, %s", when, edge->name, have, placement_name(edge->need),
                 edge_action_name(edge->action));
    if (edge->n_joined)
        output_print(" joined with that of the sublayer beside it");
    if (edge->bytes_per_token)
        output_print(", at most %s sent by a rank for each token, %d time%s a step",
                     show_bytes((double)edge->bytes_per_token), edge->n_times,
                     edge->n_times == 1 ? "" : "s");
    output_print("\n");
}

static void say_layout(const struct plan_parameter *p)
{
    if (!p->n_heads && !p->transposed)
        return;
    output_print("  layout    ");
    if (p->n_heads && p->n_experts)
        output_print(" rows of %s and %s in turn%s", slots[p->slots[0]].name,
                     slots[p->slots[1]].name, p->transposed ? "," : "");
    else if (p->n_heads)
        output_print(" head by head: of each");
    for (int i = 0; i < p->n_parts && p->n_heads && !p->n_experts; i++)
        output_print("%s %d rows of %s", i ? "," : "", plan_head_rows(p, i),
                     slots[p->slots[i]].name);
    if (p->transposed && !p->recipe)
        output_print(" rows and columns exchanged");
    output_print("\n");
}

static void say_rows(const struct plan_parameter *p, int rank)
{
    char rows[40];
    struct range run = {0, 0};
    const char *and = "";
    if (p->n_heads)
        for (; next_rows(p, rank, &run); and = " and ") {
            show_range(run, rows, sizeof rows);
            output_print("%s%s", and, rows);
        }
    for (int i = 0; i < p->n_parts && !p->n_heads; i++) {
        show_range(p->rank_rows[rank * p->n_parts + i], rows, sizeof rows);
        output_print("%s%s", i ? " and " : "", rows);
        if (p->n_parts > 1)
            output_print(" (%s)", slots[p->slots[i]].name);
    }
}

static void say_rank(const struct plan *plan, const struct plan_parameter *p, int rank)
{
    char columns[40];
    show_range(p->rank_columns[rank], columns, sizeof columns);
    output_print("  rank %-4d  rows ", rank);
    say_rows(p, rank);
    if (!p->is_vector)
        output_print(", columns %s", columns);
    if (p->rank_experts) {
        show_range(p->rank_experts[rank], columns, sizeof columns);
        output_print(" of experts %s", columns);
    }
    output_print(", %s\n", show_bytes((double)bytes_of_part(plan, p, rank)));
}

static void list_layers_of(const struct plan *plan, int at, const char *wanted, char *out,
                           size_t room)
{
    int begin = -1, end = -1;
    out[0] = '\0';
    for (int i = at; i <= plan->n_parameters; i++) {
        bool last = i == plan->n_parameters;
        if (!last && (!is_same(&plan->parameters[i], &plan->parameters[at]) ||
                      !is_wanted(plan->parameters[i].name, wanted)))
            continue;
        int layer = last ? -1 : layer_of(plan, i);
        if (begin >= 0 && (last || layer != end + 1)) {
            char run[32];
            snprintf(run, sizeof run, begin == end ? "%d" : "%d-%d", begin, end);
            name_list_add(out, room, run);
        }
        begin = begin < 0 || layer != end + 1 ? layer : begin;
        end = layer;
    }
}

static void explain_parameter(const struct plan *plan, int at, const char *wanted)
{
    const struct plan_parameter *p = &plan->parameters[at];
    char name[sizeof p->name + 8], layers[120], shape[64];
    struct edges_around edges;
    star_layer(p->name, name, sizeof name);
    show_shape_of(p, shape, sizeof shape);
    list_layers_of(plan, at, wanted, layers, sizeof layers);
    output_print("%s  %s", name, shape);
    if (layer_of(plan, at) >= 0)
        output_print("  layers %s", layers);
    output_print("\n");
    say_rule(plan, p);
    output_print("  placement  %s%s\n", placement_name(p->placement),
                 p->stored == ELEMENT_NONE ? " (tied: the embedding's rows)" : "");
    say_layout(p);
    if (p->recipe) {
        char stored[160];
        stored_weight_show(p->recipe, stored, sizeof stored);
        output_print("  stored     %s\n", stored);
    }
    find_edges(plan, at, &edges);
    for (int i = 0; i < edges.n_before; i++)
        say_edge("before", edges.before[i]);
    for (int i = 0; i < edges.n_after; i++)
        say_edge("after", edges.after[i]);
    for (int rank = 0; rank < plan->n_ranks; rank++)
        say_rank(plan, p, rank);
}

enum status explain_plan(const struct plan *plan, const char *wanted)
{
    bool any = false;
    TRY(check_wanted(plan, wanted));
    for (int i = 0; i < plan->n_parameters; i++) {
        if (!is_wanted(plan->parameters[i].name, wanted) || !is_first(plan, i, wanted))
            continue;
        output_print("%s", any ? "\n" : "");
        explain_parameter(plan, i, wanted);
        any = true;
    }
    return OK;
}

// ---- for machines: every parameter by itself ----

static json_t *edges_json(const struct plan_edge *const *edges, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *edge =
            json_pack("{s:s, s:s, s:s, s:I, s:i}", "name", edges[i]->name, "have",
                      placement_name(edges[i]->have), "action", edge_action_name(edges[i]->action),
                      "bytes_sent_per_token", (json_int_t)edges[i]->bytes_per_token,
                      "times_per_step", edges[i]->n_times);
        json_object_set_new(edge, "need", json_string(placement_name(edges[i]->need)));
        json_array_append_new(list, edge);
    }
    return list;
}

// The parts of a fused tensor in their order, each with so many rows at a time.
static json_t *parts_json(const struct plan_parameter *p)
{
    json_t *list = json_array();
    for (int i = 0; i < p->n_parts; i++) {
        int rows = p->n_heads ? plan_head_rows(p, i) : p->part_rows[i + 1] - p->part_rows[i];
        json_array_append_new(
            list, json_pack("{s:s, s:i}", "name", slots[p->slots[i]].name, "rows", rows));
    }
    return list;
}

static json_t *ranks_json(const struct plan *plan, const struct plan_parameter *p)
{
    json_t *ranks = json_array();
    for (int rank = 0; rank < plan->n_ranks; rank++)
        json_array_append_new(ranks, json_pack("{s:i, s:o, s:o, s:I}", "rank", rank, "rows",
                                               row_ranges_json(p, rank), "columns",
                                               range_json(p->rank_columns[rank]), "bytes",
                                               (json_int_t)bytes_of_part(plan, p, rank)));
    return ranks;
}

enum status explain_plan_json(const struct plan *plan, const char *wanted)
{
    TRY(check_wanted(plan, wanted));
    json_t *list = json_array();
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        struct edges_around edges;
        if (!is_wanted(p->name, wanted))
            continue;
        find_edges(plan, i, &edges);
        json_array_append_new(
            list, json_pack("{s:s, s:s?, s:o, s:s, s:s, s:o, s:o, s:o, s:o}", "name", p->name,
                            "rule", p->rule, "source",
                            p->rule ? json_foreign(plan->rules_source) : json_string("default"),
                            "style", p->style == TP_NONE ? "replicate" : tp_style_name(p->style),
                            "placement", placement_name(p->placement), "before",
                            edges_json(edges.before, edges.n_before), "after",
                            edges_json(edges.after, edges.n_after), "ranks", ranks_json(plan, p),
                            "parts", parts_json(p)));
    }
    return json_write(list, JSON_INDENT(2), NULL);
}
