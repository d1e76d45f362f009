#include "testing.h"

#include "engine/stop_text.h"

// Feeds `text` in pieces of `piece` bytes; `out` is a new string.
static int feed(const char *const *stops, int n, int include, const char *text, size_t piece,
                char *out)
{
    struct stop_text stop;
    struct bytes all;
    bytes_init(&all);
    struct stop_string strings[3];
    for (int i = 0; i < n; i++)
        strings[i] = (struct stop_string){stops[i], strlen(stops[i])};
    stop_text_init(&stop, strings, n, include);
    size_t length = strlen(text);
    for (size_t i = 0; i < length; i += piece)
        assert_int_equal(
            stop_text_add(&stop, text + i, length - i < piece ? length - i : piece, true, &all),
            OK);
    assert_int_equal(stop_text_flush(&stop, &all), OK);
    strcpy(out, all.data ? all.data : "");
    int found = stop.found;
    stop_text_fini(&stop);
    bytes_fini(&all);
    return found;
}

static void text_is_cut_however_it_arrives(void **state)
{
    (void)state;
    const struct {
        const char *stops[3];
        int n;
        const char *text, *without, *with;
        int found;
    } cases[] = {
        {{"END"}, 1, "one END two", "one ", "one END", 0},
        {{"END"}, 1, "one EN", "one EN", "one EN", -1},
        {{"END"}, 1, "one ENEND", "one EN", "one ENEND", 0},
        {{"\n\n", "Q:"}, 2, "a\nb\n\nQ: c", "a\nb", "a\nb\n\n", 0},
        {{"xaby", "ab"}, 2, "-xaby-", "-x", "-xab", 1}, // "ab" is complete first
        {{"b", "ab"}, 2, "xab", "x", "xab", 1},         // complete together: the longer
        {{"aab"}, 1, "aaab", "a", "aaab", 0},
        {{"abcabd"}, 1, "abcabcabd!", "abc", "abcabcabd", 0},
        {{"é"}, 1, "caf\xc3\xa9s", "caf", "caf\xc3\xa9", 0},
        {{"x"}, 1, "", "", "", -1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        for (size_t piece = 1; piece < 12; piece++) {
            char out[64];
            assert_int_equal(feed(cases[c].stops, cases[c].n, 0, cases[c].text, piece, out),
                             cases[c].found);
            assert_string_equal(out, cases[c].without);
            assert_int_equal(feed(cases[c].stops, cases[c].n, 1, cases[c].text, piece, out),
                             cases[c].found);
            assert_string_equal(out, cases[c].with);
        }
}

static void only_what_may_become_a_stop_is_held(void **state)
{
    (void)state;
    const struct stop_string stops[] = {{"STOP", 4}};
    struct stop_text stop;
    struct bytes out;
    bytes_init(&out);
    stop_text_init(&stop, stops, 1, false);
    assert_int_equal(stop_text_add(&stop, "go S", 4, true, &out), OK);
    assert_string_equal(out.data, "go ");
    assert_int_equal(stop_text_add(&stop, "TO", 2, true, &out), OK);
    assert_string_equal(out.data, "go ");
    assert_int_equal(stop_text_add(&stop, "NE", 2, true, &out), OK);
    assert_string_equal(out.data, "go STONE");
    stop_text_fini(&stop);
    bytes_fini(&out);
}

static void before_min_tokens_nothing_stops(void **state)
{
    (void)state;
    const struct stop_string stops[] = {{"ab", 2}};
    struct stop_text stop;
    struct bytes out;
    bytes_init(&out);
    stop_text_init(&stop, stops, 1, false);
    assert_int_equal(stop_text_add(&stop, "ab a", 4, false, &out), OK);
    assert_int_equal(stop.found, -1);
    assert_string_equal(out.data, "ab ");
    assert_int_equal(stop_text_add(&stop, "b c", 3, true, &out), OK);
    assert_int_equal(stop.found, 0);
    assert_string_equal(out.data, "ab ");
    stop_text_fini(&stop);
    bytes_fini(&out);
}

static void a_nul_is_a_character(void **state)
{
    (void)state;
    const struct stop_string stops[] = {{"a\0b", 3}, {"\0\0", 2}};
    struct stop_text stop;
    struct bytes out;
    bytes_init(&out);
    stop_text_init(&stop, stops, 2, true);
    assert_int_equal(stop_text_add(&stop, "xa\0", 3, true, &out), OK);
    assert_int_equal(out.length, 1);
    assert_int_equal(stop_text_add(&stop, "c\0", 2, true, &out), OK);
    assert_int_equal(stop_text_add(&stop, "a\0bd", 4, true, &out), OK);
    assert_int_equal(stop.found, 0);
    assert_int_equal(out.length, 8);
    assert_memory_equal(out.data, "xa\0c\0a\0b", 8);
    stop_text_fini(&stop);
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cut_however_it_arrives),
        cmocka_unit_test(only_what_may_become_a_stop_is_held),
        cmocka_unit_test(a_nul_is_a_character),
        cmocka_unit_test(before_min_tokens_nothing_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
