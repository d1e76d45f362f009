// `colrow launcher`: starts ranks for a server that may start none itself. Not for people.
#include "comm/launcher.h"

#include "cmd/commands.h"

static int launcher_command(int argc, char **argv)
{
    return launcher_main(argc, argv);
}

const struct command command_launcher = {.name = "launcher", .run = launcher_command};
