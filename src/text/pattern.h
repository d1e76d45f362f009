// What a tokenizer searches for: a literal text or a regular expression, as tokenizer.json writes
// them.
//
// tokenizer.json is written for Oniguruma; regex_rewrite.h makes an expression for PCRE2 of it.
#ifndef COLROW_TEXT_PATTERN_H
#define COLROW_TEXT_PATTERN_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum { PATTERN_BYTES_MAX = 64 * 1024 };

struct pattern; // may be used by several threads at once

// `where` names file and key in messages.
enum status pattern_regex(const char *where, const char *regex, size_t length,
                          struct pattern **out) STATUS_MUST_USE;
// {"String": "..."} or {"Regex": "..."} under `object[key]`.
enum status pattern_parse(const json_t *object, const char *where, const char *key,
                          struct pattern **out) STATUS_MUST_USE;
void pattern_free(struct pattern *pattern); // accepts NULL

// One walk over the matches in a text of valid UTF-8, which it borrows.
struct pattern_walk {
    const struct pattern *pattern;
    const char *text;
    size_t length, from;
    size_t last_end; // of the match before; SIZE_MAX before the first
    bool exact;      // the text has young characters (regex_class.h)
    void *scratch;
    size_t begin, end; // the match
};
enum status pattern_walk_init(struct pattern_walk *walk,
                              const struct pattern *pattern) STATUS_MUST_USE;
void pattern_walk_begin(struct pattern_walk *walk, const char *text, size_t length);
// The next match into walk->begin and walk->end; `*found` is false after the last.
enum status pattern_walk_next(struct pattern_walk *walk, bool *found) STATUS_MUST_USE;
void pattern_walk_fini(struct pattern_walk *walk);

#endif
