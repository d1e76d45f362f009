// Sets of characters in a regular expression: Oniguruma's bracketed classes, which may stand in one
// another and be intersected, written as PCRE2 10.42 can have them.
#ifndef COLROW_TEXT_REGEX_SET_H
#define COLROW_TEXT_REGEX_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

// Where regex_rewrite.c stands in the expression.
struct regex_reader {
    const char *where, *at, *end;
    struct bytes *out;
    bool exact, icase, dotall, extended;
    uint32_t letter_before; // without case: the letter just before, 0: none
    int depth;
};

enum status regex_refuse(struct regex_reader *r, const char *what);    // not supported
enum status regex_malformed(struct regex_reader *r, const char *what); // Oniguruma refuses it too

// Appends a character that stands for itself, in a class or outside.
enum status regex_put_code(struct bytes *out, uint32_t code) STATUS_MUST_USE;

// What stands behind a backslash: a character, or a property.
struct regex_escape {
    uint32_t code;
    const char *property; // NULL: a character; not NUL-terminated
    size_t property_length;
    bool negated;
};
enum status regex_read_escape(struct regex_reader *r, bool in_class,
                              struct regex_escape *out) STATUS_MUST_USE;

// A union: items of a plain class, and whole expressions that match one character each.
struct regex_set {
    struct bytes items, others; // `others`: "|" before each
    int n_others;
};
void regex_set_init(struct regex_set *set);
void regex_set_fini(struct regex_set *set);
enum status regex_set_add_property(struct regex_reader *r, struct regex_set *set, const char *name,
                                   size_t length, bool posix, bool negated) STATUS_MUST_USE;
// Appends an expression for one character of the set, or outside it.
enum status regex_set_write(const struct regex_set *set, bool negated,
                            struct bytes *out) STATUS_MUST_USE;
// Reads a class, behind its "[", and appends an expression for one of its characters.
enum status regex_class_read(struct regex_reader *r, struct bytes *out) STATUS_MUST_USE;

#endif
