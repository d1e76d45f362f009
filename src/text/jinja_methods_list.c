// Methods of Python's dict, list, tuple and range, and of Jinja2's cycler and loop.
#include "text/jinja_filters.h"

static struct jinja_value none_if_missing(struct jinja_value value)
{
    return jinja_given(value) ? value : jinja_none();
}

// ---- dicts ----

static struct jinja_value view_of(struct jinja_value dict, enum jinja_part part)
{
    return (struct jinja_value){.type = JINJA_VIEW, .part = (uint8_t)part, .dict = dict.dict};
}

JINJA_BUILTIN(jinja_method_keys)
{
    (void)run, (void)a;
    *out = view_of(value, JINJA_KEYS);
    return OK;
}

JINJA_BUILTIN(jinja_method_values)
{
    (void)run, (void)a;
    *out = view_of(value, JINJA_VALUES);
    return OK;
}

JINJA_BUILTIN(jinja_method_items)
{
    (void)run, (void)a;
    *out = view_of(value, JINJA_ITEMS);
    return OK;
}

JINJA_BUILTIN(jinja_method_get)
{
    const struct jinja_value *found;
    TRY(jinja_dict_get(run, value.dict, a[0], &found));
    *out = found ? *found : none_if_missing(a[1]);
    return OK;
}

JINJA_BUILTIN(jinja_method_copy)
{
    (void)run, (void)a;
    *out = value; // nothing in a template can tell the copy from it
    return OK;
}

JINJA_BUILTIN(jinja_method_fromkeys)
{
    (void)value;
    struct jinja_iterator *iterator;
    struct jinja_dict *dict;
    struct jinja_value key;
    bool more = true;
    TRY(jinja_iterate(run, a[0], &iterator));
    TRY(jinja_dict_new(run, &dict));
    for (;;) {
        TRY(jinja_next(run, iterator, &key, &more));
        if (!more)
            break;
        TRY(jinja_dict_set(run, dict, key, none_if_missing(a[1])));
    }
    *out = jinja_of_dict(dict);
    return OK;
}

// ---- lists, tuples and ranges ----

JINJA_BUILTIN(jinja_method_count_item)
{
    struct jinja_iterator *iterator;
    struct jinja_value item;
    int64_t n = 0;
    bool more, same;
    TRY(jinja_iterate(run, value, &iterator));
    for (;; n += same) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            break;
        TRY(jinja_equal(run, item, a[0], &same));
    }
    *out = jinja_int(n);
    return OK;
}

JINJA_BUILTIN(jinja_method_index_item)
{
    size_t n;
    int64_t begin, end;
    bool same;
    jinja_length(value, &n);
    TRY(jinja_int_argument(run, "index", a[1], 0, &begin));
    TRY(jinja_int_argument(run, "index", a[2], (int64_t)n, &end));
    begin = begin < 0 ? (begin + (int64_t)n < 0 ? 0 : begin + (int64_t)n) : begin;
    end = end < 0 ? end + (int64_t)n : end > (int64_t)n ? (int64_t)n : end;
    for (int64_t i = begin; i < end; i++) {
        struct jinja_value item;
        TRY(jinja_get_item(run, value, jinja_int(i), &item));
        TRY(jinja_equal(run, item, a[0], &same));
        if (same) {
            *out = jinja_int(i);
            return OK;
        }
    }
    return jinja_fail(run, "index: the list does not hold what is searched");
}

// ---- cycler and loop ----

JINJA_BUILTIN(jinja_method_next)
{
    (void)run, (void)a;
    *out = value.cycler->items->items[value.cycler->at];
    value.cycler->at = (value.cycler->at + 1) % value.cycler->items->n;
    return OK;
}

JINJA_BUILTIN(jinja_method_reset)
{
    (void)run, (void)a;
    value.cycler->at = 0;
    *out = jinja_none();
    return OK;
}

JINJA_BUILTIN_ANY(jinja_method_cycle)
{
    if (arguments->n == 0 || arguments->n_named > 0)
        return jinja_fail(run, "loop.cycle needs the items, without names");
    *out = arguments->values[(size_t)value.loop->index0 % arguments->n];
    return OK;
}

JINJA_BUILTIN_ANY(jinja_method_changed)
{
    struct jinja_list *list;
    struct jinja_value now;
    bool same = false;
    if (arguments->n_named > 0)
        return jinja_fail(run, "loop.changed takes no arguments by name");
    TRY(jinja_list_new(run, JINJA_TUPLE, arguments->n, &list, &now));
    for (; list->n < arguments->n; list->n++)
        list->items[list->n] = arguments->values[list->n];
    if (jinja_given(value.loop->last_changed))
        TRY(jinja_equal(run, value.loop->last_changed, now, &same));
    if (!same)
        value.loop->last_changed = now;
    *out = jinja_bool(!same);
    return OK;
}
