// Weights that are stored otherwise than row by row, against what they are number by number.
#include "testing.h"

#include "model/weights_unpack.h"

enum { ROWS = 100, COLUMNS = 70 }; // of a matrix in memory: more than a tile of either

struct packed {
    struct panels panels[2];
    void *memory;
};

static void packed_new(enum panel_format format, int n, int k, struct packed *p)
{
    size_t bytes;
    assert_int_equal(panels_bytes(format, n, k, &bytes), OK);
    p->memory = aligned_alloc(64, 2 * bytes);
    assert_non_null(p->memory);
    memset(p->memory, 0x55, 2 * bytes);
    panels_init_pair(&p->panels[0], &p->panels[1], format, n, k, p->memory);
}

static float packed_at(const struct packed *p, int which, int row, int column)
{
    float numbers[COLUMNS + 2];
    panels_row(&p->panels[which], row, column + 1, numbers);
    return numbers[column];
}

// A number that says where it stands.
static float mark(int which, int row, int column)
{
    return (float)(which * 20000 + row * 100 + column);
}

// [columns, rows], or [rows, columns], of one matrix or of two whose rows are in turn.
static void fill(float *file, bool transposed, int step, int rows, int columns)
{
    for (int which = 0; which < step; which++)
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column++) {
                const int in_file = row * step + which;
                file[transposed ? column * rows * step + in_file : in_file * columns + column] =
                    mark(which, row, column);
            }
}

// In parts of `part` units of rows and of columns of the file.
static void check_exchange(bool transposed, int step, int columns, int part)
{
    static float file[2 * ROWS * COLUMNS];
    const int even = (columns + 1) / 2 * 2;
    struct packed packed;
    packed_new(PANELS_F32, ROWS, even, &packed);
    fill(file, transposed, step, ROWS, columns);
    struct tensor_info tensor = {
        .type = ELEMENT_F32,
        .n_dimensions = 2,
        .shape = {transposed ? columns : ROWS * step, transposed ? ROWS * step : columns}};
    const struct weight_piece piece = {.slice = tensor_whole(&tensor),
                                       .panels = packed.panels[0],
                                       .second = packed.panels[1],
                                       .in_turn = step == 2,
                                       .transposed = transposed};
    assert_false(piece_is_plain(&piece));
    const int64_t n_rows = tensor.shape[0], n_columns = tensor.shape[1],
                  height = part * piece_row_unit(&piece), width = part * piece_column_unit(&piece);
    for (int64_t row = 0; row < n_rows; row += height)
        for (int64_t column = 0; column < n_columns; column += width) {
            const struct stored_part stored = {
                .piece = &piece,
                .row = row,
                .n_rows = row + height < n_rows ? height : n_rows - row,
                .column = column,
                .n_columns = column + width < n_columns ? width : n_columns - column,
                .source = file + row * n_columns + column,
                .type = ELEMENT_F32,
                .stride = (size_t)n_columns};
            unpack_part(kernels_for(ISA_REFERENCE), &stored);
        }
    for (int which = 0; which < step; which++)
        for (int row = 0; row < ROWS; row++)
            for (int column = 0; column < even; column++)
                assert_true(packed_at(&packed, which, row, column) ==
                            (column < columns ? mark(which, row, column) : 0));
    free(packed.memory);
}

static void rows_in_turn_and_exchanged_find_their_places(void **state)
{
    (void)state;
    number_mode_set();
    for (int part = 1; part <= 40; part += 13)
        for (int columns = COLUMNS - 1; columns <= COLUMNS; columns++) {
            check_exchange(true, 1, columns, part);
            check_exchange(true, 2, columns, part);
            if (columns % 2 == 0) // parts of rows have even columns but at a row's end
                check_exchange(false, 2, columns, part);
        }
}

static void vectors_in_turn_are_taken_apart(void **state)
{
    (void)state;
    float first[8] = {0}, second[8] = {0};
    bf16 file[16];
    for (int i = 0; i < 16; i++)
        file[i] = bf16_of_float((float)i);
    struct tensor_info tensor = {.type = ELEMENT_BF16, .n_dimensions = 1, .shape = {16}};
    const struct weight_piece piece = {
        .slice = tensor_whole(&tensor), .vector = first, .second_vector = second, .in_turn = true};
    for (int row = 0; row < 16; row += 4)
        unpack_part(kernels_for(ISA_REFERENCE), &(struct stored_part){.piece = &piece,
                                                                      .row = row,
                                                                      .n_rows = 4,
                                                                      .n_columns = 1,
                                                                      .source = file + row,
                                                                      .type = ELEMENT_BF16,
                                                                      .stride = 1});
    for (int i = 0; i < 8; i++)
        assert_true(first[i] == (float)(2 * i) && second[i] == (float)(2 * i + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_in_turn_and_exchanged_find_their_places),
        cmocka_unit_test(vectors_in_turn_are_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
