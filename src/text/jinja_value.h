// Values of chat templates: Python's, as Jinja2 shows them.
//
// Values are small and copied freely; what they point to lies in the arena of one rendering (or in
// the template, or in the caller's texts) and never changes once made, except namespaces, loops,
// cyclers and iterators, as in Python. All work is charged to the rendering's budget
// (jinja_run.h): no template can take more memory or time than is stated there.
#ifndef COLROW_TEXT_JINJA_VALUE_H
#define COLROW_TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/status.h"

enum jinja_type {
    JINJA_MISSING, // a variable or argument that was not given; never seen by a template
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT, // 64 bits; results beyond are errors
    JINJA_FLOAT,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_VIEW, // dict.keys(), .values(), .items()
    JINJA_RANGE,
    JINJA_ITERATOR, // what map, select, ... give: it can be gone through once
    JINJA_NAMESPACE,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION,
    JINJA_METHOD, // a function with its object
    JINJA_CYCLER,
    JINJA_JOINER,
};

enum jinja_part { // what kind of its type a value is
    JINJA_PLAIN,
    JINJA_MARKUP, // of TEXT: Markup, made by `safe` and `escape`
    JINJA_GROUP,  // of TUPLE: what groupby makes, with .grouper and .list
    JINJA_KEYS,
    JINJA_VALUES,
    JINJA_ITEMS, // of VIEW
    JINJA_NO_VARIABLE,
    JINJA_NO_ATTRIBUTE, // of UNDEFINED: what `text` names
    JINJA_HINT,         // of UNDEFINED: `text` is a sentence about it
    JINJA_UNSAFE,       // of UNDEFINED: the sandbox forbids the attribute
};

struct jinja_value {
    uint8_t type; // enum jinja_type
    uint8_t part; // enum jinja_part
    union {
        bool truth;
        int64_t number;
        double real;
        struct {
            const char *text; // UTF-8, not NUL-terminated
            size_t length;
        };
        const struct jinja_list *list;
        struct jinja_dict *dict; // DICT, NAMESPACE, VIEW
        const struct jinja_range *range;
        struct jinja_iterator *iterator;
        struct jinja_loop *loop;
        const struct jinja_macro *macro;
        const struct jinja_builtin *function;
        const struct jinja_method *method;
        struct jinja_cycler *cycler;
    };
};

struct jinja_list {
    size_t n;
    struct jinja_value *items;
};

struct jinja_entry {
    struct jinja_value key, value;
    uint64_t hash;
};

struct jinja_dict {
    size_t n, capacity; // of `entries`, in the order of insertion
    struct jinja_entry *entries;
    uint32_t *slots; // open addressing over entries; 0 is empty, else index + 1; NULL while small
    size_t n_slots;
};

struct jinja_range {
    int64_t start, stop, step;
    size_t n;
};

struct jinja_cycler {
    const struct jinja_list *items; // of a joiner: its separator
    size_t at;
};

struct jinja_method {
    const struct jinja_builtin *function;
    struct jinja_value object;
};

static inline struct jinja_value jinja_missing(void)
{
    return (struct jinja_value){.type = JINJA_MISSING};
}
static inline struct jinja_value jinja_undefined(enum jinja_part part, const char *text,
                                                 size_t length)
{
    return (struct jinja_value){
        .type = JINJA_UNDEFINED, .part = (uint8_t)part, .text = text, .length = length};
}
static inline struct jinja_value jinja_hint(const char *sentence)
{
    return jinja_undefined(JINJA_HINT, sentence, strlen(sentence));
}
static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.type = JINJA_NONE};
}
static inline struct jinja_value jinja_bool(bool truth)
{
    return (struct jinja_value){.type = JINJA_BOOL, .truth = truth};
}
static inline struct jinja_value jinja_int(int64_t number)
{
    return (struct jinja_value){.type = JINJA_INT, .number = number};
}
static inline struct jinja_value jinja_size(size_t number) // of something that is in memory
{
    return jinja_int((int64_t)number);
}
static inline struct jinja_value jinja_float(double real)
{
    return (struct jinja_value){.type = JINJA_FLOAT, .real = real};
}
static inline struct jinja_value jinja_text(const char *text, size_t length)
{
    return (struct jinja_value){.type = JINJA_TEXT, .text = text, .length = length};
}
static inline struct jinja_value jinja_literal(const char *text) // NUL-terminated, kept by others
{
    return jinja_text(text, strlen(text));
}
static inline bool jinja_is_markup(struct jinja_value value)
{
    return value.type == JINJA_TEXT && value.part == JINJA_MARKUP;
}
static inline struct jinja_value jinja_as(struct jinja_value text, enum jinja_part part)
{
    text.part = (uint8_t)part;
    return text;
}
static inline bool jinja_is_text(struct jinja_value value, const char *text)
{
    size_t length = strlen(text);
    return value.type == JINJA_TEXT && value.length == length &&
           memcmp(value.text, text, length) == 0;
}
// An integer or a boolean, which Python counts among them.
static inline bool jinja_is_int(struct jinja_value value, int64_t *out)
{
    *out = value.type == JINJA_INT ? value.number : value.type == JINJA_BOOL ? value.truth : 0;
    return value.type == JINJA_INT || value.type == JINJA_BOOL;
}

#endif
