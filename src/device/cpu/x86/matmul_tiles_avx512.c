// Products in the order of tiles with AVX-512F: 4 rows x 48 columns, two sums each, in 24
// registers.
#include <limits.h>

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

static void multiply_tile(void *context, const struct tiles_part *part)
{
    (void)context;
    switch (part->rows * 64 + part->columns) {
        CASES(1);
        CASES(2);
        CASES(3);
        CASES(4);
    }
}

// Whole lines go past the caches: what reads them comes later than the caches are large. A fence
// has to follow (matmul_tiles()'s callers).
void emit_avx512(float *to, size_t to_stride, const float *from, int rows, int columns)
{
    const bool lines = columns == PANEL_WIDTH && ((uintptr_t)to | to_stride * sizeof *to) % 64 == 0;
    for (int row = 0; row < rows; row++, from += PANEL_WIDTH, to += to_stride)
        for (int i = 0; i < columns; i += 16) {
            const __mmask16 mask =
                columns - i >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << (columns - i)) - 1);
            if (lines)
                _mm512_stream_ps(to + i, _mm512_load_ps(from + i));
            else
                _mm512_mask_storeu_ps(to + i, mask, _mm512_load_ps(from + i));
        }
}

void matmul_tiles_avx512(const struct matmul *args)
{
    static const struct tiles_kernel kernel = {.rows = 4,
                                               .pack_rows = INT_MAX,
                                               .multiply = multiply_tile,
                                               .add = add_avx512,
                                               .emit = emit_avx512,
                                               .activate_mul = activate_mul_avx512};
    matmul_tiles(args, &kernel);
    _mm_sfence();
}
