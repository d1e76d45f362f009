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

static double base_frequency(const struct model_config *c, int i)
{
    return 1 / number_pow(c->rope.theta, 2.0 * i / c->head_dim);
}

// _compute_llama3_parameters
static double llama3_frequency(const struct model_config *c, int i)
{
    const struct rope_config *r = &c->rope;
    double frequency = base_frequency(c, i), wavelength = 2 * PI / frequency;
    double context = r->original_max_position_embeddings;
    if (wavelength > context / r->low_freq_factor)
        return frequency / r->factor;
    if (wavelength < context / r->high_freq_factor || r->high_freq_factor == r->low_freq_factor)
        return frequency;
    double smooth =
        (context / wavelength - r->low_freq_factor) / (r->high_freq_factor - r->low_freq_factor);
    return (1 - smooth) * frequency / r->factor + smooth * frequency;
}

static double yarn_factor(const struct model_config *c)
{
    if (c->rope.factor != 0)
        return c->rope.factor;
    return (double)c->max_position_embeddings / c->rope.original_max_position_embeddings;
}

// find_correction_dim: which dimension turns `rotations` times over the original context.
static double yarn_dimension(const struct model_config *c, double rotations)
{
    double context = c->rope.original_max_position_embeddings;
    return c->head_dim * logarithm(context / (rotations * 2 * PI)) / (2 * logarithm(c->rope.theta));
}

// _compute_yarn_parameters: between dimensions `low` and `high` from the frequency as it is to the
// interpolated one.
static double yarn_frequency(const struct model_config *c, int i)
{
    double low = yarn_dimension(c, c->rope.beta_fast), high = yarn_dimension(c, c->rope.beta_slow);
    if (c->rope.truncate) {
        low = floor(low);
        high = ceil(high);
    }
    low = low > 0 ? low : 0;
    high = high < c->head_dim - 1 ? high : c->head_dim - 1;
    if (low == high)
        high += 0.001;
    double ramp = (i - low) / (high - low);
    ramp = ramp < 0 ? 0 : ramp > 1 ? 1 : ramp;
    double frequency = base_frequency(c, i);
    return frequency / yarn_factor(c) * ramp + frequency * (1 - ramp);
}

static double yarn_mscale(double factor, double mscale)
{
    return factor <= 1 ? 1 : 0.1 * mscale * logarithm(factor) + 1;
}

static double scaling(const struct model_config *c)
{
    const struct rope_config *r = &c->rope;
    if (r->type != ROPE_YARN)
        return 1;
    if (r->attention_factor != 0)
        return r->attention_factor;
    if (r->mscale != 0 && r->mscale_all_dim != 0)
        return yarn_mscale(yarn_factor(c), r->mscale) /
               yarn_mscale(yarn_factor(c), r->mscale_all_dim);
    return yarn_mscale(yarn_factor(c), 1);
}

static double frequency_of(const struct model_config *c, int i)
{
    switch (c->rope.type) {
    case ROPE_DEFAULT:
    case ROPE_DYNAMIC: // grows only beyond max_position_embeddings, where no request gets
        return base_frequency(c, i);
    case ROPE_LINEAR:
        return base_frequency(c, i) / c->rope.factor;
    case ROPE_LLAMA3:
        return llama3_frequency(c, i);
    case ROPE_YARN:
        return yarn_frequency(c, i);
    }
    return 0;
}

void rope_init(struct rope *rope, const struct model_config *config)
{
    assert(config->head_dim > 0 && config->head_dim % 2 == 0 && config->head_dim <= HEAD_DIM_MAX);
    rope->half = config->head_dim / 2;
    rope->scaling = scaling(config);
    for (int i = 0; i < rope->half; i++)
        rope->inv_freq[i] = (float)frequency_of(config, i);
}

void rope_angles(const struct rope *rope, int64_t position, float *cos, float *sin)
{
    assert(position >= 0);
    for (int i = 0; i < rope->half; i++) {
        float angle = (float)position * rope->inv_freq[i];
        double sine, cosine;
        number_sin_cos((double)angle, &sine, &cosine);
        cos[i] = (float)(cosine * rope->scaling);
        sin[i] = (float)(sine * rope->scaling);
    }
}
