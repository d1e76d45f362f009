// Random matrices of integer codes with scales and zero points, and panels of them.
#ifndef COLROW_TESTS_INTEGER_DATA_H
#define COLROW_TESTS_INTEGER_DATA_H

#include <stdlib.h>

#include "kernels/kernel_data.h"

struct integers {
    struct panel_layout layout;
    int n, k, n_groups;
    int8_t *codes; // [n][k]
    float *scales; // [n][n_groups], as the layout keeps them
    int8_t *zeros; // [n][n_groups]; zeros where it keeps none
};

static inline struct panel_layout random_layout(enum panel_format format)
{
    static const int32_t columns[] = {0, 2, 14, 32, 32, 64, 128};
    struct panel_layout layout = {.format = format};
    layout.groups.columns = columns[random_bits() % 7];
    if (layout.groups.columns && random_bits() % 3 == 0)
        layout.groups.before = 2 * random_between(0, layout.groups.columns / 2 - 1);
    layout.groups.scales = (enum source_type)random_between(SOURCE_BF16, SOURCE_F32);
    layout.groups.zeros = random_bits() % 2;
    return layout;
}

static inline struct integers integers_new(const struct panel_layout *layout, int n, int k)
{
    const struct panel_groups *groups = &layout->groups;
    struct integers of = {.layout = *layout, .n = n, .k = k, .n_groups = 1};
    if (groups->columns)
        of.n_groups = (groups->before + k + groups->columns - 1) / groups->columns;
    const size_t n_scales = (size_t)(n * of.n_groups);
    const int least = layout->format == PANELS_INT4 ? -8 : -128;
    of.codes = malloc((size_t)(n * k));
    of.scales = malloc(n_scales * sizeof *of.scales);
    of.zeros = calloc(n_scales, 1);
    for (int i = 0; i < n * k; i++)
        of.codes[i] = (int8_t)random_between(least, -least - 1);
    for (size_t i = 0; i < n_scales; i++) {
        const float scale = random_value(ORDINARY) * 0.01f;
        of.scales[i] = groups->scales == SOURCE_BF16  ? float_of_bf16(bf16_of_float(scale))
                       : groups->scales == SOURCE_F16 ? float_of_f16(f16_of_float(scale))
                                                      : scale;
        if (groups->zeros)
            of.zeros[i] = (int8_t)random_between(least, -least - 1);
    }
    return of;
}

static inline void integers_free(struct integers *of)
{
    free(of->codes);
    free(of->scales);
    free(of->zeros);
}

// Panels over memory of their own, which held something else.
static inline struct panels integer_panels_new(const struct panel_layout *layout, int n, int k,
                                               struct guarded *memory)
{
    struct panels w;
    size_t bytes;
    assert_int_equal(panels_layout_bytes(layout, n, k, &bytes), OK);
    *memory = guarded_new(bytes, 64);
    memset(memory->data, 0x5a, bytes);
    panels_layout_init(&w, layout, n, k, memory->data);
    return w;
}

static inline void integers_pack(const struct integers *of, const struct panels *w)
{
    panels_pack_codes(w, 0, of->n, 0, of->k, of->codes, (size_t)of->k);
    panels_pack_scales(w, 0, of->n, 0, of->n_groups, of->scales, of->zeros, (size_t)of->n_groups);
}

static inline struct panels integers_packed(const struct integers *of, struct guarded *memory)
{
    struct panels w = integer_panels_new(&of->layout, of->n, of->k, memory);
    integers_pack(of, &w);
    return w;
}

#endif
