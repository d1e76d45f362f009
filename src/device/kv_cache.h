// What keys and values are kept as in the KV cache, and what attention reads of it.
#ifndef COLROW_DEVICE_KV_CACHE_H
#define COLROW_DEVICE_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include "device/number.h"

// What --kv-cache-dtype asks for.
enum kv_cache { KV_CACHE_AUTO, KV_CACHE_F32, KV_CACHE_E4M3, KV_CACHE_INT8, KV_CACHE_COUNT };

// A cached number: of the type that attention computes in, or a byte that attention makes such a
// number of (docs/numerics.md section 16).
enum kv_codes { KV_PLAIN, KV_E4M3, KV_INT8 };

// "auto", "float32", "fp8" or "fp8_e4m3", "int8"; false: another one.
bool kv_cache_from_name(const char *name, enum kv_cache *out);
// The names, for messages.
#define KV_CACHE_NAMES "auto (the type that is computed in), float32, fp8 (fp8_e4m3) or int8"

// What attention computes in, and what is kept, in a model of that compute type.
enum compute_type kv_cache_type(enum kv_cache cache, enum compute_type compute);
enum kv_codes kv_cache_codes(enum kv_cache cache);
// "bfloat16", "fp8_e4m3"
const char *kv_cache_name(enum compute_type type, enum kv_codes codes);

// Bytes of a number in a page, without scales.
static inline size_t kv_number_bytes(enum compute_type type, enum kv_codes codes)
{
    return codes == KV_PLAIN ? compute_bytes(type) : 1;
}

#endif
