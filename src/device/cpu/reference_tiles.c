// The tile order: what one instruction of AMX does to an element (docs/numerics.md section 10).
#include <assert.h>
#include <math.h>

#include "device/cpu/reference.h"

float reference_tile_block(const float *x, const float *w, int n, float acc)
{
    assert(n >= 2 && n <= TILE_BLOCK && n % 2 == 0);
    float even = 0, odd = 0;
    for (int i = 0; i < n; i += 2) {
        even = fmaf(x[i], w[i], even);
        odd = fmaf(x[i + 1], w[i + 1], odd);
    }
    return acc + (even + odd);
}
