// A rank process: `colrow rank`, started by the engine. It loads its share of the model and
// executes step plans until it is told to leave.
#ifndef COLROW_ENGINE_RANK_H
#define COLROW_ENGINE_RANK_H

#include "hf/byte_source.h"

// `sources`: a way to weights that stay elsewhere. The exit status.
int rank_main(const struct byte_sources *sources);

#endif
