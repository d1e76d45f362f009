// The MODEL of a command line.
#ifndef COLROW_CMD_MODEL_ARGUMENT_H
#define COLROW_CMD_MODEL_ARGUMENT_H

#include "base/status.h"

// What of a repository the command reads.
enum model_need {
    MODEL_WHOLE,
    MODEL_HEADERS,  // no weights: of these the files' headers
    MODEL_TEXTS,    // nothing of the weights
    MODEL_STREAMED, // weights, which each rank reads from the hub (--stream-from-hub)
};

// The folder behind `*model`, in memory of the program's life: model_folder_find(); where that
// finds nothing behind org/name[@revision], what is needed is fetched from the hub, with a bar.
enum status model_argument_find(const char **model, enum model_need need) STATUS_MUST_USE;

#endif
