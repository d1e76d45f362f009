// Which layers of Qwen 2, 2.5 and 3 attend within a window.
#ifndef COLROW_MODEL_FAMILIES_QWEN_WINDOWS_H
#define COLROW_MODEL_FAMILIES_QWEN_WINDOWS_H

#include "model/describe.h"

// Appends all layers, like `layer` but for the window: with use_sliding_window those from
// max_window_layers (absent: `first`) on have one, unless layer_types says otherwise.
enum status qwen_add_layers(const struct config_reader *reader, int64_t first,
                            struct model_config *out,
                            const struct layer_config *layer) STATUS_MUST_USE;

#endif
