// Chat templates, third step: a tree and variables to text.
#ifndef COLROW_TEXT_JINJA_EVAL_H
#define COLROW_TEXT_JINJA_EVAL_H

#include "text/jinja_ast.h"

struct jinja_macro {
    const struct jinja_node *node; // MACRO or CALL_BLOCK
    struct jinja_activation *outer;
};

struct jinja_loop {
    struct jinja_value iterable;
    struct jinja_iterator *iterator;
    int64_t index0, length; // length -1: not known yet
    int64_t depth0;
    struct jinja_value after, current, before, last_changed; // JINJA_MISSING: none
    const struct jinja_node *recursive;                      // the FOR, when its loop can be called
    struct jinja_activation *outer;                          // where it stands
};

// Appends what the template writes to run->out.
enum status jinja_render(struct jinja_run *run, const struct jinja_tree *tree) STATUS_MUST_USE;

enum status jinja_run_statements(struct jinja_run *run,
                                 const struct jinja_node *node) STATUS_MUST_USE;
enum status jinja_run_for(struct jinja_run *run, const struct jinja_node *node) STATUS_MUST_USE;
enum status jinja_evaluate(struct jinja_run *run, const struct jinja_node *node,
                           struct jinja_value *out) STATUS_MUST_USE;
// The filters of a block, applied to its text.
enum status jinja_evaluate_filters(struct jinja_run *run, const struct jinja_node *node,
                                   struct jinja_value text,
                                   struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_evaluate_arguments(struct jinja_run *run, const struct jinja_node *node,
                                     const struct jinja_value *caller,
                                     struct jinja_arguments *out) STATUS_MUST_USE;

// ---- variables ----

enum status jinja_activate(struct jinja_run *run, const struct jinja_function *function,
                           struct jinja_activation *outer) STATUS_MUST_USE;
struct jinja_value *jinja_variable(struct jinja_run *run, int hops, int slot);
enum status jinja_enter_scope(struct jinja_run *run,
                              const struct jinja_scope *scope) STATUS_MUST_USE;
void jinja_leave_scope(struct jinja_run *run, const struct jinja_scope *scope);
enum status jinja_assign(struct jinja_run *run, const struct jinja_node *target,
                         struct jinja_value value) STATUS_MUST_USE;

// ---- macros and loops ----

enum status jinja_call_macro(struct jinja_run *run, const struct jinja_macro *macro,
                             const struct jinja_arguments *arguments,
                             struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_call_loop(struct jinja_run *run, struct jinja_loop *loop,
                            const struct jinja_arguments *arguments,
                            struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_loop_attribute(struct jinja_run *run, struct jinja_loop *loop,
                                 struct jinja_value name, struct jinja_value *out,
                                 bool *known) STATUS_MUST_USE;
enum status jinja_loop_length(struct jinja_run *run, struct jinja_loop *loop,
                              int64_t *out) STATUS_MUST_USE;

// ---- iterators whose items are made on the way (jinja_iterate.c) ----

// Those of `source` for which the loop's `if` holds.
enum status jinja_filter_loop(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_activation *outer, struct jinja_iterator *source,
                              struct jinja_iterator **out) STATUS_MUST_USE;
// True when the loop's `if` holds for `item`; in the activation at hand.
enum status jinja_loop_test(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value item, bool *out) STATUS_MUST_USE;

enum jinja_lazy { // the filters that give iterators
    JINJA_LAZY_MAP,
    JINJA_LAZY_SELECT,
    JINJA_LAZY_BATCH,
    JINJA_LAZY_SLICE,
    JINJA_LAZY_UNIQUE,
};
struct jinja_lazy_call {
    enum jinja_lazy kind;
    bool rejects, has_attribute, case_sensitive;
    const struct jinja_builtin *function; // filter or test; NULL: the attribute, or truth
    const char *unknown;                  // a filter or test that does not exist: its kind
    struct jinja_value attribute, otherwise, name;
    struct jinja_arguments arguments;
    int64_t count; // of batch and slice
    struct jinja_value fill;
};
// `value` when it is undefined or empty gives an iterator without items.
enum status jinja_lazy_new(struct jinja_run *run, struct jinja_value value,
                           const struct jinja_lazy_call *call,
                           struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_reversed(struct jinja_run *run, struct jinja_value value, struct jinja_value *out,
                           bool *possible) STATUS_MUST_USE;
// item.attribute with dots, as make_attrgetter(); `otherwise` may be JINJA_MISSING.
enum status jinja_get_path(struct jinja_run *run, struct jinja_value item,
                           struct jinja_value attribute, struct jinja_value otherwise,
                           struct jinja_value *out) STATUS_MUST_USE;
// lower() of texts, other values as they are.
enum status jinja_ignore_case(struct jinja_run *run, struct jinja_value value,
                              struct jinja_value *out) STATUS_MUST_USE;

#endif
