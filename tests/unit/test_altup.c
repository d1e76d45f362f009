// Gemma 3n's config.json as a program of layers, and what its plan says: streams, sparse
// activations, a low-rank path.
#include "testing.h"

#include <math.h>

#include "base/log.h"
#include "model/plan.h"

#define SIZES                                                                                      \
    "\"model_type\": \"gemma3n_text\", \"hidden_size\": 64, \"num_hidden_layers\": 4, "            \
    "\"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"head_dim\": 16, "                   \
    "\"vocab_size\": 512, \"vocab_size_per_layer_input\": 480"
#define OF(keys) "{" SIZES ", \"num_kv_shared_layers\": 0, \"intermediate_size\": 96" keys "}"

static struct model_config parse(const char *text)
{
    struct model_config config;
    log_set_level(LOG_ERROR);
    enum status status = model_config_parse("config.json", text, strlen(text), &config);
    if (status != OK)
        print_error("%s: %s\n", text, status_message());
    assert_int_equal(status, OK);
    return config;
}

static const struct mlp_config *mlp_of(const struct model_config *config, int layer)
{
    return &model_config_layer(config, layer)->sublayers[1].mlp;
}

static void absent_keys_mean_what_they_mean_in_transformers(void **state)
{
    (void)state;
    struct model_config config =
        parse("{\"model_type\": \"gemma3n_text\", \"num_hidden_layers\": 20}");
    assert_int_equal(config.altup.num_inputs, 4);
    assert_int_equal(config.altup.active_idx, 0);
    assert_true(config.altup.correct_scale);
    assert_int_equal(config.layer_inputs.size, 256);
    assert_int_equal(config.layer_inputs.vocab_size, 262144);
    assert_true(config.logit_softcap == 30);
    assert_int_equal(config.n_ropes, 2);
    for (int i = 0; i < 20; i++) {
        const struct layer_config *layer = model_config_layer(&config, i);
        const struct attention_config *a = &layer->sublayers[0].attention;
        assert_int_equal(layer->n_sublayers, 3);
        assert_true(layer->sublayers[0].predicts && layer->sublayers[1].corrects);
        assert_true(layer->sublayers[2].adds_to_others);
        assert_int_equal(layer->sublayers[0].laurel.rank, 64);
        assert_int_equal(a->sliding_window, i % 5 == 4 ? 0 : 512);
        assert_int_equal(a->keys_of_earlier, i >= 5);
        assert_int_equal(config.kv_layer[i], i < 5 ? i : i % 5 == 4 ? 4 : 3);
        assert_true(config.ropes[a->rope].theta == (i % 5 == 4 ? 1e6 : 1e4));
        assert_int_equal(mlp_of(&config, i)->intermediate_size, 16384);
        assert_int_equal(mlp_of(&config, i)->sparse, i < 10);
    }
    assert_true(fabsf(mlp_of(&config, 9)->deviations - 1.6448535f) < 2e-7f);
}

static void lists_go_by_layer(void **state)
{
    (void)state;
    struct model_config config =
        parse("{" SIZES ", \"num_kv_shared_layers\": 2, \"intermediate_size\": [96, 45, 96, 64], "
              "\"activation_sparsity_pattern\": [0.5, 0, 0.8, 0.0], \"layer_types\": "
              "[\"full_attention\", \"sliding_attention\", \"sliding_attention\", "
              "\"full_attention\"], \"final_logit_softcapping\": null, "
              "\"altup_num_inputs\": 3, \"altup_active_idx\": 2, \"altup_correct_scale\": false}");
    static const struct {
        int width, sparse, source;
    } layers[] = {{96, 1, 0}, {45, 0, 1}, {96, 1, 1}, {64, 0, 0}};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(mlp_of(&config, i)->intermediate_size, layers[i].width);
        assert_int_equal(mlp_of(&config, i)->sparse, layers[i].sparse);
        assert_int_equal(config.kv_layer[i], layers[i].source);
    }
    assert_true(mlp_of(&config, 0)->deviations == 0);
    assert_true(fabsf(mlp_of(&config, 2)->deviations - 0.8416212f) < 2e-7f);
    assert_int_equal(config.altup.num_inputs, 3);
    assert_int_equal(config.altup.active_idx, 2);
    assert_false(config.altup.correct_scale);
    assert_true(config.logit_softcap == 0);
    // without a pattern a model of few layers has none that are sparse
    config = parse(OF(""));
    assert_int_equal(config.n_layer_kinds, 1);
    assert_false(mlp_of(&config, 0)->sparse);
}

static void text_part_of_the_multimodal_model(void **state)
{
    (void)state;
    struct model_config config = parse("{\"model_type\": \"gemma3n\", \"text_config\": " OF(
        ", \"final_logit_softcapping\": 8.0") ", \"vision_config\": {}, \"audio_config\": {}}");
    assert_string_equal(config.architecture, "Gemma3nForConditionalGeneration");
    assert_string_equal(config.family->model_type, "gemma3n_text");
    assert_true(config.tie_word_embeddings);
    assert_true(config.logit_softcap == 8);
}

// An older file's "type" says nothing beside the default that each type of layer begins with.
static void rope_scaling_needs_its_newer_name(void **state)
{
    (void)state;
    struct model_config config = parse(
        OF(", \"rope_theta\": 5e5, \"rope_local_base_freq\": 100, \"rope_scaling\": {\"type\": "
           "\"linear\", \"factor\": 8}, \"layer_types\": [\"full_attention\", "
           "\"full_attention\", \"full_attention\", \"sliding_attention\"]"));
    assert_int_equal(config.ropes[0].type, ROPE_DEFAULT);
    assert_true(config.ropes[0].theta == 5e5 && config.ropes[1].theta == 100);
    config = parse(OF(", \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}, "
                      "\"layer_types\": [\"full_attention\", \"full_attention\", "
                      "\"full_attention\", \"full_attention\"]"));
    assert_int_equal(config.ropes[0].type, ROPE_LINEAR);
}

static void refuse(const char *text, const char *words)
{
    struct model_config config;
    assert_int_not_equal(model_config_parse("config.json", text, strlen(text), &config), OK);
    if (!strstr(status_message(), words))
        print_error("%s: %s\n", text, status_message());
    assert_non_null(strstr(status_message(), words));
}

static void what_cannot_be_is_refused_by_key(void **state)
{
    (void)state;
    refuse("{" SIZES ", \"intermediate_size\": 96}", "\"num_kv_shared_layers\" is absent");
    refuse(OF(", \"num_kv_shared_layers\": 4"), "num_kv_shared_layers");
    refuse("{" SIZES ", \"num_kv_shared_layers\": 0, \"intermediate_size\": [96, 96]}",
           "\"intermediate_size\" has 2 entries; expected one for each of the 4 layers");
    refuse("{" SIZES ", \"num_kv_shared_layers\": 0, \"intermediate_size\": [96, 96, 0, 96]}",
           "\"intermediate_size\" has 0 for layer 2");
    refuse("{" SIZES ", \"num_kv_shared_layers\": 0, \"intermediate_size\": [96, 96, 96, \"x\"]}",
           "for layer 3; expected an integer");
    refuse(OF(", \"activation_sparsity_pattern\": 0.95"), "activation_sparsity_pattern");
    refuse(OF(", \"activation_sparsity_pattern\": [0.95]"), "has 1 entries");
    refuse(OF(", \"activation_sparsity_pattern\": [0, 0, 0, 1]"), "for layer 3; expected a number");
    refuse(OF(", \"activation_sparsity_pattern\": [0, -0.1, 0, 0]"), "for layer 1");
    refuse(OF(", \"activation_sparsity_pattern\": [0, null, 0, 0]"), "has null for layer 1");
    refuse(OF(", \"altup_num_inputs\": 9"), "altup_num_inputs");
    refuse(OF(", \"altup_num_inputs\": 0"), "altup_num_inputs");
    refuse(OF(", \"altup_active_idx\": 4"), "altup_active_idx");
    refuse(OF(", \"laurel_rank\": 0"), "laurel_rank");
    refuse(OF(", \"hidden_size_per_layer_input\": 0"), "hidden_size_per_layer_input");
    refuse(OF(", \"layer_types\": [\"full_attention\"]"), "layer_types");
    refuse("{" SIZES ", \"num_kv_shared_layers\": 2, \"intermediate_size\": 96, \"layer_types\": "
           "[\"full_attention\", \"full_attention\", \"full_attention\", \"sliding_attention\"]}",
           "leaves no layer with keys of its own for layer 3");
}

static struct plan *plan_of(const struct model_config *config, int n_ranks)
{
    const struct plan_options options = {.n_ranks = n_ranks, .compute = COMPUTE_BF16};
    struct plan *plan;
    enum status status = plan_compile(config, &options, &plan);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    return plan;
}

static const struct plan_edge *spread_edge(const struct plan *plan)
{
    for (int i = 0; i < plan->n_edges; i++)
        if (strstr(plan->edges[i].name, "spreads of gate"))
            return &plan->edges[i];
    return NULL;
}

static void ranks_give_each_other_spreads_of_their_leaves(void **state)
{
    (void)state;
    struct model_config config = parse(OF(", \"activation_sparsity_pattern\": [0.9, 0.9, 0, 0]"));
    struct plan *one = plan_of(&config, 1), *two = plan_of(&config, 2);
    assert_null(spread_edge(one));
    const struct plan_edge *edge = spread_edge(two);
    assert_non_null(edge);
    assert_int_equal(edge->n_times, 2);                 // the layers that are sparse
    assert_int_equal(edge->bytes_per_token, 2 * 4 * 4); // two floats for each of four leaves
    assert_int_equal(edge->action, EDGE_ALL_GATHER);
    assert_int_equal(plan_count_parameters(one), plan_count_parameters(two));
    plan_free(one);
    plan_free(two);
}

// What stands in scratch beside that of a model without streams.
static void streams_count_as_memory(void **state)
{
    (void)state;
    enum { ROWS = 8, HIDDEN = 64, FLOAT = 4 };
    struct model_config few = parse(OF(", \"altup_num_inputs\": 2")),
                        many = parse(OF(", \"altup_num_inputs\": 4"));
    struct plan *plans[] = {plan_of(&few, 1), plan_of(&many, 1)};
    struct plan_memory memory[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(plan_memory(plans[i], NULL, 0, ROWS, ROWS, 1, &memory[i]), OK);
        plan_free(plans[i]);
    }
    assert_int_equal(memory[1].scratch_bytes - memory[0].scratch_bytes, 2 * ROWS * HIDDEN * FLOAT);
    assert_true(memory[1].weight_bytes > memory[0].weight_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_keys_mean_what_they_mean_in_transformers),
        cmocka_unit_test(lists_go_by_layer),
        cmocka_unit_test(text_part_of_the_multimodal_model),
        cmocka_unit_test(rope_scaling_needs_its_newer_name),
        cmocka_unit_test(what_cannot_be_is_refused_by_key),
        cmocka_unit_test(ranks_give_each_other_spreads_of_their_leaves),
        cmocka_unit_test(streams_count_as_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
