// The table of filters, and those on numbers and any value (Jinja2's filters.py).
#include "text/jinja_filters.h"

#include <assert.h>
#include <math.h>

static JINJA_BUILTIN(filter_abs)
{
    (void)a;
    int64_t number;
    if (jinja_is_int(value, &number))
        return jinja_negate(run, jinja_int(number), number < 0, out);
    if (value.type == JINJA_FLOAT) {
        *out = jinja_float(fabs(value.real));
        return OK;
    }
    return jinja_fail(run, "abs needs a number, found %s", jinja_type_name(value));
}

static JINJA_BUILTIN(filter_attr)
{
    TRY(jinja_text_argument(run, "attr", a[0]));
    if (value.type != JINJA_DICT)
        return jinja_get_attribute(run, value, a[0], out);
    // Without the item that object.name falls back to.
    struct jinja_dict *empty;
    TRY(jinja_dict_new(run, &empty));
    struct jinja_value method;
    TRY(jinja_get_attribute(run, jinja_of_dict(empty), a[0], &method));
    if (method.type != JINJA_UNDEFINED)
        return jinja_get_attribute(run, value, a[0], out);
    *out = method;
    return OK;
}

static JINJA_BUILTIN(filter_default)
{
    (void)run;
    *out = value;
    if (value.type == JINJA_UNDEFINED || (jinja_flag(a[1]) && !jinja_true(value)))
        *out = jinja_given(a[0]) ? a[0] : jinja_text("", 0);
    return OK;
}

// ---- int and float ----

static enum status integer_of_text(struct jinja_run *run, struct jinja_value text,
                                   const struct jinja_value *a, struct jinja_value *out)
{
    int64_t base, number;
    bool valid;
    double real;
    TRY(jinja_int_argument(run, "int", a[1], 10, &base));
    TRY(jinja_parse_int(run, text, base, &valid, &number));
    *out = jinja_given(a[0]) ? a[0] : jinja_int(0);
    if (valid)
        *out = jinja_int(number);
    else if (jinja_parse_float(text, &real) && isfinite(real))
        return jinja_float_to_int(run, real, out);
    return OK;
}

static JINJA_BUILTIN(filter_int)
{
    int64_t number;
    if (value.type == JINJA_TEXT)
        return integer_of_text(run, value, a, out);
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    if (value.type == JINJA_FLOAT && isinf(value.real))
        return jinja_fail(run, "int: infinity cannot be an integer");
    if (value.type == JINJA_FLOAT && !isnan(value.real))
        return jinja_float_to_int(run, value.real, out);
    *out = jinja_is_int(value, &number) ? jinja_int(number)
           : jinja_given(a[0])          ? a[0]
                                        : jinja_int(0);
    return OK;
}

static JINJA_BUILTIN(filter_float)
{
    int64_t number;
    double real;
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    *out = jinja_given(a[0]) ? a[0] : jinja_float(0);
    if (jinja_is_int(value, &number))
        *out = jinja_float((double)number);
    else if (value.type == JINJA_FLOAT)
        *out = value;
    else if (value.type == JINJA_TEXT && jinja_parse_float(value, &real))
        *out = jinja_float(real);
    return OK;
}

static enum status round_towards(struct jinja_run *run, struct jinja_value value, int64_t digits,
                                 bool up, struct jinja_value *out)
{
    int64_t number;
    if (jinja_is_int(value, &number))
        value = jinja_float((double)number);
    if (value.type != JINJA_FLOAT)
        return jinja_fail(run, "round needs a number, found %s", jinja_type_name(value));
    if (digits < -300 || digits > 300)
        return jinja_fail(run, "round: the precision is out of range");
    double unit = pow(10, (double)(digits < 0 ? -digits : digits));
    double scaled = digits < 0 ? value.real * (1 / unit) : value.real * unit;
    if (!isfinite(scaled))
        return jinja_fail(run, "round: the number is too large");
    scaled = (up ? ceil(scaled) : floor(scaled)) + 0.0; // Python's ceil() has no -0
    *out = jinja_float(digits < 0 ? scaled / (1 / unit) : scaled / unit);
    return OK;
}

static JINJA_BUILTIN(filter_round)
{
    int64_t digits;
    TRY(jinja_int_argument(run, "round", a[0], 0, &digits));
    if (value.type == JINJA_UNDEFINED)
        return jinja_undefined_used(run, value);
    if (!jinja_given(a[1]) || jinja_is_text(a[1], "common"))
        return jinja_round(run, value, digits, out);
    bool up = jinja_is_text(a[1], "ceil");
    if (!up && !jinja_is_text(a[1], "floor"))
        return jinja_fail(run, "round: the method must be common, ceil or floor");
    return round_towards(run, value, digits, up, out);
}

// ---- tojson ----

static enum status indent_text(struct jinja_run *run, struct jinja_value indent,
                               struct jinja_value *out)
{
    int64_t width;
    if (indent.type == JINJA_TEXT) {
        *out = indent;
        return OK;
    }
    TRY(jinja_int_argument(run, "tojson: indent", indent, 0, &width));
    return jinja_repeat(run, jinja_literal(" "), width, out);
}

static JINJA_BUILTIN(filter_tojson)
{
    struct jinja_json_style style = {.ensure_ascii = jinja_flag(a[0]),
                                     .sort_keys = jinja_flag(a[3])};
    size_t begin = run->out.length;
    style.indents = jinja_given(a[1]) && a[1].type != JINJA_NONE;
    if (style.indents)
        TRY(indent_text(run, a[1], &style.indent));
    style.item_separator = jinja_literal(style.indents ? "," : ", ");
    style.key_separator = jinja_literal(": ");
    if (jinja_given(a[2]) && a[2].type != JINJA_NONE) {
        struct jinja_value pair;
        TRY(jinja_to_list(run, a[2], JINJA_LIST, &pair));
        if (pair.list->n != 2 || pair.list->items[0].type != JINJA_TEXT ||
            pair.list->items[1].type != JINJA_TEXT)
            return jinja_fail(run, "tojson: separators need two strings");
        style.item_separator = pair.list->items[0];
        style.key_separator = pair.list->items[1];
    }
    TRY(jinja_write_json(run, value, &style));
    return jinja_take_output(run, begin, out);
}

static JINJA_BUILTIN(filter_unsupported)
{
    (void)value, (void)a, (void)out;
    return jinja_unsupported(run, "the filters pprint, random and urlize are not supported");
}

// ---- the table ----

const struct jinja_builtin *jinja_find_filter(const char *name, size_t length)
{
    assert(name || length == 0);
    static const struct jinja_builtin filters[] = {
        {"abs", "", 0, true, filter_abs, NULL},
        {"attr", "name", 1, false, filter_attr, NULL},
        {"batch", "linecount,fill_with", 1, false, jinja_filter_batch, NULL},
        {"capitalize", "", 0, false, jinja_filter_capitalize, NULL},
        {"center", "width", 0, false, jinja_filter_center, NULL},
        {"count", "", 0, true, jinja_filter_length, NULL},
        {"d", "default_value,boolean", 0, false, filter_default, NULL},
        {"default", "default_value,boolean", 0, false, filter_default, NULL},
        {"dictsort", "case_sensitive,by,reverse", 0, false, jinja_filter_dictsort, NULL},
        {"e", "", 0, true, jinja_filter_escape, NULL},
        {"escape", "", 0, true, jinja_filter_escape, NULL},
        {"filesizeformat", "binary", 0, false, jinja_filter_filesizeformat, NULL},
        {"first", "", 0, false, jinja_filter_first, NULL},
        {"float", "default", 0, false, filter_float, NULL},
        {"forceescape", "", 0, false, jinja_filter_forceescape, NULL},
        {"format", NULL, 0, false, NULL, jinja_filter_format},
        {"groupby", "attribute,default,case_sensitive", 1, false, jinja_filter_groupby, NULL},
        {"indent", "width,first,blank", 0, false, jinja_filter_indent, NULL},
        {"int", "default,base", 0, false, filter_int, NULL},
        {"items", "", 0, false, jinja_filter_items, NULL},
        {"join", "d,attribute", 0, false, jinja_filter_join, NULL},
        {"last", "", 0, false, jinja_filter_last, NULL},
        {"length", "", 0, true, jinja_filter_length, NULL},
        {"list", "", 0, false, jinja_filter_list, NULL},
        {"lower", "", 0, false, jinja_filter_lower, NULL},
        {"map", NULL, 0, false, NULL, jinja_filter_map},
        {"max", "case_sensitive,attribute", 0, false, jinja_filter_max, NULL},
        {"min", "case_sensitive,attribute", 0, false, jinja_filter_min, NULL},
        {"pprint", "", 0, false, filter_unsupported, NULL},
        {"random", "", 0, false, filter_unsupported, NULL},
        {"reject", NULL, 0, false, NULL, jinja_filter_reject},
        {"rejectattr", NULL, 0, false, NULL, jinja_filter_rejectattr},
        {"replace", "old,new,count", 2, false, jinja_filter_replace, NULL},
        {"reverse", "", 0, false, jinja_filter_reverse, NULL},
        {"round", "precision,method", 0, false, filter_round, NULL},
        {"safe", "", 0, false, jinja_filter_safe, NULL},
        {"select", NULL, 0, false, NULL, jinja_filter_select},
        {"selectattr", NULL, 0, false, NULL, jinja_filter_selectattr},
        {"slice", "slices,fill_with", 1, false, jinja_filter_slice, NULL},
        {"sort", "reverse,case_sensitive,attribute", 0, false, jinja_filter_sort, NULL},
        {"string", "", 0, true, jinja_filter_string, NULL},
        {"striptags", "", 0, false, jinja_filter_striptags, NULL},
        {"sum", "attribute,start", 0, false, jinja_filter_sum, NULL},
        {"title", "", 0, false, jinja_filter_title, NULL},
        {"tojson", "ensure_ascii,indent,separators,sort_keys", 0, false, filter_tojson, NULL},
        {"trim", "chars", 0, false, jinja_filter_trim, NULL},
        {"truncate", "length,killwords,end,leeway", 0, false, jinja_filter_truncate, NULL},
        {"unique", "case_sensitive,attribute", 0, false, jinja_filter_unique, NULL},
        {"upper", "", 0, false, jinja_filter_upper, NULL},
        {"urlencode", "", 0, false, jinja_filter_urlencode, NULL},
        {"urlize", "trim_url_limit,nofollow,target,rel,extra_schemes", 0, false, filter_unsupported,
         NULL},
        {"wordcount", "", 0, false, jinja_filter_wordcount, NULL},
        {"wordwrap", "width,break_long_words,wrapstring,break_on_hyphens", 0, false,
         jinja_filter_wordwrap, NULL},
        {"xmlattr", "autospace", 0, false, jinja_filter_xmlattr, NULL}};
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (strlen(filters[i].name) == length && memcmp(filters[i].name, name, length) == 0)
            return &filters[i];
    return NULL;
}
