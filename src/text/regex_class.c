#include "text/regex_class.h"

#include <assert.h>
#include <string.h>

#include "text/regex_class_table.h"
#include "text/unicode.h"

enum {
    NAME_MAX_BYTES = 64,
    N_YOUNG = sizeof young_runs / sizeof *young_runs,
    MOVED_MARK = 0x1171E, // nonspacing in Unicode 14, spacing in 16
};

// White_Space: PCRE2's own \s also holds U+180E.
#define SPACE_SET "\\t-\\r\\x{85}\\p{Z}"
// Alphabetic, marks, decimal digits, connectors: PCRE2's own \w has no marks.
#define WORD_SET                                                                                   \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{24B6}-\\x{24E9}\\x{1F130}-\\x{1F149}"                    \
    "\\x{1F150}-\\x{1F169}\\x{1F170}-\\x{1F189}"
// Both were widened to older characters after Unicode 14.
#define ALPHABETIC_SET                                                                             \
    "\\p{Alphabetic}\\x{363}-\\x{36F}\\x{C04}\\x{F82}-\\x{F83}\\x{1DD3}-\\x{1DE6}"                 \
    "\\x{11080}-\\x{11081}"
#define LOWERCASE_SET "\\p{Lowercase}\\x{10FC}\\x{A7F2}-\\x{A7F4}\\x{AB69}"
#define VISIBLE_SET "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Cf}\\p{Co}"

// `young`: which young characters belong to it: beginnings of categories, and letters for flags.
struct class_row {
    const char *name, *other_name;
    const char *items, *young;
    bool inverted;
};

static const struct class_row rows[] = {
    {"alnum", NULL, ALPHABETIC_SET "\\p{Nd}", "a Nd", false},
    {"alpha", "alphabetic", ALPHABETIC_SET, "a", false},
    {"any", NULL, "\\x{0}-\\x{10FFFF}", "", false},
    {"ascii", NULL, "\\x{0}-\\x{7F}", "", false},
    {"asciihexdigit", "ahex", "0-9a-fA-F", "", false},
    {"assigned", NULL, "\\P{Cn}", "L M N P S Z C", false},
    {"blank", NULL, "\\t\\p{Zs}", "Zs", false},
    {"c", "other", "\\p{L}\\p{M}\\p{N}\\p{P}\\p{S}\\p{Z}", "L M N P S Z", true},
    {"cc", "control", "\\p{Cc}", "", false},
    {"cf", "format", "\\p{Cf}", "Cf", false},
    {"cn", "unassigned", "\\P{Cn}", "L M N P S Z C", true},
    {"cntrl", NULL, "\\p{Cc}", "", false},
    {"co", "privateuse", "\\p{Co}", "", false},
    {"cs", "surrogate", "\\p{Cs}", "", false},
    {"digit", NULL, "\\p{Nd}", "Nd", false},
    {"emoji", NULL, "\\p{Emoji}", "e", false},
    {"graph", NULL, VISIBLE_SET, "L M N P S Cf", false},
    {"ideographic", "ideo", "\\p{Ideographic}", "i", false},
    {"l", "letter", "\\p{L}", "L", false},
    {"lc", "casedletter", "\\p{Lu}\\p{Ll}\\p{Lt}", "Lu Ll Lt", false},
    {"ll", "lowercaseletter", "\\p{Ll}", "Ll", false},
    {"lm", "modifierletter", "\\p{Lm}", "Lm", false},
    {"lo", "otherletter", "\\p{Lo}", "Lo", false},
    {"lower", "lowercase", LOWERCASE_SET, "l", false},
    {"lt", "titlecaseletter", "\\p{Lt}", "Lt", false},
    {"lu", "uppercaseletter", "\\p{Lu}", "Lu", false},
    {"m", "mark", "\\p{M}", "M", false},
    {"combiningmark", NULL, "\\p{M}", "M", false},
    {"mc", "spacingmark", "\\p{Mc}", "Mc", false},
    {"me", "enclosingmark", "\\p{Me}", "Me", false},
    {"mn", "nonspacingmark", "\\p{Mn}", "Mn", false},
    {"n", "number", "\\p{N}", "N", false},
    {"nd", "decimalnumber", "\\p{Nd}", "Nd", false},
    {"nl", "letternumber", "\\p{Nl}", "Nl", false},
    {"no", "othernumber", "\\p{No}", "No", false},
    {"p", "punctuation", "\\p{P}", "P", false},
    {"pc", "connectorpunctuation", "\\p{Pc}", "Pc", false},
    {"pd", "dashpunctuation", "\\p{Pd}", "Pd", false},
    {"pe", "closepunctuation", "\\p{Pe}", "Pe", false},
    {"pf", "finalpunctuation", "\\p{Pf}", "Pf", false},
    {"pi", "initialpunctuation", "\\p{Pi}", "Pi", false},
    {"po", "otherpunctuation", "\\p{Po}", "Po", false},
    {"posixpunct", NULL, "\\p{P}\\p{S}", "P S", false},
    {"print", NULL, VISIBLE_SET "\\p{Zs}", "L M N P S Cf Zs", false},
    {"ps", "openpunctuation", "\\p{Ps}", "Ps", false},
    {"punct", NULL, "\\p{P}", "P", false},
    {"s", "symbol", "\\p{S}", "S", false},
    {"sc", "currencysymbol", "\\p{Sc}", "Sc", false},
    {"sk", "modifiersymbol", "\\p{Sk}", "Sk", false},
    {"sm", "mathsymbol", "\\p{Sm}", "Sm", false},
    {"so", "othersymbol", "\\p{So}", "So", false},
    {"space", NULL, SPACE_SET, "", false},
    {"upper", "uppercase", "\\p{Uppercase}", "u", false},
    {"whitespace", "wspace", SPACE_SET, "", false},
    {"word", NULL, WORD_SET, "a M Nd Pc", false},
    {"xdigit", NULL, "0-9a-fA-F", "", false},
    {"z", "separator", "\\p{Z}", "Z", false},
    {"zl", "lineseparator", "\\p{Zl}", "Zl", false},
    {"zp", "paragraphseparator", "\\p{Zp}", "Zp", false},
    {"zs", "spaceseparator", "\\p{Zs}", "Zs", false},
};

// Scripts by their short names.
static const char *const short_scripts[][2] = {
    {"arab", "arabic"},   {"cyrl", "cyrillic"}, {"deva", "devanagari"}, {"grek", "greek"},
    {"hang", "hangul"},   {"hani", "han"},      {"hebr", "hebrew"},     {"hira", "hiragana"},
    {"kana", "katakana"}, {"latn", "latin"},    {"qaai", "inherited"},  {"zinh", "inherited"},
    {"zyyy", "common"},
};

static enum status add_range(struct bytes *items, uint32_t begin, uint32_t end)
{
    assert(begin <= end && end <= 0x10FFFF);
    if (begin == end)
        return bytes_format(items, "\\x{%X}", begin);
    return bytes_format(items, "\\x{%X}-\\x{%X}", begin, end);
}

static uint8_t young_flag(char letter)
{
    switch (letter) {
    case 'a':
        return YOUNG_ALPHABETIC;
    case 'u':
        return YOUNG_UPPERCASE;
    case 'l':
        return YOUNG_LOWERCASE;
    case 'i':
        return YOUNG_IDEOGRAPHIC;
    case 'e':
        return YOUNG_EMOJI;
    }
    return 0;
}

// `young` of a row: words of one or two letters.
static bool row_has(const char *young, size_t run)
{
    const char *category = young_runs[run].category;
    for (const char *at = young; *at; at += *at == ' ') {
        size_t length = strcspn(at, " ");
        uint8_t flag = length == 1 ? young_flag(*at) : 0;
        if (flag ? (young_runs[run].flags & flag) != 0 : strncmp(category, at, length) == 0)
            return true;
        at += length;
    }
    return false;
}

static enum status add_young(struct bytes *items, const char *young, const char *script)
{
    for (size_t i = 0; i < N_YOUNG; i++)
        if (script ? strcmp(young_runs[i].script, script) == 0 : row_has(young, i))
            TRY(add_range(items, young_runs[i].begin, young_runs[i].end));
    return OK;
}

static bool plain_name(const char *name, size_t length, char out[NAME_MAX_BYTES])
{
    size_t n = 0;
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)name[i];
        if (c == ' ' || c == '-' || c == '_')
            continue;
        if (c >= 0x80 || n + 1 >= NAME_MAX_BYTES)
            return false;
        out[n++] = (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    }
    out[n] = '\0';
    return n > 0;
}

static const struct class_row *find_class_row(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(name, rows[i].name) == 0 ||
            (rows[i].other_name && strcmp(name, rows[i].other_name) == 0))
            return &rows[i];
    return NULL;
}

static const char *find_script(const char *name)
{
    for (size_t i = 0; i < sizeof short_scripts / sizeof *short_scripts; i++)
        if (strcmp(name, short_scripts[i][0]) == 0)
            name = short_scripts[i][1];
    for (size_t i = 0; i < sizeof script_names / sizeof *script_names; i++)
        if (strcmp(name, script_names[i]) == 0)
            return script_names[i];
    return NULL;
}

// Scripts that PCRE2 10.42 does not have: all their characters are young.
static bool is_young_script(const char *script)
{
    static const char *const names[] = {"garay",    "gurungkhema", "kawi",
                                        "kiratrai", "nagmundari",  "olonal",
                                        "sunuwar",  "todhri",      "tulutigalari"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(script, names[i]) == 0)
            return true;
    return false;
}

static enum status row_items(const struct class_row *row, bool exact, struct bytes *items,
                             bool *inverted)
{
    *inverted = row->inverted;
    TRY(bytes_text(items, row->items));
    if (!exact)
        return OK;
    if (strcmp(row->name, "mc") == 0)
        TRY(add_range(items, MOVED_MARK, MOVED_MARK));
    return add_young(items, row->young, NULL);
}

enum status regex_class_items(const char *name, size_t length, bool posix, bool exact,
                              struct bytes *items, bool *inverted, bool *known)
{
    assert((name || length == 0) && items && inverted && known);
    char plain[NAME_MAX_BYTES];
    *inverted = false;
    *known = plain_name(name, length, plain);
    if (!*known)
        return OK;
    const char *sought = posix && strcmp(plain, "punct") == 0 ? "posixpunct" : plain;
    const struct class_row *row = find_class_row(sought);
    if (row)
        return row_items(row, exact, items, inverted);
    const char *script = find_script(plain);
    if (script) {
        if (!is_young_script(script))
            TRY(bytes_format(items, "\\p{sc:%s}", script));
        return exact ? add_young(items, NULL, script) : OK;
    }
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++)
        if (strcmp(plain, blocks[i].name) == 0)
            return add_range(items, blocks[i].begin, blocks[i].end);
    *known = false;
    return OK;
}

bool regex_class_is_young(uint32_t code)
{
    size_t low = 0, high = N_YOUNG;
    if (code == MOVED_MARK)
        return true;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (code > young_runs[middle].end)
            low = middle + 1;
        else
            high = middle;
    }
    return low < N_YOUNG && code >= young_runs[low].begin;
}

bool regex_class_has_young(const char *text, size_t length)
{
    assert(text || length == 0);
    const unsigned char *s = (const unsigned char *)text;
    for (size_t i = 0; i < length; i++) {
        uint64_t eight;
        if (length - i >= 8) { // mostly ASCII
            memcpy(&eight, s + i, 8);
            if (!(eight & 0x8080808080808080u)) {
                i += 7;
                continue;
            }
        }
        if (s[i] < 0xE0 || i + 1 >= length)
            continue;
        if (s[i] < 0xF0 && !(young_seconds[s[i] & 15] >> (s[i + 1] & 63) & 1))
            continue;
        uint32_t code;
        size_t bytes;
        utf8_next(text + i, length - i, &code, &bytes);
        if (regex_class_is_young(code))
            return true;
    }
    return false;
}
