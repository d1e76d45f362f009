// From tp_plan rules to the styles that the forward pass follows.
//
// Every style says two things: how the weight is cut, and how its input or output lies on the
// group. Where two neighbours disagree on the edge between them, the plan is refused by rule and
// edge: HuggingFace computes something else than the model there.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

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
        return "is for fused parameters; this family stores its projections one by one";
    case TP_SEQUENCE_PARALLEL:
        return "cuts activations by tokens; possible for the norms (all of them or none)";
    case TP_EMBEDDING_ROWWISE:
    case TP_EMBEDDING_COLWISE:
        return "is for embeddings; only embed_tokens is one";
    case TP_COLWISE:
    case TP_COLWISE_GATHER_OUTPUT:
        return "cuts outputs; possible for q_proj, k_proj, v_proj, gate_proj, up_proj and lm_head "
               "(embed_tokens: "
               "embedding_rowwise or embedding_colwise)";
    case TP_ROWWISE:
    case TP_ROWWISE_SPLIT_INPUT:
        return "cuts inputs, which are summed along the tree; possible for o_proj and down_proj "
               "(embed_tokens: "
               "embedding_rowwise or embedding_colwise)";
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

// `o_proj "rowwise" (rule "layers.*.self_attn.o_proj")`, or `o_proj "replicate" (no rule names it)`
static void describe(char *out, size_t bytes, enum part part, enum tp_style style,
                     const struct tp_rule *rule)
{
    if (rule)
        snprintf(out, bytes, "%s \"%s\" (rule \"%.160s\")", family_part_name(part),
                 rule->style_name, rule->pattern);
    else
        snprintf(out, bytes, "%s \"%s\" (no rule names it)", family_part_name(part),
                 tp_style_name(plain(style)));
}

static enum status contradiction(const struct tp_plan_rules *rules, const struct resolved_styles *s,
                                 enum part a, enum part b, const char *edge, const char *advice)
{
    char one[256], other[256];
    describe(one, sizeof one, a, s->weight[a], s->weight_rule[a]);
    describe(other, sizeof other, b, s->weight[b], s->weight_rule[b]);
    return fail(ERR_INPUT, "%s: %s contradicts %s on the edge \"%s\": %s", rules->source, one,
                other, edge, advice);
}

static enum status match_parameter(const struct plan *plan, const struct tp_plan_rules *rules,
                                   const struct family_parameter *parameter,
                                   struct resolved_styles *out, bool *used)
{
    char name[160];
    // Layers are alike: HuggingFace's matching puts a star for their number.
    snprintf(name, sizeof name, parameter->name, 0);
    int index = tp_plan_match(rules, name);
    if (index < 0)
        return OK;
    const struct tp_rule *rule = &rules->rules[index];
    used[index] = true;
    if (!family_allows(parameter->part, rule->style))
        return fail(ERR_UNSUPPORTED, "%s: rule \"%.200s\": \"%s\" on %s of %s: this style %s",
                    rules->source, rule->pattern, rule->style_name,
                    family_part_name(parameter->part), plan->config.architecture,
                    why_not(rule->style));
    if (parameter->bias) {
        out->bias[parameter->part] = rule->style;
        out->bias_rule[parameter->part] = rule;
    } else {
        out->weight[parameter->part] = rule->style;
        out->weight_rule[parameter->part] = rule;
    }
    return OK;
}

static enum status match_all(struct plan *plan, const struct tp_plan_rules *rules,
                             struct resolved_styles *out)
{
    const struct family *family = family_of(plan->config.family);
    bool *used;
    TRY(arena_take(&plan->arena, (size_t)rules->n_rules + 1, sizeof *used, &used));
    memset(used, 0, (size_t)rules->n_rules + 1);
    for (int i = 0; i < family->n_parameters; i++)
        if (family_has(&family->parameters[i], &plan->config))
            TRY(match_parameter(plan, rules, &family->parameters[i], out, used));
    for (int i = 0; i < rules->n_rules; i++)
        if (!used[i])
            return fail(ERR_INPUT,
                        "%s: rule \"%.200s\": \"%s\" matches no parameter of %s; names look like "
                        "\"model.layers.*.self_attn.q_proj\", \"model.layers.*.mlp.down_proj\", "
                        "\"lm_head\"",
                        rules->source, rules->rules[i].pattern, rules->rules[i].style_name,
                        plan->config.architecture);
    return OK;
}

// A bias lies as its weight's output does: a rule of its own may only say the same, or nothing.
static enum status check_biases(const struct tp_plan_rules *rules, const struct resolved_styles *s)
{
    for (int part = 0; part < PARTS; part++)
        if (plain(s->bias[part]) != TP_REPLICATE &&
            plain(s->bias[part]) != plain(s->weight[part])) {
            char weight[256];
            describe(weight, sizeof weight, (enum part)part, s->weight[part], s->weight_rule[part]);
            return fail(ERR_INPUT,
                        "%s: rule \"%.160s\" gives the bias of %s the style \"%s\", which "
                        "contradicts its weight: %s",
                        rules->source, s->bias_rule[part]->pattern,
                        family_part_name((enum part)part), s->bias_rule[part]->style_name, weight);
        }
    return OK;
}

// The edge from column-parallel outputs (q, k, v or gate, up) to the row-parallel input (o or
// down).
static enum status check_middle(const struct tp_plan_rules *rules, const struct resolved_styles *s,
                                enum part out, enum part in, const char *edge)
{
    const struct placement split = {PLACE_SHARD, 1}, whole = {PLACE_REPLICATE, 0};
    struct placement have = plain(s->weight[out]) == TP_COLWISE ? split : whole;
    struct placement need = plain(s->weight[in]) == TP_ROWWISE ? split : whole;
    enum edge_action action;
    TRY(placement_action(have, need, &action));
    switch (action) {
    case EDGE_NOTHING:
        return OK;
    case EDGE_SLICE:
        return contradiction(
            rules, s, in, out, edge,
            "the input is whole on every rank; write \"rowwise_split_input\" to cut it there, or "
            "\"colwise\" for the other side");
    case EDGE_ALL_GATHER:
        return contradiction(rules, s, out, in, edge,
                             "the output stays split over the ranks; write "
                             "\"colwise_gather_output\" to gather it, or "
                             "\"rowwise\" for the other side");
    case EDGE_ALL_REDUCE:
    case EDGE_REDUCE_SCATTER:
        break;
    }
    return fail(ERR_INTERNAL, "edge \"%s\" asks for %s", edge, edge_action_name(action));
}

static enum status check_edges(const struct tp_plan_rules *rules, const struct resolved_styles *s)
{
    static const char *const heads = "their heads meet in attention and must be cut alike";
    static const char *const stream = "the residual stream lies one way for all norms";
    static const struct {
        enum part a, b;
        const char *edge, *why;
    } siblings[] = {
        {PART_Q, PART_K, "q,k,v -> attention", heads},
        {PART_Q, PART_V, "q,k,v -> attention", heads},
        {PART_GATE, PART_UP, "gate,up -> activation",
         "they meet element by element and must be cut alike"},
        {PART_INPUT_NORM, PART_POST_NORM, "o_proj -> residual", stream},
        {PART_INPUT_NORM, PART_NORM, "down_proj -> residual", stream},
    };
    for (size_t i = 0; i < sizeof siblings / sizeof siblings[0]; i++)
        if (plain(s->weight[siblings[i].a]) != plain(s->weight[siblings[i].b]))
            return contradiction(rules, s, siblings[i].a, siblings[i].b, siblings[i].edge,
                                 siblings[i].why);
    TRY(check_middle(rules, s, PART_Q, PART_O, "attention -> o_proj"));
    return check_middle(rules, s, PART_GATE, PART_DOWN, "activation -> down_proj");
}

// What we add to HuggingFace's plan. Its default leaves the embedding whole on each rank; with a
// tied lm_head a rank would then hold the vocabulary once and a share of it again. We cut the
// embedding by vocabulary rows, as lm_head is: one tensor is held once, and an untied model saves
// (n - 1)/n of its embedding for one small exchange a step. A plan of the user's own is followed to
// the letter, but for a tied embedding that no rule names: it is lm_head's tensor and lies as that
// one does.
static enum tp_style embed_style(const struct plan *plan, const struct resolved_styles *s,
                                 bool is_default)
{
    if (s->weight_rule[PART_EMBED])
        return plain(s->weight[PART_EMBED]);
    bool tied = plan->config.tie_word_embeddings && style_is_colwise(s->weight[PART_LM_HEAD]);
    return is_default || tied ? TP_EMBEDDING_ROWWISE : TP_REPLICATE;
}

enum status plan_resolve_styles(struct plan *plan, const struct tp_plan_rules *rules,
                                struct resolved_styles *out)
{
    const struct family *family = family_of(plan->config.family);
    if (!family)
        return fail(ERR_UNSUPPORTED, "%s is not a family that colrow runs",
                    plan->config.architecture);
    struct tp_plan_rules defaults = {0};
    bool is_default = !rules;
    if (is_default) {
        TRY(tp_plan_default(family->model_type, &defaults));
        rules = &defaults;
    }
    *out = (struct resolved_styles){0};
    enum status status = OK;
    TRY_DONE(match_all(plan, rules, out));
    TRY_DONE(check_biases(rules, out));
    TRY_DONE(check_edges(rules, out));
    enum tp_style embed = embed_style(plan, out, is_default);
    if (embed != TP_REPLICATE)
        out->weight[PART_EMBED] = embed;
    plan->styles = (struct plan_styles){
        // set once all is well: plan_compile() looks at that
        .embed = embed,
        .norms = plain(out->weight[PART_INPUT_NORM]),
        .qkv = plain(out->weight[PART_Q]),
        .o = plain(out->weight[PART_O]),
        .gate_up = plain(out->weight[PART_GATE]),
        .down = plain(out->weight[PART_DOWN]),
        .lm_head = plain(out->weight[PART_LM_HEAD]),
    };
done:
    // The rules may be ours and go; what outlives this call is the styles alone.
    memset(out->weight_rule, 0, sizeof out->weight_rule);
    memset(out->bias_rule, 0, sizeof out->bias_rule);
    tp_plan_close(&defaults);
    return status;
}
