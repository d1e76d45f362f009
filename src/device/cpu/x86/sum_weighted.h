// Weighted sums of rows, once for several vectors (docs/numerics.md section 11).
#ifndef COLROW_DEVICE_CPU_X86_SUM_WEIGHTED_H
#define COLROW_DEVICE_CPU_X86_SUM_WEIGHTED_H

#include "device/kernels.h"

// VEC columns from `column` on; `out` has room for them.
INLINE void sum_weighted_at(const struct weighted_rows *args, int column, float *out)
{
    vec stack[WEIGHTED_DEPTH_MAX];
    int depth = 0;
    for (int i = 0; i < args->n; i++) {
        stack[depth++] = vec_mul(vec_loadu(args->rows[i] + column), vec_set1(args->weights[i]));
        for (int merge = 0; merge < args->merges[i]; merge++, depth--)
            stack[depth - 2] = vec_add(stack[depth - 2], stack[depth - 1]);
    }
    vec_storeu(out, vec_add(args->n ? stack[0] : vec_zero(), vec_zero()));
}

INLINE void sum_weighted_of(const struct weighted_rows *args)
{
    const int whole = args->columns / VEC * VEC, rest = args->columns - whole;
    for (int column = 0; column < whole; column += VEC)
        sum_weighted_at(args, column, args->out + column);
    for (int column = whole; column < whole + rest; column++) {
        float stack[WEIGHTED_DEPTH_MAX] = {0};
        int depth = 0;
        for (int i = 0; i < args->n; i++) {
            stack[depth++] = args->rows[i][column] * args->weights[i];
            for (int merge = 0; merge < args->merges[i]; merge++, depth--)
                stack[depth - 2] = stack[depth - 2] + stack[depth - 1];
        }
        args->out[column] = stack[0] + 0.0f;
    }
}

#endif
