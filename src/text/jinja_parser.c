// Statements. Expressions are in jinja_expression.c.
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
    if (jinja_take_token(parser, kind, text))
        return OK;
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"%s\"", text ? text : "another token");
    return jinja_unexpected(parser, wanted);
}

enum status jinja_enter(struct jinja_parser *parser)
{
    if (++parser->depth > JINJA_DEPTH_MAX)
        return fail(ERR_INPUT, "%s: line %d: the template is nested deeper than %d levels",
                    parser->name, parser->token->line, JINJA_DEPTH_MAX);
    return OK;
}

enum status jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                           struct jinja_node **out)
{
    TRY(arena_take(parser->arena, 1, sizeof **out, out));
    **out = (struct jinja_node){.kind = kind, .line = parser->token->line};
    return OK;
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

// ---- statements ----

static enum status parse_statements(struct jinja_parser *parser, const char *const *ends,
                                    struct jinja_node **out);

// After "{% if": also after "{% elif".
static enum status parse_if(struct jinja_parser *parser, struct jinja_node **out)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const end[] = {"endif",
                                                                                       NULL};
    TRY(jinja_enter(parser));
    TRY(jinja_node_new(parser, JINJA_IF, out));
    TRY(jinja_parse_expression(parser, &(*out)->a));
    TRY(end_block(parser));
    TRY(parse_statements(parser, ends, &(*out)->b));
    bool elif = at_statement(parser, "elif"), otherwise = at_statement(parser, "else");
    parser->token += 2;
    if (elif) {
        TRY(parse_if(parser, &(*out)->c)); // which takes the endif
    } else {
        if (otherwise) {
            TRY(end_block(parser));
            TRY(parse_statements(parser, end, &(*out)->c));
            parser->token += 2;
        }
        TRY(end_block(parser));
    }
    parser->depth--;
    return OK;
}

static enum status parse_targets(struct jinja_parser *parser, struct jinja_node **out)
{
    struct jinja_node **tail = out;
    do {
        const struct jinja_token *name = parser->token;
        TRY(jinja_node_new(parser, JINJA_NAME, tail));
        if (!jinja_take_token(parser, JINJA_TOKEN_NAME, NULL))
            return jinja_unexpected(parser, "a variable");
        (*tail)->value = jinja_text(name->text, name->length);
        tail = &(*tail)->next;
    } while (jinja_take_token(parser, JINJA_TOKEN_OPERATOR, ","));
    return OK;
}

static enum status parse_for(struct jinja_parser *parser, struct jinja_node **out)
{
    static const char *const ends[] = {"else", "endfor", NULL}, *const end[] = {"endfor", NULL};
    TRY(jinja_enter(parser));
    TRY(jinja_node_new(parser, JINJA_FOR, out));
    TRY(parse_targets(parser, &(*out)->a));
    TRY(jinja_expect(parser, JINJA_TOKEN_NAME, "in"));
    TRY(jinja_parse_or(parser, &(*out)->b));
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "if"))
        TRY(jinja_parse_expression(parser, &(*out)->e));
    TRY(end_block(parser));
    parser->loops++;
    TRY(parse_statements(parser, ends, &(*out)->c));
    parser->loops--;
    bool otherwise = at_statement(parser, "else");
    parser->token += 2;
    if (otherwise) {
        TRY(end_block(parser));
        TRY(parse_statements(parser, end, &(*out)->d));
        parser->token += 2;
    }
    parser->depth--;
    return end_block(parser);
}

static enum status parse_set(struct jinja_parser *parser, struct jinja_node **out)
{
    const struct jinja_token *name = parser->token;
    TRY(jinja_node_new(parser, JINJA_SET, out));
    TRY(jinja_node_new(parser, JINJA_NAME, &(*out)->a));
    if (!jinja_take_token(parser, JINJA_TOKEN_NAME, NULL))
        return jinja_unexpected(parser, "a variable");
    (*out)->a->value = jinja_text(name->text, name->length);
    if (jinja_take_token(parser, JINJA_TOKEN_OPERATOR, ".")) { // of a namespace
        struct jinja_node *object = (*out)->a;
        const struct jinja_token *attribute = parser->token;
        TRY(jinja_node_new(parser, JINJA_ATTRIBUTE, &(*out)->a));
        if (!jinja_take_token(parser, JINJA_TOKEN_NAME, NULL))
            return jinja_unexpected(parser, "an attribute");
        (*out)->a->a = object;
        (*out)->a->value = jinja_text(attribute->text, attribute->length);
    }
    if (!jinja_at(parser, JINJA_TOKEN_OPERATOR, "="))
        return fail(ERR_UNSUPPORTED,
                    "%s: line %d: only {%% set name = value %%} is supported of set", parser->name,
                    parser->token->line);
    parser->token++;
    TRY(jinja_parse_expression(parser, &(*out)->b));
    return end_block(parser);
}

static enum status parse_jump(struct jinja_parser *parser, enum jinja_node_kind kind,
                              struct jinja_node **out)
{
    if (parser->loops == 0)
        return fail(ERR_INPUT, "%s: line %d: break and continue are expected inside of a for",
                    parser->name, parser->token->line);
    TRY(jinja_node_new(parser, kind, out));
    return end_block(parser);
}

static enum status parse_block(struct jinja_parser *parser, struct jinja_node **out)
{
    const struct jinja_token *name = ++parser->token; // after {%
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "if"))
        return parse_if(parser, out);
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "for"))
        return parse_for(parser, out);
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "set"))
        return parse_set(parser, out);
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "break"))
        return parse_jump(parser, JINJA_BREAK, out);
    if (jinja_take_token(parser, JINJA_TOKEN_NAME, "continue"))
        return parse_jump(parser, JINJA_CONTINUE, out);
    static const char *const known[] = {"macro",      "call",  "filter",    "with",   "raw",
                                        "generation", "block", "include",   "import", "from",
                                        "extends",    "do",    "autoescape"};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (jinja_at(parser, JINJA_TOKEN_NAME, known[i]))
            return fail(ERR_UNSUPPORTED,
                        "%s: line %d: the statement {%% %s %%} is not supported; expected if, for, "
                        "set, break or continue",
                        parser->name, name->line, known[i]);
    return jinja_unexpected(parser, "a statement (if, for, set, ...)");
}

static bool at_end(const struct jinja_parser *parser, const char *const *ends)
{
    for (; *ends; ends++)
        if (at_statement(parser, *ends))
            return true;
    return false;
}

// Up to a block that begins with one of `ends`, which is left to the caller.
static enum status parse_statements(struct jinja_parser *parser, const char *const *ends,
                                    struct jinja_node **out)
{
    struct jinja_node **tail = out;
    *out = NULL;
    while (!at_end(parser, ends)) {
        const struct jinja_token *token = parser->token;
        if (token->kind == JINJA_TOKEN_END) {
            if (!*ends)
                return OK;
            while (ends[1]) // the last one ends the statement
                ends++;
            char wanted[64];
            snprintf(wanted, sizeof wanted, "{%% %s %%}", *ends);
            return jinja_unexpected(parser, wanted);
        }
        if (token->kind == JINJA_TOKEN_DATA) {
            TRY(jinja_node_new(parser, JINJA_DATA, tail));
            (*tail)->value = jinja_text(token->text, token->length);
            parser->token++;
        } else if (token->kind == JINJA_TOKEN_PRINT_BEGIN) {
            TRY(jinja_node_new(parser, JINJA_PRINT, tail));
            parser->token++;
            TRY(jinja_parse_expression(parser, &(*tail)->a));
            TRY(jinja_expect(parser, JINJA_TOKEN_PRINT_END, "}}"));
        } else {
            TRY(parse_block(parser, tail));
        }
        tail = &(*tail)->next;
    }
    return OK;
}

enum status jinja_parse(const char *name, const struct jinja_tokens *tokens, struct arena *arena,
                        struct jinja_node **out)
{
    static const char *const none[] = {NULL};
    struct jinja_parser parser = {.name = name, .token = tokens->items, .arena = arena};
    return parse_statements(&parser, none, out);
}
