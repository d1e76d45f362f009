#include "model/rope.h"

#include <assert.h>
#include <math.h>

#include "device/kernels.h"

static const double PI = 3.14159265358979323846, LN2 = 0.69314718055994530942;

// Natural logarithm: libm's differ in the last bit, and ranks may run on different machines.
static double logarithm(double x)
{
    int exponent;
    double m = frexp(x, &exponent); // [0.5, 1), exact
    if (m < 0.70710678118654752440) {
        m *= 2;
        exponent--;
    }
    double s = (m - 1) / (m + 1), s2 = s * s, series = 0;
    for (int i = 25; i >= 1; i -= 2)
        series = series * s2 + 1.0 / i;
    return exponent * LN2 + 2 * s * series;
}

static double base_frequency(const struct rope_config *c, int i)
{
    int32_t n = c->exponent_dimensions ? c->exponent_dimensions : c->n_dimensions;
    return 1 / number_pow(c->theta, 2.0 * i / n);
}

// _compute_llama3_parameters
static double llama3_frequency(const struct rope_config *c, int i)
{
    double frequency = base_frequency(c, i), wavelength = 2 * PI / frequency;
    double context = c->original_max_position_embeddings;
    if (wavelength > context / c->low_freq_factor)
        return frequency / c->factor;
    if (wavelength < context / c->high_freq_factor || c->high_freq_factor == c->low_freq_factor)
        return frequency;
    double smooth =
        (context / wavelength - c->low_freq_factor) / (c->high_freq_factor - c->low_freq_factor);
    return (1 - smooth) * frequency / c->factor + smooth * frequency;
}

static double yarn_factor(const struct rope_config *c)
{
    if (c->factor != 0)
        return c->factor;
    return (double)c->max_position_embeddings / c->original_max_position_embeddings;
}

// find_correction_dim: which dimension turns `rotations` times over the original context.
static double yarn_dimension(const struct rope_config *c, double rotations)
{
    double context = c->original_max_position_embeddings;
    return c->n_dimensions * logarithm(context / (rotations * 2 * PI)) / (2 * logarithm(c->theta));
}

// _compute_yarn_parameters: between dimensions `low` and `high` from the frequency as it is to the
// interpolated one.
static double yarn_frequency(const struct rope_config *c, int i)
{
    double low = yarn_dimension(c, c->beta_fast), high = yarn_dimension(c, c->beta_slow);
    if (c->truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < c->n_dimensions - 1 ? high : c->n_dimensions - 1;
    if (low == high)
        high += 0.001;
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    double frequency = base_frequency(c, i);
    return frequency / yarn_factor(c) * ramp + frequency * (1 - ramp);
}

double rope_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * logarithm(factor) + 1;
}

// _compute_longrope_parameters
static double longrope_scaling(const struct rope_config *c)
{
    if (c->factor <= 1)
        return 1;
    return sqrt(1 + logarithm(c->factor) / logarithm(c->original_max_position_embeddings));
}

static double scaling(const struct rope_config *c)
{
    if (c->type != ROPE_YARN && c->type != ROPE_LONGROPE)
        return 1;
    if (c->attention_factor != 0)
        return c->attention_factor;
    if (c->type == ROPE_LONGROPE)
        return longrope_scaling(c);
    if (c->mscale != 0 && c->mscale_all_dim != 0)
        return rope_mscale(yarn_factor(c), c->mscale) /
               rope_mscale(yarn_factor(c), c->mscale_all_dim);
    return rope_mscale(yarn_factor(c), 1);
}

// _compute_proportional_parameters: the first pairs turn, at frequencies of whole heads.
static double proportional_frequency(const struct rope_config *c, int i)
{
    return i < (int)(c->partial_rotary_factor * c->head_dim / 2) ? base_frequency(c, i) : 0;
}

static double frequency_of(const struct rope_config *c, int i, bool is_long)
{
    switch (c->type) {
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC: // grows only beyond max_position_embeddings, where no request gets
        return base_frequency(c, i);
    case ROPE_LINEAR:
        return base_frequency(c, i) / c->factor;
    case ROPE_LLAMA3:
        return llama3_frequency(c, i);
    case ROPE_YARN:
        return yarn_frequency(c, i);
    case ROPE_LONGROPE:
        return base_frequency(c, i) / (double)(is_long ? c->long_factor : c->short_factor)[i];
    case ROPE_PROPORTIONAL:
        return proportional_frequency(c, i);
    }
    return 0;
}

void rope_init(struct rope *rope, const struct rope_config *config)
{
    assert(config->n_dimensions > 0 && config->n_dimensions % 2 == 0 &&
           config->n_dimensions <= HEAD_DIM_MAX);
    rope->half = config->n_dimensions / 2;
    rope->scaling = config->short_mscale > 0 ? config->short_mscale : scaling(config);
    rope->long_scaling = config->long_mscale > 0 ? config->long_mscale : rope->scaling;
    for (int i = 0; i < rope->half; i++) {
        rope->inv_freq[i] = (float)frequency_of(config, i, false);
        rope->long_freq[i] = (float)frequency_of(config, i, true);
    }
}

void rope_angles(const struct rope *rope, int64_t position, bool is_long, float *cos, float *sin)
{
    const float *frequencies = is_long ? rope->long_freq : rope->inv_freq;
    const double factor = is_long ? rope->long_scaling : rope->scaling;
    assert(position >= 0);
    for (int i = 0; i < rope->half; i++) {
        float angle = (float)position * frequencies[i];
        double sine, cosine;
        number_sin_cos((double)angle, &sine, &cosine);
        cos[i] = (float)(cosine * factor);
        sin[i] = (float)(sine * factor);
    }
}
