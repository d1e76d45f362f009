// Command-line flags: constant tables per subcommand, from which parsing, --help, the manual page
// and the shell completions come. A row says where in the command's state its value goes.
//
// `--name value`, `--name=value` and the short form `-x value` mean the same; underscores count as
// dashes, as in vLLM.
#ifndef COLROW_CMD_FLAGS_H
#define COLROW_CMD_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct command;

enum flag_kind {
    FLAG_HEADING, // a line in --help; `help` is its text
    FLAG_ON,      // bool: present means true
    FLAG_OFF,     // bool: present means false
    FLAG_INT,     // int
    FLAG_INT64,   // int64_t
    FLAG_UINT64,  // uint64_t
    FLAG_NUMBER,  // double
    FLAG_BYTES,   // int64_t; "512MB", "4GiB", "1000", vLLM's "4g" and "4G"
    FLAG_LENGTH,  // int64_t, of tokens; "4096", vLLM's "4k" and "4K"; "auto" and "-1" are -1
    FLAG_TEXT,    // const char *
    FLAG_TEXTS,   // struct flag_texts: may be given several times
};

enum { FLAG_TEXTS_MAX = 4096, FLAG_LIST_MAX = 64 };
struct flag_texts {
    const char **items; // points into argv; the array is heap memory of flags_parse(), free() it
    int n;
};

struct flag {
    enum flag_kind kind;
    const char *name; // "--tensor-parallel-size"
    const char *also; // other names with spaces between, "-tp --tp", or NULL
    size_t at;        // of what the kind says, in the section's part of the state; keeps its value
                      // when the flag is absent
    double least, most; // of numbers
    const char *value;  // how --help names the value: "N"
    const char *help;   // one line; NULL: an internal flag, which --help does not show
};

// Rows of one command, or rows that several commands share, and where in the state theirs lie.
struct flag_section {
    const struct flag *flags;
    int n;
    size_t at;
};
enum { FLAG_SECTIONS_MAX = 5 };
#define FLAG_SECTION(table, at)                                                                    \
    {                                                                                              \
        (table), sizeof(table) / sizeof *(table), (at)                                             \
    }

// The rows of a command that can be given, in order: a row hides later ones of its name (a command
// that takes a list of -tp hides the engine's).
struct flag_cursor {
    const struct command *command;
    int section, row;
};
const struct flag *flags_next(struct flag_cursor *cursor); // NULL: no more

// Parses argv[1..] into `state`. Positional arguments go to `positional` (at most `positional_max`;
// borrowed), their number to `*n_positional`; "--" ends the flags. --help prints and sets
// `*helped`.
enum status flags_parse(const struct command *command, void *state, int argc, char **argv,
                        const char **positional, int positional_max, int *n_positional,
                        bool *helped) STATUS_MUST_USE;
void flags_print_help(const struct command *command);
// How many letters would have to change: a name is near another when it is a third at most.
int flags_distance(const char *a, const char *b);

// "1,2,4" -> numbers; every one from `least` to `most`.
enum status flags_list(const char *flag, const char *text, int least, int most, int *out,
                       int *n) STATUS_MUST_USE;

// Prints "colrow: error: <sentence>" and returns the exit status: 2 for ERR_USAGE, 128 +
// number after a signal, else 1.
int flags_failed(enum status status);

#endif
