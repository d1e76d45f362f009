// What of an engine's options is about this machine, which other nodes have otherwise: its files
// and programs, as ranks find them.
#ifndef COLROW_ENGINE_OWN_PATHS_H
#define COLROW_ENGINE_OWN_PATHS_H

#include <colrow/colrow.h>

#include "engine/crew.h"

// The file with the plan's rules; NULL: none.
const char *own_tp_plan(const struct colrow_options *options);
// Fills programs, model and tp_plan of `crew`. `model`: the folder; `tp_plan`: "" for none.
enum status own_paths_fill(const struct colrow_options *options, const char *model,
                           const char *tp_plan, struct crew_options *crew) STATUS_MUST_USE;

#endif
