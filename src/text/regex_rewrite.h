// Regular expressions of tokenizer.json, from Oniguruma's language (its own syntax, UTF-8, as
// `tokenizers` compiles them) to PCRE2's, with the same matches.
//
// Read as Oniguruma reads them: options that last to the end of their group, (?m) for the dot,
// classes in classes and &&, {,n}, {n}? and {n,m}+, \h, \v, \u4e00, \x{...}, \R, \b over Unicode's
// words, properties by Oniguruma's names. What is not rewritten is refused by name:
// back-references, calls, conditions, \K, \G, \X, absent operators, and letters that match several
// without case.
#ifndef COLROW_TEXT_REGEX_REWRITE_H
#define COLROW_TEXT_REGEX_REWRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum { REGEX_GROUPS_MAX = 100 }; // nesting of parentheses and of classes

// Appends the expression for PCRE2. `exact`: also for characters that are younger than the Unicode
// of PCRE2 10.42 (regex_class.h), which is slower. `where` names file and key in messages.
enum status regex_rewrite(const char *where, const char *regex, size_t length, bool exact,
                          struct bytes *out) STATUS_MUST_USE;

#endif
