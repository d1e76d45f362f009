// Inside of struct model_weights (model.h). For the files of model/ alone.
#ifndef COLROW_MODEL_MODEL_WEIGHTS_H
#define COLROW_MODEL_MODEL_WEIGHTS_H

#include "base/memory.h"
#include "model/model.h"
#include "model/weights.h"

struct model_weights {
    struct arena arena;
    struct weights weights;
    void *memory;
    size_t bytes;
    uint64_t file_bytes_read, load_ns;
};

#endif
