#include "text/jinja_symbols.h"

#include <assert.h>
#include <string.h>

enum status symbols_too_deep(struct symbol_resolver *resolver, int line)
{
    return fail(ERR_INPUT, "%s: line %d: an expression is nested deeper than %d levels",
                resolver->name, line, RESOLVE_DEPTH_MAX);
}

static bool symbols_same_name(struct jinja_value a, struct jinja_value b)
{
    return a.length == b.length && memcmp(a.text, b.text, a.length) == 0;
}

// A copy twice as large, for arrays that grow in the arena.
static enum status grow_symbols(struct arena *arena, void *array, size_t *capacity, size_t n,
                                size_t bytes)
{
    void *old, *larger;
    memcpy(&old, array, sizeof old);
    if (n < *capacity)
        return OK;
    *capacity = *capacity ? *capacity * 2 : 8;
    TRY(arena_take(arena, *capacity, bytes, &larger));
    if (n > 0)
        memcpy(larger, old, n * bytes);
    memcpy(array, &larger, sizeof larger);
    return OK;
}

// ---- symbols ----

static enum status slot_of(struct symbol_resolver *resolver, struct symbol_owner *owner, int level,
                           struct jinja_value name, int *out)
{
    struct jinja_function *function = owner->function;
    for (*out = 0; *out < function->n_slots; ++*out)
        if (owner->places[*out].level == level && symbols_same_name(owner->places[*out].name, name))
            return OK;
    TRY(grow_symbols(resolver->arena, &owner->places, &owner->capacity, (size_t)function->n_slots,
                     sizeof *owner->places));
    owner->places[function->n_slots++] = (struct symbol_place){level, name};
    return OK;
}

static struct symbol *find_own(const struct symbols *symbols, struct jinja_value name)
{
    for (size_t i = 0; i < symbols->n; i++)
        if (symbols_same_name(symbols->items[i].name, name))
            return &symbols->items[i];
    return NULL;
}

// The symbol that `name` means here and the scope it belongs to; NULL: none.
struct symbol *symbols_find(struct symbols *symbols, struct jinja_value name,
                            struct symbols **scope)
{
    assert(symbols);
    for (*scope = symbols; *scope; *scope = (*scope)->parent) {
        struct symbol *symbol = find_own(*scope, name);
        if (symbol)
            return symbol;
    }
    return NULL;
}

int symbols_hops(const struct symbols *from, const struct symbols *to)
{
    assert(from && to);
    return from->owner->n_outside - to->owner->n_outside;
}

static enum status define(struct symbol_resolver *resolver, struct symbols *symbols,
                          struct jinja_value name, enum jinja_load_action action,
                          struct symbol **out)
{
    struct symbol *symbol = find_own(symbols, name);
    if (!symbol) {
        TRY(grow_symbols(resolver->arena, &symbols->items, &symbols->capacity, symbols->n,
                         sizeof *symbols->items));
        symbol = &symbols->items[symbols->n++];
        *symbol = (struct symbol){.name = name};
        TRY(slot_of(resolver, symbols->owner, symbols->level, name, &symbol->load.slot));
    }
    symbol->load.action = action;
    symbol->load.name = name.text;
    symbol->load.name_length = name.length;
    *out = symbol;
    return OK;
}

// The load becomes a copy of the variable outside, when there is one.
static bool alias_outer(const struct symbols *symbols, struct symbol *symbol)
{
    struct symbols *scope = NULL;
    struct symbol *outer =
        symbols->parent ? symbols_find(symbols->parent, symbol->name, &scope) : NULL;
    if (!outer)
        return false;
    symbol->load.action = JINJA_LOAD_ALIAS;
    symbol->load.hops = symbols_hops(symbols, scope);
    symbol->load.alias_slot = outer->load.slot;
    return true;
}

static enum status store_symbol(struct symbol_resolver *resolver, struct symbols *symbols,
                                struct jinja_value name)
{
    struct symbol *symbol = find_own(symbols, name);
    if (!symbol) {
        TRY(define(resolver, symbols, name, JINJA_LOAD_UNSET, &symbol));
        alias_outer(symbols, symbol);
    }
    symbol->stored = true;
    return OK;
}

enum status symbols_declare_parameter(struct symbol_resolver *resolver, struct symbols *symbols,
                                      struct jinja_value name, int *slot)
{
    assert(resolver && symbols && slot);
    struct symbol *symbol;
    TRY(define(resolver, symbols, name, JINJA_LOAD_PARAMETER, &symbol));
    symbol->stored = true;
    *slot = symbol->load.slot;
    return OK;
}

static enum status load_symbol(struct symbol_resolver *resolver, struct symbols *symbols,
                               struct jinja_value name)
{
    struct symbols *scope;
    struct symbol *symbol = symbols_find(symbols, name, &scope);
    return symbol ? OK : define(resolver, symbols, name, JINJA_LOAD_RESOLVE, &symbol);
}

static enum status copy_symbols(struct symbol_resolver *resolver, const struct symbols *from,
                                struct symbols *out)
{
    *out = *from;
    out->capacity = from->n + 8;
    TRY(arena_take(resolver->arena, out->capacity, sizeof *out->items, &out->items));
    if (from->n > 0)
        memcpy(out->items, from->items, from->n * sizeof *out->items);
    return OK;
}

// What the branches of an if know is known after it; what one of them sets may not be set.
static enum status merge_branch(struct symbol_resolver *resolver, struct symbols *symbols,
                                const struct symbols *before, const struct symbols *branch)
{
    for (size_t i = 0; i < branch->n; i++) {
        const struct symbol *new = &branch->items[i], *old = find_own(before, new->name);
        struct symbol *symbol;
        TRY(define(resolver, symbols, new->name, new->load.action, &symbol));
        symbol->load = new->load;
        symbol->stored |= new->stored;
        if (new->stored && !(old && old->stored) && !alias_outer(symbols, symbol))
            symbol->load.action = JINJA_LOAD_RESOLVE;
    }
    return OK;
}

// ---- finding the symbols of a scope (FrameSymbolVisitor) ----

enum status symbols_note_targets(struct symbol_resolver *resolver, struct symbols *symbols,
                                 const struct jinja_node *node, bool as_parameter)
{
    int slot;
    for (; node; node = node->next) {
        if (node->kind == JINJA_NODE_TUPLE_TARGET)
            TRY(symbols_note_targets(resolver, symbols, node->a, as_parameter));
        else if (node->kind == JINJA_NODE_ATTRIBUTE_TARGET)
            TRY(load_symbol(resolver, symbols, node->a->value));
        else if (as_parameter)
            TRY(symbols_declare_parameter(resolver, symbols, node->value, &slot));
        else
            TRY(store_symbol(resolver, symbols, node->value));
    }
    return OK;
}

static enum status note_if(struct symbol_resolver *resolver, struct symbols *symbols,
                           const struct jinja_node *node)
{
    struct symbols before, branches[3];
    TRY(symbols_note_list(resolver, symbols, node->a));
    TRY(copy_symbols(resolver, symbols, &before));
    for (int i = 0; i < 3; i++)
        TRY(copy_symbols(resolver, symbols, &branches[i]));
    TRY(symbols_note_list(resolver, &branches[0], node->b));
    TRY(symbols_note_list(resolver, &branches[1], node->c));
    TRY(symbols_note_list(resolver, &branches[2], node->d));
    for (int i = 0; i < 3; i++)
        TRY(merge_branch(resolver, symbols, &before, &branches[i]));
    return OK;
}

static enum status note_node(struct symbol_resolver *resolver, struct symbols *symbols,
                             const struct jinja_node *node)
{
    switch (node->kind) {
    case JINJA_NODE_NAME:
        return load_symbol(resolver, symbols, node->value);
    case JINJA_NODE_IF:
        return note_if(resolver, symbols, node);
    case JINJA_NODE_SET:
        TRY(symbols_note_list(resolver, symbols, node->b));
        return symbols_note_targets(resolver, symbols, node->a, false);
    case JINJA_NODE_SET_BLOCK:
        return symbols_note_targets(resolver, symbols, node->a, false);
    case JINJA_NODE_FOR:
    case JINJA_NODE_WITH:
    case JINJA_NODE_FILTER_BLOCK:
        return symbols_note_list(resolver, symbols, node->b);
    case JINJA_NODE_CALL_BLOCK:
        return symbols_note_list(resolver, symbols, node->a);
    case JINJA_NODE_MACRO:
        return store_symbol(resolver, symbols, node->value);
    case JINJA_NODE_SCOPE:
    case JINJA_NODE_BLOCK:
    case JINJA_NODE_GENERATION:
        return OK;
    default: // expressions and print
        TRY(symbols_note_list(resolver, symbols, node->a));
        TRY(symbols_note_list(resolver, symbols, node->b));
        TRY(symbols_note_list(resolver, symbols, node->c));
        return symbols_note_list(resolver, symbols, node->d);
    }
}

enum status symbols_note_list(struct symbol_resolver *resolver, struct symbols *symbols,
                              const struct jinja_node *node)
{
    if (!node)
        return OK;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        return symbols_too_deep(resolver, node->line);
    for (; node; node = node->next)
        TRY(note_node(resolver, symbols, node));
    resolver->depth--;
    return OK;
}

// Whether `name` is read in the statements before it is assigned (find_undeclared()).
enum found { NOT_MET, READ, ASSIGNED };
static enum status find_read(struct symbol_resolver *resolver, const struct jinja_node *node,
                             struct jinja_value name, enum found *out)
{
    if (!node)
        return OK;
    if (++resolver->depth > RESOLVE_DEPTH_MAX)
        return symbols_too_deep(resolver, node->line);
    for (; node && *out == NOT_MET; node = node->next) {
        bool target = node->kind == JINJA_NODE_TARGET, read = node->kind == JINJA_NODE_NAME;
        if ((target || read) && symbols_same_name(node->value, name))
            *out = read ? READ : ASSIGNED;
        if (node->kind == JINJA_NODE_BLOCK)
            continue;
        const struct jinja_node *parts[] = {node->a, node->b, node->c, node->d, node->e};
        for (int i = 0; i < 5 && *out == NOT_MET; i++)
            TRY(find_read(resolver, parts[i], name, out));
    }
    resolver->depth--;
    return OK;
}

enum status symbols_reads(struct symbol_resolver *resolver, const struct jinja_node *body,
                          const char *name, bool *out)
{
    assert(resolver && name && out);
    enum found found = NOT_MET;
    TRY(find_read(resolver, body, jinja_literal(name), &found));
    *out = found == READ;
    return OK;
}
