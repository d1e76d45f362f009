// Whether tdpbf16ps gives the bits of the tile order here (docs/numerics.md section 10).
#include "device/cpu/x86/tiles_amx.h"
#include "device/cpu/x86/x86.h"

enum { PAIRS = 16 };

struct operands {
    _Alignas(64) uint32_t a[TILE_ROWS][PAIRS], b[PAIRS][16]; // pairs of bf16
    _Alignas(64) float sums[TILE_ROWS][16], expected[TILE_ROWS][16];
};

// Pairs of bf16 whose exponents crowd around `bias`, so that sums cancel, overflow and go denormal.
static uint32_t random_pair(uint64_t *state, uint32_t bias)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    const uint32_t exponent = (((uint32_t)(*state >> 32) & 0x07800780u) + bias * 0x00800080u);
    return ((uint32_t)*state & 0x807f807fu) | (exponent & 0x7f807f80u);
}

static __m512 odd(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000u)));
}

static __m512 even(__m512i pairs)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16));
}

static void add_block(struct operands *o, int row)
{
    __m512 e = _mm512_setzero_ps(), d = _mm512_setzero_ps();
    for (int i = 0; i < PAIRS; i++) {
        __m512i a = _mm512_set1_epi32((int)o->a[row][i]), b = _mm512_load_si512(o->b[i]);
        e = _mm512_fmadd_ps(even(a), even(b), e);
        d = _mm512_fmadd_ps(odd(a), odd(b), d);
    }
    __m512 acc = _mm512_load_ps(o->expected[row]);
    _mm512_store_ps(o->expected[row], _mm512_add_ps(acc, _mm512_add_ps(e, d)));
}

static bool same(const struct operands *o, int row)
{
    __m512 x = _mm512_load_ps(o->sums[row]), y = _mm512_load_ps(o->expected[row]);
    __mmask16 number = _mm512_cmp_ps_mask(x, x, _CMP_ORD_Q);
    __mmask16 number_too = _mm512_cmp_ps_mask(y, y, _CMP_ORD_Q);
    __mmask16 bits = _mm512_cmpneq_epi32_mask(_mm512_castps_si512(x), _mm512_castps_si512(y));
    return ((number ^ number_too) | (number & bits)) == 0;
}

bool x86_amx_is_exact(void)
{
    static const uint32_t bias[] = {0, 40, 56, 60, 120, 180, 239};
    const unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040); // FTZ and DAZ, as number_mode_set()
    struct operands o;
    struct tile_shapes shapes = {0};
    for (int i = 0; i < 3; i++)
        tile_shape(&shapes, i, TILE_ROWS, TILE_BYTES);
    tiles_configure(&shapes);
    bool exact = true;
    uint64_t state = 0x9e3779b97f4a7c15;
    for (int trial = 0; trial < 49 && exact; trial++) {
        memset(o.expected, 0, sizeof o.expected);
        _tile_zero(0);
        for (int block = 0; block < 2; block++) {
            for (int i = 0; i < 16 * PAIRS; i++) {
                o.a[i / PAIRS][i % PAIRS] = random_pair(&state, bias[trial % 7]);
                o.b[i / 16][i % 16] = random_pair(&state, bias[trial / 7]);
            }
            tile_memory_is_written();
            _tile_loadd(1, o.a, 64);
            _tile_loadd(2, o.b, 64);
            _tile_dpbf16ps(0, 1, 2);
            for (int row = 0; row < TILE_ROWS; row++)
                add_block(&o, row);
        }
        _tile_stored(0, o.sums, 64);
        for (int row = 0; row < TILE_ROWS; row++)
            exact &= same(&o, row);
    }
    _tile_release();
    _mm_setcsr(mode);
    return exact;
}
