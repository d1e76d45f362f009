// Which variables a scope of a template has, and where they lie (Jinja2's idtracking.py).
#ifndef COLROW_TEXT_JINJA_SYMBOLS_H
#define COLROW_TEXT_JINJA_SYMBOLS_H

#include "text/jinja_ast.h"

enum { RESOLVE_DEPTH_MAX = 500 }; // of the tree, where it is not bounded by the parser

struct symbol_place { // of a variable l_LEVEL_NAME in its function
    int level;
    struct jinja_value name;
};

struct symbol_owner { // a function while it is resolved
    struct jinja_function *function;
    struct symbol_place *places; // [function->n_slots]
    size_t capacity;
    int n_outside; // how many functions are around it
};

struct symbol {
    struct jinja_value name;
    struct jinja_load load;
    bool stored;
};

struct symbols {
    int level;
    struct symbols *parent;
    struct symbol_owner *owner;
    struct symbol *items;
    size_t n, capacity;
};

struct symbol_resolver {
    const char *name;
    struct arena *arena;
    bool has_blocks;
    int depth;
};

enum status symbols_too_deep(struct symbol_resolver *resolver, int line);
// The symbol that `name` means here and the scope it belongs to; NULL: none.
struct symbol *symbols_find(struct symbols *symbols, struct jinja_value name,
                            struct symbols **scope);
// How many functions are between the two scopes.
int symbols_hops(const struct symbols *from, const struct symbols *to);
enum status symbols_declare_parameter(struct symbol_resolver *resolver, struct symbols *symbols,
                                      struct jinja_value name, int *slot) STATUS_MUST_USE;
// The names that a list of statements or expressions reads and assigns in this scope.
enum status symbols_note_list(struct symbol_resolver *resolver, struct symbols *symbols,
                              const struct jinja_node *node) STATUS_MUST_USE;
enum status symbols_note_targets(struct symbol_resolver *resolver, struct symbols *symbols,
                                 const struct jinja_node *node, bool as_parameter) STATUS_MUST_USE;
// Whether `name` is read in the statements before it is assigned (find_undeclared()).
enum status symbols_reads(struct symbol_resolver *resolver, const struct jinja_node *body,
                          const char *name, bool *out) STATUS_MUST_USE;

#endif
