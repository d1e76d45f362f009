// `colrow rank`: one rank of a group that the engine started. Not for people.
#include "cmd/commands.h"

#include "engine/rank.h"

int cmd_rank(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return rank_main();
}
