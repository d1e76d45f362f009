// Truth, equality, order and hashes of values, as Python has them.
#include "text/jinja_run.h"

#include <assert.h>
#include <math.h>

#include "text/jinja_eval.h"

const char *jinja_type_name(struct jinja_value value)
{
    static const char *const names[] = {[JINJA_MISSING] = "nothing",
                                        [JINJA_UNDEFINED] = "an undefined value",
                                        [JINJA_NONE] = "none",
                                        [JINJA_BOOL] = "a boolean",
                                        [JINJA_INT] = "an integer",
                                        [JINJA_FLOAT] = "a float",
                                        [JINJA_TEXT] = "a string",
                                        [JINJA_LIST] = "a list",
                                        [JINJA_TUPLE] = "a tuple",
                                        [JINJA_DICT] = "a dict",
                                        [JINJA_VIEW] = "a view of a dict",
                                        [JINJA_RANGE] = "a range",
                                        [JINJA_ITERATOR] = "an iterator",
                                        [JINJA_NAMESPACE] = "a namespace",
                                        [JINJA_LOOP] = "a loop",
                                        [JINJA_MACRO] = "a macro",
                                        [JINJA_FUNCTION] = "a function",
                                        [JINJA_METHOD] = "a method",
                                        [JINJA_CYCLER] = "a cycler",
                                        [JINJA_JOINER] = "a joiner"};
    return names[value.type];
}

bool jinja_true(struct jinja_value value)
{
    switch ((enum jinja_type)value.type) {
    case JINJA_MISSING:
    case JINJA_UNDEFINED:
    case JINJA_NONE:
        return false;
    case JINJA_BOOL:
        return value.truth;
    case JINJA_INT:
        return value.number != 0;
    case JINJA_FLOAT:
        return value.real != 0;
    case JINJA_TEXT:
        return value.length > 0;
    case JINJA_LIST:
    case JINJA_TUPLE:
        return value.list->n > 0;
    case JINJA_DICT:
    case JINJA_VIEW:
        return value.dict->n > 0;
    case JINJA_RANGE:
        return value.range->n > 0;
    case JINJA_ITERATOR:
    case JINJA_NAMESPACE:
    case JINJA_LOOP:
    case JINJA_MACRO:
    case JINJA_FUNCTION:
    case JINJA_METHOD:
    case JINJA_CYCLER:
    case JINJA_JOINER:
        break;
    }
    return true;
}

// ---- identity ----

bool jinja_same(struct jinja_value a, struct jinja_value b)
{
    if (a.type != b.type || a.part != b.part)
        return false;
    switch ((enum jinja_type)a.type) {
    case JINJA_MISSING:
    case JINJA_NONE:
        return true;
    case JINJA_BOOL:
        return a.truth == b.truth;
    case JINJA_INT: // Python keeps small ones, and constants of a template, once
        return a.number == b.number;
    case JINJA_FLOAT:
        return a.real == b.real;
    case JINJA_UNDEFINED:
    case JINJA_TEXT:
        return a.length == b.length &&
               (a.text == b.text || a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
    case JINJA_METHOD:
        return false; // each access makes a new one
    default:
        return a.list == b.list;
    }
}

// ---- equality ----

static bool value_is_number(struct jinja_value value)
{
    return value.type == JINJA_BOOL || value.type == JINJA_INT || value.type == JINJA_FLOAT;
}

// Exact between integers and floats: long double holds both.
static long double wide(struct jinja_value value)
{
    int64_t number;
    return jinja_is_int(value, &number) ? (long double)number : (long double)value.real;
}

static enum status lists_equal(struct jinja_run *run, const struct jinja_list *a,
                               const struct jinja_list *b, bool *out)
{
    assert(run && a && b && out);
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++)
        TRY(jinja_equal(run, a->items[i], b->items[i], out));
    return OK;
}

static enum status dicts_equal(struct jinja_run *run, const struct jinja_dict *a,
                               const struct jinja_dict *b, bool keys_only, bool *out)
{
    assert(run && a && b && out);
    *out = a->n == b->n;
    for (size_t i = 0; *out && i < a->n; i++) {
        const struct jinja_value *other;
        TRY(jinja_dict_get(run, b, a->entries[i].key, &other));
        *out = other != NULL;
        if (other && !keys_only)
            TRY(jinja_equal(run, a->entries[i].value, *other, out));
    }
    return OK;
}

static enum status inside_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                                bool *out)
{
    switch ((enum jinja_type)a.type) {
    case JINJA_LIST:
    case JINJA_TUPLE:
        return lists_equal(run, a.list, b.list, out);
    case JINJA_DICT:
        return dicts_equal(run, a.dict, b.dict, false, out);
    case JINJA_VIEW: // keys and items are sets; values are only equal to themselves
        if (a.part == b.part && a.part != JINJA_VALUES)
            return dicts_equal(run, a.dict, b.dict, a.part == JINJA_KEYS, out);
        *out = false;
        return OK;
    case JINJA_RANGE:
        *out = a.range->n == b.range->n &&
               (a.range->n == 0 || (a.range->start == b.range->start &&
                                    (a.range->n == 1 || a.range->step == b.range->step)));
        return OK;
    default:
        *out = false;
        return OK;
    }
}

enum status jinja_equal(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                        bool *out)
{
    assert(run && out);
    TRY(jinja_step(run, 1));
    if (value_is_number(a) && value_is_number(b)) {
        *out = wide(a) == wide(b);
        return OK;
    }
    *out = false;
    if (a.type != b.type)
        return OK;
    if (a.type == JINJA_UNDEFINED) {
        *out = true;
        return OK;
    }
    if (a.type == JINJA_TEXT) {
        if (a.length == b.length)
            TRY(jinja_touch(run, a.length));
        *out = a.length == b.length && (a.length == 0 || memcmp(a.text, b.text, a.length) == 0);
        return OK;
    }
    if (jinja_same(a, b)) {
        *out = true;
        return OK;
    }
    TRY(jinja_go_into(run));
    enum status status = inside_equal(run, a, b, out);
    run->value_depth--;
    return status;
}

// ---- order ----

static enum status no_order(struct jinja_run *run, struct jinja_value a, struct jinja_value b)
{
    if (a.type == JINJA_UNDEFINED || b.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, a.type == JINJA_UNDEFINED ? a : b);
    return jinja_fail(run, "%s and %s have no order", jinja_type_name(a), jinja_type_name(b));
}

static enum status order_lists(struct jinja_run *run, const struct jinja_list *a,
                               const struct jinja_list *b, int *out)
{
    for (size_t i = 0; i < a->n && i < b->n; i++) {
        bool same = jinja_same(a->items[i], b->items[i]);
        if (!same)
            TRY(jinja_equal(run, a->items[i], b->items[i], &same));
        if (!same)
            return jinja_order(run, a->items[i], b->items[i], out);
    }
    *out = a->n < b->n ? -1 : a->n > b->n;
    return OK;
}

enum status jinja_order(struct jinja_run *run, struct jinja_value a, struct jinja_value b, int *out)
{
    assert(run && out);
    TRY(jinja_step(run, 1));
    if (value_is_number(a) && value_is_number(b)) {
        long double x = wide(a), y = wide(b);
        *out = x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
        return OK;
    }
    if (a.type != b.type || a.type == JINJA_UNDEFINED)
        return no_order(run, a, b);
    if (a.type == JINJA_TEXT) { // UTF-8 sorts as its characters do
        size_t n = a.length < b.length ? a.length : b.length;
        TRY(jinja_touch(run, n));
        int order = n ? memcmp(a.text, b.text, n) : 0;
        *out = order ? order : a.length < b.length ? -1 : a.length > b.length;
        *out = *out < 0 ? -1 : *out > 0;
        return OK;
    }
    if (a.type != JINJA_LIST && a.type != JINJA_TUPLE)
        return no_order(run, a, b);
    TRY(jinja_go_into(run));
    enum status status = order_lists(run, a.list, b.list, out);
    run->value_depth--;
    return status;
}

// ---- hashes ----

static uint64_t hash_bytes(const char *text, size_t length)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < length; i++)
        hash = (hash ^ (unsigned char)text[i]) * 0x100000001b3u;
    return hash ^ hash >> 29;
}

static uint64_t hash_number(struct jinja_value value)
{
    int64_t number;
    if (!jinja_is_int(value, &number)) {
        if (!(value.real >= -9.2e18 && value.real <= 9.2e18) || floor(value.real) != value.real)
            return hash_bytes((const char *)&value.real, sizeof value.real);
        number = (int64_t)value.real;
    }
    return (uint64_t)number * 0x9e3779b97f4a7c15u ^ (uint64_t)number >> 7;
}

bool jinja_hashable(struct jinja_value value)
{
    return value.type != JINJA_LIST && value.type != JINJA_DICT && value.type != JINJA_VIEW;
}

static enum status hash_tuple(struct jinja_run *run, const struct jinja_list *list, uint64_t *out)
{
    assert(run && list && out);
    *out = list->n;
    for (size_t i = 0; i < list->n; i++) {
        uint64_t one = 0;
        TRY(jinja_hash(run, list->items[i], &one));
        *out = (*out ^ one) * 0x100000001b3u;
    }
    return OK;
}

enum status jinja_hash(struct jinja_run *run, struct jinja_value value, uint64_t *out)
{
    assert(run && out);
    if (!jinja_hashable(value))
        return jinja_fail(run, "%s cannot be the key of a dict", jinja_type_name(value));
    if (value.type == JINJA_TEXT) {
        *out = hash_bytes(value.text, value.length);
        return jinja_touch(run, value.length);
    }
    if (value_is_number(value)) {
        *out = hash_number(value);
        return OK;
    }
    if (value.type != JINJA_TUPLE) {
        *out = value.type; // few are ever keys
        return OK;
    }
    TRY(jinja_go_into(run));
    enum status status = hash_tuple(run, value.list, out);
    run->value_depth--;
    return status;
}

// ---- in ----

static enum status contains_text(struct jinja_run *run, struct jinja_value text,
                                 struct jinja_value item, bool *out)
{
    assert(text.type == JINJA_TEXT && out);
    if (item.type == JINJA_UNDEFINED)
        return jinja_fail(run, "\"in\" of a string needs a string, found an undefined value");
    if (item.type != JINJA_TEXT)
        return jinja_fail(run, "\"in\" of a string needs a string, found %s",
                          jinja_type_name(item));
    TRY(jinja_touch(run, text.length));
    *out = item.length == 0 ||
           (text.length > 0 && memmem(text.text, text.length, item.text, item.length) != NULL);
    return OK;
}

static enum status contains_by_iterating(struct jinja_run *run, struct jinja_value container,
                                         struct jinja_value item, bool *out)
{
    struct jinja_iterator *iterator;
    struct jinja_value next = {0};
    bool more;
    TRY(jinja_iterate(run, container, &iterator));
    for (*out = false; !*out;) {
        TRY(jinja_next(run, iterator, &next, &more));
        if (!more)
            return OK;
        *out = jinja_same(next, item);
        if (!*out)
            TRY(jinja_equal(run, next, item, out));
    }
    return OK;
}

enum status jinja_contains(struct jinja_run *run, struct jinja_value container,
                           struct jinja_value item, bool *out)
{
    assert(run && out);
    const struct jinja_value *found;
    *out = false;
    if (container.type == JINJA_TEXT)
        return contains_text(run, container, item, out);
    if (container.type == JINJA_DICT ||
        (container.type == JINJA_VIEW && container.part == JINJA_KEYS)) {
        TRY(jinja_dict_get(run, container.dict, item, &found));
        *out = found != NULL;
        return OK;
    }
    return contains_by_iterating(run, container, item, out);
}

// ---- sorting ----

// Merges the sorted halves [0, middle) and [middle, n) of `from` into `to`.
struct sortable {
    struct jinja_value key, item;
};

static enum status merge_sorted(struct jinja_run *run, const struct sortable *from, size_t middle,
                                size_t n, bool reverse, struct sortable *to)
{
    assert(from && to && from != to && middle <= n);
    size_t a = 0, b = middle;
    for (size_t i = 0; i < n; i++) {
        bool left = b == n;
        if (a < middle && b < n) {
            int order = 0;
            TRY(reverse ? jinja_order(run, from[a].key, from[b].key, &order)
                        : jinja_order(run, from[b].key, from[a].key, &order));
            left = order != -1; // equal ones keep their order, backwards too
        } else if (b < n) {
            left = false;
        }
        to[i] = left ? from[a++] : from[b++];
    }
    return OK;
}

enum status jinja_sort(struct jinja_run *run, struct jinja_value *keys, struct jinja_value *items,
                       size_t n, bool reverse)
{
    assert(run && (n == 0 || (keys && items)));
    struct sortable *from, *to;
    TRY(jinja_take(run, n, sizeof *from, &from));
    TRY(jinja_take(run, n, sizeof *to, &to));
    for (size_t i = 0; i < n; i++)
        from[i] = (struct sortable){keys[i], items[i]};
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at < n; at += 2 * width) {
            size_t left = n - at, middle = left < width ? left : width,
                   all = left < 2 * width ? left : 2 * width;
            TRY(merge_sorted(run, from + at, middle, all, reverse, to + at));
        }
        struct sortable *other = from;
        from = to;
        to = other;
    }
    for (size_t i = 0; i < n; i++) {
        keys[i] = from[i].key;
        items[i] = from[i].item;
    }
    return OK;
}
