// The program: finds the subcommand and leaves with its status. The only file that exits.
#include <stdio.h>
#include <string.h>

#include "base/output.h"
#include "base/program_build.h"
#include "cmd/build_commit.h"
#include "cmd/commands.h"
#include "cmd/manual.h"
#include "device/kernels.h"

static void print_commands(FILE *file)
{
    fprintf(file,
            "colrow %s: serves HuggingFace models with tensor parallelism; the same bits on any "
            "number of ranks\n\n"
            "usage: colrow COMMAND [flags]     (colrow help COMMAND explains the command)\n\n",
            COLROW_VERSION);
    for (const struct command *const *c = commands; *c; c++)
        if ((*c)->brief)
            fprintf(file, "  %-10s %s\n", (*c)->name, (*c)->brief);
    fprintf(file,
            "\n  colrow generate models/demo -tp 2 --chat -p \"What is tensor parallelism?\"\n");
}

#ifdef __clang__
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

// What a report about a fault needs to say.
static int print_version(void)
{
    output_print("colrow %s (%s%s%s%s, %s)\n", COLROW_VERSION, *build_commit ? "commit " : "",
                 build_commit, *build_commit ? ", " : "", isa_name(isa_of_machine()), COMPILER);
    return 0;
}

static int unknown_command(const char *word)
{
    const struct command *near = command_near(NULL, word);
    if (near)
        fprintf(stderr, "colrow: error: unknown command \"%s\"; did you mean %s?\n", word,
                near->name);
    else
        fprintf(stderr,
                "colrow: error: unknown command \"%s\"; `colrow --help` lists the commands\n",
                word);
    return 2;
}

// `colrow help [COMMAND [KIND]]`, and `colrow help --man` and the like.
static int help_command(int n_words, char **words)
{
    if (n_words == 1 && manual_write(words[0], output()))
        return 0;
    int used;
    const struct command *command = command_find(n_words, words, &used);
    if (used < n_words)
        return unknown_command(words[used]);
    if (command)
        flags_print_help(command);
    else
        print_commands(output());
    return 0;
}

// A command whose kind was not named: `colrow bench`, `colrow bench --help`.
static int list_kinds(const struct command *command, int argc, char **argv)
{
    if (argc >= 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        flags_print_help(command);
        return 0;
    }
    const struct command *near = argc >= 2 ? command_near(command->kinds, argv[1]) : NULL;
    if (argc < 2)
        fprintf(stderr, "colrow: error: no kind is named; `colrow %s --help` lists what there is\n",
                command->name);
    else if (near)
        fprintf(stderr, "colrow: error: unknown kind \"%s\"; did you mean colrow %s?\n", argv[1],
                near->name);
    else
        fprintf(stderr,
                "colrow: error: unknown kind \"%s\"; `colrow %s --help` lists what there is\n",
                argv[1], command->name);
    return 2;
}

static int run_command(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help_command(argc - 2, argv + 2);
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0)
        return print_version();
    int used;
    const struct command *command = command_find(argc - 1, argv + 1, &used);
    if (!command)
        return unknown_command(argv[1]);
    return command->run ? command->run(argc - used, argv + used)
                        : list_kinds(command, argc - used, argv + used);
}

int main(int argc, char **argv)
{
    output_begin();
    program_build_set(build_commit);
    return output_end(run_command(argc, argv));
}
