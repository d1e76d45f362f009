// Chat templates, second step: tokens to a tree.
#ifndef COLROW_TEXT_JINJA_AST_H
#define COLROW_TEXT_JINJA_AST_H

#include <stdbool.h>

#include "text/jinja_lexer.h"
#include "text/jinja_value.h"

enum { JINJA_DEPTH_MAX = 100 }; // of expressions and of blocks inside blocks

enum jinja_node_kind {
    // statements
    JINJA_DATA,  // value: the text
    JINJA_PRINT, // a: the expression
    JINJA_IF,    // a: condition, b: body, c: else (statements; `elif` is an if in it)
    JINJA_FOR,   // a: targets (names), b: iterable, c: body, d: else, e: filter
    JINJA_SET,   // a: target (NAME or ATTRIBUTE), b: value
    JINJA_BREAK,
    JINJA_CONTINUE,
    // expressions
    JINJA_LITERAL,   // value
    JINJA_NAME,      // value: the name
    JINJA_LIST_OF,   // a: items
    JINJA_DICT_OF,   // a: key, value, key, value, ...
    JINJA_NOT,       // a
    JINJA_NEGATE,    // a
    JINJA_AND,       // a, b
    JINJA_OR,        // a, b
    JINJA_BINARY,    // op, a, b
    JINJA_CHOICE,    // a: condition, b: then, c: else or NULL
    JINJA_TEST,      // value: name, a: what is tested, b: arguments
    JINJA_FILTER,    // value: name, a: what is filtered, b: arguments
    JINJA_ATTRIBUTE, // value: name, a: object
    JINJA_INDEX,     // a: object, b: index
    JINJA_SLICE,     // a: object, b: begin, c: end, d: step, each may be NULL
    JINJA_CALL,      // a: function, b: arguments
    JINJA_ARGUMENT,  // value: keyword ("" for none), a: value
};

enum jinja_operator {
    JINJA_ADD,
    JINJA_SUBTRACT,
    JINJA_MULTIPLY,
    JINJA_DIVIDE,
    JINJA_MODULO,
    JINJA_CONCAT,
    JINJA_EQ,
    JINJA_NE,
    JINJA_LT,
    JINJA_LE,
    JINJA_GT,
    JINJA_GE,
    JINJA_IN,
    JINJA_NOT_IN,
};

struct jinja_node {
    enum jinja_node_kind kind;
    enum jinja_operator op;
    int line;
    struct jinja_value value;
    struct jinja_node *a, *b, *c, *d, *e;
    struct jinja_node *next; // in a list of statements, items or arguments
};

// `*out` is a list of statements in `arena`, which also keeps what `tokens` point to.
enum status jinja_parse(const char *name, const struct jinja_tokens *tokens, struct arena *arena,
                        struct jinja_node **out) STATUS_MUST_USE;

// For the two halves of the parser.
struct jinja_parser {
    const char *name;
    const struct jinja_token *token; // the next one
    struct arena *arena;
    int depth, loops;
};
enum status jinja_parse_expression(struct jinja_parser *parser,
                                   struct jinja_node **out) STATUS_MUST_USE;
// Without `x if y else z`, as after `in` of a for.
enum status jinja_parse_or(struct jinja_parser *parser, struct jinja_node **out) STATUS_MUST_USE;
enum status jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                           struct jinja_node **out) STATUS_MUST_USE;
bool jinja_at(const struct jinja_parser *parser, enum jinja_token_kind kind,
              const char *text); // text NULL: any
bool jinja_take_token(struct jinja_parser *parser, enum jinja_token_kind kind, const char *text);
enum status jinja_expect(struct jinja_parser *parser, enum jinja_token_kind kind,
                         const char *text) STATUS_MUST_USE;
enum status jinja_unexpected(const struct jinja_parser *parser, const char *wanted);
enum status jinja_enter(struct jinja_parser *parser)
    STATUS_MUST_USE; // one level deeper; leave: parser->depth--

#endif
