#include "testing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/file.h"
#include "hf/checkpoint.h"

enum { ROWS = 37, COLUMNS = 300 }; // odd, so that nothing is aligned

static char folder[64], first[FILE_PATH_MAX], second[FILE_PATH_MAX], index_path[FILE_PATH_MAX];
static uint16_t matrix[ROWS][COLUMNS];
static float vector[COLUMNS];

static void write_tensors(const char *path, const struct tensor_spec *specs, int n,
                          const void *const *data, const size_t *bytes)
{
    struct safetensors_writer *writer;
    assert_int_equal(safetensors_create(path, specs, n, NULL, 0, &writer), OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(safetensors_write(writer, data[i], bytes[i]), OK);
    assert_int_equal(safetensors_finish(writer), OK);
}

// Two files: "matrix" and "cube" (the same bytes in three dimensions) in one, "vector" and "scalar"
// in the other.
static int make_folder(void **state)
{
    (void)state;
    for (int i = 0; i < ROWS * COLUMNS; i++)
        matrix[i / COLUMNS][i % COLUMNS] = (uint16_t)(i * 7 + 1);
    for (int i = 0; i < COLUMNS; i++)
        vector[i] = (float)i;
    snprintf(folder, sizeof folder, "/tmp/colrow-test-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(first, sizeof first, "%s/model-1.safetensors", folder);
    snprintf(second, sizeof second, "%s/model-2.safetensors", folder);
    snprintf(index_path, sizeof index_path, "%s/model.safetensors.index.json", folder);
    const struct tensor_spec wide[] = {
        {.name = "matrix", .type = ELEMENT_BF16, .n_dimensions = 2, .shape = {ROWS, COLUMNS}},
        {.name = "cube", .type = ELEMENT_F16, .n_dimensions = 3, .shape = {ROWS, COLUMNS / 3, 3}},
    };
    const struct tensor_spec narrow[] = {
        {.name = "vector", .type = ELEMENT_F32, .n_dimensions = 1, .shape = {COLUMNS}},
        {.name = "scalar", .type = ELEMENT_F32, .n_dimensions = 0},
    };
    write_tensors(first, wide, 2, (const void *[]){matrix, matrix},
                  (size_t[]){sizeof matrix, sizeof matrix});
    write_tensors(second, narrow, 2, (const void *[]){vector, &vector[5]},
                  (size_t[]){sizeof vector, sizeof vector[0]});
    const char *json = "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {"
                       "\"vector\": \"model-2.safetensors\", \"matrix\": \"model-1.safetensors\","
                       "\"scalar\": \"model-2.safetensors\", \"cube\": \"model-1.safetensors\"}}";
    return file_write(index_path, json, strlen(json)) == OK ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(first);
    unlink(second);
    unlink(index_path);
    return rmdir(folder);
}

static struct checkpoint *open_folder(void)
{
    struct checkpoint *checkpoint;
    enum status status = checkpoint_open(folder, &checkpoint);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    return checkpoint;
}

static void an_index_opens(void **state)
{
    (void)state;
    struct checkpoint *checkpoint = open_folder();
    assert_int_equal(checkpoint->n_files, 2);
    assert_int_equal(checkpoint->n_tensors, 4);
    assert_string_equal(checkpoint->files[0], first);
    assert_int_equal(checkpoint->bytes, 2 * sizeof matrix + sizeof vector + 4);
    assert_int_equal(checkpoint_find(checkpoint, "vector")->file, 1);
    assert_int_equal(checkpoint_find(checkpoint, "matrix")->file, 0);
    assert_null(checkpoint_find(checkpoint, "lm_head.weight"));
    checkpoint_close(checkpoint);
    checkpoint_close(NULL);
}

// As in Transformers: the index says which files there are, they say what they hold.
static void an_index_may_be_wrong(void **state)
{
    (void)state;
    char below[FILE_PATH_MAX], copy[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, "shards", below), OK);
    assert_int_equal(file_join(below, "model-9.safetensors", copy), OK);
    assert_int_equal(mkdir(below, 0777), 0);
    const float other = 7;
    const struct tensor_spec spec = {.name = "scalar", .type = ELEMENT_F32, .n_dimensions = 0};
    write_tensors(copy, &spec, 1, (const void *[]){&other}, (size_t[]){sizeof other});
    const char *json = "{\"metadata\": {\"total_size\": 12.5}, \"weight_map\": {"
                       "\"vector\": \"model-1.safetensors\", \"matrix\": \"model-2.safetensors\","
                       "\"inv_freq\": \"model-2.safetensors\", "
                       "\"scalar\": \"shards/model-9.safetensors\"}}";
    assert_int_equal(file_write(index_path, json, strlen(json)), OK);
    struct checkpoint *checkpoint = open_folder();
    assert_int_equal(checkpoint->n_files, 3);
    assert_int_equal(checkpoint->n_tensors, 4);
    assert_int_equal(checkpoint->bytes, 2 * sizeof matrix + sizeof vector + 4);
    assert_string_equal(checkpoint->repeated, "scalar");
    assert_int_equal(checkpoint_find(checkpoint, "vector")->file, 1);
    assert_int_equal(checkpoint_find(checkpoint, "scalar")->file, 2); // the last one counts
    assert_null(checkpoint_find(checkpoint, "inv_freq"));
    assert_int_equal(checkpoint_dtype(checkpoint), ELEMENT_BF16);
    checkpoint_close(checkpoint);
    unlink(copy);
    rmdir(below);
}

static void rectangles_are_read_exactly(void **state)
{
    (void)state;
    static const int cuts[][4] = {
        {0, ROWS, 0, COLUMNS}, {5, 9, 0, COLUMNS},       {0, ROWS, 100, 103}, {36, 37, 299, 300},
        {3, 20, 0, 150},       {3, 20, 150, COLUMNS},    {0, 0, 0, COLUMNS},  {2, 9, 7, 7},
        {0, ROWS, 1, COLUMNS}, {0, ROWS, 0, COLUMNS - 1}};
    struct checkpoint *checkpoint = open_folder();
    const char *names[] = {"matrix", "cube"};
    for (size_t i = 0; i < 2 * sizeof cuts / sizeof cuts[0]; i++) {
        const int *cut = cuts[i / 2];
        struct tensor_slice slice = {checkpoint_find(checkpoint, names[i % 2]), cut[0], cut[1],
                                     cut[2], cut[3]};
        size_t n = (size_t)(cut[1] - cut[0]) * (size_t)(cut[3] - cut[2]);
        uint16_t *out = malloc(2 * n + 1); // not a byte more: sanitizers see the next one
        uint64_t bytes = 10;
        assert_non_null(out);
        assert_int_equal(checkpoint_read(checkpoint, &slice, out, &bytes), OK);
        assert_int_equal(bytes, 10 + 2 * n);
        for (int row = cut[0], at = 0; row < cut[1]; row++)
            for (int column = cut[2]; column < cut[3]; column++, at++)
                assert_int_equal(out[at], matrix[row][column]);
        struct checkpoint_view view;
        if (n > 0) {
            assert_true(checkpoint_view_open(checkpoint, &slice, &view));
            assert_int_equal(view.stride, COLUMNS);
            for (int row = cut[0]; row < cut[1]; row++)
                assert_memory_equal((const uint16_t *)view.data + (row - cut[0]) * COLUMNS,
                                    &matrix[row][cut[2]], 2 * (size_t)(cut[3] - cut[2]));
            assert_true(checkpoint_view_close(&view));
        } else {
            assert_false(checkpoint_view_open(checkpoint, &slice, &view));
        }
        free(out);
    }
    checkpoint_close(checkpoint);
}

static void vectors_and_scalars_are_read(void **state)
{
    (void)state;
    struct checkpoint *checkpoint = open_folder();
    float out[COLUMNS];
    struct tensor_slice slice = tensor_whole(checkpoint_find(checkpoint, "vector"));
    assert_int_equal(slice.row_end, COLUMNS);
    assert_int_equal(slice.column_end, 1);
    slice.row_begin = 17;
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, NULL), OK);
    assert_memory_equal(out, &vector[17], (COLUMNS - 17) * sizeof out[0]);
    slice = tensor_whole(checkpoint_find(checkpoint, "scalar"));
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, NULL), OK);
    assert_memory_equal(out, &vector[5], sizeof out[0]);
    slice = tensor_whole(checkpoint_find(checkpoint, "cube"));
    assert_int_equal(slice.row_end, ROWS);
    assert_int_equal(slice.column_end, COLUMNS);
    checkpoint_close(checkpoint);
}

// Uneven shards of three ranks: together every byte once.
static void ranks_read_each_byte_once(void **state)
{
    (void)state;
    static const int64_t columns[] = {0, 120, 210, COLUMNS};
    static uint16_t out[ROWS * COLUMNS];
    struct checkpoint *checkpoint = open_folder();
    uint64_t bytes = 0;
    for (int rank = 0; rank < 3; rank++) {
        struct tensor_slice slice = tensor_whole(checkpoint_find(checkpoint, "matrix"));
        slice.column_begin = columns[rank];
        slice.column_end = columns[rank + 1];
        assert_int_equal(checkpoint_read(checkpoint, &slice, out, &bytes), OK);
    }
    assert_int_equal(bytes, sizeof matrix);
    checkpoint_close(checkpoint);
}

static void a_file_cut_after_opening_is_an_error(void **state)
{
    (void)state;
    static uint16_t out[ROWS * COLUMNS];
    struct checkpoint *checkpoint = open_folder();
    struct tensor_slice slice = tensor_whole(checkpoint_find(checkpoint, "matrix"));
    assert_int_equal(truncate(first, (off_t)slice.tensor->offset + 1000), 0);
    struct checkpoint_view view;
    assert_true(checkpoint_view_open(checkpoint, &slice, &view));
    assert_false(checkpoint_view_close(&view));
    uint64_t bytes = 0;
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, &bytes), ERR_INPUT);
    assert_non_null(strstr(status_message(), "tensor \"matrix\""));
    assert_non_null(strstr(status_message(), first));
    slice.column_end = 10; // row by row, too
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, &bytes), ERR_INPUT);
    checkpoint_close(checkpoint);
}

static int count_descriptors(void)
{
    int n = 0;
    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) != -1;
    return n;
}

static void failures_leak_nothing(void **state)
{
    (void)state;
    int before = count_descriptors();
    for (long n = 1;; n++) {
        struct checkpoint *checkpoint;
        memory_fail_after(n);
        enum status status = checkpoint_open(folder, &checkpoint);
        memory_fail_after(0);
        checkpoint_close(checkpoint);
        assert_int_equal(count_descriptors(), before);
        if (status == OK)
            break;
        assert_int_equal(status, ERR_MEMORY);
        assert_true(n < 100);
    }
    assert_int_equal(unlink(second), 0); // the first file is open already when this is found
    struct checkpoint *checkpoint;
    assert_int_equal(checkpoint_open(folder, &checkpoint), ERR_IO);
    assert_null(checkpoint);
    assert_int_equal(count_descriptors(), before);
}

static void a_single_file_goes_before_an_index(void **state)
{
    (void)state;
    char single[FILE_PATH_MAX];
    snprintf(single, sizeof single, "%s/model.safetensors", folder);
    assert_int_equal(rename(second, single), 0);
    struct checkpoint *checkpoint = open_folder();
    assert_int_equal(checkpoint->n_files, 1);
    assert_int_equal(checkpoint->n_tensors, 2);
    checkpoint_close(checkpoint);
    assert_int_equal(unlink(single), 0);
}

static void config_may_name_the_weights(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        int n_tensors; // 0: refused, with
        const char *message;
    } cases[] = {
        {"null", 4, NULL},
        {"\"model-2.safetensors\"", 2, NULL},
        {"\"model.safetensors.index.json\"", 4, NULL},
        {"\"model-3.safetensors\"", 0, "model-3.safetensors: does not exist"},
        {"\"../model-2.safetensors\"", 0, "expected the name of a file in the folder"},
        {"\"/tmp/model-2.safetensors\"", 0, "expected the name of a file in the folder"},
        {"7", 0, "expected the name of a file in the folder"},
        {"\"adapter_model.bin\"", 0, "expected a .safetensors file"},
    };
    char config[FILE_PATH_MAX], text[128];
    assert_int_equal(file_join(folder, "config.json", config), OK);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        snprintf(text, sizeof text, "{\"transformers_weights\": %s}", cases[i].value);
        assert_int_equal(file_write(config, text, strlen(text)), OK);
        struct checkpoint *checkpoint;
        enum status status = checkpoint_open(folder, &checkpoint);
        assert_int_equal(status == OK, cases[i].n_tensors > 0);
        if (status == OK)
            assert_int_equal(checkpoint->n_tensors, cases[i].n_tensors);
        else
            assert_non_null(strstr(status_message(), cases[i].message));
        checkpoint_close(checkpoint);
        assert_int_equal(checkpoint_has_weights(folder), i != 3); // named, and not there
    }
    unlink(config);
}

static void golden_folders_open(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int files, tensors;
    } goldens[] = {{"llama2", 1, 21},
                   {"llama3", 1, 29},
                   {"llama-bias-linear", 1, 35},
                   {"llama-f16-sharded", 18, 39},
                   {"llama-yarn-f32", 1, 21},
                   {"mistral", 1, 30}};
    if (!have_shared()) {
        print_message("skipped: shared/ is not there\n");
        return;
    }
    for (size_t i = 0; i < sizeof goldens / sizeof goldens[0]; i++) {
        char path[FILE_PATH_MAX];
        struct checkpoint *checkpoint;
        snprintf(path, sizeof path, SHARED_DIR "/goldens/%s", goldens[i].name);
        assert_int_equal(checkpoint_open(path, &checkpoint), OK);
        assert_int_equal(checkpoint->n_files, goldens[i].files);
        assert_int_equal(checkpoint->n_tensors, goldens[i].tensors);
        checkpoint_close(checkpoint);
    }
}

int main(void)
{
#define FRESH(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        FRESH(an_index_opens),
        FRESH(an_index_may_be_wrong),
        FRESH(rectangles_are_read_exactly),
        FRESH(vectors_and_scalars_are_read),
        FRESH(ranks_read_each_byte_once),
        FRESH(a_file_cut_after_opening_is_an_error),
        FRESH(failures_leak_nothing),
        FRESH(a_single_file_goes_before_an_index),
        FRESH(config_may_name_the_weights),
        cmocka_unit_test(golden_folders_open),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
