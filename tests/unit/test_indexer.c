// Sparse attention: what config.json of its families says, how it is cut and cached, and where
// stages may begin. What it computes is compared in tests/golden and tests/e2e/test_families.py.
#include "testing.h"

#include <stdio.h>

#include "device/kernels.h"
#include "model/forward.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"moe_intermediate_size\": 16, "              \
    "\"num_hidden_layers\": 6, \"num_attention_heads\": 8, \"num_key_value_heads\": 8, "           \
    "\"vocab_size\": 512, \"n_routed_experts\": 8, \"num_experts_per_tok\": 2, \"n_group\": 1, "   \
    "\"topk_group\": 1, \"first_k_dense_replace\": 1, \"q_lora_rank\": 24, "                       \
    "\"kv_lora_rank\": 16, \"qk_nope_head_dim\": 12, \"qk_rope_head_dim\": 8, \"v_head_dim\": 20"  \
    ", \"index_topk\": 100, \"index_n_heads\": 6, \"index_head_dim\": 10"

static enum status parse(const char *model_type, const char *more, struct model_config *out)
{
    char text[2048];
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", " SIZES "%s}", model_type, more);
    return model_config_parse("config.json", text, strlen(text), out);
}

static const struct index_config *index_of(const struct model_config *c, int layer)
{
    return &model_config_layer(c, layer)->sublayers[0].attention.latent.index;
}

static void absent_keys_are_those_of_transformers(void **state)
{
    (void)state;
    static const struct {
        const char *model_type;
        int32_t heads;
        bool interleaved;
    } cases[] = {{"deepseek_v32", 64, false}, {"glm_moe_dsa", 32, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        struct model_config c;
        snprintf(text, sizeof text, "{\"model_type\": \"%s\"}", cases[i].model_type);
        assert_int_equal(model_config_parse("config.json", text, strlen(text), &c), OK);
        const struct attention_config *a = &model_config_layer(&c, 5)->sublayers[0].attention;
        const struct index_config *index = &a->latent.index;
        assert_int_equal(index->topk, 2048);
        assert_int_equal(index->head_dim, 128);
        assert_int_equal(index->num_heads, cases[i].heads);
        assert_false(index->shared);
        assert_true(c.ropes[a->rope].interleaved);
        assert_int_equal(c.ropes[index->rope].interleaved, cases[i].interleaved);
        assert_int_equal(c.ropes[index->rope].n_dimensions, 64);
        assert_int_equal(latent_cached_dim(&a->latent), 512 + 64 + 128);
    }
}

// "FSF": F where a layer has an indexer.
static void expect_sharing(const char *more, const char *expected)
{
    struct model_config c;
    char found[8] = "";
    assert_int_equal(parse("glm_moe_dsa", more, &c), OK);
    for (int i = 0; i < c.num_hidden_layers; i++)
        found[i] = index_of(&c, i)->shared ? 'S' : 'F';
    assert_string_equal(found, expected);
}

static void layers_share_as_config_says(void **state)
{
    (void)state;
    expect_sharing("", "FFFFFF");
    expect_sharing(", \"indexer_types\": null", "FFFFFF");
    expect_sharing(", \"indexer_types\": [\"full\", \"shared\", \"shared\", \"full\", \"full\", "
                   "\"shared\"], \"index_topk_freq\": 2",
                   "FSSFFS");
    expect_sharing(", \"index_topk_pattern\": \"FSFSSF\"", "FSFSSF");
    expect_sharing(", \"index_topk_pattern\": [\"full\", \"full\", \"shared\", \"full\", "
                   "\"full\", \"shared\"]",
                   "FFSFFS");
    // full where max(i - offset + 1, 0) is a multiple of freq
    expect_sharing(", \"index_topk_freq\": 1", "FFFFFF");
    expect_sharing(", \"index_topk_freq\": 2", "FFSFSF");
    expect_sharing(", \"index_topk_freq\": 3", "FFSSFS");
    expect_sharing(", \"index_topk_freq\": 2, \"index_skip_topk_offset\": 1", "FSFSFS");
    expect_sharing(", \"index_topk_freq\": 4, \"index_skip_topk_offset\": 3", "FFFSSS");
    struct model_config c; // no key of DeepSeek's
    assert_int_equal(parse("deepseek_v32", ", \"index_topk_freq\": 2", &c), OK);
    assert_false(index_of(&c, 2)->shared);
}

static void what_an_indexer_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *keys, *words[3];
    } cases[] = {
        {", \"q_lora_rank\": null", {"q_lora_rank", "null", "indexer"}},
        {", \"index_topk\": 0", {"index_topk", "0", "expected"}},
        {", \"index_n_heads\": 0", {"index_n_heads", "0", "expected"}},
        {", \"index_n_heads\": 100000", {"index_n_heads", "100000", "expected"}},
        {", \"index_head_dim\": 11", {"index_head_dim", "11", "even"}},
        {", \"index_head_dim\": 6", {"index_head_dim", "6", "qk_rope_head_dim"}},
        {", \"indexer_types\": [\"shared\"]", {"indexer_types", "nothing", "layer 1"}},
        {", \"indexer_types\": [\"full\", 3]", {"indexer_types", "3", "layer 1"}},
        {", \"index_topk_pattern\": \"FSFSF\"", {"index_topk_pattern", "FSFSF", "6 layers"}},
        {", \"index_topk_pattern\": \"FSFSXF\"", {"index_topk_pattern", "FSFSXF", "6 layers"}},
        {", \"index_topk_pattern\": \"SFFFFF\"", {"layer 0", "index_topk_pattern", "first"}},
        {", \"layer_types\": [\"full_attention\"]",
         {"layer_types", "full_attention", "indexed_attention"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct model_config c;
        assert_int_not_equal(parse("glm_moe_dsa", cases[i].keys, &c), OK);
        for (int k = 0; k < 3; k++)
            if (!strstr(status_message(), cases[i].words[k]))
                assert_string_equal(status_message(), cases[i].words[k]);
    }
}

#define SHARING ", \"index_topk_pattern\": \"FSFFSS\""

static struct plan *compile(const struct model_config *c, int tp, int pp)
{
    struct plan *plan;
    const struct plan_options options = {.n_ranks = tp, .n_stages = pp, .compute = COMPUTE_BF16};
    enum status status = plan_compile(c, &options, &plan);
    assert_string_equal(status == OK ? "" : status_message(), "");
    return plan;
}

// Every rank caches an indexer's key beside the latent, in layers that have one.
static void keys_are_cached_where_an_indexer_is(void **state)
{
    (void)state;
    struct model_config c;
    assert_int_equal(parse("glm_moe_dsa", SHARING, &c), OK);
    for (int tp = 1; tp <= 8; tp++) {
        struct plan *plan = compile(&c, tp, 1);
        for (int rank = 0; rank < tp; rank++) {
            struct plan_memory memory;
            const struct range *dims = plan_cut_of(plan, 0, 0)->shares[rank].dims;
            assert_int_equal(plan_memory(plan, NULL, rank, 64, 1, 1, &memory), OK);
            assert_int_equal(memory.kv_bytes_per_token, (6 * (16 + 8) + 3 * 10) * 2);
            assert_int_equal(range_width(dims[DIM_INDEX_QUERY]), 60);
            assert_int_equal(range_width(dims[DIM_INDEX_KEY]), 10);
            assert_int_equal(range_width(dims[DIM_INDEX_HEADS]), 6);
        }
        plan_free(plan);
    }
}

static void what_shares_lies_on_one_stage(void **state)
{
    (void)state;
    struct model_config c;
    struct plan *plan;
    const struct plan_options two = {.n_ranks = 1,
                                     .n_stages = 2,
                                     .layer_partition = "4,2",
                                     .layer_partition_name = "PARTITION"},
                              four = {.n_ranks = 1, .n_stages = 4};
    assert_int_equal(parse("glm_moe_dsa", SHARING, &c), OK);
    plan = compile(&c, 1, 3);
    assert_int_equal(plan->first_layer[1], 2);
    assert_int_equal(plan->first_layer[2], 3);
    plan_free(plan);
    assert_int_equal(plan_compile(&c, &two, &plan), ERR_USAGE);
    assert_non_null(strstr(status_message(), "layer 4"));
    assert_non_null(strstr(status_message(), "layer 3 has chosen"));
    assert_int_equal(plan_compile(&c, &four, &plan), ERR_USAGE);
    assert_non_null(strstr(status_message(), "expected 1 to 3"));
}

// What a step needs beside the rest follows from index_topk, where that leaves positions out.
static void room_for_what_is_chosen(void **state)
{
    (void)state;
    struct model_config c;
    struct scratch sparse, dense;
    size_t bytes, less;
    const struct scratch_size size = {.rows_max = 32, .logit_rows_max = 1, .n_threads = 2};
    assert_int_equal(parse("deepseek_v32", "", &c), OK);
    struct plan *plan = compile(&c, 1, 1);
    assert_int_equal(scratch_place(plan, 0, size, NULL, &sparse, &bytes), OK);
    assert_int_equal(sparse.chosen_stride, 2 * KV_PAGE_TOKENS * 24 * 2);
    plan_free(plan);
    c.max_position_embeddings = 100;
    plan = compile(&c, 1, 1);
    assert_int_equal(scratch_place(plan, 0, size, NULL, &dense, &less), OK);
    assert_true(less < bytes);
    assert_int_equal(dense.chosen_stride, 0);
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_are_those_of_transformers),
        cmocka_unit_test(layers_share_as_config_says),
        cmocka_unit_test(what_an_indexer_cannot_be_is_refused),
        cmocka_unit_test(keys_are_cached_where_an_indexer_is),
        cmocka_unit_test(what_shares_lies_on_one_stage),
        cmocka_unit_test(room_for_what_is_chosen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
