#include "text/python_text.h"

#include <assert.h>

#include "text/unicode.h"

static const struct python_range *range_of(uint32_t code)
{
    size_t low = 0, high = n_python_ranges; // ranges[low].first <= code < ranges[high].first
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (python_ranges[middle].first <= code)
            low = middle;
        else
            high = middle;
    }
    return &python_ranges[low];
}

uint32_t python_flags(uint32_t code)
{
    assert(code <= 0x10FFFF);
    return range_of(code)->flags;
}

bool python_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r') || (code >= 0x1C && code <= 0x1F);
    return (python_flags(code) & PYTHON_SPACE) != 0;
}

bool python_is_name_start(uint32_t code)
{
    if (code < 0x80)
        return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z') || code == '_';
    return (python_flags(code) & PYTHON_NAME_START) != 0;
}

bool python_is_name_part(uint32_t code)
{
    if (code < 0x80)
        return python_is_name_start(code) || (code >= '0' && code <= '9');
    return (python_flags(code) & PYTHON_NAME_PART) != 0;
}

int python_decimal(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9' ? (int)(code - '0') : -1;
    const struct python_range *range = range_of(code);
    return range->flags & PYTHON_DECIMAL ? (int)((code - range->first) % 10) : -1;
}

// ---- case ----

static const struct python_case_special *find_special_casing(const struct python_case *table,
                                                             uint32_t code)
{
    for (size_t i = 0; i < table->n_specials && table->specials[i].code <= code; i++)
        if (table->specials[i].code == code)
            return &table->specials[i];
    return NULL;
}

// Appends what `code` becomes; false when the table says nothing of it.
static enum status map_in(const struct python_case *table, uint32_t code, struct bytes *out,
                          bool *mapped)
{
    char put[UTF8_BYTES_MAX];
    size_t low = 0, high = table->n_runs;
    *mapped = true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct python_case_run *run = &table->runs[middle];
        if (code < run->first)
            high = middle;
        else if (code > run->last)
            low = middle + 1;
        else if ((code - run->first) % run->step == 0)
            return bytes_append(out, put, utf8_put((uint32_t)((int32_t)code + run->delta), put));
        else
            break;
    }
    const struct python_case_special *special = find_special_casing(table, code);
    for (uint32_t i = 0; special && i < special->n; i++)
        TRY(bytes_append(out, put, utf8_put(special->to[i], put)));
    *mapped = special != NULL;
    return OK;
}

static enum status map_code(enum python_casing casing, uint32_t code, struct bytes *out)
{
    char put[UTF8_BYTES_MAX];
    bool mapped = false;
    if (casing == PYTHON_TO_TITLE || casing == PYTHON_TO_FOLD)
        TRY(map_in(casing == PYTHON_TO_TITLE ? &python_title_case : &python_fold_case, code, out,
                   &mapped));
    if (mapped)
        return OK;
    bool upper = casing == PYTHON_TO_UPPER || casing == PYTHON_TO_TITLE;
    TRY(map_in(upper ? &python_upper_case : &python_lower_case, code, out, &mapped));
    return mapped ? OK : bytes_append(out, put, utf8_put(code, put));
}

// Whether the capital sigma at `at` ends a word, which makes it ς (CPython's handle_capital_sigma).
static bool sigma_is_final(const char *text, size_t length, size_t at)
{
    uint32_t code, flags = PYTHON_IGNORABLE;
    size_t bytes;
    for (size_t i = at; i > 0 && flags & PYTHON_IGNORABLE;) {
        i -= utf8_last(text, i, &code);
        flags = python_flags(code);
    }
    if (flags & PYTHON_IGNORABLE || !(flags & PYTHON_CASED))
        return false;
    flags = PYTHON_IGNORABLE;
    for (size_t i = at + 2; i < length && flags & PYTHON_IGNORABLE; i += bytes) {
        utf8_next(text + i, length - i, &code, &bytes);
        flags = python_flags(code);
    }
    return flags & PYTHON_IGNORABLE || !(flags & PYTHON_CASED);
}

enum { CAPITAL_SIGMA = 0x3A3 };

static enum status lower_at(const char *text, size_t length, size_t at, uint32_t code,
                            struct bytes *out)
{
    if (code == CAPITAL_SIGMA)
        return bytes_text(out, sigma_is_final(text, length, at) ? "\xCF\x82" : "\xCF\x83");
    return map_code(PYTHON_TO_LOWER, code, out);
}

enum status python_change_case(enum python_casing casing, const char *text, size_t length,
                               struct bytes *out)
{
    bool inside = false; // of a word, for title()
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        enum utf8_kind kind = utf8_next(text + i, length - i, &code, &bytes);
        assert(kind == UTF8_VALID);
        (void)kind;
        enum python_casing one = casing;
        if (casing == PYTHON_TO_CAPITALIZE)
            one = i == 0 ? PYTHON_TO_TITLE : PYTHON_TO_LOWER;
        if (casing == PYTHON_TO_TITLE && inside)
            one = PYTHON_TO_LOWER;
        if (casing == PYTHON_TO_SWAP) {
            uint32_t flags = python_flags(code);
            one = flags & PYTHON_LOWER ? PYTHON_TO_UPPER : PYTHON_TO_LOWER;
            if (!(flags & (PYTHON_LOWER | PYTHON_UPPER))) {
                TRY(bytes_append(out, text + i, bytes));
                continue;
            }
        }
        if (casing == PYTHON_TO_TITLE)
            inside = (python_flags(code) & PYTHON_CASED) != 0;
        TRY(one == PYTHON_TO_LOWER ? lower_at(text, length, i, code, out)
                                   : map_code(one, code, out));
    }
    return OK;
}

// ---- questions ----

// islower(), isupper() and istitle(): what one character says.
struct cased {
    bool any, inside;
};

static bool case_fits(enum python_question question, uint32_t flags, struct cased *cased)
{
    bool lower = flags & PYTHON_LOWER, upper = flags & PYTHON_UPPER, title = flags & PYTHON_TITLE;
    if (question == PYTHON_IS_LOWER || question == PYTHON_IS_UPPER) {
        bool wanted = question == PYTHON_IS_LOWER ? lower : upper;
        cased->any |= wanted;
        return !title && !(question == PYTHON_IS_LOWER ? upper : lower);
    }
    if (upper || title) {
        if (cased->inside)
            return false;
        cased->inside = cased->any = true;
    } else if (lower) {
        if (!cased->inside)
            return false;
        cased->any = true;
    } else {
        cased->inside = false;
    }
    return true;
}

static bool flags_fit(enum python_question question, uint32_t code, uint32_t flags, bool first)
{
    switch (question) {
    case PYTHON_IS_ALPHA:
        return flags & PYTHON_ALPHA;
    case PYTHON_IS_ALNUM:
        return flags & (PYTHON_ALPHA | PYTHON_DECIMAL | PYTHON_DIGIT | PYTHON_NUMERIC);
    case PYTHON_IS_ASCII:
        return code < 0x80;
    case PYTHON_IS_DECIMAL:
        return flags & PYTHON_DECIMAL;
    case PYTHON_IS_DIGIT:
        return flags & PYTHON_DIGIT;
    case PYTHON_IS_NUMERIC:
        return flags & PYTHON_NUMERIC;
    case PYTHON_IS_IDENTIFIER:
        return first ? python_is_name_start(code) : python_is_name_part(code);
    case PYTHON_IS_SPACE:
        return flags & PYTHON_SPACE;
    case PYTHON_IS_PRINTABLE:
        return flags & PYTHON_PRINTABLE;
    case PYTHON_IS_LOWER:
    case PYTHON_IS_UPPER:
    case PYTHON_IS_TITLE:
        break;
    }
    return true;
}

bool python_asks(enum python_question question, const char *text, size_t length)
{
    bool by_case =
        question == PYTHON_IS_LOWER || question == PYTHON_IS_UPPER || question == PYTHON_IS_TITLE;
    struct cased cased = {0};
    if (length == 0)
        return question == PYTHON_IS_ASCII || question == PYTHON_IS_PRINTABLE;
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        utf8_next(text + i, length - i, &code, &bytes);
        uint32_t flags = python_flags(code);
        if (by_case ? !case_fits(question, flags, &cased)
                    : !flags_fit(question, code, flags, i == 0))
            return false;
    }
    return !by_case || cased.any;
}
