#include "device/cpu/x86/kv_expand_avx512.h"
#include "device/cpu/x86/x86.h"

void kv_expand_avx512(const struct kv_expansion *args)
{
    expand_codes(args);
}
