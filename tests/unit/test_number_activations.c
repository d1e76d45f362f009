// tanh, erf and the activations against the C library's long doubles.
#include "testing.h"

#include <math.h>

#include "device/kernels.h"

// In units of the last place of `expected`, or of the smallest normal number.
static double ulps_of_f32(float got, long double expected)
{
    int exponent;
    frexpl(expected, &exponent);
    exponent = exponent < -125 ? -125 : exponent;
    return (double)fabsl(((long double)got - expected) / ldexpl(1.0L, exponent - 24));
}

static double worst_ulps(float (*function)(float), long double (*exact)(long double))
{
    double worst = 0;
    for (uint32_t bits = 0x00800000; bits < 0x7f800000; bits += 997) {
        float x = float_of_bits(bits), y = function(x);
        assert_int_equal(bits_of_float(function(-x)), bits_of_float(y) ^ 0x80000000u); // odd
        worst = fmax(worst, ulps_of_f32(y, exact((long double)x)));
    }
    assert_int_equal(bits_of_float(function(0.0f)), 0);
    assert_int_equal(bits_of_float(function(-0.0f)), 0x80000000u);
    assert_int_equal(bits_of_float(function(float_of_bits(0x80000001u))), 0x80000000u); // denormal
    assert_true(function(INFINITY) == 1.0f && function(-INFINITY) == -1.0f);
    assert_true(isnan(function(NAN)));
    return worst;
}

static void tanh_is_within_two_ulps(void **state)
{
    (void)state;
    number_mode_set();
    double worst = worst_ulps(number_tanh, tanhl);
    printf("tanh: %.3f ulp\n", worst);
    assert_true(worst < 2);
}

static void erf_is_within_two_ulps(void **state)
{
    (void)state;
    number_mode_set();
    double worst = worst_ulps(number_erf, erfl);
    printf("erf: %.3f ulp\n", worst);
    assert_true(worst < 2);
}

static const struct activation_args xielu = {ACTIVATION_XIELU, 0.8f,   1.3f, 0.5f,
                                             -1e-6f,           1.702f, 7.0f};

static long double exact(enum activation kind, long double x)
{
    const long double root = sqrtl(2 / acosl(-1)), u = root * (x + 0.044715L * x * x * x);
    switch (kind) {
    case ACTIVATION_SILU:
        return x / (1 + expl(-x));
    case ACTIVATION_GELU_TANH:
        return x / 2 * (1 + tanhl(u));
    case ACTIVATION_GELU_ERF:
        return x / 2 * (1 + erfl(x / sqrtl(2)));
    case ACTIVATION_QUICK_GELU:
        return x / (1 + expl(-1.702L * x));
    case ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case ACTIVATION_RELU_SQUARED:
        return x > 0 ? x * x : 0;
    case ACTIVATION_XIELU:
        if (x > 0)
            return (long double)xielu.alpha_p * x * x + (long double)xielu.beta * x;
        return (expm1l(fminl(x, (long double)xielu.eps)) - x) * (long double)xielu.alpha_n +
               (long double)xielu.beta * x;
    case ACTIVATION_CLAMPED_SWIGLU:
        x = fminl(x, (long double)xielu.limit);
        return x / (1 + expl(-(long double)xielu.alpha * x));
    case ACTIVATION_SIGMOID:
        return 1 / (1 + expl(-x));
    case ACTIVATION_SCALED_SILU:
        x *= (long double)xielu.alpha;
        return x / (1 + expl(-x));
    case ACTIVATION_COUNT:
        break;
    }
    return 0;
}

// The error beside the larger of |x| and |y|: what is subtracted to nearly nothing, as below zero,
// is no worse than the numbers were.
static void activations_are_what_they_say(void **state)
{
    (void)state;
    number_mode_set();
    for (int kind = 0; kind < ACTIVATION_COUNT; kind++) {
        struct activation_args args = xielu;
        args.kind = (enum activation)kind;
        double worst = 0;
        for (uint32_t bits = 0x20000000; bits < 0x43000000; bits += 997)
            for (int sign = 0; sign < 2; sign++) {
                float x = sign ? -float_of_bits(bits) : float_of_bits(bits);
                float y = number_activation(&args, x);
                long double z = exact(args.kind, (long double)x);
                long double size = fmaxl(fabsl((long double)x), fabsl(z));
                worst = fmax(worst, (double)(fabsl((long double)y - z) / size));
            }
        printf("activation %d: error %.2f * 2^-24\n", kind, worst * 0x1p24);
        assert_true(worst < 4 * 0x1p-24);
        assert_true(isnan(number_activation(&args, NAN)));
        const float at_zero = number_activation(&args, 0.0f),
                    far_off = number_activation(&args, INFINITY);
        if (kind == ACTIVATION_SIGMOID) {
            assert_true(at_zero == 0.5f && far_off == 1.0f);
            continue;
        }
        if (kind != ACTIVATION_XIELU) // which has a step of its eps there
            assert_true(at_zero == 0.0f);
        assert_true(kind == ACTIVATION_CLAMPED_SWIGLU || isinf(far_off));
    }
}

// Where it is large and negative nothing is left: no product of an infinity and a zero.
static void large_negative_numbers_vanish(void **state)
{
    (void)state;
    number_mode_set();
    for (int kind = 0; kind < ACTIVATION_XIELU; kind++)
        for (float x = -100; x > -1e30f; x *= 10)
            assert_true(number_activation(&(struct activation_args){.kind = (enum activation)kind},
                                          x) == 0.0f);
    // xIELU goes on as a line.
    assert_true(fabsf(number_activation(&xielu, -1e6f) - (0.8e6f - 1.3f)) < 1);
}

// Also where 1 + exp(x) has lost most of exp(x): there steps of Mamba's layers are.
static void softplus_is_within_three_ulps(void **state)
{
    double worst = 0;
    (void)state;
    number_mode_set();
    for (float x = -80; x < 30; x += 0.0037f)
        worst = fmax(worst, ulps_of_f32(number_softplus(x), log1pl(expl((long double)x))));
    printf("softplus: error %.2f ulp\n", worst);
    assert_true(worst < 3);
    assert_true(number_softplus(-200.0f) == 0.0f && number_softplus(1e30f) == 1e30f);
}

// The softplus of a key's decays, seen through decays of a small rate: their distance from 1 is the
// rate's product with it. And the whole, where neither rounds to 0 or to 1.
static void channel_decays_are_near_what_they_say(void **state)
{
    double worst = 0;
    (void)state;
    number_mode_set();
    for (float rate = -0.01f; rate > -40; rate *= 1.7f)
        for (float x = -60; x < 60; x += 0.0137f) {
            const long double softplus = x > 0 ? (long double)x + log1pl(expl(-(long double)x))
                                               : log1pl(expl((long double)x));
            const long double exponent = (long double)rate * softplus;
            const float y = number_channel_decay(rate, x);
            if (exponent < -80)
                continue;
            // of the exponent's roundings so many units of the last place come
            worst = fmax(worst, ulps_of_f32(y, expl(exponent)) / (double)(1 + 2 * fabsl(exponent)));
        }
    printf("decays of channels: error %.2f ulp for each unit of the exponent\n", worst);
    assert_true(worst < 2);
    assert_true(number_channel_decay(-1, -200.0f) == 1.0f);
    assert_true(number_channel_decay(-1, 200.0f) == 0.0f);
    assert_true(isnan(number_channel_decay(-1, NAN)));
}

// What the activated gate is multiplied by.
static void up_is_clamped_for_gpt_oss_alone(void **state)
{
    (void)state;
    struct activation_args args = {.kind = ACTIVATION_CLAMPED_SWIGLU, .alpha = 1.702f, .limit = 7};
    assert_true(number_up(&args, 6.5f) == 7.5f && number_up(&args, 9) == 8);
    assert_true(number_up(&args, -9) == -6 && number_up(&args, -INFINITY) == -6);
    assert_true(isnan(number_up(&args, NAN)) && isnan(number_activation(&args, NAN)));
    assert_true(number_activation(&args, 8) == number_activation(&args, 7));
    args.kind = ACTIVATION_SILU;
    assert_true(number_up(&args, 9) == 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tanh_is_within_two_ulps),
        cmocka_unit_test(erf_is_within_two_ulps),
        cmocka_unit_test(activations_are_what_they_say),
        cmocka_unit_test(large_negative_numbers_vanish),
        cmocka_unit_test(softplus_is_within_three_ulps),
        cmocka_unit_test(channel_decays_are_near_what_they_say),
        cmocka_unit_test(up_is_clamped_for_gpt_oss_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
