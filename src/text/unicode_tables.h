// What `tokenizers` knows of characters; tools/make_unicode_tables.py makes the data.
#ifndef COLROW_TEXT_UNICODE_TABLES_H
#define COLROW_TEXT_UNICODE_TABLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unicode_range {
    uint32_t first, last;
};
struct unicode_class {
    uint32_t first, last, class;
};

// Characters that are not in the table are GRAPHEME_OTHER; Hangul, flags, ZWJ and line ends are
// known by their codes.
enum grapheme_class {
    GRAPHEME_OTHER,
    GRAPHEME_CONTROL,
    GRAPHEME_PREPEND,
    GRAPHEME_PICTOGRAPH,
    GRAPHEME_CONSONANT,      // of Indic conjuncts (GB9c)
    GRAPHEME_LINKER,         // joins what is before, and a consonant behind
    GRAPHEME_JOINS_CONJUNCT, // joins what is before; may stand between consonant and linker
    GRAPHEME_JOINS,          // joins what is before
};

extern const struct unicode_range combining_marks[], nonspacing_marks[];
extern const struct unicode_range control_characters[]; // what BertNormalizer cleans away
extern const struct unicode_class grapheme_classes[];
extern const struct unicode_class unicode_scripts[]; // numbers of scripts; none: of any script
extern const size_t n_combining_marks, n_nonspacing_marks, n_control_characters, n_grapheme_classes,
    n_unicode_scripts;

// Looks into `n` ranges, which are in the order of their codes. The class is 0 outside of all.
bool unicode_in_ranges(const struct unicode_range *ranges, size_t n, uint32_t code);
uint32_t unicode_class_of(const struct unicode_class *classes, size_t n, uint32_t code);

#endif
