#include "device/kv_cache.h"

#include <string.h>

bool kv_cache_from_name(const char *name, enum kv_cache *out)
{
    static const struct {
        const char *name;
        enum kv_cache cache;
    } names[] = {{"auto", KV_CACHE_AUTO},
                 {"float32", KV_CACHE_F32},
                 {"fp8", KV_CACHE_E4M3},
                 {"fp8_e4m3", KV_CACHE_E4M3},
                 {"int8", KV_CACHE_INT8}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(name, names[i].name) == 0) {
            *out = names[i].cache;
            return true;
        }
    return false;
}

enum compute_type kv_cache_type(enum kv_cache cache, enum compute_type compute)
{
    return cache == KV_CACHE_F32 ? COMPUTE_F32 : compute;
}

enum kv_codes kv_cache_codes(enum kv_cache cache)
{
    return cache == KV_CACHE_E4M3 ? KV_E4M3 : cache == KV_CACHE_INT8 ? KV_INT8 : KV_PLAIN;
}

const char *kv_cache_name(enum compute_type type, enum kv_codes codes)
{
    return codes == KV_E4M3 ? "fp8_e4m3" : codes == KV_INT8 ? "int8" : compute_name(type);
}
