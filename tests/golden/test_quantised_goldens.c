// Quantised checkpoints as their tools wrote them (shared/goldens/quantised): each weight that the
// golden has, bit for bit as the tool's own library dequantises it, read whole and in pieces.
#include "testing.h"

#include <dirent.h>
#include <math.h>

#include "base/file.h"
#include "device/number.h"
#include "hf/weight_recipe.h"

#define FOLDER SHARED_DIR "/goldens/quantised"

static float number_at(const void *numbers, enum element_type type, size_t i)
{
    return type == ELEMENT_BF16  ? float_of_bf16(((const bf16 *)numbers)[i])
           : type == ELEMENT_F16 ? float_of_f16(((const f16 *)numbers)[i])
                                 : ((const float *)numbers)[i];
}

// In rectangles of so many rows and columns.
static void dequantise(const struct checkpoint *checkpoint, const struct stored_weight *w,
                       int64_t row, int64_t n_rows, int64_t height, int64_t width, float *out)
{
    void *memory = aligned_alloc(64, (code_tile_bytes(w, height, width) + 63) / 64 * 64);
    float *numbers = malloc((size_t)(height * width) * sizeof(float));
    assert_true(memory && numbers);
    for (int64_t r = 0; r < n_rows; r += height)
        for (int64_t c = 0; c < w->columns; c += width) {
            const int64_t rows = r + height < n_rows ? height : n_rows - r,
                          columns = c + width < w->columns ? width : w->columns - c;
            struct code_tile tile;
            if (code_tile_read(checkpoint, w, row + r, rows, c, columns, memory, &tile) != OK)
                FAIL_TEST("%s", status_message());
            code_tile_numbers(&tile, numbers, (size_t)columns);
            for (int64_t i = 0; i < rows; i++)
                for (int64_t k = 0; k < columns; k++)
                    out[(r + i) * w->columns + c + k] =
                        number_at(numbers, w->numbers.type, (size_t)(i * columns + k));
        }
    free(memory);
    free(numbers);
}

static float *golden_numbers(const char *path, const struct tensor_info *info)
{
    float *data = malloc(info->bytes);
    FILE *file = fopen(path, "rb");
    assert_true(data && file);
    assert_int_equal(fseek(file, (long)info->offset, SEEK_SET), 0);
    assert_int_equal(fread(data, 1, info->bytes, file), info->bytes);
    fclose(file);
    return data;
}

// "PARAMETER.E.weight" of expert E of gpt-oss; else the name itself, expert 0.
static int expert_of(const char *name, char *parameter, size_t room)
{
    const char *at = strstr(name, "mlp.experts.");
    int expert = 0;
    snprintf(parameter, room, "%s", name);
    if (!at || sscanf(at, "mlp.experts.%*[a-z_].%d.weight", &expert) != 1)
        return 0;
    char *end = strrchr(parameter, '.');
    *end = '\0';
    *strrchr(parameter, '.') = '\0';
    return expert;
}

static void check_weight(const struct checkpoint *checkpoint, const char *path,
                         const struct tensor_info *golden)
{
    static const int64_t heights[] = {1 << 20, 48, 7}, widths[] = {1 << 20, 54, 1 << 20};
    char name[256];
    const int64_t rows = golden->shape[0], columns = golden->shape[1],
                  expert = expert_of(golden->name, name, sizeof name);
    const bool of_all = !strstr(name, ".weight");
    struct stored_weight w;
    if (stored_weight_find(checkpoint, name, of_all ? 4 : 1, rows, columns, &w) != OK)
        FAIL_TEST("%s", status_message());
    assert_non_null(w.recipe);
    float *expected = golden_numbers(path, golden),
          *found = malloc((size_t)(rows * columns) * sizeof *found);
    assert_non_null(found);
    for (int way = 0; way < 3; way++) {
        const int64_t height = heights[way] < rows ? heights[way] : rows,
                      width = widths[way] < columns ? widths[way] : columns;
        dequantise(checkpoint, &w, expert * rows, rows, height, width, found);
        for (int64_t i = 0; i < rows * columns; i++)
            if (found[i] != expected[i] || signbit(found[i]) != signbit(expected[i]))
                FAIL_TEST("%s %s: [%lld, %lld] is %a, expected %a", checkpoint->folder,
                          golden->name, (long long)(i / columns), (long long)(i % columns),
                          (double)found[i], (double)expected[i]);
    }
    free(expected);
    free(found);
}

static int check_folder(const char *name)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX], shown[128];
    struct checkpoint *checkpoint;
    struct safetensors_header golden;
    int n = 0;
    snprintf(folder, sizeof folder, FOLDER "/%s", name);
    snprintf(path, sizeof path, "%.4000s/golden.safetensors", folder);
    if (!file_exists(path))
        return 0;
    if (checkpoint_open(folder, &checkpoint) != OK)
        FAIL_TEST("%s", status_message());
    assert_int_equal(safetensors_open(path, &golden), OK);
    for (int i = 0; i < golden.n_tensors; i++) {
        const char *end = strrchr(golden.tensors[i].name, '.');
        if (!end || strcmp(end, ".weight") != 0)
            continue;
        check_weight(checkpoint, path, &golden.tensors[i]);
        n++;
    }
    snprintf(shown, sizeof shown, "%s", name);
    printf("%-28s %d weights bit for bit\n", shown, n);
    assert_true(n > 0);
    safetensors_close(&golden);
    checkpoint_close(checkpoint);
    return 1;
}

static void weights_are_those_of_the_libraries(void **state)
{
    (void)state;
    struct dirent **names;
    int n = scandir(FOLDER, &names, NULL, alphasort), n_checked = 0;
    number_mode_set();
    assert_true(n > 0);
    for (int i = 0; i < n; i++) {
        if (names[i]->d_name[0] != '.')
            n_checked += check_folder(names[i]->d_name);
        free(names[i]);
    }
    free(names);
    assert_true(n_checked >= 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(weights_are_those_of_the_libraries)};
    if (!have_shared())
        return TEST_SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
