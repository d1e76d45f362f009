// Panels of integers: where codes, scales and zero points lie, and that parts of a matrix, packed
// in any order, are that matrix.
#include "testing.h"

#include "kernels/integer_data.h"

static void what_is_packed_comes_back(void **unused)
{
    (void)unused;
    for (int n = 1; n <= 120; n += SIZE_STEP) {
        const struct panel_layout layout =
            random_layout(random_bits() % 2 ? PANELS_INT8 : PANELS_INT4);
        struct integers integers = integers_new(&layout, n, 2 * random_between(1, 60));
        struct guarded memory;
        struct panels w = integers_packed(&integers, &memory);
        assert_int_equal(w.n_groups, integers.n_groups);
        float *row = malloc((size_t)w.k * sizeof *row);
        for (int r = 0; r < n; r++) {
            panels_row(&w, r, w.k, row);
            for (int k = 0; k < w.k; k++) {
                const size_t group = (size_t)(r * w.n_groups + panel_group_of(&w, k));
                const int code = integers.codes[r * w.k + k];
                assert_int_equal(panels_code(&w, r, k), code);
                assert_true(row[k] ==
                            (float)(code - integers.zeros[group]) * integers.scales[group]);
            }
        }
        free(row);
        guarded_free(&memory);
        integers_free(&integers);
    }
}

// Bytes as the header describes them.
static void codes_lie_where_the_header_says(void **unused)
{
    (void)unused;
    const int n = 70, k = 76; // 48 rows and 22, padded to 32; nine eights and four columns
    for (int format = PANELS_INT8; format <= PANELS_INT4; format++) {
        const struct panel_layout layout = {(enum panel_format)format, {32, 6, SOURCE_F16, true}};
        struct integers integers = integers_new(&layout, n, k);
        struct guarded memory;
        struct panels w = integers_packed(&integers, &memory);
        assert_int_equal(w.n_groups, 3); // 26, 32 and 18 columns
        for (int r = 0; r < 80; r++) {
            const int panel = r / 48, width = panel ? 32 : 48, column = r % 48;
            const uint8_t *begin = (const uint8_t *)panel_data(&w, panel),
                          *codes = begin + (3 * width * 3 + 63) / 64 * 64;
            for (int g = 0; g < 3; g++) {
                f16 scale;
                memcpy(&scale, begin + (g * width + column) * 2, sizeof scale);
                assert_true(float_of_f16(scale) == (r < n ? integers.scales[r * 3 + g] : 0));
                assert_int_equal((int8_t)begin[3 * width * 2 + g * width + column],
                                 r < n ? integers.zeros[r * 3 + g] : 0);
            }
            for (int c = 0; c < 80; c++) {
                const int expected = r < n && c < k ? integers.codes[r * k + c] : 0;
                if (format == PANELS_INT8 && c < k)
                    assert_int_equal((int8_t)codes[(c / 2 * width + column) * 2 + c % 2], expected);
                if (format == PANELS_INT8)
                    continue;
                uint16_t word;
                memcpy(&word, codes + ((c / 8 * width + column) * 2 + c % 2) * 2, sizeof word);
                assert_int_equal(word >> (c % 8 / 2 * 4) & 15, expected & 15);
            }
        }
        guarded_free(&memory);
        integers_free(&integers);
    }
}

// A rank's rows and columns, packed bit by bit, are those of the whole.
static void parts_are_those_of_the_whole(void **unused)
{
    (void)unused;
    for (int i = 0; i < 60; i++) {
        const struct panel_layout layout = random_layout(i % 2 ? PANELS_INT8 : PANELS_INT4);
        const int n = random_between(1, 110), k = 2 * random_between(8, 80);
        struct integers integers = integers_new(&layout, n, k);
        struct guarded memory, part_memory;
        struct panels whole = integers_packed(&integers, &memory);
        const int column = 2 * random_between(0, k / 2 - 1), n_columns = k - column;
        const int first = panel_group_of(&whole, column);
        struct panel_layout part_layout = layout;
        part_layout.groups.before =
            layout.groups.columns ? (layout.groups.before + column) % layout.groups.columns : 0;
        struct panels part = integer_panels_new(&part_layout, n, n_columns, &part_memory);
        for (int row = 0, rows; row < n; row += rows) {
            rows = random_between(1, n - row);
            panels_pack_scales(&part, row, rows, 0, part.n_groups,
                               integers.scales + row * integers.n_groups + first,
                               integers.zeros + row * integers.n_groups + first,
                               (size_t)integers.n_groups);
            for (int c = 0, columns; c < n_columns; c += columns) {
                columns = random_between(1, n_columns - c);
                panels_pack_codes(&part, row, rows, c, columns,
                                  integers.codes + row * k + column + c, (size_t)k);
            }
        }
        for (int r = 0; r < n; r++) {
            for (int c = 0; c < n_columns; c++)
                assert_int_equal(panels_code(&part, r, c), panels_code(&whole, r, column + c));
            for (int g = 0; g < part.n_groups; g++) {
                assert_true(panels_scale(&part, r, g) == panels_scale(&whole, r, first + g));
                assert_int_equal(panels_zero(&part, r, g), panels_zero(&whole, r, first + g));
            }
        }
        guarded_free(&part_memory);
        guarded_free(&memory);
        integers_free(&integers);
    }
}

// Memory beside what is packed is a few percent of it at most, as files have it.
static void scales_take_what_they_take_in_files(void **unused)
{
    (void)unused;
    static const struct {
        enum panel_format format;
        int32_t group;
        bool zeros;
        double bits; // of a weight in files
    } cases[] = {{PANELS_INT4, 128, false, 4 + 16. / 128},
                 {PANELS_INT4, 32, false, 4 + 16. / 32},
                 {PANELS_INT4, 32, true, 4 + 20. / 32},
                 {PANELS_INT8, 128, false, 8 + 16. / 128},
                 {PANELS_INT8, 0, false, 8}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct panel_layout layout = {cases[i].format,
                                            {cases[i].group, 0, SOURCE_BF16, cases[i].zeros}};
        size_t bytes;
        assert_int_equal(panels_layout_bytes(&layout, 2048, 2048, &bytes), OK);
        assert_true((double)bytes * 8 < 1.03 * cases[i].bits * 2048 * 2048);
    }
}

int main(void)
{
    number_mode_set();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_packed_comes_back),
        cmocka_unit_test(codes_lie_where_the_header_says),
        cmocka_unit_test(parts_are_those_of_the_whole),
        cmocka_unit_test(scales_take_what_they_take_in_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
