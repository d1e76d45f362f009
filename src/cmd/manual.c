#include "cmd/manual.h"

#include <assert.h>
#include <string.h>

#include "cmd/build_commit.h"
#include "cmd/commands.h"
#include "cmd/engine_flags.h"

struct entry {
    const char *term, *help;
};

// tests/unit/test_docs.py holds this list to the getenv() calls.
static const struct entry variables[] = {
    {"COLROW_ISA", "caps the instruction set: reference, avx2, avx512, avx512bf16 or amx"},
    {"COLROW_RANK_PROGRAM",
     "the program that ranks run, for libraries in unusual places; --rank-program wins"},
    {"COLROW_PP_LAYER_PARTITION",
     "16,16: layers of each pipeline stage; vLLM's VLLM_PP_LAYER_PARTITION is taken, too"},
    {"COLROW_ALL_REDUCE",
     "for measurements: oneshot, twoshot or auto (default), the shared-memory algorithm"},
    {"COLROW_CONTEXT_EXCHANGE",
     "for measurements: sums, pages or auto (default), what ranks that divide the cache send"},
    {"COLROW_TRANSPORT",
     "how ranks reach each other: auto (default: nested when there are several nodes, else shm), "
     "shm, nested (memory within a node, its first rank on the wire) or ucx (all on the wire)"},
    {"COLROW_JOINED", "set in ranks, so that the programs that they start are not taken for ranks"},
    {"COLROW_JOIN_TIMEOUT",
     "seconds that ranks started by mpiexec, srun or torchrun itself wait for "
     "each other (default 600)"},
    {"COLROW_PORT_RANGE", "the TCP ports of ranks on several nodes, as FIRST-LAST; UCX_NET_DEVICES "
                          "and UCX_TLS choose devices and transports (default tcp)"},
    {"COLROW_STREAM_BYTES",
     "for measurements: from how many bytes on two ranks copy past their caches"},
    {"COLROW_STEPS_UNDER_WAY",
     "for measurements: steps under way at a time at most (default: one for each pipeline stage)"},
    {"COLROW_FAIL_COLLECTIVE", "for tests: RANK:N, the rank whose Nth collective fails, or @FILE"},
    {"COLROW_DIE_AT_TOKEN", "for tests: ID, a step with this token kills the ranks"},
    {"COLROW_FAIL_STEP_RESERVATION", "for tests: a rank's first step finds no memory"},
    {"COLROW_FORBIDDEN_CALL", "for tests: RANK:CALL, a system call that confinement forbids"},
    {"COLROW_SPOIL_WEIGHTS", "for tests: RANK, whose weights change after its first restart"},
    {"COLROW_SEGMENT_FD", "between the owner of a group and its ranks: their shared memory"},
    {"COLROW_KEEPER_FD", "between the owner of a group and its ranks' keepers: their socket"},
    {"COLROW_LIFE_FD", "between the owner of a group and its ranks: the pipe that says who lives"},
};

static const struct entry exit_statuses[] = {
    {"0", "done"},
    {"1", "failed: a broken model or file, a group that died, no memory (verify: different)"},
    {"2", "wrong usage: a command, a flag or its value"},
    {"128 + N", "ended by signal N, or interrupted"},
};

// A language in which the manual can be written. `text` has paragraphs with empty lines between.
struct markup {
    void (*begin)(FILE *file);
    void (*chapter)(FILE *file, const char *title);
    void (*section)(FILE *file, const char *title);
    void (*text)(FILE *file, const char *text);
    void (*paragraph)(FILE *file);                  // between terms and text
    void (*terms)(FILE *file, const char *heading); // before the first term
    void (*term)(FILE *file, const char *term, const char *help);
    void (*examples)(FILE *file, const char *lines);
};

// Roff reads "-" as a hyphen, a backslash as a command, and a dot at the beginning of a line as
// one.
static void roff(FILE *file, const char *text)
{
    bool line_begins = true;
    for (const char *c = text; *c; c++) {
        if (line_begins && (*c == '.' || *c == '\''))
            fputs("\\&", file);
        if (*c == '-')
            fputs("\\-", file);
        else if (*c == '\\')
            fputs("\\e", file);
        else
            fputc(*c, file);
        line_begins = *c == '\n';
    }
}

static void roff_begin(FILE *file)
{
    fprintf(file,
            ".\\\" Made by `colrow help --man` from the tables of flags.\n"
            ".TH COLROW 1 \"%s\" \"colrow %s\" \"User Commands\"\n"
            ".SH NAME\ncolrow \\- serve language models with tensor parallelism\n"
            ".SH SYNOPSIS\n.B colrow\n.I COMMAND\n.RI [ flags ]\n",
            build_date, COLROW_VERSION);
}

static void roff_chapter(FILE *file, const char *title)
{
    fputs(".SH ", file);
    for (const char *c = title; *c; c++)
        fputc(*c >= 'a' && *c <= 'z' ? *c - 'a' + 'A' : *c, file);
    fputc('\n', file);
}

static void roff_section(FILE *file, const char *title)
{
    fputs(".SS ", file);
    roff(file, title);
    fputc('\n', file);
}

// Paragraphs, in short lines: roff fills them itself, and long ones are hard to compare.
static void roff_text(FILE *file, const char *text)
{
    enum { COLUMNS = 64 };
    size_t length = strlen(text);
    while (length > 0 && text[length - 1] == '\n')
        length--;
    char line[512];
    size_t n = 0;
    for (size_t i = 0; i <= length; i++) {
        bool paragraph = i < length && text[i] == '\n' && text[i + 1] == '\n';
        bool space = i < length && (text[i] == ' ' || text[i] == '\n');
        if (i == length || paragraph || (space && n > COLUMNS)) {
            line[n] = '\0';
            roff(file, line);
            fputs(paragraph ? "\n.PP\n" : "\n", file);
            n = 0;
            i += paragraph;
        } else if (!space || (n > 0 && line[n - 1] != ' ')) {
            assert(n < sizeof line - 1);
            line[n++] = text[i];
            if (space)
                line[n - 1] = ' ';
        }
    }
}

static void roff_paragraph(FILE *file)
{
    fputs(".PP\n", file);
}

static void roff_terms(FILE *file, const char *heading)
{
    if (*heading) {
        roff_paragraph(file);
        roff(file, heading);
        fputc('\n', file);
    }
}

static void roff_term(FILE *file, const char *term, const char *help)
{
    fputs(".TP\n.B ", file);
    roff(file, term);
    fputc('\n', file);
    roff_text(file, help);
}

static void roff_examples(FILE *file, const char *lines)
{
    fputs(".PP\n.EX\n", file);
    roff(file, lines);
    fputs("\n.EE\n", file);
}

static const struct markup roff_markup = {.begin = roff_begin,
                                          .chapter = roff_chapter,
                                          .section = roff_section,
                                          .text = roff_text,
                                          .paragraph = roff_paragraph,
                                          .terms = roff_terms,
                                          .term = roff_term,
                                          .examples = roff_examples};

static void markdown(FILE *file, const char *text)
{
    for (const char *c = text; *c; c++) {
        if (strchr("<*|", *c))
            fputc('\\', file);
        fputc(*c, file);
    }
}

static void markdown_begin(FILE *file)
{
    fputs(
        "# Commands and flags\n\n"
        "Made by `colrow help --markdown` from the tables that the program reads; `make docs` "
        "writes it "
        "again. `man colrow`\nsays the same. A flag's value may follow after a space or an equals "
        "sign; `_` and `-` are the same in names.\n",
        file);
}

static void markdown_chapter(FILE *file, const char *title)
{
    fprintf(file, "\n## %s\n", title);
}

static void markdown_section(FILE *file, const char *title)
{
    fprintf(file, "\n### %s\n", title);
}

static void markdown_text(FILE *file, const char *text)
{
    fputc('\n', file);
    markdown(file, text);
    if (text[strlen(text) - 1] != '\n')
        fputc('\n', file);
}

static void markdown_paragraph(FILE *file)
{
    (void)file; // markdown_text() begins one
}

static void markdown_terms(FILE *file, const char *heading)
{
    fprintf(file, "\n| %s | |\n|---|---|\n", heading);
}

static void markdown_term(FILE *file, const char *term, const char *help)
{
    fprintf(file, "| `%s` | ", term);
    markdown(file, help);
    fputs(" |\n", file);
}

static void markdown_examples(FILE *file, const char *lines)
{
    fprintf(file, "\n```\n%s\n```\n", lines);
}

static const struct markup markdown_markup = {.begin = markdown_begin,
                                              .chapter = markdown_chapter,
                                              .section = markdown_section,
                                              .text = markdown_text,
                                              .paragraph = markdown_paragraph,
                                              .terms = markdown_terms,
                                              .term = markdown_term,
                                              .examples = markdown_examples};

void flag_names_of(const struct flag *flag, struct flag_names *out)
{
    out->n = 0;
    for (const char *also = flag->also; also && *also;) {
        size_t n = strcspn(also, " ");
        assert(out->n < FLAG_NAMES_MAX - 1 && n < FLAG_NAME_BYTES);
        snprintf(out->items[out->n++], FLAG_NAME_BYTES, "%.*s", (int)n, also);
        also += n + (also[n] == ' ');
    }
    snprintf(out->items[out->n++], FLAG_NAME_BYTES, "%s", flag->name);
}

static void write_rows(FILE *file, const struct markup *m, const struct flag *rows, int n)
{
    bool begun = false;
    for (int i = 0; i < n; i++) {
        if (rows[i].kind == FLAG_HEADING || !begun)
            m->terms(file, rows[i].kind == FLAG_HEADING ? rows[i].help : "flags");
        begun = true;
        if (rows[i].kind == FLAG_HEADING || !rows[i].help)
            continue;
        struct flag_names names;
        char term[512] = "";
        size_t length = 0;
        flag_names_of(&rows[i], &names);
        for (int k = 0; k < names.n; k++)
            length += (size_t)snprintf(term + length, sizeof term - length, "%s%s", k ? ", " : "",
                                       names.items[k]);
        if (rows[i].value)
            snprintf(term + length, sizeof term - length, " %s", rows[i].value);
        m->term(file, term, rows[i].help);
    }
}

static bool is_shared(const struct flag *rows)
{
    return rows == engine_flag_rows || rows == sampling_flag_rows;
}

static void write_command(FILE *file, const struct markup *m, const struct command *command)
{
    char title[160];
    bool engine = false, sampling = false;
    snprintf(title, sizeof title, "colrow %s%s%s%s", command->name, command->positional ? " " : "",
             command->positional ? command->positional : "", command->kinds ? " KIND" : " [flags]");
    m->section(file, title);
    m->text(file, command->summary);
    for (int i = 0; i < FLAG_SECTIONS_MAX; i++) {
        const struct flag_section *section = &command->sections[i];
        engine |= section->flags == engine_flag_rows;
        sampling |= section->flags == sampling_flag_rows;
        if (section->n > 0 && !is_shared(section->flags))
            write_rows(file, m, section->flags, section->n);
    }
    if (engine) {
        m->paragraph(file);
        m->text(file, sampling ? "Also the flags of the engine and of sampling, below."
                               : "Also the flags of the engine, below.");
    }
    if (command->examples)
        m->examples(file, command->examples);
    for (const struct command *const *kind = command->kinds; kind && *kind; kind++)
        write_command(file, m, *kind);
}

static void write_entries(FILE *file, const struct markup *m, const char *title,
                          const struct entry *entries, size_t n)
{
    m->chapter(file, title);
    m->terms(file, "");
    for (size_t i = 0; i < n; i++)
        m->term(file, entries[i].term, entries[i].help);
}

static void write_manual(FILE *file, const struct markup *m)
{
    m->begin(file);
    m->chapter(file, "Commands");
    for (const struct command *const *command = commands; *command; command++)
        if ((*command)->brief)
            write_command(file, m, *command);
    m->chapter(file, "Shared flags");
    m->text(file,
            "Every command that opens a model has those of the engine, generate also those of "
            "sampling.");
    write_rows(file, m, engine_flag_rows, ENGINE_FLAGS);
    write_rows(file, m, sampling_flag_rows, SAMPLING_FLAGS);
    write_entries(file, m, "Environment", variables, sizeof variables / sizeof *variables);
    write_entries(file, m, "Exit status", exit_statuses,
                  sizeof exit_statuses / sizeof *exit_statuses);
}

bool manual_write(const char *flag, FILE *file)
{
    if (strcmp(flag, "--man") == 0)
        write_manual(file, &roff_markup);
    else if (strcmp(flag, "--markdown") == 0)
        write_manual(file, &markdown_markup);
    else if (strcmp(flag, "--bash") == 0)
        completion_write_bash(file);
    else if (strcmp(flag, "--zsh") == 0)
        completion_write_zsh(file);
    else if (strcmp(flag, "--fish") == 0)
        completion_write_fish(file);
    else
        return false;
    return true;
}
