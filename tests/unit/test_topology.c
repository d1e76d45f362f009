#include "testing.h"

#include "device/topology.h"

static struct topology machine(int cores)
{
    struct topology t = {.n_cores = cores, .n_packages = 1, .n_numa = 1, .n_caches = 1};
    for (int i = 0; i < cores; i++)
        t.cores[i].cpu = 100 + i;
    return t;
}

static void cores_are_shared_evenly(void **state)
{
    (void)state;
    struct topology t = machine(7);
    int cpus[TOPOLOGY_CORES_MAX], seen[7] = {0}, total = 0;
    for (int r = 0; r < 3; r++) {
        int n = topology_share(&t, r, 3, 0, cpus);
        assert_in_range(n, 2, 3);
        for (int i = 0; i < n; i++)
            seen[cpus[i] - 100]++;
        total += n;
    }
    assert_int_equal(total, 7);
    for (int i = 0; i < 7; i++)
        assert_int_equal(seen[i], 1);
}

static void more_ranks_than_cores_take_turns(void **state)
{
    (void)state;
    struct topology t = machine(2);
    int cpus[TOPOLOGY_CORES_MAX];
    for (int r = 0; r < 8; r++) {
        assert_int_equal(topology_share(&t, r, 8, 0, cpus), 1);
        assert_int_equal(cpus[0], 100 + r % 2);
    }
}

static void threads_may_be_told(void **state)
{
    (void)state;
    struct topology t = machine(4);
    int cpus[TOPOLOGY_CORES_MAX];
    assert_int_equal(topology_share(&t, 1, 2, 1, cpus), 1);
    assert_int_equal(cpus[0], 102);
    assert_int_equal(topology_share(&t, 0, 1, 6, cpus), 6);
    assert_int_equal(cpus[4], 100);
}

static void this_machine_has_a_core(void **state)
{
    (void)state;
    struct topology t;
    assert_int_equal(topology_read(&t), OK);
    assert_true(t.n_cores >= 1);
    char text[65536] = {0};
    FILE *file = fmemopen(text, sizeof text - 1, "w");
    topology_print(&t, 1, 0, file);
    fclose(file);
    assert_non_null(strstr(text, "rank 0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cores_are_shared_evenly),
        cmocka_unit_test(more_ranks_than_cores_take_turns),
        cmocka_unit_test(threads_may_be_told),
        cmocka_unit_test(this_machine_has_a_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
