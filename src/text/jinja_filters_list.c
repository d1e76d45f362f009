// Filters on lists and other things with items.
#include "text/jinja_filters.h"

JINJA_BUILTIN(jinja_filter_length)
{
    (void)a;
    size_t n;
    int64_t length;
    if (value.type == JINJA_TEXT)
        TRY(jinja_touch(run, value.length));
    if (jinja_length(value, &n)) {
        *out = jinja_size(n);
        return OK;
    }
    if (value.type != JINJA_LOOP)
        return jinja_fail(run, "%s has no length", jinja_type_name(value));
    TRY(jinja_loop_length(run, value.loop, &length));
    *out = jinja_int(length);
    return OK;
}

JINJA_BUILTIN(jinja_filter_list)
{
    (void)a;
    return jinja_to_list(run, value, JINJA_LIST, out);
}

JINJA_BUILTIN(jinja_filter_first)
{
    (void)a;
    struct jinja_iterator *iterator;
    bool more;
    TRY(jinja_iterate(run, value, &iterator));
    TRY(jinja_next(run, iterator, out, &more));
    if (!more)
        *out = jinja_hint("there is no first item");
    return OK;
}

JINJA_BUILTIN(jinja_filter_last)
{
    (void)a;
    bool possible, more;
    TRY(jinja_reversed(run, value, out, &possible));
    if (!possible)
        return jinja_fail(run, "last needs a list, found %s", jinja_type_name(value));
    TRY(jinja_next(run, out->iterator, out, &more));
    if (!more)
        *out = jinja_hint("there is no last item");
    return OK;
}

JINJA_BUILTIN(jinja_filter_reverse)
{
    (void)a;
    bool possible;
    if (value.type == JINJA_TEXT)
        return jinja_slice(run, value, jinja_none(), jinja_none(), jinja_int(-1), out);
    TRY(jinja_reversed(run, value, out, &possible));
    if (possible)
        return OK;
    TRY(jinja_to_list(run, value, JINJA_LIST, &value));
    return jinja_slice(run, value, jinja_none(), jinja_none(), jinja_int(-1), out);
}

JINJA_BUILTIN(jinja_filter_items)
{
    (void)a;
    struct jinja_iterator *iterator;
    if (value.type != JINJA_UNDEFINED && value.type != JINJA_DICT)
        return jinja_fail(run, "items needs a dict, found %s", jinja_type_name(value));
    if (value.type == JINJA_DICT)
        value = (struct jinja_value){.type = JINJA_VIEW, .part = JINJA_ITEMS, .dict = value.dict};
    TRY(jinja_iterate(run, value, &iterator));
    *out = (struct jinja_value){.type = JINJA_ITERATOR, .iterator = iterator};
    return OK;
}

JINJA_BUILTIN(jinja_filter_join)
{
    struct jinja_value separator = jinja_text("", 0), item;
    struct jinja_iterator *iterator;
    size_t output = run->out.length;
    bool more = true;
    if (jinja_given(a[0]))
        TRY(jinja_str(run, a[0], &separator));
    TRY(jinja_iterate(run, value, &iterator));
    for (bool first = true; more; first = false) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            break;
        TRY(jinja_get_path(run, item, a[1], jinja_missing(), &item));
        if (!first)
            TRY(jinja_write(run, separator.text, separator.length));
        TRY(jinja_print(run, item));
    }
    return jinja_take_output(run, output, out);
}

// ---- those that give iterators ----

// The filter or test that is named, and the arguments behind it.
static enum status filter_argument_named(struct jinja_run *run, struct jinja_lazy_call *call,
                                         bool filter, const struct jinja_arguments *arguments,
                                         size_t at)
{
    struct jinja_value name = arguments->values[at];
    call->name = name;
    call->arguments =
        (struct jinja_arguments){arguments->n - at - 1, arguments->n_named,
                                 arguments->values + at + 1, arguments->names, arguments->named};
    if (name.type == JINJA_TEXT)
        call->function = (filter ? jinja_find_filter : jinja_find_test)(name.text, name.length);
    if (!call->function)
        call->unknown = filter ? "filter" : "test";
    return jinja_step(run, 1);
}

static enum status map_attribute(struct jinja_run *run, struct jinja_lazy_call *call,
                                 const struct jinja_arguments *arguments)
{
    call->attribute = call->otherwise = jinja_missing();
    for (size_t i = 0; i < arguments->n_named; i++) {
        if (jinja_is_text(arguments->names[i], "attribute"))
            call->attribute = arguments->named[i];
        else if (jinja_is_text(arguments->names[i], "default"))
            call->otherwise = arguments->named[i];
        else
            return jinja_fail(run, "map has no argument \"%.*s\"", (int)arguments->names[i].length,
                              arguments->names[i].text);
    }
    return jinja_given(call->attribute)
               ? OK
               : jinja_fail(run, "map needs a filter or an attribute to ask for");
}

JINJA_BUILTIN_ANY(jinja_filter_map)
{
    struct jinja_lazy_call call = {.kind = JINJA_LAZY_MAP};
    if (!jinja_true(value)) // then the arguments are not looked at
        return jinja_lazy_new(run, value, &call, out);
    TRY(arguments->n == 0 ? map_attribute(run, &call, arguments)
                          : filter_argument_named(run, &call, true, arguments, 0));
    return jinja_lazy_new(run, value, &call, out);
}

static enum status select_or_reject(struct jinja_run *run, struct jinja_value value,
                                    const struct jinja_arguments *arguments, bool rejects,
                                    bool by_attribute, struct jinja_value *out)
{
    struct jinja_lazy_call call = {
        .kind = JINJA_LAZY_SELECT, .rejects = rejects, .has_attribute = by_attribute};
    size_t at = by_attribute;
    if (!jinja_true(value))
        return jinja_lazy_new(run, value, &call, out);
    if (arguments->n < at)
        return jinja_fail(run, "selectattr and rejectattr need an attribute to ask for");
    if (by_attribute)
        call.attribute = arguments->values[0];
    if (arguments->n > at)
        TRY(filter_argument_named(run, &call, false, arguments, at));
    return jinja_lazy_new(run, value, &call, out);
}

JINJA_BUILTIN_ANY(jinja_filter_select)
{
    return select_or_reject(run, value, arguments, false, false, out);
}

JINJA_BUILTIN_ANY(jinja_filter_reject)
{
    return select_or_reject(run, value, arguments, true, false, out);
}

JINJA_BUILTIN_ANY(jinja_filter_selectattr)
{
    return select_or_reject(run, value, arguments, false, true, out);
}

JINJA_BUILTIN_ANY(jinja_filter_rejectattr)
{
    return select_or_reject(run, value, arguments, true, true, out);
}

static enum status counted(struct jinja_run *run, enum jinja_lazy kind, struct jinja_value value,
                           const struct jinja_value *a, struct jinja_value *out)
{
    struct jinja_lazy_call call = {.kind = kind};
    TRY(jinja_int_argument(run, kind == JINJA_LAZY_BATCH ? "batch" : "slice", a[0], 0,
                           &call.count));
    call.fill = jinja_given(a[1]) ? a[1] : jinja_none();
    return jinja_lazy_new(run, value, &call, out);
}

JINJA_BUILTIN(jinja_filter_batch)
{
    return counted(run, JINJA_LAZY_BATCH, value, a, out);
}

JINJA_BUILTIN(jinja_filter_slice)
{
    return counted(run, JINJA_LAZY_SLICE, value, a, out);
}

JINJA_BUILTIN(jinja_filter_unique)
{
    struct jinja_lazy_call call = {
        .kind = JINJA_LAZY_UNIQUE, .case_sensitive = jinja_flag(a[0]), .attribute = a[1]};
    return jinja_lazy_new(run, value, &call, out);
}

// ---- sorting ----

// The key of one item: the attributes of "a,b" in a list, as Python compares them.
static enum status sort_key(struct jinja_run *run, struct jinja_value item,
                            struct jinja_value attribute, bool case_sensitive,
                            struct jinja_value *out)
{
    struct jinja_builder keys = {0};
    struct jinja_value parts, key;
    if (attribute.type == JINJA_TEXT)
        TRY(jinja_split(run, attribute, jinja_literal(","), -1, false, &parts));
    size_t n = attribute.type == JINJA_TEXT ? parts.list->n : 1;
    for (size_t i = 0; i < n; i++) {
        TRY(jinja_get_path(run, item,
                           attribute.type == JINJA_TEXT ? parts.list->items[i] : attribute,
                           jinja_missing(), &key));
        if (!case_sensitive)
            TRY(jinja_ignore_case(run, key, &key));
        TRY(jinja_push(run, &keys, key));
    }
    return jinja_built(run, JINJA_LIST, &keys, out);
}

JINJA_BUILTIN(jinja_filter_sort)
{
    struct jinja_value *keys;
    TRY(jinja_to_list(run, value, JINJA_LIST, out));
    TRY(jinja_take(run, out->list->n, sizeof *keys, &keys));
    for (size_t i = 0; i < out->list->n; i++)
        TRY(sort_key(run, out->list->items[i], a[2], jinja_flag(a[1]), &keys[i]));
    return jinja_sort(run, keys, out->list->items, out->list->n, jinja_flag(a[0]));
}

JINJA_BUILTIN(jinja_filter_dictsort)
{
    bool by_value = jinja_is_text(a[1], "value");
    struct jinja_value *keys;
    if (jinja_given(a[1]) && !by_value && !jinja_is_text(a[1], "key"))
        return jinja_fail(run, "dictsort sorts by \"key\" or \"value\"");
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    if (value.type != JINJA_DICT)
        return jinja_fail(run, "dictsort needs a dict, found %s", jinja_type_name(value));
    struct jinja_value items = {.type = JINJA_VIEW, .part = JINJA_ITEMS, .dict = value.dict};
    TRY(jinja_to_list(run, items, JINJA_LIST, out));
    TRY(jinja_take(run, out->list->n, sizeof *keys, &keys));
    for (size_t i = 0; i < out->list->n; i++) {
        keys[i] = out->list->items[i].list->items[by_value ? 1 : 0];
        if (!jinja_flag(a[0]))
            TRY(jinja_ignore_case(run, keys[i], &keys[i]));
    }
    return jinja_sort(run, keys, out->list->items, out->list->n, jinja_flag(a[2]));
}

// The items with the same key, after sorting, as (key, list).
static enum status group_items(struct jinja_run *run, const struct jinja_value *keys,
                               const struct jinja_list *items, const struct jinja_value *a,
                               struct jinja_builder *groups)
{
    bool case_sensitive = jinja_flag(a[2]), same;
    for (size_t begin = 0, end; begin < items->n; begin = end) {
        struct jinja_builder group = {0};
        struct jinja_value key = keys[begin], list, pair;
        for (end = begin, same = true; same && end < items->n;) {
            TRY(jinja_push(run, &group, items->items[end++]));
            if (end < items->n)
                TRY(jinja_equal(run, keys[end], key, &same));
        }
        if (!case_sensitive)
            TRY(jinja_get_path(run, items->items[begin], a[0], a[1], &key));
        TRY(jinja_built(run, JINJA_LIST, &group, &list));
        TRY(jinja_pair(run, key, list, &pair));
        TRY(jinja_push(run, groups, jinja_as(pair, JINJA_GROUP)));
    }
    return OK;
}

JINJA_BUILTIN(jinja_filter_groupby)
{
    struct jinja_builder groups = {0};
    struct jinja_value list, *keys;
    TRY(jinja_to_list(run, value, JINJA_LIST, &list));
    TRY(jinja_take(run, list.list->n, sizeof *keys, &keys));
    for (size_t i = 0; i < list.list->n; i++) {
        TRY(jinja_get_path(run, list.list->items[i], a[0], a[1], &keys[i]));
        if (!jinja_flag(a[2]))
            TRY(jinja_ignore_case(run, keys[i], &keys[i]));
    }
    TRY(jinja_sort(run, keys, list.list->items, list.list->n, false));
    TRY(group_items(run, keys, list.list, a, &groups));
    return jinja_built(run, JINJA_LIST, &groups, out);
}

// ---- min, max and sum ----

static enum status extreme(struct jinja_run *run, struct jinja_value value,
                           const struct jinja_value *a, int wanted, struct jinja_value *out)
{
    struct jinja_iterator *iterator;
    struct jinja_value item, key, best = jinja_missing();
    bool more;
    int order;
    TRY(jinja_iterate(run, value, &iterator));
    *out = jinja_hint("there is no item to be the least or greatest");
    for (;;) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            return OK;
        TRY(jinja_get_path(run, item, a[1], jinja_missing(), &key));
        if (!jinja_flag(a[0]))
            TRY(jinja_ignore_case(run, key, &key));
        if (jinja_given(best)) {
            TRY(jinja_order(run, key, best, &order));
            if (order != wanted)
                continue;
        }
        best = key;
        *out = item;
    }
}

JINJA_BUILTIN(jinja_filter_min)
{
    return extreme(run, value, a, -1, out);
}

JINJA_BUILTIN(jinja_filter_max)
{
    return extreme(run, value, a, 1, out);
}

JINJA_BUILTIN(jinja_filter_sum)
{
    struct jinja_iterator *iterator;
    struct jinja_value item;
    bool more;
    TRY(jinja_iterate(run, value, &iterator));
    *out = jinja_given(a[1]) ? a[1] : jinja_int(0);
    if (out->type == JINJA_TEXT)
        return jinja_fail(run, "sum cannot add strings; use join");
    for (;;) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            return OK;
        TRY(jinja_get_path(run, item, a[0], jinja_missing(), &item));
        TRY(jinja_arithmetic(run, JINJA_ADD, *out, item, out));
    }
}
