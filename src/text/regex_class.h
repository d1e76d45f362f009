// Oniguruma's character classes ("\p{Han}", "[[:punct:]]", "\w") as items of a class of PCRE2.
//
// Both know Unicode, but Oniguruma 6.9.10 (in `tokenizers` 0.23) version 16 and PCRE2 10.42 version
// 14; and a bare script name means Script there, Script_Extensions here. Characters that came
// between the two versions are called young. A text without them is matched by PCRE2's own tables;
// for the others the items name them one by one.
#ifndef COLROW_TEXT_REGEX_CLASS_H
#define COLROW_TEXT_REGEX_CLASS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

// Items for the property of that name, as Oniguruma spells it (case, blanks, - and _ do not count;
// no leading ^). `posix`: as in [[:name:]]. `*inverted`: the property is what the items are not.
// `*known` is false for a name that has no items.
enum status regex_class_items(const char *name, size_t length, bool posix, bool exact,
                              struct bytes *items, bool *inverted, bool *known) STATUS_MUST_USE;
// True for a character that is younger than PCRE2 10.42's Unicode.
bool regex_class_is_young(uint32_t code);
// True when the (valid UTF-8) text may hold such a character.
bool regex_class_has_young(const char *text, size_t length);

#endif
