// Every parameter with its style and each rank's part of it.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "model/plan_build.h"

// The rows and columns of each rank; layers of one kind share them.
struct parts {
    struct range *rows, *columns; // [n_ranks * n_slots], [n_ranks]
    struct range *experts;        // [n_ranks], or NULL
};

static struct placement placement_of(const struct parameter_row *row, enum tp_style style)
{
    const struct placement whole = {PLACE_REPLICATE, 0}, rows = {PLACE_SHARD, 0},
                           columns = {PLACE_SHARD, 1};
    if (style_is_colwise(style) || style == TP_EMBEDDING_ROWWISE)
        return rows;
    bool cuts_columns = style_is_rowwise(style) || style == TP_EMBEDDING_COLWISE;
    return cuts_columns && !row->bias ? columns
                                      : whole; // a row-parallel bias is added once, after the sum
}

static struct range ranked(const struct plan *plan, const struct cut *cut, int rank, enum dim dim,
                           int64_t size)
{
    struct range range = (cut ? cut->shares : plan->shares)[rank].dims[dim];
    // the pair's zero at the end of an odd intermediate_size is no part of the tensor
    range.begin = range.begin < size ? range.begin : (int32_t)size;
    range.end = range.end < size ? range.end : (int32_t)size;
    return range;
}

// `cut` NULL: outside the layers.
static enum status find_parts(struct plan *plan, const struct parameter_row *row,
                              const struct cut *cut, struct parts *out)
{
    const struct sublayer_config *sublayer = cut ? cut->sublayer : NULL;
    size_t n = (size_t)plan->n_ranks;
    TRY(arena_take(&plan->arena, n * row->n_slots, sizeof *out->rows, &out->rows));
    TRY(arena_take(&plan->arena, n, sizeof *out->columns, &out->columns));
    out->experts = NULL;
    if (slot_is_of_experts(row->slots[0])) {
        assert(cut);
        TRY(arena_take(&plan->arena, n, sizeof *out->experts, &out->experts));
        for (int rank = 0; rank < plan->n_ranks; rank++)
            out->experts[rank] = cut->shares[rank].dims[DIM_OWN_EXPERTS];
    }
    for (int rank = 0; rank < plan->n_ranks; rank++) {
        int32_t first = 0;
        for (int i = 0; i < row->n_slots; i++) {
            const struct slot_info *slot = &slots[row->slots[i]];
            int64_t size = dim_size(&plan->config, sublayer, slot->rows);
            struct range rows = ranked(plan, cut, rank, slot->rows, size);
            out->rows[rank * row->n_slots + i] =
                (struct range){first + rows.begin, first + rows.end};
            first += (int32_t)size;
        }
        enum dim columns = row->bias ? DIM_ONE : slots[row->slots[0]].columns;
        out->columns[rank] =
            ranked(plan, cut, rank, columns, dim_size(&plan->config, sublayer, columns));
    }
    return OK;
}

static enum element_type expected_type(const struct plan *plan)
{
    if (plan->config.dtype != ELEMENT_NONE)
        return plan->config.dtype;
    switch (plan->compute) {
    case COMPUTE_F32:
        return ELEMENT_F32;
    case COMPUTE_F16:
        return ELEMENT_F16;
    case COMPUTE_BF16:
        break;
    }
    return ELEMENT_BF16;
}

// What states are made with, and no product's matrix, lies as the states do, whatever its style.
static bool lies_as_states(const struct parameter_row *row, const struct cut *cut)
{
    if (!cut || !cut->sharded || !mix_has_state(cut->sublayer->kind) ||
        slots[row->slots[0]].role != ROLE_WHOLE)
        return false;
    const struct range first = cut->shares[0].dims[slots[row->slots[0]].rows];
    return cut->tree.n_ranks > 1 &&
           first.end - first.begin <
               cut->shares[cut->tree.n_ranks - 1].dims[slots[row->slots[0]].rows].end;
}

// Whether a tool that quantises leaves nothing of it: for plans without the files.
static bool is_quantised(const struct plan *plan, const struct parameter_row *row)
{
    const enum slot slot = row->slots[0];
    if (plan->config.quant_bits == 0 || row->bias || row->sublayer < 0 || slot_is_vector(slot) ||
        slot_is_taps(slot))
        return false;
    return slot_is_of_experts(slot) ||
           (plan->config.quant_method != QUANT_MXFP4 &&
            (slots[slot].role == ROLE_OUTPUTS || slots[slot].role == ROLE_INPUTS));
}

static void fill_parameter(struct plan *plan, const struct resolved_styles *styles,
                           const struct parameter_row *row, int layer, const struct cut *cut,
                           const struct parts *parts)
{
    const struct family *family = plan->config.family;
    const struct sublayer_config *sublayer = cut ? cut->sublayer : NULL;
    const struct parameter_row *weight =
        row->bias ? family_row(family, row->sublayer, row->slots[0], false) : row;
    struct plan_parameter *p = &plan->parameters[plan->n_parameters++];
    assert(weight);
    snprintf(p->name, sizeof p->name, row->name, layer);
    // a bias without a rule of its own lies as its weight does
    const struct parameter_row *said = styles->rule[row - family->parameters] ? row : weight;
    p->style = styles->style[said - family->parameters];
    p->rule = styles->pattern[said - family->parameters];
    p->placement = placement_of(row, styles->style[weight - family->parameters]);
    if (lies_as_states(row, cut))
        p->placement = (struct placement){PLACE_SHARD, 0};
    bool absent = row->slots[0] == SLOT_LM_HEAD && !row->bias && plan->config.tie_word_embeddings;
    p->stored = absent ? ELEMENT_NONE : expected_type(plan);
    if (slot_is_of_experts(row->slots[0]) && cut && cut->by_experts) {
        p->style = TP_GROUPED_GEMM; // as Transformers calls it
        p->rule = NULL;
        p->placement = (struct placement){PLACE_SHARD, 0};
    }
    p->bits =
        is_quantised(plan, row) ? plan->config.quant_bits : 8.0 * (double)element_bytes(p->stored);
    p->transposed = row->transposed;
    p->is_bias = row->bias;
    p->sublayer = row->sublayer;
    p->is_vector = row->bias || slot_is_vector(row->slots[0]);
    p->n_parts = row->n_slots;
    p->n_tensors = 1;
    for (int i = 0; i < row->n_slots; i++) {
        p->slots[i] = row->slots[i];
        p->part_rows[i] = (int32_t)p->rows;
        p->rows += dim_size(&plan->config, sublayer, slots[row->slots[i]].rows);
    }
    p->part_rows[row->n_slots] = (int32_t)p->rows;
    bool has_several = strchr(row->name, '*') != NULL;
    if (slot_is_of_experts(row->slots[0])) {
        assert(sublayer);
        p->n_experts = sublayer->experts.num_experts;
        p->n_chosen = sublayer->experts.num_experts_per_tok;
        p->n_tensors = has_several ? p->n_experts : 1;
        has_several = false;
    }
    assert(sublayer || !row->by_head);
    if (row->in_turn)
        p->n_heads = (int32_t)(p->rows / p->n_parts);
    if (row->by_head)
        p->n_heads = sublayer->kind == MIX_DELTA ? sublayer->delta.num_key_heads
                                                 : sublayer->attention.num_attention_heads;
    if (has_several)
        p->n_tensors =
            (int)(p->rows / (sublayer ? sublayer->attention.head_dim : plan->config.hidden_size));
    p->columns = p->is_vector ? 1 : dim_size(&plan->config, sublayer, slots[row->slots[0]].columns);
    p->rank_rows = parts->rows;
    p->rank_columns = parts->columns;
    p->rank_experts = parts->experts;
}

// The parts of a row in each kind of layer; of those without it nothing.
struct row_parts {
    struct parts of_kind[LAYER_KINDS_MAX];
};

static bool layer_has(const struct plan *plan, int kind, const struct parameter_row *row)
{
    const struct layer_config *layer = &plan->config.layer_kinds[kind];
    return row->sublayer < layer->n_sublayers &&
           slot_is_present(&plan->config, &layer->sublayers[row->sublayer], row->slots[0],
                           row->bias);
}

static enum status find_layer_parts(struct plan *plan, const struct parameter_row *row,
                                    struct row_parts *out)
{
    for (int kind = 0; kind < plan->config.n_layer_kinds; kind++)
        if (layer_has(plan, kind, row))
            TRY(find_parts(plan, row, &plan->cuts[plan->cut_of[kind][row->sublayer]],
                           &out->of_kind[kind]));
    return OK;
}

static void list_layer(struct plan *plan, const struct resolved_styles *styles, int layer,
                       const struct row_parts *parts)
{
    const struct family *family = plan->config.family;
    int kind = plan->config.layer_kind[layer];
    plan->first_of_layer[layer] = plan->n_parameters;
    for (int i = 0; i < family->n_parameters; i++) {
        const struct parameter_row *row = &family->parameters[i];
        if (row->sublayer >= 0 && layer_has(plan, kind, row))
            fill_parameter(plan, styles, row, layer, plan_cut_of(plan, layer, row->sublayer),
                           &parts[i].of_kind[kind]);
    }
}

static enum status list_outside(struct plan *plan, const struct resolved_styles *styles, int begin,
                                int end)
{
    for (int i = begin; i < end; i++) {
        const struct parameter_row *row = &plan->config.family->parameters[i];
        struct parts parts;
        if (row->sublayer >= 0 || !slot_is_present(&plan->config, NULL, row->slots[0], row->bias))
            continue;
        TRY(find_parts(plan, row, NULL, &parts));
        fill_parameter(plan, styles, row, 0, NULL, &parts);
    }
    return OK;
}

// In the family's order; what stands after the first row of a layer comes after all layers.
enum status plan_list_parameters(struct plan *plan, const struct resolved_styles *styles)
{
    const struct family *family = plan->config.family;
    int n_layers = plan->config.num_hidden_layers, first = 0;
    size_t most = (size_t)family->n_parameters * (size_t)(n_layers + 1);
    struct row_parts *parts;
    while (first < family->n_parameters && family->parameters[first].sublayer < 0)
        first++;
    TRY(arena_take(&plan->arena, (size_t)family->n_parameters, sizeof *parts, &parts));
    memset(parts, 0, (size_t)family->n_parameters * sizeof *parts);
    TRY(arena_take(&plan->arena, most, sizeof *plan->parameters, &plan->parameters));
    memset(plan->parameters, 0, most * sizeof *plan->parameters);
    TRY(arena_take(&plan->arena, (size_t)n_layers + 1, sizeof *plan->first_of_layer,
                   &plan->first_of_layer));
    for (int i = 0; i < family->n_parameters; i++)
        if (family->parameters[i].sublayer >= 0)
            TRY(find_layer_parts(plan, &family->parameters[i], &parts[i]));
    TRY(list_outside(plan, styles, 0, first));
    for (int layer = 0; layer < n_layers; layer++)
        list_layer(plan, styles, layer, parts);
    plan->first_of_layer[n_layers] = plan->n_parameters;
    return list_outside(plan, styles, first, family->n_parameters);
}

// Experts that count of each parameter of experts: all, or those of a token.
static int64_t sum_parameters(const struct plan *plan, bool of_token)
{
    int64_t n = 0;
    for (int i = 0; i < plan->n_parameters; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        bool counts = p->stored != ELEMENT_NONE && !slot_is_buffer(p->slots[0]);
        int64_t experts = !p->n_experts ? 1 : of_token ? p->n_chosen : p->n_experts;
        n += counts ? p->rows * p->columns * experts : 0;
    }
    return n;
}

int64_t plan_count_parameters(const struct plan *plan)
{
    return sum_parameters(plan, false);
}

int64_t plan_count_active(const struct plan *plan)
{
    return sum_parameters(plan, true);
}

struct plan_rows plan_rows_of(const struct plan_parameter *p, int part, int64_t row)
{
    if (p->n_experts) // of the first one: plan_of_expert()
        return (struct plan_rows){0, row, p->part_rows[part + 1] - row};
    int64_t each = p->n_tensors > 1 ? p->rows / p->n_tensors
                   : p->n_heads     ? plan_head_rows(p, part)
                                    : 0;
    int64_t own = row - p->part_rows[part];
    if (!each)
        return (struct plan_rows){0, row, p->part_rows[part + 1] - row};
    struct plan_rows rows = {0, own % each, each - own % each};
    if (p->n_tensors > 1)
        rows.tensor = (int)(own / each);
    else
        rows.row += own / each * (p->rows / p->n_heads) + p->part_rows[part] / p->n_heads;
    return rows;
}

void plan_of_expert(const struct plan_parameter *p, int expert, struct plan_rows *rows)
{
    assert(expert >= 0 && expert < p->n_experts);
    if (p->n_tensors > 1)
        rows->tensor = expert;
    else
        rows->row += expert * p->rows;
}

int64_t plan_tensor_rows(const struct plan_parameter *p)
{
    return p->n_experts ? p->rows : p->rows / p->n_tensors;
}

bool plan_has_row(const struct plan_parameter *p, int rank, int64_t row)
{
    assert((p->n_tensors == 1 || p->n_experts) && row >= 0 && row < p->rows);
    int part = 0;
    if (p->n_heads) {
        const int64_t of_head = p->rows / p->n_heads, head = row / of_head;
        for (row %= of_head; row >= p->part_rows[part + 1] / p->n_heads;)
            part++;
        row +=
            p->part_rows[part] - p->part_rows[part] / p->n_heads + head * plan_head_rows(p, part);
    }
    while (row >= p->part_rows[part + 1])
        part++;
    const struct range has = p->rank_rows[rank * p->n_parts + part];
    return row >= has.begin && row < has.end;
}

static const struct plan_parameter *find_between(const struct plan *plan, int begin, int end,
                                                 int sublayer, enum slot slot, bool bias, int *part)
{
    for (int i = begin; i < end; i++) {
        const struct plan_parameter *p = &plan->parameters[i];
        if (p->is_bias != bias || p->sublayer != sublayer)
            continue;
        for (int k = 0; k < p->n_parts; k++)
            if (p->slots[k] == slot) {
                *part = k;
                return p;
            }
    }
    return NULL;
}

const struct plan_parameter *plan_find_parameter(const struct plan *plan, int layer, int sublayer,
                                                 enum slot slot, bool bias, int *part)
{
    int unused, layers = plan->config.num_hidden_layers;
    const int32_t *first = plan->first_of_layer;
    part = part ? part : &unused;
    if (slots[slot].in_layers)
        return find_between(plan, first[layer], first[layer + 1], sublayer, slot, bias, part);
    const struct plan_parameter *p = find_between(plan, 0, first[0], -1, slot, bias, part);
    return p ? p : find_between(plan, first[layers], plan->n_parameters, -1, slot, bias, part);
}
