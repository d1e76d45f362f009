// Operators of chat templates that take two values.
#include <string.h>

#include "text/jinja_eval.h"

static enum status no_operator(const struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value a, struct jinja_value b)
{
    static const char *const signs[] = {
        [JINJA_ADD] = "+",     [JINJA_SUBTRACT] = "-",   [JINJA_MULTIPLY] = "*",
        [JINJA_DIVIDE] = "//", [JINJA_MODULO] = "%",     [JINJA_CONCAT] = "~",
        [JINJA_EQ] = "==",     [JINJA_NE] = "!=",        [JINJA_LT] = "<",
        [JINJA_LE] = "<=",     [JINJA_GT] = ">",         [JINJA_GE] = ">=",
        [JINJA_IN] = "in",     [JINJA_NOT_IN] = "not in"};
    return fail(ERR_INPUT, "%s: line %d: the operator %s cannot take %s and %s", run->name,
                node->line, signs[node->op], jinja_type_name(a.type), jinja_type_name(b.type));
}

static int64_t floor_divide(int64_t a, int64_t b)
{
    int64_t quotient = a / b;
    return quotient * b != a && (a < 0) != (b < 0) ? quotient - 1 : quotient;
}

static enum status arithmetic(struct jinja_run *run, const struct jinja_node *node, int64_t a,
                              int64_t b, struct jinja_value *out)
{
    int64_t result = 0;
    bool overflow = false;
    if ((node->op == JINJA_DIVIDE || node->op == JINJA_MODULO) &&
        (b == 0 || (b == -1 && a == INT64_MIN)))
        return fail(ERR_INPUT, "%s: line %d: division by zero", run->name, node->line);
    if (node->op == JINJA_ADD)
        overflow = __builtin_add_overflow(a, b, &result);
    else if (node->op == JINJA_SUBTRACT)
        overflow = __builtin_sub_overflow(a, b, &result);
    else if (node->op == JINJA_MULTIPLY)
        overflow = __builtin_mul_overflow(a, b, &result);
    else if (node->op == JINJA_DIVIDE)
        result = floor_divide(a, b);
    else
        result = a - floor_divide(a, b) * b;
    if (overflow)
        return fail(ERR_INPUT, "%s: line %d: a number becomes too large", run->name, node->line);
    *out = jinja_int(result);
    return OK;
}

static enum status add_lists(struct jinja_run *run, const struct jinja_list *a,
                             const struct jinja_list *b, struct jinja_value *out)
{
    TRY(jinja_list_new(&run->memory, out));
    for (size_t i = 0; i < a->n; i++)
        TRY(jinja_list_push(&run->memory, out->list, a->items[i]));
    for (size_t i = 0; i < b->n; i++)
        TRY(jinja_list_push(&run->memory, out->list, b->items[i]));
    return OK;
}

static enum status contains(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value item, struct jinja_value container, bool *out)
{
    *out = false;
    switch (container.type) {
    case JINJA_UNDEFINED:
        return OK;
    case JINJA_TEXT:
        if (item.type != JINJA_TEXT)
            return no_operator(run, node, item, container);
        *out = item.length == 0 ||
               memmem(container.text, container.length, item.text, item.length) != NULL;
        return OK;
    case JINJA_LIST:
        for (size_t i = 0; i < container.list->n && !*out; i++)
            *out = jinja_equal(container.list->items[i], item);
        return OK;
    case JINJA_DICT:
    case JINJA_NAMESPACE:
        *out = jinja_dict_get(container.dict, item) != NULL;
        return OK;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_LOOP:
    case JINJA_FUNCTION:
        break;
    }
    return no_operator(run, node, item, container);
}

static enum status compare(struct jinja_run *run, const struct jinja_node *node,
                           struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    bool truth;
    int order = 0;
    if (node->op == JINJA_IN || node->op == JINJA_NOT_IN) {
        TRY(contains(run, node, a, b, &truth));
        *out = jinja_bool(truth == (node->op == JINJA_IN));
        return OK;
    }
    if (node->op == JINJA_EQ || node->op == JINJA_NE) {
        *out = jinja_bool(jinja_equal(a, b) == (node->op == JINJA_EQ));
        return OK;
    }
    if (jinja_order(a, b, &order) != OK)
        return no_operator(run, node, a, b);
    truth = node->op == JINJA_LT   ? order < 0
            : node->op == JINJA_LE ? order <= 0
            : node->op == JINJA_GT ? order > 0
                                   : order >= 0;
    *out = jinja_bool(truth);
    return OK;
}

enum status jinja_operate(struct jinja_run *run, const struct jinja_node *node,
                          struct jinja_value a, struct jinja_value b, struct jinja_value *out)
{
    int64_t x, y;
    if (node->op >= JINJA_EQ)
        return compare(run, node, a, b, out);
    if (node->op == JINJA_CONCAT) {
        TRY(jinja_to_text(&run->memory, a, &a));
        TRY(jinja_to_text(&run->memory, b, &b));
        return jinja_join(&run->memory, a, b, out);
    }
    if (jinja_number(a, &x) && jinja_number(b, &y))
        return arithmetic(run, node, x, y, out);
    if (node->op == JINJA_ADD && a.type == JINJA_TEXT && b.type == JINJA_TEXT)
        return jinja_join(&run->memory, a, b, out);
    if (node->op == JINJA_ADD && a.type == JINJA_LIST && b.type == JINJA_LIST)
        return add_lists(run, a.list, b.list, out);
    return no_operator(run, node, a, b);
}
