#include "server/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void json_writer_begin(struct json_writer *writer, struct bytes *out)
{
    *writer = (struct json_writer){.out = out};
}

static void append(struct json_writer *writer, const char *text, size_t length)
{
    if (writer->status == OK)
        writer->status = bytes_append(writer->out, text, length);
}

static void append_quoted(struct json_writer *writer, const char *text, size_t length)
{
    append(writer, "\"", 1);
    size_t from = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        char escape[8];
        const char *known = c == '"'    ? "\\\""
                            : c == '\\' ? "\\\\"
                            : c == '\n' ? "\\n"
                            : c == '\r' ? "\\r"
                            : c == '\t' ? "\\t"
                                        : NULL;
        if (!known)
            snprintf(escape, sizeof escape, "\\u%04x", c);
        append(writer, text + from, i - from);
        append(writer, known ? known : escape, strlen(known ? known : escape));
        from = i + 1;
    }
    append(writer, text + from, length - from);
    append(writer, "\"", 1);
}

static void begin_value(struct json_writer *writer, const char *key)
{
    if (writer->comma)
        append(writer, ",", 1);
    writer->comma = true;
    if (!key)
        return;
    append(writer, "\"", 1);
    append(writer, key, strlen(key));
    append(writer, "\":", 2);
}

void json_open_object(struct json_writer *writer, const char *key)
{
    begin_value(writer, key);
    append(writer, "{", 1);
    writer->comma = false;
}

void json_close_object(struct json_writer *writer)
{
    append(writer, "}", 1);
    writer->comma = true;
}

void json_open_list(struct json_writer *writer, const char *key)
{
    begin_value(writer, key);
    append(writer, "[", 1);
    writer->comma = false;
}

void json_close_list(struct json_writer *writer)
{
    append(writer, "]", 1);
    writer->comma = true;
}

void json_put_null(struct json_writer *writer, const char *key)
{
    json_put_raw(writer, key, "null", 4);
}

void json_put_bool(struct json_writer *writer, const char *key, bool value)
{
    json_put_raw(writer, key, value ? "true" : "false", value ? 4 : 5);
}

void json_put_int(struct json_writer *writer, const char *key, int64_t value)
{
    char text[24], *at = text + sizeof text; // a prompt's tokens are many: no snprintf()
    uint64_t rest = value < 0 ? -(uint64_t)value : (uint64_t)value;
    do
        *--at = (char)('0' + rest % 10);
    while (rest /= 10);
    if (value < 0)
        *--at = '-';
    json_put_raw(writer, key, at, (size_t)(text + sizeof text - at));
}

void json_put_float(struct json_writer *writer, const char *key, float value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.9g", isfinite(value) ? (double)value : -9999.0);
    if (!strpbrk(text, ".e")) // a float stays one for readers that look at the type
        length += snprintf(text + length, sizeof text - (size_t)length, ".0");
    json_put_raw(writer, key, text, (size_t)length);
}

void json_put_text(struct json_writer *writer, const char *key, const char *text)
{
    if (text)
        json_put_string(writer, key, text, strlen(text));
    else
        json_put_null(writer, key);
}

void json_put_string(struct json_writer *writer, const char *key, const char *text, size_t length)
{
    begin_value(writer, key);
    append_quoted(writer, text, length);
}

void json_put_key(struct json_writer *writer, const char *text, size_t length)
{
    begin_value(writer, NULL);
    append_quoted(writer, text, length);
    append(writer, ":", 1);
    writer->comma = false;
}

void json_put_raw(struct json_writer *writer, const char *key, const char *json, size_t length)
{
    begin_value(writer, key);
    append(writer, json, length);
}
