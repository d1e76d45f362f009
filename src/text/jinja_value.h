// Values of chat templates: what Python would call None, bool, int, str, list and dict.
//
// They are made in one arena per rendering and released with it; texts may point into the template
// or the messages.
#ifndef COLROW_TEXT_JINJA_VALUE_H
#define COLROW_TEXT_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum jinja_type {
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_TEXT,
    JINJA_LIST,
    JINJA_DICT,
    JINJA_NAMESPACE, // a dict that `set` may change
    JINJA_LOOP,
    JINJA_FUNCTION,
};

enum jinja_function { JINJA_RAISE_EXCEPTION, JINJA_NAMESPACE_NEW, JINJA_RANGE, JINJA_STRFTIME_NOW };

struct jinja_value {
    enum jinja_type type;
    union {
        bool truth;
        int64_t number;
        enum jinja_function function;
        struct {
            const char *text; // UTF-8, not NUL-terminated
            size_t length;
        };
        struct jinja_list *list;
        struct jinja_dict *dict;
        const struct jinja_loop *loop;
    };
};

struct jinja_list {
    struct jinja_value *items;
    size_t n, capacity;
};

struct jinja_dict {
    struct jinja_list keys, values; // in the order of insertion
};

struct jinja_loop {
    const struct jinja_list *items;
    size_t index0;
};

static inline struct jinja_value jinja_undefined(void)
{
    return (struct jinja_value){.type = JINJA_UNDEFINED};
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
static inline struct jinja_value jinja_text(const char *text, size_t length)
{
    return (struct jinja_value){.type = JINJA_TEXT, .text = text, .length = length};
}

// Memory of one rendering. Reservations beyond `bytes_max` fail, so that a template cannot eat the
// machine.
struct jinja_memory {
    struct arena arena;
    size_t bytes_max;
    const char *name; // of the template, and the line being rendered, for messages
    int line;
};
enum status jinja_take(struct jinja_memory *memory, size_t count, size_t item_bytes,
                       void *out) STATUS_MUST_USE;

enum status jinja_list_new(struct jinja_memory *memory, struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_list_push(struct jinja_memory *memory, struct jinja_list *list,
                            struct jinja_value item) STATUS_MUST_USE;
enum status jinja_dict_new(struct jinja_memory *memory, enum jinja_type type,
                           struct jinja_value *out) STATUS_MUST_USE;
enum status jinja_dict_set(struct jinja_memory *memory, struct jinja_dict *dict,
                           struct jinja_value key, struct jinja_value value) STATUS_MUST_USE;
const struct jinja_value *jinja_dict_get(const struct jinja_dict *dict,
                                         struct jinja_value key); // NULL: none
// Copies left and right into one text.
enum status jinja_join(struct jinja_memory *memory, struct jinja_value left,
                       struct jinja_value right, struct jinja_value *out) STATUS_MUST_USE;

bool jinja_true(struct jinja_value value);
bool jinja_number(struct jinja_value value, int64_t *out); // of integers and booleans, as in Python
bool jinja_equal(struct jinja_value a, struct jinja_value b);
bool jinja_is_text(struct jinja_value value, const char *text);
// Negative, zero or positive; an error for values that Python does not order.
enum status jinja_order(struct jinja_value a, struct jinja_value b, int *out) STATUS_MUST_USE;
const char *jinja_type_name(enum jinja_type type);
// As `{{ value }}` prints it.
enum status jinja_to_text(struct jinja_memory *memory, struct jinja_value value,
                          struct jinja_value *out) STATUS_MUST_USE;

// Characters, not bytes.
size_t jinja_text_length(struct jinja_value text);
// Characters from `begin` (inclusive) to `end` (exclusive).
struct jinja_value jinja_text_slice(struct jinja_value text, size_t begin, size_t end);
bool jinja_is_space(uint32_t code); // Python's str.isspace()

#endif
