// `colrow rank`: one rank of a group that the engine started. Not for people.
#include "cmd/commands.h"

#include "cmd/hub_reader.h"
#include "engine/rank.h"

static int rank_command(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    return rank_main(&hub_reader);
}

const struct command command_rank = {.name = "rank", .run = rank_command};
