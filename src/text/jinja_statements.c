// Statements, macros and call blocks. Loops are in jinja_loop.c.
#include "text/jinja_eval.h"

#include <assert.h>

// ---- assignment ----

static enum status assign_name(struct jinja_run *run, const struct jinja_node *target,
                               struct jinja_value value)
{
    *jinja_variable(run, target->hops, target->slot) = value;
    return target->exported ? jinja_dict_set(run, run->exports, target->value, value) : OK;
}

static enum status assign_attribute(struct jinja_run *run, const struct jinja_node *target,
                                    struct jinja_value value)
{
    struct jinja_value object = *jinja_variable(run, target->a->hops, target->a->slot);
    if (object.type != JINJA_NAMESPACE)
        return jinja_fail(run, "only attributes of a namespace() can be set, found %s",
                          jinja_type_name(object));
    if (target->value.text[0] == '_')
        return jinja_fail(run, "the attribute \"%.*s\" of a namespace begins with an underscore",
                          (int)target->value.length, target->value.text);
    return jinja_dict_set(run, object.dict, target->value, value);
}

// a, b = value
static enum status assign_tuple(struct jinja_run *run, const struct jinja_node *target,
                                struct jinja_value value)
{
    struct jinja_value items;
    const struct jinja_node *item = target->a;
    TRY(jinja_to_list(run, value, JINJA_LIST, &items));
    size_t n = 0;
    for (; item; item = item->next)
        n++;
    if (n != items.list->n)
        return jinja_fail(run, "%zu values cannot be assigned to %zu variables", items.list->n, n);
    item = target->a;
    for (size_t i = 0; i < n; i++, item = item->next)
        TRY(jinja_assign(run, item, items.list->items[i]));
    return OK;
}

enum status jinja_assign(struct jinja_run *run, const struct jinja_node *target,
                         struct jinja_value value)
{
    assert(run && target);
    if (target->kind == JINJA_NODE_TUPLE_TARGET)
        return assign_tuple(run, target, value);
    return target->kind == JINJA_NODE_TARGET ? assign_name(run, target, value)
                                             : assign_attribute(run, target, value);
}

// Attributes in a target are of namespaces; Jinja2 looks before it evaluates the value.
static enum status check_targets(struct jinja_run *run, const struct jinja_node *target)
{
    for (; target; target = target->next) {
        if (target->kind == JINJA_NODE_TUPLE_TARGET)
            TRY(check_targets(run, target->a));
        if (target->kind == JINJA_NODE_ATTRIBUTE_TARGET) {
            struct jinja_value object = *jinja_variable(run, target->a->hops, target->a->slot);
            if (object.type != JINJA_NAMESPACE)
                return jinja_fail(run, "only attributes of a namespace() can be set, found %s",
                                  jinja_type_name(object));
        }
    }
    return OK;
}

static enum status run_set(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value;
    TRY(check_targets(run, node->a));
    TRY(jinja_evaluate(run, node->b, &value));
    return jinja_assign(run, node->a, value);
}

// ---- bodies whose output is taken ----

// What a {% filter %} or {% call %} gives is joined to the rest: it must be a text.
static enum status write_block(struct jinja_run *run, struct jinja_value text)
{
    if (text.type != JINJA_TEXT)
        return jinja_fail(run, "a filter or call block gives %s; expected a string",
                          jinja_type_name(text));
    return jinja_write(run, text.text, text.length);
}

static enum status run_captured(struct jinja_run *run, const struct jinja_node *node)
{
    size_t begin = run->out.length;
    struct jinja_value text;
    TRY(jinja_enter_scope(run, node->scope));
    TRY(jinja_run_statements(run, node->c));
    if (run->jump != JINJA_GO_ON) { // a break leaves before the filter
        run->out.length = begin;
        return OK;
    }
    TRY(jinja_take_output(run, begin, &text));
    TRY(jinja_evaluate_filters(run, node->b, text, &text));
    if (node->kind == JINJA_NODE_FILTER_BLOCK)
        TRY(write_block(run, text));
    else
        TRY(jinja_assign(run, node->a, text));
    jinja_leave_scope(run, node->scope);
    return OK;
}

static enum status run_scope(struct jinja_run *run, const struct jinja_node *node)
{
    TRY(jinja_enter_scope(run, node->scope));
    TRY(jinja_run_statements(run, node->c));
    if (run->jump == JINJA_GO_ON)
        jinja_leave_scope(run, node->scope);
    return OK;
}

// Values are evaluated one by one outside; the targets are inside.
static enum status run_with(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value;
    TRY(jinja_enter_scope(run, node->scope));
    const struct jinja_node *target = node->a;
    for (const struct jinja_node *item = node->b; item; item = item->next, target = target->next) {
        TRY(jinja_evaluate(run, item, &value));
        TRY(jinja_assign(run, target, value));
    }
    TRY(jinja_run_statements(run, node->c));
    if (run->jump == JINJA_GO_ON)
        jinja_leave_scope(run, node->scope);
    return OK;
}

// ---- macros ----

static enum status new_macro(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *out)
{
    struct jinja_macro *macro;
    TRY(jinja_take(run, 1, sizeof *macro, &macro));
    *macro = (struct jinja_macro){node, run->activation};
    *out = (struct jinja_value){.type = JINJA_MACRO, .macro = macro};
    return OK;
}

struct binding { // of a macro's arguments
    const struct jinja_arguments *arguments;
    const struct jinja_node *node;
    bool *used; // [n_named]
    struct jinja_value name;
};

static bool take_named(struct binding *binding, struct jinja_value name, struct jinja_value *out)
{
    for (size_t i = 0; i < binding->arguments->n_named; i++) {
        struct jinja_value other = binding->arguments->names[i];
        if (binding->used[i] || other.length != name.length ||
            memcmp(other.text, name.text, name.length) != 0)
            continue;
        binding->used[i] = true;
        *out = binding->arguments->named[i];
        return true;
    }
    return false;
}

static enum status bind_rest(struct jinja_run *run, struct binding *binding, size_t taken)
{
    const struct jinja_arguments *arguments = binding->arguments;
    const struct jinja_function *function = binding->node->function;
    struct jinja_value value;
    struct jinja_dict *kwargs;
    if (function->caller_slot >= 0) {
        if (!take_named(binding, jinja_literal("caller"), &value) || value.type == JINJA_NONE)
            value = jinja_hint("this macro was called without a caller; expected {% call %}");
        run->activation->slots[function->caller_slot] = value;
    }
    TRY(jinja_dict_new(run, &kwargs));
    for (size_t i = 0; i < arguments->n_named; i++) {
        if (binding->used[i])
            continue;
        if (function->kwargs_slot < 0)
            return jinja_fail(run, "the macro \"%.*s\" has no argument \"%.*s\"",
                              (int)binding->name.length, binding->name.text,
                              (int)arguments->names[i].length, arguments->names[i].text);
        TRY(jinja_dict_set(run, kwargs, arguments->names[i], arguments->named[i]));
    }
    if (function->kwargs_slot >= 0)
        run->activation->slots[function->kwargs_slot] = jinja_of_dict(kwargs);
    if (function->varargs_slot < 0)
        return arguments->n > taken
                   ? jinja_fail(run, "the macro \"%.*s\" takes at most %zu arguments, found %zu",
                                (int)binding->name.length, binding->name.text, taken, arguments->n)
                   : OK;
    struct jinja_list *list;
    TRY(jinja_list_new(run, JINJA_TUPLE, arguments->n, &list,
                       &run->activation->slots[function->varargs_slot]));
    for (size_t i = taken; i < arguments->n; i++)
        list->items[list->n++] = arguments->values[i];
    return OK;
}

// Fills the parameters; those not given get their default, which may use the ones before.
static enum status bind_macro(struct jinja_run *run, const struct jinja_node *node,
                              const struct jinja_arguments *arguments)
{
    assert(run && node && arguments);
    struct binding binding = {.arguments = arguments, .node = node};
    size_t taken = 0;
    binding.name = node->kind == JINJA_NODE_MACRO ? node->value : jinja_literal("caller");
    TRY(jinja_take(run, arguments->n_named, sizeof *binding.used, &binding.used));
    for (size_t i = 0; i < arguments->n_named; i++)
        binding.used[i] = false;
    for (const struct jinja_node *p = node->b; p; p = p->next) {
        struct jinja_value *slot = &run->activation->slots[p->slot];
        if (taken < arguments->n)
            *slot = arguments->values[taken];
        else if (!take_named(&binding, p->value, slot))
            *slot = jinja_missing();
        taken += taken < arguments->n;
    }
    size_t n = 0;
    for (const struct jinja_node *p = node->b; p; p = p->next)
        n++;
    TRY(bind_rest(run, &binding, n));
    for (const struct jinja_node *p = node->b; p; p = p->next) {
        struct jinja_value *slot = &run->activation->slots[p->slot];
        if (slot->type != JINJA_MISSING)
            continue;
        if (p->b)
            TRY(jinja_evaluate(run, p->b, slot));
        else
            *slot = jinja_undefined(JINJA_NO_VARIABLE, p->value.text, p->value.length);
    }
    return OK;
}

static enum status run_function(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_activation *outer,
                                const struct jinja_arguments *arguments, struct jinja_value *out)
{
    assert(run && node && arguments && out);
    size_t begin = run->out.length;
    TRY(jinja_activate(run, node->function, outer));
    TRY(bind_macro(run, node, arguments));
    TRY(jinja_run_statements(run, node->c));
    return jinja_take_output(run, begin, out);
}

enum status jinja_call_macro(struct jinja_run *run, const struct jinja_macro *macro,
                             const struct jinja_arguments *arguments, struct jinja_value *out)
{
    assert(run && macro && arguments && out);
    struct jinja_activation *before = run->activation;
    enum status status = run_function(run, macro->node, macro->outer, arguments, out);
    run->activation = before;
    return status;
}

static enum status run_macro(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value macro;
    TRY(new_macro(run, node, &macro));
    return assign_name(run, node, macro);
}

static enum status run_call_block(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value caller, function, text;
    struct jinja_arguments arguments;
    TRY(new_macro(run, node, &caller));
    TRY(jinja_evaluate(run, node->a->a, &function));
    TRY(jinja_evaluate_arguments(run, node->a->b, &caller, &arguments));
    run->line = node->line;
    TRY(jinja_call(run, function, &arguments, &text));
    return write_block(run, text);
}

static enum status run_generation(struct jinja_run *run, const struct jinja_node *node)
{
    static const struct jinja_arguments none;
    struct jinja_value macro, text;
    TRY(new_macro(run, node, &macro));
    TRY(jinja_call_macro(run, macro.macro, &none, &text));
    return jinja_print(run, text);
}

static enum status run_statements(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_activation *before = run->activation;
    enum status status = jinja_activate(run, node->function, NULL);
    if (status == OK)
        status = jinja_run_statements(run, node->c);
    run->activation = before;
    return status;
}

// ---- statements ----

static enum status run_if(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value condition;
    TRY(jinja_evaluate(run, node->a, &condition));
    if (jinja_true(condition))
        return jinja_run_statements(run, node->b);
    for (const struct jinja_node *elif = node->c; elif; elif = elif->next) {
        TRY(jinja_evaluate(run, elif->a, &condition));
        if (jinja_true(condition))
            return jinja_run_statements(run, elif->b);
    }
    return jinja_run_statements(run, node->d);
}

static enum status run_print(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value;
    TRY(jinja_evaluate(run, node->a, &value));
    return jinja_print(run, value);
}

static enum status run_statement(struct jinja_run *run, const struct jinja_node *node)
{
    switch (node->kind) {
    case JINJA_NODE_DATA:
        return jinja_write(run, node->value.text, node->value.length);
    case JINJA_NODE_PRINT:
        return run_print(run, node);
    case JINJA_NODE_IF:
        return run_if(run, node);
    case JINJA_NODE_FOR:
        return jinja_run_for(run, node);
    case JINJA_NODE_SET:
        return run_set(run, node);
    case JINJA_NODE_SET_BLOCK:
    case JINJA_NODE_FILTER_BLOCK:
        return run_captured(run, node);
    case JINJA_NODE_MACRO:
        return run_macro(run, node);
    case JINJA_NODE_CALL_BLOCK:
        return run_call_block(run, node);
    case JINJA_NODE_GENERATION:
        return run_generation(run, node);
    case JINJA_NODE_WITH:
        return run_with(run, node);
    case JINJA_NODE_SCOPE:
        return run_scope(run, node);
    case JINJA_NODE_BLOCK:
        return run_statements(run, node);
    case JINJA_NODE_LOADER:
        return jinja_fail(run, "{%% %.*s %%} has no other templates to load from",
                          (int)node->value.length, node->value.text);
    case JINJA_NODE_BREAK:
        run->jump = JINJA_BREAKS;
        return OK;
    case JINJA_NODE_CONTINUE:
        run->jump = JINJA_CONTINUES;
        return OK;
    default:
        return fail(ERR_INTERNAL, "%s: line %d: not a statement", run->name, node->line);
    }
}

enum status jinja_run_statements(struct jinja_run *run, const struct jinja_node *node)
{
    if (++run->depth > JINJA_EVAL_DEPTH_MAX)
        return jinja_fail(run, "statements and calls are nested deeper than %d levels",
                          JINJA_EVAL_DEPTH_MAX);
    for (; node && run->jump == JINJA_GO_ON; node = node->next) {
        run->line = node->line;
        TRY(jinja_step(run, 1));
        TRY(run_statement(run, node));
    }
    run->depth--;
    return OK;
}

enum status jinja_render(struct jinja_run *run, const struct jinja_tree *tree)
{
    assert(run && tree);
    TRY(jinja_dict_new(run, &run->exports));
    if (!run->variables)
        TRY(jinja_dict_new(run, &run->variables));
    TRY(jinja_activate(run, tree->function, NULL));
    return jinja_run_statements(run, tree->root);
}
