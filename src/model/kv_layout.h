// How much of a page of keys and values each layer has. A page holds KV_PAGE_TOKENS positions of
// all layers: [layers][local kv heads][keys, values].
#ifndef COLROW_MODEL_KV_LAYOUT_H
#define COLROW_MODEL_KV_LAYOUT_H

#include <stddef.h>

#include "model/plan.h"

// Of one KV head, keys and values.
size_t kv_head_bytes(const struct plan *plan, const struct attention_config *attention);
// Of a layer on a rank; 0 where it has no attention.
size_t kv_layer_bytes(const struct plan *plan, int rank, int layer);

#endif
