// Every parameter with its style and each rank's part of it.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

// The rows and columns of each rank; layers share them.
struct parts {
    struct range *rows, *columns; // [n_ranks]
};

static struct placement placement_of(const struct family_parameter *parameter, enum tp_style style)
{
    const struct placement whole = {PLACE_REPLICATE, 0}, rows = {PLACE_SHARD, 0},
                           columns = {PLACE_SHARD, 1};
    if (style_is_colwise(style) || style == TP_EMBEDDING_ROWWISE)
        return rows;
    bool cuts_columns = style_is_rowwise(style) || style == TP_EMBEDDING_COLWISE;
    return cuts_columns && !parameter->bias
               ? columns
               : whole; // a row-parallel bias is added once, after the sum
}

// The rank's outputs and inputs of a part's weight.
static void weight_ranges(const struct plan *plan, enum part part, int rank, struct range *rows,
                          struct range *columns)
{
    const struct rank_share *s = &plan->shares[rank];
    switch (part) {
    case PART_EMBED:
        *rows = s->embed_vocab;
        *columns = s->embed_columns;
        return;
    case PART_Q:
        *rows = s->q_rows;
        return;
    case PART_K:
    case PART_V:
        *rows = s->kv_rows;
        return;
    case PART_O:
        *columns = s->o_columns;
        return;
    case PART_GATE:
    case PART_UP:
        *rows = s->gate_up_rows;
        return;
    case PART_DOWN:
        *columns = s->intermediate;
        return;
    case PART_LM_HEAD:
        *rows = s->vocab;
        return;
    case PART_INPUT_NORM:
    case PART_POST_NORM:
    case PART_NORM:
    case PARTS:
        return;
    }
}

static enum status find_parts(struct plan *plan, const struct family_parameter *parameter,
                              struct parts *out)
{
    int64_t n_rows, n_columns;
    family_shape(parameter, &plan->config, &n_rows, &n_columns);
    TRY(arena_take(&plan->arena, (size_t)plan->n_ranks, sizeof *out->rows, &out->rows));
    TRY(arena_take(&plan->arena, (size_t)plan->n_ranks, sizeof *out->columns, &out->columns));
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        struct range rows = {0, (int32_t)n_rows}, columns = {0, (int32_t)n_columns};
        weight_ranges(plan, parameter->part, rank, &rows, &columns);
        // the pair's zero at the end of an odd intermediate_size is no part of the tensor
        rows.end = rows.end < n_rows ? rows.end : (int32_t)n_rows;
        columns.end = columns.end < n_columns ? columns.end : (int32_t)n_columns;
        out->rows[rank] = rows;
        out->columns[rank] = parameter->bias ? (struct range){0, 1} : columns;
    }
    return OK;
}

static void fill_parameter(struct plan *plan, const struct family_parameter *parameter, int layer,
                           enum tp_style style, enum tp_style weight_style,
                           const struct parts *parts)
{
    struct plan_parameter *p = &plan->parameters[plan->n_parameters++];
    bool absent = parameter->part == PART_LM_HEAD && plan->config.tie_word_embeddings;
    snprintf(p->name, sizeof p->name, parameter->name, layer);
    p->style = style;
    p->placement = placement_of(parameter, weight_style);
    enum element_type stored = plan->config.dtype;
    if (stored == ELEMENT_NONE)
        stored = plan->compute == COMPUTE_F32   ? ELEMENT_F32
                 : plan->compute == COMPUTE_F16 ? ELEMENT_F16
                                                : ELEMENT_BF16;
    p->stored = absent ? ELEMENT_NONE : stored;
    p->is_bias = parameter->bias;
    p->is_vector = parameter->bias || family_is_norm(parameter->part);
    family_shape(parameter, &plan->config, &p->rows, &p->columns);
    p->rank_rows = parts->rows;
    p->rank_columns = parts->columns;
}

static int parameter_slot_of(const struct family_parameter *parameter)
{
    return (int)parameter->part * 2 + parameter->bias;
}

// Lists family parameters [begin, end): once, or for every layer.
static void list(struct plan *plan, const struct resolved_styles *styles, const struct parts *parts,
                 int begin, int end)
{
    const struct family *family = family_of(plan->config.family);
    bool per_layer = family->parameters[begin].per_layer;
    int layers = per_layer ? plan->config.num_hidden_layers : 1, first = plan->n_parameters;
    for (int layer = 0; layer < layers; layer++) {
        for (int i = begin; i < end; i++) {
            const struct family_parameter *parameter = &family->parameters[i];
            if (!family_has(parameter, &plan->config))
                continue;
            if (layer == 0)
                plan->parameter_at[parameter_slot_of(parameter)] = plan->n_parameters;
            enum tp_style weight = styles->weight[parameter->part],
                          bias = styles->bias[parameter->part];
            fill_parameter(plan, parameter, layer, parameter->bias ? bias : weight, weight,
                           &parts[i]);
        }
        if (per_layer && layer == 0)
            plan->parameters_per_layer = plan->n_parameters - first;
    }
}

enum status plan_list_parameters(struct plan *plan, const struct resolved_styles *styles)
{
    const struct family *family = family_of(plan->config.family);
    size_t most = 0;
    struct parts *parts;
    static_assert((size_t)2 * PARTS <= sizeof plan->parameter_at / sizeof plan->parameter_at[0],
                  "a slot for each part");
    for (int i = 0; i < 2 * PARTS; i++)
        plan->parameter_at[i] = -1;
    TRY(arena_take(&plan->arena, (size_t)family->n_parameters, sizeof *parts, &parts));
    for (int i = 0; i < family->n_parameters; i++) {
        most += family->parameters[i].per_layer ? (size_t)plan->config.num_hidden_layers : 1;
        TRY(find_parts(plan, &family->parameters[i], &parts[i]));
    }
    TRY(arena_take(&plan->arena, most, sizeof *plan->parameters, &plan->parameters));
    memset(plan->parameters, 0, most * sizeof *plan->parameters);
    for (int begin = 0, end; begin < family->n_parameters; begin = end) {
        for (end = begin; end < family->n_parameters; end++)
            if (family->parameters[end].per_layer != family->parameters[begin].per_layer)
                break;
        list(plan, styles, parts, begin, end);
    }
    return OK;
}

const struct plan_parameter *plan_find_parameter(const struct plan *plan, enum part part, bool bias,
                                                 int layer)
{
    int32_t at = plan->parameter_at[(int)part * 2 + bias];
    if (at < 0)
        return NULL;
    bool in_layer = part != PART_EMBED && part != PART_NORM && part != PART_LM_HEAD;
    return &plan->parameters[at + (in_layer ? layer * plan->parameters_per_layer : 0)];
}
