// What each family's config.json means, and whether its table of tensors has all that it needs.
#include "testing.h"

#include <math.h>

#include "base/log.h"
#include "model/plan_build.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 96, \"num_hidden_layers\": 4, "                   \
    "\"num_attention_heads\": 8, \"num_key_value_heads\": %d, \"vocab_size\": 100"

// Whose heads all have one latent in the place of keys and values.
static bool has_latent(const char *model_type)
{
    static const char *const latent[] = {"deepseek_v2",   "deepseek_v3", "kimi_k2",
                                         "glm4_moe_lite", "mistral4",    "kimi_linear",
                                         "deepseek_v32",  "glm_moe_dsa"};
    for (size_t i = 0; i < sizeof latent / sizeof *latent; i++)
        if (strcmp(model_type, latent[i]) == 0)
            return true;
    return false;
}

// The sizes above and `more`, which begins with a comma.
static struct model_config config_of(const char *model_type, const char *more)
{
    struct model_config config;
    char text[2048];
    snprintf(text, sizeof text, "{\"model_type\": \"%s\", " SIZES "%s}", model_type,
             has_latent(model_type) ? 8 : 2, more);
    enum status status = model_config_parse("config.json", text, strlen(text), &config);
    if (status != OK)
        print_error("%s%s: %s\n", model_type, more, status_message());
    assert_int_equal(status, OK);
    return config;
}

static const struct sublayer_config *sublayer_of(const struct model_config *config, int layer,
                                                 int place)
{
    return &model_config_layer(config, layer)->sublayers[place];
}

static const struct attention_config *attention_in(const struct model_config *config, int layer)
{
    return &sublayer_of(config, layer, 0)->attention;
}

// A parameter that is there is a tensor of the family's.
static void check_row(const struct model_config *config, const struct sublayer_config *sublayer,
                      int place, enum slot slot)
{
    for (int bias = 0; bias < 2; bias++) {
        if (!slot_is_present(config, sublayer, slot, bias) ||
            family_row(config->family, place, slot, bias))
            continue;
        print_error("%s has no tensor for %s%s\n", config->model_type, slots[slot].name,
                    bias ? " (bias)" : "");
        assert_true(false);
    }
}

static void check_rows(const struct model_config *config)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        if (!slots[slot].in_layers)
            check_row(config, NULL, -1, (enum slot)slot);
        for (int layer = 0; slots[slot].in_layers && layer < config->num_hidden_layers; layer++)
            for (int i = 0; i < model_config_layer(config, layer)->n_sublayers; i++)
                check_row(config, sublayer_of(config, layer, i), i, (enum slot)slot);
    }
}

// What each layer is, where a family has no default for it or one that is too large for the sizes
// above; and such as has what others have not.
static const struct {
    const char *model_type, *keys;
} layers_of[] = {
    // the one of a mixture's files that is dense
    {"granitemoehybrid", ", \"num_local_experts\": 0, \"layer_types\": [\"attention\", "
                         "\"attention\", \"attention\", \"attention\"]"},
    {"granitemoehybrid", ", \"mamba_n_heads\": 8, \"layer_types\": [\"mamba\", \"attention\", "
                         "\"linear_attention\", \"full_attention\"]"},
    {"lfm2", ", \"layer_types\": [\"conv\", \"full_attention\", \"conv\", \"conv\"]"},
    {"lfm2_moe", ", \"layer_types\": [\"conv\", \"full_attention\", \"conv\", \"full_attention\"]"},
    {"nemotron_h", ", \"hybrid_override_pattern\": \"M-*E\""},
    {"nemotron_h", ", \"hybrid_override_pattern\": \"M-*E\", \"moe_latent_size\": 16"},
    {"kimi_linear",
     ", \"linear_attn_config\": {\"full_attn_layers\": [2, 4], \"kda_layers\": [1, 3]}"},
    {"kimi_linear", ", \"q_lora_rank\": 16, \"mlp_layer_types\": [\"sparse\", \"dense\", "
                    "\"dense\", \"sparse\"]"},
};

static void check_family(const char *model_type, const char *layers, const char *switches)
{
    char keys[1024];
    snprintf(keys, sizeof keys, "%s%s", layers, switches);
    struct model_config config = config_of(model_type, keys);
    check_rows(&config);
}

static void families_have_a_tensor_for_each_parameter(void **state)
{
    (void)state;
    // all switches that any family has
    static const char *const unshared = ", \"num_kv_shared_layers\": 0"; // Gemma 3n's are 15
    static const char *const switches =
        ", \"num_kv_shared_layers\": 0, \"attention_bias\": true, \"attention_out_bias\": true, "
        "\"mlp_bias\": true, \"conv_bias\": true, \"mamba_proj_bias\": true, "
        "\"projectors_bias\": true, \"mamba_rms_norm\": true, "
        "\"use_bias\": true, \"use_qkv_bias\": true, \"qk_layernorm\": true";
    log_set_level(LOG_ERROR);
    for (int i = 0; families[i]; i++) {
        const char *model_type = families[i]->model_type;
        const bool refuses_biases = strcmp(model_type, "mistral") == 0;
        bool listed = false;
        assert_true(families[i]->n_parameters <= FAMILY_ROWS_MAX);
        for (size_t k = 0; k < sizeof layers_of / sizeof *layers_of; k++)
            if (strcmp(layers_of[k].model_type, model_type) == 0) {
                check_family(model_type, layers_of[k].keys, unshared);
                check_family(model_type, layers_of[k].keys, switches);
                listed = true;
            }
        if (listed)
            continue;
        check_family(model_type, "", unshared);
        if (!refuses_biases)
            check_family(model_type, "", switches);
    }
    // whose tensors are not those of the model without experts
    struct model_config config = config_of(
        "gemma4_text", ", \"num_kv_shared_layers\": 0, \"attention_bias\": true, "
                       "\"enable_moe_block\": true, \"num_experts\": 4, \"top_k_experts\": 2, "
                       "\"moe_intermediate_size\": 24, \"hidden_size_per_layer_input\": 0");
    check_rows(&config);
    assert_int_equal(model_config_layer(&config, 0)->n_sublayers, 3);
    log_set_level(LOG_INFO);
}

static void absent_keys_mean_what_the_class_says(void **state)
{
    (void)state;
    static const struct {
        const char *model_type;
        int64_t positions;
        int kv_heads, head_dim;
        float eps;
        bool tied, q_bias, o_bias, gated;
    } cases[] = {
        {"glm", 131072, 2, 128, 1.5625e-7f, false, true, false, true},
        {"glm4", 131072, 2, 128, 1.5625e-7f, false, true, false, true},
        {"ministral3", 262144, 8, 128, 1e-5f, false, false, false, true},
        {"cohere2", 8192, 8, 8, 1e-5f, true, false, false, true},
        {"seed_oss", 524288, 8, 128, 1e-6f, false, true, false, true},
        {"ernie4_5", 131072, 2, 128, 1e-5f, true, false, false, true},
        {"hunyuan_v1_dense", 2048, 8, 8, 1e-5f, false, false, false, true},
        {"apertus", 65536, 8, 8, 1e-5f, false, false, false, false},
        {"starcoder2", 4096, 2, 8, 1e-5f, true, true, true, false},
        {"phi", 2048, 8, 8, 1e-5f, false, true, true, false},
        {"gpt_neox", 2048, 8, 8, 1e-5f, false, true, true, false},
        {"internlm3", 32768, 2, 128, 1e-5f, false, false, false, true},
    };
    log_set_level(LOG_ERROR);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[512];
        struct model_config c;
        snprintf(text, sizeof text,
                 "{\"model_type\": \"%s\", \"hidden_size\": 64, \"num_attention_heads\": 8}",
                 cases[i].model_type);
        assert_int_equal(model_config_parse("config.json", text, strlen(text), &c), OK);
        const struct attention_config *a = attention_in(&c, 0);
        assert_int_equal(c.max_position_embeddings, cases[i].positions);
        assert_int_equal(a->num_key_value_heads, cases[i].kv_heads);
        assert_int_equal(a->head_dim, cases[i].head_dim);
        assert_true(fabsf(c.final_norm.eps - cases[i].eps) <= 0);
        assert_int_equal(c.tie_word_embeddings, cases[i].tied);
        assert_int_equal(a->q_bias, cases[i].q_bias);
        assert_int_equal(a->o_bias, cases[i].o_bias);
        assert_int_equal(sublayer_of(&c, 0, 1)->mlp.gated, cases[i].gated);
    }
    log_set_level(LOG_INFO);
}

static void windows_and_ropes_by_layer(void **state)
{
    (void)state;
    struct model_config c = config_of("cohere2", ", \"sliding_window\": 48");
    assert_int_equal(attention_in(&c, 0)->sliding_window, 48);
    assert_int_equal(attention_in(&c, 0)->rope, 0);
    assert_true(c.ropes[0].interleaved);
    assert_int_equal(attention_in(&c, 3)->sliding_window, 0);
    assert_int_equal(attention_in(&c, 3)->rope, -1);
    c = config_of("cohere2", ", \"sliding_window_pattern\": 2");
    assert_int_equal(attention_in(&c, 1)->rope, -1);
    assert_int_equal(attention_in(&c, 2)->sliding_window, 4096);

    c = config_of("exaone4", ", \"sliding_window\": 48");
    assert_int_equal(attention_in(&c, 2)->sliding_window, 48);
    assert_int_equal(attention_in(&c, 3)->rope, -1);
    c = config_of("exaone4", ", \"sliding_window\": null");
    assert_int_equal(attention_in(&c, 2)->sliding_window, 0);
    assert_int_equal(attention_in(&c, 3)->rope, 0);
}

static void ropes_of_their_own(void **state)
{
    (void)state;
    struct model_config c = config_of("apertus", "");
    assert_int_equal(c.ropes[0].type, ROPE_LLAMA3);
    assert_true(fabs(c.ropes[0].theta - 12e6) <= 0);
    assert_int_equal(c.ropes[0].n_dimensions, 8);
    c = config_of("ministral3", "");
    assert_int_equal(c.ropes[0].type, ROPE_YARN);
    assert_int_equal(attention_in(&c, 0)->temperature_length, 16384);
    c = config_of("ministral3", ", \"rope_parameters\": {\"rope_type\": \"yarn\", \"factor\": 4, "
                                "\"original_max_position_embeddings\": 32, "
                                "\"llama_4_scaling_beta\": 0.5}");
    assert_int_equal(attention_in(&c, 0)->temperature_length, 32);
    assert_true(fabsf(attention_in(&c, 0)->temperature_beta - 0.5f) <= 0);

    // HunYuan's alpha: theta · alpha^(d / (d - 2))
    c = config_of("hunyuan_v1_dense",
                  ", \"head_dim\": 4, \"rope_scaling\": {\"type\": \"dynamic\", "
                  "\"factor\": 1.0, \"alpha\": 100.0}");
    assert_true(fabs(c.ropes[0].theta - 1e8) <= 1e-4);

    // GPT-NeoX does not read the usual names beside rope_parameters.
    c = config_of("gpt_neox", ", \"rotary_pct\": 0.5, \"rotary_emb_base\": 500, "
                              "\"rope_theta\": 7, \"partial_rotary_factor\": 1.0");
    assert_int_equal(c.ropes[0].n_dimensions, 4);
    assert_true(fabs(c.ropes[0].theta - 500) <= 0);

    // GLM turns a whole pair where half of one is asked for; the exponent stays.
    c = config_of("glm", ", \"head_dim\": 6");
    assert_int_equal(c.ropes[0].n_dimensions, 4);
    assert_int_equal(c.ropes[0].exponent_dimensions, 3);
}

static void parallel_blocks(void **state)
{
    (void)state;
    struct model_config c = config_of("stablelm", ", \"use_parallel_residual\": true");
    assert_true(sublayer_of(&c, 0, 1)->parallel && sublayer_of(&c, 0, 1)->same_input);
    assert_int_equal(sublayer_of(&c, 0, 1)->before.kind, NORM_NONE);
    c = config_of("gpt_neox", "");
    assert_true(sublayer_of(&c, 0, 1)->parallel && !sublayer_of(&c, 0, 1)->same_input);
    c = config_of("gpt_neox", ", \"use_parallel_residual\": false");
    assert_false(sublayer_of(&c, 0, 1)->parallel);
}

static void bloom_reads_both_spellings(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"model_type\": \"bloom\", \"n_layer\": 3, \"n_head\": 4, \"n_embed\": 96, "
        "\"vocab_size\": 100, \"seq_length\": 4096}",
        "{\"model_type\": \"bloom\", \"num_hidden_layers\": 3, \"num_attention_heads\": 4, "
        "\"hidden_size\": 96, \"vocab_size\": 100, \"max_position_embeddings\": 4096}",
    };
    for (int i = 0; i < 2; i++) {
        struct model_config c;
        assert_int_equal(model_config_parse("config.json", texts[i], strlen(texts[i]), &c), OK);
        assert_int_equal(c.num_hidden_layers, 3);
        assert_int_equal(c.hidden_size, 96);
        assert_int_equal(c.max_position_embeddings, 4096);
        assert_int_equal(attention_in(&c, 0)->num_key_value_heads, 4);
        assert_int_equal(sublayer_of(&c, 0, 1)->mlp.intermediate_size, 384);
        assert_true(attention_in(&c, 0)->alibi && attention_in(&c, 0)->rope < 0);
    }
}

static struct plan *plan_of(const struct model_config *config)
{
    struct plan *plan;
    const struct plan_options options = {.n_ranks = 2, .compute = COMPUTE_BF16};
    assert_int_equal(plan_compile(config, &options, &plan), OK);
    return plan;
}

// Row `row` of the part, counted as if parts lay one behind the other.
static void check_place(const struct plan_parameter *p, int part, int row, int tensor,
                        int row_there, int count)
{
    struct plan_rows rows = plan_rows_of(p, part, p->part_rows[part] + row);
    assert_int_equal(rows.tensor, tensor);
    assert_int_equal(rows.row, row_there);
    assert_int_equal(rows.count, count);
}

// Each row of the tensor is the rank's that has it in some part, and no other's.
static void check_owners(const struct plan_parameter *p)
{
    for (int part = 0; part < p->n_parts; part++)
        for (int64_t row = p->part_rows[part]; row < p->part_rows[part + 1]; row++)
            for (int rank = 0; rank < 2; rank++) {
                const struct range has = p->rank_rows[rank * p->n_parts + part];
                assert_int_equal(plan_has_row(p, rank, plan_rows_of(p, part, row).row),
                                 row >= has.begin && row < has.end);
            }
}

static void rows_fused_by_head(void **state)
{
    (void)state;
    struct model_config c = config_of("gpt_neox", ""); // 8 heads of 8
    struct plan *plan = plan_of(&c);
    for (int bias = 0; bias < 2; bias++) {
        int part;
        const struct plan_parameter *p = plan_find_parameter(plan, 1, 0, SLOT_KEY, bias, &part);
        assert_int_equal(part, 1);
        assert_int_equal(p->rows, 192);
        check_place(p, 0, 0, 0, 0, 8);
        check_place(p, 1, 0, 0, 8, 8);
        check_place(p, 2, 0, 0, 16, 8);
        check_place(p, 1, 8, 0, 24 + 8, 8);
        check_place(p, 2, 63, 0, 7 * 24 + 16 + 7, 1);
        check_owners(p);
        assert_true(plan_has_row(p, 0, 4 * 24 - 1) && plan_has_row(p, 1, 4 * 24));
    }
    plan_free(plan);
}

static void a_tensor_for_each_head(void **state)
{
    (void)state;
    struct model_config c = config_of("stablelm", ", \"qk_layernorm\": true");
    struct plan *plan = plan_of(&c);
    const struct plan_parameter *p = plan_find_parameter(plan, 1, 0, SLOT_QUERY_NORM, false, NULL);
    assert_string_equal(p->name, "model.layers.1.self_attn.q_layernorm.norms.*.weight");
    assert_int_equal(p->n_tensors, 8);
    check_place(p, 0, 0, 0, 0, 8);
    check_place(p, 0, 43, 5, 3, 5);
    p = plan_find_parameter(plan, 1, 0, SLOT_KEY_NORM, false, NULL);
    assert_int_equal(p->n_tensors, 2);
    assert_int_equal(p->rank_rows[1].begin, 8); // the second rank has the second KV head
    assert_int_equal(p->rank_rows[1].end, 16);
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_have_a_tensor_for_each_parameter),
        cmocka_unit_test(absent_keys_mean_what_the_class_says),
        cmocka_unit_test(windows_and_ropes_by_layer),
        cmocka_unit_test(ropes_of_their_own),
        cmocka_unit_test(parallel_blocks),
        cmocka_unit_test(bloom_reads_both_spellings),
        cmocka_unit_test(rows_fused_by_head),
        cmocka_unit_test(a_tensor_for_each_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
