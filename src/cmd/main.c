// The program: finds the subcommand and leaves with its status. The only file that exits.
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd/build_commit.h"
#include "cmd/commands.h"
#include "device/kernels.h"

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; // NULL: internal
} commands[] = {
    {"generate", cmd_generate, "answer prompts on the terminal"},
    {"plan", cmd_plan, "show how a model splits over ranks, without reading weights"},
    {"verify", cmd_verify, "check that layouts give the same bits"},
    {"logits", cmd_logits, "write the logits of a token sequence to a file"},
    {"tokenize", cmd_tokenize, "turn strings into token ids, or back"},
    {"inspect", cmd_inspect, "show what a checkpoint contains"},
    {"synth", cmd_synth, "make a checkpoint with random weights, for benchmarks"},
    {"bench", cmd_bench, "measure speed and memory beside the machine's limits"},
    {"launch", cmd_launch, "start a parallel program of your own on N ranks, like torchrun"},
    {"rank", cmd_rank, NULL},
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *file)
{
    fprintf(file,
            "colrow %s: serves HuggingFace models with tensor parallelism; the same bits on any "
            "number of ranks\n\n"
            "usage: colrow COMMAND [flags]     (colrow COMMAND --help explains the command)\n\n",
            COLROW_VERSION);
    for (int i = 0; i < N_COMMANDS; i++)
        if (commands[i].help)
            fprintf(file, "  %-10s %s\n", commands[i].name, commands[i].help);
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
    printf("colrow %s (%s%s%s%s, %s)\n", COLROW_VERSION, *build_commit ? "commit " : "",
           build_commit, *build_commit ? ", " : "", isa_name(isa_of_machine()), COMPILER);
    return 0;
}

int main(int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN); // a reader that leaves is an error of write(), not our death
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        print_help(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        return print_version();
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    fprintf(stderr, "colrow: error: unknown command \"%s\"; `colrow --help` lists the commands\n",
            argv[1]);
    return 2;
}
