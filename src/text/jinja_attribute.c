// object.name, object[key] and object[a:b:c], within Jinja2's immutable sandbox.
#include "text/jinja_eval.h"

#include <assert.h>

// Names that are Python's and not a template's: Jinja2's sandbox answers with an undefined value.
static bool is_private(struct jinja_value name)
{
    return name.length > 0 && name.text[0] == '_';
}

static bool is_one_of(struct jinja_value name, const char *const *names)
{
    for (; *names; names++)
        if (jinja_is_text(name, *names))
            return true;
    return false;
}

// Methods that would change the object.
static bool is_mutating(struct jinja_value object, struct jinja_value name)
{
    static const char *const of_dict[] = {"clear", "pop", "popitem", "setdefault", "update", NULL},
                             *const of_list[] = {"append", "clear",  "pop",    "reverse", "insert",
                                                 "sort",   "extend", "remove", NULL};
    return (object.type == JINJA_DICT && is_one_of(name, of_dict)) ||
           (object.type == JINJA_LIST && is_one_of(name, of_list));
}

// What Python has and colrow has not: better refused than undefined.
static bool is_unsupported(struct jinja_value object, struct jinja_value name)
{
    static const char *const of_text[] = {"encode", "maketrans", "translate", NULL},
                             *const of_number[] = {"as_integer_ratio", "bit_count",   "bit_length",
                                                   "conjugate",        "denominator", "from_bytes",
                                                   "fromhex",          "hex",         "imag",
                                                   "is_integer",       "numerator",   "real",
                                                   "to_bytes",         NULL},
                             *const of_view[] = {"isdisjoint", "mapping", NULL},
                             *const of_markup[] = {"escape", "striptags", "unescape", NULL},
                             *const of_iterator[] = {"close", "send", "throw", NULL};
    switch ((enum jinja_type)object.type) {
    case JINJA_TEXT:
        return is_one_of(name, of_text) || (jinja_is_markup(object) && is_one_of(name, of_markup));
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        return is_one_of(name, of_number);
    case JINJA_VIEW:
        return is_one_of(name, of_view);
    case JINJA_ITERATOR:
        return is_one_of(name, of_iterator);
    default:
        return false;
    }
}

static enum status macro_attribute(struct jinja_run *run, const struct jinja_macro *macro,
                                   struct jinja_value name, struct jinja_value *out, bool *known)
{
    const struct jinja_node *node = macro->node;
    struct jinja_builder names = {0};
    *known = true;
    if (jinja_is_text(name, "name")) {
        *out = node->kind == JINJA_NODE_MACRO ? node->value : jinja_none();
    } else if (jinja_is_text(name, "arguments")) {
        for (const struct jinja_node *p = node->b; p; p = p->next)
            TRY(jinja_push(run, &names, p->value));
        return jinja_built(run, JINJA_TUPLE, &names, out);
    } else if (jinja_is_text(name, "catch_kwargs")) {
        *out = jinja_bool(node->function->kwargs_slot >= 0);
    } else if (jinja_is_text(name, "catch_varargs")) {
        *out = jinja_bool(node->function->varargs_slot >= 0);
    } else if (jinja_is_text(name, "caller")) {
        *out = jinja_bool(node->function->caller_slot >= 0);
    } else {
        *known = false;
    }
    return OK;
}

static bool plain_attribute(struct jinja_value object, struct jinja_value name,
                            struct jinja_value *out)
{
    const struct jinja_range *range = object.type == JINJA_RANGE ? object.range : NULL;
    const struct jinja_cycler *cycler = object.type == JINJA_CYCLER ? object.cycler : NULL;
    if (range && jinja_is_text(name, "start"))
        *out = jinja_int(range->start);
    else if (range && jinja_is_text(name, "stop"))
        *out = jinja_int(range->stop);
    else if (range && jinja_is_text(name, "step"))
        *out = jinja_int(range->step);
    else if (cycler && jinja_is_text(name, "current"))
        *out = cycler->items->items[cycler->at];
    else if (cycler && jinja_is_text(name, "pos"))
        *out = jinja_size(cycler->at);
    else if (object.type == JINJA_TUPLE && object.part == JINJA_GROUP &&
             (jinja_is_text(name, "grouper") || jinja_is_text(name, "list")))
        *out = object.list->items[jinja_is_text(name, "list") ? 1 : 0];
    else
        return false;
    return true;
}

// What getattr() finds; `*known` is false where Python raises AttributeError.
static enum status own_attribute(struct jinja_run *run, struct jinja_value object,
                                 struct jinja_value name, struct jinja_value *out, bool *known)
{
    *known = true;
    if (object.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, object);
    if (object.type == JINJA_NAMESPACE) {
        const struct jinja_value *found;
        TRY(jinja_dict_get(run, object.dict, name, &found));
        *known = found != NULL;
        if (found)
            *out = *found;
        return OK;
    }
    if (is_mutating(object, name)) {
        *out = jinja_undefined(JINJA_UNSAFE, name.text, name.length);
        return OK;
    }
    if (is_unsupported(object, name))
        return jinja_unsupported(run, "\"%.*s\" of %s is not supported", (int)name.length,
                                 name.text, jinja_type_name(object));
    if (plain_attribute(object, name, out))
        return OK;
    const struct jinja_builtin *method =
        jinja_find_method((enum jinja_type)object.type, name.text, name.length);
    if (method) {
        struct jinja_method *bound;
        TRY(jinja_take(run, 1, sizeof *bound, &bound));
        *bound = (struct jinja_method){method, object};
        *out = (struct jinja_value){.type = JINJA_METHOD, .method = bound};
        return OK;
    }
    *known = false;
    if (object.type == JINJA_LOOP)
        return jinja_loop_attribute(run, object.loop, name, out, known);
    return object.type == JINJA_MACRO ? macro_attribute(run, object.macro, name, out, known) : OK;
}

// ---- items ----

static struct jinja_value text_item_at(struct jinja_value text, size_t at)
{
    return jinja_text_slice(text, at, at + 1);
}

// What object[key] finds; `*known` is false where Python raises TypeError or LookupError.
static enum status own_item(struct jinja_run *run, struct jinja_value object,
                            struct jinja_value key, struct jinja_value *out, bool *known)
{
    const struct jinja_value *found = NULL;
    int64_t index;
    size_t n;
    *known = false;
    if (object.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, object);
    if (object.type == JINJA_DICT) {
        if (jinja_hashable(key))
            TRY(jinja_dict_get(run, object.dict, key, &found));
        *known = found != NULL;
        if (found)
            *out = *found;
        return OK;
    }
    bool sequence = object.type == JINJA_LIST || object.type == JINJA_TUPLE ||
                    object.type == JINJA_TEXT || object.type == JINJA_RANGE;
    if (!sequence || !jinja_is_int(key, &index))
        return OK;
    if (object.type == JINJA_TEXT)
        TRY(jinja_touch(run, object.length));
    jinja_length(object, &n);
    if (index < 0)
        index += (int64_t)n;
    if (index < 0 || index >= (int64_t)n)
        return OK;
    *known = true;
    *out = object.type == JINJA_TEXT ? text_item_at(object, (size_t)index)
           : object.type == JINJA_RANGE
               ? jinja_int(object.range->start + index * object.range->step)
               : object.list->items[index];
    return OK;
}

static struct jinja_value not_found(struct jinja_value key)
{
    if (key.type == JINJA_TEXT)
        return jinja_undefined(JINJA_NO_ATTRIBUTE, key.text, key.length);
    return jinja_hint("there is no such item");
}

enum status jinja_get_attribute(struct jinja_run *run, struct jinja_value object,
                                struct jinja_value name, struct jinja_value *out)
{
    assert(run && out);
    bool known;
    struct jinja_value from = object;
    TRY(own_attribute(run, from, name, out, &known));
    if (known)
        return OK;
    TRY(own_item(run, from, name, out, &known));
    if (known)
        return OK;
    // Private names of Python's own objects are the sandbox's business; here none is ever there.
    *out =
        is_private(name) ? jinja_undefined(JINJA_UNSAFE, name.text, name.length) : not_found(name);
    return OK;
}

enum status jinja_get_item(struct jinja_run *run, struct jinja_value object, struct jinja_value key,
                           struct jinja_value *out)
{
    assert(run && out);
    bool known;
    struct jinja_value from = object;
    TRY(own_item(run, from, key, out, &known));
    if (!known && key.type == JINJA_TEXT)
        TRY(own_attribute(run, from, key, out, &known));
    if (!known)
        *out = not_found(key);
    return OK;
}

// ---- slices ----

// One bound, as Python's PySlice_AdjustIndices.
static enum status slice_bound(struct jinja_run *run, struct jinja_value value, int64_t n,
                               int64_t otherwise, bool backwards, int64_t *out)
{
    int64_t i;
    if (value.type == JINJA_NONE) {
        *out = otherwise;
        return OK;
    }
    if (!jinja_is_int(value, &i))
        return jinja_fail(run, "a slice [:] needs integers, found %s", jinja_type_name(value));
    int64_t least = backwards ? -1 : 0, most = backwards ? n - 1 : n;
    if (i < 0)
        i += n;
    *out = i < least ? least : i > most ? most : i;
    return OK;
}

static size_t items_between(int64_t begin, int64_t end, int64_t step)
{
    assert(step != 0);
    if (step > 0 ? begin >= end : begin <= end)
        return 0;
    uint64_t span = step > 0 ? (uint64_t)end - (uint64_t)begin : (uint64_t)begin - (uint64_t)end;
    uint64_t stride = step > 0 ? (uint64_t)step : -(uint64_t)step;
    return (size_t)((span - 1) / stride + 1);
}

static enum status slice_text(struct jinja_run *run, struct jinja_value text, int64_t begin,
                              size_t count, int64_t step, struct jinja_value *out)
{
    assert(text.type == JINJA_TEXT && step != 0);
    TRY(jinja_touch(run, text.length));
    if (step == 1 || count <= 1) {
        *out = jinja_text_slice(text, (size_t)begin, (size_t)begin + count);
        return OK;
    }
    struct jinja_value characters = {0};
    size_t output = run->out.length;
    TRY(jinja_to_list(run, text, JINJA_LIST, &characters));
    for (size_t i = 0; i < count; i++, begin += step) {
        struct jinja_value c = characters.list->items[begin];
        TRY(jinja_write(run, c.text, c.length));
    }
    TRY(jinja_take_output(run, output, out));
    *out = jinja_as(*out, text.part);
    return OK;
}

static enum status slice_range(struct jinja_run *run, const struct jinja_range *range,
                               int64_t begin, int64_t end, size_t count, int64_t step,
                               struct jinja_value *out)
{
    assert(range && step != 0);
    struct jinja_range *part;
    int64_t stride;
    if (__builtin_mul_overflow(range->step, step, &stride))
        return jinja_unsupported(run, "an integer has more than 64 bits, which is not supported");
    TRY(jinja_take(run, 1, sizeof *part, &part));
    *part = (struct jinja_range){range->start + begin * range->step,
                                 range->start + end * range->step, stride, count};
    *out = (struct jinja_value){.type = JINJA_RANGE, .range = part};
    return OK;
}

enum status jinja_slice(struct jinja_run *run, struct jinja_value object, struct jinja_value begin,
                        struct jinja_value end, struct jinja_value step, struct jinja_value *out)
{
    assert(run && out);
    struct jinja_list *list;
    int64_t stride = 1, from = 0, to = 0;
    size_t n;
    if (object.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, object);
    if (object.type != JINJA_LIST && object.type != JINJA_TUPLE && object.type != JINJA_TEXT &&
        object.type != JINJA_RANGE)
        return jinja_fail(run, "%s cannot be sliced", jinja_type_name(object));
    if (step.type != JINJA_NONE && !jinja_is_int(step, &stride))
        return jinja_fail(run, "a slice [::] needs integers, found %s", jinja_type_name(step));
    if (stride == 0)
        return jinja_fail(run, "the step of a slice [::] is zero");
    if (stride == INT64_MIN)
        stride = -INT64_MAX;
    if (object.type == JINJA_TEXT)
        TRY(jinja_touch(run, object.length));
    jinja_length(object, &n);
    bool backwards = stride < 0;
    TRY(slice_bound(run, begin, (int64_t)n, backwards ? (int64_t)n - 1 : 0, backwards, &from));
    TRY(slice_bound(run, end, (int64_t)n, backwards ? -1 : (int64_t)n, backwards, &to));
    size_t count = items_between(from, to, stride);
    if (object.type == JINJA_TEXT)
        return slice_text(run, object, from, count, stride, out);
    if (object.type == JINJA_RANGE)
        return slice_range(run, object.range, from, to, count, stride, out);
    enum jinja_type type = object.type;
    TRY(jinja_list_new(run, type, count, &list, out));
    TRY(jinja_step(run, count));
    for (; list->n < count; from += stride)
        list->items[list->n++] = object.list->items[from];
    return OK;
}
