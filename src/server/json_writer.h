// Writing JSON text: commas come by themselves, strings are escaped. Memory that runs out is
// remembered, so that callers ask once, at the end.
#ifndef COLROW_SERVER_JSON_WRITER_H
#define COLROW_SERVER_JSON_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct json_writer {
    struct bytes *out; // borrowed; text is appended
    bool comma;        // before the next value or key
    enum status status;
};

void json_writer_begin(struct json_writer *writer, struct bytes *out);

// `key` is written as it is: a name of ours, which needs no escapes. NULL: a value in a list.
void json_open_object(struct json_writer *writer, const char *key);
void json_close_object(struct json_writer *writer);
void json_open_list(struct json_writer *writer, const char *key);
void json_close_list(struct json_writer *writer);
void json_put_null(struct json_writer *writer, const char *key);
void json_put_bool(struct json_writer *writer, const char *key, bool value);
void json_put_int(struct json_writer *writer, const char *key, int64_t value);
// The shortest text that reads back as the same float; not finite: as vLLM writes them, -9999.
void json_put_float(struct json_writer *writer, const char *key, float value);
void json_put_text(struct json_writer *writer, const char *key, const char *text);
void json_put_string(struct json_writer *writer, const char *key, const char *text, size_t length);
// A key that comes from outside, and so is escaped; the value follows with key NULL.
void json_put_key(struct json_writer *writer, const char *text, size_t length);
// Text that is JSON already.
void json_put_raw(struct json_writer *writer, const char *key, const char *json, size_t length);

#endif
