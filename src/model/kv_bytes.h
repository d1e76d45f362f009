// How much memory keys and values take on a rank.
#ifndef COLROW_MODEL_KV_BYTES_H
#define COLROW_MODEL_KV_BYTES_H

#include <stddef.h>

#include "model/plan.h"

// Of one KV head in a page, keys, values and their scales; or of a latent and the key beside it,
// and behind all of these of a page an indexer's keys.
size_t kv_head_bytes(const struct plan *plan, const struct attention_config *attention);
// Of a layer in a page, on that rank of its stage; 0 where it has no keys of its own.
size_t kv_layer_bytes(const struct plan *plan, int rank, int layer);
// Of a page, which has room for the stage's layers of any group, and for its part of a state.
size_t kv_page_bytes(const struct plan *plan, int world_rank);

#endif
