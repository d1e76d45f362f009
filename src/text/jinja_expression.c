// Expressions, with the precedences of Jinja 3.1 (its parser.py).
#include <string.h>

#include "text/jinja_ast.h"

static enum status parse_unary(struct jinja_parser *parser, bool with_filters,
                               struct jinja_node **out);

static bool take_operator(struct jinja_parser *parser, const char *text)
{
    return jinja_take_token(parser, JINJA_TOKEN_OPERATOR, text);
}

static bool take_name(struct jinja_parser *parser, const char *text)
{
    return jinja_take_token(parser, JINJA_TOKEN_NAME, text);
}

static enum status new_binary(struct jinja_parser *parser, enum jinja_node_kind kind,
                              enum jinja_operator op, struct jinja_node *left,
                              struct jinja_node *right, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, kind, out));
    (*out)->op = op;
    (*out)->a = left;
    (*out)->b = right;
    return OK;
}

// ---- primary expressions ----

static enum status parse_string(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_LITERAL, out));
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
        if (!take_name(parser, constants[i].name))
            continue;
        TRY(jinja_node_new(parser, JINJA_LITERAL, out));
        (*out)->value = constants[i].value;
        return OK;
    }
    TRY(jinja_node_new(parser, JINJA_NAME, out));
    (*out)->value = jinja_text(parser->token->text, parser->token->length);
    parser->token++;
    return OK;
}

// Expressions with commas between, up to `end`.
static enum status parse_items(struct jinja_parser *parser, const char *end,
                               struct jinja_node **out)
{
    struct jinja_node **tail = out;
    *out = NULL;
    while (!take_operator(parser, end)) {
        if (*out)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        if (*out && take_operator(parser, end))
            break;
        TRY(jinja_parse_expression(parser, tail));
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_dict(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_DICT_OF, out));
    struct jinja_node **tail = &(*out)->a;
    while (!take_operator(parser, "}")) {
        if ((*out)->a)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        if ((*out)->a && take_operator(parser, "}"))
            break;
        TRY(jinja_parse_expression(parser, tail));
        TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ":"));
        tail = &(*tail)->next;
        TRY(jinja_parse_expression(parser, tail));
        tail = &(*tail)->next;
    }
    return OK;
}

// "(a)" is a; "(a, b)" and "()" are lists, which is what a tuple is here.
static enum status parse_parentheses(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *items, *list;
    const struct jinja_token *begin = parser->token;
    TRY(parse_items(parser, ")", &items));
    const struct jinja_token *before = parser->token - 2; // the one before ")"
    bool comma = before >= begin && before->kind == JINJA_TOKEN_OPERATOR && before->text[0] == ',';
    if (items && !items->next && !comma) {
        *out = items;
        return OK;
    }
    TRY(jinja_node_new(parser, JINJA_LIST_OF, &list));
    list->a = items;
    *out = list;
    return OK;
}

static enum status parse_primary(struct jinja_parser *parser, struct jinja_node **out)
{
    if (jinja_at(parser, JINJA_TOKEN_NAME, NULL))
        return parse_name(parser, out);
    if (jinja_at(parser, JINJA_TOKEN_STRING, NULL))
        return parse_string(parser, out);
    if (jinja_at(parser, JINJA_TOKEN_INT, NULL)) {
        TRY(jinja_node_new(parser, JINJA_LITERAL, out));
        (*out)->value = jinja_int(parser->token++->number);
        return OK;
    }
    if (take_operator(parser, "("))
        return parse_parentheses(parser, out);
    if (take_operator(parser, "{"))
        return parse_dict(parser, out);
    if (!take_operator(parser, "["))
        return jinja_unexpected(parser, "an expression");
    TRY(jinja_node_new(parser, JINJA_LIST_OF, out));
    return parse_items(parser, "]", &(*out)->a);
}

// ---- what follows them ----

static enum status parse_arguments(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node **tail = out;
    *out = NULL;
    while (!take_operator(parser, ")")) {
        if (*out)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        if (*out && take_operator(parser, ")"))
            break;
        TRY(jinja_node_new(parser, JINJA_ARGUMENT, tail));
        (*tail)->value = jinja_text("", 0);
        const struct jinja_token *name = parser->token, *sign = name + 1;
        if (name->kind == JINJA_TOKEN_NAME && sign->kind == JINJA_TOKEN_OPERATOR &&
            sign->length == 1 && sign->text[0] == '=') {
            (*tail)->value = jinja_text(name->text, name->length);
            parser->token += 2;
        }
        TRY(jinja_parse_expression(parser, &(*tail)->a));
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_call(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *call;
    TRY(jinja_node_new(parser, JINJA_CALL, &call));
    call->a = *out;
    TRY(parse_arguments(parser, &call->b));
    *out = call;
    return OK;
}

// One of the parts of [begin:end:step], which may be left out.
static enum status parse_slice_part(struct jinja_parser *parser, struct jinja_node **out)
{
    *out = NULL;
    if (jinja_at(parser, JINJA_TOKEN_OPERATOR, ":") || jinja_at(parser, JINJA_TOKEN_OPERATOR, "]"))
        return OK;
    return jinja_parse_expression(parser, out);
}

static enum status parse_brackets(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *node;
    TRY(jinja_node_new(parser, JINJA_INDEX, &node));
    node->a = *out;
    TRY(parse_slice_part(parser, &node->b));
    if (take_operator(parser, ":")) {
        node->kind = JINJA_SLICE;
        TRY(parse_slice_part(parser, &node->c));
        if (take_operator(parser, ":"))
            TRY(parse_slice_part(parser, &node->d));
    } else if (!node->b) {
        return jinja_unexpected(parser, "an index");
    }
    *out = node;
    return jinja_expect(parser, JINJA_TOKEN_OPERATOR, "]");
}

static enum status parse_attribute(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *node;
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_ATTRIBUTE, &node));
    node->a = *out;
    if (jinja_take_token(parser, JINJA_TOKEN_INT, NULL)) { // a.0 is a[0]
        node->kind = JINJA_INDEX;
        TRY(jinja_node_new(parser, JINJA_LITERAL, &node->b));
        node->b->value = jinja_int(name->number);
    } else if (jinja_take_token(parser, JINJA_TOKEN_NAME, NULL)) {
        node->value = jinja_text(name->text, name->length);
    } else {
        return jinja_unexpected(parser, "an attribute");
    }
    *out = node;
    return OK;
}

static enum status parse_postfix(struct jinja_parser *parser, struct jinja_node **out)
{
    for (;;) {
        if (take_operator(parser, "."))
            TRY(parse_attribute(parser, out));
        else if (take_operator(parser, "["))
            TRY(parse_brackets(parser, out));
        else if (take_operator(parser, "("))
            TRY(parse_call(parser, out));
        else
            return OK;
    }
}

static enum status parse_filter(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *node;
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_FILTER, &node));
    if (!take_name(parser, NULL))
        return jinja_unexpected(parser, "a filter");
    node->a = *out;
    node->value = jinja_text(name->text, name->length);
    if (take_operator(parser, "("))
        TRY(parse_arguments(parser, &node->b));
    *out = node;
    return OK;
}

// The one argument of a test may stand without parentheses: "x is divisibleby 3".
static bool at_test_argument(const struct jinja_parser *parser)
{
    static const char *const words[] = {"else", "or", "and", "is", "if", "not", "in"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (jinja_at(parser, JINJA_TOKEN_NAME, words[i]))
            return false;
    return jinja_at(parser, JINJA_TOKEN_NAME, NULL) || jinja_at(parser, JINJA_TOKEN_STRING, NULL) ||
           jinja_at(parser, JINJA_TOKEN_INT, NULL) || jinja_at(parser, JINJA_TOKEN_OPERATOR, "[") ||
           jinja_at(parser, JINJA_TOKEN_OPERATOR, "{");
}

static enum status parse_test(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *node, *negation;
    bool negated = take_name(parser, "not");
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_TEST, &node));
    if (!take_name(parser, NULL))
        return jinja_unexpected(parser, "a test");
    node->a = *out;
    node->value = jinja_text(name->text, name->length);
    if (take_operator(parser, "(")) {
        TRY(parse_arguments(parser, &node->b));
    } else if (at_test_argument(parser)) {
        TRY(jinja_node_new(parser, JINJA_ARGUMENT, &node->b));
        node->b->value = jinja_text("", 0);
        TRY(parse_primary(parser, &node->b->a));
        TRY(parse_postfix(parser, &node->b->a));
    }
    *out = node;
    if (!negated)
        return OK;
    TRY(jinja_node_new(parser, JINJA_NOT, &negation));
    negation->a = node;
    *out = negation;
    return OK;
}

static enum status parse_filters(struct jinja_parser *parser, struct jinja_node **out)
{
    for (;;) {
        if (take_operator(parser, "|"))
            TRY(parse_filter(parser, out));
        else if (take_name(parser, "is"))
            TRY(parse_test(parser, out));
        else if (take_operator(parser, "("))
            TRY(parse_call(parser, out));
        else
            return OK;
    }
}

// ---- operators, from the tightest to the loosest ----

static enum status parse_unary(struct jinja_parser *parser, bool with_filters,
                               struct jinja_node **out)
{
    TRY(jinja_enter(parser));
    if (take_operator(parser, "-")) {
        TRY(jinja_node_new(parser, JINJA_NEGATE, out));
        TRY(parse_unary(parser, false, &(*out)->a));
    } else if (take_operator(parser, "+")) {
        TRY(parse_unary(parser, false, out));
    } else {
        TRY(parse_primary(parser, out));
    }
    TRY(parse_postfix(parser, out));
    if (with_filters)
        TRY(parse_filters(parser, out));
    parser->depth--;
    return OK;
}

struct level {
    const char *text;
    enum jinja_operator op;
};

// A left-associative level: operands of `parse_tighter` with any of `operators` between.
static enum status parse_level(struct jinja_parser *parser, const struct level *operators, size_t n,
                               enum status (*parse_tighter)(struct jinja_parser *,
                                                            struct jinja_node **),
                               struct jinja_node **out)
{
    TRY(parse_tighter(parser, out));
    for (;;) {
        size_t i = 0;
        while (i < n && !take_operator(parser, operators[i].text))
            i++;
        if (i == n)
            return OK;
        struct jinja_node *right;
        TRY(parse_tighter(parser, &right));
        TRY(new_binary(parser, JINJA_BINARY, operators[i].op, *out, right, out));
    }
}

static enum status parse_operand(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_unary(parser, true, out));
    if (jinja_at(parser, JINJA_TOKEN_OPERATOR, "**"))
        return fail(ERR_UNSUPPORTED, "%s: line %d: the operator ** is not supported", parser->name,
                    parser->token->line);
    return OK;
}

static enum status parse_product(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct level operators[] = {
        {"*", JINJA_MULTIPLY}, {"//", JINJA_DIVIDE}, {"%", JINJA_MODULO}};
    TRY(parse_level(parser, operators, 3, parse_operand, out));
    if (jinja_at(parser, JINJA_TOKEN_OPERATOR, "/"))
        return fail(ERR_UNSUPPORTED, "%s: line %d: the operator / is not supported (// is)",
                    parser->name, parser->token->line);
    return OK;
}

static enum status parse_concat(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct level operators[] = {{"~", JINJA_CONCAT}};
    return parse_level(parser, operators, 1, parse_product, out);
}

static enum status parse_sum(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct level operators[] = {{"+", JINJA_ADD}, {"-", JINJA_SUBTRACT}};
    return parse_level(parser, operators, 2, parse_concat, out);
}

// "not in": two names.
static bool take_not_in(struct jinja_parser *parser)
{
    const struct jinja_token *next = parser->token + 1;
    if (!jinja_at(parser, JINJA_TOKEN_NAME, "not") || next->kind != JINJA_TOKEN_NAME ||
        next->length != 2 || memcmp(next->text, "in", 2) != 0)
        return false;
    parser->token += 2;
    return true;
}

static bool take_comparison(struct jinja_parser *parser, enum jinja_operator *op)
{
    static const struct level operators[] = {{"==", JINJA_EQ}, {"!=", JINJA_NE}, {"<=", JINJA_LE},
                                             {">=", JINJA_GE}, {"<", JINJA_LT},  {">", JINJA_GT}};
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++) {
        if (take_operator(parser, operators[i].text)) {
            *op = operators[i].op;
            return true;
        }
    }
    *op = JINJA_IN;
    if (take_name(parser, "in"))
        return true;
    *op = JINJA_NOT_IN;
    return take_not_in(parser);
}

// a < b < c is a < b and b < c, as in Python (b is evaluated twice, which nothing here can notice).
static enum status parse_comparison(struct jinja_parser *parser, struct jinja_node **out)
{
    enum jinja_operator op;
    struct jinja_node *left, *right, *whole = NULL;
    TRY(parse_sum(parser, &left));
    *out = left;
    while (take_comparison(parser, &op)) {
        struct jinja_node *pair;
        TRY(parse_sum(parser, &right));
        TRY(new_binary(parser, JINJA_BINARY, op, left, right, &pair));
        if (whole)
            TRY(new_binary(parser, JINJA_AND, JINJA_EQ, whole, pair, &pair));
        *out = whole = pair;
        left = right;
    }
    return OK;
}

static enum status parse_not(struct jinja_parser *parser, struct jinja_node **out)
{
    if (!take_name(parser, "not"))
        return parse_comparison(parser, out);
    TRY(jinja_enter(parser));
    TRY(jinja_node_new(parser, JINJA_NOT, out));
    TRY(parse_not(parser, &(*out)->a));
    parser->depth--;
    return OK;
}

static enum status parse_and(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_not(parser, out));
    while (take_name(parser, "and")) {
        struct jinja_node *right;
        TRY(parse_not(parser, &right));
        TRY(new_binary(parser, JINJA_AND, JINJA_EQ, *out, right, out));
    }
    return OK;
}

enum status jinja_parse_or(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(parse_and(parser, out));
    while (take_name(parser, "or")) {
        struct jinja_node *right;
        TRY(parse_and(parser, &right));
        TRY(new_binary(parser, JINJA_OR, JINJA_EQ, *out, right, out));
    }
    return OK;
}

enum status jinja_parse_expression(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_enter(parser));
    TRY(jinja_parse_or(parser, out));
    while (take_name(parser, "if")) {
        struct jinja_node *choice;
        TRY(jinja_node_new(parser, JINJA_CHOICE, &choice));
        choice->b = *out;
        TRY(jinja_parse_or(parser, &choice->a));
        if (take_name(parser, "else"))
            TRY(jinja_parse_expression(parser, &choice->c));
        *out = choice;
    }
    parser->depth--;
    return OK;
}
