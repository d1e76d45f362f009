// The functions of chat templates: Jinja2's and those that Transformers adds.
#include <stdio.h>
#include <time.h>

#include "text/jinja_eval.h"

// ---- range ----

static enum status call_range(struct jinja_run *run, struct jinja_value value,
                              const struct jinja_value *a, struct jinja_value *out)
{
    struct jinja_range *range;
    int64_t numbers[3];
    (void)value;
    for (int i = 0; i < 3; i++)
        TRY(jinja_int_argument(run, "range", a[i], i == 2, &numbers[i]));
    if (!jinja_given(a[1])) {
        numbers[1] = numbers[0];
        numbers[0] = 0;
    }
    if (numbers[2] == 0)
        return jinja_fail(run, "the step of a range is zero");
    uint64_t span = 0, step = numbers[2] > 0 ? (uint64_t)numbers[2] : -(uint64_t)numbers[2];
    if (numbers[2] > 0 && numbers[1] > numbers[0])
        span = (uint64_t)numbers[1] - (uint64_t)numbers[0];
    if (numbers[2] < 0 && numbers[1] < numbers[0])
        span = (uint64_t)numbers[0] - (uint64_t)numbers[1];
    uint64_t n = span == 0 ? 0 : (span - 1) / step + 1;
    if (n > JINJA_RANGE_MAX)
        return jinja_fail(run, "a range has %llu items; at most %d are allowed",
                          (unsigned long long)n, JINJA_RANGE_MAX);
    TRY(jinja_take(run, 1, sizeof *range, &range));
    *range = (struct jinja_range){numbers[0], numbers[1], numbers[2], (size_t)n};
    *out = (struct jinja_value){.type = JINJA_RANGE, .range = range};
    return OK;
}

// ---- dict and namespace ----

static enum status add_pairs(struct jinja_run *run, struct jinja_dict *dict,
                             struct jinja_value pairs)
{
    struct jinja_iterator *iterator;
    struct jinja_value pair, items;
    bool more;
    TRY(jinja_iterate(run, pairs, &iterator));
    for (;;) {
        TRY(jinja_next(run, iterator, &pair, &more));
        if (!more)
            return OK;
        TRY(jinja_to_list(run, pair, JINJA_LIST, &items));
        if (items.list->n != 2)
            return jinja_fail(run, "dict() needs pairs, found %zu values", items.list->n);
        TRY(jinja_dict_set(run, dict, items.list->items[0], items.list->items[1]));
    }
}

static enum status make_dict(struct jinja_run *run, const struct jinja_arguments *arguments,
                             struct jinja_dict **out)
{
    TRY(jinja_dict_new(run, out));
    if (arguments->n > 1)
        return jinja_fail(run, "dict() takes one argument without a name, found %zu", arguments->n);
    if (arguments->n == 1 && arguments->values[0].type == JINJA_DICT) {
        const struct jinja_dict *from = arguments->values[0].dict;
        for (size_t i = 0; i < from->n; i++)
            TRY(jinja_dict_set(run, *out, from->entries[i].key, from->entries[i].value));
    } else if (arguments->n == 1 && arguments->values[0].type == JINJA_UNDEFINED) {
        return jinja_undefined_used(run, arguments->values[0]);
    } else if (arguments->n == 1) {
        TRY(add_pairs(run, *out, arguments->values[0]));
    }
    for (size_t i = 0; i < arguments->n_named; i++)
        TRY(jinja_dict_set(run, *out, arguments->names[i], arguments->named[i]));
    return OK;
}

static enum status call_dict(struct jinja_run *run, struct jinja_value value,
                             const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_dict *dict;
    (void)value;
    TRY(make_dict(run, arguments, &dict));
    *out = jinja_of_dict(dict);
    return OK;
}

static enum status call_namespace(struct jinja_run *run, struct jinja_value value,
                                  const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_dict *dict;
    (void)value;
    TRY(make_dict(run, arguments, &dict));
    for (size_t i = 0; i < dict->n; i++) {
        struct jinja_value key = dict->entries[i].key;
        if (key.type == JINJA_TEXT && key.length > 0 && key.text[0] == '_')
            return jinja_fail(run,
                              "the attribute \"%.*s\" of a namespace begins with an underscore",
                              (int)key.length, key.text);
    }
    *out = (struct jinja_value){.type = JINJA_NAMESPACE, .dict = dict};
    return OK;
}

// ---- cycler and joiner ----

static enum status call_cycler(struct jinja_run *run, struct jinja_value value,
                               const struct jinja_arguments *arguments, struct jinja_value *out)
{
    struct jinja_cycler *cycler;
    struct jinja_list *list;
    struct jinja_value items;
    (void)value;
    if (arguments->n == 0 || arguments->n_named > 0)
        return jinja_fail(run, "cycler() needs the items, without names");
    TRY(jinja_list_new(run, JINJA_TUPLE, arguments->n, &list, &items));
    for (; list->n < arguments->n; list->n++)
        list->items[list->n] = arguments->values[list->n];
    TRY(jinja_take(run, 1, sizeof *cycler, &cycler));
    *cycler = (struct jinja_cycler){list, 0};
    *out = (struct jinja_value){.type = JINJA_CYCLER, .cycler = cycler};
    return OK;
}

static enum status call_joiner_of(struct jinja_run *run, struct jinja_value value,
                                  const struct jinja_value *a, struct jinja_value *out)
{
    struct jinja_cycler *joiner;
    struct jinja_list *list;
    struct jinja_value items;
    (void)value;
    TRY(jinja_list_new(run, JINJA_TUPLE, 1, &list, &items));
    list->items[list->n++] = jinja_given(a[0]) ? a[0] : jinja_literal(", ");
    TRY(jinja_take(run, 1, sizeof *joiner, &joiner));
    *joiner = (struct jinja_cycler){list, 0};
    *out = (struct jinja_value){.type = JINJA_JOINER, .cycler = joiner};
    return OK;
}

// ---- what Transformers adds ----

static enum status call_raise_exception(struct jinja_run *run, struct jinja_value value,
                                        const struct jinja_value *a, struct jinja_value *out)
{
    struct jinja_value text;
    (void)value;
    (void)out;
    TRY(jinja_str(run, a[0], &text));
    return jinja_fail(run, "%.*s", text.length > 1000 ? 1000 : (int)text.length, text.text);
}

// Python's %f, %z and %Z of a time without zone and fraction; the rest is the C library's.
static enum status prepare_format(struct jinja_run *run, struct jinja_value format,
                                  struct jinja_value *out)
{
    size_t begin = run->out.length;
    for (size_t i = 0; i < format.length; i++) {
        char next = '\0';
        if (format.text[i] == '%' && i + 1 < format.length)
            next = format.text[i + 1];
        if (next == 'f')
            TRY(jinja_write(run, "000000", 6));
        else if (next && next != 'z' && next != 'Z')
            TRY(jinja_write(run, format.text + i, 2));
        else if (!next)
            TRY(jinja_write(run, format.text + i, 1));
        i += next != '\0';
    }
    TRY(jinja_write(run, "", 1));
    return jinja_take_output(run, begin, out);
}

static enum status call_strftime_now(struct jinja_run *run, struct jinja_value value,
                                     const struct jinja_value *a, struct jinja_value *out)
{
    enum { SHOWN_MAX = 4096 };
    struct jinja_value format;
    struct tm broken_down;
    char *text;
    (void)value;
    TRY(jinja_text_argument(run, "strftime_now", a[0]));
    if (a[0].length > 0 && memchr(a[0].text, '\0', a[0].length))
        return jinja_fail(run, "strftime_now: the format holds a NUL character");
    TRY(prepare_format(run, a[0], &format));
    time_t now = run->now == INT64_MIN ? time(NULL) : (time_t)run->now;
    if (!(run->now == INT64_MIN ? localtime_r(&now, &broken_down) : gmtime_r(&now, &broken_down)))
        return jinja_fail(run, "strftime_now: the clock has no date");
    TRY(jinja_take(run, SHOWN_MAX, 1, &text));
    size_t n = strftime(text, SHOWN_MAX, format.text, &broken_down);
    if (n == 0 && format.length > 1 && format.length > SHOWN_MAX / 8)
        return jinja_fail(run, "strftime_now: the format gives more than %d bytes", SHOWN_MAX);
    *out = jinja_text(text, n);
    return OK;
}

static enum status call_lipsum(struct jinja_run *run, struct jinja_value value,
                               const struct jinja_arguments *arguments, struct jinja_value *out)
{
    (void)value;
    (void)arguments;
    (void)out;
    return jinja_unsupported(run, "lipsum(), which gives random text, is not supported");
}

const struct jinja_builtin *jinja_find_function(const char *name, size_t length)
{
    static const struct jinja_builtin functions[] = {
        {"range", "start,stop,step", 1, true, call_range, NULL},
        {"dict", NULL, 0, false, NULL, call_dict},
        {"namespace", NULL, 0, false, NULL, call_namespace},
        {"cycler", NULL, 0, false, NULL, call_cycler},
        {"joiner", "sep", 0, false, call_joiner_of, NULL},
        {"lipsum", NULL, 0, false, NULL, call_lipsum},
        {"raise_exception", "message", 1, false, call_raise_exception, NULL},
        {"strftime_now", "format", 1, false, call_strftime_now, NULL}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (strlen(functions[i].name) == length && memcmp(functions[i].name, name, length) == 0)
            return &functions[i];
    return NULL;
}
