// What follows `is` (Jinja2's tests.py).
#include "text/jinja_eval.h"

#include "text/python_text.h"
#include <assert.h>

#define TEST(name)                                                                                 \
    static enum status test_##name(struct jinja_run *run, struct jinja_value value,                \
                                   const struct jinja_value *a, struct jinja_value *out)

static enum status answer(bool holds, struct jinja_value *out)
{
    *out = jinja_bool(holds);
    return OK;
}

// value % divisor == wanted
static enum status has_rest(struct jinja_run *run, struct jinja_value value,
                            struct jinja_value divisor, int64_t wanted, struct jinja_value *out)
{
    bool same;
    struct jinja_value rest;
    TRY(jinja_arithmetic(run, JINJA_MODULO, value, divisor, &rest));
    TRY(jinja_equal(run, rest, jinja_int(wanted), &same));
    return answer(same, out);
}

TEST(odd)
{
    (void)a;
    return has_rest(run, value, jinja_int(2), 1, out);
}

TEST(even)
{
    (void)a;
    return has_rest(run, value, jinja_int(2), 0, out);
}

TEST(divisible)
{
    return has_rest(run, value, a[0], 0, out);
}

TEST(defined)
{
    (void)run, (void)a;
    return answer(value.type != JINJA_UNDEFINED, out);
}

TEST(undefined)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_UNDEFINED, out);
}

TEST(none)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_NONE, out);
}

TEST(boolean)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_BOOL, out);
}

TEST(false)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_BOOL && !value.truth, out);
}

TEST(true)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_BOOL && value.truth, out);
}

TEST(integer)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_INT, out);
}

TEST(float)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_FLOAT, out);
}

TEST(number)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_INT || value.type == JINJA_FLOAT || value.type == JINJA_BOOL,
                  out);
}

TEST(string)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_TEXT, out);
}

TEST(mapping)
{
    (void)run, (void)a;
    return answer(value.type == JINJA_DICT, out);
}

TEST(iterable)
{
    (void)run, (void)a;
    return answer(jinja_is_iterable(value), out);
}

TEST(sequence)
{
    (void)run, (void)a;
    size_t n;
    return answer(jinja_length(value, &n) && value.type != JINJA_VIEW, out);
}

TEST(callable)
{
    (void)run, (void)a;
    return answer((value.type >= JINJA_LOOP && value.type != JINJA_CYCLER) ||
                      value.type == JINJA_UNDEFINED, // whose call is an error of its own
                  out);
}

TEST(escaped)
{
    (void)run, (void)a;
    return answer(jinja_is_markup(value), out);
}

TEST(sameas)
{
    (void)run;
    return answer(jinja_same(value, a[0]), out);
}

static enum status asks_case(struct jinja_run *run, struct jinja_value value,
                             enum python_question question, struct jinja_value *out)
{
    TRY(jinja_str(run, value, &value));
    TRY(jinja_touch(run, value.length));
    return answer(python_asks(question, value.text, value.length), out);
}

TEST(lower)
{
    (void)a;
    return asks_case(run, value, PYTHON_IS_LOWER, out);
}

TEST(upper)
{
    (void)a;
    return asks_case(run, value, PYTHON_IS_UPPER, out);
}

TEST(in)
{
    bool holds;
    TRY(jinja_contains(run, a[0], value, &holds));
    return answer(holds, out);
}

TEST(filter)
{
    (void)a;
    if (!jinja_hashable(value))
        return jinja_fail(run, "%s cannot be the name of a filter", jinja_type_name(value));
    return answer(value.type == JINJA_TEXT && jinja_find_filter(value.text, value.length), out);
}

TEST(test)
{
    (void)a;
    if (!jinja_hashable(value))
        return jinja_fail(run, "%s cannot be the name of a test", jinja_type_name(value));
    return answer(value.type == JINJA_TEXT && jinja_find_test(value.text, value.length), out);
}

TEST(eq)
{
    bool holds;
    TRY(jinja_equal(run, value, a[0], &holds));
    return answer(holds, out);
}

TEST(ne)
{
    bool holds;
    TRY(jinja_equal(run, value, a[0], &holds));
    return answer(!holds, out);
}

TEST(lt)
{
    int order;
    TRY(jinja_order(run, value, a[0], &order));
    return answer(order == -1, out);
}

TEST(le)
{
    int order;
    TRY(jinja_order(run, value, a[0], &order));
    return answer(order == -1 || order == 0, out);
}

TEST(gt)
{
    int order;
    TRY(jinja_order(run, value, a[0], &order));
    return answer(order == 1, out);
}

TEST(ge)
{
    int order;
    TRY(jinja_order(run, value, a[0], &order));
    return answer(order == 1 || order == 0, out);
}

const struct jinja_builtin *jinja_find_test(const char *name, size_t length)
{
    assert(name || length == 0);
    static const struct jinja_builtin tests[] = {
        {"odd", "", 0, false, test_odd, NULL},
        {"even", "", 0, false, test_even, NULL},
        {"divisibleby", "num", 1, false, test_divisible, NULL},
        {"defined", "", 0, false, test_defined, NULL},
        {"undefined", "", 0, false, test_undefined, NULL},
        {"filter", "", 0, false, test_filter, NULL},
        {"test", "", 0, false, test_test, NULL},
        {"none", "", 0, false, test_none, NULL},
        {"boolean", "", 0, false, test_boolean, NULL},
        {"false", "", 0, false, test_false, NULL},
        {"true", "", 0, false, test_true, NULL},
        {"integer", "", 0, false, test_integer, NULL},
        {"float", "", 0, false, test_float, NULL},
        {"lower", "", 0, false, test_lower, NULL},
        {"upper", "", 0, false, test_upper, NULL},
        {"string", "", 0, false, test_string, NULL},
        {"mapping", "", 0, false, test_mapping, NULL},
        {"number", "", 0, false, test_number, NULL},
        {"sequence", "", 0, false, test_sequence, NULL},
        {"iterable", "", 0, false, test_iterable, NULL},
        {"callable", "", 0, true, test_callable, NULL},
        {"sameas", "other", 1, false, test_sameas, NULL},
        {"escaped", "", 0, false, test_escaped, NULL},
        {"in", "seq", 1, false, test_in, NULL},
        {"==", "b", 1, true, test_eq, NULL},
        {"eq", "b", 1, true, test_eq, NULL},
        {"equalto", "b", 1, true, test_eq, NULL},
        {"!=", "b", 1, true, test_ne, NULL},
        {"ne", "b", 1, true, test_ne, NULL},
        {">", "b", 1, true, test_gt, NULL},
        {"gt", "b", 1, true, test_gt, NULL},
        {"greaterthan", "b", 1, true, test_gt, NULL},
        {">=", "b", 1, true, test_ge, NULL},
        {"ge", "b", 1, true, test_ge, NULL},
        {"<", "b", 1, true, test_lt, NULL},
        {"lt", "b", 1, true, test_lt, NULL},
        {"lessthan", "b", 1, true, test_lt, NULL},
        {"<=", "b", 1, true, test_le, NULL},
        {"le", "b", 1, true, test_le, NULL}};
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (strlen(tests[i].name) == length && memcmp(tests[i].name, name, length) == 0)
            return &tests[i];
    return NULL;
}
