// The gated delta rule's heads, once for several vectors (docs/numerics.md section 12). The chains
// of VEC numbers of the value are beside each other; of one token the state is read twice, the
// second time from a cache, and written once. A file that includes this has included a vec_*.h.
#ifndef COLROW_DEVICE_CPU_X86_DELTA_RULE_H
#define COLROW_DEVICE_CPU_X86_DELTA_RULE_H

#include <math.h>

#include "device/kernels.h"

// Enough chains to hide each other's latency; 128 rows of so many are half of a first-level cache.
enum { DELTA_VECTORS_MAX = 4 };

INLINE const float *delta_decay(const struct delta_scan *args, int t, int n)
{
    return args->decays + (size_t)t * args->decays_stride + (args->channel_decays ? n : 0);
}

// Token `t`, VEC · vectors numbers of the value from `p` on.
INLINE void delta_block(const struct delta_scan *args, int vectors, int t, int p)
{
    const size_t row = (size_t)t * args->stride, dv = (size_t)args->value_dim;
    const float *k = args->k + row, *q = args->q + row;
    const vec beta = vec_broadcast(args->betas + (size_t)t * args->betas_stride);
    vec memory[DELTA_VECTORS_MAX], delta[DELTA_VECTORS_MAX], y[DELTA_VECTORS_MAX];
    UNROLLED_FOR (v, vectors)
        memory[v] = y[v] = vec_zero();
    for (int n = 0; n < args->key_dim; n++) {
        const float *state = args->state + (size_t)n * dv + p;
        const vec key = vec_broadcast(k + n), decay = vec_broadcast(delta_decay(args, t, n));
        UNROLLED_FOR (v, vectors)
            memory[v] = vec_fma(vec_mul(vec_loadu(state + VEC * v), decay), key, memory[v]);
    }
    UNROLLED_FOR (v, vectors)
        delta[v] = vec_mul(vec_sub(vec_loadu(args->v + row + p + VEC * v), memory[v]), beta);
    for (int n = 0; n < args->key_dim; n++) {
        float *state = args->state + (size_t)n * dv + p;
        const vec key = vec_broadcast(k + n), query = vec_broadcast(q + n),
                  decay = vec_broadcast(delta_decay(args, t, n));
        UNROLLED_FOR (v, vectors) {
            const vec s = vec_fma(key, delta[v], vec_mul(vec_loadu(state + VEC * v), decay));
            y[v] = vec_fma(s, query, y[v]);
            vec_storeu(state + VEC * v, s);
        }
    }
    UNROLLED_FOR (v, vectors)
        vec_storeu(args->y + (size_t)t * args->y_stride + p + VEC * v, y[v]);
}

// A number of the value for which there is no whole vector: as the reference has it.
INLINE void delta_number(const struct delta_scan *args, int t, int p)
{
    const size_t row = (size_t)t * args->stride, dv = (size_t)args->value_dim;
    float memory = 0, y = 0;
    for (int n = 0; n < args->key_dim; n++)
        memory = fmaf(args->state[(size_t)n * dv + (size_t)p] * *delta_decay(args, t, n),
                      args->k[row + (size_t)n], memory);
    const float delta =
        (args->v[row + (size_t)p] - memory) * args->betas[(size_t)t * args->betas_stride];
    for (int n = 0; n < args->key_dim; n++) {
        float *s = &args->state[(size_t)n * dv + (size_t)p];
        *s = fmaf(args->k[row + (size_t)n], delta, *s * *delta_decay(args, t, n));
        y = fmaf(*s, args->q[row + (size_t)n], y);
    }
    args->y[(size_t)t * args->y_stride + (size_t)p] = y;
}

INLINE void scan_delta_of(const struct delta_scan *args)
{
    int p = 0;
    for (; p + VEC * DELTA_VECTORS_MAX <= args->value_dim; p += VEC * DELTA_VECTORS_MAX)
        for (int t = 0; t < args->n_tokens; t++)
            delta_block(args, DELTA_VECTORS_MAX, t, p);
    for (; p + VEC <= args->value_dim; p += VEC)
        for (int t = 0; t < args->n_tokens; t++)
            delta_block(args, 1, t, p);
    for (; p < args->value_dim; p++)
        for (int t = 0; t < args->n_tokens; t++)
            delta_number(args, t, p);
}

#endif
