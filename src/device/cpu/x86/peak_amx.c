#include "device/cpu/x86/tiles_amx.h"
#include "device/peak_loops.h"

// Six sums, as many as the products keep; 16 x 16 x 32 multiply-adds each.
double peak_bf16_amx(long rounds)
{
    _Alignas(64) uint32_t ones[TILE_ROWS][16];
    struct tile_shapes shapes = {0};
    for (int i = 0; i < TILES; i++)
        tile_shape(&shapes, i, TILE_ROWS, TILE_BYTES);
    for (int i = 0; i < TILE_ROWS * 16; i++)
        ones[i / 16][i % 16] = 0x3c103c10;
    tiles_configure(&shapes);
    _tile_loadd(6, ones, TILE_BYTES);
    _tile_loadd(7, ones, TILE_BYTES);
    for (long i = 0; i < rounds; i++) {
        _tile_dpbf16ps(0, 6, 7);
        _tile_dpbf16ps(1, 6, 7);
        _tile_dpbf16ps(2, 6, 7);
        _tile_dpbf16ps(3, 6, 7);
        _tile_dpbf16ps(4, 6, 7);
        _tile_dpbf16ps(5, 6, 7);
    }
    _tile_release();
    return (double)rounds * 6 * 2 * 16 * 16 * 32;
}
