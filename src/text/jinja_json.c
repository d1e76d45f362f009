// The filter tojson: Python's json.dumps().
#include "text/jinja_run.h"

#include <math.h>

#include "text/unicode.h"

struct writer {
    struct jinja_run *run;
    const struct jinja_json_style *style;
    int level;
};

static enum status write_json_value(struct writer *writer, struct jinja_value value);

static enum status write_text(struct writer *writer, struct jinja_value text)
{
    return jinja_write(writer->run, text.text, text.length);
}

static enum status write_code(struct writer *writer, uint32_t code)
{
    static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
    const char *simple = code < 0x80 && code > 0 ? strchr(from, (int)code) : NULL;
    if (simple)
        return jinja_writef(writer->run, "\\%c", to[simple - from]);
    if (code < 0x10000)
        return jinja_writef(writer->run, "\\u%04x", (unsigned)code);
    code -= 0x10000;
    return jinja_writef(writer->run, "\\u%04x\\u%04x", (unsigned)(0xD800 | code >> 10),
                        (unsigned)(0xDC00 | (code & 0x3FF)));
}

static enum status write_string(struct writer *writer, struct jinja_value text)
{
    size_t kept = 0;
    TRY(jinja_write(writer->run, "\"", 1));
    for (size_t i = 0, bytes; i < text.length; i += bytes) {
        uint32_t code;
        utf8_next(text.text + i, text.length - i, &code, &bytes);
        bool plain = code >= 0x20 && code != '"' && code != '\\' &&
                     !(writer->style->ensure_ascii && code > 0x7F);
        if (plain)
            continue;
        TRY(jinja_write(writer->run, text.text + kept, i - kept));
        TRY(write_code(writer, code));
        kept = i + bytes;
    }
    TRY(jinja_write(writer->run, text.text + kept, text.length - kept));
    return jinja_write(writer->run, "\"", 1);
}

static enum status write_break(struct writer *writer)
{
    if (!writer->style->indents)
        return OK;
    TRY(jinja_write(writer->run, "\n", 1));
    for (int i = 0; i < writer->level; i++)
        TRY(write_text(writer, writer->style->indent));
    return OK;
}

static enum status write_between(struct writer *writer, bool first)
{
    if (!first)
        TRY(write_text(writer, writer->style->item_separator));
    return write_break(writer);
}

static enum status write_json_list(struct writer *writer, const struct jinja_list *list)
{
    if (list->n == 0)
        return jinja_write(writer->run, "[]", 2);
    TRY(jinja_write(writer->run, "[", 1));
    writer->level++;
    for (size_t i = 0; i < list->n; i++) {
        TRY(write_between(writer, i == 0));
        TRY(write_json_value(writer, list->items[i]));
    }
    writer->level--;
    TRY(write_break(writer));
    return jinja_write(writer->run, "]", 1);
}

static enum status write_float(struct writer *writer, double real)
{
    char digits[JINJA_FLOAT_BYTES_MAX];
    if (isnan(real))
        return jinja_write(writer->run, "NaN", 3);
    if (isinf(real))
        return jinja_writef(writer->run, "%sInfinity", real < 0 ? "-" : "");
    return jinja_write(writer->run, digits, (size_t)jinja_float_text(real, digits));
}

// What is not a container; `*known` is false for others.
static enum status write_scalar(struct writer *writer, struct jinja_value value, bool *known)
{
    *known = true;
    switch ((enum jinja_type)value.type) {
    case JINJA_NONE:
        return jinja_write(writer->run, "null", 4);
    case JINJA_BOOL:
        return jinja_writef(writer->run, "%s", value.truth ? "true" : "false");
    case JINJA_INT:
        return jinja_writef(writer->run, "%lld", (long long)value.number);
    case JINJA_FLOAT:
        return write_float(writer, value.real);
    default:
        *known = false;
        return OK;
    }
}

static enum status write_key(struct writer *writer, struct jinja_value key)
{
    bool known;
    if (key.type == JINJA_TEXT)
        return write_string(writer, key);
    TRY(jinja_write(writer->run, "\"", 1));
    TRY(write_scalar(writer, key, &known));
    if (!known)
        return jinja_fail(writer->run, "tojson: %s cannot be a key of JSON", jinja_type_name(key));
    return jinja_write(writer->run, "\"", 1);
}

static enum status sorted_entries(struct writer *writer, const struct jinja_dict *dict,
                                  struct jinja_value **keys, struct jinja_value **values)
{
    TRY(jinja_take(writer->run, dict->n, sizeof **keys, keys));
    TRY(jinja_take(writer->run, dict->n, sizeof **values, values));
    for (size_t i = 0; i < dict->n; i++) {
        (*keys)[i] = dict->entries[i].key;
        (*values)[i] = dict->entries[i].value;
    }
    return writer->style->sort_keys ? jinja_sort(writer->run, *keys, *values, dict->n, false) : OK;
}

static enum status write_json_dict(struct writer *writer, const struct jinja_dict *dict)
{
    struct jinja_value *keys, *values;
    if (dict->n == 0)
        return jinja_write(writer->run, "{}", 2);
    TRY(sorted_entries(writer, dict, &keys, &values));
    TRY(jinja_write(writer->run, "{", 1));
    writer->level++;
    for (size_t i = 0; i < dict->n; i++) {
        TRY(write_between(writer, i == 0));
        TRY(write_key(writer, keys[i]));
        TRY(write_text(writer, writer->style->key_separator));
        TRY(write_json_value(writer, values[i]));
    }
    writer->level--;
    TRY(write_break(writer));
    return jinja_write(writer->run, "}", 1);
}

static enum status write_container(struct writer *writer, struct jinja_value value)
{
    if (value.type == JINJA_DICT)
        return write_json_dict(writer, value.dict);
    if (value.type == JINJA_LIST || value.type == JINJA_TUPLE)
        return write_json_list(writer, value.list);
    return jinja_fail(writer->run, "tojson: %s cannot be written as JSON", jinja_type_name(value));
}

static enum status write_json_value(struct writer *writer, struct jinja_value value)
{
    bool known;
    if (value.type == JINJA_TEXT)
        return write_string(writer, value);
    TRY(write_scalar(writer, value, &known));
    if (known)
        return OK;
    TRY(jinja_go_into(writer->run));
    enum status status = write_container(writer, value);
    writer->run->value_depth--;
    return status;
}

enum status jinja_write_json(struct jinja_run *run, struct jinja_value value,
                             const struct jinja_json_style *style)
{
    struct writer writer = {.run = run, .style = style};
    return write_json_value(&writer, value);
}
