#include "testing.h"

#include <math.h>

#include "device/kernels.h"

static void halves_widen_and_round_back(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 65536; i++) {
        float x = float_of_f16((f16)i);
        if ((i & 0x7fff) > 0x7c00) {
            assert_true(x != x);
            assert_int_equal(f16_of_float(x), (i & 0x8000) | 0x7e00);
            continue;
        }
        double expected = ldexp((double)((i & 0x3ff) | ((i & 0x7c00) ? 0x400 : 0)),
                                (int)((i >> 10 & 31) ? (i >> 10 & 31) : 1) - 25);
        if ((i & 0x7c00) == 0x7c00)
            expected = INFINITY;
        assert_true((double)x == ((i & 0x8000) ? -expected : expected));
        assert_int_equal(f16_of_float(x), i);
    }
}

// Between two neighbours: below the middle down, above up, the middle to the even one.
static void halves_round_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 0x7bff; i++) {
        float low = float_of_f16((f16)i), high = float_of_f16((f16)(i + 1));
        float middle = low + (high - low) / 2;
        uint32_t even = i & 1 ? i + 1 : i;
        assert_int_equal(f16_of_float(middle), even);
        assert_int_equal(f16_of_float(-middle), even | 0x8000);
        assert_int_equal(f16_of_float(float_of_bits(bits_of_float(middle) - 1)), i);
        assert_int_equal(f16_of_float(float_of_bits(bits_of_float(middle) + 1)), i + 1);
    }
    assert_int_equal(f16_of_float(65519.996f), 0x7bff);
    assert_int_equal(f16_of_float(65520.0f), 0x7c00);
    assert_int_equal(f16_of_float(-3e38f), 0xfc00);
    assert_int_equal(f16_of_float(INFINITY), 0x7c00);
    assert_int_equal(f16_of_float(1e-30f), 0);
    assert_int_equal(f16_of_float(-0.0f), 0x8000);
}

static void bf16_rounds_to_nearest_even(void **state)
{
    (void)state;
    for (uint32_t i = 0x80; i < 0x7f80; i++) { // all positive normal numbers
        uint32_t bits = i << 16, even = i & 1 ? i + 1 : i;
        assert_int_equal(bf16_of_float(float_of_bits(bits)), i);
        assert_int_equal(bf16_of_float(float_of_bits(bits | 0x7fff)), i);
        assert_int_equal(bf16_of_float(float_of_bits(bits | 0x8000)), even);
        assert_int_equal(bf16_of_float(float_of_bits(bits | 0x80008000u)), even | 0x8000);
        assert_int_equal(bf16_of_float(float_of_bits(bits | 0x8001)), i + 1);
    }
    assert_int_equal(bf16_of_float(float_of_bits(0x007fffff)), 0); // denormal
    assert_int_equal(bf16_of_float(float_of_bits(0x807fffff)), 0x8000);
    assert_int_equal(bf16_of_float(float_of_bits(0x7f800001)), 0x7fc0); // NaN
    assert_int_equal(bf16_of_float(float_of_bits(0xffffffff)), 0xffc0);
    assert_int_equal(bf16_of_float(3.4e38f), 0x7f80);
}

static void mode_flushes_denormals(void **state)
{
    (void)state;
    number_mode_set();
    volatile float smallest = 0x1p-126f, half = 0.5f, denormal = float_of_bits(1), big = 0x1p100f;
    assert_int_equal(bits_of_float(smallest * half), 0);
    assert_int_equal(bits_of_float(-smallest * half), 0x80000000u);
    assert_int_equal(bits_of_float(denormal * big), 0);
    assert_int_equal(bits_of_float(fmaf(denormal, big, -denormal)), 0);
    volatile float x = fmaf(smallest, half, -0.0f);
    assert_int_equal(bits_of_float(x), 0);
}

static double ulps_of_f32(float got, long double expected)
{
    int exponent;
    frexpl(expected, &exponent);
    return (double)fabsl(((long double)got - expected) / ldexpl(1.0L, exponent - 24));
}

static void exp_is_within_two_ulps(void **state)
{
    (void)state;
    number_mode_set();
    double worst = 0;
    for (uint32_t i = 0; i < 4000000; i++) {
        float x = -87.33654f + (float)i * (176.05f / 4000000.0f);
        double ulps = ulps_of_f32(number_exp(x), expl((long double)x));
        worst = ulps > worst ? ulps : worst;
    }
    for (uint32_t bits = 0x30000000; bits < 0x42ae0000;
         bits += 997) { // small arguments of both signs
        double plus =
            ulps_of_f32(number_exp(float_of_bits(bits)), expl((long double)float_of_bits(bits)));
        double minus =
            ulps_of_f32(number_exp(-float_of_bits(bits)), expl(-(long double)float_of_bits(bits)));
        worst = fmax(worst, fmax(plus, minus));
    }
    printf("exp: %.3f ulp\n", worst);
    assert_true(worst < 2);
    assert_true(number_exp(0.0f) == 1.0f && number_exp(-0.0f) == 1.0f);
    assert_true(isinf(number_exp(88.8f)) && isinf(number_exp(INFINITY)));
    assert_true(!isinf(number_exp(88.72283f)));
    assert_int_equal(bits_of_float(number_exp(-87.4f)), 0);
    assert_int_equal(bits_of_float(number_exp(-INFINITY)), 0);
    assert_true(isnan(number_exp(NAN)));
}

static void log_is_exact_to_an_ulp(void **state)
{
    (void)state;
    number_mode_set();
    double worst = 0;
    for (uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 499) {
        float x = float_of_bits(bits);
        double ulps = x == 1.0f ? 0 : ulps_of_f32(number_log(x), logl((long double)x));
        worst = ulps > worst ? ulps : worst;
    }
    printf("log: %.6f ulp\n", worst);
    assert_true(worst < 0.5001);
    assert_int_equal(bits_of_float(number_log(1.0f)), 0);
    assert_true(number_log(0.0f) < -1e38f && isinf(number_log(-0.0f)));
    assert_true(isinf(number_log(float_of_bits(5)))); // a denormal counts as zero
    assert_true(isinf(number_log(INFINITY)) && isnan(number_log(-1.0f)) && isnan(number_log(NAN)));
}

static void check_sin_cos(double angle, double *worst)
{
    double s, c;
    number_sin_cos(angle, &s, &c);
    double error = (double)fmaxl(fabsl((long double)s - sinl((long double)angle)),
                                 fabsl((long double)c - cosl((long double)angle)));
    *worst = error > *worst ? error : *worst;
}

static void sin_and_cos_hold_for_every_position(void **state)
{
    (void)state;
    number_mode_set();
    double worst = 0;
    for (int i = 0; i < 200000; i++)
        check_sin_cos(i * 0.0001, &worst);
    for (int i = 0; i < 1000000; i++)
        check_sin_cos((double)(float)(i * 10.000137), &worst);
    for (int i = -1000000; i < 1000000; i++) // near the multiples of pi/2, where reduction cancels
        check_sin_cos(i * 1.5707963267948966, &worst);
    printf("sin, cos: %.3g\n", worst);
    assert_true(worst < 1e-15);
    double s, c;
    number_sin_cos(0.0, &s, &c);
    assert_true(s == 0 && c == 1);
    number_sin_cos(INFINITY, &s, &c);
    assert_true(isnan(s) && isnan(c));
}

static void pow_is_accurate(void **state)
{
    (void)state;
    number_mode_set();
    const double bases[] = {1.0 / 3, 0.5, 0.9999, 1.0001, 2,   10,       100,
                            1e4,     5e5, 1e6,    8e6,    1e7, 1.1e-300, 1e300};
    double worst = 0;
    for (size_t b = 0; b < sizeof bases / sizeof *bases; b++)
        for (int i = -256; i <= 256; i++) {
            double exponent = i / 256.0;
            long double expected = powl((long double)bases[b], (long double)exponent);
            double error =
                (double)fabsl(((long double)number_pow(bases[b], exponent) - expected) / expected);
            worst = error > worst ? error : worst;
        }
    printf("pow: %.3g\n", worst);
    assert_true(worst < 1e-15);
    assert_true(number_pow(500000.0, 0.0) == 1 && number_pow(2.0, 10.0) == 1024);
    assert_true(isinf(number_pow(10.0, 400.0)) && number_pow(10.0, -400.0) == 0);
    assert_true(isnan(number_pow(-1.0, 2.0)) && isnan(number_pow(NAN, 1.0)));
}

// A part p of normally distributed numbers is below it: erfc of another library is the judge.
static void quantiles_of_the_normal_distribution(void **state)
{
    (void)state;
    number_mode_set();
    double worst = 0;
    for (int i = 1; i < 4096; i++) {
        double p = i / 4096.0, z = number_normal_quantile(p);
        long double below = 0.5L * erfcl((long double)-z * sqrtl(0.5L));
        worst = fmax(worst, (double)fabsl(below - (long double)p));
    }
    printf("quantiles: %.3g\n", worst);
    assert_true(worst < 1e-15);
    assert_true(number_normal_quantile(0.5) == 0);
    assert_true(number_normal_quantile(0.25) == -number_normal_quantile(0.75));
    assert_true(fabs(number_normal_quantile(0.949999988079071044921875) - 1.644853511) < 1e-8);
    assert_true(number_normal_quantile(0x1.fffffep-1) < 5.5); // the largest float below 1
    assert_true(isnan(number_normal_quantile(0)) && isnan(number_normal_quantile(1)));
    assert_true(isnan(number_normal_quantile(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_widen_and_round_back),
        cmocka_unit_test(halves_round_to_nearest_even),
        cmocka_unit_test(bf16_rounds_to_nearest_even),
        cmocka_unit_test(mode_flushes_denormals),
        cmocka_unit_test(exp_is_within_two_ulps),
        cmocka_unit_test(log_is_exact_to_an_ulp),
        cmocka_unit_test(sin_and_cos_hold_for_every_position),
        cmocka_unit_test(pow_is_accurate),
        cmocka_unit_test(quantiles_of_the_normal_distribution),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
