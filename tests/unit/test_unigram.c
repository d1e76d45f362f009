#include "testing.h"

#include "text/unigram.h"

static void check(enum status status)
{
    if (status != OK)
        printf("%s\n", status_message());
    assert_int_equal(status, OK);
}

struct piece {
    const char *text;
    double score;
};

static void build(struct unigram *unigram, const struct piece *pieces, size_t n, int32_t unk_id,
                  bool byte_fallback)
{
    unigram_init(unigram);
    for (size_t i = 0; i < n; i++)
        check(unigram_add_piece(unigram, "test", pieces[i].text, strlen(pieces[i].text),
                                pieces[i].score));
    unigram->unk_id = unk_id;
    unigram->byte_fallback = byte_fallback;
    check(unigram_pieces_end(unigram, "test"));
}

static enum status encode(const struct unigram *unigram, const char *word, size_t length,
                          struct token_ids *ids)
{
    struct unigram_run run;
    unigram_run_init(&run, unigram, ids);
    enum status status = unigram_run_word(&run, word, length);
    unigram_run_fini(&run);
    return status;
}

static void expect(const struct unigram *unigram, const char *word, size_t n, const int32_t *wanted)
{
    struct token_ids ids;
    token_ids_init(&ids);
    check(encode(unigram, word, strlen(word), &ids));
    assert_int_equal(ids.n, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(ids.ids[i], wanted[i]);
    token_ids_fini(&ids);
}
#define EXPECT(unigram, word, ...)                                                                 \
    expect(unigram, word, sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                      \
           (int32_t[]){__VA_ARGS__})

static void the_best_pieces_are_found(void **state)
{
    static const struct piece pieces[] = {{"<unk>", 0}, {"a", 0},    {"b", 0},  {"c", 0},
                                          {"d", 0},     {"cd", 1},   {"ab", 2}, {"abc", 5},
                                          {"abcd", 10}, {"xy", -50}, {"ab", -1}};
    struct unigram unigram;
    (void)state;
    build(&unigram, pieces, 9, 0, false);
    EXPECT(&unigram, "abcd", 8);
    EXPECT(&unigram, "abcdacdxx", 8, 1, 5, 0);
    EXPECT(&unigram,
           "x\xC3\xA9"
           "ab",
           0, 6);
    EXPECT(&unigram, "<unk>x", 0); // the unknown token's own text is unknown text
    expect(&unigram, "", 0, NULL);
    unigram_fini(&unigram);
    build(&unigram, pieces, 11, 0, false);
    EXPECT(&unigram, "xy", 9);        // two unknown characters that are a token together
    EXPECT(&unigram, "aab", 1, 1, 2); // "ab" is the later one, which is worse
    unigram_fini(&unigram);
}

static void unknown_characters_become_bytes(void **state)
{
    static const struct piece pieces[] = {
        {"<0xC3>", 0}, {"<0xA9>", 0}, {"a", -1}, {"<unk>", 0}, {"<0x62>", 0}};
    struct unigram unigram;
    struct token_ids ids;
    (void)state;
    build(&unigram, pieces, 5, 3, true);
    EXPECT(&unigram,
           "a\xC3\xA9"
           "a",
           2, 0, 1, 2);
    EXPECT(&unigram, "b\xC3\xA9", 4, 0, 1);
    EXPECT(&unigram,
           "\xC3\xA9"
           "c",
           3); // "c" has no byte: all that is unknown here is one token
    unigram_fini(&unigram);
    build(&unigram, pieces, 3, -1, true);
    token_ids_init(&ids);
    assert_int_equal(encode(&unigram, "ac", 2, &ids), ERR_INPUT);
    assert_non_null(strstr(status_message(), "\"c\""));
    token_ids_fini(&ids);
    unigram_fini(&unigram);
}

// The same without deciding anything before the end: all ways to all places.
static size_t reference(const struct piece *pieces, size_t n, const char *word, size_t length,
                        int32_t *out)
{
    double best[64];
    int32_t last[64];
    size_t from[64], count = 0;
    assert_true(length < 64);
    for (size_t i = 1; i <= length; i++)
        from[i] = SIZE_MAX;
    best[0] = 0;
    for (size_t at = 0; at < length; at++) {
        for (size_t size = 1; at + size <= length; size++) {
            for (size_t p = 0; p < n; p++) {
                if (strlen(pieces[p].text) != size || memcmp(pieces[p].text, word + at, size) != 0)
                    continue;
                double sum = pieces[p].score + best[at];
                if (from[at + size] != SIZE_MAX && !(sum > best[at + size]))
                    continue;
                best[at + size] = sum;
                from[at + size] = at;
                last[at + size] = (int32_t)p;
            }
        }
    }
    for (size_t at = length; at > 0; at = from[at])
        out[count++] = last[at];
    for (size_t i = 0; i < count / 2; i++) {
        int32_t swap = out[i];
        out[i] = out[count - 1 - i];
        out[count - 1 - i] = swap;
    }
    return count;
}

static void deciding_early_changes_nothing(void **state)
{
    static const char *const texts[] = {"a",   "b",    "c",   "ab",   "bc",    "ca",  "abc",
                                        "cab", "bcab", "aab", "abab", "cabca", "bbb", "aaaaaa"};
    enum { N = sizeof texts / sizeof *texts };
    uint32_t random = 7;
    (void)state;
    for (int round = 0; round < 200; round++) {
        struct piece pieces[N];
        struct unigram unigram;
        for (size_t i = 0; i < N; i++) {
            random = random * 1664525 + 1013904223;
            pieces[i] = (struct piece){texts[i], -(double)(random >> 28)}; // many sums are equal
        }
        build(&unigram, pieces, N, -1, false);
        for (int k = 0; k < 10; k++) {
            char word[64] = "";
            int32_t wanted[64];
            size_t length = 1 + (random >> 16) % 50;
            for (size_t i = 0; i < length; i++) {
                random = random * 1664525 + 1013904223;
                word[i] = (char)('a' + (random >> 24) % 3);
            }
            expect(&unigram, word, reference(pieces, N, word, length, wanted), wanted);
        }
        unigram_fini(&unigram);
    }
}

static void a_long_word_needs_little_memory(void **state)
{
    static const struct piece pieces[] = {{"<unk>", 0}, {"a", -2}, {"aa", -3}, {" ", -1}};
    enum { LENGTH = 1 << 20 };
    struct unigram unigram;
    struct unigram_run run;
    struct token_ids ids;
    char *word = malloc(LENGTH);
    (void)state;
    assert_non_null(word);
    for (size_t i = 0; i < LENGTH; i++)
        word[i] = i % 8 == 7 ? ' ' : 'a';
    build(&unigram, pieces, 4, 0, false);
    token_ids_init(&ids);
    unigram_run_init(&run, &unigram, &ids);
    check(unigram_run_word(&run, word, LENGTH));
    assert_int_equal(ids.n, LENGTH / 8 * 5);
    assert_true(run.capacity < 64);
    unigram_run_fini(&run);
    token_ids_fini(&ids);
    unigram_fini(&unigram);
    free(word);
}

static enum status build_and_encode(struct token_ids *ids)
{
    struct unigram unigram;
    unigram_init(&unigram);
    enum status status;
    TRY_DONE(unigram_add_piece(&unigram, "test", "<unk>", 5, 0));
    TRY_DONE(unigram_add_piece(&unigram, "test", "ab", 2, -1));
    unigram.unk_id = 0;
    TRY_DONE(unigram_pieces_end(&unigram, "test"));
    status = encode(&unigram, "abab?", 5, ids);
done:
    unigram_fini(&unigram);
    return status;
}

static void lack_of_memory_is_a_sentence(void **state)
{
    struct token_ids ids;
    long n = 0;
    enum status status;
    (void)state;
    do {
        token_ids_init(&ids);
        memory_fail_after(++n);
        status = build_and_encode(&ids);
        memory_fail_after(0);
        assert_true(status == OK || status == ERR_MEMORY);
        if (status == OK)
            assert_int_equal(ids.n, 3);
        token_ids_fini(&ids);
    } while (status != OK);
    assert_true(n > 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_pieces_are_found),
        cmocka_unit_test(unknown_characters_become_bytes),
        cmocka_unit_test(deciding_early_changes_nothing),
        cmocka_unit_test(a_long_word_needs_little_memory),
        cmocka_unit_test(lack_of_memory_is_a_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
