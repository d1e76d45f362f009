// What Python's str methods know of each character; tools/make_python_text_table.py makes the data.
#ifndef COLROW_TEXT_PYTHON_TEXT_TABLE_H
#define COLROW_TEXT_PYTHON_TEXT_TABLE_H

#include <stddef.h>
#include <stdint.h>

enum python_flag { // in the order of the script's FLAGS
    PYTHON_ALPHA = 1 << 0,
    PYTHON_DECIMAL = 1 << 1,
    PYTHON_DIGIT = 1 << 2,
    PYTHON_NUMERIC = 1 << 3,
    PYTHON_LOWER = 1 << 4,
    PYTHON_UPPER = 1 << 5,
    PYTHON_TITLE = 1 << 6,
    PYTHON_SPACE = 1 << 7,
    PYTHON_PRINTABLE = 1 << 8,
    PYTHON_NAME_START = 1 << 9,
    PYTHON_NAME_PART = 1 << 10,
    PYTHON_CASED = 1 << 11,
    PYTHON_IGNORABLE = 1 << 12, // looked through when a capital sigma is made small
};

struct python_range {
    uint32_t first; // up to the next range's
    uint32_t flags;
};
struct python_case_run {
    uint32_t first, last, step;
    int32_t delta;
};
struct python_case_special { // one character that becomes several
    uint32_t code, n, to[3];
};
struct python_case {
    const struct python_case_run *runs;
    size_t n_runs;
    const struct python_case_special *specials;
    size_t n_specials;
};

extern const struct python_range python_ranges[];
extern const size_t n_python_ranges;
extern const struct python_case python_lower_case, python_upper_case;
extern const struct python_case python_title_case; // where it differs from upper case
extern const struct python_case python_fold_case;  // where it differs from lower case

#endif
