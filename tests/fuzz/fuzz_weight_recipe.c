// The input is a quantization_config in one line and, behind it, a safetensors file. What is found
// of the matrices "m" and "experts" in it is read whole and in pieces, which must agree.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/json.h"
#include "base/log.h"
#include "device/number.h"
#include "hf/weight_recipe.h"

enum { ROWS_MOST = 32, COLUMNS_MOST = 96, LINE_MOST = 64 << 10 };

static void read_rectangle(const struct checkpoint *checkpoint, const struct stored_weight *w,
                           int64_t row, int64_t rows, int64_t column, int64_t columns, float *out)
{
    void *memory = aligned_alloc(64, (code_tile_bytes(w, rows, columns) + 63) / 64 * 64);
    struct code_tile tile;
    assert(memory);
    memset(out, 0, (size_t)(rows * columns) * sizeof *out);
    if (code_tile_read(checkpoint, w, row, rows, column, columns, memory, &tile) == OK)
        code_tile_numbers(&tile, out, (size_t)columns);
    free(memory);
}

static void use_weight(const struct checkpoint *checkpoint, const struct stored_weight *w)
{
    static float whole[ROWS_MOST * COLUMNS_MOST], part[ROWS_MOST * COLUMNS_MOST];
    char shown[160];
    const int64_t r = w->rows / 3, c = w->columns / 4 * 2;
    stored_weight_show(w, shown, sizeof shown);
    assert(*shown && element_bytes(w->numbers.type) >= 2);
    assert(stored_weight_bytes(w, 0, w->rows, 0, w->columns) <= 64u * ROWS_MOST * COLUMNS_MOST);
    read_rectangle(checkpoint, w, 0, w->rows, 0, w->columns, whole);
    const char *first = status_message();
    if (*first) // refused
        return;
    read_rectangle(checkpoint, w, r, w->rows - r, c, w->columns - c, part);
    const size_t item = element_bytes(w->numbers.type);
    for (int64_t i = r; i < w->rows; i++)
        assert(memcmp((char *)whole + (size_t)(i * w->columns + c) * item,
                      (char *)part + (size_t)((i - r) * (w->columns - c)) * item,
                      (size_t)(w->columns - c) * item) == 0);
}

static void find_weights(const struct checkpoint *checkpoint)
{
    static const struct {
        const char *name;
        int64_t matrices, rows, columns;
    } wanted[] = {{"m.weight", 1, 16, 64}, {"m.weight", 1, 8, 96}, {"experts", 2, 8, 32}};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        struct stored_weight w;
        status_clear();
        if (stored_weight_find(checkpoint, wanted[i].name, wanted[i].matrices, wanted[i].rows,
                               wanted[i].columns, &w) == OK &&
            w.recipe)
            use_weight(checkpoint, &w);
    }
}

static void open_file(const uint8_t *data, size_t size, struct quantisation *quantisation)
{
    const char *path = "fuzz";
    struct safetensors_header header;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    assert(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    if (safetensors_read_header(fd, path, size, &header) == OK) {
        const struct checkpoint checkpoint = {.headers = &header,
                                              .folder = path,
                                              .files = &path,
                                              .fds = &fd,
                                              .n_files = 1,
                                              .tensors = header.tensors,
                                              .n_tensors = header.n_tensors,
                                              .quantisation = quantisation};
        find_weights(&checkpoint);
        safetensors_close(&header);
    }
    close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *end = size ? memchr(data, '\n', size) : NULL;
    struct quantisation *quantisation = NULL;
    json_t *root = NULL;
    log_set_level(LOG_ERROR);
    number_mode_set();
    if (!end || end - data > LINE_MOST ||
        json_parse("fuzz", (const char *)data, (size_t)(end - data), &root) != OK)
        return 0;
    if (quantisation_read(root, "fuzz", &quantisation) == OK)
        open_file(end + 1, size - (size_t)(end + 1 - data), quantisation);
    quantisation_free(quantisation);
    json_decref(root);
    return 0;
}
