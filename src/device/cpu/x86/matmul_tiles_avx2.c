// Products in the order of tiles with AVX2 and FMA: 3 rows x 16 columns, two sums each, in 12
// registers; of a single row all 48.
#include <limits.h>
#include <string.h>

#include "device/cpu/x86/tiles_avx2.h"
#include "device/cpu/x86/x86.h"

static void add(float *x, const float *y, size_t n) // n is a multiple of PANEL_WIDTH
{
    for (size_t i = 0; i < n; i += VEC)
        vec_storeu(x + i, vec_add(vec_loadu(x + i), vec_loadu(y + i)));
}

static void emit(float *to, size_t to_stride, const float *from, int rows, int columns)
{
    for (int row = 0; row < rows; row++, from += PANEL_WIDTH, to += to_stride)
        memcpy(to, from, (size_t)columns * sizeof *to);
}

static void multiply_tile(void *context, const struct tiles_part *part)
{
    (void)context;
    const struct chain chain = chain_of_part(part);
    if (part->rows == 3)
        add_chain(3, 2, chain);
    else if (part->rows == 2)
        add_chain(2, 2, chain);
    else if (part->columns == PANEL_WIDTH)
        add_chain(1, 6, chain);
    else
        add_chain(1, 2, chain);
}

void matmul_tiles_avx2(const struct matmul *args)
{
    static const struct tiles_kernel kernel = {.rows = 3,
                                               .pack_rows = INT_MAX,
                                               .multiply = multiply_tile,
                                               .add = add,
                                               .emit = emit,
                                               .activate_mul = activate_mul_avx2};
    matmul_tiles(args, &kernel);
}
