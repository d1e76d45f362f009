// Gated products' rows: whole lines go past the caches, which need their room for weights and rows.
#include "device/cpu/x86/elementwise_avx512.h"
#include "device/cpu/x86/matmul_tiles.h"
#include "device/cpu/x86/x86.h"

struct row {
    __m256i part[3];
};

INLINE __m512 biased(__m512 x, const float *bias, int i)
{
    return bias ? _mm512_add_ps(x, _mm512_loadu_ps(bias + i)) : x;
}

INLINE struct row row_of(enum activation kind, const struct tiles_activation *a, int row)
{
    const float *gate = a->gate + row * PANEL_WIDTH, *up = a->up ? a->up + row * PANEL_WIDTH : NULL;
    struct row out;
    UNROLLED_FOR (i, 3) {
        vec y = vec_activation(kind, a->args,
                               biased(_mm512_load_ps(gate + 16 * i), a->gate_bias, 16 * i));
        if (up)
            y = vec_times_up(kind, a->args, y,
                             biased(_mm512_load_ps(up + 16 * i), a->up_bias, 16 * i));
        out.part[i] = bf16_16(y);
    }
    return out;
}

INLINE void stream_line(bf16 *to, __m256i low, __m256i high)
{
    _mm512_stream_si512((void *)to, _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
}

INLINE void store_half(bf16 *to, __m256i half)
{
    _mm256_storeu_si256((__m256i *)(void *)to, half);
}

INLINE void activate_strip(enum activation kind, const struct tiles_activation *a)
{
    enum { LINE = 64, LINE_ITEMS = LINE / sizeof(bf16) };
    const size_t begin = (uintptr_t)a->to % LINE;
    const bool lines = a->to_stride % LINE_ITEMS == 0 && begin % (LINE / 2) == 0;
    bf16 *to = a->to, *half = a->half;
    for (int i = 0; i < a->rows; i++, to += a->to_stride, half += HALF_LINE) {
        const struct row row = row_of(kind, a, i);
        if (!lines) {
            UNROLLED_FOR (part, 3)
                store_half(to + 16 * part, row.part[part]);
        } else if (begin == 0) {
            stream_line(to, row.part[0], row.part[1]);
            store_half(a->leaves_half ? half : to + LINE_ITEMS, row.part[2]);
        } else {
            if (a->has_half)
                stream_line(to - HALF_LINE, _mm256_load_si256((const __m256i *)(void *)half),
                            row.part[0]);
            else
                store_half(to, row.part[0]);
            stream_line(to + HALF_LINE, row.part[1], row.part[2]);
        }
    }
}

// A fence has to follow (matmul_tiles()'s callers).
void activate_avx512bf16(const struct tiles_activation *a)
{
    FOR_ACTIVATION(a->args->kind, activate_strip, a)
}
