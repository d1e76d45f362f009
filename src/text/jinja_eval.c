// Expressions and variables. Statements are in jinja_statements.c.
#include "text/jinja_eval.h"

#include <assert.h>

// ---- variables ----

enum status jinja_activate(struct jinja_run *run, const struct jinja_function *function,
                           struct jinja_activation *outer)
{
    assert(run && function);
    struct jinja_activation *activation;
    size_t slots = (size_t)function->n_slots;
    TRY(jinja_take(run, 1, sizeof *activation + slots * sizeof *activation->slots, &activation));
    activation->outer = outer;
    for (size_t i = 0; i < slots; i++)
        activation->slots[i] = jinja_missing();
    run->activation = activation;
    return jinja_enter_scope(run, &function->scope);
}

struct jinja_value *jinja_variable(struct jinja_run *run, int hops, int slot)
{
    assert(run->activation && hops >= 0 && slot >= 0);
    struct jinja_activation *activation = run->activation;
    while (hops-- > 0)
        activation = activation->outer;
    return &activation->slots[slot];
}

// What the caller gave, or a function of Jinja2's.
static enum status resolve_name(struct jinja_run *run, struct jinja_value name,
                                struct jinja_value *out)
{
    const struct jinja_value *found = NULL;
    TRY(jinja_dict_get(run, run->exports, name, &found));
    if (!found)
        TRY(jinja_dict_get(run, run->variables, name, &found));
    *out = jinja_missing();
    if (found) {
        *out = *found;
        return OK;
    }
    const struct jinja_builtin *function = jinja_find_function(name.text, name.length);
    if (function)
        *out = (struct jinja_value){.type = JINJA_FUNCTION, .function = function};
    return OK;
}

enum status jinja_enter_scope(struct jinja_run *run, const struct jinja_scope *scope)
{
    assert(run && scope);
    for (int i = 0; i < scope->n_loads; i++) {
        const struct jinja_load *load = &scope->loads[i];
        struct jinja_value *slot = &run->activation->slots[load->slot];
        switch (load->action) {
        case JINJA_LOAD_PARAMETER:
            break;
        case JINJA_LOAD_RESOLVE:
            TRY(resolve_name(run, jinja_text(load->name, load->name_length), slot));
            break;
        case JINJA_LOAD_ALIAS:
            *slot = *jinja_variable(run, load->hops, load->alias_slot);
            break;
        case JINJA_LOAD_UNSET:
            *slot = jinja_missing();
            break;
        }
    }
    return OK;
}

void jinja_leave_scope(struct jinja_run *run, const struct jinja_scope *scope)
{
    assert(run && scope);
    for (int i = 0; i < scope->n_loads; i++)
        run->activation->slots[scope->loads[i].slot] = jinja_missing();
}

// ---- containers ----

static enum status evaluate_list(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    struct jinja_builder items = {0};
    struct jinja_value value = {0};
    for (const struct jinja_node *item = node->a; item; item = item->next) {
        TRY(jinja_evaluate(run, item, &value));
        TRY(jinja_push(run, &items, value));
    }
    return jinja_built(run, node->kind == JINJA_NODE_LIST ? JINJA_LIST : JINJA_TUPLE, &items, out);
}

static enum status evaluate_dict(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    struct jinja_dict *dict;
    struct jinja_value key = {0}, value = {0};
    TRY(jinja_dict_new(run, &dict));
    for (const struct jinja_node *item = node->a; item; item = item->next->next) {
        TRY(jinja_evaluate(run, item, &key));
        TRY(jinja_evaluate(run, item->next, &value));
        TRY(jinja_dict_set(run, dict, key, value));
    }
    *out = jinja_of_dict(dict);
    return OK;
}

static enum status concatenate(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value *out)
{
    size_t begin = run->out.length;
    struct jinja_builder parts = {0};
    struct jinja_value value = {0};
    for (const struct jinja_node *part = node->a; part; part = part->next) {
        TRY(jinja_evaluate(run, part, &value));
        TRY(jinja_push(run, &parts, value));
    }
    for (size_t i = 0; i < parts.n; i++)
        TRY(jinja_print(run, parts.items[i]));
    return jinja_take_output(run, begin, out);
}

// ---- calls ----

static enum status add_named(struct jinja_run *run, struct jinja_builder *names,
                             struct jinja_builder *named, struct jinja_value name,
                             struct jinja_value value)
{
    for (size_t i = 0; i < names->n; i++)
        if (names->items[i].length == name.length &&
            memcmp(names->items[i].text, name.text, name.length) == 0)
            return jinja_fail(run, "the argument \"%.*s\" is given twice", (int)name.length,
                              name.text);
    TRY(jinja_push(run, names, name));
    return jinja_push(run, named, value);
}

static enum status spread_dict(struct jinja_run *run, struct jinja_value value,
                               struct jinja_builder *names, struct jinja_builder *named)
{
    if (value.type != JINJA_DICT)
        return jinja_fail(run, "** needs a dict, found %s", jinja_type_name(value));
    for (size_t i = 0; i < value.dict->n; i++) {
        if (value.dict->entries[i].key.type != JINJA_TEXT)
            return jinja_fail(run, "** needs a dict whose keys are strings");
        TRY(add_named(run, names, named, value.dict->entries[i].key, value.dict->entries[i].value));
    }
    return OK;
}

static enum status spread_list(struct jinja_run *run, struct jinja_value value,
                               struct jinja_builder *values)
{
    TRY(jinja_to_list(run, value, JINJA_LIST, &value));
    for (size_t i = 0; i < value.list->n; i++)
        TRY(jinja_push(run, values, value.list->items[i]));
    return OK;
}

enum status jinja_evaluate_arguments(struct jinja_run *run, const struct jinja_node *node,
                                     const struct jinja_value *caller, struct jinja_arguments *out)
{
    assert(run && out); // node NULL: no arguments
    struct jinja_builder values = {0}, names = {0}, named = {0};
    struct jinja_value value = {0};
    for (; node; node = node->next) {
        TRY(jinja_evaluate(run, node->a, &value));
        switch (node->spread) {
        case JINJA_BY_POSITION:
            TRY(jinja_push(run, &values, value));
            break;
        case JINJA_BY_NAME:
            TRY(add_named(run, &names, &named, node->value, value));
            break;
        case JINJA_STAR:
            TRY(spread_list(run, value, &values));
            break;
        case JINJA_TWO_STARS:
            TRY(spread_dict(run, value, &names, &named));
            break;
        }
    }
    if (caller)
        TRY(add_named(run, &names, &named, jinja_literal("caller"), *caller));
    *out = (struct jinja_arguments){values.n, names.n, values.items, names.items, named.items};
    return OK;
}

static enum status evaluate_call(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    struct jinja_arguments arguments;
    struct jinja_value function = {0};
    TRY(jinja_evaluate(run, node->a, &function));
    TRY(jinja_evaluate_arguments(run, node->b, NULL, &arguments));
    run->line = node->line;
    return jinja_call(run, function, &arguments, out);
}

static enum status apply_named(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value value, struct jinja_value *out)
{
    struct jinja_arguments arguments;
    TRY(jinja_evaluate_arguments(run, node->b, NULL, &arguments));
    run->line = node->line;
    if (!node->builtin)
        return jinja_fail(run, "there is no %s \"%.*s\"",
                          node->kind == JINJA_NODE_FILTER ? "filter" : "test",
                          (int)node->value.length, node->value.text);
    return jinja_call_builtin(run, node->builtin, value, &arguments, out);
}

enum status jinja_evaluate_filters(struct jinja_run *run, const struct jinja_node *node,
                                   struct jinja_value text, struct jinja_value *out)
{
    assert(run && out); // node NULL: no more of them
    *out = text;
    if (!node)
        return OK;
    TRY(jinja_evaluate_filters(run, node->a, text, out)); // as deep as the tree is
    return apply_named(run, node, *out, out);
}

// ---- operators ----

static enum status compare_two(struct jinja_run *run, enum jinja_comparison comparison,
                               struct jinja_value a, struct jinja_value b, bool *out)
{
    int order = 0;
    switch (comparison) {
    case JINJA_EQ:
        return jinja_equal(run, a, b, out);
    case JINJA_NE:
        TRY(jinja_equal(run, a, b, out));
        *out = !*out;
        return OK;
    case JINJA_IN:
        return jinja_contains(run, b, a, out);
    case JINJA_NOT_IN:
        TRY(jinja_contains(run, b, a, out));
        *out = !*out;
        return OK;
    case JINJA_LT:
    case JINJA_LE:
    case JINJA_GT:
    case JINJA_GE:
        break;
    }
    TRY(jinja_order(run, a, b, &order));
    *out = comparison == JINJA_LT   ? order == -1
           : comparison == JINJA_LE ? order == -1 || order == 0
           : comparison == JINJA_GT ? order == 1
                                    : order == 1 || order == 0;
    return OK;
}

// a < b < c: each is evaluated once, and none behind the first that does not hold.
static enum status evaluate_compare(struct jinja_run *run, const struct jinja_node *node,
                                    struct jinja_value *out)
{
    struct jinja_value left = {0}, right = {0};
    bool holds = true;
    TRY(jinja_evaluate(run, node->a, &left));
    for (const struct jinja_node *operand = node->b; operand && holds; operand = operand->next) {
        TRY(jinja_evaluate(run, operand->a, &right));
        TRY(compare_two(run, operand->comparison, left, right, &holds));
        left = right;
    }
    *out = jinja_bool(holds);
    return OK;
}

static enum status evaluate_binary(struct jinja_run *run, const struct jinja_node *node,
                                   struct jinja_value *out)
{
    struct jinja_value a = {0}, b = {0};
    TRY(jinja_evaluate(run, node->a, &a));
    TRY(jinja_evaluate(run, node->b, &b));
    run->line = node->line;
    return jinja_arithmetic(run, node->arithmetic, a, b, out);
}

static enum status evaluate_choice(struct jinja_run *run, const struct jinja_node *node,
                                   struct jinja_value *out)
{
    TRY(jinja_evaluate(run, node->a, out));
    if (jinja_true(*out))
        return jinja_evaluate(run, node->b, out);
    if (node->c)
        return jinja_evaluate(run, node->c, out);
    *out = jinja_hint("the condition of an inline if does not hold and it has no else");
    return OK;
}

static enum status evaluate_slice(struct jinja_run *run, const struct jinja_node *node,
                                  struct jinja_value *out)
{
    struct jinja_value object = {0}, bounds[3] = {{0}};
    const struct jinja_node *parts[] = {node->b, node->c, node->d};
    TRY(jinja_evaluate(run, node->a, &object));
    for (int i = 0; i < 3; i++) {
        bounds[i] = jinja_none();
        if (parts[i])
            TRY(jinja_evaluate(run, parts[i], &bounds[i]));
    }
    return jinja_slice(run, object, bounds[0], bounds[1], bounds[2], out);
}

static enum status evaluate_name(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    *out = *jinja_variable(run, node->hops, node->slot);
    if (out->type != JINJA_MISSING)
        return OK;
    if (jinja_is_text(node->value, "self"))
        return jinja_unsupported(run, "\"self\" is not supported");
    *out = jinja_undefined(JINJA_NO_VARIABLE, node->value.text, node->value.length);
    return OK;
}

// Nodes that first evaluate their `a`.
static enum status evaluate_with_operand(struct jinja_run *run, const struct jinja_node *node,
                                         struct jinja_value *out)
{
    struct jinja_value value = {0}, key = {0};
    TRY(jinja_evaluate(run, node->a, &value));
    run->line = node->line;
    switch (node->kind) {
    case JINJA_NODE_NOT:
        *out = jinja_bool(!jinja_true(value));
        return OK;
    case JINJA_NODE_NEGATE:
    case JINJA_NODE_POSITIVE:
        return jinja_negate(run, value, node->kind == JINJA_NODE_NEGATE, out);
    case JINJA_NODE_AND:
    case JINJA_NODE_OR:
        *out = value;
        return jinja_true(value) == (node->kind == JINJA_NODE_AND)
                   ? jinja_evaluate(run, node->b, out)
                   : OK;
    case JINJA_NODE_ATTRIBUTE:
        return jinja_get_attribute(run, value, node->value, out);
    case JINJA_NODE_INDEX:
        TRY(jinja_evaluate(run, node->b, &key));
        return jinja_get_item(run, value, key, out);
    default: // JINJA_NODE_TEST, JINJA_NODE_FILTER
        return apply_named(run, node, value, out);
    }
}

static enum status evaluate_node(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    switch (node->kind) {
    case JINJA_NODE_LITERAL:
        *out = node->value;
        return OK;
    case JINJA_NODE_NAME:
        return evaluate_name(run, node, out);
    case JINJA_NODE_LIST:
    case JINJA_NODE_TUPLE:
        return evaluate_list(run, node, out);
    case JINJA_NODE_DICT:
        return evaluate_dict(run, node, out);
    case JINJA_NODE_BINARY:
        return evaluate_binary(run, node, out);
    case JINJA_NODE_CONCAT:
        return concatenate(run, node, out);
    case JINJA_NODE_COMPARE:
        return evaluate_compare(run, node, out);
    case JINJA_NODE_CHOICE:
        return evaluate_choice(run, node, out);
    case JINJA_NODE_SLICE:
        return evaluate_slice(run, node, out);
    case JINJA_NODE_CALL:
        return evaluate_call(run, node, out);
    default:
        return evaluate_with_operand(run, node, out);
    }
}

enum status jinja_evaluate(struct jinja_run *run, const struct jinja_node *node,
                           struct jinja_value *out)
{
    assert(run && node && out);
    run->line = node->line;
    TRY(jinja_step(run, 1));
    if (++run->depth > JINJA_EVAL_DEPTH_MAX)
        return jinja_fail(run, "expressions and calls are nested deeper than %d levels",
                          JINJA_EVAL_DEPTH_MAX);
    enum status status = evaluate_node(run, node, out);
    run->depth--;
    return status;
}
