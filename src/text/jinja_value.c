#include "text/jinja_value.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "text/unicode.h"

enum status jinja_take(struct jinja_memory *memory, size_t count, size_t item_bytes, void *out)
{
    size_t bytes, total;
    if (!checked_mul(count, item_bytes, &bytes) ||
        !checked_add(bytes, memory->arena.bytes, &total) || total > memory->bytes_max)
        return fail(ERR_INPUT,
                    "%s: line %d: the template's values grow; at most %zu bytes are allowed",
                    memory->name, memory->line, memory->bytes_max);
    return arena_take(&memory->arena, count, item_bytes, out);
}

// ---- lists and dicts ----

enum status jinja_list_new(struct jinja_memory *memory, struct jinja_value *out)
{
    struct jinja_list *list;
    TRY(jinja_take(memory, 1, sizeof *list, &list));
    *list = (struct jinja_list){0};
    *out = (struct jinja_value){.type = JINJA_LIST, .list = list};
    return OK;
}

enum status jinja_list_push(struct jinja_memory *memory, struct jinja_list *list,
                            struct jinja_value item)
{
    if (list->n == list->capacity) {
        struct jinja_value *items;
        size_t capacity = list->capacity ? list->capacity * 2 : 8;
        TRY(jinja_take(memory, capacity, sizeof *items, &items));
        if (list->n > 0)
            memcpy(items, list->items, list->n * sizeof *items);
        list->items = items;
        list->capacity = capacity;
    }
    list->items[list->n++] = item;
    return OK;
}

enum status jinja_dict_new(struct jinja_memory *memory, enum jinja_type type,
                           struct jinja_value *out)
{
    struct jinja_dict *dict;
    TRY(jinja_take(memory, 1, sizeof *dict, &dict));
    *dict = (struct jinja_dict){0};
    *out = (struct jinja_value){.type = type, .dict = dict};
    return OK;
}

static struct jinja_value *dict_find(const struct jinja_dict *dict, struct jinja_value key)
{
    for (size_t i = 0; i < dict->keys.n; i++)
        if (jinja_equal(dict->keys.items[i], key))
            return &dict->values.items[i];
    return NULL;
}

const struct jinja_value *jinja_dict_get(const struct jinja_dict *dict, struct jinja_value key)
{
    return dict_find(dict, key);
}

enum status jinja_dict_set(struct jinja_memory *memory, struct jinja_dict *dict,
                           struct jinja_value key, struct jinja_value value)
{
    struct jinja_value *known = dict_find(dict, key);
    if (known) {
        *known = value;
        return OK;
    }
    TRY(jinja_list_push(memory, &dict->values, value));
    return jinja_list_push(memory, &dict->keys, key);
}

// ---- comparing ----

bool jinja_true(struct jinja_value value)
{
    switch (value.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return value.truth;
    case JINJA_INT:
        return value.number != 0;
    case JINJA_TEXT:
        return value.length > 0;
    case JINJA_LIST:
        return value.list->n > 0;
    case JINJA_DICT:
        return value.dict->keys.n > 0;
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_FUNCTION:
        return true;
    }
    return false;
}

bool jinja_number(struct jinja_value value, int64_t *out)
{
    *out = value.type == JINJA_BOOL ? value.truth : value.type == JINJA_INT ? value.number : 0;
    return value.type == JINJA_BOOL || value.type == JINJA_INT;
}

static bool lists_equal(const struct jinja_list *a, const struct jinja_list *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = jinja_equal(a->items[i], b->items[i]);
    return same;
}

static bool dicts_equal(const struct jinja_dict *a, const struct jinja_dict *b)
{
    bool same = a->keys.n == b->keys.n;
    for (size_t i = 0; same && i < a->keys.n; i++) {
        const struct jinja_value *other = jinja_dict_get(b, a->keys.items[i]);
        same = other && jinja_equal(a->values.items[i], *other);
    }
    return same;
}

bool jinja_equal(struct jinja_value a, struct jinja_value b)
{
    int64_t x, y;
    if (jinja_number(a, &x) && jinja_number(b, &y))
        return x == y;
    if (a.type != b.type)
        return false;
    switch (a.type) {
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return true;
    case JINJA_TEXT:
        return a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
    case JINJA_LIST:
        return lists_equal(a.list, b.list);
    case JINJA_DICT:
        return dicts_equal(a.dict, b.dict);
    case JINJA_NAMESPACE:
        return a.dict == b.dict;
    case JINJA_LOOP:
        return a.loop == b.loop;
    case JINJA_FUNCTION:
        return a.function == b.function;
    case JINJA_BOOL:
    case JINJA_INT:
        break;
    }
    return false;
}

bool jinja_is_text(struct jinja_value value, const char *text)
{
    size_t length = strlen(text);
    return value.type == JINJA_TEXT && value.length == length &&
           memcmp(value.text, text, length) == 0;
}

enum status jinja_order(struct jinja_value a, struct jinja_value b, int *out)
{
    int64_t x, y;
    if (jinja_number(a, &x) && jinja_number(b, &y)) {
        *out = x < y ? -1 : x > y;
        return OK;
    }
    if (a.type != JINJA_TEXT || b.type != JINJA_TEXT)
        return fail(ERR_INPUT, "%s and %s have no order", jinja_type_name(a.type),
                    jinja_type_name(b.type));
    // UTF-8 sorts as its code points do.
    size_t n = a.length < b.length ? a.length : b.length;
    int order = n ? memcmp(a.text, b.text, n) : 0;
    *out = order ? order : a.length < b.length ? -1 : a.length > b.length;
    return OK;
}

// ---- texts ----

const char *jinja_type_name(enum jinja_type type)
{
    switch (type) {
    case JINJA_UNDEFINED:
        return "an undefined value";
    case JINJA_NONE:
        return "none";
    case JINJA_BOOL:
        return "a boolean";
    case JINJA_INT:
        return "an integer";
    case JINJA_TEXT:
        return "a string";
    case JINJA_LIST:
        return "a list";
    case JINJA_DICT:
        return "a dictionary";
    case JINJA_NAMESPACE:
        return "a namespace";
    case JINJA_LOOP:
        return "a loop";
    case JINJA_FUNCTION:
        return "a function";
    }
    return "a value";
}

enum status jinja_to_text(struct jinja_memory *memory, struct jinja_value value,
                          struct jinja_value *out)
{
    char *digits;
    switch (value.type) {
    case JINJA_UNDEFINED:
        *out = jinja_text("", 0);
        return OK;
    case JINJA_NONE:
        *out = jinja_text("None", 4);
        return OK;
    case JINJA_BOOL:
        *out = value.truth ? jinja_text("True", 4) : jinja_text("False", 5);
        return OK;
    case JINJA_INT:
        TRY(jinja_take(memory, 24, 1, &digits));
        snprintf(digits, 24, "%lld", (long long)value.number);
        *out = jinja_text(digits, strlen(digits));
        return OK;
    case JINJA_TEXT:
        *out = value;
        return OK;
    case JINJA_LIST:
    case JINJA_DICT:
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_FUNCTION:
        break;
    }
    return fail(ERR_UNSUPPORTED, "%s: line %d: writing %s as text is not supported", memory->name,
                memory->line, jinja_type_name(value.type));
}

enum status jinja_join(struct jinja_memory *memory, struct jinja_value left,
                       struct jinja_value right, struct jinja_value *out)
{
    char *text;
    size_t length;
    if (!checked_add(left.length, right.length, &length))
        return fail_memory(SIZE_MAX, "a text");
    TRY(jinja_take(memory, length, 1, &text));
    if (left.length > 0)
        memcpy(text, left.text, left.length);
    if (right.length > 0)
        memcpy(text + left.length, right.text, right.length);
    *out = jinja_text(text, length);
    return OK;
}

static size_t char_bytes(const char *text, size_t length)
{
    uint32_t code;
    size_t bytes;
    utf8_next(text, length, &code, &bytes);
    return bytes;
}

size_t jinja_text_length(struct jinja_value text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.length; n++)
        i += char_bytes(text.text + i, text.length - i);
    return n;
}

struct jinja_value jinja_text_slice(struct jinja_value text, size_t begin, size_t end)
{
    size_t i = 0, n = 0, from = text.length;
    for (; i < text.length && n < end; n++) {
        if (n == begin)
            from = i;
        i += char_bytes(text.text + i, text.length - i);
    }
    return from < i ? jinja_text(text.text + from, i - from) : jinja_text("", 0);
}

bool jinja_is_space(uint32_t code)
{
    return unicode_is_space(code) || (code >= 0x1C && code <= 0x1F);
}
