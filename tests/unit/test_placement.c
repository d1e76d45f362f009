#include "testing.h"

#include "model/placement.h"

static const struct placement replicate = {PLACE_REPLICATE, 0}, rows = {PLACE_SHARD, 0},
                              columns = {PLACE_SHARD, 1}, partial = {PLACE_PARTIAL, 0};

enum { REFUSED = -1 };

// The table of the design, every pair.
static void test_every_pair(void **state)
{
    (void)state;
    const struct placement all[] = {replicate, rows, columns, partial};
    const int table[4][4] = {
        // need: replicate            rows                 columns              partial
        {EDGE_NOTHING, EDGE_SLICE, EDGE_SLICE, REFUSED},                      // have replicate
        {EDGE_ALL_GATHER, EDGE_NOTHING, REFUSED, REFUSED},                    // rows
        {EDGE_ALL_GATHER, REFUSED, EDGE_NOTHING, REFUSED},                    // columns
        {EDGE_ALL_REDUCE, EDGE_REDUCE_SCATTER, EDGE_REDUCE_SCATTER, REFUSED}, // partial
    };
    for (int have = 0; have < 4; have++)
        for (int need = 0; need < 4; need++) {
            enum edge_action action = EDGE_NOTHING;
            status_clear();
            enum status status = placement_action(all[have], all[need], &action);
            if (table[have][need] == REFUSED) {
                assert_int_equal(status, ERR_INPUT);
                assert_non_null(strstr(status_message(), placement_name(all[have])));
                assert_non_null(strstr(status_message(), placement_name(all[need])));
            } else {
                assert_int_equal(status, OK);
                assert_int_equal(action, table[have][need]);
            }
        }
}

// What `dim` says matters to shards alone.
static void test_dim_of_others(void **state)
{
    (void)state;
    enum edge_action action;
    const struct placement odd = {PLACE_REPLICATE, 1};
    assert_int_equal(placement_action(odd, replicate, &action), OK);
    assert_int_equal(action, EDGE_NOTHING);
}

static void test_names(void **state)
{
    (void)state;
    assert_string_equal(placement_name(replicate), "replicate");
    assert_string_equal(placement_name(rows), "shard(0)");
    assert_string_equal(placement_name(columns), "shard(1)");
    assert_string_equal(placement_name(partial), "partial");
    assert_string_equal(edge_action_name(EDGE_NOTHING), "nothing");
    assert_string_equal(edge_action_name(EDGE_SLICE), "slice");
    assert_string_equal(edge_action_name(EDGE_ALL_GATHER), "all-gather");
    assert_string_equal(edge_action_name(EDGE_ALL_REDUCE), "all-reduce");
    assert_string_equal(edge_action_name(EDGE_REDUCE_SCATTER), "reduce-scatter");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pair),
        cmocka_unit_test(test_dim_of_others),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
