#include "text/jinja_eval.h"

#include <stdlib.h>
#include <string.h>

void jinja_run_init(struct jinja_run *run, const char *name, struct bytes *out)
{
    *run = (struct jinja_run){.name = name, .out = out};
    run->memory.bytes_max = JINJA_VALUE_BYTES_MAX;
    run->memory.name = name;
    arena_init(&run->memory.arena);
}

void jinja_run_fini(struct jinja_run *run)
{
    arena_fini(&run->memory.arena);
    free(run->variables);
    *run = (struct jinja_run){0};
}

static enum status begin_step(struct jinja_run *run, const struct jinja_node *node)
{
    run->memory.line = node->line;
    if (++run->steps > JINJA_STEPS_MAX)
        return fail(ERR_INPUT, "%s: line %d: the template takes more than %d steps", run->name,
                    node->line, JINJA_STEPS_MAX);
    return OK;
}

// ---- variables ----

enum status jinja_run_set(struct jinja_run *run, struct jinja_value name, struct jinja_value value)
{
    for (size_t i = run->n_variables; i-- > run->frame;) {
        if (jinja_equal(run->variables[i].name, name)) {
            run->variables[i].value = value;
            return OK;
        }
    }
    TRY(memory_grow(&run->variables, &run->capacity, run->n_variables + 1, sizeof *run->variables,
                    "a template's variables"));
    run->variables[run->n_variables++] = (struct jinja_variable){name, value};
    return OK;
}

static struct jinja_value get_variable(const struct jinja_run *run, struct jinja_value name)
{
    for (size_t i = run->n_variables; i-- > 0;)
        if (jinja_equal(run->variables[i].name, name))
            return run->variables[i].value;
    return jinja_global(name);
}

// ---- objects ----

static struct jinja_value loop_attribute(const struct jinja_loop *loop, struct jinja_value name)
{
    size_t i = loop->index0, n = loop->items->n;
    if (jinja_is_text(name, "index0"))
        return jinja_int((int64_t)i);
    if (jinja_is_text(name, "index"))
        return jinja_int((int64_t)i + 1);
    if (jinja_is_text(name, "revindex0"))
        return jinja_int((int64_t)(n - i) - 1);
    if (jinja_is_text(name, "revindex"))
        return jinja_int((int64_t)(n - i));
    if (jinja_is_text(name, "first"))
        return jinja_bool(i == 0);
    if (jinja_is_text(name, "last"))
        return jinja_bool(i + 1 == n);
    if (jinja_is_text(name, "length"))
        return jinja_int((int64_t)n);
    if (jinja_is_text(name, "previtem") && i > 0)
        return loop->items->items[i - 1];
    if (jinja_is_text(name, "nextitem") && i + 1 < n)
        return loop->items->items[i + 1];
    return jinja_undefined();
}

static enum status undefined_object(const struct jinja_run *run, const struct jinja_node *node)
{
    const struct jinja_node *object = node->a;
    if (object->kind == JINJA_NAME)
        return fail(ERR_INPUT, "%s: line %d: \"%.*s\" is undefined", run->name, node->line,
                    (int)object->value.length, object->value.text);
    return fail(ERR_INPUT, "%s: line %d: an attribute or item of an undefined value is asked for",
                run->name, node->line);
}

static enum status get_item(struct jinja_run *run, const struct jinja_node *node,
                            struct jinja_value object, struct jinja_value key,
                            struct jinja_value *out)
{
    *out = jinja_undefined();
    if (object.type == JINJA_UNDEFINED)
        return undefined_object(run, node);
    if (object.type == JINJA_LOOP) {
        *out = loop_attribute(object.loop, key);
        return OK;
    }
    if (object.type == JINJA_DICT || object.type == JINJA_NAMESPACE) {
        const struct jinja_value *value = jinja_dict_get(object.dict, key);
        if (value)
            *out = *value;
        return OK;
    }
    if (key.type != JINJA_INT || (object.type != JINJA_LIST && object.type != JINJA_TEXT))
        return OK;
    size_t n = object.type == JINJA_LIST ? object.list->n : jinja_text_length(object);
    int64_t i = key.number < 0 ? key.number + (int64_t)n : key.number;
    if (i < 0 || i >= (int64_t)n)
        return OK;
    *out = object.type == JINJA_LIST ? object.list->items[i]
                                     : jinja_text_slice(object, (size_t)i, (size_t)i + 1);
    return OK;
}

// One bound of a slice, as Python's PySlice_AdjustIndices.
static enum status slice_bound(struct jinja_run *run, const struct jinja_node *node, int64_t n,
                               int64_t otherwise, bool backwards, int64_t *out)
{
    struct jinja_value value = jinja_none();
    if (node)
        TRY(jinja_run_expression(run, node, &value));
    if (value.type == JINJA_NONE) {
        *out = otherwise;
        return OK;
    }
    if (value.type != JINJA_INT)
        return fail(ERR_INPUT, "%s: line %d: a slice [:] needs integers, found %s", run->name,
                    node->line, jinja_type_name(value.type));
    int64_t least = backwards ? -1 : 0, most = backwards ? n - 1 : n;
    int64_t i = value.number < 0 ? value.number + n : value.number;
    *out = i < least ? least : i > most ? most : i;
    return OK;
}

static enum status slice(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value object, struct jinja_value *out)
{
    struct jinja_value step = jinja_int(1);
    if (object.type == JINJA_UNDEFINED)
        return undefined_object(run, node);
    if (object.type != JINJA_LIST && object.type != JINJA_TEXT)
        return fail(ERR_INPUT, "%s: line %d: %s cannot be sliced", run->name, node->line,
                    jinja_type_name(object.type));
    if (node->d)
        TRY(jinja_run_expression(run, node->d, &step));
    if (step.type != JINJA_INT || step.number == 0 ||
        (object.type == JINJA_TEXT && step.number != 1))
        return fail(ERR_UNSUPPORTED, "%s: line %d: this step of a slice [::] is not supported",
                    run->name, node->line);
    bool backwards = step.number < 0;
    int64_t n = (int64_t)(object.type == JINJA_LIST ? object.list->n : jinja_text_length(object)),
            begin, end;
    TRY(slice_bound(run, node->b, n, backwards ? n - 1 : 0, backwards, &begin));
    TRY(slice_bound(run, node->c, n, backwards ? -1 : n, backwards, &end));
    if (object.type == JINJA_TEXT) {
        *out = jinja_text_slice(object, (size_t)begin, (size_t)(end > begin ? end : begin));
        return OK;
    }
    TRY(jinja_list_new(&run->memory, out));
    for (int64_t i = begin; backwards ? i > end : i < end;) {
        TRY(jinja_list_push(&run->memory, out->list, object.list->items[i]));
        if (__builtin_add_overflow(i, step.number, &i))
            break;
    }
    return OK;
}

// ---- expressions ----

static enum status binary(struct jinja_run *run, const struct jinja_node *node,
                          struct jinja_value *out)
{
    struct jinja_value a, b;
    TRY(jinja_run_expression(run, node->a, &a));
    TRY(jinja_run_expression(run, node->b, &b));
    return jinja_operate(run, node, a, b, out);
}

static enum status eval_arguments(struct jinja_run *run, const struct jinja_node *node,
                                  struct jinja_arguments *out)
{
    out->n = 0;
    for (; node; node = node->next) {
        if (out->n == JINJA_ARGUMENTS_MAX)
            return fail(ERR_UNSUPPORTED, "%s: line %d: more than %d arguments", run->name,
                        node->line, JINJA_ARGUMENTS_MAX);
        out->keywords[out->n] = node->value;
        TRY(jinja_run_expression(run, node->a, &out->values[out->n]));
        out->n++;
    }
    return OK;
}

static enum status eval_call(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value *out)
{
    const struct jinja_node *callee = node->a;
    struct jinja_arguments arguments;
    struct jinja_value function;
    if (callee->kind == JINJA_ATTRIBUTE) {
        struct jinja_value object;
        bool known;
        TRY(jinja_run_expression(run, callee->a, &object));
        TRY(eval_arguments(run, node->b, &arguments));
        if (object.type == JINJA_UNDEFINED)
            return undefined_object(run, callee);
        TRY(jinja_method(run, callee, object, &arguments, out, &known));
        if (known)
            return OK;
        return fail(ERR_UNSUPPORTED, "%s: line %d: the method \"%.*s\" of %s is not supported",
                    run->name, node->line, (int)callee->value.length, callee->value.text,
                    jinja_type_name(object.type));
    }
    TRY(jinja_run_expression(run, callee, &function));
    if (function.type != JINJA_FUNCTION)
        return fail(ERR_INPUT, "%s: line %d: \"%.*s\" is %s and cannot be called", run->name,
                    node->line, callee->kind == JINJA_NAME ? (int)callee->value.length : 0,
                    callee->value.text, jinja_type_name(function.type));
    TRY(eval_arguments(run, node->b, &arguments));
    return jinja_call(run, node, function.function, &arguments, out);
}

static enum status eval_items(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value *out)
{
    struct jinja_value value, key;
    if (node->kind == JINJA_LIST_OF) {
        TRY(jinja_list_new(&run->memory, out));
        for (const struct jinja_node *item = node->a; item; item = item->next) {
            TRY(jinja_run_expression(run, item, &value));
            TRY(jinja_list_push(&run->memory, out->list, value));
        }
        return OK;
    }
    TRY(jinja_dict_new(&run->memory, JINJA_DICT, out));
    for (const struct jinja_node *item = node->a; item; item = item->next->next) {
        TRY(jinja_run_expression(run, item, &key));
        TRY(jinja_run_expression(run, item->next, &value));
        TRY(jinja_dict_set(&run->memory, out->dict, key, value));
    }
    return OK;
}

static enum status eval_named(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value value, struct jinja_value *out)
{
    struct jinja_arguments arguments;
    bool truth;
    TRY(eval_arguments(run, node->b, &arguments));
    if (node->kind == JINJA_FILTER)
        return jinja_filter(run, node, value, &arguments, out);
    TRY(jinja_test(run, node, value, &arguments, &truth));
    *out = jinja_bool(truth);
    return OK;
}

// Nodes that first evaluate their `a`.
static enum status eval_with_operand(struct jinja_run *run, const struct jinja_node *node,
                                     struct jinja_value *out)
{
    struct jinja_value value, key;
    int64_t number;
    TRY(jinja_run_expression(run, node->a, &value));
    switch (node->kind) {
    case JINJA_NOT:
        *out = jinja_bool(!jinja_true(value));
        return OK;
    case JINJA_NEGATE:
        if (!jinja_number(value, &number) || number == INT64_MIN)
            return fail(ERR_INPUT, "%s: line %d: the operator - cannot take %s", run->name,
                        node->line, jinja_type_name(value.type));
        *out = jinja_int(-number);
        return OK;
    case JINJA_AND:
    case JINJA_OR:
        *out = value;
        return jinja_true(value) == (node->kind == JINJA_AND)
                   ? jinja_run_expression(run, node->b, out)
                   : OK;
    case JINJA_CHOICE:
        *out = jinja_undefined();
        if (jinja_true(value))
            return jinja_run_expression(run, node->b, out);
        return node->c ? jinja_run_expression(run, node->c, out) : OK;
    case JINJA_ATTRIBUTE:
        return get_item(run, node, value, node->value, out);
    case JINJA_INDEX:
        TRY(jinja_run_expression(run, node->b, &key));
        return get_item(run, node, value, key, out);
    case JINJA_SLICE:
        return slice(run, node, value, out);
    default: // JINJA_TEST, JINJA_FILTER
        return eval_named(run, node, value, out);
    }
}

enum status jinja_run_expression(struct jinja_run *run, const struct jinja_node *node,
                                 struct jinja_value *out)
{
    enum status status;
    TRY(begin_step(run, node));
    if (++run->depth > JINJA_EVAL_DEPTH_MAX)
        return fail(ERR_INPUT, "%s: line %d: an expression is nested deeper than %d levels",
                    run->name, node->line, JINJA_EVAL_DEPTH_MAX);
    switch (node->kind) {
    case JINJA_LITERAL:
        *out = node->value;
        status = OK;
        break;
    case JINJA_NAME:
        *out = get_variable(run, node->value);
        status = OK;
        break;
    case JINJA_LIST_OF:
    case JINJA_DICT_OF:
        status = eval_items(run, node, out);
        break;
    case JINJA_BINARY:
        status = binary(run, node, out);
        break;
    case JINJA_CALL:
        status = eval_call(run, node, out);
        break;
    default:
        status = eval_with_operand(run, node, out);
        break;
    }
    run->depth--;
    return status;
}

// ---- statements ----

static enum status write_text(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_value text)
{
    if (text.length > JINJA_OUTPUT_BYTES_MAX - run->out->length)
        return fail(ERR_INPUT, "%s: line %d: the template writes more than %d bytes", run->name,
                    node->line, JINJA_OUTPUT_BYTES_MAX);
    return bytes_append(run->out, text.text, text.length);
}

static enum status print(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value;
    TRY(jinja_run_expression(run, node->a, &value));
    TRY(jinja_to_text(&run->memory, value, &value));
    return write_text(run, node, value);
}

static enum status set(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value value, object;
    TRY(jinja_run_expression(run, node->b, &value));
    if (node->a->kind == JINJA_NAME)
        return jinja_run_set(run, node->a->value, value);
    TRY(jinja_run_expression(run, node->a->a, &object));
    if (object.type != JINJA_NAMESPACE)
        return fail(ERR_INPUT, "%s: line %d: only attributes of a namespace() can be set, found %s",
                    run->name, node->line, jinja_type_name(object.type));
    return jinja_dict_set(&run->memory, object.dict, node->a->value, value);
}

// The loop's variables for one item: "for x" or "for key, value".
static enum status bind_targets(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value item)
{
    const struct jinja_node *target = node->a;
    if (!target->next)
        return jinja_run_set(run, target->value, item);
    for (size_t i = 0; target; target = target->next, i++) {
        bool fits =
            item.type == JINJA_LIST && i < item.list->n && (target->next || i + 1 == item.list->n);
        if (!fits)
            return fail(ERR_INPUT,
                        "%s: line %d: an item of the loop cannot be unpacked into its variables",
                        run->name, node->line);
        TRY(jinja_run_set(run, target->value, item.list->items[i]));
    }
    return OK;
}

// The items for which the loop's `if` holds.
static enum status filter_items(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value *items)
{
    struct jinja_value all = *items, keep;
    size_t mark = run->n_variables;
    TRY(jinja_list_new(&run->memory, items));
    for (size_t i = 0; i < all.list->n; i++) {
        TRY(bind_targets(run, node, all.list->items[i]));
        TRY(jinja_run_expression(run, node->e, &keep));
        if (jinja_true(keep))
            TRY(jinja_list_push(&run->memory, items->list, all.list->items[i]));
        run->n_variables = mark;
    }
    return OK;
}

static enum status run_items(struct jinja_run *run, const struct jinja_node *node,
                             const struct jinja_list *items)
{
    size_t mark = run->n_variables;
    struct jinja_loop *loop;
    for (size_t i = 0; i < items->n && run->jump != JINJA_BREAKS; i++) {
        run->jump = JINJA_GO_ON;
        TRY(begin_step(run, node));
        TRY(jinja_take(&run->memory, 1, sizeof *loop, &loop)); // a template may keep it
        *loop = (struct jinja_loop){items, i};
        TRY(jinja_run_set(run, jinja_text("loop", 4),
                          (struct jinja_value){.type = JINJA_LOOP, .loop = loop}));
        TRY(bind_targets(run, node, items->items[i]));
        TRY(jinja_run_statements(run, node->c));
        run->n_variables = mark;
    }
    run->jump = JINJA_GO_ON;
    return OK;
}

static enum status run_for(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value items;
    TRY(jinja_run_expression(run, node->b, &items));
    TRY(jinja_iterate(run, node->line, items, &items));
    size_t frame = run->frame;
    run->frame = run->n_variables;
    if (node->e)
        TRY(filter_items(run, node, &items));
    TRY(items.list->n ? run_items(run, node, items.list) : jinja_run_statements(run, node->d));
    run->n_variables = run->frame;
    run->frame = frame;
    return OK;
}

static enum status run_if(struct jinja_run *run, const struct jinja_node *node)
{
    struct jinja_value condition;
    TRY(jinja_run_expression(run, node->a, &condition));
    return jinja_run_statements(run, jinja_true(condition) ? node->b : node->c);
}

static enum status run_statement(struct jinja_run *run, const struct jinja_node *node)
{
    switch (node->kind) {
    case JINJA_DATA:
        return write_text(run, node, node->value);
    case JINJA_PRINT:
        return print(run, node);
    case JINJA_IF:
        return run_if(run, node);
    case JINJA_FOR:
        return run_for(run, node);
    case JINJA_SET:
        return set(run, node);
    case JINJA_BREAK:
        run->jump = JINJA_BREAKS;
        return OK;
    case JINJA_CONTINUE:
        run->jump = JINJA_CONTINUES;
        return OK;
    default:
        return fail(ERR_INTERNAL, "%s: line %d: not a statement", run->name, node->line);
    }
}

enum status jinja_run_statements(struct jinja_run *run, const struct jinja_node *node)
{
    for (; node && run->jump == JINJA_GO_ON; node = node->next) {
        TRY(begin_step(run, node));
        TRY(run_statement(run, node));
    }
    return OK;
}
