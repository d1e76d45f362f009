#include "engine/own_paths.h"

#include <string.h>

#include "base/file.h"
#include "engine/rank_program.h"

const char *own_tp_plan(const struct colrow_options *options)
{
    if (options->tp_plan_replace)
        return options->tp_plan_replace;
    return options->tp_plan && strcmp(options->tp_plan, "auto") != 0 ? options->tp_plan : NULL;
}

enum status own_paths_fill(const struct colrow_options *options, const char *model,
                           const char *tp_plan, struct crew_options *crew)
{
    char program[FILE_PATH_MAX];
    if (options->launcher) {
        TRY(own_program_find(program));
        TRY(file_whole_path(program, crew->launcher));
    }
    TRY(rank_program_find(options->rank_program, program));
    TRY(file_whole_path(program, crew->program));
    TRY(file_whole_path(model, crew->board.model));
    return file_whole_path(tp_plan, crew->board.tp_plan);
}
