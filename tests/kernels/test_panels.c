// Packing: the layout, every pair of types, ranges and tails, against guard pages; fast packers
// equal panels_pack().
#include "testing.h"

#include "device/device.h"
#include "kernels/guarded.h"

#define fail_test(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

static uint64_t state = 88172645463325252u;

static uint32_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static int between(int least, int most)
{
    return least + (int)(random_bits() % (uint32_t)(most - least + 1));
}

static size_t source_bytes(enum source_type type)
{
    return type == SOURCE_F32 ? 4 : 2;
}

// Any bits: denormals, infinities and NaNs among them; a third are ordinary numbers.
static void fill_source(void *data, size_t n, enum source_type type)
{
    for (size_t i = 0; i < n; i++) {
        float ordinary = (float)(int32_t)random_bits() / 1e9f;
        bool any = random_bits() % 3 != 0;
        switch (type) {
        case SOURCE_BF16:
            ((bf16 *)data)[i] = any ? (bf16)random_bits() : bf16_of_float(ordinary);
            break;
        case SOURCE_F16:
            ((f16 *)data)[i] = any ? (f16)random_bits() : f16_of_float(ordinary);
            break;
        case SOURCE_F32:
            ((float *)data)[i] =
                any ? float_of_bits(random_bits() & (random_bits() | 0x9fffffffu)) : ordinary;
            break;
        }
    }
}

static float widened(const void *data, enum source_type type, size_t i)
{
    return type == SOURCE_BF16  ? float_of_bf16(((const bf16 *)data)[i])
           : type == SOURCE_F16 ? float_of_f16(((const f16 *)data)[i])
                                : ((const float *)data)[i];
}

static bool same_number(float a, float b)
{
    return (a != a && b != b) || bits_of_float(a) == bits_of_float(b);
}

// panels_pack() and panels_row() against the description in panels.h.
static void elements_lie_where_the_header_says(void **unused)
{
    (void)unused;
    for (int n = 1; n <= 100; n += 3) {
        int k = 2 * between(1, 20);
        size_t bytes;
        assert_int_equal(panels_bytes(PANELS_BF16, n, k, &bytes), OK);
        assert_int_equal(bytes % 64, 0);
        struct guarded g = guarded_new(bytes, 64);
        memset(g.data, 0xff, bytes);
        struct panels w;
        panels_init(&w, PANELS_BF16, n, k, g.data);
        bf16 *source = malloc((size_t)(n * k) * sizeof *source);
        for (int i = 0; i < n * k; i++)
            source[i] = (bf16)(i % 0x7f80);
        panels_pack(&w, 0, n, 0, k, source, SOURCE_BF16, (size_t)k);
        float *row = malloc((size_t)k * sizeof *row);
        for (int r = 0; r < (n + 15) / 16 * 16; r++) {
            const bf16 *panel = (const bf16 *)panel_data(&w, r / 48);
            for (int c = 0; c < k; c++) {
                bf16 expected = r < n ? source[r * k + c] : 0;
                assert_int_equal(panel[(c / 2 * panel_width(&w, r / 48) + r % 48) * 2 + c % 2],
                                 expected);
            }
            if (r >= n)
                continue;
            panels_row(&w, r, w.k, row);
            for (int c = 0; c < k; c++)
                assert_true(same_number(row[c], float_of_bf16(source[r * k + c])));
        }
        free(row);
        free(source);
        guarded_free(&g);
    }
}

static void impossible_sizes_are_refused(void **unused)
{
    (void)unused;
    size_t bytes;
    assert_int_equal(panels_bytes(PANELS_F32, -1, 2, &bytes), ERR_INPUT);
    assert_int_equal(panels_bytes(PANELS_F32, 1, 3, &bytes), ERR_INPUT);
    assert_int_equal(panels_bytes(PANELS_F32, INT64_MAX, 2, &bytes), ERR_INPUT);
    assert_int_equal(panels_bytes(PANELS_F32, 2, INT64_MAX - 1, &bytes), ERR_INPUT);
    assert_int_equal(panels_bytes(PANELS_F16, 50, 10, &bytes), OK);
    assert_int_equal(bytes, 64 * 10 * 2);
}

struct range {
    int row, n_rows, column, n_columns;
};

// Packs one range by `pack` and by panels_pack() into panels that are filled alike, and compares
// all bytes.
static void check_range(const struct kernels *kernels, enum panel_format format,
                        enum source_type type, int n, int k, struct range range)
{
    size_t bytes, source_stride = (size_t)(range.n_columns + between(0, 5));
    assert_int_equal(panels_bytes(format, n, k, &bytes), OK);
    size_t source_count = (size_t)(range.n_rows - 1) * source_stride + (size_t)range.n_columns;
    struct guarded source = guarded_new(source_count * source_bytes(type), source_bytes(type));
    struct guarded expected = guarded_new(bytes, 64), got = guarded_new(bytes, 64);
    fill_source(source.data, source_count, type);
    memset(expected.data, 0x5a, bytes);
    memset(got.data, 0x5a, bytes);
    struct panels a, b;
    panels_init(&a, format, n, k, expected.data);
    panels_init(&b, format, n, k, got.data);
    panels_pack(&a, range.row, range.n_rows, range.column, range.n_columns, source.data, type,
                source_stride);
    kernels->pack(&b, range.row, range.n_rows, range.column, range.n_columns, source.data, type,
                  source_stride);

    size_t element = panel_element_bytes(format);
    enum source_type as = format == PANELS_F32   ? SOURCE_F32
                          : format == PANELS_F16 ? SOURCE_F16
                                                 : SOURCE_BF16;
    for (size_t i = 0; i < bytes / element; i++)
        if (memcmp((char *)a.data + i * element, (char *)b.data + i * element, element) != 0 &&
            !same_number(widened(a.data, as, i), widened(b.data, as, i)))
            fail_test("%s: format %d, source %d, [%d, %d], rows %d + %d, columns %d + %d: element "
                      "%zu differs",
                      kernels->isa, format, type, n, k, range.row, range.n_rows, range.column,
                      range.n_columns, i);
    guarded_free(&got);
    guarded_free(&expected);
    guarded_free(&source);
}

static void every_isa_packs_alike(void **unused)
{
    (void)unused;
    for (int isa = ISA_REFERENCE + 1; isa < ISA_COUNT; isa++) {
        if (isa > (int)isa_of_machine()) {
            print_message("skipped: this machine has no %s\n", isa_name((enum isa)isa));
            continue;
        }
        for (int format = PANELS_BF16; format <= PANELS_F32; format++)
            for (int type = SOURCE_BF16; type <= SOURCE_F32; type++)
                for (int n = 1; n <= 100; n++) {
                    int k = 2 * between(1, n % 10 == 0 ? 400 : 60);
                    struct range all = {0, n, 0, k}, part;
                    part.row = between(0, n - 1);
                    part.n_rows = between(1, n - part.row);
                    part.column = 2 * between(0, k / 2 - 1);
                    part.n_columns = 2 * between(1, (k - part.column) / 2);
                    check_range(kernels_for((enum isa)isa), (enum panel_format)format,
                                (enum source_type)type, n, k, all);
                    check_range(kernels_for((enum isa)isa), (enum panel_format)format,
                                (enum source_type)type, n, k, part);
                }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(elements_lie_where_the_header_says),
        cmocka_unit_test(impossible_sizes_are_refused),
        cmocka_unit_test(every_isa_packs_alike),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
