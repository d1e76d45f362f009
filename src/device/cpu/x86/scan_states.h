// Mamba-2's heads, once for several vectors (docs/numerics.md section 12). A row of the state stays
// in registers while some tokens pass over it. A file that includes this has included a vec_*.h.
#ifndef COLROW_DEVICE_CPU_X86_SCAN_STATES_H
#define COLROW_DEVICE_CPU_X86_SCAN_STATES_H

#include <math.h>

#include "device/kernels.h"

enum { SCAN_TOKENS = 4, SCAN_VECTORS_MAX = 4 };

// `tokens` tokens from `t` on, VEC · vectors numbers of the head from `p` on.
INLINE void scan_block(const struct state_scan *args, int tokens, int vectors, int t, int p)
{
    vec u[SCAN_TOKENS][SCAN_VECTORS_MAX], y[SCAN_TOKENS][SCAN_VECTORS_MAX];
    vec decay[SCAN_TOKENS];
    const float *x = args->x + (size_t)t * args->stride + p,
                *b = args->b + (size_t)t * args->stride, *c = args->c + (size_t)t * args->stride;
    UNROLLED_FOR (i, tokens) {
        const size_t at = (size_t)(t + i) * args->steps_stride;
        decay[i] = vec_broadcast(args->decays + at);
        UNROLLED_FOR (v, vectors) {
            u[i][v] = vec_mul(vec_broadcast(args->steps + at),
                              vec_loadu(x + (size_t)i * args->stride + VEC * v));
            y[i][v] = vec_zero();
        }
    }
    for (int n = 0; n < args->state_size; n++) {
        float *state = args->state + (size_t)n * (size_t)args->head_dim + p;
        UNROLLED_FOR (v, vectors) {
            vec s = vec_loadu(state + VEC * v);
            UNROLLED_FOR (i, tokens) {
                s = vec_fma(u[i][v], vec_broadcast(b + (size_t)i * args->stride + n),
                            vec_mul(s, decay[i]));
                y[i][v] = vec_fma(s, vec_broadcast(c + (size_t)i * args->stride + n), y[i][v]);
            }
            vec_storeu(state + VEC * v, s);
        }
    }
    UNROLLED_FOR (i, tokens)
        UNROLLED_FOR (v, vectors)
            vec_storeu(args->y + (size_t)(t + i) * args->y_stride + p + VEC * v,
                       vec_fma(vec_set1(args->d), vec_loadu(x + (size_t)i * args->stride + VEC * v),
                               y[i][v]));
}

// A number of the head for which there is no whole vector: as the reference has it.
INLINE void scan_number(const struct state_scan *args, int t, int p)
{
    const size_t row = (size_t)t * args->stride, at = (size_t)t * args->steps_stride;
    const float x = args->x[row + (size_t)p], u = args->steps[at] * x;
    float y = 0;
    for (int n = 0; n < args->state_size; n++) {
        float *s = &args->state[(size_t)n * (size_t)args->head_dim + (size_t)p];
        *s = fmaf(u, args->b[row + (size_t)n], *s * args->decays[at]);
        y = fmaf(*s, args->c[row + (size_t)n], y);
    }
    args->y[(size_t)t * args->y_stride + (size_t)p] = fmaf(args->d, x, y);
}

// Of one token the state is read and written but once: as many vectors as there are, so that the
// chains hide each other's latency.
INLINE void scan_states_of(const struct state_scan *args, int vectors)
{
    int p = 0, t;
    for (; p + VEC * vectors <= args->head_dim; p += VEC * vectors)
        for (t = 0; t + SCAN_TOKENS <= args->n_tokens; t += SCAN_TOKENS)
            scan_block(args, SCAN_TOKENS, vectors, t, p);
    const int blocks = p, rest = args->n_tokens / SCAN_TOKENS * SCAN_TOKENS;
    for (p = 0; p + VEC * SCAN_VECTORS_MAX <= blocks; p += VEC * SCAN_VECTORS_MAX)
        for (t = rest; t < args->n_tokens; t++)
            scan_block(args, 1, SCAN_VECTORS_MAX, t, p);
    for (; p < blocks; p += VEC * vectors)
        for (t = rest; t < args->n_tokens; t++)
            scan_block(args, 1, vectors, t, p);
    for (; p + VEC <= args->head_dim; p += VEC)
        for (t = 0; t < args->n_tokens; t++)
            scan_block(args, 1, 1, t, p);
    for (; p < args->head_dim; p++)
        for (t = 0; t < args->n_tokens; t++)
            scan_number(args, t, p);
}

#endif
