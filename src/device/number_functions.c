// exp, log, sin, cos and pow of the contract: only additions, multiplications, divisions and fused
// multiply-adds, each rounded once, so that every machine and C library gives the same bits.
#include <math.h>

#include "device/exp_parts.h"
#include "device/kernels.h"

// docs/numerics.md, section 8.
float number_exp(float x)
{
    if (x != x)
        return x;
    if (x > 88.72283f)
        return INFINITY;
    if (x < -87.33654f)
        return 0.0f;
    const struct exp_parts parts = exp_parts(x);
    int half = (parts.n - (parts.n & 1)) / 2; // floor(n / 2)
    return ((parts.y + 1.0f) * power_of_two(half)) * power_of_two(parts.n - half);
}

static double double_of_bits(uint64_t bits)
{
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

// x = mantissa * 2^exponent, mantissa in [1/sqrt(2), sqrt(2)); x is positive and normal.
static double split_exponent(double x, int *exponent)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    *exponent = (int)(bits >> 52) - 1023;
    double mantissa = double_of_bits((bits & 0xfffffffffffffull) | 0x3ff0000000000000ull);
    if (mantissa < 1.4142135623730951)
        return mantissa;
    *exponent += 1;
    return mantissa * 0.5;
}

// (log((1 + s) / (1 - s)) / 2 - s) / s^3, by its series in s^2 <= 0.0295.
static double log_tail(double s2)
{
    double p = 1.0 / 23;
    for (int i = 21; i >= 3; i -= 2)
        p = p * s2 + 1.0 / i;
    return p;
}

static const double LN2_HIGH = 0x1.62e42fefap-1; // 35 bits: its product with an exponent is exact
static const double LN2_LOW = 0x1.cf79abc9e3b3ap-40;

// log(x) = high + low to about 100 bits' worth of what number_pow() needs.
static double log_in_two(double x, double *low)
{
    int exponent;
    double m = split_exponent(x, &exponent);
    double f = m - 1.0, g = m + 1.0, g_low = m - (g - 1.0);
    double s = f / g;
    double s_low = fma(-s, g_low, fma(-s, g, f)) / g;
    double big = exponent * LN2_HIGH, small = 2.0 * s;
    double high = big + small;
    double lost = fabs(big) > fabs(small) ? (big - high) + small : (small - high) + big;
    *low = lost + (exponent * LN2_LOW + (2.0 * s_low + 2.0 * s * (s * s) * log_tail(s * s)));
    return high;
}

float number_log(float x)
{
    uint32_t bits = bits_of_float(x);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return x;
    if ((bits & 0x7f800000u) == 0) // zero, and denormals that count as zero
        return -INFINITY;
    if (bits >> 31)
        return float_of_bits(0x7fc00000u);
    if (bits == 0x7f800000u)
        return x;
    double low, high = log_in_two(x, &low);
    return (float)(high + low);
}

// docs/numerics.md, section 8. The quotient makes good what 1 + e has lost of e.
float number_softplus(float x)
{
    if (x > 20.0f)
        return x;
    const float e = number_exp(x), u = 1.0f + e;
    return u == 1.0f ? e : number_log(u) * (e / (u - 1.0f));
}

// docs/numerics.md, section 12. Vector kernels repeat these lines (cpu/x86/channel_decays.h).
float number_channel_decay(float rate, float x)
{
    const float e = number_exp(-fabsf(x)), s = e / (2.0f + e), z = s * s;
    float p = 0.133333333f;
    p = fmaf(p, z, 0.153846154f);
    p = fmaf(p, z, 0.181818182f);
    p = fmaf(p, z, 0.222222222f);
    p = fmaf(p, z, 0.285714286f);
    p = fmaf(p, z, 0.4f);
    p = fmaf(p, z, 0.666666667f);
    return number_exp(rate * ((x < 0 ? 0 : x) + fmaf(s * z, p, s + s)));
}

// exp(high + low) for |low| far below |high|.
static double exp_of_two(double high, double low)
{
    if (high > 709.0)
        return INFINITY;
    if (high < -708.0)
        return 0.0;
    double n = rint(high * 1.4426950408889634);
    double r = ((high - n * LN2_HIGH) - n * LN2_LOW) + low;
    double p = 1.0 / 6227020800.0; // 1/13!, and the series downwards
    double factorial = 6227020800.0;
    for (int i = 13; i > 2; i--) {
        factorial /= i;
        p = p * r + 1.0 / factorial;
    }
    return (1.0 + (r + r * r * p)) * double_of_bits((uint64_t)((int)n + 1023) << 52);
}

double number_pow(double base, double exponent)
{
    if (!(base >= 0x1p-1022) || base > 0x1.fffffffffffffp1023)
        return double_of_bits(0x7ff8000000000000ull);
    double low, high = log_in_two(base, &low);
    double product = high * exponent;
    return exp_of_two(product, fma(high, exponent, -product) + low * exponent);
}

// The part of normally distributed numbers between their mean and z deviations from it: the density
// at z times the series z + z^3/3 + z^5/(3*5) + z^7/(3*5*7) ...
static double normal_part(double z)
{
    double term = z, sum = z;
    for (int i = 3; term > sum * 1e-18; i += 2) {
        term *= z * z / i;
        sum += term;
    }
    return sum * 0.39894228040143268 * number_pow(2.7182818284590452, -0.5 * (z * z));
}

double number_normal_quantile(double p)
{
    double part = fabs(p - 0.5), low = 0, high = 6;
    if (!(p > 0 && p < 1))
        return double_of_bits(0x7ff8000000000000ull);
    for (int i = 0; i < 60; i++) { // halving: as many steps as a double has bits
        double middle = (low + high) / 2;
        if (normal_part(middle) < part)
            low = middle;
        else
            high = middle;
    }
    return p < 0.5 ? -low : low;
}

// For |angle| <= 1e7. With fma, angle - n * (pi/2 to 53 bits) is exact; the rest of pi/2 is one
// more term.
void number_sin_cos(double angle, double *sine, double *cosine)
{
    if (!(fabs(angle) < 0x1p52)) { // also NaN: no position is that far
        *sine = *cosine = double_of_bits(0x7ff8000000000000ull);
        return;
    }
    double n = rint(angle * 0.63661977236758134);
    double r = fma(-n, 0x1.1a62633145c07p-54, fma(-n, 0x1.921fb54442d18p0, angle));
    double r2 = r * r;
    double s = 1.0 / 355687428096000.0; // 1/17!
    s = s * r2 - 1.0 / 1307674368000.0;
    s = s * r2 + 1.0 / 6227020800.0;
    s = s * r2 - 1.0 / 39916800.0;
    s = s * r2 + 1.0 / 362880.0;
    s = s * r2 - 1.0 / 5040.0;
    s = s * r2 + 1.0 / 120.0;
    s = s * r2 - 1.0 / 6.0;
    s = r + r * (r2 * s);
    double c = 1.0 / 20922789888000.0; // 1/16!
    c = c * r2 - 1.0 / 87178291200.0;
    c = c * r2 + 1.0 / 479001600.0;
    c = c * r2 - 1.0 / 3628800.0;
    c = c * r2 + 1.0 / 40320.0;
    c = c * r2 - 1.0 / 720.0;
    c = c * r2 + 1.0 / 24.0;
    c = (1.0 - 0.5 * r2) + r2 * r2 * c;
    int64_t quarter = (int64_t)n & 3;
    *sine = quarter == 0 ? s : quarter == 1 ? c : quarter == 2 ? -s : -c;
    *cosine = quarter == 0 ? c : quarter == 1 ? -s : quarter == 2 ? -c : s;
}
