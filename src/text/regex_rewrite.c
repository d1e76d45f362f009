#include "text/regex_rewrite.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "text/regex_class.h"
#include "text/regex_set.h"
#include "text/unicode.h"

// ---- reading ----

static bool reader_takes(struct regex_reader *r, const char *text)
{
    size_t length = strlen(text);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, text, length) != 0)
        return false;
    r->at += length;
    return true;
}

static bool reader_sees(const struct regex_reader *r, char c)
{
    return r->at < r->end && *r->at == c;
}

// A number of up to six digits; false when there is none.
static bool take_number(struct regex_reader *r, int *out)
{
    const char *begin = r->at;
    *out = 0;
    while (r->at < r->end && r->at - begin < 6 && *r->at >= '0' && *r->at <= '9')
        *out = *out * 10 + (*r->at++ - '0');
    return r->at > begin;
}

// ---- what matches several letters without case ----

static bool is_any_of(uint32_t code, const char *letters)
{
    return code < 0x80 && code != 0 && strchr(letters, (int)code) != NULL;
}

// Oniguruma without case takes "ss" for U+00DF and so on for some hundred characters.
static bool folds_to_several(uint32_t code)
{
    static const uint32_t ranges[][2] = {
        {0xDF, 0xDF},   {0x130, 0x130}, {0x149, 0x149},   {0x1F0, 0x1F0},   {0x390, 0x390},
        {0x3B0, 0x3B0}, {0x587, 0x587}, {0x1E96, 0x1E9E}, {0x1F50, 0x1FFC}, {0xFB00, 0xFB17}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (code >= ranges[i][0] && code <= ranges[i][1])
            return true;
    return false;
}

// The two letters begin what some character folds to.
static bool begins_a_fold(uint32_t first, uint32_t second)
{
    if (is_any_of(first, "sS\xFF") || first == 0x17F)
        return is_any_of(second, "sStT") || second == 0x17F;
    if (is_any_of(first, "fF"))
        return is_any_of(second, "fFiIlL");
    if (first == 0x2BC || (first >= 0x531 && first <= 0x586)) // apostrophe n; Armenian ligatures
        return true;
    return second == 0x307 || second == 0x308 || second == 0x30A || second == 0x30C ||
           second == 0x313 || second == 0x331 || second == 0x342 || second == 0x345 ||
           second == 0x399 || second == 0x3B9 || second == 0x1FBE || second == 0x2BE;
}

static enum status check_folding(struct regex_reader *r, uint32_t code)
{
    uint32_t before = r->letter_before;
    if (!r->icase)
        return OK;
    r->letter_before = code;
    if (folds_to_several(code) || (before != 0 && begins_a_fold(before, code)) ||
        regex_class_is_young(code) || code == 0x19B || code == 0x264)
        return regex_refuse(r, "letters that match others of another number without case");
    return OK;
}

// ---- single characters ----

static enum status put_set(struct regex_reader *r, struct regex_set *set, bool negated)
{
    enum status status = OK;
    r->letter_before = 0;
    if (r->icase)
        status = bytes_text(r->out, "(?-i:");
    if (status == OK)
        status = regex_set_write(set, negated, r->out);
    if (status == OK && r->icase)
        status = bytes_text(r->out, ")");
    return status;
}

static bool is_word(const char *name, size_t length)
{
    return length == 4 && (memcmp(name, "word", 4) == 0 || memcmp(name, "Word", 4) == 0 ||
                           memcmp(name, "WORD", 4) == 0);
}

// A property outside brackets. There Oniguruma asks a table of Latin-1 for \w, which has six
// characters more than its own Unicode table.
static enum status put_property(struct regex_reader *r, const char *name, size_t length,
                                bool negated)
{
    struct regex_set set;
    bool word = is_word(name, length);
    regex_set_init(&set);
    enum status status = regex_set_add_property(r, &set, name, length, false, negated && !word);
    if (status == OK && word)
        status = bytes_text(&set.items, "\\x{B2}\\x{B3}\\x{B9}\\x{BC}-\\x{BE}");
    if (status == OK)
        status = put_set(r, &set, negated && word);
    regex_set_fini(&set);
    return status;
}

static enum status put_letter(struct regex_reader *r, uint32_t code)
{
    TRY(check_folding(r, code));
    return regex_put_code(r->out, code);
}

// \b and \B: PCRE2's own know another \w.
static enum status put_boundary(struct regex_reader *r, bool negated)
{
    static const char *const inside[] = {"(?:(?<=", ")(?!", ")|(?<!", ")(?=", "))"},
                             *const outside[] = {"(?:(?<=", ")(?=", ")|(?<!", ")(?!", "))"};
    const char *const *parts = negated ? outside : inside;
    for (int i = 0; i < 5; i++) {
        TRY(bytes_text(r->out, parts[i]));
        if (i < 4)
            TRY(put_property(r, "word", 4, false));
    }
    return OK;
}

// `*quantifiable` is set to false by what stands between characters.
static enum status put_escape(struct regex_reader *r, bool *quantifiable)
{
    static const struct {
        const char *text;
        char letter;
        bool between;
    } fixed[] = {
        {"\\A", 'A', true},       {"\\z", 'z', true},
        {"\\Z", 'Z', true},       {"[^\\n]", 'N', false},
        {"\\p{Any}", 'O', false}, {"(?>\\r\\n|[\\n-\\r\\x{85}\\x{2028}\\x{2029}])", 'R', false}};
    struct regex_escape escape;
    char letter = (char)(r->at < r->end ? *r->at : '\0');
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        if (letter != fixed[i].letter)
            continue;
        r->at++;
        r->letter_before = 0;
        *quantifiable = !fixed[i].between;
        return bytes_text(r->out, fixed[i].text);
    }
    if (letter == 'b' || letter == 'B') {
        r->at++;
        *quantifiable = false;
        return put_boundary(r, letter == 'B');
    }
    if (letter != '\0' && strchr("GKXyYkg", letter))
        return regex_refuse(r, (char[]){'\\', letter, '\0'});
    if (letter >= '1' && letter <= '9')
        return regex_refuse(r, "a reference to a group");
    TRY(regex_read_escape(r, false, &escape));
    if (!escape.property)
        return put_letter(r, escape.code);
    return put_property(r, escape.property, escape.property_length, escape.negated);
}

static enum status put_class(struct regex_reader *r)
{
    r->letter_before = 0;
    return regex_class_read(r, r->out);
}

// ---- groups ----

static enum status alternatives(struct regex_reader *r);

static enum status put_group(struct regex_reader *r, const char *open)
{
    if (++r->depth > REGEX_GROUPS_MAX)
        return regex_refuse(r, "groups nested too deep");
    r->letter_before = 0;
    TRY(bytes_text(r->out, open));
    TRY(alternatives(r));
    if (!reader_takes(r, ")"))
        return regex_malformed(r, "a group that is not closed");
    r->letter_before = 0;
    r->depth--;
    return bytes_text(r->out, ")");
}

static enum status skip_name(struct regex_reader *r, char close)
{
    const char *end = memchr(r->at, close, (size_t)(r->end - r->at));
    if (!end || end == r->at)
        return regex_malformed(r, "a group's name that does not end");
    r->at = end + 1;
    return OK;
}

static enum status skip_comment(struct regex_reader *r)
{
    while (r->at < r->end && *r->at != ')')
        r->at += *r->at == '\\' && r->end - r->at > 1 ? 2 : 1;
    return reader_takes(r, ")") ? OK : regex_malformed(r, "a comment that does not end");
}

// "i-m:" or "x)" behind "(?". Options without a group of their own last to the end of the one they
// stand in, alternatives included: the rest becomes a group, which alternatives() closes.
static enum status put_options(struct regex_reader *r, int *opened)
{
    bool on = true, icase = r->icase, dotall = r->dotall, extended = r->extended;
    for (; r->at < r->end && strchr("imx-", *r->at) && *r->at; r->at++) {
        on = on && *r->at != '-';
        icase = *r->at == 'i' ? on : icase;
        dotall = *r->at == 'm' ? on : dotall;
        extended = *r->at == 'x' ? on : extended;
    }
    const char *open = icase ? "(?i:" : "(?-i:";
    bool group = reader_takes(r, ":");
    if (!group && !reader_takes(r, ")"))
        return regex_refuse(r, "options other than i, m and x");
    bool before[] = {r->icase, r->dotall, r->extended};
    r->icase = icase;
    r->dotall = dotall;
    r->extended = extended;
    r->letter_before = 0;
    if (!group) {
        if (++r->depth > REGEX_GROUPS_MAX)
            return regex_refuse(r, "groups nested too deep");
        ++*opened;
        return bytes_text(r->out, open);
    }
    TRY(put_group(r, open));
    r->icase = before[0];
    r->dotall = before[1];
    r->extended = before[2];
    return OK;
}

// Behind "(". `*quantifiable` as above; `*nothing`: a comment or options, no atom at all.
static enum status put_parenthesis(struct regex_reader *r, bool *quantifiable, bool *nothing,
                                   int *opened)
{
    static const struct {
        const char *open, *put;
        bool between;
    } groups[] = {{"?:", "(?:", false}, {"?=", "(?=", true},   {"?!", "(?!", true},
                  {"?>", "(?>", false}, {"?<=", "(?<=", true}, {"?<!", "(?<!", true}};
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        if (reader_takes(r, groups[i].open)) {
            *quantifiable = !groups[i].between;
            return put_group(r, groups[i].put);
        }
    }
    if (reader_takes(r, "?#")) {
        *nothing = true;
        return skip_comment(r);
    }
    if (reader_takes(r, "?<") || reader_takes(r, "?'")) {
        TRY(skip_name(r, r->at[-1] == '<' ? '>' : '\''));
        return put_group(r, "(?:"); // nothing refers to it
    }
    if (reader_takes(r, "?")) {
        int before = *opened;
        TRY(put_options(r, opened));
        *nothing = *opened > before;
        return OK;
    }
    if (reader_sees(r, '*'))
        return regex_refuse(r, "a callout (*...)");
    return put_group(r, "(?:");
}

// ---- quantifiers ----

// {n}, {n,}, {n,m} or {,n}; anything else is a plain brace.
static bool take_interval(struct regex_reader *r, int *least, int *most)
{
    const char *begin = r->at;
    bool low = false, high = false, comma = false;
    if (reader_takes(r, "{")) {
        low = take_number(r, least);
        comma = reader_takes(r, ",");
        high = comma && take_number(r, most);
        if ((low || high) && reader_takes(r, "}")) {
            *least = low ? *least : 0;
            *most = !comma ? *least : high ? *most : -1;
            return true;
        }
    }
    r->at = begin;
    return false;
}

// `*text` is the next quantifier in PCRE2's spelling, or stays empty.
static enum status take_quantifier(struct regex_reader *r, char text[40])
{
    int least, most;
    text[0] = '\0';
    if (r->at == r->end)
        return OK;
    if (strchr("?*+", *r->at) && *r->at) {
        size_t n = 0;
        text[n++] = *r->at++;
        if (reader_sees(r, '?') || reader_sees(r, '+')) // lazy, possessive
            text[n++] = *r->at++;
        text[n] = '\0';
        return OK;
    }
    if (!take_interval(r, &least, &most))
        return OK;
    if (most >= 0 && least > most)
        return regex_refuse(r, "a repetition {n,m} with n above m");
    // Behind {n} a ? repeats again, and so does a + behind any of them.
    bool lazy = least != most && reader_takes(r, "?");
    if (most < 0)
        snprintf(text, 40, "{%d,}%s", least, lazy ? "?" : "");
    else
        snprintf(text, 40, "{%d,%d}%s", least, most, lazy ? "?" : "");
    return OK;
}

// Puts "(?:" at `begin` and ")" at the end.
static enum status wrap(struct bytes *out, size_t begin)
{
    TRY(bytes_text(out, "(?:)"));
    memmove(out->data + begin + 3, out->data + begin, out->length - 4 - begin);
    memcpy(out->data + begin, "(?:", 3);
    out->data[out->length - 1] = ')';
    return OK;
}

static enum status put_quantifiers(struct regex_reader *r, size_t begin, bool quantifiable)
{
    char text[40];
    for (bool first = true;; first = false) {
        TRY(take_quantifier(r, text));
        if (text[0] == '\0')
            return OK;
        if (!quantifiable)
            return regex_refuse(r, "a repetition of what has no length");
        if (r->icase && r->letter_before != 0 && text[0] == '{') // Oniguruma may write it out
            return regex_refuse(r, "a counted letter without case");
        r->letter_before = 0;
        if (!first)
            TRY(wrap(r->out, begin));
        TRY(bytes_text(r->out, text));
    }
}

// ---- the expression ----

static enum status put_one(struct regex_reader *r, bool *quantifiable, bool *nothing, int *opened)
{
    uint32_t code;
    size_t bytes;
    char c = *r->at;
    *quantifiable = true;
    *nothing = false;
    if (reader_takes(r, "\\"))
        return put_escape(r, quantifiable);
    if (reader_takes(r, "["))
        return put_class(r);
    if (reader_takes(r, "("))
        return put_parenthesis(r, quantifiable, nothing, opened);
    if (reader_takes(r, ".")) {
        r->letter_before = 0;
        return bytes_text(r->out, r->dotall ? "\\p{Any}" : "[^\\n]");
    }
    if (c == '^' || c == '$') {
        r->at++;
        *quantifiable = false;
        return bytes_append(r->out, &c, 1);
    }
    if (c == '?' || c == '*' || c == '+')
        return regex_malformed(r, "a repetition of nothing");
    utf8_next(r->at, (size_t)(r->end - r->at), &code, &bytes);
    r->at += bytes;
    return put_letter(r, code);
}

static bool skip_extended(struct regex_reader *r)
{
    if (!r->extended || !strchr(" \t\n\v\f\r#", *r->at) || *r->at == '\0')
        return false;
    if (*r->at == '#')
        while (r->at < r->end && *r->at != '\n')
            r->at++;
    if (r->at < r->end)
        r->at++;
    return true;
}

// Up to the parenthesis that closes the group, or the end.
static enum status alternatives(struct regex_reader *r)
{
    bool icase = r->icase, dotall = r->dotall, extended = r->extended;
    int opened = 0;
    while (r->at < r->end && *r->at != ')') {
        bool quantifiable, nothing;
        size_t begin = r->out->length;
        if (skip_extended(r))
            continue;
        if (reader_takes(r, "|")) {
            r->letter_before = 0;
            TRY(bytes_text(r->out, "|"));
            continue;
        }
        TRY(put_one(r, &quantifiable, &nothing, &opened));
        if (!nothing)
            TRY(put_quantifiers(r, begin, quantifiable));
    }
    for (; opened > 0; opened--, r->depth--)
        TRY(bytes_text(r->out, ")"));
    r->icase = icase;
    r->dotall = dotall;
    r->extended = extended;
    return OK;
}

enum status regex_rewrite(const char *where, const char *regex, size_t length, bool exact,
                          struct bytes *out)
{
    assert(where && (regex || length == 0) && out);
    struct regex_reader r = {
        .where = where, .at = regex, .end = regex + length, .exact = exact, .out = out};
    TRY(alternatives(&r));
    if (r.at < r.end)
        return regex_malformed(&r, "a parenthesis that closes nothing");
    assert(r.depth == 0 && !r.icase);
    return OK;
}
