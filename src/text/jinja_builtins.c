// Filters, tests, methods and functions of chat templates.
#include <string.h>
#include <time.h>

#include "text/jinja_eval.h"
#include "text/unicode.h"

static bool named(const struct jinja_node *node, const char *name)
{
    return jinja_is_text(node->value, name);
}

// The argument at `position`, or the one called `keyword`; undefined when it is not given.
static struct jinja_value argument(const struct jinja_arguments *arguments, int position,
                                   const char *keyword)
{
    for (int i = 0; i < arguments->n; i++)
        if (i == position ? arguments->keywords[i].length == 0
                          : jinja_is_text(arguments->keywords[i], keyword))
            return arguments->values[i];
    return jinja_undefined();
}

static enum status wrong_kind(const struct jinja_run *run, const struct jinja_node *node,
                              const char *wanted, struct jinja_value found)
{
    return fail(ERR_INPUT, "%s: line %d: \"%.*s\" needs %s, found %s", run->name, node->line,
                (int)node->value.length, node->value.text, wanted, jinja_type_name(found.type));
}

// ---- texts ----

static bool in_set(uint32_t code, struct jinja_value set)
{
    if (set.type != JINJA_TEXT)
        return jinja_is_space(code);
    for (size_t i = 0, bytes; i < set.length; i += bytes) {
        uint32_t member;
        utf8_next(set.text + i, set.length - i, &member, &bytes);
        if (member == code)
            return true;
    }
    return false;
}

// str.strip(set): without a set, of white space.
static struct jinja_value strip(struct jinja_value text, struct jinja_value set, bool left,
                                bool right)
{
    uint32_t code;
    size_t bytes;
    while (left && text.length > 0) {
        utf8_next(text.text, text.length, &code, &bytes);
        if (!in_set(code, set))
            break;
        text.text += bytes;
        text.length -= bytes;
    }
    while (right && text.length > 0) {
        bytes = utf8_last(text.text, text.length, &code);
        if (!in_set(code, set))
            break;
        text.length -= bytes;
    }
    return text;
}

static enum status take_bytes(struct jinja_run *run, enum status status, struct bytes *bytes,
                              struct jinja_value *out)
{
    if (status == OK)
        status = jinja_join(&run->memory, jinja_text(bytes->data, bytes->length), jinja_text("", 0),
                            out);
    bytes_fini(bytes);
    return status;
}

static enum status change_case(struct jinja_run *run, struct jinja_value text, bool upper,
                               struct jinja_value *out)
{
    struct bytes changed;
    bytes_init(&changed);
    enum status status = upper ? unicode_uppercase(text.text, text.length, &changed)
                               : unicode_lowercase(text.text, text.length, &changed);
    return take_bytes(run, status, &changed, out);
}

static enum status replace_bytes(struct jinja_value text, struct jinja_value from,
                                 struct jinja_value to, struct bytes *out)
{
    while (text.length > 0) {
        const char *at =
            from.length ? memmem(text.text, text.length, from.text, from.length) : NULL;
        size_t before = at ? (size_t)(at - text.text) : text.length;
        TRY(bytes_append(out, text.text, before));
        if (!at)
            break;
        if (out->length > JINJA_OUTPUT_BYTES_MAX)
            return fail(ERR_INPUT, "the text of replace grows; at most %d bytes are allowed",
                        JINJA_OUTPUT_BYTES_MAX);
        TRY(bytes_append(out, to.text, to.length));
        text.text += before + from.length;
        text.length -= before + from.length;
    }
    return OK;
}

static enum status replace(struct jinja_run *run, const struct jinja_node *node,
                           struct jinja_value text, const struct jinja_arguments *arguments,
                           struct jinja_value *out)
{
    struct jinja_value from = argument(arguments, 0, "old"), to = argument(arguments, 1, "new");
    if (from.type != JINJA_TEXT || to.type != JINJA_TEXT || arguments->n != 2 || from.length == 0)
        return fail(ERR_UNSUPPORTED, "%s: line %d: replace needs two strings, the first not empty",
                    run->name, node->line);
    struct bytes changed;
    bytes_init(&changed);
    return take_bytes(run, replace_bytes(text, from, to, &changed), &changed, out);
}

static enum status split(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value text, struct jinja_value separator,
                         struct jinja_value *out)
{
    if (separator.type != JINJA_TEXT || separator.length == 0)
        return fail(ERR_UNSUPPORTED, "%s: line %d: split needs one string that is not empty",
                    run->name, node->line);
    TRY(jinja_list_new(&run->memory, out));
    for (;;) {
        const char *at =
            text.length ? memmem(text.text, text.length, separator.text, separator.length) : NULL;
        size_t before = at ? (size_t)(at - text.text) : text.length;
        TRY(jinja_list_push(&run->memory, out->list, jinja_text(text.text, before)));
        if (!at)
            return OK;
        text.text += before + separator.length;
        text.length -= before + separator.length;
    }
}

static bool begins(struct jinja_value text, struct jinja_value with)
{
    return with.type == JINJA_TEXT && with.length <= text.length &&
           (with.length == 0 || memcmp(text.text, with.text, with.length) == 0);
}

static bool ends(struct jinja_value text, struct jinja_value with)
{
    return with.type == JINJA_TEXT && with.length <= text.length &&
           begins(jinja_text(text.text + (text.length - with.length), with.length), with);
}

// ---- lists ----

enum status jinja_iterate(struct jinja_run *run, int line, struct jinja_value value,
                          struct jinja_value *out)
{
    *out = value;
    if (value.type == JINJA_LIST)
        return OK;
    if (value.type == JINJA_DICT) {
        *out = (struct jinja_value){.type = JINJA_LIST, .list = &value.dict->keys};
        return OK;
    }
    if (value.type != JINJA_TEXT && value.type != JINJA_UNDEFINED)
        return fail(ERR_INPUT, "%s: line %d: %s cannot be iterated", run->name, line,
                    jinja_type_name(value.type));
    TRY(jinja_list_new(&run->memory, out));
    for (size_t i = 0, bytes; value.type == JINJA_TEXT && i < value.length; i += bytes) {
        uint32_t code;
        utf8_next(value.text + i, value.length - i, &code, &bytes);
        TRY(jinja_list_push(&run->memory, out->list, jinja_text(value.text + i, bytes)));
    }
    return OK;
}

static enum status join(struct jinja_run *run, const struct jinja_list *list,
                        struct jinja_value separator, struct bytes *out)
{
    for (size_t i = 0; i < list->n; i++) {
        struct jinja_value text;
        if (i > 0)
            TRY(bytes_append(out, separator.text, separator.length));
        TRY(jinja_to_text(&run->memory, list->items[i], &text));
        TRY(bytes_append(out, text.text, text.length));
        if (out->length > JINJA_OUTPUT_BYTES_MAX)
            return fail(ERR_INPUT, "%s: join makes more than %d bytes", run->name,
                        JINJA_OUTPUT_BYTES_MAX);
    }
    return OK;
}

static enum status length_of(struct jinja_run *run, const struct jinja_node *node,
                             struct jinja_value value, struct jinja_value *out)
{
    *out = jinja_int(0);
    if (value.type == JINJA_TEXT)
        *out = jinja_int((int64_t)jinja_text_length(value));
    else if (value.type == JINJA_LIST)
        *out = jinja_int((int64_t)value.list->n);
    else if (value.type == JINJA_DICT)
        *out = jinja_int((int64_t)value.dict->keys.n);
    else if (value.type == JINJA_LOOP)
        *out = jinja_int((int64_t)value.loop->items->n);
    else if (value.type != JINJA_UNDEFINED)
        return wrong_kind(run, node, "something with a length", value);
    return OK;
}

static enum status list_filter(struct jinja_run *run, const struct jinja_node *node,
                               struct jinja_value value, const struct jinja_arguments *arguments,
                               struct jinja_value *out)
{
    struct jinja_value separator = argument(arguments, 0, "d");
    struct bytes joined;
    TRY(jinja_iterate(run, node->line, value, &value));
    size_t n = value.list->n;
    if (named(node, "first") || named(node, "last")) {
        *out = n == 0 ? jinja_undefined() : value.list->items[named(node, "first") ? 0 : n - 1];
        return OK;
    }
    if (named(node, "join")) {
        if (separator.type == JINJA_UNDEFINED)
            separator = jinja_text("", 0);
        if (separator.type != JINJA_TEXT)
            return wrong_kind(run, node, "a string", separator);
        bytes_init(&joined);
        return take_bytes(run, join(run, value.list, separator, &joined), &joined, out);
    }
    TRY(jinja_list_new(&run->memory, out)); // a copy, "reverse" or "list"
    for (size_t i = 0; i < n; i++)
        TRY(jinja_list_push(&run->memory, out->list,
                            value.list->items[named(node, "reverse") ? n - 1 - i : i]));
    return OK;
}

// ---- by name ----

static bool is_one_of(const struct jinja_node *node, const char *const *names)
{
    for (; *names; names++)
        if (named(node, *names))
            return true;
    return false;
}

enum status jinja_filter(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value value, const struct jinja_arguments *arguments,
                         struct jinja_value *out)
{
    static const char *const of_lists[] = {"first", "last", "join", "list", "reverse", NULL};
    static const char *const of_texts[] = {"trim",   "upper", "lower", "replace",
                                           "string", "safe",  NULL};
    if (named(node, "length") || named(node, "count"))
        return length_of(run, node, value, out);
    if (named(node, "default") || named(node, "d")) {
        bool use = value.type == JINJA_UNDEFINED ||
                   (jinja_true(argument(arguments, 1, "boolean")) && !jinja_true(value));
        struct jinja_value otherwise = argument(arguments, 0, "default_value");
        *out = !use ? value : arguments->n > 0 ? otherwise : jinja_text("", 0);
        return OK;
    }
    if (is_one_of(node, of_lists))
        return list_filter(run, node, value, arguments, out);
    if (!is_one_of(node, of_texts))
        return fail(ERR_UNSUPPORTED, "%s: line %d: the filter \"%.*s\" is not supported", run->name,
                    node->line, (int)node->value.length, node->value.text);
    TRY(jinja_to_text(&run->memory, value, &value));
    *out = value;
    if (named(node, "trim"))
        *out = strip(value, argument(arguments, 0, "chars"), true, true);
    else if (named(node, "replace"))
        return replace(run, node, value, arguments, out);
    else if (named(node, "upper") || named(node, "lower"))
        return change_case(run, value, named(node, "upper"), out);
    return OK;
}

enum status jinja_test(struct jinja_run *run, const struct jinja_node *node,
                       struct jinja_value value, const struct jinja_arguments *arguments, bool *out)
{
    enum jinja_type t = value.type;
    const struct {
        const char *name;
        bool truth;
    } tests[] = {
        {"defined", t != JINJA_UNDEFINED},
        {"undefined", t == JINJA_UNDEFINED},
        {"none", t == JINJA_NONE},
        {"string", t == JINJA_TEXT},
        {"boolean", t == JINJA_BOOL},
        {"true", t == JINJA_BOOL && value.truth},
        {"false", t == JINJA_BOOL && !value.truth},
        {"integer", t == JINJA_INT},
        {"number", t == JINJA_INT || t == JINJA_BOOL},
        {"mapping", t == JINJA_DICT},
        {"sequence", t == JINJA_TEXT || t == JINJA_LIST || t == JINJA_DICT || t == JINJA_UNDEFINED},
        {"iterable", t == JINJA_TEXT || t == JINJA_LIST || t == JINJA_DICT || t == JINJA_UNDEFINED},
        {"callable", t == JINJA_FUNCTION},
        {"odd", t == JINJA_INT && value.number % 2 != 0},
        {"even", t == JINJA_INT && value.number % 2 == 0},
        {"equalto", jinja_equal(value, argument(arguments, 0, "other"))},
        {"eq", jinja_equal(value, argument(arguments, 0, "other"))},
        {"ne", !jinja_equal(value, argument(arguments, 0, "other"))},
    };
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++) {
        if (named(node, tests[i].name)) {
            *out = tests[i].truth;
            return OK;
        }
    }
    return fail(ERR_UNSUPPORTED, "%s: line %d: the test \"is %.*s\" is not supported", run->name,
                node->line, (int)node->value.length, node->value.text);
}

static enum status dict_items(struct jinja_run *run, const struct jinja_dict *dict,
                              struct jinja_value *out)
{
    TRY(jinja_list_new(&run->memory, out));
    for (size_t i = 0; i < dict->keys.n; i++) {
        struct jinja_value pair;
        TRY(jinja_list_new(&run->memory, &pair));
        TRY(jinja_list_push(&run->memory, pair.list, dict->keys.items[i]));
        TRY(jinja_list_push(&run->memory, pair.list, dict->values.items[i]));
        TRY(jinja_list_push(&run->memory, out->list, pair));
    }
    return OK;
}

static enum status dict_method(struct jinja_run *run, const struct jinja_node *node,
                               const struct jinja_dict *dict,
                               const struct jinja_arguments *arguments, struct jinja_value *out,
                               bool *known)
{
    if (named(node, "items"))
        return dict_items(run, dict, out);
    if (named(node, "get")) {
        const struct jinja_value *value = jinja_dict_get(dict, argument(arguments, 0, "key"));
        *out = value ? *value : arguments->n > 1 ? argument(arguments, 1, "default") : jinja_none();
    } else if (named(node, "keys")) {
        return jinja_iterate(
            run, node->line,
            (struct jinja_value){.type = JINJA_LIST, .list = (struct jinja_list *)&dict->keys},
            out);
    } else if (named(node, "values")) {
        *out = (struct jinja_value){.type = JINJA_LIST, .list = (struct jinja_list *)&dict->values};
    } else {
        *known = false;
    }
    return OK;
}

enum status jinja_method(struct jinja_run *run, const struct jinja_node *node,
                         struct jinja_value value, const struct jinja_arguments *arguments,
                         struct jinja_value *out, bool *known)
{
    struct jinja_value first = argument(arguments, 0, "");
    *known = true;
    if (value.type == JINJA_DICT)
        return dict_method(run, node, value.dict, arguments, out, known);
    *known = value.type == JINJA_TEXT;
    if (!*known)
        return OK;
    if (named(node, "strip") || named(node, "lstrip") || named(node, "rstrip"))
        *out = strip(value, first, !named(node, "rstrip"), !named(node, "lstrip"));
    else if (named(node, "startswith"))
        *out = jinja_bool(begins(value, first));
    else if (named(node, "endswith"))
        *out = jinja_bool(ends(value, first));
    else if (named(node, "split"))
        return split(run, node, value, arguments->n == 1 ? first : jinja_none(), out);
    else if (named(node, "replace"))
        return replace(run, node, value, arguments, out);
    else if (named(node, "upper") || named(node, "lower"))
        return change_case(run, value, named(node, "upper"), out);
    else
        *known = false;
    return OK;
}

// ---- functions ----

struct jinja_value jinja_global(struct jinja_value name)
{
    static const struct {
        const char *name;
        enum jinja_function function;
    } functions[] = {{"raise_exception", JINJA_RAISE_EXCEPTION},
                     {"namespace", JINJA_NAMESPACE_NEW},
                     {"range", JINJA_RANGE},
                     {"strftime_now", JINJA_STRFTIME_NOW}};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (jinja_is_text(name, functions[i].name))
            return (struct jinja_value){.type = JINJA_FUNCTION, .function = functions[i].function};
    return jinja_undefined();
}

static enum status new_namespace(struct jinja_run *run, const struct jinja_arguments *arguments,
                                 struct jinja_value *out)
{
    TRY(jinja_dict_new(&run->memory, JINJA_NAMESPACE, out));
    for (int i = 0; i < arguments->n; i++)
        TRY(jinja_dict_set(&run->memory, out->dict, arguments->keywords[i], arguments->values[i]));
    return OK;
}

static enum status range(struct jinja_run *run, const struct jinja_node *node,
                         const struct jinja_arguments *arguments, struct jinja_value *out)
{
    int64_t numbers[] = {0, 0, 1}; // begin, end, step
    for (int i = 0; i < arguments->n; i++) {
        if (i >= 3 || arguments->values[i].type != JINJA_INT)
            return fail(ERR_INPUT, "%s: line %d: range needs one to three integers", run->name,
                        node->line);
        numbers[arguments->n == 1 ? 1 : i] = arguments->values[i].number;
    }
    if (numbers[2] == 0)
        return fail(ERR_INPUT, "%s: line %d: range with step 0", run->name, node->line);
    TRY(jinja_list_new(&run->memory, out));
    for (int64_t i = numbers[0]; numbers[2] > 0 ? i < numbers[1] : i > numbers[1];) {
        if (++run->steps > JINJA_STEPS_MAX)
            return fail(ERR_INPUT, "%s: line %d: the range is too long", run->name, node->line);
        TRY(jinja_list_push(&run->memory, out->list, jinja_int(i)));
        if (__builtin_add_overflow(i, numbers[2], &i))
            break;
    }
    return OK;
}

static enum status strftime_now(struct jinja_run *run, const struct jinja_node *node,
                                struct jinja_value format, struct jinja_value *out)
{
    char pattern[128], text[512];
    struct tm parts;
    time_t now = run->now ? (time_t)run->now : time(NULL);
    if (format.type != JINJA_TEXT || format.length >= sizeof pattern)
        return fail(ERR_INPUT, "%s: line %d: strftime_now needs a short format", run->name,
                    node->line);
    if (format.length > 0)
        memcpy(pattern, format.text, format.length);
    pattern[format.length] = '\0';
    localtime_r(&now, &parts);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size_t n = strftime(text, sizeof text, pattern, &parts);
#pragma GCC diagnostic pop
    return jinja_join(&run->memory, jinja_text(text, n), jinja_text("", 0), out);
}

enum status jinja_call(struct jinja_run *run, const struct jinja_node *node,
                       enum jinja_function function, const struct jinja_arguments *arguments,
                       struct jinja_value *out)
{
    struct jinja_value first = argument(arguments, 0, "");
    switch (function) {
    case JINJA_RAISE_EXCEPTION:
        if (first.type != JINJA_TEXT)
            first = jinja_text("", 0);
        return fail(ERR_INPUT, "%s: line %d: the template refuses these messages: %.*s", run->name,
                    node->line, first.length > 1000 ? 1000 : (int)first.length, first.text);
    case JINJA_NAMESPACE_NEW:
        return new_namespace(run, arguments, out);
    case JINJA_RANGE:
        return range(run, node, arguments, out);
    case JINJA_STRFTIME_NOW:
        return strftime_now(run, node, first, out);
    }
    return fail(ERR_INTERNAL, "unknown function in a template");
}
