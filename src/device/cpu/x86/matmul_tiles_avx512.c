// Products in the order of tiles with AVX-512F: 4 rows x 48 columns, two sums each, in 24
// registers.
#include "device/cpu/x86/tiles_avx512.h"
#include "device/cpu/x86/x86.h"

#define CASES(rows)                                                                                \
    case (rows)*64 + 48:                                                                           \
        add_chain(rows, 3, chain_of_part(part));                                                   \
        break;                                                                                     \
    case (rows)*64 + 32:                                                                           \
        add_chain(rows, 2, chain_of_part(part));                                                   \
        break;                                                                                     \
    case (rows)*64 + 16:                                                                           \
        add_chain(rows, 1, chain_of_part(part));                                                   \
        break

static void multiply(void *context, const struct tiles_part *part)
{
    (void)context;
    switch (part->rows * 64 + part->columns) {
        CASES(1);
        CASES(2);
        CASES(3);
        CASES(4);
    }
}

void matmul_tiles_avx512(const struct matmul *args)
{
    static const struct tiles_kernel kernel = {.rows = 4, .multiply = multiply, .add = add_avx512};
    matmul_tiles(args, &kernel);
}
