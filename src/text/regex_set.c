#include "text/regex_set.h"

#include <assert.h>
#include <string.h>

#include "text/regex_class.h"
#include "text/regex_rewrite.h"
#include "text/unicode.h"

enum status regex_refuse(struct regex_reader *r, const char *what)
{
    return fail(ERR_UNSUPPORTED,
                "%s: the regular expression has %s, which is not supported; expected one without "
                "it",
                r->where, what);
}

enum status regex_malformed(struct regex_reader *r, const char *what)
{
    return fail(ERR_INPUT, "%s: expected a regular expression, found one with %s", r->where, what);
}

enum status regex_put_code(struct bytes *out, uint32_t code)
{
    assert(out && code <= 0x10FFFF);
    char put[UTF8_BYTES_MAX + 1] = "\\";
    bool word = (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') ||
                (code >= 'A' && code <= 'Z');
    if (code < 0x20 || code == 0x7F)
        return bytes_format(out, "\\x{%X}", code);
    if (code >= 0x80 || word)
        return bytes_append(out, put, utf8_put(code, put));
    put[1] = (char)code;
    return bytes_append(out, put, 2);
}

// ---- escapes ----

static int digit_of(char c, int base)
{
    int value = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                       : base;
    return value < base ? value : -1;
}

// Up to `most` digits; the number of them.
static int take_digits(struct regex_reader *r, int base, int most, uint32_t *out)
{
    assert(base >= 2 && base <= 16 && most > 0 && out);
    int n = 0;
    *out = 0;
    for (; n < most && r->at < r->end && digit_of(*r->at, base) >= 0; n++)
        *out = *out * (uint32_t)base + (uint32_t)digit_of(*r->at++, base);
    return n;
}

static bool is_character(uint32_t code)
{
    return code <= 0x10FFFF && !(code >= 0xD800 && code <= 0xDFFF);
}

// \xE4 is a byte: with the escapes behind it, the character of UTF-8 that they make together.
static enum status take_escaped_bytes(struct regex_reader *r, uint32_t *code)
{
    char text[UTF8_BYTES_MAX] = {(char)*code};
    size_t n = *code >= 0xF0 ? 4 : *code >= 0xE0 ? 3 : 2, bytes;
    for (size_t i = 1; i < n; i++) {
        uint32_t byte;
        if (r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'x')
            return regex_refuse(r, "bytes (\\x80 and above) that are no whole character");
        r->at += 2;
        take_digits(r, 16, 2, &byte);
        text[i] = (char)byte;
    }
    if (utf8_next(text, n, code, &bytes) != UTF8_VALID || bytes != n)
        return regex_refuse(r, "bytes (\\x80 and above) that are no whole character");
    return OK;
}

// \x41, \x{41}, \u0041, \o{101}, \012, behind the letter or at the first digit.
static enum status read_code_number(struct regex_reader *r, char letter, uint32_t *code)
{
    static const char wrong[] = "an escape for a character that has no valid number";
    bool braces = letter != 'u' && letter != '0' && r->at < r->end && *r->at == '{';
    int base = letter == 'o' || letter == '0' ? 8 : 16, n;
    if (letter == 'o' && !braces)
        return regex_refuse(r, "\\o without braces");
    r->at += braces;
    n = take_digits(r, base, braces ? 7 : letter == 'u' ? 4 : 2, code);
    if (letter == 'u' && n < 4)
        return regex_malformed(r, wrong);
    if (letter == 'x' && !braces && n == 0) // no number: the letter
        *code = 'x';
    if (letter == 'x' && !braces && *code >= 0x80)
        return take_escaped_bytes(r, code);
    if (braces) {
        if (r->at < r->end && *r->at == ' ')
            return regex_refuse(r, "several characters in one escape");
        if (n == 0 || r->at == r->end || *r->at != '}')
            return regex_malformed(r, wrong);
        r->at++;
    }
    return is_character(*code) ? OK : regex_malformed(r, wrong);
}

// \p{Name}, \p{^Name}, \P{Name} behind the letter.
static enum status read_property(struct regex_reader *r, char letter, struct regex_escape *out)
{
    const char *end = memchr(r->at, '}', (size_t)(r->end - r->at));
    out->negated = letter == 'P';
    if (!end)
        return regex_malformed(r, "a property whose name does not end");
    r->at++;
    if (*r->at == '^') {
        out->negated = !out->negated;
        r->at++;
    }
    out->property = r->at;
    out->property_length = (size_t)(end - r->at);
    r->at = end + 1;
    return OK;
}

static bool is_class_letter(char letter, struct regex_escape *out)
{
    static const struct {
        char letter;
        const char *name;
    } names[] = {{'w', "word"}, {'d', "digit"}, {'s', "space"}, {'h', "xdigit"}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if ((letter | 0x20) != names[i].letter)
            continue;
        out->property = names[i].name;
        out->property_length = strlen(names[i].name);
        out->negated = letter != names[i].letter;
        return true;
    }
    return false;
}

enum status regex_read_escape(struct regex_reader *r, bool in_class, struct regex_escape *out)
{
    assert(r && r->at <= r->end && out);
    static const char from[] = "tnrfvae", to[] = "\t\n\r\f\v\a\x1B";
    *out = (struct regex_escape){0};
    if (r->at == r->end)
        return regex_malformed(r, "a backslash at its end");
    char letter = *r->at;
    const char *simple = letter ? strchr(from, letter) : NULL;
    if (simple || (in_class && letter == 'b')) {
        r->at++;
        out->code = simple ? (uint32_t)to[simple - from] : '\b';
        return OK;
    }
    if (is_class_letter(letter, out)) {
        r->at++;
        return OK;
    }
    if ((letter == 'p' || letter == 'P') && r->end - r->at > 1 && r->at[1] == '{') {
        r->at++;
        return read_property(r, letter, out);
    }
    if (letter == 'x' || letter == 'u' || letter == 'o') {
        r->at++;
        return read_code_number(r, letter, &out->code);
    }
    if (letter == '0') {
        r->at++;
        return read_code_number(r, letter, &out->code);
    }
    if ((letter >= '1' && letter <= '9') || letter == 'c' || letter == 'C' || letter == 'M')
        return regex_refuse(r, "an escape \\c, \\C, \\M or of a digit");
    size_t bytes;
    utf8_next(r->at, (size_t)(r->end - r->at), &out->code, &bytes);
    r->at += bytes;
    return OK;
}

// ---- unions ----

void regex_set_init(struct regex_set *set)
{
    bytes_init(&set->items);
    bytes_init(&set->others);
    set->n_others = 0;
}

void regex_set_fini(struct regex_set *set)
{
    bytes_fini(&set->items);
    bytes_fini(&set->others);
}

static enum status add_other(struct regex_set *set, const char *before, const struct bytes *items,
                             const char *after)
{
    set->n_others++;
    TRY(bytes_text(&set->others, before));
    TRY(bytes_append(&set->others, items->data ? items->data : "", items->length));
    return bytes_text(&set->others, after);
}

// Without case Oniguruma closes a class under folding: properties that it leaves as they are, but
// for U+0345, which goes with iota.
static enum status check_caseless(struct regex_reader *r, struct regex_set *set, const char *name,
                                  size_t length, bool negated)
{
    static const char *const closed[] = {"L",    "Letter", "N",     "P",     "S",
                                         "Z",    "Nd",     "digit", "space", "xdigit",
                                         "word", "Han",    "Latin", "alpha", "White_Space"};
    for (size_t i = 0; i < sizeof closed / sizeof *closed && !negated; i++) {
        if (strlen(closed[i]) != length || memcmp(closed[i], name, length) != 0)
            continue;
        return i < 2 ? bytes_text(&set->items, "\\x{345}") : OK;
    }
    return regex_refuse(r, "a class without case that holds this property");
}

// U+1171E is no nonspacing mark any more.
static bool is_nonspacing(const char *name, size_t length)
{
    return length == 2 ? memcmp(name, "Mn", 2) == 0
                       : length > 2 && (*name | 0x20) == 'n' && memmem(name, length, "pacing", 6);
}

enum status regex_set_add_property(struct regex_reader *r, struct regex_set *set, const char *name,
                                   size_t length, bool posix, bool negated)
{
    assert(r && set && (name || length == 0));
    struct bytes items;
    bool inverted, known;
    bytes_init(&items);
    enum status status;
    TRY_DONE(regex_class_items(name, length, posix, r->exact, &items, &inverted, &known));
    if (!known) {
        status = fail(ERR_UNSUPPORTED,
                      "%s: the regular expression has the property \"%s\"; expected a general "
                      "category, a script, a block (In_...) or a POSIX class",
                      r->where, text_show(name, length));
        goto done;
    }
    bool outside = inverted != negated;
    if (items.length == 0)
        status = outside ? bytes_text(&set->items, "\\x{0}-\\x{10FFFF}") : OK;
    else if (r->exact && is_nonspacing(name, length))
        status = outside ? add_other(set, "|(?:\\x{1171E}|[^", &items, "])")
                         : add_other(set, "|(?:(?!\\x{1171E})[", &items, "])");
    else if (outside)
        status = add_other(set, "|[^", &items, "]");
    else
        status = bytes_append(&set->items, items.data, items.length);
done:
    bytes_fini(&items);
    return status;
}

// "\p{L}" alone needs no brackets, and PCRE2 is faster without.
static bool is_one_property(const struct bytes *items)
{
    return items->length > 4 && memcmp(items->data, "\\p{", 3) == 0 &&
           strchr(items->data, '}') == items->data + items->length - 1;
}

static enum status write_positive(const struct regex_set *set, struct bytes *out)
{
    bool items = set->items.length > 0, others = set->others.length > 0;
    if (!items && !others)
        return bytes_text(out, "(?!)");
    if (!items && set->n_others == 1) // [^...] or a group by itself
        return bytes_append(out, set->others.data + 1, set->others.length - 1);
    if (others)
        TRY(bytes_text(out, "(?:"));
    if (items && !others && is_one_property(&set->items)) {
        TRY(bytes_append(out, set->items.data, set->items.length));
    } else if (items) {
        TRY(bytes_text(out, "["));
        TRY(bytes_append(out, set->items.data, set->items.length));
        TRY(bytes_text(out, "]"));
    }
    if (!others)
        return OK;
    size_t skip = items ? 0 : 1; // of the first "|"
    TRY(bytes_append(out, set->others.data + skip, set->others.length - skip));
    return bytes_text(out, ")");
}

enum status regex_set_write(const struct regex_set *set, bool negated, struct bytes *out)
{
    assert(set && set->n_others >= 0 && out);
    if (!negated)
        return write_positive(set, out);
    if (set->others.length == 0 && set->items.length > 0) {
        TRY(bytes_text(out, "[^"));
        TRY(bytes_append(out, set->items.data, set->items.length));
        return bytes_text(out, "]");
    }
    TRY(bytes_text(out, "(?:(?!"));
    TRY(write_positive(set, out));
    return bytes_text(out, ")\\p{Any})");
}

// ---- bracketed classes ----

// What Oniguruma knows of the item before, which decides what a "-" means.
enum class_state { CLASS_START, CLASS_VALUE, CLASS_RANGE, CLASS_COMPLETE, CLASS_PROPERTY };

struct class_reader {
    struct regex_reader *r;
    struct regex_set set; // of the operand at hand
    struct bytes before;  // operands of && that are read, as lookaheads
    enum class_state state;
    uint32_t value;
};

// Characters of a class without case that match others of another number, or younger ones.
static bool range_folds_oddly(uint32_t begin, uint32_t end)
{
    static const uint32_t odd[][2] = {
        {0xDF, 0xDF},     {0x130, 0x130},   {0x149, 0x149},   {0x19B, 0x19B},   {0x1F0, 0x1F0},
        {0x264, 0x264},   {0x390, 0x390},   {0x3B0, 0x3B0},   {0x587, 0x587},   {0x1C89, 0x1C8A},
        {0x1E96, 0x1E9E}, {0x1F50, 0x1FFC}, {0xA7CB, 0xA7DC}, {0xFB00, 0xFB17}, {0x10D50, 0x10D85}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        if (begin <= odd[i][1] && end >= odd[i][0])
            return true;
    return false;
}

static enum status add_characters(struct class_reader *c, uint32_t begin, uint32_t end)
{
    if (begin > end)
        return regex_malformed(c->r, "a range that is empty");
    if (c->r->icase && range_folds_oddly(begin, end))
        return regex_refuse(c->r, "letters that match others of another number without case");
    TRY(regex_put_code(&c->set.items, begin));
    if (begin == end)
        return OK;
    TRY(bytes_text(&c->set.items, "-"));
    return regex_put_code(&c->set.items, end);
}

static enum status end_value(struct class_reader *c)
{
    return c->state == CLASS_VALUE ? add_characters(c, c->value, c->value) : OK;
}

static enum status take_character(struct class_reader *c, uint32_t code)
{
    if (c->state == CLASS_RANGE) {
        c->state = CLASS_COMPLETE;
        return add_characters(c, c->value, code);
    }
    TRY(end_value(c));
    c->state = CLASS_VALUE;
    c->value = code;
    return OK;
}

static enum status take_property(struct class_reader *c, const char *name, size_t length,
                                 bool posix, bool negated)
{
    if (c->state == CLASS_RANGE)
        return regex_malformed(c->r, "a range that ends with a class");
    TRY(end_value(c));
    c->state = CLASS_PROPERTY;
    if (c->r->icase)
        TRY(check_caseless(c->r, &c->set, name, length, negated));
    return regex_set_add_property(c->r, &c->set, name, length, posix, negated);
}

static bool class_sees(const struct class_reader *c, const char *text)
{
    size_t length = strlen(text);
    return (size_t)(c->r->end - c->r->at) >= length && memcmp(c->r->at, text, length) == 0;
}

static enum status take_dash(struct class_reader *c)
{
    bool last = class_sees(c, "]") || class_sees(c, "&&");
    if (c->state == CLASS_VALUE && !last) {
        c->state = CLASS_RANGE;
        return OK;
    }
    if (c->state == CLASS_PROPERTY && !last)
        return regex_malformed(c->r, "a range that begins with a class");
    return take_character(c, '-');
}

// [:alpha:] or [:^alpha:] behind "[:".
static enum status take_posix(struct class_reader *c)
{
    static const char *const names[] = {"alnum", "alpha", "ascii", "blank", "cntrl",
                                        "digit", "graph", "lower", "print", "punct",
                                        "space", "upper", "word",  "xdigit"};
    bool negated = class_sees(c, "^");
    c->r->at += negated;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        size_t length = strlen(names[i]);
        if (class_sees(c, names[i]) && (size_t)(c->r->end - c->r->at) >= length + 2 &&
            memcmp(c->r->at + length, ":]", 2) == 0) {
            c->r->at += length + 2;
            return take_property(c, names[i], length, true, negated);
        }
    }
    return regex_refuse(c->r, "\"[:\" that begins no POSIX class");
}

static enum status take_nested(struct class_reader *c)
{
    if (c->state == CLASS_RANGE)
        return regex_malformed(c->r, "a range that ends with a class");
    if (c->r->icase)
        return regex_refuse(c->r, "a class in a class without case");
    TRY(end_value(c));
    c->state = CLASS_PROPERTY;
    c->set.n_others++;
    TRY(bytes_text(&c->set.others, "|"));
    return regex_class_read(c->r, &c->set.others);
}

// An operand of && ends; the next one begins.
static enum status take_and(struct class_reader *c)
{
    if (c->r->icase)
        return regex_refuse(c->r, "&& in a class without case");
    TRY(end_value(c));
    TRY(bytes_text(&c->before, "(?="));
    TRY(regex_set_write(&c->set, false, &c->before));
    TRY(bytes_text(&c->before, ")"));
    bytes_clear(&c->set.items);
    bytes_clear(&c->set.others);
    c->set.n_others = 0;
    c->state = CLASS_START;
    return OK;
}

static enum status take_item(struct class_reader *c)
{
    struct regex_reader *r = c->r;
    struct regex_escape escape;
    uint32_t code;
    size_t bytes;
    if (class_sees(c, "&&")) {
        r->at += 2;
        return take_and(c);
    }
    if (class_sees(c, "[:")) {
        r->at += 2;
        return take_posix(c);
    }
    if (*r->at == '[' || *r->at == '-') {
        r->at++;
        return r->at[-1] == '[' ? take_nested(c) : take_dash(c);
    }
    if (*r->at == '\\') {
        r->at++;
        TRY(regex_read_escape(r, true, &escape));
        return escape.property ? take_property(c, escape.property, escape.property_length, false,
                                               escape.negated)
                               : take_character(c, escape.code);
    }
    utf8_next(r->at, (size_t)(r->end - r->at), &code, &bytes);
    r->at += bytes;
    return take_character(c, code);
}

static enum status write_class(struct class_reader *c, bool negated, struct bytes *out)
{
    if (c->before.length == 0)
        return regex_set_write(&c->set, negated, out);
    TRY(bytes_text(out, negated ? "(?:(?!" : "(?:"));
    TRY(bytes_append(out, c->before.data, c->before.length));
    TRY(regex_set_write(&c->set, false, out));
    return bytes_text(out, negated ? ")\\p{Any})" : ")");
}

static enum status read_set_items(struct class_reader *c)
{
    struct regex_reader *r = c->r;
    if (class_sees(c, "]")) { // a member, if another one closes the class
        if (!memchr(r->at + 1, ']', (size_t)(r->end - r->at) - 1))
            return regex_malformed(r, "an empty class");
        r->at++;
        TRY(take_character(c, ']'));
    }
    while (r->at < r->end && *r->at != ']')
        TRY(take_item(c));
    if (r->at == r->end)
        return regex_malformed(r, "a class that is not closed");
    r->at++;
    return end_value(c);
}

enum status regex_class_read(struct regex_reader *r, struct bytes *out)
{
    assert(r && r->at <= r->end && out);
    struct class_reader c = {.r = r};
    bool negated = r->at < r->end && *r->at == '^';
    if (++r->depth > REGEX_GROUPS_MAX)
        return regex_refuse(r, "classes nested too deep");
    regex_set_init(&c.set);
    bytes_init(&c.before);
    r->at += negated;
    enum status status = read_set_items(&c);
    if (status == OK)
        status = write_class(&c, negated, out);
    r->depth--;
    regex_set_fini(&c.set);
    bytes_fini(&c.before);
    return status;
}
