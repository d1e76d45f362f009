// Where each weight lies in a rank's block. Measuring and placing are the same walk, so that the
// plan's prediction is what is reserved.
#include <assert.h>
#include <string.h>

#include "base/checked.h"
#include "model/plan_build.h"
#include "model/weights_quantise.h"
#include "model/weights_walk.h"

enum { LINE = 64 };

enum status reserve_weights(struct walk *w, size_t bytes, void **out)
{
    size_t begin = w->layout->bytes, end;
    if (!checked_add(begin, bytes, &end) || !checked_add(end, LINE - 1, &end))
        return fail(ERR_INPUT, "the weights of a rank do not fit into memory: more than %zu bytes",
                    begin);
    w->layout->bytes = end / LINE * LINE;
    *out = w->memory ? w->memory + begin : NULL;
    return OK;
}

// The format in memory (docs/numerics.md section 2). In float32 nothing is rounded: parts of
// different types meet in f32.
static enum status find_format(const struct walk *w, const struct slot_part *parts, int n_parts,
                               enum panel_format *out)
{
    static const enum panel_format formats[] = {
        [COMPUTE_BF16] = PANELS_BF16, [COMPUTE_F16] = PANELS_F16, [COMPUTE_F32] = PANELS_F32};
    *out = formats[w->plan->compute];
    if (w->plan->compute != COMPUTE_F32)
        return OK;
    enum element_type first = ELEMENT_NONE, type = ELEMENT_NONE;
    for (int i = 0; i < n_parts; i++) {
        const struct plan_parameter *parameter = parts[i].parameter;
        assert(parameter);
        for (int number = 0; number < parameter->n_tensors; number++) {
            TRY(stored_type(w, stored_parameter(w, parameter), number, &type));
            if ((i || number) && type != first)
                return OK;
            first = type;
        }
    }
    *out = first == ELEMENT_BF16 ? PANELS_BF16 : first == ELEMENT_F16 ? PANELS_F16 : PANELS_F32;
    return OK;
}

// Of parts that are all quantised as they are loaded: groups count from the whole matrix's first
// column, which may be another rank's.
static bool quantised_at_load(const struct walk *w, const struct slot_part *parts, int n_parts,
                              struct panel_layout *out)
{
    const struct quantization *quantization = &w->plan->quantization;
    const int bits = plan_quantised_bits(w->plan, parts[0].parameter);
    for (int i = 0; i < n_parts; i++)
        if (bits == 0 || plan_quantised_bits(w->plan, parts[i].parameter) != bits)
            return false;
    *out = (struct panel_layout){
        .format = bits == 8 ? PANELS_INT8 : PANELS_INT4,
        .groups = {.columns = quantization->group,
                   .before = parts[0].columns.begin % quantization->group,
                   .scales = SOURCE_BF16},
    };
    return true;
}

enum status panel_layout(struct walk *w, const struct slot_part *parts, int n_parts,
                         struct panel_layout *out)
{
    const struct plan_parameter *first = parts[0].parameter;
    if (first == w->of_experts) {
        *out = w->experts_layout;
        return OK;
    }
    *out = (struct panel_layout){.format = PANELS_BF16};
    if (!quantised_at_load(w, parts, n_parts, out))
        TRY(find_format(w, parts, n_parts, &out->format));
    if (first && first->n_experts) {
        w->of_experts = first;
        w->experts_layout = *out;
    }
    return OK;
}

// Panels of one or more parts, stacked by rows.
enum status place_parts(struct walk *w, const struct slot_part *parts, int n_parts,
                        struct panels *out)
{
    struct panel_layout layout;
    int64_t n = 0, k = 0;
    size_t bytes;
    void *data = NULL;
    for (int i = 0; i < n_parts; i++) {
        assert(parts[i].parameter);
        n += stored_width(parts[i].rows);
        k = even_width(parts[i].columns);
    }
    TRY(panel_layout(w, parts, n_parts, &layout));
    TRY(panels_layout_bytes(&layout, n, k, &bytes));
    TRY(reserve_weights(w, bytes, &data));
    *out = (struct panels){.format = layout.format, .groups = layout.groups};
    if (w->memory)
        panels_layout_init(out, &layout, (int32_t)n, (int32_t)k, data);
    int32_t row = 0;
    for (int i = 0; i < n_parts; i++) {
        TRY(add_layout_piece(w, &parts[i], (struct weight_piece){.panels = *out, .row = row}));
        row += (int32_t)stored_width(parts[i].rows);
    }
    return OK;
}

// Same, of whole slots.
enum status place_panels(struct walk *w, const enum slot *of, int n_parts, struct panels *out)
{
    struct slot_part parts[STACK_MAX];
    assert(n_parts <= STACK_MAX);
    for (int i = 0; i < n_parts; i++)
        parts[i] = find_part(w, of[i], false);
    return place_parts(w, parts, n_parts, out);
}

// A slot that has a tensor for each stream but the first one: panels of each.
static enum status place_streams(struct walk *w, enum slot slot, struct panels *out)
{
    const struct model_config *c = &w->plan->config;
    for (int i = 0; i + 1 < c->altup.num_inputs; i++) {
        struct slot_part part = find_part(w, slot, false);
        part.rows = (struct range){i * c->hidden_size, (i + 1) * c->hidden_size};
        TRY(place_parts(w, &part, 1, &out[i]));
    }
    return OK;
}

// Two slots of one size, side by side.
enum status place_pair(struct walk *w, const enum slot of[2], struct panels *first,
                       struct panels *second)
{
    struct panel_layout layout;
    size_t bytes;
    void *data = NULL;
    const struct slot_part parts[] = {find_part(w, of[0], false), find_part(w, of[1], false)};
    int64_t n = even_width(parts[0].rows), k = even_width(parts[0].columns);
    TRY(panel_layout(w, parts, 2, &layout));
    TRY(panels_layout_bytes(&layout, n, k, &bytes));
    if (!checked_mul(bytes, 2, &bytes))
        return fail(ERR_INPUT, "two weight matrices of [%lld, %lld] do not fit into memory",
                    (long long)n, (long long)k);
    TRY(reserve_weights(w, bytes, &data));
    *first = *second = (struct panels){.format = layout.format, .groups = layout.groups};
    if (w->memory)
        panels_layout_init_pair(first, second, &layout, (int32_t)n, (int32_t)k, data);
    for (int i = 0; i < 2 && w->memory; i++)
        zero_rows(i ? second : first, (int32_t)stored_width(parts[i].rows));
    struct weight_piece place = {.panels = *first}, other = {.panels = *second};
    if (parts[0].parameter->n_heads && parts[0].parameter->n_experts) {
        place.second = *second;
        return add_layout_piece(w, &parts[0], place);
    }
    TRY(add_layout_piece(w, &parts[0], place));
    return add_layout_piece(w, &parts[1], other);
}

void add_equal_panels(int number, const struct panels *panels, struct equal_panels *out)
{
    if (number == 0)
        out->first = *panels;
    if (number == 1)
        out->stride = (size_t)((char *)panels->data - (char *)out->first.data);
}

// As `like` says each number is changed.
static enum status place_changed(struct walk *w, const enum slot *of, int n_parts, bool bias,
                                 struct weight_piece like, const float **out)
{
    struct slot_part parts[STACK_MAX];
    int64_t n = 0;
    bool is_there = false;
    void *data = NULL;
    *out = NULL;
    assert(n_parts <= STACK_MAX);
    for (int i = 0; i < n_parts; i++) {
        parts[i] = find_part(w, of[i], bias);
        is_there = is_there || parts[i].parameter;
        n += even_width(parts[i].parameter ? parts[i].rows : find_part(w, of[i], false).rows);
    }
    if (!is_there)
        return OK;
    TRY(reserve_weights(w, (size_t)n * sizeof(float), &data));
    if (data)
        memset(data, 0, (size_t)n * sizeof(float)); // what the file lacks
    float *next = data;
    for (int i = 0; i < n_parts; i++) {
        like.vector = next;
        if (parts[i].parameter)
            TRY(add_layout_piece(w, &parts[i], like));
        if (next)
            next +=
                even_width(parts[i].parameter ? parts[i].rows : find_part(w, of[i], false).rows);
    }
    *out = data;
    return OK;
}

enum status place_vector(struct walk *w, const enum slot *of, int n_parts, bool bias, float added,
                         const float **out)
{
    return place_changed(w, of, n_parts, bias, (struct weight_piece){.added = added}, out);
}

enum status place_norm(struct walk *w, const struct norm_config *norm, enum slot slot,
                       struct norm_weights *out)
{
    TRY(place_vector(w, &slot, 1, false, norm->plus_one ? 1 : 0, &out->weight));
    return place_vector(w, &slot, 1, true, 0, &out->bias);
}

static enum status place_attention(struct walk *w, const struct attention_config *config,
                                   struct attention_weights *out)
{
    static const enum slot qkv[STACK_MAX] = {SLOT_QUERY, SLOT_KEY, SLOT_VALUE},
                           o[] = {SLOT_ATTENDED}, sinks[] = {SLOT_SINKS},
                           gate[] = {SLOT_OUTPUT_GATE};
    if (config->latent.kv_rank) {
        TRY(place_latent(w, &config->latent, &out->latent));
        TRY(place_panels(w, o, 1, &out->o));
        return place_vector(w, o, 1, true, 0, &out->o_bias);
    }
    const struct weight_piece as_biases = {.factor = config->bias_factor};
    int n = config->keys_of_earlier ? 1 : config->value_is_key ? 2 : 3;
    TRY(place_panels(w, qkv, n, &out->qkv));
    TRY(place_changed(w, qkv, n, true, as_biases, &out->qkv_bias));
    TRY(place_panels(w, o, 1, &out->o));
    TRY(place_changed(w, o, 1, true, as_biases, &out->o_bias));
    TRY(place_norm(w, &config->q_norm, SLOT_QUERY_NORM, &out->q_norm));
    TRY(place_norm(w, &config->k_norm, SLOT_KEY_NORM, &out->k_norm));
    if (config->output_gate)
        TRY(place_panels(w, gate, 1, &out->gate));
    TRY(place_vector(w, gate, 1, true, 0, &out->gate_bias));
    return place_vector(w, sinks, 1, false, 0, &out->sinks);
}

// An MLP without a gate: the rows added to an odd number are zero.
enum status place_up(struct walk *w, enum slot slot, struct panels *out)
{
    struct panel_layout layout;
    size_t bytes;
    void *data = NULL;
    const struct slot_part up = find_part(w, slot, false);
    int64_t n = even_width(up.rows), k = even_width(up.columns);
    TRY(panel_layout(w, &up, 1, &layout));
    TRY(panels_layout_bytes(&layout, n, k, &bytes));
    TRY(reserve_weights(w, bytes, &data));
    *out = (struct panels){.format = layout.format, .groups = layout.groups};
    if (w->memory) {
        panels_layout_init(out, &layout, (int32_t)n, (int32_t)k, data);
        zero_rows(out, (int32_t)stored_width(up.rows));
    }
    return add_layout_piece(w, &up, (struct weight_piece){.panels = *out});
}

static enum status place_mlp(struct walk *w, const struct mlp_config *config,
                             struct mlp_weights *out)
{
    static const enum slot pair[] = {SLOT_GATE, SLOT_UP}, down[] = {SLOT_DOWN};
    static const enum slot xielu[] = {SLOT_XIELU_ALPHA_P, SLOT_XIELU_ALPHA_N, SLOT_XIELU_BETA,
                                      SLOT_XIELU_EPS};
    static const enum slot token_gate[] = {SLOT_TOKEN_GATE};
    if (config->gated) {
        TRY(place_pair(w, pair, &out->gate, &out->up));
        TRY(place_vector(w, &pair[0], 1, true, 0, &out->gate_bias));
        TRY(place_vector(w, &pair[1], 1, true, 0, &out->up_bias));
    } else {
        TRY(place_up(w, SLOT_UP, &out->gate));
        TRY(place_vector(w, &pair[1], 1, true, 0, &out->gate_bias));
    }
    TRY(place_panels(w, down, 1, &out->down));
    for (int i = 0; i < 4; i++)
        TRY(place_vector(w, &xielu[i], 1, false, 0, &out->xielu[i]));
    if (config->token_gate)
        TRY(place_panels(w, token_gate, 1, &out->token_gate));
    return place_vector(w, down, 1, true, 0, &out->down_bias);
}

static enum status place_altup(struct walk *w, struct altup_weights *out)
{
    static const enum slot router[] = {SLOT_ROUTER}, prediction[] = {SLOT_PREDICTION},
                           correction[] = {SLOT_CORRECTION}, scale[] = {SLOT_CORRECT_SCALE};
    TRY(place_norm(w, &w->plan->config.altup.router_norm, SLOT_ROUTER_NORM, &out->router_norm));
    TRY(place_panels(w, router, 1, &out->router));
    TRY(place_panels(w, prediction, 1, &out->prediction));
    TRY(place_panels(w, correction, 1, &out->correction));
    return place_vector(w, scale, 1, false, 0, &out->correct_scale);
}

static enum status place_laurel(struct walk *w, const struct laurel_config *config,
                                struct laurel_weights *out)
{
    static const enum slot left[] = {SLOT_LAUREL_LEFT}, right[] = {SLOT_LAUREL_RIGHT};
    TRY(place_panels(w, left, 1, &out->left));
    TRY(place_panels(w, right, 1, &out->right));
    return place_norm(w, &config->norm, SLOT_LAUREL_NORM, &out->norm);
}

static enum status place_sublayer(struct walk *w, const struct sublayer_config *config,
                                  struct sublayer_weights *out)
{
    TRY(place_norm(w, &config->before, SLOT_BEFORE_NORM, &out->before));
    TRY(place_norm(w, &config->after, SLOT_AFTER_NORM, &out->after));
    TRY(place_norm(w, &config->joint, SLOT_JOINT_NORM, &out->joint));
    if (config->predicts)
        TRY(place_altup(w, &out->altup));
    if (config->laurel.rank)
        TRY(place_laurel(w, &config->laurel, &out->laurel));
    static const enum slot scalar[] = {SLOT_LAYER_SCALAR};
    TRY(place_vector(w, scalar, 1, false, 0, &out->scalar));
    switch (config->kind) {
    case MIX_ATTENTION:
        return place_attention(w, &config->attention, &out->attention);
    case MIX_MLP:
        return place_mlp(w, &config->mlp, &out->mlp);
    case MIX_EXPERTS:
        return place_experts(w, &config->experts, &out->experts);
    case MIX_MAMBA:
        return place_mamba(w, &config->mamba, &out->mamba);
    case MIX_CONVOLUTION:
        return place_convolution(w, &config->convolution, &out->convolution);
    case MIX_DELTA:
        return place_delta(w, &config->delta, &out->delta);
    }
    return OK;
}

static enum status place_layers(struct walk *w, struct weights *out)
{
    const struct model_config *c = &w->plan->config;
    const struct range layers = plan_stage_layers(w->plan, w->stage);
    struct sublayer_weights unused = {0};
    for (w->layer = layers.begin; w->layer < layers.end; w->layer++) {
        const struct layer_config *layer = model_config_layer(c, w->layer);
        for (w->sublayer = 0; w->sublayer < layer->n_sublayers; w->sublayer++)
            TRY(place_sublayer(w, &layer->sublayers[w->sublayer],
                               w->memory ? &out->layers[w->layer][w->sublayer] : &unused));
    }
    return OK;
}

static enum status place_layer_inputs(struct walk *w, struct weights *out)
{
    static const enum slot table[] = {SLOT_INPUTS_TABLE}, projection[] = {SLOT_INPUTS_PROJECTION};
    const struct layer_inputs_config *config = &w->plan->config.layer_inputs;
    if (!config->size)
        return OK;
    TRY(place_panels(w, table, 1, &out->inputs_table));
    TRY(place_panels(w, projection, 1, &out->inputs_projection));
    return place_norm(w, &config->norm, SLOT_INPUTS_NORM, &out->inputs_norm);
}

static enum status place_first(struct walk *w, struct weights *out)
{
    static const enum slot embed[] = {SLOT_EMBED};
    if (w->stage > 0)
        return OK;
    TRY(place_panels(w, embed, 1, &out->embed));
    TRY(place_streams(w, SLOT_STREAM_PROJECTIONS, out->stream_projections));
    return place_norm(w, &w->plan->config.embed_norm, SLOT_EMBED_NORM, &out->embed_norm);
}

static enum status place_last(struct walk *w, struct weights *out)
{
    static const enum slot lm_head[] = {SLOT_LM_HEAD};
    if (w->stage < w->plan->n_stages - 1)
        return OK;
    TRY(place_streams(w, SLOT_STREAM_UNEMBEDDINGS, out->stream_unembeddings));
    TRY(place_norm(w, &w->plan->config.final_norm, SLOT_FINAL_NORM, &out->final_norm));
    TRY(place_vector(w, lm_head, 1, true, 0, &out->lm_head_bias));
    out->lm_head = out->embed;
    bool is_embed = w->plan->lm_head_is_embed && w->plan->n_stages == 1;
    return is_embed ? OK : place_panels(w, lm_head, 1, &out->lm_head);
}

static enum status place_all(struct walk *w, struct weights *out)
{
    TRY(place_first(w, out));
    TRY(place_layer_inputs(w, out));
    TRY(place_layers(w, out));
    return place_last(w, out);
}

static struct walk walk_of(const struct plan *plan, const struct checkpoint *checkpoint,
                           int world_rank, struct weights_layout *layout)
{
    return (struct walk){.plan = plan,
                         .checkpoint = checkpoint,
                         .rank = world_rank % plan->n_ranks,
                         .stage = world_rank / plan->n_ranks,
                         .sublayer = -1,
                         .layout = layout};
}

enum status weights_measure(const struct plan *plan, const struct checkpoint *checkpoint,
                            int world_rank, struct weights_layout *out)
{
    struct weights unused = {0};
    *out = (struct weights_layout){0};
    struct walk w = walk_of(plan, checkpoint, world_rank, out);
    return place_all(&w, &unused);
}

enum status weights_place(const struct plan *plan, const struct checkpoint *checkpoint,
                          int world_rank, void *memory, struct arena *arena, struct weights *out,
                          struct weights_layout *layout)
{
    assert(memory && checkpoint && layout->n_pieces > 0);
    size_t bytes = layout->bytes;
    struct weights_layout again = {0};
    struct walk w = walk_of(plan, checkpoint, world_rank, &again);
    w.memory = memory;
    w.arena = arena;
    *out = (struct weights){0};
    TRY(arena_take(arena, (size_t)plan->config.num_hidden_layers, sizeof *out->layers,
                   &out->layers));
    memset(out->layers, 0, (size_t)plan->config.num_hidden_layers * sizeof *out->layers);
    TRY(arena_take(arena, (size_t)layout->n_pieces, sizeof *again.pieces, &again.pieces));
    TRY(place_all(&w, out));
    assert(again.bytes == bytes && again.n_pieces == layout->n_pieces);
    *layout = again;
    return OK;
}
