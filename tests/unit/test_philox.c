#include "testing.h"

#include "engine/philox.h"

// Known answers of the authors' Random123 (tests/kat_vectors, philox4x32 10).
static void known_answers(void **state)
{
    (void)state;
    const struct {
        struct philox counter;
        uint64_t key;
        struct philox expected;
    } cases[] = {
        {{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}},
         0xffffffffffffffff,
         {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         0x299f31d0a4093822,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct philox out = philox4x32(cases[i].counter, cases[i].key);
        assert_memory_equal(&out, &cases[i].expected, sizeof out);
    }
}

static void every_argument_counts(void **state)
{
    (void)state;
    uint64_t base = philox_token_bits(1, 0, 5);
    assert_true(base == philox_token_bits(1, 0, 5));
    assert_true(base != philox_token_bits(2, 0, 5));
    assert_true(base != philox_token_bits(1 + (1ull << 32), 0, 5));
    assert_true(base != philox_token_bits(1, 1, 5));
    assert_true(base != philox_token_bits(1, 0, 6));
    assert_true(base != philox_token_bits(1, 0, 5 + (1ull << 32)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_answers),
        cmocka_unit_test(every_argument_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
