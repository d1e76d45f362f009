// Convolutions over time, Mamba-2's heads and those of the gated delta rule (docs/numerics.md
// section 12), each instruction set beside the reference, however the tokens are cut into calls.
#include "kernels/kernel_data.h"

#include "device/cpu/reference.h"

enum { TOKENS_MAX = 11 };

struct floats {
    struct guarded memory;
    float *at;
    size_t n;
};

static struct floats floats_new(size_t n, enum data_kind kind)
{
    struct floats out = {.memory = guarded_new(n * sizeof(float), sizeof(float)), .n = n};
    out.at = out.memory.data;
    random_values(out.at, n, kind);
    return out;
}

static struct floats floats_copy(const struct floats *from)
{
    struct floats out = {.memory = guarded_new(from->n * sizeof(float), sizeof(float)),
                         .n = from->n};
    out.at = out.memory.data;
    memcpy(out.at, from->at, from->n * sizeof(float));
    return out;
}

static void floats_free(struct floats *floats)
{
    guarded_free(&floats->memory);
}

// In calls of a few tokens each.
static void convolve_in_parts(const struct kernels *kernels, const struct convolution *whole)
{
    for (int t = 0, n; t < whole->n_tokens; t += n) {
        struct convolution part = *whole;
        n = random_between(1, whole->n_tokens - t);
        part.n_tokens = n;
        part.x += (size_t)t * whole->x_stride;
        part.out += (size_t)t * whole->out_stride;
        kernels->convolve(&part);
    }
}

static void check_convolution(const struct kernels *kernels, int taps, int channels, int n_tokens,
                              bool in_place, enum data_kind kind)
{
    const size_t stride = (size_t)channels + (size_t)random_between(0, 3);
    const size_t room = (size_t)(n_tokens - 1) * stride + (size_t)channels;
    struct floats weights = floats_new((size_t)taps * (size_t)channels, kind),
                  bias = floats_new((size_t)channels, kind),
                  state = floats_new((size_t)(taps - 1) * (size_t)channels, kind),
                  x = floats_new(room, kind), out = floats_copy(&x);
    struct floats expected_state = floats_copy(&state), expected = floats_copy(&x);
    struct convolution args = {.taps = taps,
                               .channels = channels,
                               .n_tokens = n_tokens,
                               .weights = weights.at,
                               .weights_stride = (size_t)channels,
                               .bias = random_bits() % 2 ? bias.at : NULL,
                               .state = expected_state.at,
                               .state_stride = (size_t)channels,
                               .x = x.at,
                               .x_stride = stride,
                               .out = expected.at,
                               .out_stride = stride};
    reference_convolve(&args);
    args.state = state.at;
    args.x = in_place ? out.at : x.at;
    args.out = out.at;
    convolve_in_parts(kernels, &args);
    assert_same(out.at, expected.at, room, false, "convolve");
    assert_same(state.at, expected_state.at, state.n, false, "convolve's state");
    floats_free(&weights);
    floats_free(&bias);
    floats_free(&state);
    floats_free(&x);
    floats_free(&out);
    floats_free(&expected_state);
    floats_free(&expected);
}

static void convolutions(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < 60; round++)
        for (int taps = 1; taps <= 6; taps++)
            check_convolution(kernels, taps, random_between(1, 70), random_between(1, TOKENS_MAX),
                              round % 2, (enum data_kind)(round % NOT_FINITE));
}

static void scan_in_parts(const struct kernels *kernels, const struct state_scan *whole)
{
    for (int t = 0, n; t < whole->n_tokens; t += n) {
        struct state_scan part = *whole;
        n = random_between(1, whole->n_tokens - t);
        part.n_tokens = n;
        part.steps += (size_t)t * whole->steps_stride;
        part.decays += (size_t)t * whole->steps_stride;
        part.x += (size_t)t * whole->stride;
        part.b += (size_t)t * whole->stride;
        part.c += (size_t)t * whole->stride;
        part.y += (size_t)t * whole->y_stride;
        kernels->scan_states(&part);
    }
}

static void check_scan(const struct kernels *kernels, int head_dim, int state_size, int n_tokens,
                       bool in_place, enum data_kind kind)
{
    const size_t heads = (size_t)random_between(1, 3), p = (size_t)head_dim, n = (size_t)state_size;
    const size_t stride = p + 2 * n + (size_t)random_between(0, 3);
    const size_t room = (size_t)(n_tokens - 1) * stride + p + 2 * n;
    struct floats state = floats_new(n * p, kind),
                  steps = floats_new((size_t)n_tokens * heads, kind),
                  decays = floats_new((size_t)n_tokens * heads, kind),
                  rows = floats_new(room, kind), y = floats_copy(&rows);
    struct floats expected_state = floats_copy(&state), expected = floats_copy(&rows);
    struct state_scan args = {.head_dim = head_dim,
                              .state_size = state_size,
                              .n_tokens = n_tokens,
                              .state = expected_state.at,
                              .steps = steps.at,
                              .decays = decays.at,
                              .steps_stride = heads,
                              .x = rows.at,
                              .b = rows.at + p,
                              .c = rows.at + p + n,
                              .stride = stride,
                              .d = random_value(kind),
                              .y = expected.at,
                              .y_stride = stride};
    reference_scan_states(&args);
    args.state = state.at;
    args.y = y.at;
    if (in_place) {
        args.x = y.at;
        args.b = y.at + p;
        args.c = y.at + p + n;
    }
    scan_in_parts(kernels, &args);
    assert_same(y.at, expected.at, room, false, "scan_states");
    assert_same(state.at, expected_state.at, state.n, false, "scan_states' state");
    floats_free(&state);
    floats_free(&steps);
    floats_free(&decays);
    floats_free(&rows);
    floats_free(&y);
    floats_free(&expected_state);
    floats_free(&expected);
}

static void scans(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < 200; round++)
        check_scan(kernels, round % 4 ? random_between(1, 40) : 64 * random_between(1, 2),
                   random_between(1, 20), random_between(1, TOKENS_MAX), round % 2,
                   (enum data_kind)(round % NOT_FINITE));
}

static void delta_in_parts(const struct kernels *kernels, const struct delta_scan *whole)
{
    for (int t = 0, n; t < whole->n_tokens; t += n) {
        struct delta_scan part = *whole;
        n = random_between(1, whole->n_tokens - t);
        part.n_tokens = n;
        part.decays += (size_t)t * whole->decays_stride;
        part.betas += (size_t)t * whole->betas_stride;
        part.q += (size_t)t * whole->stride;
        part.k += (size_t)t * whole->stride;
        part.v += (size_t)t * whole->stride;
        part.y += (size_t)t * whole->y_stride;
        kernels->scan_delta(&part);
    }
}

static void check_delta(const struct kernels *kernels, int key_dim, int value_dim, int n_tokens,
                        bool in_place, enum data_kind kind)
{
    const size_t dk = (size_t)key_dim, dv = (size_t)value_dim, tokens = (size_t)n_tokens;
    const size_t stride = 2 * dk + dv + (size_t)random_between(0, 3),
                 room = (tokens - 1) * stride + 2 * dk + dv;
    struct floats state = floats_new(dk * dv, kind), decays = floats_new(tokens * dk, kind),
                  betas = floats_new(tokens, kind), rows = floats_new(room, kind),
                  y = floats_copy(&rows);
    struct floats expected_state = floats_copy(&state), expected = floats_copy(&rows);
    struct delta_scan args = {.key_dim = key_dim,
                              .value_dim = value_dim,
                              .n_tokens = n_tokens,
                              .state = expected_state.at,
                              .decays = decays.at,
                              .decays_stride = dk,
                              .channel_decays = random_bits() % 2,
                              .betas = betas.at,
                              .betas_stride = 1,
                              .q = rows.at,
                              .k = rows.at + dk,
                              .v = rows.at + 2 * dk,
                              .stride = stride,
                              .y = expected.at + 2 * dk,
                              .y_stride = stride};
    reference_scan_delta(&args);
    args.state = state.at;
    args.y = y.at + 2 * dk;
    if (in_place)
        args.v = args.y;
    delta_in_parts(kernels, &args);
    assert_same(y.at, expected.at, room, false, "scan_delta");
    assert_same(state.at, expected_state.at, state.n, false, "scan_delta's state");
    floats_free(&state);
    floats_free(&decays);
    floats_free(&betas);
    floats_free(&rows);
    floats_free(&y);
    floats_free(&expected_state);
    floats_free(&expected);
}

static void deltas(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < 200; round++)
        check_delta(kernels, random_between(1, 40),
                    round % 4 ? random_between(1, 40) : 64 * random_between(1, 2),
                    random_between(1, TOKENS_MAX), round % 2, (enum data_kind)(round % NOT_FINITE));
}

static void decays_of_channels(void **state)
{
    const struct kernels *kernels = kernels_under_test(state);
    for (int round = 0; round < 400; round++) {
        const size_t n = (size_t)random_between(1, 150);
        const enum data_kind kind = (enum data_kind)(round % NOT_FINITE);
        struct floats x = floats_new(n, kind), bias = floats_new(n, kind),
                      expected = floats_copy(&x);
        const float rate = -number_exp((float)random_between(-40, 40) / 8.0f);
        if (round % 2) // where steps are: neither 0 nor 1 comes of it
            for (size_t i = 0; i < n; i++)
                x.at[i] = expected.at[i] = (float)random_between(-4000, 1000) / 128.0f;
        reference_decay_channels(expected.at, bias.at, rate, n);
        kernels->decay_channels(x.at, bias.at, rate, n);
        assert_same(x.at, expected.at, n, false, "decay_channels");
        floats_free(&x);
        floats_free(&bias);
        floats_free(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST_LEVELS(convolutions),
        TEST_LEVELS(scans),
        TEST_LEVELS(deltas),
        TEST_LEVELS(decays_of_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
