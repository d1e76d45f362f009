// Python's str methods on characters and whole texts (UTF-8, valid).
//
// Not text/unicode.h, which is what tokenizers ask for (Unicode of utf8proc, other definitions).
#ifndef COLROW_TEXT_PYTHON_TEXT_H
#define COLROW_TEXT_PYTHON_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "text/python_text_table.h"

uint32_t python_flags(uint32_t code); // of enum python_flag
bool python_is_space(uint32_t code);
bool python_is_name_start(uint32_t code); // of identifiers
bool python_is_name_part(uint32_t code);
int python_decimal(uint32_t code); // the value of a decimal digit, or -1

enum python_casing {
    PYTHON_TO_LOWER,
    PYTHON_TO_UPPER,
    PYTHON_TO_TITLE,      // str.title()
    PYTHON_TO_CAPITALIZE, // str.capitalize()
    PYTHON_TO_FOLD,
    PYTHON_TO_SWAP,
};
enum status python_change_case(enum python_casing casing, const char *text, size_t length,
                               struct bytes *out) STATUS_MUST_USE;

enum python_question {
    PYTHON_IS_ALPHA,
    PYTHON_IS_ALNUM,
    PYTHON_IS_ASCII,
    PYTHON_IS_DECIMAL,
    PYTHON_IS_DIGIT,
    PYTHON_IS_NUMERIC,
    PYTHON_IS_IDENTIFIER,
    PYTHON_IS_LOWER,
    PYTHON_IS_UPPER,
    PYTHON_IS_TITLE,
    PYTHON_IS_SPACE,
    PYTHON_IS_PRINTABLE,
};
bool python_asks(enum python_question question, const char *text, size_t length);

#endif
