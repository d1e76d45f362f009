// Chat templates, second step: tokens to a tree, and names to places.
//
// The tree is made once and never changes afterwards: any number of renderings may share it.
#ifndef COLROW_TEXT_JINJA_AST_H
#define COLROW_TEXT_JINJA_AST_H

#include <stdbool.h>

#include "text/jinja_lexer.h"
#include "text/jinja_run.h"

enum {
    JINJA_SYNTAX_DEPTH_MAX = 100, // brackets, blocks inside blocks
    JINJA_CHAIN_MAX = 400,        // a + b + c ..., which is a tree as deep as it is long
};

enum jinja_node_kind {
    // Statements. Lists hang together by `next`.
    JINJA_NODE_DATA,         // value: the text
    JINJA_NODE_PRINT,        // a: the expression
    JINJA_NODE_IF,           // a: condition, b: body, c: its elifs (IF nodes), d: else
    JINJA_NODE_FOR,          // a: target, b: iterable, c: body, d: else, e: filter
    JINJA_NODE_SET,          // a: target, b: value
    JINJA_NODE_SET_BLOCK,    // a: target, b: filters or NULL, c: body
    JINJA_NODE_MACRO,        // value: name, b: parameters (NAME, its b: default), c: body
    JINJA_NODE_CALL_BLOCK,   // a: call, b: parameters, c: body
    JINJA_NODE_FILTER_BLOCK, // b: filters, c: body
    JINJA_NODE_WITH,         // a: targets, b: values, c: body
    JINJA_NODE_SCOPE,        // c: body ({% autoescape false %})
    JINJA_NODE_BLOCK,        // value: name, c: body
    JINJA_NODE_GENERATION,   // c: body
    JINJA_NODE_LOADER,       // value: include, import, from or extends; a: template
    JINJA_NODE_BREAK,
    JINJA_NODE_CONTINUE,
    // Targets
    JINJA_NODE_TARGET,           // value: name
    JINJA_NODE_ATTRIBUTE_TARGET, // value: name, a: NAME of a namespace
    JINJA_NODE_TUPLE_TARGET,     // a: targets
    // Expressions
    JINJA_NODE_LITERAL,   // value
    JINJA_NODE_NAME,      // value: the name
    JINJA_NODE_LIST,      // a: items
    JINJA_NODE_TUPLE,     // a: items
    JINJA_NODE_DICT,      // a: key, value, key, value, ...
    JINJA_NODE_NOT,       // a
    JINJA_NODE_NEGATE,    // a
    JINJA_NODE_POSITIVE,  // a
    JINJA_NODE_AND,       // a, b
    JINJA_NODE_OR,        // a, b
    JINJA_NODE_BINARY,    // arithmetic, a, b
    JINJA_NODE_CONCAT,    // a: the parts
    JINJA_NODE_COMPARE,   // a: first, b: OPERAND nodes
    JINJA_NODE_OPERAND,   // comparison, a
    JINJA_NODE_CHOICE,    // a: condition, b: then, c: else or NULL
    JINJA_NODE_TEST,      // value: name, a: what is tested, b: arguments
    JINJA_NODE_FILTER,    // value: name, a: what is filtered or NULL (a block), b: arguments
    JINJA_NODE_ATTRIBUTE, // value: name, a: object
    JINJA_NODE_INDEX,     // a: object, b: index
    JINJA_NODE_SLICE,     // a: object, b: begin, c: end, d: step, each may be NULL
    JINJA_NODE_CALL,      // a: function, b: arguments
    JINJA_NODE_ARGUMENT,  // a: value; spread says which kind, value: the name of a named one
};

enum jinja_comparison {
    JINJA_EQ,
    JINJA_NE,
    JINJA_LT,
    JINJA_LE,
    JINJA_GT,
    JINJA_GE,
    JINJA_IN,
    JINJA_NOT_IN,
};

enum jinja_spread { JINJA_BY_POSITION, JINJA_BY_NAME, JINJA_STAR, JINJA_TWO_STARS };

// What a scope does with its variables when it is entered (Jinja2's idtracking.py).
enum jinja_load_action {
    JINJA_LOAD_PARAMETER,
    JINJA_LOAD_RESOLVE,
    JINJA_LOAD_ALIAS,
    JINJA_LOAD_UNSET
};
struct jinja_load {
    enum jinja_load_action action;
    int slot;
    int hops, alias_slot; // JINJA_LOAD_ALIAS
    const char *name;     // JINJA_LOAD_RESOLVE: asked of what the caller gave
    size_t name_length;
};

struct jinja_scope {
    int n_loads;
    struct jinja_load *loads;
};

// A template, macro, block, recursive loop or loop filter: it has its own variables and sees those
// of the one around it.
struct jinja_function {
    int n_slots;
    struct jinja_function *outer; // NULL: the template, or a block
    struct jinja_scope scope;
    int caller_slot, kwargs_slot, varargs_slot; // of macros; -1: not asked for
    bool explicit_caller;                       // "caller" is one of the parameters
};

struct jinja_node {
    enum jinja_node_kind kind;
    int line;
    int depth; // of the tree below
    union {
        enum jinja_arithmetic arithmetic;
        enum jinja_comparison comparison;
        enum jinja_spread spread;
        bool recursive;      // FOR
        bool ignore_missing; // LOADER
    };
    struct jinja_value value;
    struct jinja_node *a, *b, *c, *d, *e;
    struct jinja_node *next;
    // Filled by jinja_resolve().
    int hops, slot; // NAME, TARGET, MACRO, CALL_BLOCK (caller); FOR: `loop`, or -1
    bool exported;  // TARGET, MACRO: blocks see it
    const struct jinja_builtin *builtin;  // FILTER, TEST; NULL: there is none of that name
    const struct jinja_scope *scope;      // of the body; FOR, SET_BLOCK, WITH, ...
    const struct jinja_scope *else_scope; // FOR
    const struct jinja_function *function, *filter_function; // of bodies that are functions
    struct jinja_node *filter_target;                        // FOR: targets of filter_function
};

struct jinja_tree {
    struct jinja_node *root; // a list of statements
    const struct jinja_function *function;
};

// In `arena`, which also keeps what `tokens` point to.
enum status jinja_parse(const char *name, const struct jinja_tokens *tokens, struct arena *arena,
                        struct jinja_node **out) STATUS_MUST_USE;
// Finds the place of each name, and the filters and tests.
enum status jinja_resolve(const char *name, struct arena *arena, struct jinja_node *root,
                          struct jinja_tree *out) STATUS_MUST_USE;

// For the two halves of the parser.
struct jinja_parser {
    const char *name;
    const struct jinja_token *token; // the next one
    struct arena *arena;
    int depth;
};
enum status jinja_parse_expression(struct jinja_parser *parser,
                                   struct jinja_node **out) STATUS_MUST_USE;
struct jinja_tuple_style {
    bool no_condition;   // no `x if y`
    bool in_parentheses; // () is a tuple
    const char *end;     // a name that ends it, or NULL
};
// `a` or `a, b`.
enum status jinja_parse_tuple(struct jinja_parser *parser, struct jinja_tuple_style style,
                              struct jinja_node **out) STATUS_MUST_USE;
// `|filter` after `node`, which is NULL in blocks.
enum status jinja_parse_filters(struct jinja_parser *parser, struct jinja_node *node,
                                bool begins_inside, struct jinja_node **out) STATUS_MUST_USE;
enum status jinja_node_new(struct jinja_parser *parser, enum jinja_node_kind kind,
                           struct jinja_node **out) STATUS_MUST_USE;
// Counts how deep the tree is below `node`, whose a and b are set.
enum status jinja_node_grown(struct jinja_parser *parser, struct jinja_node *node) STATUS_MUST_USE;
bool jinja_at(const struct jinja_parser *parser, enum jinja_token_kind kind,
              const char *text); // text NULL: any
bool jinja_take_token(struct jinja_parser *parser, enum jinja_token_kind kind, const char *text);
enum status jinja_expect(struct jinja_parser *parser, enum jinja_token_kind kind,
                         const char *text) STATUS_MUST_USE;
enum status jinja_unexpected(const struct jinja_parser *parser, const char *wanted);
enum status jinja_enter(struct jinja_parser *parser)
    STATUS_MUST_USE; // one level deeper; leave: parser->depth--

#endif
