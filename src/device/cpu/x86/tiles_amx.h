// The tile registers of AMX and their shapes.
#ifndef COLROW_DEVICE_CPU_X86_TILES_AMX_H
#define COLROW_DEVICE_CPU_X86_TILES_AMX_H

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "device/cpu/x86/unrolled.h"

enum { TILE_ROWS = 16, TILE_BYTES = 64, TILES = 8 };

// What ldtilecfg reads. Loading it clears all tiles.
struct tile_shapes {
    _Alignas(64) uint8_t palette;
    uint8_t start_row, reserved[14];
    uint16_t row_bytes[TILES], unused[8];
    uint8_t rows[TILES], unused_too[8];
};
_Static_assert(sizeof(struct tile_shapes) == 64, "as the CPU wants it");

INLINE void tile_shape(struct tile_shapes *shapes, int tile, int rows, int row_bytes)
{
    shapes->palette = 1;
    shapes->rows[tile] = (uint8_t)rows;
    shapes->row_bytes[tile] = (uint16_t)row_bytes;
}

// The intrinsics of gcc 12 do not say that they read memory.
INLINE void tile_memory_is_written(void)
{
    __asm__ volatile("" : : : "memory");
}

INLINE void tiles_configure(const struct tile_shapes *shapes)
{
    tile_memory_is_written();
    _tile_loadconfig(shapes);
}

#endif
