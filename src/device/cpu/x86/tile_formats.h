// run_tile() of a struct block_kernel: one function for each format of panels. The ISA's file
// defines TILE_SWITCH(format, widened), which runs `tile` of that format, and run_integer_tile()
// before it includes this.
#ifndef COLROW_DEVICE_CPU_X86_TILE_FORMATS_H
#define COLROW_DEVICE_CPU_X86_TILE_FORMATS_H

static void tile_bf16(const struct tile *tile)
{
    TILE_SWITCH(PANELS_BF16, false)
}

static void tile_f16(const struct tile *tile)
{
    TILE_SWITCH(PANELS_F16, false)
}

static void tile_f32(const struct tile *tile)
{
    TILE_SWITCH(PANELS_F32, false)
}

static void tile_widened(const struct tile *tile)
{
    TILE_SWITCH(PANELS_F32, true)
}

static void run_tile(const struct tile *tile, enum panel_format format, bool widened)
{
    if (panel_format_is_integer(format))
        run_integer_tile(tile, format, widened);
    else if (widened)
        tile_widened(tile);
    else if (format == PANELS_BF16)
        tile_bf16(tile);
    else if (format == PANELS_F16)
        tile_f16(tile);
    else
        tile_f32(tile);
}

#endif
