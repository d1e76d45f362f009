// Expressions, with the precedences of Jinja 3.1 (its parser.py).
#include <assert.h>
#include <string.h>

#include "text/jinja_ast.h"

static enum status parse_unary(struct jinja_parser *parser, bool with_filters,
                               struct jinja_node **out);
static enum status parse_arguments(struct jinja_parser *parser, struct jinja_node **out);

static bool take_sign(struct jinja_parser *parser, const char *text)
{
    return jinja_take_token(parser, JINJA_TOKEN_OPERATOR, text);
}

static bool at_sign(const struct jinja_parser *parser, const char *text)
{
    return jinja_at(parser, JINJA_TOKEN_OPERATOR, text);
}

static bool take_name(struct jinja_parser *parser, const char *text)
{
    return jinja_take_token(parser, JINJA_TOKEN_NAME, text);
}

static bool next_is(const struct jinja_parser *parser, enum jinja_token_kind kind, const char *text)
{
    if (jinja_at(parser, JINJA_TOKEN_END, NULL))
        return false;
    struct jinja_parser ahead = *parser;
    ahead.token++;
    return jinja_at(&ahead, kind, text);
}

// A node over `a` and `b`.
static enum status new_over(struct jinja_parser *parser, enum jinja_node_kind kind,
                            struct jinja_node *a, struct jinja_node *b, struct jinja_node **out)
{
    struct jinja_node *node;
    TRY(jinja_node_new(parser, kind, &node));
    node->a = a;
    node->b = b;
    if (a)
        node->line = a->line;
    TRY(jinja_node_grown(parser, node));
    *out = node;
    return OK;
}

// ---- primary expressions ----

static enum status parse_string(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_LITERAL, out));
    const struct jinja_token *first = parser->token;
    size_t length = 0;
    for (const struct jinja_token *t = first; t->kind == JINJA_TOKEN_STRING; t++)
        length += t->length;
    char *text;
    TRY(arena_take(parser->arena, length + 1, 1, &text));
    size_t at = 0;
    for (; parser->token->kind == JINJA_TOKEN_STRING; parser->token++) { // 'a' 'b' is 'ab'
        memcpy(text + at, parser->token->text, parser->token->length);
        at += parser->token->length;
    }
    (*out)->value = jinja_text(text, length);
    return OK;
}

static enum status parse_name(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct {
        const char *name;
        struct jinja_value value;
    } constants[] = {{"true", {.type = JINJA_BOOL, .truth = true}},
                     {"True", {.type = JINJA_BOOL, .truth = true}},
                     {"false", {.type = JINJA_BOOL, .truth = false}},
                     {"False", {.type = JINJA_BOOL, .truth = false}},
                     {"none", {.type = JINJA_NONE}},
                     {"None", {.type = JINJA_NONE}}};
    for (size_t i = 0; i < sizeof constants / sizeof *constants; i++) {
        if (!jinja_at(parser, JINJA_TOKEN_NAME, constants[i].name))
            continue;
        TRY(jinja_node_new(parser, JINJA_NODE_LITERAL, out));
        (*out)->value = constants[i].value;
        parser->token++;
        return OK;
    }
    TRY(jinja_node_new(parser, JINJA_NODE_NAME, out));
    (*out)->value = jinja_text(parser->token->text, parser->token->length);
    parser->token++;
    return OK;
}

static enum status parse_list(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_LIST, out));
    struct jinja_node **tail = &(*out)->a;
    while (!take_sign(parser, "]")) {
        if ((*out)->a)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        if ((*out)->a && take_sign(parser, "]"))
            break;
        TRY(jinja_parse_expression(parser, tail));
        assert(*tail);
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_dict(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_DICT, out));
    struct jinja_node **tail = &(*out)->a;
    while (!take_sign(parser, "}")) {
        if ((*out)->a)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        if ((*out)->a && take_sign(parser, "}"))
            break;
        TRY(jinja_parse_expression(parser, tail));
        TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ":"));
        tail = &(*tail)->next;
        TRY(jinja_parse_expression(parser, tail));
        assert(*tail);
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_number_literal(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_LITERAL, out));
    const struct jinja_token *token = parser->token++;
    (*out)->value =
        token->kind == JINJA_TOKEN_INT ? jinja_int(token->number) : jinja_float(token->real);
    return OK;
}

static enum status parse_primary(struct jinja_parser *parser, struct jinja_node **out)
{
    if (jinja_at(parser, JINJA_TOKEN_NAME, NULL))
        return parse_name(parser, out);
    if (jinja_at(parser, JINJA_TOKEN_STRING, NULL))
        return parse_string(parser, out);
    if (jinja_at(parser, JINJA_TOKEN_INT, NULL) || jinja_at(parser, JINJA_TOKEN_FLOAT, NULL))
        return parse_number_literal(parser, out);
    if (take_sign(parser, "(")) {
        TRY(jinja_parse_tuple(parser, (struct jinja_tuple_style){.in_parentheses = true}, out));
        return jinja_expect(parser, JINJA_TOKEN_OPERATOR, ")");
    }
    if (take_sign(parser, "{"))
        return parse_dict(parser, out);
    if (take_sign(parser, "["))
        return parse_list(parser, out);
    return jinja_unexpected(parser, "an expression");
}

static bool at_tuple_end(const struct jinja_parser *parser, struct jinja_tuple_style style)
{
    return jinja_at(parser, JINJA_TOKEN_PRINT_END, NULL) ||
           jinja_at(parser, JINJA_TOKEN_BLOCK_END, NULL) || at_sign(parser, ")") ||
           (style.end && jinja_at(parser, JINJA_TOKEN_NAME, style.end));
}

static enum status parse_or(struct jinja_parser *parser, struct jinja_node **out);

enum status jinja_parse_tuple(struct jinja_parser *parser, struct jinja_tuple_style style,
                              struct jinja_node **out)
{
    struct jinja_node *first = NULL, **tail = &first;
    bool comma = false;
    TRY(jinja_enter(parser));
    while (!first || comma) {
        if (at_tuple_end(parser, style))
            break;
        TRY(style.no_condition ? parse_or(parser, tail) : jinja_parse_expression(parser, tail));
        assert(*tail);
        tail = &(*tail)->next;
        comma = take_sign(parser, ",");
        if (!comma)
            break;
    }
    parser->depth--;
    if (!first && !style.in_parentheses)
        return jinja_unexpected(parser, "an expression");
    *out = first;
    if (first && !first->next && !comma)
        return OK;
    TRY(jinja_node_new(parser, JINJA_NODE_TUPLE, out));
    (*out)->a = first;
    return OK;
}

// ---- what follows a primary expression ----

// One index: `i` or `begin:end:step`, of `object`.
static enum status parse_index(struct jinja_parser *parser, struct jinja_node *object,
                               struct jinja_node **out)
{
    struct jinja_node *part[3] = {NULL};
    bool slice = false;
    for (int i = 0; i < 3; i++) {
        if (!at_sign(parser, ":") && !at_sign(parser, "]") && !at_sign(parser, ","))
            TRY(jinja_parse_expression(parser, &part[i]));
        else if (i == 0 && !at_sign(parser, ":"))
            return jinja_unexpected(parser, "an index");
        if (i == 2 || !take_sign(parser, ":"))
            break;
        slice = true;
    }
    TRY(new_over(parser, slice ? JINJA_NODE_SLICE : JINJA_NODE_INDEX, object, part[0], out));
    (*out)->c = part[1];
    (*out)->d = part[2];
    return OK;
}

static enum status parse_subscript(struct jinja_parser *parser, struct jinja_node *object,
                                   struct jinja_node **out)
{
    TRY(parse_index(parser, object, out));
    if (take_sign(parser, "]"))
        return OK;
    // x[a, b]: the key is a tuple
    struct jinja_node *index = *out, *tuple, **tail;
    if (index->kind != JINJA_NODE_INDEX)
        return jinja_unexpected(parser, "\"]\"");
    TRY(jinja_node_new(parser, JINJA_NODE_TUPLE, &tuple));
    tuple->a = index->b;
    index->b = tuple;
    assert(tuple->a);
    tail = &tuple->a->next;
    while (!take_sign(parser, "]")) {
        TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        TRY(jinja_parse_expression(parser, tail));
        assert(*tail);
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_dot(struct jinja_parser *parser, struct jinja_node *object,
                             struct jinja_node **out)
{
    const struct jinja_token *name = parser->token;
    if (jinja_at(parser, JINJA_TOKEN_INT, NULL)) { // x.0
        struct jinja_node *index;
        TRY(parse_number_literal(parser, &index));
        return new_over(parser, JINJA_NODE_INDEX, object, index, out);
    }
    if (!jinja_take_token(parser, JINJA_TOKEN_NAME, NULL))
        return jinja_unexpected(parser, "a name or a number");
    TRY(new_over(parser, JINJA_NODE_ATTRIBUTE, object, NULL, out));
    (*out)->value = jinja_text(name->text, name->length);
    return OK;
}

static enum status parse_call_of(struct jinja_parser *parser, struct jinja_node *function,
                                 struct jinja_node **out)
{
    struct jinja_node *call;
    TRY(new_over(parser, JINJA_NODE_CALL, function, NULL, &call));
    TRY(parse_arguments(parser, &call->b));
    *out = call;
    return OK;
}

static enum status parse_postfix(struct jinja_parser *parser, struct jinja_node **out)
{
    for (;;) {
        if (take_sign(parser, "."))
            TRY(parse_dot(parser, *out, out));
        else if (take_sign(parser, "["))
            TRY(parse_subscript(parser, *out, out));
        else if (at_sign(parser, "("))
            TRY(parse_call_of(parser, *out, out));
        else
            return OK;
    }
}

static enum status repeated_name(const struct jinja_parser *parser, const struct jinja_node *list,
                                 const struct jinja_node *item)
{
    for (; list != item; list = list->next)
        if (list->spread == JINJA_BY_NAME && list->value.length == item->value.length &&
            memcmp(list->value.text, item->value.text, item->value.length) == 0)
            return fail(ERR_INPUT,
                        "%s: line %d: the argument \"%.*s\" is given twice; expected once",
                        parser->name, item->line, (int)item->value.length, item->value.text);
    return OK;
}

// `*seen` is the furthest kind met so far: positions come before names, stars last.
static enum status parse_argument(struct jinja_parser *parser, struct jinja_node *list,
                                  enum jinja_spread *seen, struct jinja_node *out)
{
    if (take_sign(parser, "*"))
        out->spread = JINJA_STAR;
    else if (take_sign(parser, "**"))
        out->spread = JINJA_TWO_STARS;
    else if (jinja_at(parser, JINJA_TOKEN_NAME, NULL) && next_is(parser, JINJA_TOKEN_OPERATOR, "="))
        out->spread = JINJA_BY_NAME;
    bool fits = out->spread == JINJA_BY_POSITION ? *seen == JINJA_BY_POSITION
                : out->spread == JINJA_BY_NAME   ? *seen != JINJA_TWO_STARS
                                                 : *seen < out->spread;
    if (!fits)
        return jinja_unexpected(parser, "another order of arguments");
    if (out->spread > *seen)
        *seen = out->spread;
    if (out->spread == JINJA_BY_NAME) {
        out->value = jinja_text(parser->token->text, parser->token->length);
        parser->token += 2;
        TRY(repeated_name(parser, list, out));
    }
    return jinja_parse_expression(parser, &out->a);
}

static enum status parse_arguments(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node **tail = out;
    enum jinja_spread seen = JINJA_BY_POSITION;
    *out = NULL;
    TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, "("));
    TRY(jinja_enter(parser));
    while (!take_sign(parser, ")")) {
        if (*out) {
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
            if (take_sign(parser, ")"))
                break;
        }
        struct jinja_node *argument;
        TRY(jinja_node_new(parser, JINJA_NODE_ARGUMENT, &argument));
        assert(tail); // the place behind the last argument
        *tail = argument;
        TRY(parse_argument(parser, *out, &seen, argument));
        tail = &argument->next;
    }
    parser->depth--;
    return OK;
}

// name or name.name, as filters and tests may be called.
static enum status parse_dotted_name(struct jinja_parser *parser, struct jinja_node *out)
{
    const struct jinja_token *name = parser->token;
    TRY(jinja_expect(parser, JINJA_TOKEN_NAME, NULL));
    size_t length = name->length;
    while (take_sign(parser, ".")) {
        length = (size_t)(parser->token->text + parser->token->length - name->text);
        TRY(jinja_expect(parser, JINJA_TOKEN_NAME, NULL));
    }
    out->value = jinja_text(name->text, length);
    return OK;
}

enum status jinja_parse_filters(struct jinja_parser *parser, struct jinja_node *node,
                                bool begins_inside, struct jinja_node **out)
{
    *out = node;
    while (begins_inside || take_sign(parser, "|")) {
        begins_inside = false;
        struct jinja_node *filter;
        TRY(new_over(parser, JINJA_NODE_FILTER, *out, NULL, &filter));
        filter->line = parser->token->line;
        TRY(parse_dotted_name(parser, filter));
        if (at_sign(parser, "("))
            TRY(parse_arguments(parser, &filter->b));
        *out = filter;
    }
    return OK;
}

static bool at_test_argument(const struct jinja_parser *parser)
{
    switch (parser->token->kind) {
    case JINJA_TOKEN_STRING:
    case JINJA_TOKEN_INT:
    case JINJA_TOKEN_FLOAT:
        return true;
    case JINJA_TOKEN_NAME:
        return !jinja_at(parser, JINJA_TOKEN_NAME, "else") &&
               !jinja_at(parser, JINJA_TOKEN_NAME, "or") &&
               !jinja_at(parser, JINJA_TOKEN_NAME, "and");
    default:
        return at_sign(parser, "[") || at_sign(parser, "{");
    }
}

// After `is`.
static enum status parse_test(struct jinja_parser *parser, struct jinja_node *tested,
                              struct jinja_node **out)
{
    struct jinja_node *test;
    bool negated = take_name(parser, "not");
    TRY(new_over(parser, JINJA_NODE_TEST, tested, NULL, &test));
    test->line = parser->token->line;
    TRY(parse_dotted_name(parser, test));
    if (at_sign(parser, "(")) {
        TRY(parse_arguments(parser, &test->b));
    } else if (at_test_argument(parser)) {
        if (jinja_at(parser, JINJA_TOKEN_NAME, "is"))
            return jinja_unexpected(parser, "\"and\": tests cannot follow one another with \"is\"");
        TRY(jinja_node_new(parser, JINJA_NODE_ARGUMENT, &test->b));
        TRY(jinja_enter(parser));
        TRY(parse_primary(parser, &test->b->a));
        TRY(parse_postfix(parser, &test->b->a));
        parser->depth--;
    }
    *out = test;
    return negated ? new_over(parser, JINJA_NODE_NOT, test, NULL, out) : OK;
}

static enum status parse_filters_and_tests(struct jinja_parser *parser, struct jinja_node **out)
{
    for (;;) {
        if (at_sign(parser, "|"))
            TRY(jinja_parse_filters(parser, *out, false, out));
        else if (take_name(parser, "is"))
            TRY(parse_test(parser, *out, out));
        else if (at_sign(parser, "("))
            TRY(parse_call_of(parser, *out, out));
        else
            return OK;
    }
}

// ---- operators ----

static enum status parse_unary(struct jinja_parser *parser, bool with_filters,
                               struct jinja_node **out)
{
    bool minus = take_sign(parser, "-"), plus = !minus && take_sign(parser, "+");
    TRY(jinja_enter(parser));
    if (minus || plus) {
        TRY(parse_unary(parser, false, out));
        TRY(new_over(parser, minus ? JINJA_NODE_NEGATE : JINJA_NODE_POSITIVE, *out, NULL, out));
    } else {
        TRY(parse_primary(parser, out));
    }
    TRY(parse_postfix(parser, out));
    if (with_filters)
        TRY(parse_filters_and_tests(parser, out));
    parser->depth--;
    return OK;
}

static enum status parse_power(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_unary(parser, true, out));
    while (take_sign(parser, "**")) { // from the left, other than in Python
        struct jinja_node *right;
        TRY(parse_unary(parser, true, &right));
        TRY(new_over(parser, JINJA_NODE_BINARY, *out, right, out));
        (*out)->arithmetic = JINJA_POWER;
    }
    return OK;
}

static enum status parse_product(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct {
        const char *sign;
        enum jinja_arithmetic arithmetic;
    } signs[] = {{"*", JINJA_MULTIPLY},
                 {"/", JINJA_DIVIDE},
                 {"//", JINJA_FLOOR_DIVIDE},
                 {"%", JINJA_MODULO}};
    TRY(parse_power(parser, out));
    for (size_t i = 0; i < sizeof signs / sizeof *signs;) {
        if (!take_sign(parser, signs[i].sign)) {
            i++;
            continue;
        }
        struct jinja_node *right;
        TRY(parse_power(parser, &right));
        TRY(new_over(parser, JINJA_NODE_BINARY, *out, right, out));
        (*out)->arithmetic = signs[i].arithmetic;
        i = 0;
    }
    return OK;
}

static enum status parse_concat(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_product(parser, out));
    if (!at_sign(parser, "~"))
        return OK;
    struct jinja_node **tail = &(*out)->next, *concat;
    TRY(new_over(parser, JINJA_NODE_CONCAT, *out, NULL, &concat));
    while (take_sign(parser, "~")) {
        TRY(parse_product(parser, tail));
        tail = &(*tail)->next;
    }
    *out = concat;
    return OK;
}

static enum status parse_sum(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_concat(parser, out));
    while (at_sign(parser, "+") || at_sign(parser, "-")) {
        bool plus = take_sign(parser, "+");
        if (!plus)
            parser->token++;
        struct jinja_node *right;
        TRY(parse_concat(parser, &right));
        TRY(new_over(parser, JINJA_NODE_BINARY, *out, right, out));
        (*out)->arithmetic = plus ? JINJA_ADD : JINJA_SUBTRACT;
    }
    return OK;
}

static bool take_comparison(struct jinja_parser *parser, enum jinja_comparison *out)
{
    static const char *const signs[] = {"==", "!=", "<", "<=", ">", ">="};
    for (int i = 0; i < 6; i++) {
        if (take_sign(parser, signs[i])) {
            *out = (enum jinja_comparison)i;
            return true;
        }
    }
    *out = JINJA_IN;
    if (take_name(parser, "in"))
        return true;
    *out = JINJA_NOT_IN;
    if (!jinja_at(parser, JINJA_TOKEN_NAME, "not") || !next_is(parser, JINJA_TOKEN_NAME, "in"))
        return false;
    parser->token += 2;
    return true;
}

static enum status parse_compare(struct jinja_parser *parser, struct jinja_node **out)
{
    enum jinja_comparison comparison;
    struct jinja_node *compare = NULL, **tail = NULL;
    TRY(parse_sum(parser, out));
    while (take_comparison(parser, &comparison)) {
        if (!compare) {
            TRY(new_over(parser, JINJA_NODE_COMPARE, *out, NULL, &compare));
            tail = &compare->b;
            *out = compare;
        }
        TRY(jinja_node_new(parser, JINJA_NODE_OPERAND, tail));
        (*tail)->comparison = comparison;
        TRY(parse_sum(parser, &(*tail)->a));
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_not(struct jinja_parser *parser, struct jinja_node **out)
{
    if (!take_name(parser, "not"))
        return parse_compare(parser, out);
    TRY(jinja_enter(parser));
    TRY(parse_not(parser, out));
    parser->depth--;
    return new_over(parser, JINJA_NODE_NOT, *out, NULL, out);
}

static enum status parse_and(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_not(parser, out));
    while (take_name(parser, "and")) {
        struct jinja_node *right;
        TRY(parse_not(parser, &right));
        TRY(new_over(parser, JINJA_NODE_AND, *out, right, out));
    }
    return OK;
}

static enum status parse_or(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_and(parser, out));
    assert(out);
    while (take_name(parser, "or")) {
        struct jinja_node *right;
        TRY(parse_and(parser, &right));
        TRY(new_over(parser, JINJA_NODE_OR, *out, right, out));
    }
    return OK;
}

enum status jinja_parse_expression(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_enter(parser));
    TRY(parse_or(parser, out));
    while (take_name(parser, "if")) {
        struct jinja_node *condition;
        TRY(parse_or(parser, &condition));
        TRY(new_over(parser, JINJA_NODE_CHOICE, condition, *out, out));
        if (take_name(parser, "else")) // which may itself have a condition
            TRY(jinja_parse_expression(parser, &(*out)->c));
    }
    parser->depth--;
    return OK;
}
