// Whether a model fits into memory, and how, without a rank being started: for `colrow doctor`.
#ifndef COLROW_ENGINE_ENGINE_FIT_H
#define COLROW_ENGINE_ENGINE_FIT_H

#include <colrow/colrow.h>
#include <stdint.h>

#include "base/status.h"
#include "device/device.h"

struct engine_fit {
    uint64_t file_bytes;                         // of weights, read by all ranks
    uint64_t fixed_bytes;                        // of memory: all but KV pages
    uint64_t kv_bytes;                           // KV pages
    uint64_t allowed_bytes;                      // that all of colrow may take
    int64_t kv_tokens, max_model_len, positions; // positions: the model's own longest
    double full_requests;                        // of max_model_len, at once
    int threads_per_rank;
};

// Everything that colrow_open_begin() does before it starts ranks, on one machine; what that would
// refuse is refused. `memory`: in place of this machine's, or NULL.
enum status engine_fit(const struct colrow_options *options, const struct device_memory *memory,
                       struct engine_fit *out) STATUS_MUST_USE;

#endif
