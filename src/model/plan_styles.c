// From tp_plan rules to the styles that the forward pass follows.
//
// Every style says two things: how the weight is cut, and how its input or output lies on the
// group. Where two neighbours disagree on the edge between them, the plan is refused by rule and
// edge: HuggingFace computes something else than the model there.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"
#include "model/wrapper.h"

bool style_is_colwise(enum tp_style style)
{
    return style == TP_COLWISE || style == TP_COLWISE_GATHER_OUTPUT;
}

bool style_is_rowwise(enum tp_style style)
{
    return style == TP_ROWWISE || style == TP_ROWWISE_SPLIT_INPUT;
}

// The style without the shades that do not matter here.
static enum tp_style plain(enum tp_style style)
{
    return style == TP_NONE || style == TP_REPLICATED_WITH_GRAD_ALLREDUCE ? TP_REPLICATE : style;
}

// The style of fused parameters says the same: they are cut inside each of their parts.
static enum tp_style unpacked(enum tp_style style)
{
    return style == TP_PACKED_COLWISE   ? TP_COLWISE
           : style == TP_PACKED_ROWWISE ? TP_ROWWISE
                                        : style;
}

static const char *why_not(enum tp_style style)
{
    switch (style) {
    case TP_MOE_TP_EXPERTS:
    case TP_GROUPED_GEMM:
    case TP_EP_ROUTER:
    case TP_EP_DISPATCH_EXPERTS:
    case TP_MOE_IDENTITY_EXPERT:
        return "is for mixtures of experts, of which this family has none";
    case TP_MLA_KV_A_PROJ:
        return "is for multi-head latent attention, which this family does not have";
    case TP_PACKED_COLWISE:
    case TP_PACKED_ROWWISE:
        return "is for fused parameters; this one is stored by itself";
    case TP_SEQUENCE_PARALLEL:
        return "cuts activations by tokens; possible for the norms (all of them or none)";
    case TP_EMBEDDING_ROWWISE:
    case TP_EMBEDDING_COLWISE:
        return "is for embeddings; possible for embed_tokens, and of the table of inputs beside it "
               "the rows, embedding_rowwise";
    case TP_COLWISE:
    case TP_COLWISE_GATHER_OUTPUT:
        return "cuts outputs; possible for q_proj, k_proj, v_proj, gate_proj, up_proj, in_proj, "
               "of latent attention q_b_proj and kv_b_proj (these three not its gather) and "
               "lm_head (embed_tokens: embedding_rowwise or embedding_colwise)";
    case TP_ROWWISE:
    case TP_ROWWISE_SPLIT_INPUT:
        return "cuts inputs, which are summed along the tree; possible for o_proj, down_proj and "
               "out_proj (embed_tokens: embedding_rowwise or embedding_colwise)";
    case TP_GATHER:
    case TP_ALL_REDUCE:
    case TP_LOCAL:
    case TP_ISOLATED:
        return "describes a module's activations, not a parameter; the edges of this family follow "
               "from its parameters";
    case TP_NONE:
    case TP_REPLICATE:
    case TP_REPLICATED_WITH_GRAD_ALLREDUCE:
    case TP_STYLES:
        break;
    }
    return "is not possible here";
}

struct resolving {
    const struct plan *plan;
    const struct family *family;
    const struct tp_plan_rules *rules; // or NULL
    bool replace;                      // ... say all: what they do not name has no rule
    struct resolved_styles *out;
};

static int index_of(const struct resolving *r, const struct parameter_row *row)
{
    return (int)(row - r->family->parameters);
}

// `o_proj "rowwise" (rule "layers.*.self_attn.o_proj")`, or `o_proj "replicate" (no rule names it)`
static void say_style(const struct resolving *r, const struct parameter_row *row, char *out,
                      size_t bytes)
{
    const struct tp_rule *rule = r->out->rule[index_of(r, row)];
    char label[64];
    family_row_label(row, label, sizeof label);
    if (rule)
        snprintf(out, bytes, "%s \"%s\" (rule \"%.160s\")", label, rule->style_name, rule->pattern);
    else
        snprintf(out, bytes, "%s \"%s\" (no rule names it)", label,
                 tp_style_name(plain(r->out->style[index_of(r, row)])));
}

static enum status contradiction(const struct resolving *r, const struct parameter_row *a,
                                 const struct parameter_row *b, const char *edge,
                                 const char *advice)
{
    char one[256], other[256];
    say_style(r, a, one, sizeof one);
    say_style(r, b, other, sizeof other);
    return fail(ERR_INPUT, "%s: %s contradicts %s on the edge \"%s\": %s",
                r->rules ? r->rules->source : "the default plan", one, other, edge, advice);
}

static enum status refuse_style(const struct resolving *r, const struct parameter_row *row,
                                const struct tp_rule *rule)
{
    char label[64];
    family_row_label(row, label, sizeof label);
    return fail(ERR_UNSUPPORTED, "%s: rule \"%.200s\": \"%s\" on %s of %s: this style %s",
                r->rules->source, rule->pattern, rule->style_name, label,
                r->plan->config.architecture,
                slot_is_of_experts(row->slots[0]) && !style_is_rowwise(rule->style)
                    ? "would gather what experts give, of which each rank needs no more than its "
                      "own; write \"colwise\", \"replicate\" or, of all experts, "
                      "\"moe_tp_experts\""
                : row->slots[0] == SLOT_LM_HEAD && style_is_rowwise(rule->style)
                    ? "would sum each logit over the ranks, in another order than one rank does, "
                      "and so with other bits; write \"colwise_gather_output\", which leaves as "
                      "little of it on each rank and sends less, or \"replicate\""
                    : why_not(rule->style));
}

static enum status match_row(const struct resolving *r, const struct parameter_row *row, bool *used)
{
    int index = plan_find_rule(r->family, r->rules, row);
    if (index < 0)
        return OK;
    const struct tp_rule *rule = &r->rules->rules[index];
    bool packed = row->n_slots > 1 || row->planned; // in the checkpoint, or in Transformers
    enum tp_style style = packed ? unpacked(rule->style) : rule->style;
    if (row->transposed) // it is not a linear layer's weight
        style = style == TP_COLWISE ? TP_ROWWISE : style == TP_ROWWISE ? TP_COLWISE : style;
    used[index] = true;
    // of the module of all experts: how its parameters are cut is said by them
    if (style == TP_MOE_TP_EXPERTS && slot_is_of_experts(row->slots[0]))
        return OK;
    // of its module, whose parameters are its rank's own business: sinks follow their heads anyway
    if (style == TP_LOCAL && row->slots[0] == SLOT_SINKS)
        return OK;
    if (style == TP_COLWISE_GATHER_OUTPUT && slot_gathers_in_plans(row->slots[0]))
        style = slot_default_style(row->slots[0]);
    if (!slot_allows(row->slots[0], style))
        return refuse_style(r, row, rule);
    r->out->style[index_of(r, row)] = style;
    r->out->rule[index_of(r, row)] = rule;
    return OK;
}

static bool row_is_present(const struct model_config *config, const struct parameter_row *row)
{
    if (row->sublayer < 0)
        return slot_is_present(config, NULL, row->slots[0], row->bias);
    for (int kind = 0; kind < config->n_layer_kinds; kind++) {
        const struct layer_config *layer = &config->layer_kinds[kind];
        if (row->sublayer < layer->n_sublayers &&
            slot_is_present(config, &layer->sublayers[row->sublayer], row->slots[0], row->bias))
            return true;
    }
    return false;
}

// Products with a layer's inputs are small: summing over ranks would cost more than all of them on
// each. Transformers leaves them whole as well. Rules may cut them.
static bool is_whole_by_default(const struct model_config *config, const struct parameter_row *row)
{
    for (int kind = 0; kind < config->n_layer_kinds && row->sublayer >= 0; kind++) {
        const struct layer_config *layer = &config->layer_kinds[kind];
        if (row->sublayer < layer->n_sublayers && layer->sublayers[row->sublayer].kind == MIX_MLP &&
            layer->sublayers[row->sublayer].mlp.times_layer_input)
            return true;
    }
    return false;
}

// Does the rule name what models of this family have, though this one has it not? Or a module
// whose parameters are no business of others.
static bool is_idle(const struct resolving *r, struct tp_rule *rule)
{
    struct tp_plan_rules one = {.rules = rule, .n_rules = 1};
    if (r->rules->is_familys || (r->plan->config.wrapper && wrapper_ignores(rule->pattern)))
        return true;
    for (const char *const *idle = r->family->idle_rules; idle && *idle; idle++)
        if (tp_plan_match(&one, *idle) == 0)
            return true;
    for (int i = 0; i < r->family->n_parameters; i++) {
        const struct parameter_row *row = &r->family->parameters[i];
        if ((rule->style == TP_LOCAL ||
             (rule->style == TP_MOE_TP_EXPERTS && slot_is_of_experts(row->slots[0]))) &&
            plan_rule_names_module(r->family, rule, row))
            return true;
        if (!row->bias && plan_find_rule(r->family, &one, row) == 0)
            return true;
    }
    return false;
}

static enum status note_idle_rule(struct plan *plan, const struct tp_rule *rule)
{
    char *pattern;
    TRY(arena_text(&plan->arena, rule->pattern, strlen(rule->pattern), &pattern));
    plan->idle_rules[plan->n_idle_rules++] = pattern;
    return OK;
}

static enum status match_all(struct plan *plan, const struct resolving *r)
{
    const struct tp_plan_rules *rules = r->rules;
    size_t room = (size_t)rules->n_rules + 1;
    bool *used;
    TRY(arena_take(&plan->arena, room, sizeof *used, &used));
    TRY(arena_take(&plan->arena, room, sizeof *plan->idle_rules, &plan->idle_rules));
    memset(used, 0, room);
    plan->n_idle_rules = 0;
    for (int i = 0; i < r->family->n_parameters; i++)
        if (row_is_present(&plan->config, &r->family->parameters[i]))
            TRY(match_row(r, &r->family->parameters[i], used));
    for (int i = 0; i < rules->n_rules; i++) {
        if (used[i])
            continue;
        if (!is_idle(r, &rules->rules[i]))
            return fail(ERR_INPUT,
                        "%s: rule \"%.200s\": \"%s\" matches no parameter of %s; names look like "
                        "\"model.layers.*.self_attn.q_proj\", \"model.layers.*.mlp.down_proj\", "
                        "\"lm_head\"",
                        rules->source, rules->rules[i].pattern, rules->rules[i].style_name,
                        plan->config.architecture);
        TRY(note_idle_rule(plan, &rules->rules[i]));
    }
    return OK;
}

// A bias lies as its weight's output does: a rule of its own may only say the same, or nothing.
static enum status check_biases(const struct resolving *r)
{
    for (int i = 0; i < r->family->n_parameters; i++) {
        const struct parameter_row *bias = &r->family->parameters[i], *weight;
        if (!bias->bias || !r->out->rule[i] || plain(r->out->style[i]) == TP_REPLICATE)
            continue;
        weight = family_row(r->family, bias->sublayer, bias->slots[0], false);
        assert(weight && r->rules); // it is one of theirs
        if (plain(r->out->style[i]) == plain(r->out->style[index_of(r, weight)]))
            continue;
        char text[256], label[64];
        say_style(r, weight, text, sizeof text);
        family_row_label(weight, label, sizeof label);
        return fail(ERR_INPUT,
                    "%s: rule \"%.160s\" gives the bias of %s the style \"%s\", which "
                    "contradicts its weight: %s",
                    r->rules->source, r->out->rule[i]->pattern, label, r->out->rule[i]->style_name,
                    text);
    }
    return OK;
}

static enum tp_style style_at(const struct resolving *r, int place, enum slot slot)
{
    const struct parameter_row *row = family_row(r->family, place, slot, false);
    return row ? plain(r->out->style[index_of(r, row)]) : TP_REPLICATE;
}

// Whether rules say both: where one of them keeps its default, it was not written to go with the
// other's rule.
static bool both_are_said(const struct resolving *r, const struct parameter_row *a,
                          const struct parameter_row *b)
{
    return r->replace || (r->out->rule[index_of(r, a)] && r->out->rule[index_of(r, b)]);
}

// The edge from column-parallel outputs (q, k, v or gate, up) to the row-parallel input (o or
// down).
static enum status check_middle(const struct resolving *r, const struct parameter_row *out,
                                const struct parameter_row *in, const char *edge, bool may_gather)
{
    const struct placement split = {PLACE_SHARD, 1}, whole = {PLACE_REPLICATE, 0};
    enum tp_style from = plain(r->out->style[index_of(r, out)]),
                  to = plain(r->out->style[index_of(r, in)]);
    enum edge_action action;
    TRY(placement_action(from == TP_COLWISE ? split : whole, to == TP_ROWWISE ? split : whole,
                         &action));
    switch (action) {
    case EDGE_NOTHING:
        return OK;
    case EDGE_SLICE: // costs nothing
        if (!both_are_said(r, out, in))
            return OK;
        return contradiction(
            r, in, out, edge,
            "the input is whole on every rank; write \"rowwise_split_input\" to cut it there, or "
            "\"colwise\" for the other side");
    case EDGE_ALL_GATHER:
        return contradiction(r, out, in, edge,
                             may_gather ? "the output stays split over the ranks; write "
                                          "\"colwise_gather_output\" to gather it, or "
                                          "\"rowwise\" for the other side"
                                        : "the output stays split over the ranks; write "
                                          "\"rowwise\" for the other side");
    case EDGE_ALL_REDUCE:
    case EDGE_REDUCE_SCATTER:
        break;
    }
    return fail(ERR_INTERNAL, "edge \"%s\" asks for %s", edge, edge_action_name(action));
}

// A head's queries and what it reads of the latent are cut alike; the latent is whole on every
// rank. Nothing is gathered.
static enum status check_latent(const struct resolving *r, int place)
{
    const struct parameter_row *up = family_row(r->family, place, SLOT_LATENT_UP, false),
                               *out = family_row(r->family, place, SLOT_ATTENDED, false),
                               *query = family_row(r->family, place, SLOT_QUERY_UP, false);
    if (!query || !row_is_present(&r->plan->config, query))
        query = family_row(r->family, place, SLOT_QUERY, false);
    if (plain(r->out->style[index_of(r, query)]) != plain(r->out->style[index_of(r, up)]))
        return contradiction(r, query, up, "q,kv_b -> attention",
                             "each head's queries meet its own rows of kv_b_proj; write "
                             "\"colwise\" for both, or \"replicate\"");
    return check_middle(r, query, out, "attention -> o_proj", false);
}

// Query heads that are split need the keys of their groups, which each rank has that computes all
// of them; whole query heads need all keys on every rank, unless o_proj reads a rank's own heads.
static enum status check_heads(const struct resolving *r, int place)
{
    static const enum slot keys[] = {SLOT_KEY, SLOT_VALUE};
    const struct parameter_row *query = family_row(r->family, place, SLOT_QUERY, false);
    const struct parameter_row *out = family_row(r->family, place, SLOT_ATTENDED, false);
    if (family_row(r->family, place, SLOT_LATENT_UP, false))
        return check_latent(r, place);
    if (!query)
        return OK;
    bool reads_own = style_is_rowwise(r->out->style[index_of(r, out)]);
    for (int i = 0; i < 2; i++) {
        const struct parameter_row *key = family_row(r->family, place, keys[i], false);
        if (!key || plain(r->out->style[index_of(r, query)]) == TP_COLWISE ||
            plain(r->out->style[index_of(r, key)]) != TP_COLWISE)
            continue;
        if (!reads_own || both_are_said(r, query, key))
            return contradiction(r, query, key, "q,k,v -> attention",
                                 "every rank attends with all query heads and needs all keys and "
                                 "values; write \"colwise_gather_output\" to gather them");
    }
    return check_middle(r, query, out, "attention -> o_proj", true);
}

static enum status check_mlp(const struct resolving *r, int place)
{
    const struct parameter_row *gate = family_row(r->family, place, SLOT_GATE, false);
    const struct parameter_row *up = family_row(r->family, place, SLOT_UP, false);
    const struct parameter_row *down = family_row(r->family, place, SLOT_DOWN, false);
    if (!up)
        return OK;
    if (gate && style_at(r, place, SLOT_GATE) != style_at(r, place, SLOT_UP))
        return contradiction(r, gate, up, "gate,up -> activation",
                             "they meet element by element and must be cut alike");
    return check_middle(r, gate ? gate : up, down, "activation -> down_proj", true);
}

// A rank has all rows and columns of its experts, or its leaves of each.
static enum status check_expert_styles(const struct resolving *r, int place)
{
    const struct parameter_row *gate = family_row(r->family, place, SLOT_EXPERT_GATE, false);
    const struct parameter_row *up = family_row(r->family, place, SLOT_EXPERT_UP, false);
    const struct parameter_row *down = family_row(r->family, place, SLOT_EXPERT_DOWN, false);
    if (!up)
        return OK;
    if (gate && style_at(r, place, SLOT_EXPERT_GATE) != style_at(r, place, SLOT_EXPERT_UP))
        return contradiction(r, gate, up, "experts' gate,up -> activation",
                             "they meet element by element and must be cut alike");
    return check_middle(r, gate ? gate : up, down, "experts' activation -> down_proj", true);
}

// Each rank has the states of its own heads or channels, or those of all.
static enum status check_states_of(const struct resolving *r, int place, enum slot in_slot,
                                   enum slot out_slot, const char *edge)
{
    const struct parameter_row *in = family_row(r->family, place, in_slot, false);
    const struct parameter_row *out = family_row(r->family, place, out_slot, false);
    if (!in || style_is_colwise(r->out->style[index_of(r, in)]) ==
                   style_is_rowwise(r->out->style[index_of(r, out)]))
        return OK;
    return contradiction(r, in, out, edge,
                         "a rank has the states that its rows of in_proj change; write \"colwise\" "
                         "and \"rowwise\", or \"replicate\" for both");
}

static enum status check_norms(const struct resolving *r)
{
    const struct parameter_row *first = NULL;
    for (int i = 0; i < r->family->n_parameters; i++) {
        const struct parameter_row *row = &r->family->parameters[i];
        if (slots[row->slots[0]].role != ROLE_NORM || row->bias ||
            !row_is_present(&r->plan->config, row))
            continue;
        first = first ? first : row;
        if (plain(r->out->style[i]) != plain(r->out->style[index_of(r, first)]))
            return contradiction(r, first, row,
                                 row->slots[0] == SLOT_FINAL_NORM ? "down_proj -> residual"
                                                                  : "o_proj -> residual",
                                 "the residual stream lies one way for all norms");
    }
    return OK;
}

static enum status check_edges(const struct resolving *r)
{
    TRY(check_norms(r));
    for (int place = 0; place < SUBLAYERS_MAX; place++) {
        TRY(check_heads(r, place));
        TRY(check_mlp(r, place));
        TRY(check_expert_styles(r, place));
        TRY(check_states_of(r, place, SLOT_MAMBA_X, SLOT_MAMBA_OUT, "Mamba -> out_proj"));
        TRY(check_states_of(r, place, SLOT_CONVOLUTION_X, SLOT_CONVOLUTION_OUT,
                            "convolution -> out_proj"));
        TRY(check_states_of(r, place, SLOT_DELTA_VALUE, SLOT_DELTA_OUT, "delta rule -> out_proj"));
    }
    return OK;
}

// HuggingFace's default plans leave the embedding whole on each rank; with a tied lm_head a rank
// would then hold the vocabulary once and a share of it again. We cut the embedding by vocabulary
// rows, as lm_head is: one tensor is held once, and an untied model saves (n - 1)/n of its
// embedding for one small exchange a step. A plan that replaces ours is followed to the letter, but
// for a tied embedding that no rule names: it is lm_head's tensor and lies as that one does.
static void choose_embed(const struct resolving *r, bool replace)
{
    const struct parameter_row *row = family_row(r->family, -1, SLOT_EMBED, false);
    enum tp_style *style = &r->out->style[index_of(r, row)];
    bool tied =
        r->plan->config.tie_word_embeddings && style_is_colwise(style_at(r, -1, SLOT_LM_HEAD));
    if (replace && !r->out->rule[index_of(r, row)] && tied)
        *style = TP_EMBEDDING_ROWWISE;
}

// The projection that says how the sublayer is cut, but of attention, and the one that ends it.
static enum slot first_slot(enum mix_kind kind)
{
    switch (kind) {
    case MIX_ATTENTION:
    case MIX_MLP:
        break;
    case MIX_EXPERTS:
        return SLOT_EXPERT_UP;
    case MIX_MAMBA:
        return SLOT_MAMBA_X;
    case MIX_CONVOLUTION:
        return SLOT_CONVOLUTION_X;
    case MIX_DELTA:
        return SLOT_DELTA_VALUE;
    }
    return SLOT_UP;
}

static enum slot last_slot(enum mix_kind kind)
{
    switch (kind) {
    case MIX_ATTENTION:
        return SLOT_ATTENDED;
    case MIX_MLP:
        break;
    case MIX_EXPERTS:
        return SLOT_EXPERT_DOWN;
    case MIX_MAMBA:
        return SLOT_MAMBA_OUT;
    case MIX_CONVOLUTION:
        return SLOT_CONVOLUTION_OUT;
    case MIX_DELTA:
        return SLOT_DELTA_OUT;
    }
    return SLOT_DOWN;
}

// Rows of other mixes may stand at the same place of other layers.
static void fill_cut(const struct resolving *r, struct cut *cut)
{
    const bool attends = cut->sublayer->kind == MIX_ATTENTION;
    cut->query = cut->key = cut->value = cut->gate_up = TP_REPLICATE;
    cut->out = style_at(r, cut->place, last_slot(cut->sublayer->kind));
    if (!attends) {
        cut->gate_up = style_at(r, cut->place, first_slot(cut->sublayer->kind));
        cut->by_experts = cut->sublayer->kind == MIX_EXPERTS && r->plan->expert_parallel &&
                          r->plan->expert_parallel_size != 1;
        if (cut->by_experts) // whatever rules say of their rows and columns
            cut->gate_up = cut->out = TP_REPLICATE;
        cut->sharded = cut->gate_up == TP_COLWISE;
        return;
    }
    cut->query = style_at(r, cut->place,
                          cut->sublayer->attention.latent.q_rank ? SLOT_QUERY_UP : SLOT_QUERY);
    if (cut->sublayer->attention.latent.kv_rank) {
        cut->sharded = cut->query == TP_COLWISE;
        return;
    }
    cut->key = style_at(r, cut->place, SLOT_KEY);
    cut->value =
        cut->sublayer->attention.value_is_key ? cut->key : style_at(r, cut->place, SLOT_VALUE);
    bool own_keys = cut->key == TP_COLWISE || cut->value == TP_COLWISE;
    cut->sharded = cut->query == TP_COLWISE || (own_keys && style_is_rowwise(cut->out));
}

static void fill_styles(struct plan *plan, const struct resolving *r)
{
    for (int i = 0; i < plan->n_cuts; i++)
        fill_cut(r, &plan->cuts[i]);
    plan->norms = style_at(r, -1, SLOT_FINAL_NORM);
    plan->lm_head = style_at(r, -1, SLOT_LM_HEAD);
    plan->embed = style_at(r, -1, SLOT_EMBED);
    plan->table_sharded = style_at(r, -1, SLOT_INPUTS_TABLE) == TP_EMBEDDING_ROWWISE;
}

// The rules are the caller's and may go: what outlives them is copied.
static enum status note_rules(struct plan *plan, const struct resolving *r)
{
    char *text;
    TRY(arena_text(&plan->arena, r->rules->source, strlen(r->rules->source), &text));
    plan->rules_source = text;
    plan->rules_replace = r->replace;
    for (int i = 0; i < r->family->n_parameters; i++) {
        const struct tp_rule *rule = r->out->rule[i];
        if (!rule)
            continue;
        TRY(arena_text(&plan->arena, rule->pattern, strlen(rule->pattern), &text));
        r->out->pattern[i] = text;
    }
    return OK;
}

enum status plan_resolve_styles(struct plan *plan, const struct plan_options *options,
                                struct resolved_styles *out)
{
    bool replace = options->rules && options->rules_replace;
    const struct resolving r = {plan, plan->config.family, options->rules, replace, out};
    assert(r.family && r.family->n_parameters <= FAMILY_ROWS_MAX);
    *out = (struct resolved_styles){0};
    for (int i = 0; i < r.family->n_parameters && !replace; i++)
        if (!is_whole_by_default(&plan->config, &r.family->parameters[i]))
            out->style[i] = slot_default_style(r.family->parameters[i].slots[0]);
    if (options->rules) {
        TRY(match_all(plan, &r));
        TRY(note_rules(plan, &r));
    }
    TRY(check_biases(&r));
    TRY(check_edges(&r));
    choose_embed(&r, replace);
    fill_styles(plan, &r);
    return OK;
}
