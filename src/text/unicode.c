#include "text/unicode.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/unicode_tables.h"

bool unicode_is_space(uint32_t code)
{
    if (code < 0x80)
        return code == ' ' || (code >= '\t' && code <= '\r');
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static utf8proc_category_t category(uint32_t code)
{
    return utf8proc_category((utf8proc_int32_t)code);
}

// As Rust's is_numeric() in tokenizers 0.23: Unicode 17, utf8proc has 15.
bool unicode_is_number(uint32_t code)
{
    static const struct unicode_range later[] = {
        {0x10D40, 0x10D49}, {0x116D0, 0x116E3}, {0x11BF0, 0x11BF9},
        {0x11DE0, 0x11DE9}, {0x16130, 0x16139}, {0x16D70, 0x16D79},
        {0x16FF4, 0x16FF6}, {0x1CCF0, 0x1CCF9}, {0x1E5F1, 0x1E5FA}};
    if (code < 0x80)
        return code >= '0' && code <= '9';
    utf8proc_category_t c = category(code);
    return c == UTF8PROC_CATEGORY_ND || c == UTF8PROC_CATEGORY_NL || c == UTF8PROC_CATEGORY_NO ||
           unicode_in_ranges(later, sizeof later / sizeof *later, code);
}

// As the tables of tokenizers 0.23, which are of Unicode 8: what came later is none there, and two
// characters were.
bool unicode_is_punctuation(uint32_t code)
{
    static const struct unicode_range later[] = {
        {0x61D, 0x61D},     {0x9FD, 0x9FD},     {0xA76, 0xA76},     {0xC77, 0xC77},
        {0xC84, 0xC84},     {0x1B7D, 0x1B7E},   {0x2E43, 0x2E4F},   {0x2E52, 0x2E5D},
        {0x10EAD, 0x10EAD}, {0x10F55, 0x10F59}, {0x10F86, 0x10F89}, {0x1144B, 0x1144F},
        {0x1145A, 0x1145B}, {0x1145D, 0x1145D}, {0x11660, 0x1166C}, {0x116B9, 0x116B9},
        {0x1183B, 0x1183B}, {0x11944, 0x11946}, {0x119E2, 0x119E2}, {0x11A3F, 0x11A46},
        {0x11A9A, 0x11A9C}, {0x11A9E, 0x11AA2}, {0x11B00, 0x11B09}, {0x11C41, 0x11C45},
        {0x11C70, 0x11C71}, {0x11EF7, 0x11EF8}, {0x11F43, 0x11F4F}, {0x11FFF, 0x11FFF},
        {0x12FF1, 0x12FF2}, {0x16E97, 0x16E9A}, {0x16FE2, 0x16FE2}, {0x1E95E, 0x1E95F}};
    if (code < 0x80)
        return (code >= '!' && code <= '/') || (code >= ':' && code <= '@') ||
               (code >= '[' && code <= '`') || (code >= '{' && code <= '~');
    utf8proc_category_t c = category(code);
    if (c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO)
        return !unicode_in_ranges(later, sizeof later / sizeof *later, code);
    return code == 0x166D || code == 0x111C9;
}

// As the expressions of tokenizers 0.23, which know Unicode 16; utf8proc 2.8 knows 15.
bool unicode_is_word(uint32_t code)
{
    static const struct unicode_range young[] = {
        {0x897, 0x897},     {0x1C89, 0x1C8A},   {0xA7CB, 0xA7CD},   {0xA7DA, 0xA7DC},
        {0x105C0, 0x105F3}, {0x10D40, 0x10D65}, {0x10D69, 0x10D6D}, {0x10D6F, 0x10D85},
        {0x10EC2, 0x10EC4}, {0x10EFC, 0x10EFC}, {0x11380, 0x11389}, {0x1138B, 0x1138B},
        {0x1138E, 0x1138E}, {0x11390, 0x113B5}, {0x113B7, 0x113C0}, {0x113C2, 0x113C2},
        {0x113C5, 0x113C5}, {0x113C7, 0x113CA}, {0x113CC, 0x113D3}, {0x113E1, 0x113E2},
        {0x116D0, 0x116E3}, {0x11BC0, 0x11BE0}, {0x11BF0, 0x11BF9}, {0x11F5A, 0x11F5A},
        {0x13460, 0x143FA}, {0x16100, 0x16139}, {0x16D40, 0x16D6C}, {0x16D70, 0x16D79},
        {0x18CFF, 0x18CFF}, {0x1CCF0, 0x1CCF9}, {0x1E5D0, 0x1E5FA}, {0x2EBF0, 0x2EE5D}};
    if (code < 0x80)
        return (code >= '0' && code <= '9') || (code >= 'a' && code <= 'z') ||
               (code >= 'A' && code <= 'Z') || code == '_';
    // Alphabetic holds, beyond letters, marks and letter numbers, just these circled letters.
    if ((code >= 0x24B6 && code <= 0x24E9) || (code >= 0x1F130 && code <= 0x1F149) ||
        (code >= 0x1F150 && code <= 0x1F169) || (code >= 0x1F170 && code <= 0x1F189) ||
        code == 0x200C || code == 0x200D)
        return true;
    utf8proc_category_t c = category(code);
    if (c == UTF8PROC_CATEGORY_CN)
        return unicode_in_ranges(young, sizeof young / sizeof *young, code);
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC;
}

static bool is_ascii(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

// tokenizers 0.23 normalises by Unicode 12.0. Of later characters these have a decomposition, a
// combining class or a composition in utf8proc's Unicode 15; there they are like unassigned ones:
// they stay, and nothing moves across them.
static const struct unicode_range later_characters[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},
    {0xA82C, 0xA82C},   {0xAB69, 0xAB69},   {0x10781, 0x10785}, {0x10787, 0x107B0},
    {0x107B2, 0x107BA}, {0x10D24, 0x10D27}, {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F82, 0x10F85}, {0x11070, 0x11070}, {0x1133B, 0x1133B},
    {0x1145E, 0x1145E}, {0x11839, 0x1183A}, {0x11930, 0x11930}, {0x11938, 0x11938},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E030, 0x1E06D},
    {0x1E08F, 0x1E08F}, {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF},
    {0x1E4EC, 0x1E4EF}, {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

static bool is_later(uint32_t code)
{
    if (code < 0x7FD || (code >= 0x3300 && code < 0xA7F2)) // most text
        return false;
    return unicode_in_ranges(later_characters, sizeof later_characters / sizeof *later_characters,
                             code);
}

// The length of what stands before the first later character; its own length.
static size_t find_later(const char *text, size_t length, size_t *bytes)
{
    *bytes = 0;
    for (size_t i = 0; i < length; i += *bytes) {
        uint32_t code = (unsigned char)text[i];
        *bytes = 1;
        if (code < 0x80)
            continue;
        utf8_next(text + i, length - i, &code, bytes);
        if (is_later(code))
            return i;
    }
    *bytes = 0;
    return length;
}

static enum status normalize_part(enum unicode_form form, const char *text, size_t length,
                                  struct bytes *out)
{
    if (is_ascii(text, length)) // its own normal form, whichever
        return bytes_append(out, text, length);
    utf8proc_option_t options = UTF8PROC_STABLE;
    options |= form == UNICODE_NFC || form == UNICODE_NFKC ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE;
    if (form == UNICODE_NFKC || form == UNICODE_NFKD)
        options |= UTF8PROC_COMPAT;
    utf8proc_uint8_t *result = NULL;
    utf8proc_ssize_t n =
        utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)length, &result, options);
    if (n == UTF8PROC_ERROR_NOMEM)
        return fail_memory(length, "a normalised text");
    if (n < 0)
        return fail(ERR_INPUT, "the text cannot be normalised: %s", utf8proc_errmsg(n));
    enum status status = bytes_append(out, result, (size_t)n);
    free(result);
    return status;
}

enum status unicode_normalize(enum unicode_form form, const char *text, size_t length,
                              struct bytes *out)
{
    assert((text || length == 0) && out);
    if (is_ascii(text, length))
        return bytes_append(out, text, length);
    for (size_t at = 0, part, later; at < length; at += part + later) {
        part = find_later(text + at, length - at, &later);
        TRY(normalize_part(form, text + at, part, out));
        TRY(bytes_append(out, text + at + part, later));
    }
    return OK;
}

// utf8proc's Unicode 15, with the letters that Rust's Unicode 17 knows besides.
static uint32_t lower_case(uint32_t code)
{
    static const struct {
        uint32_t first, last, lower;
    } later[] = {{0x1C89, 0x1C89, 0x1C8A},   {0xA7CB, 0xA7CB, 0x264},  {0xA7CC, 0xA7CC, 0xA7CD},
                 {0xA7CE, 0xA7CE, 0xA7CF},   {0xA7D2, 0xA7D2, 0xA7D3}, {0xA7D4, 0xA7D4, 0xA7D5},
                 {0xA7DA, 0xA7DA, 0xA7DB},   {0xA7DC, 0xA7DC, 0x19B},  {0x10D50, 0x10D65, 0x10D70},
                 {0x16EA0, 0x16EB8, 0x16EBB}};
    if (code < 0x1C89 || (code > 0xA7DC && code < 0x10D50))
        return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
    for (size_t i = 0; i < sizeof later / sizeof *later; i++)
        if (code >= later[i].first && code <= later[i].last)
            return later[i].lower + (code - later[i].first);
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

enum status unicode_lowercase(const char *text, size_t length, struct bytes *out)
{
    assert((text || length == 0) && out);
    for (size_t i = 0, bytes; i < length; i += bytes) {
        uint32_t code;
        char put[UTF8_BYTES_MAX];
        enum utf8_kind kind = utf8_next(text + i, length - i, &code, &bytes);
        assert(kind == UTF8_VALID);
        (void)kind;
        if (code == 0x130) { // the only character whose lower case is two
            TRY(bytes_text(out, "i\xCC\x87"));
            continue;
        }
        size_t n = utf8_put(lower_case(code), put);
        TRY(bytes_append(out, put, n));
    }
    return OK;
}

// Bytes that stand for themselves; the others become U+0100, U+0101, ... in order.
static bool stands_for_itself(uint32_t byte)
{
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) ||
           (byte >= 0xAE && byte <= 0xFF);
}

struct byte_letter byte_to_letter(uint8_t byte)
{
    uint32_t code = byte;
    if (byte <= 0x20)
        code = 0x100u + byte;
    else if (byte >= 0x7F && byte <= 0xA0)
        code = 0x121u + byte - 0x7Fu;
    else if (byte == 0xAD)
        code = 0x143;
    char text[UTF8_BYTES_MAX];
    struct byte_letter letter = {.length = (uint8_t)utf8_put(code, text)};
    assert(letter.length <= sizeof letter.text);
    memcpy(letter.text, text, letter.length);
    return letter;
}

int letter_to_byte(uint32_t code)
{
    if (code < 0x100)
        return stands_for_itself(code) ? (int)code : -1;
    if (code <= 0x120)
        return (int)(code - 0x100);
    if (code <= 0x142)
        return (int)(code - 0x121 + 0x7F);
    return code == 0x143 ? 0xAD : -1;
}

enum status byte_letters_append(struct bytes *out, const char *text, size_t length)
{
    assert(out && (text || length == 0));
    for (size_t i = 0; i < length;) {
        size_t same = 0; // letters, digits and most punctuation are copied as they are
        while (i + same < length && (unsigned char)text[i + same] < 0x7F &&
               (unsigned char)text[i + same] > 0x20)
            same++;
        TRY(bytes_append(out, text + i, same));
        i += same;
        if (i < length) {
            struct byte_letter letter = byte_to_letter((uint8_t)text[i++]);
            TRY(bytes_append(out, letter.text, letter.length));
        }
    }
    return OK;
}
