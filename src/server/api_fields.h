// Reading the fields of a request as vLLM's pydantic models do: a number may come as a string of
// digits, true is 1, 2.0 is an integer, "yes" is true. Everything else is a fault that names the
// place, "body.temperature".
#ifndef COLROW_SERVER_API_FIELDS_H
#define COLROW_SERVER_API_FIELDS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "server/api_fault.h"

struct api_fields {
    const json_t *object;
    const char *path; // "body"
    struct api_fault *fault;
};

// How a field stands in the request.
enum field_null { NULL_REFUSED, NULL_IS_ABSENT };

// All return whether the field is there with a value, which is then in `*out`; absence and faults
// leave `*out` alone.
//
// An integer outside of `least` to `most` is a fault in the body.
bool field_int(struct api_fields *fields, const char *key, enum field_null null, int64_t least,
               int64_t most, int64_t *out);
// Any integer; one that no int64_t holds becomes the largest or least.
bool field_any_int(struct api_fields *fields, const char *key, enum field_null null, int64_t *out);
// Also NaN and infinite ones.
bool field_number(struct api_fields *fields, const char *key, enum field_null null, double *out);
bool field_bool(struct api_fields *fields, const char *key, enum field_null null, bool *out);
// Borrowed from the object. `length` may be NULL.
bool field_string(struct api_fields *fields, const char *key, enum field_null null,
                  const char **out, size_t *length);
bool field_object(struct api_fields *fields, const char *key, enum field_null null,
                  const json_t **out);
bool field_list(struct api_fields *fields, const char *key, enum field_null null,
                const json_t **out);
// One of `words` (NULL at the end).
bool field_word(struct api_fields *fields, const char *key, enum field_null null,
                const char *const *words, const char **out);

// A value by itself; `path` is its place, as "body.prompt.0".
bool value_int(struct api_fault *fault, const char *path, const json_t *value, int64_t least,
               int64_t most, int64_t *out);
bool value_any_int(struct api_fault *fault, const char *path, const json_t *value, int64_t *out);
bool value_number(struct api_fault *fault, const char *path, const json_t *value, double *out);

#endif
