// Which variable a name means: Jinja2's idtracking.py and compiler.py, without the Python between.
//
// Jinja2 compiles a template to a Python function and macros, recursive loops and loop filters to
// functions inside it. A name becomes a local variable l_LEVEL_NAME of the scope it is in; a scope
// that only reads a name of a scope outside shares that one's variable; one that also assigns gets
// a copy when it is entered. Everything a template can observe of scoping follows from doing the
// same.
#include "text/jinja_symbols.h"

#include <assert.h>

struct frame { // where a statement stands
    struct symbols *symbols;
    bool top;     // of the template, not in a loop or macro
    bool soft;    // in an if: filters may be unknown
    bool in_loop; // of this function
};

// ---- places of names, scopes of bodies (CodeGenerator) ----

static enum status visit_list(struct symbol_resolver *resolver, const struct frame *frame,
                              struct jinja_node *node);

static struct symbols inner_symbols(const struct frame *frame)
{
    return (struct symbols){.level = frame->symbols->level + 1,
                            .parent = frame->symbols,
                            .owner = frame->symbols->owner};
}

static enum status keep_scope(struct symbol_resolver *resolver, const struct symbols *symbols,
                              struct jinja_scope *out)
{
    out->n_loads = (int)symbols->n;
    TRY(arena_take(resolver->arena, symbols->n + 1, sizeof *out->loads, &out->loads));
    for (size_t i = 0; i < symbols->n; i++)
        out->loads[i] = symbols->items[i].load;
    return OK;
}

static enum status new_scope(struct symbol_resolver *resolver, const struct symbols *symbols,
                             const struct jinja_scope **out)
{
    struct jinja_scope *scope;
    TRY(arena_take(resolver->arena, 1, sizeof *scope, &scope));
    *out = scope;
    return keep_scope(resolver, symbols, scope);
}

// A function inside that of `frame` (NULL: outside of all), and its symbols.
static enum status new_function(struct symbol_resolver *resolver, const struct frame *frame,
                                struct symbol_owner *owner, struct symbols *symbols,
                                struct jinja_function **out)
{
    TRY(arena_take(resolver->arena, 1, sizeof **out, out));
    **out = (struct jinja_function){.caller_slot = -1, .kwargs_slot = -1, .varargs_slot = -1};
    *owner = (struct symbol_owner){.function = *out};
    *symbols = (struct symbols){.owner = owner};
    if (frame) {
        (*out)->outer = frame->symbols->owner->function;
        owner->n_outside = frame->symbols->owner->n_outside + 1;
        symbols->level = frame->symbols->level + 1;
        symbols->parent = frame->symbols;
    }
    return OK;
}

static enum status place_of_symbol(struct symbol_resolver *resolver, const struct frame *frame,
                                   struct jinja_value name, struct jinja_node *out)
{
    struct symbols *scope;
    struct symbol *symbol = symbols_find(frame->symbols, name, &scope);
    if (!symbol) // Jinja2 2 and 3 fail with an assertion here: filters of {% set %} blocks
        return fail(ERR_INPUT, "%s: line %d: \"%.*s\" cannot be used here; set a variable first",
                    resolver->name, out->line, (int)name.length, name.text);
    out->hops = symbols_hops(frame->symbols, scope);
    out->slot = symbol->load.slot;
    return OK;
}

static enum status visit_targets(struct symbol_resolver *resolver, const struct frame *frame,
                                 struct jinja_node *node)
{
    for (; node; node = node->next) {
        if (node->kind == JINJA_NODE_TUPLE_TARGET) {
            TRY(visit_targets(resolver, frame, node->a));
        } else if (node->kind == JINJA_NODE_ATTRIBUTE_TARGET) {
            TRY(place_of_symbol(resolver, frame, node->a->value, node->a));
        } else {
            TRY(place_of_symbol(resolver, frame, node->value, node));
            node->exported = frame->top && resolver->has_blocks;
        }
    }
    return OK;
}

// A body with its own variables in the same function.
static enum status visit_scope(struct symbol_resolver *resolver, const struct frame *frame,
                               struct symbols *symbols, struct jinja_node *body,
                               const struct jinja_scope **out)
{
    TRY(symbols_note_list(resolver, symbols, body));
    TRY(new_scope(resolver, symbols, out));
    struct frame inner = {.symbols = symbols, .in_loop = frame->in_loop};
    return visit_list(resolver, &inner, body);
}

static enum status find_special_name(struct symbol_resolver *resolver, struct symbols *symbols,
                                     struct jinja_node *body, const char *name, bool is_parameter,
                                     int *slot)
{
    bool read;
    TRY(symbols_reads(resolver, body, name, &read));
    return read && !is_parameter
               ? symbols_declare_parameter(resolver, symbols, jinja_literal(name), slot)
               : OK;
}

// A macro, a call block or {% generation %}: parameters in b, body in c.
static enum status visit_macro(struct symbol_resolver *resolver, const struct frame *frame,
                               struct jinja_node *node)
{
    assert(resolver && frame && node);
    struct symbol_owner owner;
    struct symbols symbols;
    struct jinja_function *function;
    bool caller = false, kwargs = false, varargs = false, read;
    TRY(new_function(resolver, frame, &owner, &symbols, &function));
    for (struct jinja_node *p = node->b; p; p = p->next) {
        TRY(symbols_declare_parameter(resolver, &symbols, p->value, &p->slot));
        kwargs |= jinja_is_text(p->value, "kwargs");
        varargs |= jinja_is_text(p->value, "varargs");
        if (jinja_is_text(p->value, "caller")) {
            caller = true;
            TRY(symbols_reads(resolver, node->c, "caller", &read));
            if (read && !p->b)
                return fail(ERR_INPUT,
                            "%s: line %d: expected a default for the parameter \"caller\"",
                            resolver->name, node->line);
        }
    }
    function->explicit_caller = caller;
    for (struct jinja_node *p = node->b; p; p = p->next)
        TRY(symbols_note_list(resolver, &symbols, p->b));
    TRY(symbols_note_list(resolver, &symbols, node->c));
    TRY(find_special_name(resolver, &symbols, node->c, "caller", caller, &function->caller_slot));
    TRY(find_special_name(resolver, &symbols, node->c, "kwargs", kwargs, &function->kwargs_slot));
    TRY(find_special_name(resolver, &symbols, node->c, "varargs", varargs,
                          &function->varargs_slot));
    TRY(keep_scope(resolver, &symbols, &function->scope));
    struct frame inner = {.symbols = &symbols};
    for (struct jinja_node *p = node->b; p; p = p->next)
        TRY(visit_list(resolver, &inner, p->b));
    node->function = function;
    return visit_list(resolver, &inner, node->c);
}

// The same targets with places of their own.
static enum status copy_targets(struct symbol_resolver *resolver, const struct jinja_node *from,
                                struct jinja_node **out)
{
    assert(resolver && out); // from NULL: no more of them
    *out = NULL;
    for (struct jinja_node **tail = out; from; from = from->next, tail = &(*tail)->next) {
        TRY(arena_take(resolver->arena, 1, sizeof **tail, tail));
        **tail = *from;
        (*tail)->next = NULL;
        TRY(copy_targets(resolver, from->a, &(*tail)->a));
    }
    return OK;
}

// The `if` of a loop is a function that goes through the items.
static enum status visit_loop_filter(struct symbol_resolver *resolver, const struct frame *frame,
                                     struct jinja_node *node)
{
    struct symbol_owner owner;
    struct symbols symbols;
    struct jinja_function *function;
    TRY(new_function(resolver, frame, &owner, &symbols, &function));
    TRY(symbols_note_targets(resolver, &symbols, node->a, true));
    TRY(symbols_note_list(resolver, &symbols, node->e));
    TRY(keep_scope(resolver, &symbols, &function->scope));
    struct frame inner = {.symbols = &symbols};
    TRY(copy_targets(resolver, node->a, &node->filter_target)); // assigned in both functions
    node->filter_function = function;
    TRY(visit_targets(resolver, &inner, node->filter_target));
    return visit_list(resolver, &inner, node->e);
}

static enum status assigns_loop(struct symbol_resolver *resolver, const struct jinja_node *node,
                                bool *out)
{
    if (!node)
        return OK;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        return symbols_too_deep(resolver, node->line);
    for (; node && !*out; node = node->next) {
        *out |= node->kind == JINJA_NODE_TARGET && jinja_is_text(node->value, "loop");
        const struct jinja_node *parts[] = {node->a, node->b, node->c, node->d, node->e};
        for (int i = 0; i < 5 && !*out; i++)
            TRY(assigns_loop(resolver, parts[i], out));
    }
    resolver->depth--;
    return OK;
}

static enum status visit_for(struct symbol_resolver *resolver, const struct frame *frame,
                             struct jinja_node *node)
{
    assert(resolver && frame && node);
    bool uses_loop = false, assigned = false;
    struct symbol_owner owner;
    struct symbols symbols = inner_symbols(frame), else_symbols;
    struct jinja_function *function = NULL;
    struct jinja_node *next = node->next;
    node->next = NULL;
    enum status status = assigns_loop(resolver, node, &assigned);
    node->next = next;
    TRY(status);
    if (assigned)
        return fail(ERR_INPUT,
                    "%s: line %d: \"loop\" cannot be assigned in a for; expected another name",
                    resolver->name, node->line);
    TRY(symbols_reads(resolver, node->c, "loop", &uses_loop));
    TRY(visit_list(resolver, frame, node->b));
    if (node->e)
        TRY(visit_loop_filter(resolver, frame, node));
    if (node->recursive)
        TRY(new_function(resolver, frame, &owner, &symbols, &function));
    else_symbols = symbols;
    if (node->recursive || uses_loop)
        TRY(symbols_declare_parameter(resolver, &symbols, jinja_literal("loop"), &node->slot));
    TRY(symbols_note_targets(resolver, &symbols, node->a, true));
    TRY(symbols_note_list(resolver, &symbols, node->c));
    TRY(symbols_note_list(resolver, &else_symbols, node->d));
    TRY(new_scope(resolver, &symbols, &node->scope));
    TRY(new_scope(resolver, &else_symbols, &node->else_scope));
    node->function = function;
    struct frame inner = {.symbols = &symbols, .in_loop = true};
    TRY(visit_targets(resolver, &inner, node->a));
    TRY(visit_list(resolver, &inner, node->c));
    inner = (struct frame){.symbols = &else_symbols, .in_loop = frame->in_loop && !node->recursive};
    return visit_list(resolver, &inner, node->d);
}

static enum status visit_with(struct symbol_resolver *resolver, const struct frame *frame,
                              struct jinja_node *node)
{
    struct symbols symbols = inner_symbols(frame);
    TRY(visit_list(resolver, frame, node->b));
    TRY(symbols_note_targets(resolver, &symbols, node->a, true));
    TRY(visit_scope(resolver, frame, &symbols, node->c, &node->scope));
    struct frame inner = {.symbols = &symbols};
    return visit_targets(resolver, &inner, node->a);
}

// {% set x %} and {% filter %}: the filters are called inside, the target is outside.
static enum status visit_captured(struct symbol_resolver *resolver, const struct frame *frame,
                                  struct jinja_node *node)
{
    struct symbols symbols = inner_symbols(frame);
    if (node->kind == JINJA_NODE_FILTER_BLOCK) // RootVisitor looks at both
        TRY(symbols_note_list(resolver, &symbols, node->b));
    TRY(visit_scope(resolver, frame, &symbols, node->c, &node->scope));
    struct frame inner = {.symbols = &symbols};
    TRY(visit_list(resolver, &inner, node->b));
    return node->kind == JINJA_NODE_SET_BLOCK ? visit_targets(resolver, frame, node->a) : OK;
}

static enum status visit_block(struct symbol_resolver *resolver, struct jinja_node *node)
{
    struct symbol_owner owner;
    struct symbols symbols;
    struct jinja_function *function;
    TRY(new_function(resolver, NULL, &owner, &symbols, &function));
    TRY(symbols_note_list(resolver, &symbols, node->c));
    TRY(keep_scope(resolver, &symbols, &function->scope));
    struct frame inner = {.symbols = &symbols};
    node->function = function;
    return visit_list(resolver, &inner, node->c);
}

static enum status visit_named(struct symbol_resolver *resolver, const struct frame *frame,
                               struct jinja_node *node)
{
    bool filter = node->kind == JINJA_NODE_FILTER;
    node->builtin =
        (filter ? jinja_find_filter : jinja_find_test)(node->value.text, node->value.length);
    if (!node->builtin && !frame->soft)
        return fail(ERR_INPUT, "%s: line %d: there is no %s \"%.*s\"", resolver->name, node->line,
                    filter ? "filter" : "test", (int)node->value.length, node->value.text);
    TRY(visit_list(resolver, frame, node->a));
    return visit_list(resolver, frame, node->b);
}

static enum status visit_if(struct symbol_resolver *resolver, const struct frame *frame,
                            struct jinja_node *node)
{
    struct frame soft = *frame;
    soft.soft = true;
    TRY(visit_list(resolver, &soft, node->a));
    TRY(visit_list(resolver, &soft, node->b));
    TRY(visit_list(resolver, &soft, node->c));
    return visit_list(resolver, &soft, node->d);
}

static enum status visit_statement(struct symbol_resolver *resolver, const struct frame *frame,
                                   struct jinja_node *node)
{
    struct symbols symbols = inner_symbols(frame);
    switch (node->kind) {
    case JINJA_NODE_FOR:
        return visit_for(resolver, frame, node);
    case JINJA_NODE_SET:
        TRY(visit_list(resolver, frame, node->b));
        return visit_targets(resolver, frame, node->a);
    case JINJA_NODE_SET_BLOCK:
    case JINJA_NODE_FILTER_BLOCK:
        return visit_captured(resolver, frame, node);
    case JINJA_NODE_MACRO:
        TRY(visit_macro(resolver, frame, node));
        node->exported = frame->top && resolver->has_blocks;
        return place_of_symbol(resolver, frame, node->value, node);
    case JINJA_NODE_CALL_BLOCK:
        TRY(visit_list(resolver, frame, node->a));
        return visit_macro(resolver, frame, node);
    case JINJA_NODE_GENERATION:
        return visit_macro(resolver, frame, node);
    case JINJA_NODE_WITH:
        return visit_with(resolver, frame, node);
    case JINJA_NODE_SCOPE:
        return visit_scope(resolver, frame, &symbols, node->c, &node->scope);
    case JINJA_NODE_BLOCK:
        return visit_block(resolver, node);
    case JINJA_NODE_BREAK:
    case JINJA_NODE_CONTINUE:
        return frame->in_loop
                   ? OK
                   : fail(ERR_INPUT, "%s: line %d: break and continue are expected inside of a for",
                          resolver->name, node->line);
    case JINJA_NODE_NAME:
        return place_of_symbol(resolver, frame, node->value, node);
    case JINJA_NODE_FILTER:
    case JINJA_NODE_TEST:
        return visit_named(resolver, frame, node);
    case JINJA_NODE_IF:
    case JINJA_NODE_CHOICE:
        return visit_if(resolver, frame, node);
    default:
        TRY(visit_list(resolver, frame, node->a));
        TRY(visit_list(resolver, frame, node->b));
        TRY(visit_list(resolver, frame, node->c));
        return visit_list(resolver, frame, node->d);
    }
}

static enum status visit_list(struct symbol_resolver *resolver, const struct frame *frame,
                              struct jinja_node *node)
{
    if (!node)
        return OK;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        return symbols_too_deep(resolver, node->line);
    for (; node; node = node->next)
        TRY(visit_statement(resolver, frame, node));
    resolver->depth--;
    return OK;
}

static enum status find_blocks(struct symbol_resolver *resolver, const struct jinja_node *node)
{
    if (!node)
        return OK;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        return symbols_too_deep(resolver, node->line);
    for (; node; node = node->next) {
        resolver->has_blocks |= node->kind == JINJA_NODE_BLOCK;
        TRY(find_blocks(resolver, node->b));
        TRY(find_blocks(resolver, node->c));
        TRY(find_blocks(resolver, node->d));
    }
    resolver->depth--;
    return OK;
}

enum status jinja_resolve(const char *name, struct arena *arena, struct jinja_node *root,
                          struct jinja_tree *out)
{
    assert(name && arena && out); // root NULL: an empty template
    struct symbol_resolver resolver = {.name = name, .arena = arena};
    struct symbol_owner owner;
    struct symbols symbols;
    struct jinja_function *function;
    TRY(find_blocks(&resolver, root));
    TRY(new_function(&resolver, NULL, &owner, &symbols, &function));
    TRY(symbols_note_list(&resolver, &symbols, root));
    TRY(keep_scope(&resolver, &symbols, &function->scope));
    struct frame frame = {.symbols = &symbols, .top = true};
    TRY(visit_list(&resolver, &frame, root));
    *out = (struct jinja_tree){.root = root, .function = function};
    return OK;
}
