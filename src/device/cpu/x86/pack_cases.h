// Which pack_panel() of nine: formats and types are constants inside, so that their branches are
// gone. pack_avx2.c and pack_avx512.c define `struct group` and pack_panel() before they include
// this.
#ifndef COLROW_DEVICE_CPU_X86_PACK_CASES_H
#define COLROW_DEVICE_CPU_X86_PACK_CASES_H

#define PACK_CASE(format, type)                                                                    \
    case (format)*3 + (type):                                                                      \
        pack_panel(groups, n_groups, format, type, n_columns);                                     \
        break

static void pack_panel_of(const struct group *groups, int n_groups, enum panel_format format,
                          enum source_type type, size_t n_columns)
{
    switch ((int)format * 3 + (int)type) {
        PACK_CASE(PANELS_BF16, SOURCE_BF16);
        PACK_CASE(PANELS_BF16, SOURCE_F16);
        PACK_CASE(PANELS_BF16, SOURCE_F32);
        PACK_CASE(PANELS_F16, SOURCE_BF16);
        PACK_CASE(PANELS_F16, SOURCE_F16);
        PACK_CASE(PANELS_F16, SOURCE_F32);
        PACK_CASE(PANELS_F32, SOURCE_BF16);
        PACK_CASE(PANELS_F32, SOURCE_F16);
        PACK_CASE(PANELS_F32, SOURCE_F32);
    }
}
#undef PACK_CASE

#endif
