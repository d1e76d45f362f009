#include "device/cpu/x86/elementwise_avx512.h"
#include "device/cpu/x86/x86.h"

void rmsnorm_avx512bf16(const float *x, const float *weight, float eps, int n,
                        enum compute_type type, void *out)
{
    rmsnorm_of(x, weight, eps, n, type, out);
}

void layernorm_avx512bf16(const float *x, const float *weight, const float *bias, float eps, int n,
                          enum compute_type type, void *out)
{
    layernorm_of(x, weight, bias, eps, n, type, out);
}

void activate_mul_avx512bf16(const struct activation_args *args, const float *gate, const float *up,
                             int n, enum compute_type type, void *out)
{
    activate_mul_of(args, gate, up, n, type, out);
}

void round_avx512bf16(const float *x, size_t n, enum compute_type type, void *out)
{
    round_of(x, n, type, out);
}
