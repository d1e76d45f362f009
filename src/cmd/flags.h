// Command-line flags: a table per subcommand, from which parsing and --help both come.
//
// `--name value`, `--name=value` and the short form `-x value` mean the same; underscores count as
// dashes, as in vLLM.
#ifndef COLROW_CMD_FLAGS_H
#define COLROW_CMD_FLAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum flag_kind {
    FLAG_HEADING, // a line in --help; `help` is its text
    FLAG_ON,      // bool: present means true
    FLAG_OFF,     // bool: present means false
    FLAG_INT,     // int
    FLAG_INT64,   // int64_t
    FLAG_UINT64,  // uint64_t
    FLAG_NUMBER,  // double
    FLAG_BYTES,   // int64_t; "512MB", "4GiB", "1000"
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
    const char *name;   // "--tensor-parallel-size"
    const char *also;   // "-tp", or NULL
    void *out;          // what the kind says; keeps its value when the flag is absent
    double least, most; // of numbers
    const char *value;  // how --help names the value: "N"
    const char *help;   // one line
};

struct usage {
    const char *command;    // "generate"
    const char *positional; // "MODEL", or NULL
    const char *summary;    // what it does, one or two lines
    const char *examples;   // lines, shown at the end
    const struct flag *flags;
    int n_flags;
};

// Parses argv[1..]. Positional arguments go to `positional` (at most `positional_max`; borrowed),
// their number to `*n_positional`; "--" ends the flags. --help prints and sets `*helped`.
enum status flags_parse(const struct usage *usage, int argc, char **argv, const char **positional,
                        int positional_max, int *n_positional, bool *helped) STATUS_MUST_USE;

// "1,2,4" -> numbers; every one from `least` to `most`.
enum status flags_list(const char *flag, const char *text, int least, int most, int *out,
                       int *n) STATUS_MUST_USE;

// Prints "colrow: error: <sentence>" and returns the exit status: 2 for ERR_USAGE, else 1.
int flags_failed(enum status status);

#endif
