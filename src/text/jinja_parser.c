// Statements. Expressions are in jinja_expression.c.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "text/jinja_ast.h"

// ---- tokens ----

bool jinja_at(const struct jinja_parser *parser, enum jinja_token_kind kind, const char *text)
{
    const struct jinja_token *t = parser->token;
    return t->kind == kind &&
           (!text || (t->length == strlen(text) && memcmp(t->text, text, t->length) == 0));
}

bool jinja_take_token(struct jinja_parser *parser, enum jinja_token_kind kind, const char *text)
{
    if (!jinja_at(parser, kind, text))
        return false;
    parser->token++;
    return true;
}

enum status jinja_unexpected(const struct jinja_parser *parser, const char *wanted)
{
    const struct jinja_token *t = parser->token;
    if (t->kind == JINJA_TOKEN_END)
        return fail(ERR_INPUT, "%s: line %d: the template ends where %s was expected", parser->name,
                    t->line, wanted);
    return fail(ERR_INPUT, "%s: line %d: found \"%.*s\" where %s was expected", parser->name,
                t->line, t->length > 40 ? 40 : (int)t->length, t->text, wanted);
}

enum status jinja_expect(struct jinja_parser *parser, enum jinja_token_kind kind, const char *text)
{
    assert(parser);
    if (jinja_take_token(parser, kind, text))
        return OK;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", text ? text : "a name");
    return jinja_unexpected(parser, wanted);
}

static enum status too_deep(const struct jinja_parser *parser, int most)
{
    return fail(ERR_INPUT, "%s: line %d: the template is nested deeper than %d levels",
                parser->name, parser->token->line, most);
}

enum status jinja_enter(struct jinja_parser *parser)
{
    return ++parser->depth > JINJA_SYNTAX_DEPTH_MAX ? too_deep(parser, JINJA_SYNTAX_DEPTH_MAX) : OK;
}

enum status jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                           struct jinja_node **out)
{
    assert(parser && out);
    TRY(arena_take(parser->arena, 1, sizeof **out, out));
    **out = (struct jinja_node){.kind = kind, .line = parser->token->line, .slot = -1};
    return OK;
}

enum status jinja_node_grown(struct jinja_parser *parser, struct jinja_node *node)
{
    assert(parser && node);
    int a = node->a ? node->a->depth : 0, b = node->b ? node->b->depth : 0;
    node->depth = (a > b ? a : b) + 1;
    return node->depth > JINJA_CHAIN_MAX ? too_deep(parser, JINJA_CHAIN_MAX) : OK;
}

static bool take_word(struct jinja_parser *parser, const char *name)
{
    return jinja_take_token(parser, JINJA_TOKEN_NAME, name);
}

static bool at_statement(const struct jinja_parser *parser, const char *name)
{
    const struct jinja_token *next = parser->token + 1; // a BLOCK_BEGIN is never the last token
    return jinja_at(parser, JINJA_TOKEN_BLOCK_BEGIN, NULL) && next->kind == JINJA_TOKEN_NAME &&
           next->length == strlen(name) && memcmp(next->text, name, next->length) == 0;
}

static enum status end_block(struct jinja_parser *parser)
{
    return jinja_expect(parser, JINJA_TOKEN_BLOCK_END, "%}");
}

static enum status parse_statements(struct jinja_parser *parser, const char *const *ends,
                                    struct jinja_node **out);

// The rest of a tag, statements, and up to the name of one of `ends`; `*end` says which.
static enum status parse_body(struct jinja_parser *parser, const char *const *ends,
                              struct jinja_node **out, int *end)
{
    assert(parser && ends && out);
    jinja_take_token(parser, JINJA_TOKEN_OPERATOR, ":"); // as in Python
    TRY(end_block(parser));
    TRY(jinja_enter(parser));
    TRY(parse_statements(parser, ends, out));
    parser->depth--;
    for (*end = 0; !at_statement(parser, ends[*end]);)
        ++*end;
    parser->token += 2;
    return OK;
}

static enum status parse_only_body(struct jinja_parser *parser, const char *end_name,
                                   struct jinja_node **out)
{
    const char *const ends[] = {end_name, NULL};
    int end;
    return parse_body(parser, ends, out, &end);
}

// ---- targets ----

static bool is_constant_name(const struct jinja_token *t)
{
    static const char *const names[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (t->length == strlen(names[i]) && memcmp(t->text, names[i], t->length) == 0)
            return true;
    return false;
}

static enum status parse_name_target(struct jinja_parser *parser, struct jinja_node **out)
{
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_NODE_TARGET, out));
    if (!jinja_at(parser, JINJA_TOKEN_NAME, NULL) || is_constant_name(name))
        return jinja_unexpected(parser, "a variable to assign to");
    parser->token++;
    (*out)->value = jinja_text(name->text, name->length);
    return OK;
}

static enum status parse_targets(struct jinja_parser *parser, bool with_attributes, const char *end,
                                 struct jinja_node **out);

static enum status parse_one_target(struct jinja_parser *parser, bool with_attributes,
                                    struct jinja_node **out)
{
    if (jinja_take_token(parser, JINJA_TOKEN_OPERATOR, "(")) {
        TRY(jinja_enter(parser));
        TRY(parse_targets(parser, false, ")", out));
        parser->depth--;
        return jinja_expect(parser, JINJA_TOKEN_OPERATOR, ")");
    }
    TRY(parse_name_target(parser, out));
    if (!with_attributes || !jinja_take_token(parser, JINJA_TOKEN_OPERATOR, "."))
        return OK;
    struct jinja_node *object = *out;
    object->kind = JINJA_NODE_NAME;
    const struct jinja_token *attribute = parser->token;
    TRY(jinja_node_new(parser, JINJA_NODE_ATTRIBUTE_TARGET, out));
    TRY(jinja_expect(parser, JINJA_TOKEN_NAME, NULL));
    (*out)->a = object;
    (*out)->value = jinja_text(attribute->text, attribute->length);
    return OK;
}

// `a` or `a, b`: `end` is the operator or name after them.
static enum status parse_targets(struct jinja_parser *parser, bool with_attributes, const char *end,
                                 struct jinja_node **out)
{
    struct jinja_node *first = NULL, **tail = &first;
    bool comma = false;
    for (;;) {
        if (first && !comma)
            break;
        if (jinja_at(parser, JINJA_TOKEN_BLOCK_END, NULL) ||
            jinja_at(parser, JINJA_TOKEN_OPERATOR, ")") || jinja_at(parser, JINJA_TOKEN_NAME, end))
            break;
        TRY(parse_one_target(parser, with_attributes, tail));
        tail = &(*tail)->next;
        comma = jinja_take_token(parser, JINJA_TOKEN_OPERATOR, ",");
        if (!comma)
            break;
    }
    if (!first && strcmp(end, ")") != 0)
        return jinja_unexpected(parser, "a variable to assign to");
    *out = first;
    if (first && !first->next && !comma)
        return OK;
    TRY(jinja_node_new(parser, JINJA_NODE_TUPLE_TARGET, out));
    (*out)->a = first;
    return OK;
}

// ---- statements ----

static enum status parse_if(struct jinja_parser *parser, struct jinja_node **out)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *part = NULL, **tail = NULL;
    int end = 0;
    for (bool first = true; first || end == 0; first = false) {
        TRY(jinja_node_new(parser, JINJA_NODE_IF, &part));
        if (first)
            *out = part;
        else
            *tail = part;
        tail = first ? &part->c : &part->next;
        TRY(jinja_parse_tuple(parser, (struct jinja_tuple_style){.no_condition = true}, &part->a));
        TRY(parse_body(parser, ends, &part->b, &end));
    }
    return end == 1 ? parse_only_body(parser, "endif", &(*out)->d) : OK;
}

static enum status parse_for(struct jinja_parser *parser, struct jinja_node **out)
{
    static const char *const ends[] = {"else", "endfor", NULL};
    const struct jinja_tuple_style style = {.no_condition = true, .end = "recursive"};
    int end;
    TRY(jinja_node_new(parser, JINJA_NODE_FOR, out));
    TRY(parse_targets(parser, false, "in", &(*out)->a));
    TRY(jinja_expect(parser, JINJA_TOKEN_NAME, "in"));
    TRY(jinja_parse_tuple(parser, style, &(*out)->b));
    if (take_word(parser, "if"))
        TRY(jinja_parse_expression(parser, &(*out)->e));
    (*out)->recursive = take_word(parser, "recursive");
    TRY(parse_body(parser, ends, &(*out)->c, &end));
    return end == 0 ? parse_only_body(parser, "endfor", &(*out)->d) : OK;
}

static enum status parse_set(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_SET, out));
    TRY(parse_targets(parser, true, "", &(*out)->a));
    if (jinja_take_token(parser, JINJA_TOKEN_OPERATOR, "="))
        return jinja_parse_tuple(parser, (struct jinja_tuple_style){0}, &(*out)->b);
    (*out)->kind = JINJA_NODE_SET_BLOCK;
    TRY(jinja_parse_filters(parser, NULL, false, &(*out)->b));
    return parse_only_body(parser, "endset", &(*out)->c);
}

// (a, b=1)
static enum status parse_parameters(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node **tail = out;
    bool defaults = false;
    TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, "("));
    while (!jinja_at(parser, JINJA_TOKEN_OPERATOR, ")")) {
        if (*out)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        TRY(parse_name_target(parser, tail));
        for (struct jinja_node *other = *out; other != *tail; other = other->next)
            if (other->value.length == (*tail)->value.length &&
                memcmp(other->value.text, (*tail)->value.text, other->value.length) == 0)
                return fail(ERR_INPUT, "%s: line %d: the parameter \"%.*s\" is there twice",
                            parser->name, (*tail)->line, (int)other->value.length,
                            other->value.text);
        if (jinja_take_token(parser, JINJA_TOKEN_OPERATOR, "=")) {
            TRY(jinja_parse_expression(parser, &(*tail)->b));
            defaults = true;
        } else if (defaults) {
            return fail(ERR_INPUT, "%s: line %d: a parameter without default follows one with it",
                        parser->name, (*tail)->line);
        }
        tail = &(*tail)->next;
    }
    parser->token++;
    return OK;
}

static enum status parse_macro(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *name;
    TRY(jinja_node_new(parser, JINJA_NODE_MACRO, out));
    TRY(parse_name_target(parser, &name));
    (*out)->value = name->value;
    TRY(parse_parameters(parser, &(*out)->b));
    return parse_only_body(parser, "endmacro", &(*out)->c);
}

static enum status parse_call(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_CALL_BLOCK, out));
    if (jinja_at(parser, JINJA_TOKEN_OPERATOR, "("))
        TRY(parse_parameters(parser, &(*out)->b));
    TRY(jinja_parse_expression(parser, &(*out)->a));
    if ((*out)->a->kind != JINJA_NODE_CALL)
        return fail(ERR_INPUT, "%s: line %d: expected a call of a macro after {%% call",
                    parser->name, (*out)->line);
    return parse_only_body(parser, "endcall", &(*out)->c);
}

static enum status parse_filter_block(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_FILTER_BLOCK, out));
    TRY(jinja_parse_filters(parser, NULL, true, &(*out)->b));
    return parse_only_body(parser, "endfilter", &(*out)->c);
}

static enum status parse_with_block(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_WITH, out));
    struct jinja_node **target = &(*out)->a, **value = &(*out)->b;
    while (!jinja_at(parser, JINJA_TOKEN_BLOCK_END, NULL)) {
        if ((*out)->a)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        TRY(parse_one_target(parser, false, target));
        TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, "="));
        TRY(jinja_parse_expression(parser, value));
        target = &(*target)->next;
        value = &(*value)->next;
    }
    return parse_only_body(parser, "endwith", &(*out)->c);
}

static enum status parse_autoescape(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node *on;
    TRY(jinja_node_new(parser, JINJA_NODE_SCOPE, out));
    TRY(jinja_parse_expression(parser, &on));
    if (on->kind != JINJA_NODE_LITERAL || on->value.type != JINJA_BOOL || on->value.truth)
        return fail(ERR_UNSUPPORTED,
                    "%s: line %d: {%% autoescape %%} is supported with false alone; use the filter "
                    "escape where it is wanted",
                    parser->name, (*out)->line);
    return parse_only_body(parser, "endautoescape", &(*out)->c);
}

static enum status parse_named_block(struct jinja_parser *parser, struct jinja_node **out)
{
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_NODE_BLOCK, out));
    TRY(jinja_expect(parser, JINJA_TOKEN_NAME, NULL));
    (*out)->value = jinja_text(name->text, name->length);
    if (jinja_at(parser, JINJA_TOKEN_NAME, "scoped") ||
        jinja_at(parser, JINJA_TOKEN_NAME, "required"))
        return fail(ERR_UNSUPPORTED, "%s: line %d: \"%.*s\" of {%% block %%} is not supported",
                    parser->name, parser->token->line, (int)parser->token->length,
                    parser->token->text);
    TRY(parse_only_body(parser, "endblock", &(*out)->c));
    if (jinja_at(parser, JINJA_TOKEN_NAME, NULL) && parser->token->length == name->length &&
        memcmp(parser->token->text, name->text, name->length) == 0)
        parser->token++;
    return OK;
}

// include, import, from, extends: chat templates have nothing to load from, so that reaching one is
// an error, as with Jinja2 without a loader.
static enum status parse_loader(struct jinja_parser *parser, const char *keyword,
                                struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_LOADER, out));
    (*out)->value = jinja_literal(keyword);
    TRY(jinja_parse_expression(parser, &(*out)->a));
    while (!jinja_at(parser, JINJA_TOKEN_BLOCK_END, NULL) &&
           !jinja_at(parser, JINJA_TOKEN_END, NULL))
        parser->token++;
    return OK;
}

static enum status parse_print(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node **tail = out;
    while (!jinja_at(parser, JINJA_TOKEN_BLOCK_END, NULL)) {
        if (*out)
            TRY(jinja_expect(parser, JINJA_TOKEN_OPERATOR, ","));
        TRY(jinja_node_new(parser, JINJA_NODE_PRINT, tail));
        TRY(jinja_parse_expression(parser, &(*tail)->a));
        tail = &(*tail)->next;
    }
    return OK;
}

static enum status parse_generation(struct jinja_parser *parser, struct jinja_node **out)
{
    TRY(jinja_node_new(parser, JINJA_NODE_GENERATION, out));
    return parse_only_body(parser, "endgeneration", &(*out)->c);
}

static enum status parse_jump(struct jinja_parser *parser, enum jinja_node_kind kind,
                              struct jinja_node **out)
{
    return jinja_node_new(parser, kind, out);
}

// After {%: the statement without the %} that ends it.
static enum status parse_block(struct jinja_parser *parser, struct jinja_node **out)
{
    static const struct {
        const char *name;
        enum status (*parse)(struct jinja_parser *parser, struct jinja_node **out);
    } statements[] = {{"if", parse_if},
                      {"for", parse_for},
                      {"set", parse_set},
                      {"macro", parse_macro},
                      {"call", parse_call},
                      {"filter", parse_filter_block},
                      {"with", parse_with_block},
                      {"autoescape", parse_autoescape},
                      {"block", parse_named_block},
                      {"print", parse_print},
                      {"generation", parse_generation}};
    static const char *const loaders[] = {"include", "import", "from", "extends"};
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (take_word(parser, statements[i].name))
            return statements[i].parse(parser, out);
    for (size_t i = 0; i < sizeof loaders / sizeof *loaders; i++)
        if (take_word(parser, loaders[i]))
            return parse_loader(parser, loaders[i], out);
    if (take_word(parser, "break"))
        return parse_jump(parser, JINJA_NODE_BREAK, out);
    if (take_word(parser, "continue"))
        return parse_jump(parser, JINJA_NODE_CONTINUE, out);
    return jinja_unexpected(parser, "a statement (if, for, set, macro, ...)");
}

static bool at_end(const struct jinja_parser *parser, const char *const *ends)
{
    for (; *ends; ends++)
        if (at_statement(parser, *ends))
            return true;
    return false;
}

static enum status parse_statement(struct jinja_parser *parser, struct jinja_node **tail)
{
    const struct jinja_token *token = parser->token;
    if (token->kind == JINJA_TOKEN_DATA) {
        TRY(jinja_node_new(parser, JINJA_NODE_DATA, tail));
        (*tail)->value = jinja_text(token->text, token->length);
        parser->token++;
        return OK;
    }
    if (token->kind == JINJA_TOKEN_PRINT_BEGIN) {
        TRY(jinja_node_new(parser, JINJA_NODE_PRINT, tail));
        parser->token++;
        TRY(jinja_parse_tuple(parser, (struct jinja_tuple_style){0}, &(*tail)->a));
        return jinja_expect(parser, JINJA_TOKEN_PRINT_END, "}}");
    }
    parser->token++; // {%
    TRY(parse_block(parser, tail));
    return end_block(parser);
}

// Up to a block that begins with one of `ends`, which is left to the caller.
static enum status parse_statements(struct jinja_parser *parser, const char *const *ends,
                                    struct jinja_node **out)
{
    struct jinja_node **tail = out;
    *out = NULL;
    while (!at_end(parser, ends)) {
        if (parser->token->kind == JINJA_TOKEN_END) {
            if (!*ends)
                return OK;
            while (ends[1]) // the last one ends the statement
                ends++;
            char wanted[64];
            snprintf(wanted, sizeof wanted, "{%% %s %%}", *ends);
            return jinja_unexpected(parser, wanted);
        }
        TRY(parse_statement(parser, tail));
        while (*tail) // {% print %} makes several, or none
            tail = &(*tail)->next;
    }
    return OK;
}

enum status jinja_parse(const char *name, const struct jinja_tokens *tokens, struct arena *arena,
                        struct jinja_node **out)
{
    assert(name && tokens && tokens->n > 0 && arena && out);
    static const char *const none[] = {NULL};
    struct jinja_parser parser = {.name = name, .token = tokens->items, .arena = arena};
    return parse_statements(&parser, none, out);
}
