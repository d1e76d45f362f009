// The MODEL of a command line.
#ifndef COLROW_CMD_MODEL_ARGUMENT_H
#define COLROW_CMD_MODEL_ARGUMENT_H

#include "base/status.h"

// The folder behind `*model` (model_folder_find()), in memory of the program's life: a command
// line names one model.
enum status model_argument_find(const char **model) STATUS_MUST_USE;

#endif
