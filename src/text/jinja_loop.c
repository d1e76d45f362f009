// {% for %} and its loop variable (Jinja2's LoopContext).
#include "text/jinja_eval.h"

#include <assert.h>

// ---- the loop variable ----

// The next item without taking it; JINJA_MISSING at the end.
static enum status peek_next(struct jinja_run *run, struct jinja_loop *loop)
{
    bool more;
    if (jinja_given(loop->after))
        return OK;
    TRY(jinja_next(run, loop->iterator, &loop->after, &more));
    if (!more)
        loop->after = jinja_missing();
    return OK;
}

static enum status advance_loop(struct jinja_run *run, struct jinja_loop *loop, bool *more)
{
    assert(run && loop && more);
    struct jinja_value item = loop->after;
    *more = true;
    if (!jinja_given(item))
        TRY(jinja_next(run, loop->iterator, &item, more));
    if (!*more)
        return OK;
    loop->after = jinja_missing();
    loop->index0++;
    loop->before = loop->current;
    loop->current = item;
    return OK;
}

// An iterator has no length: what is left is made into a list.
enum status jinja_loop_length(struct jinja_run *run, struct jinja_loop *loop, int64_t *out)
{
    assert(run && loop && out);
    size_t n;
    if (loop->length < 0 && jinja_length(loop->iterable, &n)) {
        loop->length = (int64_t)n;
    } else if (loop->length < 0) {
        struct jinja_value list;
        TRY(jinja_to_list(run,
                          (struct jinja_value){.type = JINJA_ITERATOR, .iterator = loop->iterator},
                          JINJA_LIST, &list));
        TRY(jinja_iterate(run, list, &loop->iterator));
        loop->length = (int64_t)list.list->n + loop->index0 + 1 + jinja_given(loop->after);
    }
    *out = loop->length;
    return OK;
}

enum status jinja_loop_attribute(struct jinja_run *run, struct jinja_loop *loop,
                                 struct jinja_value name, struct jinja_value *out, bool *known)
{
    assert(run && loop && out && known);
    static const char *const names[] = {"index",     "index0",   "length",  "revindex",
                                        "revindex0", "first",    "last",    "depth",
                                        "depth0",    "previtem", "nextitem"};
    enum { INDEX, INDEX0, LENGTH, REVINDEX, REVINDEX0, FIRST, LAST, DEPTH, DEPTH0, PREVIOUS, NEXT };
    int64_t length = 0, which = 0, n = (int64_t)(sizeof names / sizeof *names);
    while (which < n && !jinja_is_text(name, names[which]))
        which++;
    *known = which < n;
    if (which == LENGTH || which == REVINDEX || which == REVINDEX0)
        TRY(jinja_loop_length(run, loop, &length));
    if (which == LAST || which == NEXT)
        TRY(peek_next(run, loop));
    switch (which) {
    case INDEX:
        *out = jinja_int(loop->index0 + 1);
        break;
    case INDEX0:
        *out = jinja_int(loop->index0);
        break;
    case LENGTH:
        *out = jinja_int(length);
        break;
    case REVINDEX:
        *out = jinja_int(length - loop->index0);
        break;
    case REVINDEX0:
        *out = jinja_int(length - loop->index0 - 1);
        break;
    case FIRST:
        *out = jinja_bool(loop->index0 == 0);
        break;
    case LAST:
        *out = jinja_bool(!jinja_given(loop->after));
        break;
    case DEPTH:
        *out = jinja_int(loop->depth0 + 1);
        break;
    case DEPTH0:
        *out = jinja_int(loop->depth0);
        break;
    case PREVIOUS:
        *out = loop->index0 > 0 ? loop->before : jinja_hint("there is no previous item");
        break;
    case NEXT:
        *out = jinja_given(loop->after) ? loop->after : jinja_hint("there is no next item");
        break;
    default:
        break;
    }
    return OK;
}

// ---- running ----

static enum status new_loop(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value iterable, int64_t depth0,
                            struct jinja_activation *outer, struct jinja_loop **out)
{
    assert(run && node && depth0 >= 0 && out);
    struct jinja_iterator *iterator;
    TRY(jinja_iterate(run, iterable, &iterator));
    if (node->e) {
        TRY(jinja_filter_loop(run, node, outer, iterator, &iterator));
        iterable = (struct jinja_value){.type = JINJA_ITERATOR, .iterator = iterator};
    }
    TRY(jinja_take(run, 1, sizeof **out, out));
    **out = (struct jinja_loop){.iterable = iterable,
                                .iterator = iterator,
                                .index0 = -1,
                                .length = -1,
                                .depth0 = depth0,
                                .after = jinja_missing(),
                                .current = jinja_missing(),
                                .before = jinja_missing(),
                                .last_changed = jinja_missing(),
                                .recursive = node->recursive ? node : NULL,
                                .outer = outer};
    return OK;
}

enum status jinja_loop_test(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value item, bool *out)
{
    struct jinja_value value;
    TRY(jinja_assign(run, node->filter_target, item));
    TRY(jinja_evaluate(run, node->e, &value));
    *out = jinja_true(value);
    return OK;
}

// Runs the body for each item. `*completed` tells whether one iteration came to its end: when none
// did, else follows, after a break as well.
static enum status run_iterations(struct jinja_run *run, const struct jinja_node *node,
                                  struct jinja_loop *loop, bool *completed)
{
    bool more;
    *completed = false;
    for (bool broken = false; !broken;) {
        TRY(advance_loop(run, loop, &more));
        if (!more)
            break;
        run->line = node->line;
        TRY(jinja_assign(run, node->a, loop->current));
        if (node->slot >= 0)
            run->activation->slots[node->slot] =
                (struct jinja_value){.type = JINJA_LOOP, .loop = loop};
        TRY(jinja_enter_scope(run, node->scope));
        TRY(jinja_run_statements(run, node->c));
        broken = run->jump == JINJA_BREAKS;
        *completed |= run->jump == JINJA_GO_ON;
        run->jump = JINJA_GO_ON;
    }
    return OK;
}

static enum status run_loop(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value iterable, int64_t depth0,
                            struct jinja_activation *outer)
{
    struct jinja_loop *loop;
    bool completed;
    TRY(new_loop(run, node, iterable, depth0, outer, &loop));
    TRY(run_iterations(run, node, loop, &completed));
    jinja_leave_scope(run, node->scope);
    if (!node->d || completed)
        return OK;
    TRY(jinja_enter_scope(run, node->else_scope));
    TRY(jinja_run_statements(run, node->d));
    if (run->jump == JINJA_GO_ON)
        jinja_leave_scope(run, node->else_scope);
    return OK;
}

// A recursive loop is a function of its own.
static enum status run_recursive(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value iterable, int64_t depth0,
                                 struct jinja_activation *outer)
{
    struct jinja_activation *before = run->activation;
    enum status status = jinja_activate(run, node->function, outer);
    if (status == OK)
        status = run_loop(run, node, iterable, depth0, outer);
    run->activation = before;
    return status;
}

enum status jinja_call_loop(struct jinja_run *run, struct jinja_loop *loop,
                            const struct jinja_arguments *arguments, struct jinja_value *out)
{
    assert(run && loop && arguments && out);
    size_t begin = run->out.length;
    if (!loop->recursive)
        return jinja_fail(run, "a loop is called that is not marked recursive");
    if (arguments->n != 1 || arguments->n_named > 0)
        return jinja_fail(run, "loop() needs one argument");
    if (++run->depth > JINJA_EVAL_DEPTH_MAX)
        return jinja_fail(run, "loops are nested deeper than %d levels", JINJA_EVAL_DEPTH_MAX);
    TRY(run_recursive(run, loop->recursive, arguments->values[0], loop->depth0 + 1, loop->outer));
    run->depth--;
    return jinja_take_output(run, begin, out);
}

enum status jinja_run_for(struct jinja_run *run, const struct jinja_node *node)
{
    assert(run && node);
    struct jinja_value iterable;
    TRY(jinja_evaluate(run, node->b, &iterable));
    return node->recursive ? run_recursive(run, node, iterable, 0, run->activation)
                           : run_loop(run, node, iterable, 0, run->activation);
}
