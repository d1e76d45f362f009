// Every character against every class, as Oniguruma has it (tools/make_regex_classes.py).
#include "tokenizer_vectors.h"

#include <stdlib.h>

#include "text/pattern.h"
#include "text/regex_class.h"
#include "text/unicode.h"

enum { N_CODES = 0x110000 };

// All characters, or those alone that are not young; `codes` is who they are.
struct alphabet {
    struct bytes text;
    uint32_t *codes;
    uint32_t *ends; // in `text`
    size_t n;
};

static void make_alphabet(struct alphabet *alphabet, bool young)
{
    bytes_init(&alphabet->text);
    alphabet->n = 0;
    must(memory_new(N_CODES, sizeof *alphabet->codes, "codes", &alphabet->codes));
    must(memory_new(N_CODES, sizeof *alphabet->ends, "codes", &alphabet->ends));
    for (uint32_t code = 0; code < N_CODES; code++) {
        char put[UTF8_BYTES_MAX];
        if ((code >= 0xD800 && code <= 0xDFFF) || (!young && regex_class_is_young(code)))
            continue;
        must(bytes_append(&alphabet->text, put, utf8_put(code, put)));
        alphabet->ends[alphabet->n] = (uint32_t)alphabet->text.length;
        alphabet->codes[alphabet->n++] = code;
    }
}

static void free_alphabet(struct alphabet *alphabet)
{
    bytes_fini(&alphabet->text);
    free(alphabet->codes);
    free(alphabet->ends);
}

// Sets found[code] for every character that the expression matches.
static void find(const char *expression, const struct alphabet *alphabet, bool *found)
{
    struct pattern *pattern;
    struct pattern_walk walk;
    char many[512];
    size_t index = 0;
    snprintf(many, sizeof many, "(?:%s)++", expression);
    must(pattern_regex(expression, many, strlen(many), &pattern));
    must(pattern_walk_init(&walk, pattern));
    pattern_walk_begin(&walk, alphabet->text.data, alphabet->text.length);
    for (;;) {
        bool more;
        must(pattern_walk_next(&walk, &more));
        size_t end = more ? walk.end : alphabet->text.length;
        for (; index < alphabet->n && alphabet->ends[index] <= end; index++)
            found[alphabet->codes[index]] = more && alphabet->ends[index] > walk.begin;
        if (!more)
            break;
    }
    pattern_walk_fini(&walk);
    pattern_free(pattern);
}

static uint64_t add_number(uint64_t hash, uint32_t number)
{
    for (int shift = 0; shift < 24; shift += 8)
        hash = (hash ^ (number >> shift & 255)) * 0x100000001B3u;
    return hash;
}

// Of the ranges of characters found; surrogates do not interrupt one.
static uint64_t hash_found(const bool *found, size_t *n)
{
    uint64_t hash = 0xCBF29CE484222325u;
    *n = 0;
    uint32_t begin = 0, last = 0;
    bool inside = false;
    for (uint32_t code = 0; code <= N_CODES; code++) {
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        bool here = code < N_CODES && found[code];
        if (here && !inside)
            begin = code;
        if (!here && inside)
            hash = add_number(add_number(hash, begin), last);
        inside = here;
        last = code;
        *n += here;
    }
    return hash;
}

static void every_character_is_where_it_belongs(void **state)
{
    struct alphabet all, known;
    static bool found[N_CODES], usual[N_CODES];
    json_t *root, *item;
    size_t i, wrong = 0;
    bool scripts = false;
    (void)state;
    must(json_file(SOURCE_DIR "/tests/data/regex_classes.json", 1 << 20, &root));
    make_alphabet(&all, true);
    make_alphabet(&known, false);
    json_array_foreach(root, i, item)
    {
        const char *expression = json_string_value(json_array_get(item, 0));
        char hash[17];
        size_t n, differ = 0;
        // Categories first, then some 170 scripts up to "\w", of which a third is enough here.
        scripts =
            strcmp(expression, "\\w") != 0 && (scripts || strcmp(expression, "\\p{Adlam}") == 0);
        bool script = scripts;
        if (script && i % 3 != 0)
            continue;
        find(expression, &all, found);
        if (!script)
            find(expression, &known, usual);
        snprintf(hash, sizeof hash, "%016llx", (unsigned long long)hash_found(found, &n));
        for (size_t k = 0; k < known.n && !script; k++)
            differ += usual[known.codes[k]] != found[known.codes[k]];
        bool same = strcmp(hash, json_string_value(json_array_get(item, 2))) == 0;
        if (!same || differ)
            printf("%s: %zu characters, expected %lld; %zu differ without young ones\n", expression,
                   n, (long long)json_integer_value(json_array_get(item, 1)), differ);
        wrong += !same || differ;
    }
    assert_true(i >= 100);
    assert_int_equal(wrong, 0);
    json_decref(root);
    free_alphabet(&all);
    free_alphabet(&known);
}

// What PCRE2 would read in another way: cuts as tokenizers 0.23.3 makes them.
static void syntax_is_onigurumas(void **state)
{
    static const struct {
        const char *regex, *text, *matches; // joined by "|"
    } cases[] = {
        {"a(?i)b|c", "aB aC c C ab", "aB|aC|ab"},
        {"a{,2}", "aaaa", "aa|aa"},
        {"a{1,2}+", "aaaa", "aaaa"},
        {"a**", "aaa", "aaa"},
        {"a{x", "a{x", "a{x"},
        {"(?m).", "a\nb", "a|\n|b"},
        {".", "a\nb\r", "a|b|\r"},
        {"\\v", "\x0b\n\xC2\x85", "\x0b"},
        {"\\h+", "12abz", "12ab"},
        {"[]a]", "]a", "]|a"},
        {"[a-c-e]", "abcde-", "a|b|c|e|-"},
        {"[^a&&b]", "ab", "a|b"},
        {"[a&&]", "a&", ""},
        {"[a[bc]]+", "abcd", "abc"},
        {"[[:^alpha:]]", "a1", "1"},
        {"\\p{ l e_t-ter }", "a1", "a"},
        {"\\p{^L}", "a1", "1"},
        {"\\pL", "pLab", "pL"},
        {"\\q", "q", "q"},
        {"\\x41\\x{42}\\u0043\\o{104}", "ABCD", "ABCD"},
        {"\\xE4\\xB8\\xAD+", "a\xE4\xB8\xAD\xE4\xB8\xAD", "\xE4\xB8\xAD\xE4\xB8\xAD"},
        {"[\\xC3\\xA0-\\xC3\\xBF]", "\xC3\xA9\xC2\xA9", "\xC3\xA9"},
        {"\\x{E9}", "\xC3\xA9", "\xC3\xA9"},
        {"\\xz", "xz", "xz"},
        {"(?x) a b # c", "ab", "ab"},
        {"(?#c)a", "a", "a"},
        {"(?<n>a)", "a", "a"},
        {"\\w", "a\xC2\xB2 ", "a|\xC2\xB2"},
        {"[\\w]", "a\xC2\xB2 ", "a"},
        {"\\b\xC3\xA9", "\xC3\xA9 a\xC3\xA9", "\xC3\xA9"},
        {"(?i)[[:alpha:]]", "aA1", "a|A"},
        {"(?i:'s)", "'S '\xC5\xBF", "'S|'\xC5\xBF"},
        {"(?i:a)b", "AB Ab", "Ab"},
        {"\\R", "\r\n\xC2\x85", "\r\n|\xC2\x85"},
        {"\xE2\x84\xAA", "k\xE2\x84\xAA", "\xE2\x84\xAA"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pattern *pattern;
        struct pattern_walk walk;
        struct bytes joined;
        bool found;
        bytes_init(&joined);
        must(bytes_text(&joined, ""));
        must(pattern_regex("x", cases[i].regex, strlen(cases[i].regex), &pattern));
        must(pattern_walk_init(&walk, pattern));
        pattern_walk_begin(&walk, cases[i].text, strlen(cases[i].text));
        for (;;) {
            must(pattern_walk_next(&walk, &found));
            if (!found)
                break;
            if (walk.begin == walk.end)
                continue;
            if (joined.length > 0)
                must(bytes_text(&joined, "|"));
            must(bytes_append(&joined, walk.text + walk.begin, walk.end - walk.begin));
        }
        assert_string_equal(joined.data, cases[i].matches);
        pattern_walk_fini(&walk);
        pattern_free(pattern);
        bytes_fini(&joined);
    }
}

static void other_syntax_is_refused(void **state)
{
    static const char *const cases[][2] = {
        {"(a)\\1", "a reference to a group"},
        {"a\\Kb", "\\K"},
        {"\\X", "\\X"},
        {"\\Ga", "\\G"},
        {"(?~a)", "options"},
        {"(?(1)a|b)", "options"},
        {"(*FAIL)", "callout"},
        {"[a", "a class that is not closed"},
        {"[z-a]", "a range that is empty"},
        {"[\\d-a]", "a range that begins with a class"},
        {"[a-\\d]", "a range that ends"},
        {"[[:foo:]]", "begins no POSIX class"},
        {"\\p{Foo}", "the property \"Foo\""},
        {"(", "a group that is not closed"},
        {")", "closes nothing"},
        {"*a", "a repetition of nothing"},
        {"(?=a)*", "has no length"},
        {"a{2,1}", "n above m"},
        {"(?i)ss", "another number"},
        {"(?i)[\xC3\x9F]", "another number"},
        {"(?i)[\\p{Lu}]", "this property"},
        {"(?<=a+)d", "lookbehind"},
        {"\\u00", "no valid number"},
        {"\\x{D800}", "no valid number"},
        {"\\x{41 42}", "several characters"},
        {"\\xE9", "no whole character"},
        {"\\xE4\\xB8a", "no whole character"},
        {"[\\x80-\\xFF]", "no whole character"},
        {"(?s).", "options"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct pattern *pattern;
        assert_int_not_equal(pattern_regex("x", cases[i][0], strlen(cases[i][0]), &pattern), OK);
        if (!strstr(status_message(), cases[i][1]))
            printf("%s: %s\n", cases[i][0], status_message());
        assert_non_null(strstr(status_message(), cases[i][1]));
    }
    char deep[1024];
    struct pattern *pattern;
    memset(deep, '(', 500);
    memset(deep + 500, ')', 500);
    assert_int_not_equal(pattern_regex("x", deep, 1000, &pattern), OK);
    memset(deep, '[', 500);
    assert_int_not_equal(pattern_regex("x", deep, 500, &pattern), OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_character_is_where_it_belongs),
                                       cmocka_unit_test(syntax_is_onigurumas),
                                       cmocka_unit_test(other_syntax_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
