// JSON as Python's json module and as serde_json read it.
#include "testing.h"

#include <math.h>
#include <stdlib.h>

#include "base/json.h"
#include "base/utf8.h"

static enum status parse_text(const char *text, size_t length, enum json_dialect dialect,
                              json_t **out)
{
    return json_parse_within("x.json", text, length, dialect, JSON_REQUEST_NODES_MAX, out);
}

// `shown` as json_dumps() writes it, NULL where the text is refused. Checked against Python 3.11
// and serde_json 1.0.
struct reading {
    const char *text, *python, *rfc;
};

static const struct reading readings[] = {
    {" {} ", "{}", "{}"},
    {"[1, -2, 0, -0]", "[1,-2,0,0]", "[1,-2,0,-0.0]"},
    {"[9223372036854775807, -9223372036854775808]", "[9223372036854775807,-9223372036854775808]",
     "[9223372036854775807,-9223372036854775808]"},
    {"9223372036854775808", "9.2233720368547758e18", "9.2233720368547758e18"},
    {"-9223372036854775809", "-9.2233720368547758e18", "-9.2233720368547758e18"},
    {"1000000000000000019884624838656", "1e30", "1e30"},
    {"[0.1, -0.0, 1e3, 1E+2, 1e-2, 64.0]", "[0.10000000000000001,-0.0,1000.0,100.0,0.01,64.0]",
     "[0.10000000000000001,-0.0,1000.0,100.0,0.01,64.0]"},
    {"\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\ud83d\\ude00\"",
     "\"a\\\"\\\\/\\b\\f\\n\\r\\tAé😀\"", "\"a\\\"\\\\/\\b\\f\\n\\r\\tAé😀\""},
    {"\"\\u0000\\uD83D\\uDE00\"", "\"\\u0000😀\"", "\"\\u0000😀\""},
    {"\"\\ud83d\"", "\"\xEF\xBF\xBD\"", NULL},
    {"\"\\ud83dx\"", "\"\xEF\xBF\xBDx\"", NULL},
    {"\"\\ude00\\ud83d\"", "\"\xEF\xBF\xBD\xEF\xBF\xBD\"", NULL},
    {"\"\\ud83d\\u0041\"",
     "\"\xEF\xBF\xBD"
     "A\"",
     NULL},
    {"\"\\ud83d\\ud83d\\ude00\"", "\"\xEF\xBF\xBD😀\"", NULL},
    {"{\"a\": 1, \"b\": 2, \"a\": 3}", "{\"a\":3,\"b\":2}", "{\"a\":3,\"b\":2}"},
    {"{\"a\\u0000b\": 1, \"a\": 2, \"\\u0061\": 3}", "{\"a\\u0000b\":1,\"a\":3}",
     "{\"a\\u0000b\":1,\"a\":3}"},
    {"\"\x7f\"", "\"\x7f\"", "\"\x7f\""},
    {"[true,false,null]", "[true,false,null]", "[true,false,null]"},
    {"", NULL, NULL},
    {"\xEF\xBB\xBF{}", NULL, NULL},
    {"\"\xff\"", NULL, NULL},
    {"\"\xed\xa0\x80\"", NULL, NULL},
    {"\"\xc0\x80\"", NULL, NULL},
    {"\"a\nb\"", NULL, NULL},
    {"\"\\x41\"", NULL, NULL},
    {"\"\\u12g4\"", NULL, NULL},
    {"\"\\u12\"", NULL, NULL},
    {"\"\\", NULL, NULL},
    {"\"a", NULL, NULL},
    {"01", NULL, NULL},
    {"-01", NULL, NULL},
    {"1.", NULL, NULL},
    {".5", NULL, NULL},
    {"+1", NULL, NULL},
    {"1e", NULL, NULL},
    {"-", NULL, NULL},
    {"0x10", NULL, NULL},
    {"nan", NULL, NULL},
    {"+Infinity", NULL, NULL},
    {"-NaN", NULL, NULL},
    {"True", NULL, NULL},
    {"nullx", NULL, NULL},
    {"{} {}", NULL, NULL},
    {"[1,]", NULL, NULL},
    {"[1 2]", NULL, NULL},
    {"{\"a\":1,}", NULL, NULL},
    {"{a:1}", NULL, NULL},
    {"{'a':1}", NULL, NULL},
    {"{\"a\" 1}", NULL, NULL},
    {"{1:2}", NULL, NULL},
    {"[1] // why", NULL, NULL},
    {"[", NULL, NULL},
    {"{\"a\":", NULL, NULL},
    {"]", NULL, NULL},
};

static int check_reading(const char *text, const char *wanted, enum json_dialect dialect)
{
    json_t *root;
    enum status status = parse_text(text, strlen(text), dialect, &root);
    char *shown = root ? json_dumps(root, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    bool right = wanted ? shown && strcmp(shown, wanted) == 0
                        : status == ERR_INPUT && !root && strstr(status_message(), "x.json: ");
    if (!right)
        print_error("%s (dialect %d): %s, wanted %s; %s\n", text, (int)dialect,
                    shown ? shown : "refused", wanted ? wanted : "a refusal", status_message());
    free(shown);
    json_decref(root);
    return !right;
}

static void texts_mean_what_both_readers_say(void **state)
{
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof readings / sizeof *readings; i++) {
        wrong += check_reading(readings[i].text, readings[i].python, JSON_PYTHON);
        wrong += check_reading(readings[i].text, readings[i].rfc, JSON_RFC);
    }
    assert_int_equal(wrong, 0);
}

static void numbers_beyond_a_double_are_kept(void **state)
{
    (void)state;
    const char *text = "[NaN, Infinity, -Infinity, 1e999, -1e999, 1e-999, 1.7976931348623157e308]";
    json_t *root;
    assert_int_equal(parse_text(text, strlen(text), JSON_RFC, &root), ERR_INPUT);
    assert_int_equal(parse_text("1e999", 5, JSON_RFC, &root), ERR_INPUT);
    assert_int_equal(parse_text(text, strlen(text), JSON_PYTHON, &root), OK);
    assert_true(isnan(json_number(json_array_get(root, 0))));
    assert_true(json_number(json_array_get(root, 1)) == HUGE_VAL);
    assert_true(json_number(json_array_get(root, 2)) == -HUGE_VAL);
    assert_true(json_number(json_array_get(root, 3)) == HUGE_VAL);
    assert_true(json_number(json_array_get(root, 4)) == -HUGE_VAL);
    assert_true(json_number(json_array_get(root, 5)) == 0);
    assert_string_equal(json_show(json_array_get(root, 0)), "NaN");
    assert_string_equal(json_show(json_array_get(root, 2)), "-Infinity");
    json_decref(root);
    const char *object = "{\"a\": NaN, \"b\": 1e30, \"c\": 100000000000000000000}";
    double number;
    int64_t integer;
    assert_int_equal(parse_text(object, strlen(object), JSON_PYTHON, &root), OK);
    assert_int_equal(json_get_number(root, "x", "a", 0, 1, &number, NULL), ERR_INPUT);
    assert_string_equal(status_message(), "x: key \"a\" is NaN; expected a number from 0 to 1");
    assert_int_equal(json_get_number(root, "x", "b", 0, 1e40, &number, NULL), OK);
    assert_int_equal(json_get_int(root, "x", "c", 0, 9, &integer, NULL), ERR_INPUT);
    assert_string_equal(status_message(), "x: key \"c\" is 1e20; expected an integer from 0 to 9");
    json_decref(root);
}

static void digits_without_end_are_read(void **state)
{
    (void)state;
    enum { DIGITS = 100000 };
    char *text = malloc(DIGITS + 1);
    assert_non_null(text);
    memset(text, '7', DIGITS);
    json_t *root;
    assert_int_equal(parse_text(text, DIGITS, JSON_PYTHON, &root), OK);
    assert_true(json_number(root) == HUGE_VAL);
    json_decref(root);
    text[1] = '.';
    assert_int_equal(parse_text(text, DIGITS, JSON_PYTHON, &root), OK);
    assert_true(fabs(json_number(root) - 7.77777777777777777) < 1e-15);
    json_decref(root);
    free(text);
}

static void depth_and_number_are_bounded(void **state)
{
    (void)state;
    char deep[2 * JSON_DEPTH_MAX + 2];
    json_t *root;
    for (int d = JSON_DEPTH_MAX; d <= JSON_DEPTH_MAX + 1; d++) {
        memset(deep, '[', (size_t)d);
        memset(deep + d, ']', (size_t)d);
        assert_int_equal(parse_text(deep, (size_t)(2 * d), JSON_PYTHON, &root),
                         d > JSON_DEPTH_MAX ? ERR_INPUT : OK);
        json_decref(root);
    }
    assert_string_equal(status_message(), "x.json: JSON is nested deeper than 64 levels");
    assert_int_equal(json_parse_within("x", "[1,2,3]", 7, JSON_PYTHON, 4, &root), OK);
    json_decref(root);
    assert_int_equal(json_parse_within("x", "[1,2,3]", 7, JSON_PYTHON, 3, &root), ERR_INPUT);
    assert_string_equal(status_message(),
                        "x: JSON of more than 3 values; expected at most so many");
}

static void messages_say_where(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"a\": 1,\n \"é\": }", "x.json: not valid JSON: expected a value at line 2, column 7, "
                                  "found }"},
        {"{\"a\": 1", "x.json: not valid JSON: expected ',' or '}' at line 1, where it ends"},
        {"[1 2]", "x.json: not valid JSON: expected ',' or ']' at line 1, column 4, found 2]"},
        {"{\"a\"\n:\n\"\xff\"}",
         "x.json: not valid JSON: expected UTF-8, found byte 0xff at line 3, column 2"},
        {"{,}", "x.json: not valid JSON: expected a key in double quotes at line 1, column 2, "
                "found ,}"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        json_t *root;
        assert_int_equal(parse_text(cases[i][0], strlen(cases[i][0]), JSON_PYTHON, &root),
                         ERR_INPUT);
        assert_string_equal(status_message(), cases[i][1]);
    }
}

// Not only their beginning: a chunk that did not fit was left out as a whole.
static void long_strings_are_shown_cut(void **state)
{
    (void)state;
    struct bytes long_text;
    bytes_init(&long_text);
    for (int i = 0; i < 100; i++)
        assert_int_equal(bytes_text(&long_text, "é\"\n"), OK);
    json_t *value = json_stringn(long_text.data, long_text.length);
    const char *shown = json_show(value);
    size_t length = strlen(shown), bad;
    assert_true(length > 60 && length < 80);
    assert_memory_equal(shown, "\"é\\\"\\u000aé", strlen("\"é\\\"\\u000aé"));
    assert_string_equal(shown + length - 4, "...\"");
    assert_true(utf8_check(shown, length, &bad));
    json_decref(value);
    value = json_stringn("a\0b", 3);
    assert_string_equal(json_show(value), "\"a\\u0000b\"");
    json_decref(value);
    bytes_fini(&long_text);
}

static void a_nul_is_a_character(void **state)
{
    (void)state;
    const char *text = "{\"a\": \"silu\\u0000x\", \"b\": \"silu\"}", *out;
    size_t length;
    json_t *root;
    assert_int_equal(parse_text(text, strlen(text), JSON_PYTHON, &root), OK);
    assert_int_equal(json_get_text(root, "x", "a", &out, NULL), ERR_INPUT);
    assert_string_equal(
        status_message(),
        "x: key \"a\" is \"silu\\u0000x\"; expected a string without the character NUL");
    assert_int_equal(json_get_string(root, "x", "a", &out, &length, NULL), OK);
    assert_int_equal(length, 6);
    assert_int_equal(json_get_text(root, "x", "b", &out, NULL), OK);
    assert_string_equal(out, "silu");
    json_decref(root);
    assert_int_equal(parse_text("{}\0", 3, JSON_PYTHON, &root), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_mean_what_both_readers_say),
        cmocka_unit_test(numbers_beyond_a_double_are_kept),
        cmocka_unit_test(digits_without_end_are_read),
        cmocka_unit_test(depth_and_number_are_bounded),
        cmocka_unit_test(messages_say_where),
        cmocka_unit_test(long_strings_are_shown_cut),
        cmocka_unit_test(a_nul_is_a_character),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
