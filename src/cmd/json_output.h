// JSON that commands print or write.
#ifndef COLROW_CMD_JSON_OUTPUT_H
#define COLROW_CMD_JSON_OUTPUT_H

#include <jansson.h>
#include <stddef.h>

#include "base/status.h"

// A string of bytes from outside (a path, an argument): what is not UTF-8 becomes U+FFFD, as
// everywhere where such a path is shown. NULL: out of memory.
json_t *json_foreign(const char *text);
json_t *json_foreign_n(const char *text, size_t length);

enum { JSON_FIGURES = JSON_INDENT(2) | JSON_REAL_PRECISION(9) };
// Writes `root` and a line end to the file `path`, or to standard output when it is NULL, with
// jansson's `flags`. Takes the reference; NULL is one that could not be built.
enum status json_write(json_t *root, size_t flags, const char *path) STATUS_MUST_USE;

#endif
