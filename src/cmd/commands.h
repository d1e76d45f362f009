// The subcommands, one file each. argv[0] is the subcommand's name; the result is the exit status
// (0 done, 1 failed, 2 wrong usage). Only main.c exits.
#ifndef COLROW_CMD_COMMANDS_H
#define COLROW_CMD_COMMANDS_H

int cmd_generate(int argc, char **argv);
int cmd_logits(int argc, char **argv);
int cmd_tokenize(int argc, char **argv);
int cmd_inspect(int argc, char **argv);
int cmd_plan(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_synth(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_launch(int argc, char **argv);
int cmd_rank(int argc, char **argv); // internal: what the engine starts

#endif
