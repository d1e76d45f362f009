#include "testing.h"

#include "device/kernels.h"

static void names_and_levels_match(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++)
        assert_int_equal(isa_from_name(isa_name((enum isa)isa)), isa);
    assert_int_equal(isa_from_name("bogus"), ISA_COUNT);
    assert_int_equal(isa_from_name(""), ISA_COUNT);
}

static void tables_are_whole_and_capped_by_the_machine(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        const struct kernels *kernels = kernels_for((enum isa)isa);
        assert_non_null(kernels);
        assert_non_null(kernels->matmul);
        assert_non_null(kernels->pack);
        assert_true((int)isa_from_name(kernels->isa) <= isa);
        assert_true(isa_from_name(kernels->isa) <= isa_of_machine());
    }
    assert_string_equal(kernels_for(ISA_REFERENCE)->isa, "reference");
}

static void the_fastest_order_is_tiles_for_bfloat16_on_amx_alone(void **state)
{
    (void)state;
    for (int isa = 0; isa < ISA_COUNT; isa++) {
        bool amx = isa == ISA_AMX;
        assert_int_equal(product_order_fastest((enum isa)isa, COMPUTE_BF16),
                         amx ? ORDER_TILES : ORDER_PAIRS);
        assert_int_equal(product_order_fastest((enum isa)isa, COMPUTE_F16), ORDER_PAIRS);
        assert_int_equal(product_order_fastest((enum isa)isa, COMPUTE_F32), ORDER_PAIRS);
    }
    assert_int_equal(product_order_from_name("auto"), ORDER_COUNT); // no order of its own
}

static void the_environment_caps_the_level(void **state)
{
    (void)state;
    const struct kernels *kernels = NULL;
    unsetenv("COLROW_ISA");
    assert_int_equal(kernels_choose(&kernels), OK);
    assert_ptr_equal(kernels, kernels_for(isa_of_machine()));
    setenv("COLROW_ISA", "", 1);
    assert_int_equal(kernels_choose(&kernels), OK);
    assert_ptr_equal(kernels, kernels_for(isa_of_machine()));
    setenv("COLROW_ISA", "reference", 1);
    assert_int_equal(kernels_choose(&kernels), OK);
    assert_string_equal(kernels->isa, "reference");
}

static void an_unknown_level_is_refused_with_the_names(void **state)
{
    (void)state;
    const struct kernels *kernels = NULL;
    setenv("COLROW_ISA", "bogus", 1);
    assert_int_equal(kernels_choose(&kernels), ERR_INPUT);
    assert_null(kernels);
    assert_non_null(strstr(status_message(), "bogus"));
    for (int isa = 0; isa < ISA_COUNT; isa++)
        assert_non_null(strstr(status_message(), isa_name((enum isa)isa)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_levels_match),
        cmocka_unit_test(tables_are_whole_and_capped_by_the_machine),
        cmocka_unit_test(the_fastest_order_is_tiles_for_bfloat16_on_amx_alone),
        cmocka_unit_test(the_environment_caps_the_level),
        cmocka_unit_test(an_unknown_level_is_refused_with_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
