// Stages of a pipeline: whose the layers are, and what of weights and pages is where.
#include "plan_shapes.h"

#include <string.h>

#include "model/kv_bytes.h"

static struct model_config config_of_layers(int n_layers)
{
    struct model_config config = plan_config(&plan_shapes[4]);
    config.num_hidden_layers = n_layers;
    for (int layer = 0; layer < n_layers; layer++)
        config.kv_layer[layer] = (int16_t)layer;
    return config;
}

static struct plan *compile_stages(const struct model_config *config, int tp, int pp,
                                   const char *partition)
{
    struct plan *plan;
    const struct plan_options options = {.n_ranks = tp,
                                         .n_stages = pp,
                                         .layer_partition = partition,
                                         .layer_partition_name = "PARTITION"};
    enum status status = plan_compile(config, &options, &plan);
    assert_string_equal(status == OK ? "" : status_message(), "");
    return plan;
}

static void refuse_stages(const struct model_config *config, int tp, int pp, const char *partition,
                          const char *words)
{
    struct plan *plan;
    const struct plan_options options = {.n_ranks = tp,
                                         .n_stages = pp,
                                         .layer_partition = partition,
                                         .layer_partition_name = "PARTITION"};
    assert_int_equal(plan_compile(config, &options, &plan), ERR_USAGE);
    if (!strstr(status_message(), words))
        assert_string_equal(status_message(), words);
}

// "3,3,2" of the plan.
static void expect_sizes(const struct model_config *config, int pp, const char *partition,
                         const char *expected)
{
    char found[256] = "";
    size_t used = 0;
    struct plan *plan = compile_stages(config, 1, pp, partition);
    for (int stage = 0; stage < pp; stage++) {
        const struct range layers = plan_stage_layers(plan, stage);
        used += (size_t)snprintf(found + used, sizeof found - used, "%s%d", stage ? "," : "",
                                 layers.end - layers.begin);
    }
    assert_string_equal(found, expected);
    assert_int_equal(plan->first_layer[0], 0);
    assert_int_equal(plan->first_layer[pp], config->num_hidden_layers);
    plan_free(plan);
}

// vLLM's numbers: what is left over goes to the stages before the last one.
static void test_even(void **state)
{
    (void)state;
    struct model_config config = config_of_layers(32);
    expect_sizes(&config, 1, NULL, "32");
    expect_sizes(&config, 2, NULL, "16,16");
    expect_sizes(&config, 3, NULL, "11,11,10");
    expect_sizes(&config, 5, NULL, "6,6,7,7,6");
    expect_sizes(&config, 4, NULL, "8,8,8,8");
    config = config_of_layers(5);
    expect_sizes(&config, 2, NULL, "3,2");
    expect_sizes(&config, 4, NULL, "1,1,2,1");
    expect_sizes(&config, 5, NULL, "1,1,1,1,1");
    refuse_stages(&config, 1, 6, NULL, "--pipeline-parallel-size is 6; expected 1 to 5");
    refuse_stages(&config, 1, 65, NULL, "--pipeline-parallel-size is 65; expected 1 to 64");
}

static void test_partition(void **state)
{
    (void)state;
    struct model_config config = config_of_layers(8);
    expect_sizes(&config, 3, "1,5,2", "1,5,2");
    expect_sizes(&config, 1, "8", "8");
    static const char *const wrong[] = {"4,4",    "1,5,1", "1,5,3", "0,4,4",   "1,5,2,", "",
                                        "1, 5,2", "a,5,2", "1,,2",  "1,5,2,1", "-1,5,4", "1,5,2 "};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        refuse_stages(&config, 1, 3, wrong[i], "PARTITION is \"");
}

// The last five of eight layers read the keys of layers 1 and 2.
static void test_shared_keys(void **state)
{
    (void)state;
    struct model_config config = config_of_layers(8);
    for (int layer = 3; layer < 8; layer++)
        config.kv_layer[layer] = (int16_t)(1 + layer % 2);
    assert_int_equal(plan_stages_max(&config), 2);
    expect_sizes(&config, 2, NULL, "1,7");
    expect_sizes(&config, 2, "1,7", "1,7");
    refuse_stages(&config, 1, 2, "4,4", "layer 4 reads the keys of layer 1");
    refuse_stages(&config, 1, 3, NULL, "expected 1 to 2");
    // two pairs: only the bound between them, and those around, are allowed
    config = config_of_layers(6);
    config.kv_layer[2] = 1;
    config.kv_layer[4] = 3;
    assert_int_equal(plan_stages_max(&config), 4);
    expect_sizes(&config, 2, NULL, "3,3");
    expect_sizes(&config, 3, NULL, "1,2,3");
    expect_sizes(&config, 4, NULL, "1,2,2,1");
}

// All stages' weights together are those of one stage, but for a tied embedding that both ends
// have; of the pages each has its layers'.
static void test_memory(void **state)
{
    (void)state;
    for (int tied = 0; tied < 2; tied++)
        for (int tp = 1; tp <= 4; tp += 3) {
            struct model_config config = config_of_layers(7);
            config.tie_word_embeddings = tied;
            struct plan *one = compile_stages(&config, tp, 1, NULL),
                        *three = compile_stages(&config, tp, 3, NULL);
            assert_int_equal(plan_world_size(three), 3 * tp);
            for (int rank = 0; rank < tp; rank++) {
                struct plan_memory whole, part;
                uint64_t file_bytes = 0, kv = 0, page = 0, sent = 0;
                assert_int_equal(plan_memory(one, NULL, rank, 16, 4, 1, &whole), OK);
                for (int stage = 0; stage < 3; stage++) {
                    int world_rank = stage * tp + rank;
                    assert_int_equal(plan_memory(three, NULL, world_rank, 16, 4, 1, &part), OK);
                    file_bytes += part.file_bytes;
                    kv += part.kv_bytes_per_token;
                    page += part.kv_page_bytes;
                    sent += plan_bytes_sent_per_token(three, world_rank);
                }
                uint64_t embedding = (uint64_t)config.vocab_size / (uint64_t)tp * 64 * 2;
                assert_int_equal(file_bytes, whole.file_bytes + (tied ? embedding : 0));
                assert_int_equal(kv, whole.kv_bytes_per_token);
                assert_int_equal(page, whole.kv_page_bytes);
                assert_int_equal(sent, plan_bytes_sent_per_token(one, rank) + 2 * 64 * 4);
            }
            plan_free(one);
            plan_free(three);
        }
}

// Groups of layers of a window have layers of each stage, so that pages shrink with the stages.
static void test_windows(void **state)
{
    (void)state;
    struct model_config config = config_of_layers(24);
    config.layer_kinds[1] = config.layer_kinds[0];
    config.layer_kinds[1].sublayers[0].attention.sliding_window = 128;
    config.n_layer_kinds = 2;
    for (int layer = 0; layer < 24; layer++)
        config.layer_kind[layer] = layer % 6 != 5; // 20 with a window, 4 without
    struct plan *one = compile_stages(&config, 2, 1, NULL);
    for (int pp = 2; pp <= 4; pp++) {
        struct plan *plan = compile_stages(&config, 2, pp, NULL);
        size_t pages = 0;
        assert_int_equal(plan->kv.n_groups, one->kv.n_groups);
        for (int stage = 0; stage < pp; stage++)
            pages += kv_page_bytes(plan, 2 * stage);
        // the most even split of 5 groups of 4 leaves at most one layer's room on each stage
        assert_true(pages >= kv_page_bytes(one, 0));
        assert_true(pages <= kv_page_bytes(one, 0) + (size_t)pp * kv_layer_bytes(one, 0, 0));
        for (int layer = 0; layer < 24; layer++)
            assert_int_equal(plan->kv.windows[plan->kv.group_of[layer]] > 0, layer % 6 != 5);
        plan_free(plan);
    }
    plan_free(one);
}

static void test_too_many_ranks(void **state)
{
    (void)state;
    struct model_config config = config_of_layers(32);
    struct plan *plan = compile_stages(&config, 8, 8, NULL);
    assert_int_equal(plan_world_size(plan), 64);
    plan_free(plan);
    refuse_stages(&config, 8, 16, NULL, "a group has at most 64 ranks");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_even),        cmocka_unit_test(test_partition),
        cmocka_unit_test(test_shared_keys), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_windows),     cmocka_unit_test(test_too_many_ranks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
