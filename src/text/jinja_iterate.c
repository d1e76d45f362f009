// Going through values, one item after the other. The filters map, select, batch, ... are done
// here, on the way, as Python's generators do them: what is not asked for is not computed.
#include "text/jinja_eval.h"
#include "text/python_text.h"
#include "text/unicode.h"

enum kind { OF_NOTHING, OF_LIST, OF_TEXT, OF_DICT, OF_RANGE, BACKWARDS, LAZY, LOOP_FILTER };

struct jinja_iterator {
    enum kind kind;
    struct jinja_value source;
    size_t at;                     // BACKWARDS: items that are left
    struct jinja_iterator *inner;  // LAZY, LOOP_FILTER
    struct jinja_lazy_call call;   // LAZY
    bool began;                    // LAZY
    struct jinja_value left;       // LAZY batch: the item that begins the next; slice: the list
    struct jinja_dict *seen;       // LAZY unique
    const struct jinja_node *node; // LOOP_FILTER: the FOR
    struct jinja_activation *outer, *activation; // LOOP_FILTER: around it, and its own
};

static enum status new_iterator(struct jinja_run *run, enum kind kind, struct jinja_value source,
                                struct jinja_iterator **out)
{
    TRY(jinja_take(run, 1, sizeof **out, out));
    **out = (struct jinja_iterator){.kind = kind, .source = source};
    return OK;
}

static enum kind kind_of(struct jinja_value value)
{
    switch ((enum jinja_type)value.type) {
    case JINJA_LIST:
    case JINJA_TUPLE:
        return OF_LIST;
    case JINJA_TEXT:
        return OF_TEXT;
    case JINJA_DICT:
    case JINJA_VIEW:
        return OF_DICT;
    case JINJA_RANGE:
        return OF_RANGE;
    default:
        return OF_NOTHING;
    }
}

bool jinja_is_iterable(struct jinja_value value)
{
    return kind_of(value) != OF_NOTHING || value.type == JINJA_UNDEFINED ||
           value.type == JINJA_ITERATOR || value.type == JINJA_LOOP;
}

enum status jinja_iterate(struct jinja_run *run, struct jinja_value value,
                          struct jinja_iterator **out)
{
    if (value.type == JINJA_ITERATOR) {
        *out = value.iterator;
        return OK;
    }
    if (value.type == JINJA_LOOP)
        return jinja_unsupported(run, "going through a loop's variable is not supported");
    if (!jinja_is_iterable(value))
        return jinja_fail(run, "%s has no items to go through", jinja_type_name(value));
    return new_iterator(run, kind_of(value), value, out);
}

bool jinja_length(struct jinja_value value, size_t *out)
{
    *out = 0;
    switch (kind_of(value)) {
    case OF_LIST:
        *out = value.list->n;
        return true;
    case OF_TEXT:
        *out = jinja_text_chars(value);
        return true;
    case OF_DICT:
        *out = value.dict->n;
        return true;
    case OF_RANGE:
        *out = value.range->n;
        return true;
    default:
        return value.type == JINJA_UNDEFINED;
    }
}

// ---- one item ----

static enum status entry_of(struct jinja_run *run, struct jinja_value source, size_t at,
                            struct jinja_value *out)
{
    const struct jinja_entry *entry = &source.dict->entries[at];
    if (source.type == JINJA_VIEW && source.part == JINJA_ITEMS)
        return jinja_pair(run, entry->key, entry->value, out);
    *out = source.type == JINJA_VIEW && source.part == JINJA_VALUES ? entry->value : entry->key;
    return OK;
}

// Item `at` of what has a length and is no text.
static enum status iterated_item(struct jinja_run *run, struct jinja_value source, size_t at,
                                 struct jinja_value *out)
{
    if (kind_of(source) == OF_DICT)
        return entry_of(run, source, at, out);
    *out = source.type == JINJA_RANGE
               ? jinja_int(source.range->start + (int64_t)at * source.range->step)
               : source.list->items[at];
    return OK;
}

static void next_character(struct jinja_iterator *iterator, struct jinja_value *out)
{
    uint32_t code;
    size_t bytes;
    struct jinja_value text = iterator->source;
    utf8_next(text.text + iterator->at, text.length - iterator->at, &code, &bytes);
    *out = jinja_as(jinja_text(text.text + iterator->at, bytes), JINJA_PLAIN);
    iterator->at += bytes;
}

static enum status next_lazy(struct jinja_run *run, struct jinja_iterator *iterator,
                             struct jinja_value *out, bool *more);

static enum status next_passing(struct jinja_run *run, struct jinja_iterator *iterator,
                                struct jinja_value *out, bool *more)
{
    struct jinja_activation *before = run->activation;
    *more = false;
    for (bool passes = false; !passes;) {
        TRY(jinja_next(run, iterator->inner, out, more));
        if (!*more)
            return OK;
        if (!iterator->activation) { // the generator's first step
            TRY(jinja_activate(run, iterator->node->filter_function, iterator->outer));
            iterator->activation = run->activation;
        }
        run->activation = iterator->activation;
        enum status status = jinja_loop_test(run, iterator->node, *out, &passes);
        run->activation = before;
        TRY(status);
    }
    return OK;
}

enum status jinja_next(struct jinja_run *run, struct jinja_iterator *iterator,
                       struct jinja_value *out, bool *more)
{
    size_t n = 0;
    TRY(jinja_step(run, 1));
    switch (iterator->kind) {
    case OF_NOTHING:
        *more = false;
        return OK;
    case OF_TEXT:
        *more = iterator->at < iterator->source.length;
        if (*more)
            next_character(iterator, out);
        return OK;
    case OF_LIST:
    case OF_DICT:
    case OF_RANGE:
        jinja_length(iterator->source, &n);
        *more = iterator->at < n;
        return *more ? iterated_item(run, iterator->source, iterator->at++, out) : OK;
    case BACKWARDS:
        *more = iterator->at > 0;
        return *more ? iterated_item(run, iterator->source, --iterator->at, out) : OK;
    case LAZY:
    case LOOP_FILTER:
        break;
    }
    if (++run->depth > JINJA_EVAL_DEPTH_MAX)
        return jinja_fail(run, "filters are nested deeper than %d levels", JINJA_EVAL_DEPTH_MAX);
    enum status status = iterator->kind == LAZY ? next_lazy(run, iterator, out, more)
                                                : next_passing(run, iterator, out, more);
    run->depth--;
    return status;
}

enum status jinja_to_list(struct jinja_run *run, struct jinja_value value, enum jinja_type type,
                          struct jinja_value *out)
{
    struct jinja_iterator *iterator;
    struct jinja_builder builder = {0};
    struct jinja_value item = {0};
    bool more = false;
    TRY(jinja_iterate(run, value, &iterator));
    for (;;) {
        TRY(jinja_next(run, iterator, &item, &more));
        if (!more)
            return jinja_built(run, type, &builder, out);
        TRY(jinja_push(run, &builder, item));
    }
}

static struct jinja_value iterator_value(struct jinja_iterator *iterator)
{
    return (struct jinja_value){.type = JINJA_ITERATOR, .iterator = iterator};
}

enum status jinja_reversed(struct jinja_run *run, struct jinja_value value, struct jinja_value *out,
                           bool *possible)
{
    struct jinja_iterator *iterator;
    size_t n;
    enum kind kind = kind_of(value);
    *possible = kind == OF_LIST || kind == OF_DICT || kind == OF_RANGE || kind == OF_TEXT ||
                value.type == JINJA_UNDEFINED;
    if (!*possible)
        return OK;
    if (kind == OF_TEXT)
        TRY(jinja_to_list(run, value, JINJA_LIST, &value));
    jinja_length(value, &n);
    TRY(new_iterator(run, BACKWARDS, value, &iterator));
    iterator->at = n;
    *out = iterator_value(iterator);
    return OK;
}

enum status jinja_filter_loop(struct jinja_run *run, const struct jinja_node *node,
                              struct jinja_activation *outer, struct jinja_iterator *source,
                              struct jinja_iterator **out)
{
    TRY(new_iterator(run, LOOP_FILTER, jinja_none(), out));
    (*out)->node = node;
    (*out)->outer = outer;
    (*out)->inner = source;
    return OK;
}

// ---- attributes with dots ----

static bool is_digits(struct jinja_value text)
{
    return python_asks(PYTHON_IS_DIGIT, text.text, text.length);
}

static enum status path_part(struct jinja_run *run, struct jinja_value text,
                             struct jinja_value *out)
{
    bool valid;
    int64_t number;
    *out = jinja_as(text, JINJA_PLAIN);
    if (!is_digits(text))
        return OK;
    TRY(jinja_parse_int(run, text, 10, &valid, &number));
    if (!valid)
        return jinja_fail(run, "\"%.*s\" is not an index", (int)text.length, text.text);
    *out = jinja_int(number);
    return OK;
}

static enum status get_part(struct jinja_run *run, struct jinja_value part,
                            struct jinja_value otherwise, struct jinja_value *item)
{
    TRY(jinja_get_item(run, *item, part, item));
    if (item->type == JINJA_UNDEFINED && jinja_given(otherwise) && otherwise.type != JINJA_NONE)
        *item = otherwise;
    return OK;
}

enum status jinja_get_path(struct jinja_run *run, struct jinja_value item,
                           struct jinja_value attribute, struct jinja_value otherwise,
                           struct jinja_value *out)
{
    *out = item;
    if (!jinja_given(attribute) || attribute.type == JINJA_NONE)
        return OK;
    if (attribute.type != JINJA_TEXT)
        return get_part(run, attribute, otherwise, out);
    for (size_t begin = 0; begin <= attribute.length;) {
        const char *dot = attribute.length > begin
                              ? memchr(attribute.text + begin, '.', attribute.length - begin)
                              : NULL;
        size_t end = dot ? (size_t)(dot - attribute.text) : attribute.length;
        struct jinja_value part = {0};
        TRY(path_part(run, jinja_text(attribute.text + begin, end - begin), &part));
        TRY(get_part(run, part, otherwise, out));
        begin = end + 1;
    }
    return OK;
}

enum status jinja_ignore_case(struct jinja_run *run, struct jinja_value value,
                              struct jinja_value *out)
{
    *out = value;
    if (value.type != JINJA_TEXT)
        return OK;
    struct bytes text;
    bytes_init(&text);
    enum status status = python_change_case(PYTHON_TO_LOWER, value.text, value.length, &text);
    if (status == OK)
        status = jinja_copy(run, text.data, text.length, out);
    bytes_fini(&text);
    return status;
}

// ---- lazy filters ----

enum status jinja_lazy_new(struct jinja_run *run, struct jinja_value value,
                           const struct jinja_lazy_call *call, struct jinja_value *out)
{
    struct jinja_iterator *iterator;
    TRY(new_iterator(run, LAZY, value, &iterator));
    iterator->call = *call;
    iterator->left = jinja_missing();
    *out = iterator_value(iterator);
    return OK;
}

static enum status unknown_name(struct jinja_run *run, const struct jinja_lazy_call *call)
{
    if (call->name.type != JINJA_TEXT)
        return jinja_fail(run, "the name of a %s is %s; expected a string", call->unknown,
                          jinja_type_name(call->name));
    return jinja_fail(run, "there is no %s \"%.*s\"", call->unknown, (int)call->name.length,
                      call->name.text);
}

static enum status map_item(struct jinja_run *run, const struct jinja_lazy_call *call,
                            struct jinja_value item, struct jinja_value *out)
{
    if (call->unknown)
        return unknown_name(run, call);
    if (!call->function)
        return jinja_get_path(run, item, call->attribute, call->otherwise, out);
    return jinja_call_builtin(run, call->function, item, &call->arguments, out);
}

static enum status select_item(struct jinja_run *run, const struct jinja_lazy_call *call,
                               struct jinja_value item, bool *out)
{
    struct jinja_value value = item;
    if (call->has_attribute)
        TRY(jinja_get_path(run, item, call->attribute, jinja_missing(), &value));
    if (call->unknown)
        return unknown_name(run, call);
    if (call->function)
        TRY(jinja_call_builtin(run, call->function, value, &call->arguments, &value));
    *out = jinja_true(value) != call->rejects;
    return OK;
}

static enum status unseen_item(struct jinja_run *run, struct jinja_iterator *iterator,
                               struct jinja_value item, bool *out)
{
    struct jinja_value key = {0};
    const struct jinja_value *found;
    TRY(jinja_get_path(run, item, iterator->call.attribute, jinja_missing(), &key));
    if (!iterator->call.case_sensitive)
        TRY(jinja_ignore_case(run, key, &key));
    TRY(jinja_dict_get(run, iterator->seen, key, &found));
    *out = found == NULL;
    return found ? OK : jinja_dict_set(run, iterator->seen, key, jinja_none());
}

static enum status next_batch(struct jinja_run *run, struct jinja_iterator *iterator,
                              struct jinja_value *out, bool *more)
{
    struct jinja_builder batch = {0};
    int64_t count = iterator->call.count;
    struct jinja_value item = iterator->left;
    bool filled = false;
    if (jinja_given(item))
        TRY(jinja_push(run, &batch, item));
    iterator->left = jinja_missing();
    for (*more = true; *more && !filled;) {
        TRY(jinja_next(run, iterator->inner, &item, more));
        filled = *more && (int64_t)batch.n == count;
        if (filled)
            iterator->left = item;
        else if (*more)
            TRY(jinja_push(run, &batch, item));
    }
    *more = filled || batch.n > 0;
    for (; *more && !filled && iterator->call.fill.type != JINJA_NONE && (int64_t)batch.n < count;)
        TRY(jinja_push(run, &batch, iterator->call.fill));
    return *more ? jinja_built(run, JINJA_LIST, &batch, out) : OK;
}

static enum status next_slice(struct jinja_run *run, struct jinja_iterator *iterator,
                              struct jinja_value *out, bool *more)
{
    int64_t slices = iterator->call.count;
    struct jinja_builder slice = {0};
    const struct jinja_list *list = iterator->left.list;
    if (slices == 0)
        return jinja_fail(run, "a number is divided by zero");
    *more = (int64_t)iterator->at < slices;
    if (!*more)
        return OK;
    size_t number = iterator->at++, each = list->n / (size_t)slices,
           extra = list->n % (size_t)slices;
    size_t begin = number * each + (number < extra ? number : extra),
           end = begin + each + (number < extra);
    for (size_t i = begin; i < end; i++)
        TRY(jinja_push(run, &slice, list->items[i]));
    if (iterator->call.fill.type != JINJA_NONE && number >= extra)
        TRY(jinja_push(run, &slice, iterator->call.fill));
    return jinja_built(run, JINJA_LIST, &slice, out);
}

// Generators of Python do nothing before the first item is asked for.
static enum status begin_lazy(struct jinja_run *run, struct jinja_iterator *iterator)
{
    enum jinja_lazy kind = iterator->call.kind;
    iterator->began = true;
    if ((kind == JINJA_LAZY_MAP || kind == JINJA_LAZY_SELECT) && !jinja_true(iterator->source))
        return new_iterator(run, OF_NOTHING, jinja_none(), &iterator->inner);
    if (kind == JINJA_LAZY_SLICE)
        return jinja_to_list(run, iterator->source, JINJA_LIST, &iterator->left);
    if (kind == JINJA_LAZY_UNIQUE)
        TRY(jinja_dict_new(run, &iterator->seen));
    return jinja_iterate(run, iterator->source, &iterator->inner);
}

static enum status next_lazy(struct jinja_run *run, struct jinja_iterator *iterator,
                             struct jinja_value *out, bool *more)
{
    struct jinja_value item = {0};
    *more = false;
    if (!iterator->began)
        TRY(begin_lazy(run, iterator));
    if (iterator->call.kind == JINJA_LAZY_BATCH)
        return next_batch(run, iterator, out, more);
    if (iterator->call.kind == JINJA_LAZY_SLICE)
        return next_slice(run, iterator, out, more);
    for (bool passes = false; !passes;) {
        TRY(jinja_next(run, iterator->inner, &item, more));
        if (!*more)
            return OK;
        *out = item;
        if (iterator->call.kind == JINJA_LAZY_MAP)
            return map_item(run, &iterator->call, item, out);
        TRY(iterator->call.kind == JINJA_LAZY_SELECT
                ? select_item(run, &iterator->call, item, &passes)
                : unseen_item(run, iterator, item, &passes));
    }
    return OK;
}
