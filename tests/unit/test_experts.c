// Choosing experts (docs/numerics.md section 11), and config.json of the families that have them.
#include "testing.h"

#include <math.h>

#include "base/log.h"
#include "model/forward.h"

enum { K_MAX = 8 };

static const struct kernels *reference(void)
{
    number_mode_set();
    return kernels_for(ISA_REFERENCE);
}

static void choose(const struct experts_config *config, const float *bias, const float *logits,
                   int32_t *chosen, float *weights)
{
    float scores[64];
    assert_true(config->num_experts <= 64 && config->num_experts_per_tok <= K_MAX);
    memcpy(scores, logits, (size_t)config->num_experts * sizeof *scores);
    router_choose(reference(), config, bias, scores, chosen, weights);
}

static void check_chosen(const int32_t *chosen, const int32_t *expected, int k)
{
    for (int i = 0; i < k; i++)
        assert_int_equal(chosen[i], expected[i]);
}

static void near(float x, double expected)
{
    assert_true(fabs((double)x - expected) < 1e-6);
}

static void of_equal_scores_the_lower_expert_counts(void **state)
{
    (void)state;
    int32_t chosen[K_MAX];
    float weights[K_MAX];
    static const float equal[6] = {1, 1, 1, 1, 1, 1}, tied[6] = {0, 2, 3, 2, 2, NAN};
    for (int scoring = ROUTER_SOFTMAX; scoring <= ROUTER_SIGMOID; scoring++) {
        const struct experts_config config = {.num_experts = 6,
                                              .num_experts_per_tok = 3,
                                              .scoring = (enum router_scoring)scoring,
                                              .normalised = true,
                                              .scaling_factor = 1};
        choose(&config, NULL, equal, chosen, weights);
        check_chosen(chosen, (const int32_t[]){0, 1, 2}, 3);
        near(weights[1], 1.0 / 3);
        if (scoring == ROUTER_SOFTMAX) // of a row with a NaN nothing is left
            continue;
        choose(&config, NULL, tied, chosen, weights);
        check_chosen(chosen, (const int32_t[]){1, 2, 3}, 3);
    }
}

// What is near the largest takes part, and the second's own neighbours in its weight.
static void the_sparse_mixer_chooses_one_after_the_other(void **state)
{
    (void)state;
    int32_t chosen[2];
    float weights[2];
    static const float logits[5] = {1.9f, -3, 2, 1.5f, 1.88f};
    const struct experts_config config = {.num_experts = 5,
                                          .num_experts_per_tok = 2,
                                          .scoring = ROUTER_SPARSE_MIXER,
                                          .mixer_reach = 0.055f};
    choose(&config, NULL, logits, chosen, weights);
    check_chosen(chosen, (const int32_t[]){0, 2}, 2);
    near(weights[0], 1 / (1 + exp(-0.02)));
    near(weights[1], 1 / (1 + exp(-0.1))); // 1.88 is as far as 0.06 of 2
    static const float equal[5] = {-1, -1, -1, -1, -1};
    choose(&config, NULL, equal, chosen, weights);
    check_chosen(chosen, (const int32_t[]){0, 1}, 2);
    near(weights[0], 0.2);
    near(weights[1], 0.25);
}

static void weights_are_those_of_the_scoring(void **state)
{
    (void)state;
    int32_t chosen[K_MAX];
    float weights[K_MAX];
    static const float logits[4] = {0.5f, -1, 2, 1};
    struct experts_config config = {
        .num_experts = 4, .num_experts_per_tok = 2, .scaling_factor = 1};
    const double sum = exp(0.5) + exp(-1) + exp(2) + exp(1), s2 = 1 / (1 + exp(-2)),
                 s3 = 1 / (1 + exp(-1));
    choose(&config, NULL, logits, chosen, weights);
    check_chosen(chosen, (const int32_t[]){2, 3}, 2);
    near(weights[0], exp(2) / sum);
    near(weights[1], exp(1) / sum);
    config.scoring = ROUTER_CHOSEN_SOFTMAX;
    choose(&config, NULL, logits, chosen, weights);
    near(weights[0], exp(2) / (exp(2) + exp(1)));
    config.scoring = ROUTER_SIGMOID;
    config.normalised = true;
    config.scaling_factor = 2.5f;
    choose(&config, NULL, logits, chosen, weights);
    near(weights[1], 2.5 * s3 / (s2 + s3));
}

static void a_bias_chooses_and_does_not_weigh(void **state)
{
    (void)state;
    int32_t chosen[K_MAX];
    float weights[K_MAX];
    static const float logits[4] = {0.5f, -1, 2, 1}, bias[4] = {0, 5, 0, 0};
    const struct experts_config config = {
        .num_experts = 4, .num_experts_per_tok = 2, .scoring = ROUTER_SIGMOID, .scaling_factor = 1};
    choose(&config, bias, logits, chosen, weights);
    check_chosen(chosen, (const int32_t[]){1, 2}, 2);
    near(weights[0], 1 / (1 + exp(1)));
}

static void groups_are_chosen_by_their_two_best(void **state)
{
    (void)state;
    int32_t chosen[K_MAX];
    float weights[K_MAX];
    // sums of two: 2.9, 3, 2.5: the largest of all is in a group that is out
    static const float logits[9] = {2.8f, 0.1f, 0, 1.5f, 1.5f, 1, 1.5f, 1, 1};
    struct experts_config config = {.num_experts = 9,
                                    .num_experts_per_tok = 3,
                                    .scoring = ROUTER_CHOSEN_SOFTMAX,
                                    .scaling_factor = 1,
                                    .n_group = 3,
                                    .topk_group = 1};
    choose(&config, NULL, logits, chosen, weights);
    check_chosen(chosen, (const int32_t[]){3, 4, 5}, 3);
    config.topk_group = 2;
    choose(&config, NULL, logits, chosen, weights);
    check_chosen(chosen, (const int32_t[]){0, 3, 4}, 3);
}

// ---- how their sums meet ----

struct sum {
    char text[128];
};

static struct sum meet(struct sum a, struct sum b)
{
    struct sum out;
    assert_true(snprintf(out.text, sizeof out.text, "(%s+%s)", a.text, b.text) <
                (int)sizeof out.text);
    return out;
}

// By the page: expert e stands at the leaf j with floor(j E / 64) <= e < floor((j + 1) E / 64).
static bool sum_of_leaves(int n_experts, const int32_t *chosen, int n, int leaf, int n_leaves,
                          struct sum *out)
{
    struct sum one;
    bool any = false;
    if (n_leaves > 1) {
        struct sum left, right;
        bool has_left = sum_of_leaves(n_experts, chosen, n, leaf, n_leaves / 2, &left),
             has_right =
                 sum_of_leaves(n_experts, chosen, n, leaf + n_leaves / 2, n_leaves / 2, &right);
        *out = has_left && has_right ? meet(left, right) : has_left ? left : right;
        return has_left || has_right;
    }
    for (int i = 0; i < n; i++) {
        if (chosen[i] < leaf * n_experts / 64 || chosen[i] >= (leaf + 1) * n_experts / 64)
            continue;
        snprintf(one.text, sizeof one.text, "%d", (int)chosen[i]);
        *out = any ? meet(*out, one) : one;
        any = true;
    }
    return any;
}

static void check_merges(int n_experts, const int32_t *chosen, int n)
{
    uint8_t merges[K_MAX];
    struct sum stack[K_MAX], expected;
    int depth = 0;
    expert_merges(n_experts, chosen, n, merges);
    for (int i = 0; i < n; i++) {
        snprintf(stack[depth].text, sizeof stack[depth].text, "%d", (int)chosen[i]);
        depth++;
        assert_true(depth <= WEIGHTED_DEPTH_MAX);
        for (int k = 0; k < merges[i]; k++, depth--)
            stack[depth - 2] = meet(stack[depth - 2], stack[depth - 1]);
    }
    assert_int_equal(depth, 1);
    assert_true(sum_of_leaves(n_experts, chosen, n, 0, 64, &expected));
    assert_string_equal(stack[0].text, expected.text);
}

static void experts_meet_along_the_tree(void **state)
{
    (void)state;
    static const int counts[] = {2, 4, 6, 8, 60, 64, 65, 128, 160, 384};
    uint32_t random = 12345;
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
        for (int round = 0; round < 200; round++) {
            int32_t chosen[K_MAX];
            int n = 0, most = counts[c] < K_MAX ? counts[c] : K_MAX;
            for (int e = 0; e < counts[c] && n < most; e++) {
                random = random * 1664525u + 1013904223u;
                if ((random >> 16) % (uint32_t)(counts[c] / most + 1) == 0)
                    chosen[n++] = e;
            }
            if (n)
                check_merges(counts[c], chosen, n);
        }
    check_merges(128, (const int32_t[]){0, 64, 96, 112, 120, 124, 126, 127}, 8);
}

// ---- config.json ----

#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "                \
    "\"vocab_size\": 512, \"num_hidden_layers\": 4"

static enum status parse(const char *text, struct model_config *config)
{
    log_set_level(LOG_ERROR);
    return model_config_parse("config.json", text, strlen(text), config);
}

static const struct sublayer_config *at(const struct model_config *config, int layer, int place)
{
    return &model_config_layer(config, layer)->sublayers[place];
}

static void absent_keys_mean_what_they_mean_in_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *model_type;
        int experts, per_tok, size, shared, normalised;
    } cases[] = {
        {"mixtral", 8, 2, 14336, 0, 1},         {"qwen2_moe", 60, 4, 1408, 5632, 0},
        {"qwen3_moe", 128, 8, 768, 0, 0},       {"granitemoe", 8, 2, 11008, 0, 0},
        {"minimax_m2", 256, 8, 1536, 0, 1},     {"glm4_moe", 128, 8, 1408, 1408, 1},
        {"ernie4_5_moe", 64, 6, 1536, 3072, 1}, {"gpt_oss", 128, 4, 2880, 0, 0},
        {"mimo_v2_flash", 256, 8, 2048, 0, 1},  {"phimoe", 16, 2, 6400, 0, 0},
        {"llama4_text", 16, 1, 8192, 8192, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct model_config c;
        snprintf(text, sizeof text, "{\"model_type\": \"%s\", \"head_dim\": 128}",
                 cases[i].model_type);
        assert_int_equal(parse(text, &c), OK);
        const struct layer_config *layer = model_config_layer(&c, 1);
        const struct experts_config *e = &layer->sublayers[1].experts;
        assert_int_equal(layer->sublayers[1].kind, MIX_EXPERTS);
        assert_int_equal(e->num_experts, cases[i].experts);
        assert_int_equal(e->num_experts_per_tok, cases[i].per_tok);
        assert_int_equal(e->intermediate_size, cases[i].size);
        assert_int_equal(e->normalised, cases[i].normalised);
        assert_int_equal(layer->n_sublayers, cases[i].shared ? 3 : 2);
        if (cases[i].shared)
            assert_int_equal(layer->sublayers[2].mlp.intermediate_size, cases[i].shared);
    }
}

static void qwens_lists_say_which_layers_are_dense(void **state)
{
    (void)state;
    struct model_config c;
    assert_int_equal(
        parse("{\"model_type\": \"qwen3_moe\", " SIZES
              ", \"decoder_sparse_step\": 2, \"mlp_only_layers\": [3], "
              "\"intermediate_size\": 96, \"num_local_experts\": 6, \"num_experts_per_tok\": 2}",
              &c),
        OK);
    for (int layer = 0; layer < 4; layer++)
        assert_int_equal(at(&c, layer, 1)->kind, layer == 1 ? MIX_EXPERTS : MIX_MLP);
    assert_int_equal(at(&c, 0, 1)->mlp.intermediate_size, 96);
    assert_int_equal(at(&c, 1, 1)->experts.num_experts, 6);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *model_type, *keys, *words[3];
    } cases[] = {
        {"mixtral", "\"num_experts_per_tok\": 9", {"num_experts_per_tok", "is 9", "which is 8"}},
        {"mixtral", "\"num_local_experts\": 0", {"num_local_experts", "is 0", "expected"}},
        {"mixtral", "\"num_local_experts\": 100000", {"num_local_experts", "is 100000", "4096"}},
        {"mixtral", "\"hidden_act\": \"tanh\"", {"hidden_act", "tanh", "silu"}},
        {"mixtral", "\"intermediate_size\": -1", {"intermediate_size", "is -1", "expected"}},
        {"gemma4_text",
         "\"enable_moe_block\": true",
         {"num_experts", "says nothing", "enable_moe_block"}},
        {"gemma4_text",
         "\"enable_moe_block\": true, \"num_experts\": 4, \"top_k_experts\": 5, "
         "\"moe_intermediate_size\": 8",
         {"top_k_experts", "is 5", "which is 4"}},
        {"phimoe", "\"num_experts_per_tok\": 3", {"num_experts_per_tok", "is 3", "expected 2"}},
        {"phimoe", "\"num_local_experts\": 1", {"num_experts_per_tok", "is 2", "which is 1"}},
        {"phimoe",
         "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}",
         {"linear", "expected", "longrope"}},
        {"llama4_text",
         "\"layer_types\": [\"sliding_attention\"]",
         {"layer_types", "sliding", "chunked"}},
        {"llama4_text",
         "\"attention_chunk_size\": 0",
         {"attention_chunk_size", "is 0", "expected"}},
        {"llama4_text", "\"moe_layers\": [\"1\"]", {"moe_layers", "1", "numbers of layers"}},
        {"llama4_text",
         "\"attention_chunk_size\": null, \"layer_types\": [\"chunked_attention\"]",
         {"attention_chunk_size", "layer 0", "expected"}},
        {"mimo_v2_flash", "\"v_head_dim\": 15", {"v_head_dim", "is 15", "even"}},
        {"mimo_v2_flash",
         "\"num_key_value_heads\": 4",
         {"num_key_value_heads", "twice", "which is 4"}},
        {"mimo_v2_flash", "\"mlp_layer_types\": [\"moe\"]", {"mlp_layer_types", "moe", "sparse"}},
        {"gpt_oss", "\"swiglu_limit\": -1", {"swiglu_limit", "is -1", "expected"}},
        {"gpt_oss", "\"sliding_window\": null", {"sliding_window", "layer 0", "expected"}},
        {"gpt_oss", "\"layer_types\": [\"chunked_attention\"]", {"layer_types", "chunked", "full"}},
        {"gpt_oss",
         "\"quantization_config\": {\"quant_method\": \"mxfp4\"}, \"intermediate_size\": 40",
         {"mxfp4", "intermediate_size 40", "multiples of 32"}},
        {"gpt_oss",
         "\"quantization_config\": {\"quant_method\": \"fp4\"}",
         {"fp4", "quant_method", "expected"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct model_config c;
        snprintf(text, sizeof text, "{\"model_type\": \"%s\", " SIZES ", %s}", cases[i].model_type,
                 cases[i].keys);
        assert_int_not_equal(parse(text, &c), OK);
        for (int k = 0; k < 3; k++)
            assert_non_null(strstr(status_message(), cases[i].words[k]));
    }
}

// ---- whole experts on ranks ----

static void ranks_have_consecutive_experts(void **state)
{
    (void)state;
    static const int counts[] = {2, 3, 6, 8, 60, 100, 128};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        for (int n = 1; n <= 7; n++) {
            char text[512];
            struct model_config c;
            struct plan *plan;
            const struct plan_options options = {
                .n_ranks = n, .expert_parallel = true, .compute = COMPUTE_BF16};
            snprintf(text, sizeof text,
                     "{\"model_type\": \"qwen3_moe\", \"hidden_size\": 64, "
                     "\"num_attention_heads\": 8, \"num_key_value_heads\": 8, \"vocab_size\": 512, "
                     "\"num_hidden_layers\": 1, \"moe_intermediate_size\": 16, "
                     "\"num_experts_per_tok\": 2, \"num_experts\": %d}",
                     counts[i]);
            assert_int_equal(parse(text, &c), OK);
            if (n > counts[i]) {
                assert_int_equal(plan_compile(&c, &options, &plan), ERR_USAGE);
                assert_non_null(strstr(status_message(), "experts"));
                continue;
            }
            assert_int_equal(plan_compile(&c, &options, &plan), OK);
            const struct cut *cut = plan_cut_of(plan, 0, 1);
            int next = 0, largest = 0;
            for (int rank = 0; rank < n; rank++) {
                const struct range own = cut->shares[rank].dims[DIM_OWN_EXPERTS];
                assert_int_equal(own.begin, next);
                assert_true(own.end > own.begin);
                next = own.end;
                largest = own.end - own.begin > largest ? own.end - own.begin : largest;
                assert_int_equal(cut->shares[rank].dims[DIM_MLP].end, 16);
            }
            assert_int_equal(next, counts[i]);
            assert_true(largest <= (counts[i] + n - 1) / n + counts[i] / 64 + 1);
            plan_free(plan);
        }
}

static void groups_are_checked(void **state)
{
    (void)state;
    static const char *const keys[][2] = {{"\"n_group\": 3", "n_group"},
                                          {"\"n_group\": 4, \"topk_group\": 5", "topk_group"},
                                          {"\"n_group\": 8, \"topk_group\": 1", "topk_group"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        char text[512];
        struct model_config c;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"glm4_moe\", " SIZES ", \"n_routed_experts\": 16, "
                 "\"num_experts_per_tok\": 4, %s}",
                 keys[i][0]);
        assert_int_not_equal(parse(text, &c), OK);
        assert_non_null(strstr(status_message(), keys[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_equal_scores_the_lower_expert_counts),
        cmocka_unit_test(weights_are_those_of_the_scoring),
        cmocka_unit_test(the_sparse_mixer_chooses_one_after_the_other),
        cmocka_unit_test(a_bias_chooses_and_does_not_weigh),
        cmocka_unit_test(groups_are_chosen_by_their_two_best),
        cmocka_unit_test(experts_meet_along_the_tree),
        cmocka_unit_test(absent_keys_mean_what_they_mean_in_transformers),
        cmocka_unit_test(qwens_lists_say_which_layers_are_dense),
        cmocka_unit_test(what_cannot_be_is_refused),
        cmocka_unit_test(ranks_have_consecutive_experts),
        cmocka_unit_test(groups_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
