// Chat templates, third step: a tree and variables to text.
#ifndef COLROW_TEXT_JINJA_EVAL_H
#define COLROW_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"
#include "text/jinja_value.h"

enum {
    JINJA_STEPS_MAX = 2 * 1000 * 1000, // statements and operators of one rendering
    JINJA_EVAL_DEPTH_MAX = 400,        // expressions inside expressions; a chain of "+" counts too
    JINJA_ARGUMENTS_MAX = 8,
    JINJA_OUTPUT_BYTES_MAX = 64 * 1024 * 1024,
    JINJA_VALUE_BYTES_MAX = 256 * 1024 * 1024,
};

struct jinja_variable {
    struct jinja_value name, value;
};

struct jinja_run {
    const char *name; // of the template, for messages
    int64_t now;      // what strftime_now() tells, seconds since 1970; 0: the clock
    struct jinja_memory memory;
    struct jinja_variable *variables; // a stack; loops begin frames
    size_t n_variables, capacity, frame;
    size_t steps;
    int depth;
    enum { JINJA_GO_ON, JINJA_BREAKS, JINJA_CONTINUES } jump;
    struct bytes *out;
};

void jinja_run_init(struct jinja_run *run, const char *name, struct bytes *out);
void jinja_run_fini(struct jinja_run *run);
// Sets a variable of the frame at hand; `name` is borrowed.
enum status jinja_run_set(struct jinja_run *run, struct jinja_value name,
                          struct jinja_value value) STATUS_MUST_USE;
// Appends what the statements write to run->out.
enum status jinja_run_statements(struct jinja_run *run,
                                 const struct jinja_node *node) STATUS_MUST_USE;
enum status jinja_run_expression(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_operators.c ----

// `a` node->op `b`.
enum status jinja_operate(struct jinja_run *run, const struct jinja_node *node,
                          struct jinja_value a, struct jinja_value b,
                          struct jinja_value *out) STATUS_MUST_USE;

// ---- jinja_builtins.c ----

struct jinja_arguments {
    int n;
    struct jinja_value values[JINJA_ARGUMENTS_MAX],
        keywords[JINJA_ARGUMENTS_MAX]; // keyword "": by position
};
enum status jinja_filter(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value value, const struct jinja_arguments *arguments,
                         struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_test(struct jinja_run *run, const struct jinja_node *node,
                       struct jinja_value value, const struct jinja_arguments *arguments,
                       bool *out) STATUS_MUST_USE;
// value.method(arguments) of texts and dicts; `*known` is false when there is no such method.
enum status jinja_method(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value value, const struct jinja_arguments *arguments,
                         struct jinja_value *out, bool *known) STATUS_MUST_USE;
enum status jinja_call(struct jinja_run *run, const struct jinja_node *node,
                       enum jinja_function function, const struct jinja_arguments *arguments,
                       struct jinja_value *out) STATUS_MUST_USE;
struct jinja_value jinja_global(struct jinja_value name); // a function, or undefined
// A list of what a for loop would see; an error for what cannot be iterated.
enum status jinja_iterate(struct jinja_run *run, int line, struct jinja_value value,
                          struct jinja_value *out) STATUS_MUST_USE;

#endif
