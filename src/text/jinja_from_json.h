// JSON as values of a template.
#ifndef COLROW_TEXT_JINJA_FROM_JSON_H
#define COLROW_TEXT_JINJA_FROM_JSON_H

#include "base/json.h"
#include "text/jinja_run.h"

// A tree that was read with json_parse(); its texts are copied.
enum status jinja_from_json(struct jinja_run *run, const json_t *json,
                            struct jinja_value *out) STATUS_MUST_USE;
// Text as Python's json module reads it, of at most JSON_DEPTH_MAX levels; integers that 64 bits
// cannot hold are refused. `name` stands in messages.
enum status jinja_read_json(struct jinja_run *run, const char *name, const char *text,
                            size_t length, struct jinja_value *out) STATUS_MUST_USE;

#endif
