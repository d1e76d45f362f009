// Latent attention: what config.json of its families says, and how it is cut and cached. What it
// computes is compared in tests/golden.
#include "testing.h"

#include <math.h>

#include "base/log.h"
#include "device/kernels.h"
#include "model/forward.h"

static enum status parse(const char *text, struct model_config *out)
{
    return model_config_parse("config.json", text, strlen(text), out);
}

#define SIZES                                                                                      \
    "\"model_type\": \"deepseek_v3\", \"hidden_size\": 64, \"intermediate_size\": 96, "            \
    "\"moe_intermediate_size\": 16, \"num_hidden_layers\": 4, \"num_attention_heads\": 8, "        \
    "\"num_key_value_heads\": 8, \"vocab_size\": 512, \"n_routed_experts\": 8, "                   \
    "\"num_experts_per_tok\": 2, \"n_group\": 1, \"topk_group\": 1, "                              \
    "\"first_k_dense_replace\": 1"
#define LATENT                                                                                     \
    ", \"q_lora_rank\": 24, \"kv_lora_rank\": 16, \"qk_nope_head_dim\": 12, "                      \
    "\"qk_rope_head_dim\": 8, \"v_head_dim\": 20"

static void absent_keys_are_those_of_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *model_type;
        int32_t q_rank, kv_rank, nope, rope, value, heads, n_group, n_dense;
        bool interleaved;
    } cases[] = {
        {"deepseek_v2", 1536, 512, 128, 64, 128, 32, 0, 0, true},
        {"deepseek_v3", 1536, 512, 128, 64, 128, 128, 8, 3, true},
        {"kimi_k2", 1536, 512, 128, 64, 128, 128, 8, 3, true},
        {"glm4_moe_lite", 768, 512, 192, 64, 256, 20, 0, 1, true},
        {"mistral4", 1024, 256, 64, 64, 128, 32, 0, 0, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct model_config c;
        snprintf(text, sizeof text, "{\"model_type\": \"%s\", \"head_dim\": 64}",
                 cases[i].model_type);
        assert_int_equal(parse(text, &c), OK);
        const struct layer_config *layer = model_config_layer(&c, 3);
        const struct attention_config *a = &layer->sublayers[0].attention;
        assert_int_equal(a->latent.q_rank, cases[i].q_rank);
        assert_int_equal(a->latent.kv_rank, cases[i].kv_rank);
        assert_int_equal(a->latent.nope_dim, cases[i].nope);
        assert_int_equal(a->latent.rope_dim, cases[i].rope);
        assert_int_equal(a->head_dim, cases[i].nope + cases[i].rope);
        assert_int_equal(attention_value_dim(a), cases[i].value);
        assert_int_equal(a->num_attention_heads, cases[i].heads);
        assert_int_equal(c.ropes[a->rope].n_dimensions, cases[i].rope);
        assert_int_equal(c.ropes[a->rope].interleaved, cases[i].interleaved);
        assert_int_equal(layer->sublayers[1].experts.n_group, cases[i].n_group);
        for (int k = 0; k < 4; k++)
            assert_int_equal(model_config_layer(&c, k)->sublayers[1].kind,
                             k < cases[i].n_dense ? MIX_MLP : MIX_EXPERTS);
    }
}

static float scale_of(const char *rope)
{
    char text[1024];
    struct model_config c;
    snprintf(text, sizeof text, "{" SIZES LATENT ", %s}", rope);
    assert_int_equal(parse(text, &c), OK);
    return model_config_layer(&c, 0)->sublayers[0].attention.scale;
}

// (nope + rope)^-1/2, times m(mscale_all_dim)^2, whether the file has mscale or not.
static void yarn_sharpens_scores(void **state)
{
    (void)state;
    const double plain = 1 / sqrt(20), m = 0.1 * 0.707 * log(40) + 1;
    const struct {
        const char *rope;
        double scale;
    } cases[] = {
        {"\"rope_theta\": 10000", plain},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, \"mscale_all_dim\": 0.707}",
         plain * m * m},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, \"mscale\": 1, "
         "\"mscale_all_dim\": 0.707}",
         plain * m * m},
        {"\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 40, \"mscale\": 1}", plain},
        {"\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 10000, "
         "\"mscale_all_dim\": 1}",
         plain},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(fabs((double)scale_of(cases[i].rope) - cases[i].scale) < 1e-7);
}

static void queries_may_be_of_one_product(void **state)
{
    (void)state;
    struct model_config c;
    assert_int_equal(parse("{" SIZES ", \"attention_bias\": true, \"q_lora_rank\": null, "
                           "\"kv_lora_rank\": 16, \"qk_nope_head_dim\": 12, "
                           "\"qk_rope_head_dim\": 8, \"v_head_dim\": 20}",
                           &c),
                     OK);
    const struct sublayer_config *s = &model_config_layer(&c, 0)->sublayers[0];
    assert_int_equal(s->attention.latent.q_rank, 0);
    assert_true(slot_is_present(&c, s, SLOT_QUERY, false));
    assert_false(slot_is_present(&c, s, SLOT_QUERY, true));
    assert_false(slot_is_present(&c, s, SLOT_QUERY_DOWN, false));
    assert_false(slot_is_present(&c, s, SLOT_QUERY_UP, false));
    assert_true(slot_is_present(&c, s, SLOT_LATENT, true));
    assert_true(slot_is_present(&c, s, SLOT_ATTENDED, true));
    assert_false(slot_is_present(&c, s, SLOT_KEY, false));
}

static void what_latents_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *words[3];
    } cases[] = {
        {LATENT ", \"kv_lora_rank\": 15", {"kv_lora_rank", "15", "even"}},
        {LATENT ", \"kv_lora_rank\": 1020", {"kv_lora_rank", "1020", "1024"}},
        {LATENT ", \"kv_lora_rank\": 4096", {"kv_lora_rank", "4096", "expected"}},
        {LATENT ", \"q_lora_rank\": 7", {"q_lora_rank", "7", "even"}},
        {LATENT ", \"qk_rope_head_dim\": 0", {"qk_rope_head_dim", "0", "expected"}},
        {LATENT ", \"v_head_dim\": -2", {"v_head_dim", "-2", "expected"}},
        {LATENT ", \"num_key_value_heads\": 4", {"num_key_value_heads", "4", "one latent"}},
        {LATENT ", \"topk_method\": \"greedy\"", {"topk_method", "greedy", "noaux_tc"}},
        {LATENT ", \"scoring_func\": \"softmax\"", {"scoring_func", "softmax", "sigmoid"}},
        {LATENT ", \"moe_layer_freq\": 2", {"moe_layer_freq", "2", "expected"}},
        {LATENT ", \"rope_scaling\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}",
         {"partial_rotary_factor", "0.5", "expected"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1024];
        struct model_config c;
        snprintf(text, sizeof text, "{" SIZES "%s}", cases[i].keys);
        assert_int_not_equal(parse(text, &c), OK);
        for (int k = 0; k < 3; k++)
            assert_non_null(strstr(status_message(), cases[i].words[k]));
    }
}

// The latent is cached once a rank, whatever the number of heads and ranks.
static void a_rank_caches_the_latent_once(void **state)
{
    (void)state;
    for (int n = 1; n <= 8; n++)
        for (int stages = 1; stages <= 2; stages++) {
            struct model_config c;
            struct plan *plan;
            struct plan_memory memory;
            const struct plan_options options = {
                .n_ranks = n, .n_stages = stages, .compute = COMPUTE_BF16};
            assert_int_equal(parse("{" SIZES LATENT "}", &c), OK);
            assert_int_equal(plan_compile(&c, &options, &plan), OK);
            int heads = 0;
            for (int rank = 0; rank < n * stages; rank++) {
                const struct share *share = &plan_cut_of(plan, 0, 0)->shares[rank % n];
                const struct range *dims = share->dims;
                assert_int_equal(plan_memory(plan, NULL, rank, 64, 1, 1, &memory), OK);
                assert_int_equal(memory.kv_bytes_per_token, 4 / stages * (16 + 8) * 2);
                assert_int_equal(memory.kv_page_bytes, 4 / stages * 24 * 2 * KV_PAGE_TOKENS);
                heads += range_width(share->heads);
                assert_int_equal(range_width(dims[DIM_QUERY]), range_width(share->heads) * 20);
                assert_int_equal(range_width(dims[DIM_LATENT_UP]), range_width(share->heads) * 32);
                assert_int_equal(range_width(dims[DIM_ATTENDED]), range_width(share->heads) * 20);
                assert_int_equal(range_width(dims[DIM_LATENT_AND_KEY]), 24);
            }
            assert_int_equal(heads, 8 * stages);
            plan_free(plan);
        }
}

static const struct plan_edge *edge_at(const struct plan *plan, enum edge_place place)
{
    int i = 0;
    while (plan->edges[i].place != place)
        i++;
    return &plan->edges[i];
}

// By the projections that there are.
static void edges_name_what_there_is(void **state)
{
    (void)state;
    static const struct {
        const char *q_rank, *out, *mix;
    } cases[] = {{"24", "input_layernorm -> q_a,kv_a", "q_b,kv_a -> attention"},
                 {"null", "input_layernorm -> q,kv_a", "q,kv_a -> attention"}};
    for (int i = 0; i < 2; i++) {
        char text[1024];
        struct model_config c;
        struct plan *plan;
        const struct plan_options options = {.n_ranks = 2, .compute = COMPUTE_BF16};
        snprintf(text, sizeof text,
                 "{" SIZES ", \"q_lora_rank\": %s, \"kv_lora_rank\": 16, "
                 "\"qk_nope_head_dim\": 12, \"qk_rope_head_dim\": 8, \"v_head_dim\": 20}",
                 cases[i].q_rank);
        assert_int_equal(parse(text, &c), OK);
        assert_int_equal(plan_compile(&c, &options, &plan), OK);
        assert_string_equal(edge_at(plan, EDGE_OF_OUTPUTS)->name, cases[i].out);
        assert_string_equal(edge_at(plan, EDGE_OF_MIX)->name, cases[i].mix);
        plan_free(plan);
    }
}

// What is said against a plan does not name a style that latents cannot have.
static void advice_can_be_taken(void **state)
{
    (void)state;
    static const char rules_text[] =
        "{\"layers.*.self_attn.q_b_proj\": \"colwise\", \"layers.*.self_attn.kv_b_proj\": "
        "\"colwise\", \"layers.*.self_attn.o_proj\": \"replicate\"}";
    struct model_config c;
    struct plan *plan;
    struct tp_plan_rules rules;
    assert_int_equal(parse("{" SIZES LATENT "}", &c), OK);
    assert_int_equal(
        tp_plan_parse("plan.json", rules_text, strlen(rules_text), MODEL_TYPES(&c), &rules), OK);
    const struct plan_options options = {.n_ranks = 2, .compute = COMPUTE_BF16, .rules = &rules};
    assert_int_not_equal(plan_compile(&c, &options, &plan), OK);
    assert_non_null(strstr(status_message(), "attention -> o_proj"));
    assert_non_null(strstr(status_message(), "\"rowwise\""));
    assert_null(strstr(status_message(), "colwise_gather_output"));
    tp_plan_close(&rules);
}

// Of ranks that divide it each has its part, whatever else cuts the model.
static void ranks_may_divide_the_cache(void **state)
{
    (void)state;
    static const struct {
        int n_ranks, context_ranks;
        const char *word; // NULL: it is done
    } cases[] = {{2, 2, NULL},
                 {4, 2, NULL},
                 {8, 8, NULL},
                 {4, 1, NULL},
                 {3, 2, "3 ranks are not a multiple of it"},
                 {1, 4, "valid sizes: 4, 8"},
                 {2, -1, "--decode-context-parallel-size is -1; expected 1 to 64"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config c;
        struct plan *plan;
        struct plan_memory memory;
        const struct plan_options options = {.n_ranks = cases[i].n_ranks,
                                             .compute = COMPUTE_BF16,
                                             .context_ranks = cases[i].context_ranks};
        assert_int_equal(parse("{" SIZES LATENT "}", &c), OK);
        enum status status = plan_compile(&c, &options, &plan);
        assert_int_equal(status, cases[i].word ? ERR_USAGE : OK);
        if (cases[i].word) {
            assert_non_null(strstr(status_message(), cases[i].word));
            continue;
        }
        for (int rank = 0; rank < cases[i].n_ranks; rank++) {
            assert_int_equal(plan_memory(plan, NULL, rank, 64, 1, 1, &memory), OK);
            assert_int_equal(memory.kv_bytes_per_token, 4 * 24 * 2 / cases[i].context_ranks);
            assert_int_equal(memory.kv_page_bytes,
                             4 * 24 * 2 * KV_PAGE_TOKENS / cases[i].context_ranks);
            assert_int_equal(plan_context_rank(plan, rank), rank % cases[i].context_ranks);
        }
        plan_free(plan);
    }
}

// DeepSeek V2's groups: of equal best experts the lower group; the sum of two would choose group 1.
static void groups_by_their_best(void **state)
{
    (void)state;
    const float logits[8] = {3, -9, 2.5f, 2.4f, -1, -1, -1, -1};
    int32_t chosen[2];
    float weights[2], scores[8];
    struct experts_config e = {.num_experts = 8,
                               .num_experts_per_tok = 2,
                               .scoring = ROUTER_SIGMOID,
                               .n_group = 4,
                               .topk_group = 1,
                               .group_best = true,
                               .scaling_factor = 1};
    number_mode_set();
    memcpy(scores, logits, sizeof scores);
    router_choose(kernels_for(ISA_REFERENCE), &e, NULL, scores, chosen, weights);
    assert_int_equal(chosen[0], 0);
    assert_int_equal(chosen[1], 1);
    e.group_best = false;
    memcpy(scores, logits, sizeof scores);
    router_choose(kernels_for(ISA_REFERENCE), &e, NULL, scores, chosen, weights);
    assert_int_equal(chosen[0], 2);
    assert_int_equal(chosen[1], 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_are_those_of_transformers),
        cmocka_unit_test(yarn_sharpens_scores),
        cmocka_unit_test(queries_may_be_of_one_product),
        cmocka_unit_test(what_latents_cannot_be_is_refused),
        cmocka_unit_test(a_rank_caches_the_latent_once),
        cmocka_unit_test(ranks_may_divide_the_cache),
        cmocka_unit_test(edges_name_what_there_is),
        cmocka_unit_test(advice_can_be_taken),
        cmocka_unit_test(groups_by_their_best),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
