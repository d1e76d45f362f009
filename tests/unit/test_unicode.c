// UTF-8 and character properties.
#include "testing.h"

#include "text/unicode.h"

static void valid_characters_survive(void **state)
{
    (void)state;
    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        char text[UTF8_BYTES_MAX + 1] = {0};
        uint32_t back, last;
        size_t bytes, at;
        if (code >= 0xD800 && code <= 0xDFFF)
            continue;
        size_t n = utf8_put(code, text);
        assert_int_equal(utf8_next(text, n, &back, &bytes), UTF8_VALID);
        assert_int_equal(back, code);
        assert_int_equal(bytes, n);
        assert_int_equal(utf8_last(text, n, &last), n);
        assert_int_equal(last, code);
        assert_true(utf8_check(text, n, &at));
        for (size_t part = 1; part < n; part++) {
            assert_int_equal(utf8_next(text, part, &back, &bytes), UTF8_INCOMPLETE);
            assert_int_equal(bytes, part);
        }
    }
}

static void lossy(const char *text, const char *expected)
{
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(utf8_append_lossy(&out, text, strlen(text)), OK);
    assert_string_equal(out.data ? out.data : "", expected);
    bytes_fini(&out);
}

#define FFFD REPLACEMENT_CHARACTER

// The examples of the Unicode standard, chapter 3.9.
static void invalid_parts_are_replaced(void **state)
{
    (void)state;
    lossy("", "");
    lossy("a\xC3\xA9", "aé");
    lossy("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
    lossy("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A");
    lossy("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B");
    lossy("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", FFFD FFFD FFFD FFFD "A");
    lossy("x\xF0\x9F\x91", "x" FFFD);
}

static void errors_are_located(void **state)
{
    size_t at;
    (void)state;
    assert_false(utf8_check("0123456789\xFF", 11, &at));
    assert_int_equal(at, 10);
    assert_false(utf8_check("0123\xC3", 5, &at));
    assert_int_equal(at, 4);
    assert_true(utf8_check("", 0, &at));
}

static void properties_hold(void **state)
{
    (void)state;
    assert_true(unicode_is_space(' ') && unicode_is_space(0x85) && unicode_is_space(0x3000));
    assert_false(unicode_is_space(0x200B) || unicode_is_space(0x180E) || unicode_is_space('a'));
    assert_true(unicode_is_number('7') && unicode_is_number(0xBD) && unicode_is_number(0x2167));
    assert_false(unicode_is_number('a') || unicode_is_number(0x4E00));
    assert_true(unicode_is_punctuation('$') && unicode_is_punctuation(0x3001) &&
                unicode_is_punctuation('`'));
    assert_false(unicode_is_punctuation('a') || unicode_is_punctuation(0x20AC));
    assert_true(unicode_is_word('_') && unicode_is_word(0xE9) && unicode_is_word(0x301) &&
                unicode_is_word(0x24B6));
    assert_false(unicode_is_word('-') || unicode_is_word(0x2014));
}

// How many characters there are, and a hash of where their runs begin and end, of the
// pre-tokenizers WhitespaceSplit, Digits, Punctuation and Whitespace of tokenizers 0.23.3.
static void properties_are_those_of_tokenizers(void **state)
{
    static const struct {
        bool (*holds)(uint32_t code);
        uint32_t n, hash;
    } cases[] = {
        {unicode_is_space, 25, 0x728ED116u},
        {unicode_is_number, 1924, 0x22632B45u},
        {unicode_is_punctuation, 726, 0x95D9A331u},
        {unicode_is_word, 144667, 0xE973892Au},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint32_t n = 0, hash = 2166136261u;
        bool before = false;
        for (uint32_t code = 1; code < 0x110000; code++) {
            bool holds = (code < 0xD800 || code > 0xDFFF) && cases[i].holds(code);
            n += holds;
            if (holds != before)
                hash = (hash ^ code) * 16777619u;
            before = holds;
        }
        assert_int_equal(n, cases[i].n);
        assert_int_equal(hash, cases[i].hash);
    }
}

static void normalizes(enum unicode_form form, const char *text, const char *expected)
{
    struct bytes out;
    bytes_init(&out);
    assert_int_equal(unicode_normalize(form, text, strlen(text), &out), OK);
    assert_string_equal(out.data, expected);
    bytes_fini(&out);
}

static void forms_are_normal(void **state)
{
    (void)state;
    normalizes(UNICODE_NFC, "e\xCC\x81\xEF\xAC\x81", "é\xEF\xAC\x81");
    normalizes(UNICODE_NFD, "é", "e\xCC\x81");
    normalizes(UNICODE_NFKC, "\xEF\xAC\x81\xEF\xBC\xA1", "fiA");
    normalizes(UNICODE_NFKD, "\xC2\xBD",
               "1\xE2\x81\x84"
               "2");
    normalizes(UNICODE_NFC, "plain", "plain");
}

static void case_is_changed(void **state)
{
    struct bytes out;
    (void)state;
    bytes_init(&out);
    assert_int_equal(unicode_lowercase("AÉİΣ", 7, &out), OK);
    assert_string_equal(out.data, "aéi\xCC\x87σ");
    bytes_fini(&out);
}

static void letters_stand_for_bytes(void **state)
{
    struct bytes out;
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        struct byte_letter letter = byte_to_letter((uint8_t)byte);
        uint32_t code;
        size_t bytes;
        assert_int_equal(utf8_next(letter.text, letter.length, &code, &bytes), UTF8_VALID);
        assert_int_equal(bytes, letter.length);
        assert_int_equal(letter_to_byte(code), byte);
    }
    assert_int_equal(letter_to_byte(' '), -1);
    assert_int_equal(letter_to_byte(0x144), -1);
    bytes_init(&out);
    assert_int_equal(byte_letters_append(&out, "a b\n\x7F\xC2\xAD", 7), OK);
    assert_string_equal(out.data, "aĠbĊġÂŃ");
    bytes_fini(&out);
}

static void texts_are_shown_short(void **state)
{
    char text[200];
    (void)state;
    assert_string_equal(text_show("a\nb\xFFz", 5), "a?b?z");
    memset(text, 'x', sizeof text);
    assert_int_equal(strlen(text_show(text, sizeof text)), 63);
    for (size_t i = 0; i < sizeof text - 1; i += 2)
        memcpy(text + i, "é", 2);
    assert_int_equal(strlen(text_show(text + 1, 150)), 62);
}

// What tokenizers 0.23 makes of them: it normalises by Unicode 12.0 and lowers by 17.
static void versions_are_those_of_tokenizers(void **state)
{
    static const struct {
        enum unicode_form form;
        const char *text, *expected;
    } cases[] = {
        {UNICODE_NFKC, "\u32FE\u32FF\u3300", "\u30F2\u32FF\u30A2\u30D1\u30FC\u30C8"},
        {UNICODE_NFKD, "\uA7F2\U0001FBF0", "\uA7F2\U0001FBF0"},
        {UNICODE_NFD, "\U00011938\u00E9", "\U00011938e\u0301"},
        {UNICODE_NFC, "\U00011935\U00011930", "\U00011935\U00011930"},
        {UNICODE_NFD, "a\u0301\u1ABF", "a\u0301\u1ABF"}, // a mark below, of Unicode 13
        {UNICODE_NFD, "a\u0301\u0323", "a\u0323\u0301"},
    };
    static const char *const lower[][2] = {{"\uA7CB\uA7DC", "\u0264\u019B"},
                                           {"\U00010D50\U00010D65", "\U00010D70\U00010D85"},
                                           {"\U00016EA0\U00016EB8", "\U00016EBB\U00016ED3"},
                                           {"\u1C89\uA7DAA\u00C9", "\u1C8A\uA7DBa\u00E9"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes out;
        bytes_init(&out);
        assert_int_equal(
            unicode_normalize(cases[i].form, cases[i].text, strlen(cases[i].text), &out), OK);
        assert_int_equal(out.length, strlen(cases[i].expected));
        assert_memory_equal(out.data, cases[i].expected, out.length);
        bytes_fini(&out);
    }
    assert_true(unicode_is_punctuation(0x3002) && unicode_is_punctuation(0x166D));
    assert_false(unicode_is_punctuation(0x9FD) || unicode_is_punctuation(0x2E52));
    assert_true(unicode_is_number(0x663) && unicode_is_number(0x10D40));
    assert_false(unicode_is_number(0x10D4A));
    for (size_t i = 0; i < sizeof lower / sizeof *lower; i++) {
        struct bytes out;
        bytes_init(&out);
        assert_int_equal(unicode_lowercase(lower[i][0], strlen(lower[i][0]), &out), OK);
        assert_int_equal(out.length, strlen(lower[i][1]));
        assert_memory_equal(out.data, lower[i][1], out.length);
        bytes_fini(&out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(versions_are_those_of_tokenizers),
        cmocka_unit_test(valid_characters_survive),
        cmocka_unit_test(invalid_parts_are_replaced),
        cmocka_unit_test(errors_are_located),
        cmocka_unit_test(properties_hold),
        cmocka_unit_test(properties_are_those_of_tokenizers),
        cmocka_unit_test(forms_are_normal),
        cmocka_unit_test(case_is_changed),
        cmocka_unit_test(letters_stand_for_bytes),
        cmocka_unit_test(texts_are_shown_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
