// Keys of config.json whose meaning is a family's own.
#include "testing.h"

#include <math.h>

#include "model/model_config.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 64, \"intermediate_size\": 172, \"num_hidden_layers\": 4, "                  \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, \"vocab_size\": "   \
    "512"
// As many KV heads as heads.
#define KIMI_LAYERS(n, keys)                                                                       \
    "{\"model_type\": \"kimi_linear\", \"hidden_size\": 64, \"intermediate_size\": 96, "           \
    "\"num_hidden_layers\": " n ", \"num_attention_heads\": 8, "                                   \
    "\"num_key_value_heads\": 8, \"vocab_size\": 100, " keys "}"
#define KIMI(keys) KIMI_LAYERS("4", keys)
#define OF(type, keys) "{\"model_type\": \"" type "\", " SIZES keys "}"

static struct model_config parse(const char *text)
{
    struct model_config config;
    enum status status = model_config_parse("config.json", text, strlen(text), &config);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    return config;
}

static const struct attention_config *attention_of(const struct model_config *config, int layer)
{
    return &model_config_layer(config, layer)->sublayers[0].attention;
}

// NULL: without a rope.
static const struct rope_config *rope_of(const struct model_config *config, int layer)
{
    int32_t rope = attention_of(config, layer)->rope;
    return rope < 0 ? NULL : &config->ropes[rope];
}

static void check_rope(const struct model_config *config, int layer, enum rope_type type,
                       double theta)
{
    const struct rope_config *rope = rope_of(config, layer);
    assert_non_null(rope);
    assert_int_equal(rope->type, type);
    assert_true(fabs(rope->theta - theta) < 1e-9 * theta);
}

static void windows_of_gemma3_have_a_rope_of_their_own(void **state)
{
    (void)state;
    static const char *const spellings[] = {
        OF("gemma3_text", ", \"rope_theta\": 500000, \"rope_local_base_freq\": 2000, "
                          "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}, "
                          "\"sliding_window\": 40, \"sliding_window_pattern\": 2"),
        OF("gemma3_text",
           ", \"rope_parameters\": {\"sliding_attention\": {\"rope_type\": \"default\", "
           "\"rope_theta\": 2000}, \"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8, "
           "\"rope_theta\": 500000}}, \"sliding_window\": 40, \"layer_types\": "
           "[\"sliding_attention\", \"full_attention\", \"sliding_attention\", "
           "\"full_attention\"]")};
    for (int i = 0; i < 2; i++) {
        struct model_config config = parse(spellings[i]);
        for (int layer = 0; layer < 4; layer++) {
            bool slides = layer % 2 == 0;
            check_rope(&config, layer, slides ? ROPE_DEFAULT : ROPE_LINEAR, slides ? 2000 : 500000);
            assert_int_equal(attention_of(&config, layer)->sliding_window, slides ? 40 : 0);
        }
    }
    struct model_config config = parse(OF("gemma3_text", ""));
    check_rope(&config, 3, ROPE_DEFAULT, 1e4);
    config = parse(OF("gemma3_text", ", \"sliding_window_pattern\": 1"));
    check_rope(&config, 3, ROPE_DEFAULT, 1e6);
}

// The older spelling's base is that of full layers alone.
static void windows_of_olmo3_have_the_default_base(void **state)
{
    (void)state;
    struct model_config config =
        parse(OF("olmo3", ", \"rope_theta\": 1000, \"rope_scaling\": {\"rope_type\": \"linear\", "
                          "\"factor\": 2}"));
    check_rope(&config, 0, ROPE_DEFAULT, 500000);
    check_rope(&config, 3, ROPE_LINEAR, 1000);
}

#define LONGROPE(type)                                                                             \
    ", \"rope_scaling\": {\"type\": \"" type                                                       \
    "\", \"original_max_position_embeddings\": 64, \"short_factor\": [1, 1, 1, 1, 1, 1, 1, 1], "   \
    "\"long_factor\": [2, 2, 2, 2, 2, 2, 2, 2]}"

static void phi3_has_its_own_length(void **state)
{
    (void)state;
    struct model_config config = parse(OF("phi3", LONGROPE("su")));
    assert_int_equal(model_config_long_length(&config), 4096);
    config = parse(OF("phi3", LONGROPE("yarn") ", \"original_max_position_embeddings\": 128"));
    assert_int_equal(rope_of(&config, 0)->type, ROPE_LONGROPE);
    assert_int_equal(model_config_long_length(&config), 128);
    config = parse(OF("phi3", ", \"partial_rotary_factor\": 0.75"));
    assert_int_equal(model_config_long_length(&config), 0);
    assert_int_equal(rope_of(&config, 0)->n_dimensions, 12);
}

static void layers_without_a_rope(void **state)
{
    (void)state;
    struct model_config config = parse(OF("smollm3", ", \"no_rope_layers\": [1, 0, 1, 1]"));
    for (int layer = 0; layer < 4; layer++)
        assert_int_equal(rope_of(&config, layer) == NULL, layer == 1);
    config = parse(OF("smollm3", ", \"use_sliding_window\": true, \"sliding_window\": 9"));
    assert_null(rope_of(&config, 3));
    assert_int_equal(attention_of(&config, 3)->sliding_window, 9);
    assert_int_equal(attention_of(&config, 2)->sliding_window, 0);
    config = parse(OF("granite_swa", ", \"rope_theta\": 7, \"layer_rope_theta\": [100, 0, 20, 3]"));
    check_rope(&config, 0, ROPE_DEFAULT, 100);
    check_rope(&config, 3, ROPE_DEFAULT, 3);
    assert_null(rope_of(&config, 1));
}

static void layers_with_a_state(void **state)
{
    (void)state;
    struct model_config config =
        parse(OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"time_step_limit\": [0.5, "
                                     "{\"__float__\": \"Infinity\"}]"));
    const struct mamba_config *mamba = &model_config_layer(&config, 3)->sublayers[0].mamba;
    assert_int_equal(model_config_layer(&config, 0)->sublayers[0].kind, MIX_MAMBA);
    assert_int_equal(mamba->head_dim, 16);
    assert_true(mamba->step_min == 0.5f && mamba->step_max == HUGE_VALF);
    config =
        parse(OF("nemotron_h", ", \"layers_block_type\": [\"mlp\", \"attention\", \"mamba\"]"));
    assert_int_equal(config.num_hidden_layers, 3);
    assert_int_equal(model_config_layer(&config, 2)->sublayers[0].kind, MIX_MAMBA);
    assert_int_equal(attention_of(&config, 1)->rope, -1);
    config = parse(OF("lfm2", ", \"full_attn_idxs\": [2]"));
    for (int layer = 0; layer < 4; layer++)
        assert_int_equal(model_config_layer(&config, layer)->sublayers[0].kind,
                         layer == 2 ? MIX_ATTENTION : MIX_CONVOLUTION);
    assert_int_equal(model_config_intermediate_size(&config), 256); // 172 · 2 / 3, up to 256
    config =
        parse(OF("falcon_h1", ", \"mamba_d_ssm\": null, \"mamba_n_heads\": 4, "
                              "\"ssm_in_multiplier\": 2, \"ssm_multipliers\": [1, 1, 3, 1, 1]"));
    mamba = &model_config_layer(&config, 1)->sublayers[1].mamba;
    assert_int_equal(mamba->head_dim, 32);
    assert_true(mamba->has_factors && mamba->factors[MAMBA_GATE] == 2 &&
                mamba->factors[MAMBA_B] == 6);
}

static void olmo_hybrids_layers(void **state)
{
    (void)state;
    struct model_config config =
        parse(OF("olmo_hybrid", ", \"rope_parameters\": {\"rope_theta\": null}"));
    const struct delta_config *delta = &model_config_layer(&config, 0)->sublayers[0].delta;
    assert_int_equal(model_config_layer(&config, 2)->sublayers[0].kind, MIX_DELTA);
    assert_int_equal(delta->key_head_dim, 12); // three quarters of a head's part of 64
    assert_int_equal(delta->value_head_dim, 24);
    assert_true(delta->double_beta);
    assert_null(rope_of(&config, 3));
    config = parse(OF("olmo_hybrid", ", \"linear_allow_neg_eigval\": false"));
    assert_false(model_config_layer(&config, 0)->sublayers[0].delta.double_beta);
    check_rope(&config, 3, ROPE_DEFAULT, 10000);
}

// Either the published file's names or those of Transformers' class.
static void kimi_linears_layers(void **state)
{
    (void)state;
    struct model_config config = parse(
        KIMI("\"linear_attn_config\": {\"num_heads\": 3, \"head_dim\": 16, "
             "\"short_conv_kernel_size\": 2, \"full_attn_layers\": [1, 4], \"kda_layers\": [2, "
             "3]}, \"model_max_length\": 500, \"num_experts\": 12, \"num_experts_per_token\": 3, "
             "\"num_expert_group\": 4, \"topk_group\": 2, \"moe_renormalize\": false, "
             "\"num_shared_experts\": 2, \"moe_intermediate_size\": 20"));
    const struct sublayer_config *scans = &model_config_layer(&config, 1)->sublayers[0];
    const struct layer_config *attends = model_config_layer(&config, 3);
    const struct experts_config *experts = &attends->sublayers[1].experts;
    assert_int_equal(scans->kind, MIX_DELTA);
    assert_int_equal(scans->delta.num_value_heads, 3);
    assert_int_equal(scans->delta.value_head_dim, 16);
    assert_int_equal(scans->delta.low_rank, 16);
    assert_int_equal(scans->delta.taps, 2);
    assert_true(scans->delta.channel_decays && scans->delta.gate == ACTIVATION_SIGMOID);
    assert_int_equal(attends->sublayers[0].attention.latent.kv_rank, 512);
    assert_int_equal(attends->sublayers[0].attention.latent.q_rank, 0);
    assert_int_equal(attends->sublayers[0].attention.rope, -1);
    assert_int_equal(config.max_position_embeddings, 500);
    assert_int_equal(model_config_layer(&config, 0)->sublayers[1].kind, MIX_MLP);
    assert_int_equal(experts->num_experts, 12);
    assert_int_equal(experts->num_experts_per_tok, 3);
    assert_int_equal(experts->n_group, 4);
    assert_false(experts->normalised);
    assert_int_equal(attends->sublayers[2].mlp.intermediate_size, 40);

    config = parse(KIMI_LAYERS(
        "5", "\"linear_num_heads\": 2, \"linear_head_dim\": 8, \"num_local_experts\": 6, "
             "\"num_experts_per_tok\": 2, \"n_group\": 3, \"norm_topk_prob\": false, "
             "\"n_shared_experts\": 1, \"max_position_embeddings\": 60"));
    assert_int_equal(model_config_layer(&config, 4)->sublayers[0].kind, MIX_ATTENTION);
    scans = &model_config_layer(&config, 0)->sublayers[0];
    assert_int_equal(scans->delta.num_key_heads, 2);
    assert_int_equal(scans->delta.key_head_dim, 8);
    assert_int_equal(config.max_position_embeddings, 60);
    assert_int_equal(model_config_layer(&config, 1)->sublayers[1].experts.num_experts, 6);
}

static void bad_values_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } bad[] = {
        {OF("gemma", ", \"use_bidirectional_attention\": true"), "use_bidirectional_attention"},
        {OF("gemma2", ", \"sliding_window\": null"), "\"sliding_window\" says nothing"},
        {OF("gemma2", ", \"attn_logit_softcapping\": 0"), "attn_logit_softcapping"},
        {OF("gemma2", ", \"query_pre_attn_scalar\": -1"), "query_pre_attn_scalar"},
        {OF("gemma3_text", ", \"sliding_window_pattern\": 0"), "sliding_window_pattern"},
        {OF("gemma3_text", ", \"rope_parameters\": {\"rope_theta\": 5}"), "full_attention"},
        {OF("phi3", ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}"),
         "expected default or longrope"},
        {OF("smollm3", ", \"no_rope_layers\": [1, 0, 2, 1]"), "has 2 for layer 2"},
        {OF("smollm3", ", \"no_rope_layers\": [1]"), "has nothing for layer 1"},
        {OF("granite", ", \"logits_scaling\": 0"), "logits_scaling"},
        {OF("granite_swa", ", \"layer_rope_theta\": [1, 2, -3, 4]"), "has -3 for layer 2"},
        {OF("granite_swa", ", \"sliding_window\": null"), "layer 1 attends within a window"},
        {OF("granitemoehybrid", ""), "Mamba's heads have 1 numbers each"},
        {OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"mamba_d_head\": 8"),
         "64 together; expected 128, mamba_expand times hidden_size"},
        {OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"mamba_n_groups\": 3"),
         "expected a divisor of mamba_n_heads, which is 8"},
        {OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"mamba_d_conv\": 17"), "mamba_d_conv"},
        {OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"hidden_act\": \"gelu\""),
         "\"hidden_act\" is \"gelu\"; expected \"silu\""},
        {OF("granitemoehybrid", ", \"mamba_n_heads\": 8, \"time_step_limit\": [1, 0.5]"),
         "the smaller one first"},
        {OF("granitemoehybrid", ", \"layer_types\": [\"attention\", \"mamba2\"]"),
         "has \"mamba2\" for layer 1; expected one of linear_attention, mamba, full_attention, "
         "attention"},
        {OF("granitemoehybrid", ", \"layers_block_type\": [\"attention\"]"),
         "\"layers_block_type\" has nothing for layer 1"},
        {OF("falcon_h1", ", \"mamba_n_heads\": 8, \"mamba_d_head\": 8"),
         "64 together; expected 1024, mamba_d_ssm"},
        {OF("falcon_h1", ", \"ssm_multipliers\": [1, 2]"), "has 2 numbers; expected 5"},
        {OF("falcon_h1", ", \"mlp_multipliers\": [1, 0]"), "has 0; expected numbers from"},
        {OF("olmo_hybrid", ", \"linear_key_head_dim\": 0"), "linear_key_head_dim"},
        {OF("olmo_hybrid", ", \"hidden_act\": \"gelu\""), "expected \"silu\""},
        {OF("olmo_hybrid", ", \"layer_types\": [\"full_attention\", \"conv\"]"),
         "expected one of linear_attention, full_attention"},
        {OF("lfm2_moe", ""), "\"layer_types\" has nothing for layer 0; expected one of "
                             "full_attention, conv"},
        {OF("lfm2", ", \"conv_L_cache\": 1"), "conv_L_cache"},
        {OF("lfm2", ", \"intermediate_size\": 1"), "which block_auto_adjust_ff_dim makes 0"},
        {KIMI("\"mla_use_nope\": false"), "mla_use_nope"},
        {KIMI("\"moe_router_activation_func\": \"softmax\""), "expected \"sigmoid\""},
        {KIMI("\"linear_attn_config\": {\"full_attn_layers\": [0], \"kda_layers\": [1]}"),
         "has 0; expected the numbers of layers, 1 to 4"},
        {KIMI("\"linear_attn_config\": {\"full_attn_layers\": [4], \"kda_layers\": [1, 3]}"),
         "lack layer 2"},
        {KIMI("\"linear_attn_config\": {\"head_dim\": 9}"), "\"head_dim\""},
        {OF("nemotron_h", ""), "expected one of them to say what each of the layers is"},
        {OF("nemotron_h", ", \"hybrid_override_pattern\": \"M-X\""), "has 'X' for layer 2"},
        {OF("nemotron_h", ", \"hybrid_override_pattern\": \"\""), "has 0 letters"},
        {OF("nemotron_h", ", \"hybrid_override_pattern\": \"E\", \"moe_latent_size\": 66"),
         "\"moe_latent_size\" is 66"},
        {OF("nemotron_h", ", \"hybrid_override_pattern\": \"E\", \"moe_latent_size\": 15"),
         "moe_latent_size"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct model_config config;
        assert_int_not_equal(
            model_config_parse("config.json", bad[i].text, strlen(bad[i].text), &config), OK);
        if (!strstr(status_message(), bad[i].said))
            print_error("\"%s\" is not in: %s\n", bad[i].said, status_message());
        assert_non_null(strstr(status_message(), bad[i].said));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(windows_of_gemma3_have_a_rope_of_their_own),
        cmocka_unit_test(windows_of_olmo3_have_the_default_base),
        cmocka_unit_test(phi3_has_its_own_length),
        cmocka_unit_test(layers_without_a_rope),
        cmocka_unit_test(layers_with_a_state),
        cmocka_unit_test(olmo_hybrids_layers),
        cmocka_unit_test(kimi_linears_layers),
        cmocka_unit_test(bad_values_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
