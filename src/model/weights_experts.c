// Where the weights of a layer's experts lie.
#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "model/plan_build.h"
#include "model/weights_walk.h"

// Zeros for what the file lacks.
static enum status reserve_vectors(struct walk *w, int n, int64_t width, float **out)
{
    size_t bytes;
    void *data;
    if (!checked_mul3((size_t)n, (size_t)width, sizeof(float), &bytes))
        return fail(ERR_INPUT, "the biases of %d experts do not fit into memory", n);
    TRY(reserve_weights(w, bytes, &data));
    if (data)
        memset(data, 0, bytes);
    *out = data;
    return OK;
}

static float *vector_of(float *vectors, int expert, int64_t width)
{
    return vectors ? vectors + (int64_t)expert * width : NULL;
}

// A bias of each of the rank's experts; of gate and up (`second`), which one tensor may have in
// turn.
static enum status place_biases(struct walk *w, struct range own, const enum slot *of,
                                const float **first, const float **second)
{
    const struct slot_part parts[] = {find_part(w, of[0], true),
                                      second ? find_part(w, of[1], true) : (struct slot_part){0}};
    const int n = own.end - own.begin;
    const int64_t width = even_width(parts[0].rows);
    float *a = NULL, *b = NULL;
    if (!parts[0].parameter)
        return OK;
    TRY(reserve_vectors(w, n, width, &a));
    if (second)
        TRY(reserve_vectors(w, n, width, &b));
    for (w->expert = own.begin; w->expert < own.end; w->expert++) {
        struct weight_piece place = {.vector = vector_of(a, w->expert - own.begin, width)};
        struct weight_piece other = {.vector = vector_of(b, w->expert - own.begin, width)};
        if (parts[0].parameter->n_heads)
            place.second_vector = other.vector;
        TRY(add_layout_piece(w, &parts[0], place));
        if (second && !parts[0].parameter->n_heads)
            TRY(add_layout_piece(w, &parts[1], other));
    }
    *first = a;
    if (second)
        *second = b;
    return OK;
}

// The weight of the norm that the router reads by (docs/numerics.md section 11).
static enum status place_router_scale(struct walk *w, struct norm_weights *out)
{
    const struct slot_part part = find_part(w, SLOT_ROUTER_SCALE, false);
    const float root = (float)(1 / sqrt((double)w->plan->config.hidden_size));
    float *weight;
    if (!part.parameter)
        return OK;
    TRY(reserve_vectors(w, 1, even_width(part.rows), &weight));
    out->weight = weight;
    return add_layout_piece(w, &part, (struct weight_piece){.vector = weight, .factor = root});
}

// The rank's experts, one behind the other.
enum status place_experts(struct walk *w, const struct experts_config *config,
                          struct experts_weights *out)
{
    static const enum slot router[] = {SLOT_EXPERT_ROUTER}, choice[] = {SLOT_CHOICE_BIAS},
                           scales[] = {SLOT_EXPERT_SCALES},
                           pair[] = {SLOT_EXPERT_GATE, SLOT_EXPERT_UP}, down[] = {SLOT_EXPERT_DOWN},
                           latent_down[] = {SLOT_EXPERT_LATENT_DOWN},
                           latent_up[] = {SLOT_EXPERT_LATENT_UP};
    const struct cut *cut = plan_cut_of(w->plan, w->layer, w->sublayer);
    const struct range own = cut->shares[w->rank].dims[DIM_OWN_EXPERTS];
    TRY(place_panels(w, router, 1, &out->router));
    TRY(place_vector(w, router, 1, true, 0, &out->router_bias));
    TRY(place_vector(w, choice, 1, false, 0, &out->choice_bias));
    TRY(place_vector(w, scales, 1, false, 0, &out->expert_scales));
    TRY(place_router_scale(w, &out->router_norm));
    if (config->latent_size) {
        TRY(place_panels(w, latent_down, 1, &out->latent_down));
        TRY(place_vector(w, latent_down, 1, true, 0, &out->latent_down_bias));
        TRY(place_panels(w, latent_up, 1, &out->latent_up));
        TRY(place_vector(w, latent_up, 1, true, 0, &out->latent_up_bias));
    }
    for (w->expert = own.begin; w->expert < own.end; w->expert++) {
        struct panels first = {0}, second = {0};
        if (config->gated)
            TRY(place_pair(w, pair, &first, &second));
        else
            TRY(place_up(w, SLOT_EXPERT_UP, &first));
        add_equal_panels(w->expert - own.begin, &first, &out->gate);
        add_equal_panels(w->expert - own.begin, &second, &out->up);
    }
    for (w->expert = own.begin; w->expert < own.end; w->expert++) {
        struct panels panels = {0};
        TRY(place_panels(w, down, 1, &panels));
        add_equal_panels(w->expert - own.begin, &panels, &out->down);
    }
    TRY(place_biases(w, own, pair, &out->gate_bias, &out->up_bias));
    TRY(place_biases(w, own, down, &out->down_bias, NULL));
    w->expert = 0;
    return OK;
}
