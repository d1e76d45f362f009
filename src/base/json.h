// Reading JSON from outside, over jansson: bounded in bytes and depth, with messages that name file
// and key.
#ifndef COLROW_BASE_JSON_H
#define COLROW_BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { JSON_DEPTH_MAX = 64 };

// Parses `length` bytes. `name` stands in messages (a path or "request body"). Duplicate keys,
// trailing text and more than JSON_DEPTH_MAX levels are errors. `*out` is owned: json_decref().
enum status json_parse(const char *name, const char *text, size_t length,
                       json_t **out) STATUS_MUST_USE;
// Same, from a file of at most `bytes_max` bytes.
enum status json_file(const char *path, size_t bytes_max, json_t **out) STATUS_MUST_USE;

// Typed access to `object[key]`. `where` is the file in messages. A key that is absent or null
// leaves `*out` alone and sets `*found` (when not NULL) to false; with found == NULL absence is an
// error.
enum status json_get_int(const json_t *object, const char *where, const char *key, int64_t least,
                         int64_t most, int64_t *out, bool *found) STATUS_MUST_USE;
enum status json_get_number(const json_t *object, const char *where, const char *key, double least,
                            double most, double *out, bool *found) STATUS_MUST_USE;
enum status json_get_bool(const json_t *object, const char *where, const char *key, bool *out,
                          bool *found) STATUS_MUST_USE;
// Borrowed from the object.
enum status json_get_text(const json_t *object, const char *where, const char *key,
                          const char **out, bool *found) STATUS_MUST_USE;
enum status json_get_object(const json_t *object, const char *where, const char *key, json_t **out,
                            bool *found) STATUS_MUST_USE;
enum status json_get_array(const json_t *object, const char *where, const char *key, json_t **out,
                           bool *found) STATUS_MUST_USE;

// "an integer", "a string", ... for messages.
const char *json_kind(const json_t *value);
// Short rendering of a value for messages, in a per-thread buffer.
const char *json_show(const json_t *value);

#endif
