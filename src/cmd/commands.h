// The subcommands, one file each, as constant tables: main.c runs them, --help and `colrow help`
// print them, the manual page and the shell completions are made from them. Only main.c exits.
#ifndef COLROW_CMD_COMMANDS_H
#define COLROW_CMD_COMMANDS_H

#include "cmd/flags.h"

struct command {
    const char *name;       // "generate", "bench comm": what is typed after `colrow`
    const char *brief;      // for the list of commands; NULL: internal
    const char *positional; // "MODEL", or NULL
    const char *summary;    // what it does, a few lines
    const char *examples;   // lines, or NULL
    struct flag_section sections[FLAG_SECTIONS_MAX];
    // argv[0] is the last word of the name; the result is the exit status: 0 done, 1 failed, 2
    // wrong usage. NULL: one of `kinds` must be named.
    int (*run)(int argc, char **argv);
    const struct command *const *kinds; // NULL-terminated, or NULL
};

extern const struct command *const commands[]; // NULL-terminated, in the order of --help
// The command that the first of `words` names, or a kind of it; `*used` words were its name. NULL:
// none.
const struct command *command_find(int n_words, char *const *words, int *used);
// The last word of its name: "comm" of "bench comm".
const char *command_word(const struct command *command);
// The one of `list` (NULL: of all) that `word` may have meant; NULL: none is near.
const struct command *command_near(const struct command *const *list, const char *word);

extern const struct command command_generate, command_plan, command_verify, command_logits,
    command_tokenize, command_template, command_inspect, command_synth, command_quantize,
    command_bench, command_launch, command_launcher, command_rank, command_serve, command_chat,
    command_list, command_rm, command_pull, command_doctor;
extern const struct command command_bench_limits, command_bench_latency, command_bench_throughput,
    command_bench_scaling, command_bench_split, command_bench_idle, command_bench_memory,
    command_bench_kernels, command_bench_comm, command_bench_serve;

#endif
