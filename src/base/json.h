// JSON from outside as a tree of jansson's values: bounded in bytes, depth and number of values,
// with messages that name file and key.
#ifndef COLROW_BASE_JSON_H
#define COLROW_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json_reader.h"
#include "base/status.h"

enum {
    JSON_DEPTH_MAX = 64,
    JSON_FILE_NODES_MAX = 1 << 22,
    JSON_REQUEST_NODES_MAX = 100000,
};

// Parses `length` bytes as Python's json module does. `name` stands in messages (a path). Trailing
// text, more than JSON_DEPTH_MAX levels and more than JSON_FILE_NODES_MAX values are errors.
// Numbers that jansson's integers or reals cannot hold become the nearest real: read them with
// json_number(). Strings may hold NULs: they have a length. `*out` is owned: json_decref().
enum status json_parse(const char *name, const char *text, size_t length,
                       json_t **out) STATUS_MUST_USE;
// Same, in another dialect and with fewer values (a request: JSON_REQUEST_NODES_MAX).
enum status json_parse_within(const char *name, const char *text, size_t length,
                              enum json_dialect dialect, size_t nodes_max,
                              json_t **out) STATUS_MUST_USE;
// Same, from a file of at most `bytes_max` bytes.
enum status json_file(const char *path, size_t bytes_max, json_t **out) STATUS_MUST_USE;
// Same, from what a user named: see file_read_given().
enum status json_file_given(const char *path, size_t bytes_max, json_t **out) STATUS_MUST_USE;

// Typed access to `object[key]`. `where` is the file in messages. A key that is absent or null
// leaves `*out` alone and sets `*found` (when not NULL) to false; with found == NULL absence is an
// error.
enum status json_get_int(const json_t *object, const char *where, const char *key, int64_t least,
                         int64_t most, int64_t *out, bool *found) STATUS_MUST_USE;
enum status json_get_number(const json_t *object, const char *where, const char *key, double least,
                            double most, double *out, bool *found) STATUS_MUST_USE;
enum status json_get_bool(const json_t *object, const char *where, const char *key, bool *out,
                          bool *found) STATUS_MUST_USE;
// Borrowed from the object. A text with a NUL in it is an error here; json_get_string() takes it.
enum status json_get_text(const json_t *object, const char *where, const char *key,
                          const char **out, bool *found) STATUS_MUST_USE;
enum status json_get_string(const json_t *object, const char *where, const char *key,
                            const char **out, size_t *length, bool *found) STATUS_MUST_USE;
enum status json_get_object(const json_t *object, const char *where, const char *key, json_t **out,
                            bool *found) STATUS_MUST_USE;
enum status json_get_array(const json_t *object, const char *where, const char *key, json_t **out,
                           bool *found) STATUS_MUST_USE;

// The number of an integer or a real; also infinite or NaN.
double json_number(const json_t *value);
// What Python takes for false: null, false, 0, "", [] and {}; also NULL, for an absent key.
bool json_is_falsy(const json_t *value);

// "an integer", "a string", ... for messages.
const char *json_kind(const json_t *value);
// Short rendering of a value for messages, in a per-thread buffer.
const char *json_show(const json_t *value);

#endif
