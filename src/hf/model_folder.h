// Which folder holds a model.
#ifndef COLROW_HF_MODEL_FOLDER_H
#define COLROW_HF_MODEL_FOLDER_H

#include "base/status.h"

// `given` itself; of a folder of HuggingFace's cache (models--org--name, with a folder in snapshots
// for each revision) the revision that refs/main names, or the only one; of org/name[@revision],
// where no such folder is, its snapshot in the cache (hub_cache.h). `out` has FILE_PATH_MAX bytes.
// Whether it is there and holds a model, its reader says.
enum status model_folder_find(const char *given, char *out) STATUS_MUST_USE;

#endif
