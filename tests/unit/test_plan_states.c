// How layers with a state are cut (docs/numerics.md section 12): by heads and their groups, or by
// channels; and what each rank keeps of a sequence.
#include "testing.h"

#include "model/plan_build.h"
#include "model/state_layout.h"

#define SIZES                                                                                      \
    "\"hidden_size\": 48, \"num_hidden_layers\": 2, \"num_attention_heads\": 8, "                  \
    "\"num_key_value_heads\": 8, \"head_dim\": 8, \"vocab_size\": 100, \"intermediate_size\": 64"
#define GRANITE                                                                                    \
    "{\"model_type\": \"granitemoehybrid\", " SIZES ", \"num_local_experts\": 0, "                 \
    "\"shared_intermediate_size\": 64, \"mamba_n_heads\": 6, \"mamba_n_groups\": 2, "              \
    "\"mamba_d_state\": 5, \"mamba_expand\": 2}"

static struct plan *plan_of(const char *text, int n_ranks)
{
    struct model_config config;
    struct plan *plan = NULL;
    const struct plan_options options = {.n_ranks = n_ranks, .compute = COMPUTE_F32};
    assert_int_equal(model_config_parse("config.json", text, strlen(text), &config), OK);
    if (plan_compile(&config, &options, &plan) != OK)
        return NULL;
    return plan;
}

static void assert_range(struct range range, int begin, int end)
{
    assert_int_equal(range.begin, begin);
    assert_int_equal(range.end, end);
}

static void groups_are_whole_where_they_can(void **state)
{
    (void)state;
    struct plan *plan = plan_of(GRANITE, 2);
    assert_non_null(plan);
    const struct cut *cut = plan_cut_of(plan, 0, 0);
    assert_range(cut->shares[1].heads, 3, 6);
    assert_range(cut->shares[1].kv_heads, 1, 2);
    assert_range(cut->shares[1].dims[DIM_MAMBA], 48, 96);
    assert_range(cut->shares[1].dims[DIM_MAMBA_GROUPS], 5, 10);
    assert_false(plan_shares_groups(plan, cut));
    plan_free(plan);
}

// Each rank computes the B and C that its heads read; the norm over a group asks the others.
static void a_group_is_shared_where_ranks_are_many(void **state)
{
    (void)state;
    struct plan *plan = plan_of(GRANITE, 6);
    assert_non_null(plan);
    const struct cut *cut = plan_cut_of(plan, 1, 0);
    for (int rank = 0; rank < 6; rank++) {
        assert_range(cut->shares[rank].heads, rank, rank + 1);
        assert_range(cut->shares[rank].kv_heads, rank / 3, rank / 3 + 1);
        const struct state_units units = state_units_on(plan, rank, 1);
        assert_int_equal(units.heads, 1);
        assert_int_equal(units.groups, 1);
        // three inputs of the convolution's four taps, and 5 rows of the state, of 16 numbers each
        assert_int_equal(units.head_bytes, (3 + 5) * 16 * sizeof(float));
        assert_int_equal(units.group_bytes, 2 * 3 * 5 * sizeof(float));
    }
    assert_true(plan_shares_groups(plan, cut));
    plan_free(plan);
}

static void too_many_ranks_are_refused(void **state)
{
    (void)state;
    assert_null(plan_of(GRANITE, 7));
    if (!strstr(status_message(), "Mamba has 6 heads, of which each rank needs one of its own; "
                                  "valid sizes: 1, 2, 3, 4, 5, 6"))
        print_error("%s\n", status_message());
    assert_non_null(strstr(status_message(), "Mamba has 6 heads, of which each rank needs one of "
                                             "its own; valid sizes: 1, 2, 3, 4, 5, 6"));
}

static void channels_are_cut_in_units(void **state)
{
    (void)state;
    assert_int_equal(convolution_unit(2048), 32);
    assert_int_equal(convolution_unit(2560), 32);
    assert_int_equal(convolution_unit(64), 2);
    assert_int_equal(convolution_unit(50), 2);
    struct plan *plan = plan_of("{\"model_type\": \"lfm2\", " SIZES
                                ", \"layer_types\": [\"conv\", \"conv\"], \"conv_L_cache\": 3}",
                                8);
    assert_non_null(plan);
    const struct cut *cut = plan_cut_of(plan, 0, 0);
    for (int rank = 0; rank < 8; rank++) {
        assert_range(cut->shares[rank].dims[DIM_CHANNELS], 6 * rank, 6 * rank + 6);
        assert_int_equal(state_units_on(plan, rank, 0).heads, 3);
        assert_int_equal(state_units_on(plan, rank, 0).head_bytes, 2 * 2 * sizeof(float));
    }
    plan_free(plan);
}

static void one_rank_keeps_all(void **state)
{
    (void)state;
    struct plan *plan = plan_of(GRANITE, 1);
    assert_non_null(plan);
    assert_range(plan_cut_of(plan, 0, 0)->shares[0].heads, 0, 6);
    assert_range(plan_cut_of(plan, 0, 0)->shares[0].kv_heads, 0, 2);
    // of two layers; units are aligned
    assert_int_equal(state_bytes(plan, 0), 2 * (6 * 512 + 2 * 128));
    plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_whole_where_they_can),
        cmocka_unit_test(a_group_is_shared_where_ranks_are_many),
        cmocka_unit_test(too_many_ranks_are_refused),
        cmocka_unit_test(channels_are_cut_in_units),
        cmocka_unit_test(one_rank_keeps_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
