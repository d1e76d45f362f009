#include "base/json_reader.h"

#include <assert.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"

// ---- messages ----

struct place {
    int line, column;
};

// Lines and characters from 1. At the end of a text: of its last character.
static struct place place_of(const char *begin, const char *at)
{
    struct place place = {1, 1};
    for (; begin < at; begin++) {
        place.column += ((unsigned char)*begin & 0xC0) != 0x80;
        if (*begin == '\n')
            place = (struct place){place.line + 1, 1};
    }
    return place;
}

static enum status complain(struct json_reader *reader, const char *kind, const char *wanted)
{
    enum { SHOWN_BYTES = 24 };
    assert(reader->file <= reader->at);
    const char *at = reader->at < reader->end ? reader->at : reader->end;
    struct place place = place_of(reader->file, at);
    if (at == reader->end)
        return fail(ERR_INPUT, "%s: not valid JSON: expected %s at line %d, where it ends",
                    reader->where, wanted, place.line);
    size_t left = (size_t)(reader->end - at), shown = left < SHOWN_BYTES ? left : SHOWN_BYTES;
    while (shown < left && ((unsigned char)at[shown] & 0xC0) == 0x80)
        shown--; // whole characters
    return fail(ERR_INPUT, "%s: %sexpected %s at line %d, column %d, found %s", reader->where, kind,
                wanted, place.line, place.column, text_show(at, shown));
}

enum status json_reader_wrong(struct json_reader *reader, const char *wanted)
{
    return complain(reader, "", wanted);
}

enum status json_reader_malformed(struct json_reader *reader, const char *wanted)
{
    return complain(reader, "not valid JSON: ", wanted);
}

enum status json_check_utf8(const char *where, const char *text, size_t length)
{
    size_t bad;
    if (length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        return fail(ERR_INPUT,
                    "%s: not valid JSON: begins with a byte order mark (EF BB BF); expected it "
                    "without: save the file as plain UTF-8",
                    where);
    if (utf8_check(text, length, &bad))
        return OK;
    struct place place = place_of(text, text + bad);
    return fail(ERR_INPUT,
                "%s: not valid JSON: expected UTF-8, found byte 0x%02x at line %d, column %d",
                where, (unsigned char)text[bad], place.line, place.column);
}

// ---- marks and words ----

static void skip_json_blanks(struct json_reader *reader)
{
    const char *at = reader->at;
    while (at < reader->end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    reader->at = at;
}

bool json_reader_at(struct json_reader *reader, char c)
{
    skip_json_blanks(reader);
    return reader->at < reader->end && *reader->at == c;
}

bool json_reader_take(struct json_reader *reader, char c)
{
    bool there = json_reader_at(reader, c);
    reader->at += there;
    return there;
}

enum status json_reader_expect(struct json_reader *reader, char c)
{
    char wanted[] = {'\'', c, '\'', '\0'};
    return json_reader_take(reader, c) ? OK : json_reader_wrong(reader, wanted);
}

enum status json_reader_finish(struct json_reader *reader)
{
    skip_json_blanks(reader);
    return reader->at == reader->end ? OK : json_reader_malformed(reader, "nothing more");
}

bool json_reader_word(struct json_reader *reader, const char *word)
{
    skip_json_blanks(reader);
    size_t length = strlen(word);
    if ((size_t)(reader->end - reader->at) < length || memcmp(reader->at, word, length) != 0)
        return false;
    reader->at += length;
    return true;
}

// ---- strings ----

static int json_hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// Four hexadecimal digits at `at`, -1 when they are not there.
static int32_t read_code(const char *at, const char *end)
{
    int32_t code = 0;
    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = json_hex_digit(at[i]);
        if (digit < 0)
            return -1;
        code = code * 16 + digit;
    }
    return code;
}

// "\u00e9" or a surrogate pair at *at, which is moved behind it.
static enum status json_unescape_code(struct json_reader *reader, const char **at,
                                      struct bytes *out)
{
    char put[UTF8_BYTES_MAX];
    int32_t code = read_code(*at + 2, reader->end);
    if (code < 0)
        return json_reader_malformed(reader, "a string with valid \\u escapes");
    *at += 6;
    if (code >= 0xD800 && code <= 0xDBFF && reader->end - *at >= 6 && (*at)[0] == '\\' &&
        (*at)[1] == 'u') {
        int32_t low = read_code(*at + 2, reader->end);
        if (low >= 0xDC00 && low <= 0xDFFF) {
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
            *at += 6;
        }
    }
    if (code >= 0xD800 && code <= 0xDFFF) {
        if (reader->dialect == JSON_RFC)
            return json_reader_malformed(reader,
                                         "a string with valid \\u escapes (surrogates in pairs)");
        code = 0xFFFD;
    }
    return bytes_append(out, put, utf8_put((uint32_t)code, put));
}

static enum status json_unescape(struct json_reader *reader, const char *at, const char *end,
                                 struct bytes *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    bytes_clear(out);
    while (at < end) {
        const char *stop = memchr(at, '\\', (size_t)(end - at));
        if (!stop)
            stop = end;
        TRY(bytes_append(out, at, (size_t)(stop - at)));
        at = stop;
        if (at == end)
            break;
        const char *simple = at + 1 < end ? memchr(from, at[1], sizeof from - 1) : NULL;
        if (simple) {
            TRY(bytes_append(out, &to[simple - from], 1));
            at += 2;
        } else if (at + 1 < end && at[1] == 'u') {
            TRY(json_unescape_code(reader, &at, out));
        } else {
            return json_reader_malformed(reader, "a string with valid escapes");
        }
    }
    return bytes_append(out, "", 0); // so that its data is never NULL
}

enum status json_reader_string(struct json_reader *reader, struct bytes *scratch, const char **text,
                               size_t *length)
{
    if (!json_reader_at(reader, '"'))
        return json_reader_malformed(reader, "a string");
    const char *begin = reader->at + 1, *at = begin;
    bool escapes = false;
    for (; at < reader->end && *at != '"'; at++) {
        if ((unsigned char)*at < 0x20)
            return json_reader_malformed(reader, "a string without control characters");
        if (*at == '\\') {
            escapes = true;
            at++;
        }
    }
    if (at >= reader->end)
        return json_reader_malformed(reader, "a string that ends");
    *text = begin;
    *length = (size_t)(at - begin);
    if (escapes) {
        TRY(json_unescape(reader, begin, at, scratch));
        *text = scratch->data;
        *length = scratch->length;
    }
    reader->at = at + 1;
    return OK;
}

// ---- numbers ----

// The digits from *at on, which is moved behind them; the value up to INT64_MAX, which stands for
// all beyond. False: there are none.
static bool read_digits(const char **at, const char *end, int64_t *value)
{
    const char *begin = *at;
    *value = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        if (__builtin_mul_overflow(*value, 10, value) ||
            __builtin_add_overflow(*value, **at - '0', value))
            *value = INT64_MAX;
    return *at > begin;
}

// Skips ".5e-3" and the like. False: begun, but not complete.
static bool skip_fraction(const char **at, const char *end)
{
    int64_t ignored;
    if (*at < end && **at == '.') {
        ++*at;
        if (!read_digits(at, end, &ignored))
            return false;
    }
    if (*at < end && (**at == 'e' || **at == 'E')) {
        ++*at;
        if (*at < end && (**at == '+' || **at == '-'))
            ++*at;
        return read_digits(at, end, &ignored);
    }
    return true;
}

enum status json_reader_int(struct json_reader *reader, int64_t *out)
{
    skip_json_blanks(reader);
    const char *begin = reader->at, *end = reader->end, *at = begin;
    bool negative = at < end && *at == '-';
    at += negative;
    const char *digits = at;
    int64_t number;
    bool found = read_digits(&at, end, &number);
    bool more = at < end && (*at == '.' || *at == 'e' || *at == 'E');
    bool minus_zero = negative && number == 0; // serde_json: a floating point number
    if (!found || more || minus_zero || (*digits == '0' && at > digits + 1))
        return json_reader_wrong(reader, "an integer");
    reader->at = at;
    *out = !negative ? number : number == INT64_MAX ? INT64_MIN : -number;
    return OK;
}

// The double nearest to the number that stands in [begin, end), whatever the host's locale.
static enum status nearest_double(const char *begin, const char *end, struct bytes *scratch,
                                  double *out)
{
    static locale_t plain; // glibc's own "C": nothing to free
    locale_t locale = __atomic_load_n(&plain, __ATOMIC_ACQUIRE);
    if (!locale) {
        locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
        if (!locale)
            return fail_memory(0, "the locale C");
        __atomic_store_n(&plain, locale, __ATOMIC_RELEASE);
    }
    bytes_clear(scratch);
    TRY(bytes_append(scratch, begin, (size_t)(end - begin)));
    *out = strtod_l(scratch->data, NULL, locale);
    return OK;
}

// NaN, Infinity and -Infinity.
static bool read_non_number(struct json_reader *reader, double *out)
{
    if (json_reader_word(reader, "NaN"))
        *out = (double)NAN;
    else if (json_reader_word(reader, "Infinity"))
        *out = HUGE_VAL;
    else if (json_reader_word(reader, "-Infinity"))
        *out = -HUGE_VAL;
    else
        return false;
    return true;
}

enum status json_reader_number(struct json_reader *reader, struct bytes *scratch, bool *is_integer,
                               int64_t *integer, double *real)
{
    skip_json_blanks(reader);
    *is_integer = false;
    if (reader->dialect == JSON_PYTHON && read_non_number(reader, real))
        return OK;
    const char *begin = reader->at, *end = reader->end, *at = begin;
    bool negative = at < end && *at == '-';
    at += negative;
    const char *digits = at;
    if (!read_digits(&at, end, integer) || (*digits == '0' && at > digits + 1))
        return json_reader_malformed(reader, "a value");
    const char *behind = at;
    if (!skip_fraction(&at, end))
        return json_reader_malformed(reader, "a number with digits behind its point or exponent");
    bool whole = at == behind;
    *is_integer = whole && *integer < INT64_MAX;
    if (whole && !*is_integer && at - digits == 19) // INT64_MAX itself
        *is_integer = memcmp(digits, "9223372036854775807", 19) == 0;
    if (negative)
        *integer = -*integer;
    if (whole && negative && at - digits == 19 && memcmp(digits, "9223372036854775808", 19) == 0) {
        *is_integer = true;
        *integer = INT64_MIN;
    }
    if (reader->dialect == JSON_RFC && whole && negative && *integer == 0)
        *is_integer = false; // serde_json: -0.0; Python: 0
    if (!*is_integer) {
        TRY(nearest_double(begin, at, scratch, real));
        if (reader->dialect == JSON_RFC && !isfinite(*real))
            return json_reader_malformed(reader, "a number within a double's range");
    }
    reader->at = at;
    return OK;
}

// ---- skipping ----

static enum status skip_members(struct json_reader *reader, struct bytes *scratch, int depth);

static enum status skip_one(struct json_reader *reader, struct bytes *scratch, int depth)
{
    const char *text;
    size_t length;
    bool is_integer;
    int64_t integer;
    double real;
    if (json_reader_at(reader, '"'))
        return json_reader_string(reader, scratch, &text, &length);
    if (json_reader_at(reader, '{') || json_reader_at(reader, '['))
        return skip_members(reader, scratch, depth + 1);
    if (json_reader_word(reader, "null") || json_reader_word(reader, "true") ||
        json_reader_word(reader, "false"))
        return OK;
    return json_reader_number(reader, scratch, &is_integer, &integer, &real);
}

static enum status skip_members(struct json_reader *reader, struct bytes *scratch, int depth)
{
    if (depth > JSON_DEPTH_MAX)
        return fail(ERR_INPUT, "%s: JSON is nested deeper than %d levels", reader->where,
                    JSON_DEPTH_MAX);
    bool object = json_reader_take(reader, '{');
    char close = object ? '}' : ']';
    if (!object)
        TRY(json_reader_expect(reader, '['));
    if (json_reader_take(reader, close))
        return OK;
    do {
        const char *key;
        size_t length;
        if (object) {
            TRY(json_reader_string(reader, scratch, &key, &length));
            TRY(json_reader_expect(reader, ':'));
        }
        TRY(skip_one(reader, scratch, depth));
    } while (json_reader_take(reader, ','));
    return json_reader_expect(reader, close);
}

enum status json_reader_skip(struct json_reader *reader, struct bytes *scratch)
{
    return skip_one(reader, scratch, 0);
}
