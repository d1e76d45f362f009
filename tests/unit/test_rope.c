// Frequencies and angles against numbers that Transformers 5.23 printed (LlamaRotaryEmbedding). It
// computes frequencies in float32, we in float64 and round once: a few units in the last place lie
// between.
#include "testing.h"

#include <math.h>

#include "device/number.h"
#include "model/rope.h"

struct rope_sample {
    int i;
    float inv_freq;
};

struct rope_case {
    const char *name;
    int head_dim;
    int64_t positions;
    struct rope_config rope;
    double scaling;
    struct rope_sample samples[12];
    int n;
};

static const struct rope_case cases[] = {
    {"default",
     64,
     4096,
     {.type = ROPE_DEFAULT, .theta = 10000},
     1,
     {{0, 1.0f},
      {1, 0.749894202f},
      {2, 0.562341332f},
      {8, 0.100000001f},
      {10, 0.0562341288f},
      {15, 0.0133352149f},
      {16, 0.00999999978f},
      {21, 0.00237137382f},
      {24, 0.00100000005f},
      {30, 0.00017782794f},
      {31, 0.00013335215f}},
     11},
    {"linear",
     16,
     4096,
     {.type = ROPE_LINEAR, .theta = 10000, .factor = 2.5},
     1,
     {{0, 0.400000006f},
      {1, 0.1264911f},
      {2, 0.0399999991f},
      {3, 0.0126491114f},
      {4, 0.00399999972f},
      {5, 0.00126491114f},
      {6, 0.000400000019f},
      {7, 0.000126491112f}},
     8},
    {"dynamic",
     32,
     4096,
     {.type = ROPE_DYNAMIC, .theta = 500000, .factor = 4},
     1,
     {{0, 1.0f},
      {1, 0.440366626f},
      {2, 0.193922758f},
      {4, 0.0376060307f},
      {5, 0.0165604409f},
      {7, 0.00321144611f},
      {8, 0.00141421345f},
      {10, 0.000274248188f},
      {12, 5.31829573e-05f},
      {14, 1.03133852e-05f},
      {15, 4.54167048e-06f}},
     11},
    {"llama 3.1",
     128,
     131072,
     {.type = ROPE_LLAMA3,
      .theta = 500000,
      .factor = 8,
      .low_freq_factor = 1,
      .high_freq_factor = 4,
      .original_max_position_embeddings = 8192},
     1,
     {{0, 1.0f},
      {1, 0.814617217f},
      {2, 0.663601279f},
      {16, 0.0376060307f},
      {21, 0.0134904198f},
      {31, 0.00085675146f},
      {32, 0.000524846022f},
      {42, 2.2748929e-05f},
      {48, 6.64786967e-06f},
      {62, 3.7673226e-07f},
      {63, 3.06892588e-07f}},
     11},
    {"llama 3.2",
     64,
     131072,
     {.type = ROPE_LLAMA3,
      .theta = 500000,
      .factor = 32,
      .low_freq_factor = 1,
      .high_freq_factor = 4,
      .original_max_position_embeddings = 8192},
     1,
     {{0, 1.0f},
      {1, 0.663601279f},
      {2, 0.440366626f},
      {8, 0.0376060307f},
      {10, 0.0165604409f},
      {15, 0.00129054801f},
      {16, 0.000429556705f},
      {21, 5.68723226e-06f},
      {24, 1.66196742e-06f},
      {30, 1.41927202e-07f},
      {31, 9.41830649e-08f}},
     11},
    {"yarn",
     64,
     131072,
     {.type = ROPE_YARN,
      .theta = 10000,
      .factor = 16,
      .beta_fast = 32,
      .beta_slow = 1,
      .truncate = true,
      .original_max_position_embeddings = 8192},
     1.27725887,
     {{0, 1.0f},
      {1, 0.749894202f},
      {2, 0.562341332f},
      {8, 0.100000001f},
      {10, 0.0562341288f},
      {15, 0.0104501927f},
      {16, 0.00711538503f},
      {21, 0.000832260994f},
      {24, 0.000134615388f},
      {30, 1.11142463e-05f},
      {31, 8.3345094e-06f}},
     11},
    {"yarn with mscale",
     64,
     163840,
     {.type = ROPE_YARN,
      .theta = 10000,
      .factor = 40,
      .beta_fast = 32,
      .beta_slow = 1,
      .truncate = true,
      .mscale = 1,
      .mscale_all_dim = 0.7,
      .original_max_position_embeddings = 4096},
     1.08795461,
     {{0, 1.0f},
      {1, 0.749894202f},
      {8, 0.100000001f},
      {15, 0.0083345091f},
      {16, 0.00550000044f},
      {21, 0.000414990413f},
      {24, 2.49999994e-05f},
      {30, 4.44569832e-06f},
      {31, 3.33380353e-06f}},
     9},
    {"yarn, factor from the lengths",
     64,
     163840,
     {.type = ROPE_YARN,
      .theta = 10000,
      .beta_fast = 32,
      .beta_slow = 1,
      .truncate = true,
      .mscale = 1,
      .mscale_all_dim = 0.7,
      .original_max_position_embeddings = 4096},
     1.08795461,
     {{16, 0.00550000044f}, {31, 3.33380353e-06f}},
     2},
    {"yarn, not truncated",
     64,
     131072,
     {.type = ROPE_YARN,
      .theta = 150000,
      .factor = 32,
      .beta_fast = 32,
      .beta_slow = 1,
      .truncate = false,
      .original_max_position_embeddings = 4096},
     1.34657359,
     {{0, 1.0f},
      {1, 0.689044297f},
      {8, 0.0508132726f},
      {10, 0.0193349998f},
      {15, 0.00105260219f},
      {16, 0.000456483918f},
      {21, 1.25325696e-05f},
      {24, 4.09997847e-06f},
      {31, 3.0235114e-07f}},
     9},
    {"yarn with attention_factor",
     16,
     4096,
     {.type = ROPE_YARN,
      .theta = 10000,
      .factor = 4,
      .beta_fast = 16,
      .beta_slow = 2,
      .truncate = true,
      .attention_factor = 1.25,
      .original_max_position_embeddings = 1024},
     1.25,
     {{0, 1.0f},
      {1, 0.316227764f},
      {2, 0.100000001f},
      {3, 0.0197642371f},
      {4, 0.00249999994f},
      {5, 0.000790569466f},
      {6, 0.000250000012f},
      {7, 7.90569466e-05f}},
     8},
};

static struct rope rope_of(const struct rope_case *c)
{
    struct rope_config config = c->rope;
    struct rope rope;
    config.head_dim = config.n_dimensions = c->head_dim;
    config.max_position_embeddings = c->positions;
    rope_init(&rope, &config);
    return rope;
}

static void test_frequencies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct rope rope = rope_of(&cases[i]);
        assert_int_equal(rope.half, cases[i].head_dim / 2);
        assert_true(fabs(rope.scaling - cases[i].scaling) < 1e-7);
        for (int k = 0; k < cases[i].n; k++) {
            float found = rope.inv_freq[cases[i].samples[k].i],
                  expected = cases[i].samples[k].inv_freq;
            if (fabsf(found / expected - 1) > 1e-6f) {
                print_error("%s: inv_freq[%d] is %.9g; expected %.9g\n", cases[i].name,
                            cases[i].samples[k].i, (double)found, (double)expected);
                assert_true(0);
            }
        }
    }
}

// cos and sin of yarn's positions 1, 1000 and 100000, at frequencies 0, 3 and the last.
static void test_angles(void **state)
{
    (void)state;
    static const struct {
        int64_t position;
        float cos[3], sin[3], tolerance;
    } expected[] = {
        {1,
         {0.690105975f, 1.1653657f, 1.27725887f},
         {1.07477629f, 0.522793472f, 1.06453263e-05f},
         2e-7f},
        {1000,
         {0.718303621f, 0.957645953f, 1.27721453f},
         {1.05613923f, 0.845165312f, 0.0106452024f},
         1e-4f},
        {100000,
         {-1.27644241f, -1.27538645f, 0.858733296f},
         {0.0456604697f, -0.0691356584f, 0.945498407f},
         1e-2f},
    };
    struct rope rope = rope_of(&cases[5]);
    float cos[32], sin[32];
    for (int p = 0; p < 3; p++) {
        rope_angles(&rope, expected[p].position, false, cos, sin);
        for (int k = 0; k < 3; k++) {
            int i = k == 0 ? 0 : k == 1 ? 3 : 31;
            // An error of one unit in inv_freq grows with the position; frequency 0 is 1 in both.
            float tolerance = k == 0 ? 2e-7f : expected[p].tolerance;
            assert_true(fabsf(cos[i] - expected[p].cos[k]) <= tolerance);
            assert_true(fabsf(sin[i] - expected[p].sin[k]) <= tolerance);
        }
    }
}

// The f32 product of position and frequency, then cos and sin in float64.
static void test_contract(void **state)
{
    (void)state;
    struct rope rope = rope_of(&cases[3]);
    float cosines[64], sines[64];
    for (int64_t position = 0; position < 131072; position += 977) {
        rope_angles(&rope, position, false, cosines, sines);
        for (int i = 0; i < rope.half; i++) {
            volatile float angle = (float)position * rope.inv_freq[i];
            assert_true(fabs((double)cosines[i] - cos((double)angle)) <= 6e-8);
            assert_true(fabs((double)sines[i] - sin((double)angle)) <= 6e-8);
        }
    }
    rope_angles(&rope, 0, false, cosines, sines);
    for (int i = 0; i < rope.half; i++) {
        assert_true(cosines[i] == 1.0f);
        assert_true(sines[i] == 0.0f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_angles),
        cmocka_unit_test(test_contract),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
