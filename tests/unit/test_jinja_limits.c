// What a template may cost is bounded, each bound with a sentence that names the template's line:
// steps, memory, bytes copied and compared, output, depth of syntax, of calls and of values.
#include "testing.h"

#include <time.h>

#include "text/chat_template.h"

enum { SECONDS_MAX = 20 }; // generous: sanitizers and other work

static enum status render(const char *source, const char *variables, struct bytes *out)
{
    struct chat_template *chat;
    enum status status = chat_template_parse("t.jinja", source, strlen(source), NULL, &chat);
    if (status == OK)
        status = chat_template_evaluate(chat, "variables", variables, strlen(variables), out);
    chat_template_close(chat);
    return status;
}

#define DEEP                                                                                       \
    "{% set ns = namespace(x=[], y=[]) %}{% for i in range(100000) %}"                             \
    "{% set ns.x = [ns.x] %}{% set ns.y = [ns.y] %}{% endfor %}"
#define WIDE                                                                                       \
    "{% set ns = namespace(x=[0], y=[0]) %}{% for i in range(60) %}"                               \
    "{% set ns.x = [ns.x, ns.x] %}{% set ns.y = [ns.y, ns.y] %}{% endfor %}"

static void costs_are_bounded(void **state)
{
    static const struct {
        const char *source, *word;
    } cases[] = {
        {DEEP "{{ ns.x }}", "nested deeper"},
        {DEEP "{{ ns.x == ns.y }}", "nested deeper"},
        {DEEP "{{ ns.x < ns.y }}", "nested deeper"},
        {DEEP "{{ ns.x in [ns.y] }}", "nested deeper"},
        {DEEP "{{ ns.x | tojson }}", "nested deeper"},
        {DEEP "{{ [ns.x, ns.y] | sort }}", "nested deeper"},
        {DEEP "{{ '%s' % ns.x }}", "nested deeper"},
        {DEEP "{{ '{}'.format(ns.x) }}", "nested deeper"},
        {"{% set ns = namespace(x=()) %}{% for i in range(1000) %}{% set ns.x = (ns.x,) %}"
         "{% endfor %}{{ {ns.x: 1} }}",
         "nested deeper"},
        {"{% set ns = namespace() %}{% set ns.x = [ns] %}{{ ns }}", "nested deeper"},
        {"{% set ns = namespace(x='a') %}{% for i in range(1000) %}"
         "{% set ns.x = ns.x | map('upper') %}{% endfor %}{{ ns.x | list }}",
         "nested deeper"},
        {WIDE "{{ ns.x }}", "more than"},
        {WIDE "{{ ns.x == ns.y }}", "more than"},
        {WIDE "{{ ns.x | tojson }}", "more than"},
        {"{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nested deeper"},
        {"{% macro m(x) %}{% call m(x) %}{{ caller() }}{% endcall %}{% endmacro %}{{ m(1) }}",
         "nested deeper"},
        {"{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}", "nested deeper"},
        {"{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
         "steps"},
        {"{% set s = 'ab' * 10000000 %}{% for a in range(100000) %}{{ s in (s ~ 'c') }}"
         "{% endfor %}",
         "more than"},
        {"{% set s = 'ab' * 10000000 %}{% for a in range(100000) %}{{ s == 'ab' * 10000000 }}"
         "{% endfor %}",
         "more than"},
        {"{% set s = 'ab' * 1000000 %}{% for a in range(100000) %}{{ s[-1] }}{% endfor %}",
         "more than"},
        {"{{ 'a' * 9223372036854775807 }}", "bytes"},
        {"{{ [0] * 9223372036854775807 }}", ""},
        {"{{ 'a'.ljust(9223372036854775807) }}", "too large"},
        {"{{ '%9999999999d' % 1 }}", "too large"},
        {"{{ '{:9999999999}'.format(1) }}", "does not fit"},
        {"{{ 'a' | indent(9999999999) }}", "bytes"},
        {"{{ 'a' | center(9999999999) }}", "too large"},
        {"{{ [1] | batch(9999999999, 0) | list }}", "more than"},
        {"{{ [1] | slice(9999999999) | list }}", "more than"},
        {"{{ 'a'.replace('', 'b' * 10000000) * 100 }}", "bytes"},
        {"{{ range(100001) }}", "at most 100000"},
        {"{{ 2 ** 64 }}", "64 bits"},
        {"{{ 9223372036854775807 * 2 }}", "64 bits"},
        {"{{ -9223372036854775807 - 2 }}", "64 bits"},
        {"{{ '99999999999999999999' | int }}", "64 bits"},
        {"{{ 1e300 | int }}", "64 bits"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bytes out;
        bytes_init(&out);
        clock_t begun = clock();
        enum status status = render(cases[i].source, "{}", &out);
        double seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
        bool said = strstr(status_message(), cases[i].word) != NULL &&
                    strstr(status_message(), "t.jinja: line 1: ") != NULL;
        if (status == OK || !said || seconds > SECONDS_MAX)
            printf("%s: %s, %.1f s: %s\n", cases[i].source, status_name(status), seconds,
                   status_message());
        assert_int_not_equal(status, OK);
        assert_true(said);
        assert_true(seconds < SECONDS_MAX);
        assert_int_equal(out.length, 0); // a failure writes nothing
        bytes_fini(&out);
    }
}

// NUL is a character; halves of surrogates are none; large integers are not rounded.
static void odd_texts_are_kept_or_refused(void **state)
{
    struct bytes out;
    (void)state;
    bytes_init(&out);
    assert_int_equal(render("{{ s ~ '|' ~ s | length }}{{ '\\x00' in s }}{{ s | tojson }}",
                            "{\"s\": \"a\\u0000b\"}", &out),
                     OK);
    assert_int_equal(out.length, 3 + 2 + 4 + 10);
    assert_memory_equal(out.data, "a\0b|3True\"a\\u0000b\"", out.length);
    bytes_clear(&out);
    assert_int_equal(render("{{ '\\ud800' }}", "{}", &out), ERR_INPUT);
    assert_int_equal(render("{{ n }}", "{\"n\": 12345678901234567890}", &out), ERR_UNSUPPORTED);
    assert_int_equal(render("{{ n }},{{ m }},{{ k }}",
                            "{\"n\": 1e400, \"m\": NaN, \"k\": 1, \"k\": -9223372036854775808}",
                            &out),
                     OK);
    assert_string_equal(out.data, "inf,nan,-9223372036854775808");
    bytes_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(costs_are_bounded),
                                       cmocka_unit_test(odd_texts_are_kept_or_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
