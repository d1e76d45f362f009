// Where each weight lies in a rank's block. Measuring and placing are the same walk, so that the
// plan's prediction is what is reserved.
#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "model/plan_build.h"
#include "model/weights.h"

enum { LINE = 64, STACK_MAX = 3 };

struct walk {
    const struct plan *plan;
    const struct checkpoint *checkpoint; // NULL: types are as the config says
    int rank;
    char *memory; // NULL: only sizes
    struct weights_layout *layout;
};

static enum status reserve_weights(struct walk *w, size_t bytes, void **out)
{
    size_t begin = w->layout->bytes, end;
    if (!checked_add(begin, bytes, &end) || !checked_add(end, LINE - 1, &end))
        return fail(ERR_INPUT, "the weights of a rank do not fit into memory: more than %zu bytes",
                    begin);
    w->layout->bytes = end / LINE * LINE;
    *out = w->memory ? w->memory + begin : NULL;
    return OK;
}

// The tensor behind a parameter; one without a place in the checkpoint is a tied lm_head, which is
// the embedding.
static const struct plan_parameter *stored_parameter(const struct walk *w, enum part part,
                                                     bool bias, int layer)
{
    const struct plan_parameter *p = plan_find_parameter(w->plan, part, bias, layer);
    return p && p->stored == ELEMENT_NONE ? plan_find_parameter(w->plan, PART_EMBED, false, 0) : p;
}

// ELEMENT_NONE: a bias that the checkpoint lacks.
static enum status stored_type(const struct walk *w, const struct plan_parameter *p,
                               enum element_type *type)
{
    const struct tensor_info *tensor =
        w->checkpoint ? plan_find_tensor(w->plan, w->checkpoint, p) : NULL;
    if (w->checkpoint && !tensor && !p->is_bias)
        return fail(ERR_INPUT, "%s: tensor \"%s\" is missing from the checkpoint",
                    w->checkpoint->folder, p->name);
    *type = tensor ? tensor->type : w->checkpoint ? ELEMENT_NONE : p->stored;
    return OK;
}

static int64_t stored_width(struct range range)
{
    return range.end - range.begin;
}

// In memory: an odd intermediate_size ends with a zero (docs/numerics.md section 4).
static int64_t even_width(struct range range)
{
    return (stored_width(range) + 1) / 2 * 2;
}

// Notes what is to be read: the rank's part of a parameter. `place` has everything but the slice.
static enum status add_layout_piece(struct walk *w, const struct plan_parameter *p,
                                    struct range rows, struct range columns,
                                    struct weight_piece place)
{
    enum element_type type = ELEMENT_NONE;
    TRY(stored_type(w, p, &type));
    if (type == ELEMENT_NONE)
        return OK;
    w->layout->file_bytes +=
        (uint64_t)(stored_width(rows) * stored_width(columns)) * element_bytes(type);
    if (w->layout->pieces) {
        place.slice = (struct tensor_slice){plan_find_tensor(w->plan, w->checkpoint, p), rows.begin,
                                            rows.end, columns.begin, columns.end};
        w->layout->pieces[w->layout->n_pieces] = place;
    }
    w->layout->n_pieces++;
    return OK;
}

// The format in memory (docs/numerics.md section 2). In float32 nothing is rounded: parts of
// different types meet in f32.
static enum status panel_format(const struct walk *w, const enum part *parts, int n_parts,
                                int layer, enum panel_format *out)
{
    static const enum panel_format formats[] = {
        [COMPUTE_BF16] = PANELS_BF16, [COMPUTE_F16] = PANELS_F16, [COMPUTE_F32] = PANELS_F32};
    *out = formats[w->plan->compute];
    if (w->plan->compute != COMPUTE_F32)
        return OK;
    enum element_type first = ELEMENT_NONE, type = ELEMENT_NONE;
    for (int i = 0; i < n_parts; i++) {
        TRY(stored_type(w, stored_parameter(w, parts[i], false, layer), &type));
        if (i && type != first)
            return OK;
        first = type;
    }
    *out = first == ELEMENT_BF16 ? PANELS_BF16 : first == ELEMENT_F16 ? PANELS_F16 : PANELS_F32;
    return OK;
}

// Panels of one or more parts, stacked by rows.
static enum status place_panels(struct walk *w, const enum part *parts, int n_parts, int layer,
                                struct panels *out)
{
    enum panel_format format;
    int64_t n = 0, k = 0;
    size_t bytes;
    void *data = NULL;
    TRY(panel_format(w, parts, n_parts, layer, &format));
    for (int i = 0; i < n_parts; i++) {
        const struct plan_parameter *p = plan_find_parameter(w->plan, parts[i], false, layer);
        n += stored_width(p->rank_rows[w->rank]);
        k = even_width(p->rank_columns[w->rank]);
    }
    TRY(panels_bytes(format, n, k, &bytes));
    TRY(reserve_weights(w, bytes, &data));
    if (w->memory)
        panels_init(out, format, (int32_t)n, (int32_t)k, data);
    int32_t row = 0;
    for (int i = 0; i < n_parts; i++) {
        const struct plan_parameter *p = plan_find_parameter(w->plan, parts[i], false, layer);
        struct weight_piece place = {.panels = *out, .row = row};
        TRY(add_layout_piece(w, stored_parameter(w, parts[i], false, layer), p->rank_rows[w->rank],
                             p->rank_columns[w->rank], place));
        row += (int32_t)stored_width(p->rank_rows[w->rank]);
    }
    return OK;
}

// Rows from `row` on, which no file has.
static void zero_rows(const struct panels *w, int32_t row)
{
    enum { COLUMNS = 64 };
    static const float zeros[COLUMNS];
    for (; row < w->n; row++)
        for (int32_t k = 0; k < w->k; k += COLUMNS)
            panels_pack(w, row, 1, k, w->k - k < COLUMNS ? w->k - k : COLUMNS, zeros, SOURCE_F32,
                        COLUMNS);
}

// Two parts of one size, side by side.
static enum status place_pair(struct walk *w, const enum part *parts, int layer,
                              struct panels *first, struct panels *second)
{
    enum panel_format format;
    size_t bytes;
    void *data = NULL;
    TRY(panel_format(w, parts, 2, layer, &format));
    const struct plan_parameter *p = plan_find_parameter(w->plan, parts[0], false, layer);
    int64_t n = even_width(p->rank_rows[w->rank]), k = even_width(p->rank_columns[w->rank]);
    TRY(panels_bytes(format, n, k, &bytes));
    if (!checked_mul(bytes, 2, &bytes))
        return fail(ERR_INPUT, "two weight matrices of [%lld, %lld] do not fit into memory",
                    (long long)n, (long long)k);
    TRY(reserve_weights(w, bytes, &data));
    if (w->memory)
        panels_init_pair(first, second, format, (int32_t)n, (int32_t)k, data);
    for (int i = 0; i < 2; i++) {
        p = plan_find_parameter(w->plan, parts[i], false, layer);
        struct weight_piece place = {.panels = *(i ? second : first)};
        if (w->memory)
            zero_rows(&place.panels, (int32_t)stored_width(p->rank_rows[w->rank]));
        TRY(add_layout_piece(w, stored_parameter(w, parts[i], false, layer), p->rank_rows[w->rank],
                             p->rank_columns[w->rank], place));
    }
    return OK;
}

// A vector of one or more parts, one behind the other. `*out` stays NULL where the model has none.
static enum status place_vector(struct walk *w, const enum part *parts, int n_parts, bool bias,
                                int layer, const float **out)
{
    int64_t n = 0;
    void *data = NULL;
    *out = NULL;
    for (int i = 0; i < n_parts; i++) {
        const struct plan_parameter *p = plan_find_parameter(w->plan, parts[i], bias, layer);
        if (!p)
            return OK; // the parts of a fused bias are there together or not at all
        n += even_width(p->rank_rows[w->rank]);
    }
    TRY(reserve_weights(w, (size_t)n * sizeof(float), &data));
    if (data)
        memset(data, 0, (size_t)n * sizeof(float)); // what the file lacks
    float *next = data;
    for (int i = 0; i < n_parts; i++) {
        const struct plan_parameter *p = plan_find_parameter(w->plan, parts[i], bias, layer);
        TRY(add_layout_piece(w, p, p->rank_rows[w->rank], p->rank_columns[w->rank],
                             (struct weight_piece){.vector = next}));
        if (next)
            next += even_width(p->rank_rows[w->rank]);
    }
    *out = data;
    return OK;
}

static enum status place_layer(struct walk *w, int layer, struct layer_weights *out)
{
    static const enum part qkv[STACK_MAX] = {PART_Q, PART_K, PART_V},
                           gate_up[] = {PART_GATE, PART_UP};
    static const enum part o[] = {PART_O}, down[] = {PART_DOWN};
    static const enum part input_norm[] = {PART_INPUT_NORM}, post_norm[] = {PART_POST_NORM};
    TRY(place_vector(w, input_norm, 1, false, layer, &out->input_norm));
    TRY(place_panels(w, qkv, 3, layer, &out->qkv));
    TRY(place_vector(w, qkv, 3, true, layer, &out->qkv_bias));
    TRY(place_panels(w, o, 1, layer, &out->o));
    TRY(place_vector(w, o, 1, true, layer, &out->o_bias));
    TRY(place_vector(w, post_norm, 1, false, layer, &out->post_norm));
    TRY(place_pair(w, gate_up, layer, &out->gate, &out->up));
    TRY(place_vector(w, gate_up, 2, true, layer, &out->gate_up_bias));
    TRY(place_panels(w, down, 1, layer, &out->down));
    return place_vector(w, down, 1, true, layer, &out->down_bias);
}

static enum status place_all(struct walk *w, struct weights *out)
{
    static const enum part embed[] = {PART_EMBED}, norm[] = {PART_NORM}, lm_head[] = {PART_LM_HEAD};
    struct layer_weights unused = {0};
    TRY(place_panels(w, embed, 1, 0, &out->embed));
    for (int layer = 0; layer < w->plan->config.num_hidden_layers; layer++)
        TRY(place_layer(w, layer, w->memory ? &out->layers[layer] : &unused));
    TRY(place_vector(w, norm, 1, false, 0, &out->norm));
    out->lm_head = out->embed;
    return w->plan->lm_head_is_embed ? OK : place_panels(w, lm_head, 1, 0, &out->lm_head);
}

enum status weights_measure(const struct plan *plan, const struct checkpoint *checkpoint, int rank,
                            struct weights_layout *out)
{
    struct weights unused = {0};
    *out = (struct weights_layout){0};
    struct walk w = {.plan = plan, .checkpoint = checkpoint, .rank = rank, .layout = out};
    return place_all(&w, &unused);
}

enum status weights_place(const struct plan *plan, const struct checkpoint *checkpoint, int rank,
                          void *memory, struct arena *arena, struct weights *out,
                          struct weights_layout *layout)
{
    assert(memory && checkpoint && layout->n_pieces > 0);
    size_t bytes = layout->bytes;
    struct weights_layout again = {0};
    struct walk w = {
        .plan = plan, .checkpoint = checkpoint, .rank = rank, .memory = memory, .layout = &again};
    *out = (struct weights){0};
    TRY(arena_take(arena, (size_t)plan->config.num_hidden_layers, sizeof *out->layers,
                   &out->layers));
    TRY(arena_take(arena, (size_t)layout->n_pieces, sizeof *again.pieces, &again.pieces));
    TRY(place_all(&w, out));
    assert(again.bytes == bytes && again.n_pieces == layout->n_pieces);
    *layout = again;
    return OK;
}
