// The manual and what shells complete, from the tables of commands and flags: `colrow help --man`
// and the like. `make install` puts them where man and the shells look; docs/cli.md is the same
// manual in Markdown.
#ifndef COLROW_CMD_MANUAL_H
#define COLROW_CMD_MANUAL_H

#include <stdbool.h>
#include <stdio.h>

// Writes what `flag` ("--man", "--markdown", "--bash", "--zsh", "--fish") names; false: it is none
// of these.
bool manual_write(const char *flag, FILE *file);

// A row's names, in the order in which shells and --help show them: "-tp", "--tp",
// "--tensor-parallel-size".
struct flag;
enum { FLAG_NAMES_MAX = 6, FLAG_NAME_BYTES = 64 };
struct flag_names {
    char items[FLAG_NAMES_MAX][FLAG_NAME_BYTES];
    int n;
};
void flag_names_of(const struct flag *flag, struct flag_names *out);

void completion_write_bash(FILE *file);
void completion_write_zsh(FILE *file);
void completion_write_fish(FILE *file);

#endif
