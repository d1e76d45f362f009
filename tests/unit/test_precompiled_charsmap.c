#include "testing.h"

#include "text/grapheme.h"
#include "text/precompiled_charsmap.h"

static void check(enum status status)
{
    if (status != OK)
        printf("%s\n", status_message());
    assert_int_equal(status, OK);
}

// A double array that knows "x" alone and leads it to the text at `value`; of its units only those
// that "x" goes through are filled.
static void make_map(struct precompiled_charsmap *map, uint32_t value, const char *texts,
                     size_t length)
{
    enum { UNITS = 512, BASE = 1, NODE = BASE ^ 'x', LEAF = 256 };
    static uint32_t file[1 + UNITS + 4];
    file[0] = UNITS * sizeof *file;
    file[1] = BASE << 10;
    file[1 + NODE] = (NODE ^ LEAF) << 10 | 1 << 8 | 'x';
    file[1 + LEAF] = value | 1u << 31;
    memcpy(file + 1 + UNITS, texts, length);
    *map = (struct precompiled_charsmap){0};
    check(precompiled_charsmap_read(map, "test", (const char *)file,
                                    (1 + UNITS) * sizeof *file + length));
}

static void expect_map(const struct precompiled_charsmap *map, const char *text, const char *wanted,
                       size_t start, size_t start_wanted)
{
    struct bytes out;
    bytes_init(&out);
    check(precompiled_charsmap_apply(map, text, strlen(text), &start, &out));
    assert_string_equal(out.data ? out.data : "", wanted);
    assert_int_equal(start, start_wanted);
    bytes_fini(&out);
}

static void short_clusters_are_mapped_as_one(void **state)
{
    struct precompiled_charsmap map;
    (void)state;
    make_map(&map, 2, "a\0yyy\0z", 7);
    expect_map(&map, "", "", 0, 0);
    expect_map(&map, "abc", "abc", 1, 1);
    expect_map(&map, "axbx", "ayyybyyy", 1, 1);
    expect_map(&map, "xb", "yyyb", 1, 3);
    // What is found is the begin of the cluster: the accent goes with it, and the second "y" is
    // booked on it.
    expect_map(&map, "x\xCC\x81z", "yyyz", 1, 1);
    // Six bytes are too many.
    expect_map(&map, "x\xCC\x81\xCC\x81\xCC\x81", "yyy\xCC\x81\xCC\x81\xCC\x81", 1, 3);
    precompiled_charsmap_fini(&map);
    make_map(&map, 1, "a\0yyy\0z", 7); // nothing is a text too
    expect_map(&map, "axb", "ab", 1, 1);
    expect_map(&map, "xab", "ab", 1, 1); // "a" is booked on the place of "x", as in `tokenizers`
    precompiled_charsmap_fini(&map);
}

static void a_map_that_leads_nowhere_is_refused(void **state)
{
    static const uint32_t values[] = {8, 1000, (1u << 31) - 1, 1};
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        struct precompiled_charsmap map;
        struct bytes out;
        size_t start = 0;
        make_map(&map, values[i], i < 3 ? "a\0yyy\0z" : "\xC3\xA9\0yyyy", 7);
        bytes_init(&out);
        check(precompiled_charsmap_apply(&map, "abc", 3, &start, &out));
        assert_int_equal(precompiled_charsmap_apply(&map, "ax", 2, &start, &out), ERR_INPUT);
        assert_non_null(strstr(status_message(), "\"x\""));
        bytes_fini(&out);
        precompiled_charsmap_fini(&map);
    }
}

static void clusters_are_what_readers_see(void **state)
{
    static const struct {
        const char *text;
        size_t length;
    } cases[] = {
        {"a", 1},
        {"ab", 1},
        {"\r\n", 2},
        {"\n\r", 1},
        {"\r\xCC\x81", 1},                                       // nothing joins a line end
        {"e\xCC\x81\xCC\x82x", 5},                               // two accents
        {"\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8\xE1\x84\x80", 9}, // L V T | L
        {"\xEA\xB0\x80\xE1\x86\xA8", 6},                         // LV T
        {"\xEA\xB0\x81\xE1\x85\xA1", 3},                         // LVT | V
        {"\xF0\x9F\x87\xA9\xF0\x9F\x87\xAA\xF0\x9F\x87\xAB", 8}, // two flag letters | a third
        {"\xC2\xA9\xE2\x80\x8D\xC2\xAE"
         "x",
         7},                                                     // pictographs around ZWJ
        {"a\xE2\x80\x8D\xC2\xAE", 4},                            // a letter is no pictograph
        {"\xE0\xA4\x95\xE0\xA5\x8D\xE0\xA4\xB7\xE0\xA4\xB7", 9}, // a conjunct | a consonant
        {"\xE0\xA4\x95\xE0\xA4\xB7", 3},                         // no linker between
        {"\xD8\x80x", 3},                                        // a prepended sign
        {"\xE2\x80\x8B\xCC\x81", 3},                             // a control character
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(grapheme_length(cases[i].text, strlen(cases[i].text)), cases[i].length);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_clusters_are_mapped_as_one),
        cmocka_unit_test(a_map_that_leads_nowhere_is_refused),
        cmocka_unit_test(clusters_are_what_readers_see),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
