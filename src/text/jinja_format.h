// What the ways of formatting share: text % value, format(), str.format(), center() and others.
#ifndef COLROW_TEXT_JINJA_FORMAT_H
#define COLROW_TEXT_JINJA_FORMAT_H

#include "text/jinja_run.h"

enum { JINJA_PRECISION_MAX = 400 };

struct jinja_padding {
    struct jinja_value fill; // one character
    char align;              // < > ^, or = between sign and digits; '\0': not said
    bool zero;               // "0" before the width
    size_t width;            // in characters
};
enum status jinja_write_padded(struct jinja_run *run, struct jinja_value sign,
                               struct jinja_value body,
                               const struct jinja_padding *padding) STATUS_MUST_USE;
enum status jinja_write_repeated(struct jinja_run *run, struct jinja_value text,
                                 size_t times) STATUS_MUST_USE;
// As printf; type '\0': as Python shows floats, precision -1: not given. -1: too long.
int jinja_print_float(double value, char type, bool alternate, int precision, char *out,
                      size_t size);

#endif
