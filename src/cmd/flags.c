#include "cmd/flags.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/output.h"
#include "cmd/commands.h"
#include "cmd/interrupt.h"

static bool same_name(const char *a, size_t length, const char *b)
{
    if (strlen(b) != length)
        return false;
    for (size_t i = 0; i < length; i++) {
        char c = a[i];
        if (i >= 2 && c == '_')
            c = '-';
        if (c != b[i])
            return false;
    }
    return true;
}

// Is `name` one of the row's names?
static bool has_name(const struct flag *flag, const char *name, size_t length)
{
    if (same_name(name, length, flag->name))
        return true;
    for (const char *also = flag->also; also && *also;) {
        char one[64];
        size_t n = strcspn(also, " ");
        snprintf(one, sizeof one, "%.*s", (int)n, also);
        if (same_name(name, length, one))
            return true;
        also += n + (also[n] == ' ');
    }
    return false;
}

static const struct flag *find_flag_row(const struct command *command, const char *name,
                                        size_t length, int *section)
{
    for (int s = 0; s < FLAG_SECTIONS_MAX; s++)
        for (int i = 0; i < command->sections[s].n; i++) {
            const struct flag *flag = &command->sections[s].flags[i];
            if (flag->kind != FLAG_HEADING && has_name(flag, name, length)) {
                *section = s;
                return flag;
            }
        }
    return NULL;
}

const struct flag *flags_next(struct flag_cursor *cursor)
{
    for (; cursor->section < FLAG_SECTIONS_MAX; cursor->section++, cursor->row = 0) {
        const struct flag_section *section = &cursor->command->sections[cursor->section];
        while (cursor->row < section->n) {
            const struct flag *flag = &section->flags[cursor->row++];
            int of;
            if (flag->kind == FLAG_HEADING ||
                find_flag_row(cursor->command, flag->name, strlen(flag->name), &of) == flag)
                return flag;
        }
    }
    return NULL;
}

// Edit distance, for "did you mean".
int flags_distance(const char *a, const char *b)
{
    enum { MOST = 63 };
    int row[MOST + 1], n = (int)strlen(b);
    if (n > MOST || strlen(a) > MOST)
        return MOST;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= n; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int insert = row[j - 1] + 1, erase = row[j] + 1;
            row[j] = change < insert ? change : insert;
            if (erase < row[j])
                row[j] = erase;
        }
    }
    return row[n];
}

// A name is near when at most a third of it would have to change: more would be a guess.
static enum status unknown_flag(const struct command *command, const char *name)
{
    const char *best = NULL;
    size_t length = strcspn(name, "=");
    int least = (int)(length - strspn(name, "-")) / 3 + 1;
    struct flag_cursor cursor = {.command = command};
    char typed[64];
    snprintf(typed, sizeof typed, "%.*s", (int)length, name);
    for (char *c = typed; *c; c++)
        if (*c == '_')
            *c = '-';
    for (const struct flag *flag; (flag = flags_next(&cursor));) {
        int d = flag->kind == FLAG_HEADING || !flag->help || typed[1] != '-'
                    ? least
                    : flags_distance(typed, flag->name);
        if (d < least) {
            least = d;
            best = flag->name;
        }
    }
    if (best)
        return fail(ERR_USAGE, "unknown flag %.*s; did you mean %s?", (int)length, name, best);
    return fail(ERR_USAGE, "unknown flag %.*s; `colrow %s --help` lists the flags", (int)length,
                name, command->name);
}

static enum status bad_value(const struct flag *flag, const char *text, const char *wanted)
{
    return fail(ERR_USAGE, "flag %s is \"%s\"; expected %s", flag->name, text, wanted);
}

static enum status parse_number(const struct flag *flag, const char *text, double *out)
{
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    char wanted[96];
    snprintf(wanted, sizeof wanted, "a number from %.12g to %.12g", flag->least, flag->most);
    if (end == text || *end || errno || !(number >= flag->least && number <= flag->most))
        return bad_value(flag, text, wanted);
    *out = number;
    return OK;
}

static enum status parse_int(const struct flag *flag, const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    char wanted[96];
    snprintf(wanted, sizeof wanted, "an integer from %.0f to %.0f", flag->least, flag->most);
    if (end == text || *end || errno ||
        !((double)number >= flag->least && (double)number <= flag->most))
        return bad_value(flag, text, wanted);
    *out = number;
    return OK;
}

// Of one letter, as vLLM reads them: small ones are decimal, capitals binary. Kubernetes' Gi, too.
static enum status parse_bytes(const struct flag *flag, const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        double factor;
    } units[] = {{"", 1},        {"k", 1e3},      {"m", 1e6},     {"g", 1e9},      {"t", 1e12},
                 {"K", 0x1p10},  {"M", 0x1p20},   {"G", 0x1p30},  {"T", 0x1p40},   {"kB", 1e3},
                 {"KB", 1e3},    {"MB", 1e6},     {"GB", 1e9},    {"TB", 1e12},    {"KiB", 0x1p10},
                 {"Ki", 0x1p10}, {"MiB", 0x1p20}, {"Mi", 0x1p20}, {"GiB", 0x1p30}, {"Gi", 0x1p30},
                 {"TiB", 0x1p40}};
    char *end;
    double number = strtod(text, &end);
    while (*end == ' ')
        end++;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        double bytes = number * units[i].factor;
        if (end != text && strcmp(end, units[i].unit) == 0 && bytes >= flag->least &&
            bytes < 9e18) {
            *out = (int64_t)bytes;
            return OK;
        }
    }
    char wanted[96] = "a size such as 512MB or 4GiB";
    if (flag->least > 0)
        snprintf(wanted, sizeof wanted, "%.0f bytes or more, such as 512MB or 4GiB", flag->least);
    return bad_value(flag, text, wanted);
}

static enum status parse_tokens(const struct flag *flag, const char *text, int64_t *out)
{
    char *end;
    double number = strtod(text, &end);
    double factor = strcmp(end, "k") == 0   ? 1e3
                    : strcmp(end, "K") == 0 ? 0x1p10
                    : strcmp(end, "m") == 0 ? 1e6
                    : strcmp(end, "M") == 0 ? 0x1p20
                    : *end                  ? NAN
                                            : 1;
    double length = number * factor;
    if (strcmp(text, "auto") == 0 || strcmp(text, "-1") == 0) {
        *out = -1;
        return OK;
    }
    char wanted[128];
    snprintf(wanted, sizeof wanted, "an integer from %.0f to %.0f, 4k or 4K, or auto", flag->least,
             flag->most);
    if (end == text || !(length >= flag->least && length <= flag->most) || length != floor(length))
        return bad_value(flag, text, wanted);
    *out = (int64_t)length;
    return OK;
}

static enum status add_flag_text(struct flag_texts *texts, const char *text)
{
    if (!texts->items)
        TRY(memory_new(FLAG_TEXTS_MAX, sizeof *texts->items, "flags", &texts->items));
    if (texts->n == FLAG_TEXTS_MAX)
        return fail(ERR_USAGE, "a flag is given more than %d times", FLAG_TEXTS_MAX);
    texts->items[texts->n++] = text;
    return OK;
}

static enum status store_value(const struct flag *flag, void *out, const char *text)
{
    int64_t number;
    switch (flag->kind) {
    case FLAG_HEADING:
    case FLAG_ON:
    case FLAG_OFF:
        return OK;
    case FLAG_INT:
        TRY(parse_int(flag, text, &number));
        *(int *)out = (int)number;
        return OK;
    case FLAG_INT64:
        return parse_int(flag, text, out);
    case FLAG_UINT64: {
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (end == text || *end || errno || text[0] == '-')
            return bad_value(flag, text, "a non-negative integer");
        *(uint64_t *)out = value;
        return OK;
    }
    case FLAG_NUMBER:
        return parse_number(flag, text, out);
    case FLAG_BYTES:
        return parse_bytes(flag, text, out);
    case FLAG_LENGTH:
        return parse_tokens(flag, text, out);
    case FLAG_TEXT:
        *(const char **)out = text;
        return OK;
    case FLAG_TEXTS:
        return add_flag_text(out, text);
    }
    return OK;
}

static void print_flag(const struct flag *flag)
{
    char left[128];
    int n = 0;
    for (const char *also = flag->also; also && *also;) {
        size_t length = strcspn(also, " ");
        n += snprintf(left + n, sizeof left - (size_t)n, "%.*s, ", (int)length, also);
        also += length + (also[length] == ' ');
    }
    snprintf(left + n, sizeof left - (size_t)n, "%s%s%s", flag->name, flag->value ? " " : "",
             flag->value ? flag->value : "");
    if (strlen(left) <= 34)
        output_print("  %-34s  %s\n", left, flag->help);
    else
        output_print("  %s\n  %-34s  %s\n", left, "", flag->help);
}

void flags_print_help(const struct command *command)
{
    output_print("usage: colrow %s%s%s%s [flags]\n\n", command->name, command->kinds ? " KIND" : "",
                 command->positional ? " " : "", command->positional ? command->positional : "");
    output_print("%s\n", command->summary ? command->summary : "");
    for (const struct command *const *kind = command->kinds; kind && *kind; kind++)
        output_print("  %-11s %s\n", command_word(*kind), (*kind)->brief);
    struct flag_cursor cursor = {.command = command};
    for (const struct flag *flag; (flag = flags_next(&cursor));)
        if (flag->kind == FLAG_HEADING)
            output_print("\n%s\n", flag->help);
        else if (flag->help)
            print_flag(flag);
    output_print("  %-34s  %s\n", "-h, --help", "this text");
    if (command->examples)
        output_print("\nexamples:\n%s\n", command->examples);
}

static enum status one_flag(const struct command *command, char *state, int argc, char **argv,
                            int *i)
{
    int section = 0;
    const char *text = argv[*i], *equals = strchr(text, '=');
    size_t length = equals ? (size_t)(equals - text) : strlen(text);
    const struct flag *flag = find_flag_row(command, text, length, &section);
    if (!flag)
        return unknown_flag(command, text);
    void *out = state + command->sections[section].at + flag->at;
    if (flag->kind == FLAG_ON || flag->kind == FLAG_OFF) {
        if (equals)
            return fail(ERR_USAGE, "flag %s takes no value; leave out \"%s\"", flag->name, equals);
        *(bool *)out = flag->kind == FLAG_ON;
        return OK;
    }
    if (equals)
        return store_value(flag, out, equals + 1);
    if (*i + 1 >= argc)
        return fail(ERR_USAGE, "flag %s needs a value: %s", flag->name,
                    flag->value ? flag->value : "...");
    return store_value(flag, out, argv[++*i]);
}

enum status flags_parse(const struct command *command, void *state, int argc, char **argv,
                        const char **positional, int positional_max, int *n_positional,
                        bool *helped)
{
    bool only_positional = false;
    *n_positional = 0;
    *helped = false;
    for (int i = 1; i < argc; i++) {
        const char *text = argv[i];
        if (!only_positional && strcmp(text, "--") == 0) {
            only_positional = true;
        } else if (!only_positional && (strcmp(text, "--help") == 0 || strcmp(text, "-h") == 0)) {
            flags_print_help(command);
            *helped = true;
            return OK;
        } else if (!only_positional && text[0] == '-' && text[1]) {
            TRY(one_flag(command, state, argc, argv, &i));
        } else if (*n_positional == positional_max) {
            return fail(ERR_USAGE, "unexpected argument \"%s\"; usage: colrow %s%s%s [flags]", text,
                        command->name, command->positional ? " " : "",
                        command->positional ? command->positional : "");
        } else if (!text[0]) { // a shell's variable that is not set
            return fail(ERR_USAGE, "an argument is empty; usage: colrow %s %s [flags]",
                        command->name, command->positional ? command->positional : "");
        } else {
            positional[(*n_positional)++] = text;
        }
    }
    return OK;
}

enum status flags_list(const char *flag, const char *text, int least, int most, int *out, int *n)
{
    *n = 0;
    for (const char *at = text;; at++) {
        char *end;
        errno = 0;
        long number = strtol(at, &end, 10);
        if (end == at || errno || number < least || number > most || (*end && *end != ','))
            return fail(ERR_USAGE,
                        "flag %s is \"%s\"; expected numbers from %d to %d with commas between",
                        flag, text, least, most);
        if (*n == FLAG_LIST_MAX)
            return fail(ERR_USAGE, "flag %s has more than %d numbers", flag, FLAG_LIST_MAX);
        out[(*n)++] = (int)number;
        if (!*end)
            return OK;
        at = end;
    }
}

int flags_failed(enum status status)
{
    if (interrupt_check() != OK) { // whatever it broke on its way
        fprintf(stderr, "colrow: %s\n", status_message());
        return 128 + interrupt_seen();
    }
    fprintf(stderr, "colrow: error: %s\n", status_message());
    return status == ERR_USAGE ? 2 : 1;
}
