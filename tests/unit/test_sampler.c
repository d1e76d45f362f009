#include "testing.h"

#include <math.h>

#include "engine/ranking.h"
#include "engine/sampler.h"

static const struct sampling plain = {
    .temperature = 1, .top_p = 1, .repetition_penalty = 1, .logprobs = -1};

static struct sampler *sampler_for(int32_t vocab_size)
{
    struct sampler *sampler;
    assert_int_equal(sampler_new(vocab_size, 20, kernels_for(ISA_REFERENCE), &sampler), OK);
    return sampler;
}

static int32_t draw(struct sampler *sampler, const struct sampling *sampling, const float *logits,
                    uint64_t position)
{
    struct sample sample;
    struct sampling_state state = {.position = position};
    assert_int_equal(sampler_draw(sampler, sampling, &state, logits, &sample), OK);
    return sample.id;
}

static void fill(float *logits, int n, uint32_t seed)
{
    for (int i = 0; i < n; i++) {
        seed = seed * 1664525u + 1013904223u;
        logits[i] = (float)(seed >> 8) * 0x1p-24f * 12 - 6;
    }
}

// Counts of draws against the softmax of what is allowed, by chi-squared.
static void check_distribution(const struct sampling *sampling, const float *logits, int n,
                               const int *allowed)
{
    enum { DRAWS = 40000 };
    struct sampler *sampler = sampler_for(n);
    double weights[64], sum = 0, chi = 0;
    int counts[64] = {0}, free = -1;
    assert_true(n <= 64);
    for (int i = 0; i < n; i++)
        sum += weights[i] =
            !allowed || allowed[i] ? exp((double)logits[i] / (double)sampling->temperature) : 0;
    for (int i = 0; i < DRAWS; i++)
        counts[draw(sampler, sampling, logits, (uint64_t)i)]++;
    for (int i = 0; i < n; i++) {
        double expected = DRAWS * weights[i] / sum;
        if (weights[i] == 0)
            assert_int_equal(counts[i], 0);
        if (expected < 5)
            continue;
        chi += (counts[i] - expected) * (counts[i] - expected) / expected;
        free++;
    }
    assert_true(chi < free + 5 * sqrt(2.0 * (free + 1))); // five standard deviations
    sampler_free(sampler);
}

static void draws_follow_the_softmax(void **state)
{
    (void)state;
    float logits[50];
    fill(logits, 50, 3);
    struct sampling sampling = plain;
    check_distribution(&sampling, logits, 50, NULL);
    sampling.temperature = 2.5f;
    check_distribution(&sampling, logits, 50, NULL);
    sampling.temperature = 0.3f;
    check_distribution(&sampling, logits, 50, NULL);
}

// The definition, by full sort: which tokens min_p, top_k and top_p leave.
static void allow(const struct sampling *sampling, const float *logits, int n, int *allowed)
{
    int order[64];
    double probability[64], sum = 0, kept = 0, before = 0;
    for (int i = 0; i < n; i++) {
        allowed[i] = 0;
        int k = i;
        for (; k > 0 && logits[order[k - 1]] < logits[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
        sum += probability[i] = exp(((double)logits[i]) / (double)sampling->temperature);
    }
    int n_kept = sampling->top_k && sampling->top_k < n ? sampling->top_k : n;
    while (n_kept > 1 && probability[order[n_kept - 1]] < sampling->min_p * probability[order[0]])
        n_kept--;
    for (int k = 0; k < n_kept; k++)
        kept += probability[order[k]];
    for (int k = 0; k < n_kept; k++) {
        allowed[order[k]] = k == 0 || before < sampling->top_p * kept;
        before += probability[order[k]];
    }
    (void)sum;
}

static void truncation_leaves_the_right_tokens(void **state)
{
    (void)state;
    const struct {
        double top_p, min_p;
        int top_k;
        float temperature;
    } cases[] = {
        {1, 0, 5, 1},      {1, 0, 1, 1},       {0.5, 0, 0, 1},       {0.9, 0, 0, 1},
        {0.99, 0, 0, 2},   {0.0001, 0, 0, 1},  {1, 0.1, 0, 1},       {1, 0.9, 0, 1},
        {0.8, 0, 7, 1.5},  {0.8, 0.05, 10, 1}, {0.999, 0.01, 49, 1}, {1, 0, 50, 1},
        {0.95, 0.3, 3, 4}, {1, 1, 0, 1},       {0.7, 0, 60, 1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (uint32_t seed = 1; seed < 4; seed++) {
            float logits[50];
            int allowed[50];
            fill(logits, 50, seed);
            struct sampling sampling = plain;
            sampling.top_p = cases[c].top_p;
            sampling.min_p = cases[c].min_p;
            sampling.top_k = cases[c].top_k;
            sampling.temperature = cases[c].temperature;
            allow(&sampling, logits, 50, allowed);
            check_distribution(&sampling, logits, 50, allowed);
        }
}

static void ties_go_to_the_smaller_id(void **state)
{
    (void)state;
    float logits[40];
    for (int i = 0; i < 40; i++)
        logits[i] = i % 2 ? 1.0f : 0.0f;
    struct sampler *sampler = sampler_for(40);
    struct sampling sampling = plain;
    sampling.top_k = 3;
    for (uint64_t i = 0; i < 200; i++) {
        int32_t id = draw(sampler, &sampling, logits, i);
        assert_true(id == 1 || id == 3 || id == 5);
    }
    sampling.temperature = 0;
    assert_int_equal(draw(sampler, &sampling, logits, 0), 1);
    sampler_free(sampler);
}

static void the_same_numbers_each_time(void **state)
{
    (void)state;
    enum { VOCAB = 5000 };
    static float logits[VOCAB];
    fill(logits, VOCAB, 9);
    struct sampling sampling = plain;
    sampling.top_p = 0.95;
    int32_t first[32];
    for (int run = 0; run < 3; run++) {
        struct sampler *sampler = sampler_for(VOCAB);
        int different = 0;
        for (int i = 0; i < 32; i++) {
            int32_t id = draw(sampler, &sampling, logits, (uint64_t)i);
            if (run == 0)
                first[i] = id;
            assert_int_equal(first[i], id);
            different += id != first[0];
        }
        assert_true(different > 16);
        sampler_free(sampler);
    }
}

static void penalties_are_vllms(void **state)
{
    (void)state;
    float logits[6] = {2.0f, -2.0f, 2.0f, -2.0f, 1.0f, 0.5f};
    int32_t prompt[] = {0, 1, 4};
    struct arena arena;
    struct token_counts counts;
    arena_init(&arena);
    assert_int_equal(token_counts_init(&counts, &arena, 10), OK);
    token_counts_prompt(&counts, prompt, 3);
    token_counts_generated(&counts, 2);
    token_counts_generated(&counts, 2);
    token_counts_generated(&counts, 1);
    struct sampling sampling = plain;
    sampling.temperature = 0;
    sampling.penalties = true;
    sampling.repetition_penalty = 2;
    sampling.presence_penalty = 0.25f;
    sampling.frequency_penalty = 0.5f;
    // scores: 0: 2/2 = 1; 1: -4 -.5 -.25; 2: 2/2 - 1 - .25 = -.25; 3: -2; 4: .5; 5: .5
    struct sampler *sampler = sampler_for(6);
    struct sampling_state place = {.counts = &counts};
    struct sample sample;
    float expected[6] = {1, -4.75f, -0.25f, -2, 0.5f, 0.5f};
    for (int removed = 0; removed < 6; removed++) { // by bias, one after the other, the order shows
        int best = 0;
        for (int i = 1; i < 6; i++)
            best = expected[i] > expected[best] ? i : best;
        assert_int_equal(sampler_draw(sampler, &sampling, &place, logits, &sample), OK);
        assert_int_equal(sample.id, best);
        if (removed == 5)
            break;
        expected[best] = -INFINITY;
        logits[best] = -INFINITY;
    }
    arena_fini(&arena);
    sampler_free(sampler);
}

static void bias_and_min_tokens_change_greedy(void **state)
{
    (void)state;
    float logits[4] = {1, 5, 3, 2};
    int32_t ends[] = {1, 2};
    struct colrow_token_bias bias[] = {{0, 4}, {3, 3.5f}};
    struct sampler *sampler = sampler_for(4);
    struct sampling sampling = plain;
    struct sampling_state place = {.n_generated = 1};
    struct sample sample;
    sampling.temperature = 0;
    sampling.end_ids = ends;
    sampling.n_end_ids = 2;
    assert_false(sampling_needs_logits(&sampling, 1));
    sampling.min_tokens = 2;
    assert_true(sampling_needs_logits(&sampling, 1));
    assert_false(sampling_needs_logits(&sampling, 2));
    assert_int_equal(sampler_draw(sampler, &sampling, &place, logits, &sample), OK);
    assert_int_equal(sample.id, 3);
    sampling.min_tokens = 0;
    sampling.logit_bias = bias;
    sampling.n_logit_bias = 2;
    assert_int_equal(sampler_draw(sampler, &sampling, &place, logits, &sample), OK);
    assert_int_equal(sample.id, 3);
    assert_int_equal(sampler_draw(sampler, &plain, &place, logits, &sample), OK);
    assert_float_equal(logits[1], 5, 0); // the input stays as it was
    sampler_free(sampler);
}

static void logprobs_are_those_of_the_model(void **state)
{
    (void)state;
    float logits[30];
    fill(logits, 30, 5);
    logits[7] = logits[3];
    double sum = 0;
    for (int i = 0; i < 30; i++)
        sum += exp((double)logits[i]);
    struct sampler *sampler = sampler_for(30);
    struct sampling sampling = plain;
    struct sampling_state place = {0};
    struct sample sample;
    sampling.temperature = 5; // logprobs do not follow it
    sampling.logprobs = 20;
    for (place.position = 0; place.position < 20; place.position++) {
        assert_int_equal(sampler_draw(sampler, &sampling, &place, logits, &sample), OK);
        assert_int_equal(sample.n_logprobs, 21);
        assert_int_equal(sample.logprobs[0].id, sample.id);
        for (int i = 0; i < 21; i++)
            assert_float_equal(sample.logprobs[i].logprob,
                               log(exp((double)logits[sample.logprobs[i].id]) / sum), 1e-5);
        int rank = 1;
        for (int i = 0; i < 30; i++)
            rank += logits[i] > logits[sample.id] ||
                    (i < sample.id && !(logits[i] < logits[sample.id]));
        assert_int_equal(sample.logprobs[0].rank, rank);
        for (int i = 2; i < 21; i++)
            assert_true(ranking_key(logits[sample.logprobs[i - 1].id], sample.logprobs[i - 1].id) >
                        ranking_key(logits[sample.logprobs[i].id], sample.logprobs[i].id));
    }
    sampling.logprobs = 0;
    assert_int_equal(sampler_draw(sampler, &sampling, &place, logits, &sample), OK);
    assert_int_equal(sample.n_logprobs, 1);
    sampler_free(sampler);
}

static void logits_that_are_no_numbers(void **state)
{
    (void)state;
    float logits[4] = {NAN, NAN, NAN, NAN};
    struct sampler *sampler = sampler_for(4);
    struct sampling_state place = {0};
    struct sample sample;
    struct sampling greedy = plain;
    greedy.temperature = 0;
    assert_int_equal(sampler_draw(sampler, &plain, &place, logits, &sample), ERR_INTERNAL);
    assert_int_equal(sampler_draw(sampler, &greedy, &place, logits, &sample), ERR_INTERNAL);
    logits[2] = -3;
    assert_int_equal(draw(sampler, &plain, logits, 0), 2);
    assert_int_equal(draw(sampler, &greedy, logits, 0), 2);
    logits[1] = INFINITY;
    assert_int_equal(draw(sampler, &plain, logits, 0), 1);
    assert_int_equal(draw(sampler, &greedy, logits, 0), 1);
    sampler_free(sampler);
}

static void best_of_all_ranks(void **state)
{
    (void)state;
    struct step_best best[6] = {{1, 4}, {9, 9}, {3, 20}, {9, 9}, {3, 12}, {9, 9}};
    int32_t id;
    assert_int_equal(sampler_best(best, 3, 2, &id), OK);
    assert_int_equal(id, 12);
    best[0].value = best[2].value = best[4].value = -INFINITY;
    assert_int_equal(sampler_best(best, 3, 2, &id), ERR_INTERNAL);
}

static void ranking_agrees_with_a_full_sort(void **state)
{
    (void)state;
    enum { N = 3008 }; // whole blocks
    static float logits[N];
    static uint64_t sorted[N], keys[2 * N + 1024];
    for (uint32_t seed = 1; seed < 6; seed++) {
        fill(logits, N, seed);
        for (int i = 0; i < N; i++) {
            if (seed > 2)
                logits[i] = (float)(int)logits[i]; // many ties
            sorted[i] = ranking_key(logits[i], i);
            assert_int_equal(ranking_id(sorted[i]), i);
        }
        ranking_sort(sorted, N);
        for (int i = 1; i < N; i++)
            assert_true(sorted[i - 1] > sorted[i]);
        static float tops[N / RANKING_BLOCK];
        const struct ranking ranking = {.logits = logits, .tops = tops, .n = N};
        kernels_for(ISA_REFERENCE)->tops(logits, N, tops);
        const int32_t ks[] = {1, 2, 10, 40, 600, 1500, N};
        for (int k = 0; k < 7; k++) {
            assert_int_equal(ranking_top(&ranking, ks[k], keys), ks[k]);
            ranking_sort(keys, ks[k]);
            assert_memory_equal(keys, sorted, (size_t)ks[k] * sizeof *keys);
        }
    }
}

// The largest tokens weigh nothing: the first pass, which looks only at them, finds too few.
static void ranking_leaves_out_what_weighs_too_little(void **state)
{
    (void)state;
    enum { N = 512, LARGE = 20 };
    static float logits[N], tops[N / RANKING_BLOCK];
    static uint32_t weights[N];
    static uint64_t sums[N / RANKING_BLOCK], keys[2 * N + 1024];
    fill(logits, N, 9);
    for (int i = 0; i < N; i++) {
        bool large = i % (N / LARGE) == 0;
        logits[i] += large ? 100 : 0;
        weights[i] = large ? 4 : (uint32_t)(5 + i % 3);
        sums[i / RANKING_BLOCK] += weights[i];
    }
    kernels_for(ISA_REFERENCE)->tops(logits, N, tops);
    const struct ranking ranking = {logits, tops, N, weights, sums, 6};
    int32_t n = ranking_top(&ranking, 5, keys);
    assert_int_equal(n, 5);
    ranking_sort(keys, n);
    for (int32_t i = 0; i < n; i++)
        assert_true(weights[ranking_id(keys[i])] >= 6);
    int larger = 0; // than the last of them
    for (int i = 0; i < N; i++)
        larger += weights[i] >= 6 && ranking_key(logits[i], i) > keys[n - 1];
    assert_int_equal(larger, n - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_follow_the_softmax),
        cmocka_unit_test(truncation_leaves_the_right_tokens),
        cmocka_unit_test(ties_go_to_the_smaller_id),
        cmocka_unit_test(the_same_numbers_each_time),
        cmocka_unit_test(penalties_are_vllms),
        cmocka_unit_test(bias_and_min_tokens_change_greedy),
        cmocka_unit_test(logprobs_are_those_of_the_model),
        cmocka_unit_test(logits_that_are_no_numbers),
        cmocka_unit_test(best_of_all_ranks),
        cmocka_unit_test(ranking_agrees_with_a_full_sort),
        cmocka_unit_test(ranking_leaves_out_what_weighs_too_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
