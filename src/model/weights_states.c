// Weights of layers with a state (docs/numerics.md section 12). What is no matrix of a product is
// in f32, whatever the compute type.
#include <assert.h>
#include <string.h>

#include "model/weights_walk.h"

// Taps of some channels, one slot's behind the other's: a row of all channels for each tap, as the
// convolution reads them.
static enum status place_taps(struct walk *w, const enum slot *of, int n_parts, int32_t taps,
                              const float **out)
{
    struct slot_part parts[STACK_MAX];
    int64_t n = 0;
    void *data = NULL;
    assert(n_parts <= STACK_MAX);
    for (int i = 0; i < n_parts; i++) {
        parts[i] = find_part(w, of[i], false);
        assert(parts[i].parameter);
        n += parts[i].rows.end - parts[i].rows.begin;
    }
    TRY(reserve_weights(w, (size_t)(n * taps) * sizeof(float), &data));
    float *next = data;
    for (int32_t tap = 0; tap < taps; tap++)
        for (int i = 0; i < n_parts; i++) {
            parts[i].columns = (struct range){tap, tap + 1};
            TRY(add_layout_piece(w, &parts[i], (struct weight_piece){.vector = next}));
            if (next)
                next += parts[i].rows.end - parts[i].rows.begin;
        }
    *out = data;
    return OK;
}

static int64_t rows_of_slot(const struct walk *w, enum slot slot)
{
    const struct slot_part part = find_part(w, slot, false);
    return part.rows.end - part.rows.begin;
}

// Slots' numbers, or their biases, one behind the other as the rows of a product are, times
// `factor` unless that is 0. NULL where the model has none.
static enum status place_factored(struct walk *w, const enum slot *of, int n_parts, bool bias,
                                  float factor, const float **out)
{
    int64_t n = 0;
    void *data = NULL;
    *out = NULL;
    if (!find_part(w, of[0], bias).parameter)
        return OK;
    for (int i = 0; i < n_parts; i++)
        n += rows_of_slot(w, of[i]);
    TRY(reserve_weights(w, (size_t)n * sizeof(float), &data));
    if (data)
        memset(data, 0, (size_t)n * sizeof(float)); // biases that the file lacks
    float *next = data;
    for (int i = 0; i < n_parts; i++) {
        const struct slot_part part = find_part(w, of[i], bias);
        TRY(add_layout_piece(w, &part, (struct weight_piece){.vector = next, .factor = factor}));
        if (next)
            next += rows_of_slot(w, of[i]);
    }
    *out = data;
    return OK;
}

static enum status place_numbers(struct walk *w, const enum slot *of, int n_parts, bool bias,
                                 const float **out)
{
    return place_factored(w, of, n_parts, bias, 0, out);
}

enum status place_mamba(struct walk *w, const struct mamba_config *config,
                        struct mamba_weights *out)
{
    static const enum slot in[] = {SLOT_MAMBA_GATE, SLOT_MAMBA_X, SLOT_MAMBA_B, SLOT_MAMBA_C,
                                   SLOT_MAMBA_STEP},
                           taps[] = {SLOT_MAMBA_TAPS_X, SLOT_MAMBA_TAPS_B, SLOT_MAMBA_TAPS_C},
                           a_log[] = {SLOT_MAMBA_A_LOG}, d[] = {SLOT_MAMBA_D},
                           step[] = {SLOT_MAMBA_STEP_BIAS}, norm[] = {SLOT_MAMBA_NORM},
                           last[] = {SLOT_MAMBA_OUT};
    TRY(place_panels(w, in, MAMBA_PARTS, &out->in));
    TRY(place_factored(w, in, MAMBA_PARTS, true, config->in_bias_factor, &out->in_bias));
    TRY(place_taps(w, taps, 3, config->taps, &out->taps));
    TRY(place_numbers(w, taps, 3, true, &out->taps_bias));
    TRY(place_numbers(w, a_log, 1, false, &out->a_log));
    TRY(place_numbers(w, d, 1, false, &out->d));
    TRY(place_numbers(w, step, 1, false, &out->step_bias));
    TRY(place_numbers(w, norm, 1, false, &out->norm));
    TRY(place_panels(w, last, 1, &out->out));
    return place_numbers(w, last, 1, true, &out->out_bias);
}

enum status place_delta(struct walk *w, const struct delta_config *config,
                        struct delta_weights *out)
{
    static const enum slot in[] = {SLOT_DELTA_QUERY, SLOT_DELTA_KEY,  SLOT_DELTA_VALUE,
                                   SLOT_DELTA_BETA,  SLOT_DELTA_GATE, SLOT_DELTA_STEP},
                           low[] = {SLOT_DELTA_QUERY, SLOT_DELTA_KEY,       SLOT_DELTA_VALUE,
                                    SLOT_DELTA_BETA,  SLOT_DELTA_GATE_DOWN, SLOT_DELTA_STEP_DOWN},
                           gate[] = {SLOT_DELTA_GATE_UP}, up[] = {SLOT_DELTA_STEP_UP},
                           taps[] = {SLOT_DELTA_TAPS_QUERY, SLOT_DELTA_TAPS_KEY,
                                     SLOT_DELTA_TAPS_VALUE},
                           a_log[] = {SLOT_DELTA_A_LOG}, step[] = {SLOT_DELTA_STEP_BIAS},
                           last[] = {SLOT_DELTA_OUT};
    TRY(place_panels(w, config->low_rank ? low : in, 6, &out->in));
    if (config->low_rank) {
        TRY(place_panels(w, gate, 1, &out->gate_up));
        TRY(place_panels(w, up, 1, &out->step_up));
    }
    TRY(place_taps(w, taps, 3, config->taps, &out->taps));
    TRY(place_numbers(w, a_log, 1, false, &out->a_log));
    TRY(place_numbers(w, step, 1, false, &out->step_bias));
    TRY(place_norm(w, &config->norm, SLOT_DELTA_NORM, &out->norm));
    return place_panels(w, last, 1, &out->out);
}

enum status place_convolution(struct walk *w, const struct convolution_config *config,
                              struct convolution_weights *out)
{
    static const enum slot in[] = {SLOT_CONVOLUTION_B, SLOT_CONVOLUTION_C, SLOT_CONVOLUTION_X},
                           taps[] = {SLOT_CONVOLUTION_TAPS}, last[] = {SLOT_CONVOLUTION_OUT};
    TRY(place_panels(w, in, 3, &out->in));
    TRY(place_numbers(w, in, 3, true, &out->in_bias));
    TRY(place_taps(w, taps, 1, config->taps, &out->taps));
    TRY(place_numbers(w, taps, 1, true, &out->taps_bias));
    TRY(place_panels(w, last, 1, &out->out));
    return place_numbers(w, last, 1, true, &out->out_bias);
}
