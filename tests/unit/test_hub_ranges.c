// A folder with headers alone, whose bytes a source gives that reads the whole file elsewhere.
#include "testing.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hf/checkpoint.h"
#include "hf/hub_ranges.h"

enum { ROWS = 50, COLUMNS = 64 };
#define COMMIT "0123456789abcdef0123456789abcdef01234567"

static char work[64], folder[FILE_PATH_MAX], whole[FILE_PATH_MAX];
static uint16_t matrix[ROWS][COLUMNS];
static uint64_t whole_bytes;

struct byte_source {
    int fd, calls;
    uint64_t bytes;
    bool broken;
};

static enum status read_here(struct byte_source *source, const struct hub_ranges_file *file,
                             uint64_t offset, void *out, size_t bytes)
{
    assert_string_equal(file->path, "model.safetensors");
    assert_true(offset + bytes <= file->bytes);
    source->calls++;
    source->bytes += bytes;
    if (source->broken)
        return fail(ERR_IO, "the hub is gone");
    return safetensors_pread(source->fd, whole, offset, out, bytes);
}
static const struct byte_sources sources = {.read = read_here};

static void write_note(const char *text)
{
    char path[FILE_PATH_MAX];
    assert_int_equal(file_join(folder, "colrow-ranges.json", path), OK);
    assert_int_equal(file_write(path, text, strlen(text)), OK);
}

static int make_folder(void **state)
{
    (void)state;
    char path[FILE_PATH_MAX];
    struct bytes text;
    struct safetensors_writer *writer;
    const struct tensor_spec spec = {
        .name = "matrix", .type = ELEMENT_BF16, .n_dimensions = 2, .shape = {ROWS, COLUMNS}};
    for (int i = 0; i < ROWS * COLUMNS; i++)
        matrix[i / COLUMNS][i % COLUMNS] = (uint16_t)(i * 7 + 1);
    snprintf(work, sizeof work, "/tmp/colrow-test-XXXXXX");
    if (!mkdtemp(work))
        return -1;
    snprintf(whole, sizeof whole, "%s/whole", work);
    snprintf(folder, sizeof folder, "%s/folder", work);
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(safetensors_create(whole, &spec, 1, NULL, 0, &writer), OK);
    assert_int_equal(safetensors_write(writer, matrix, sizeof matrix), OK);
    assert_int_equal(safetensors_finish(writer), OK);
    bytes_init(&text);
    assert_int_equal(file_read(whole, 1 << 20, &text), OK);
    whole_bytes = text.length;
    assert_int_equal(file_join(folder, "model.safetensors", path), OK);
    assert_int_equal(file_write(path, text.data, text.length - sizeof matrix), OK);
    bytes_fini(&text);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", work);
    return system(command);
}

static void write_right_note(void)
{
    struct hub_entry entries[] = {
        {.path = (char *)"model.safetensors", .bytes = whole_bytes, .wanted = true},
        {.path = (char *)"config.json", .bytes = 3}};
    const struct hub_listing listing = {.entries = entries, .n = 2};
    assert_int_equal(hub_ranges_write(folder, "org/name", COMMIT, &listing), OK);
}

static void rectangles_come_from_the_source(void **state)
{
    (void)state;
    struct byte_source source = {.fd = open(whole, O_RDONLY | O_CLOEXEC)};
    struct checkpoint *checkpoint;
    uint16_t out[ROWS][COLUMNS];
    write_right_note();
    assert_int_equal(checkpoint_open(folder, &checkpoint), OK);
    assert_non_null(checkpoint->remote);
    assert_string_equal(checkpoint->remote->id, "org/name");
    struct tensor_slice slice = tensor_whole(checkpoint_find(checkpoint, "matrix"));
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, NULL), ERR_INPUT); // by nobody
    checkpoint_read_from(checkpoint, &sources, &source);
    uint64_t bytes = 0;
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, &bytes), OK);
    assert_memory_equal(out, matrix, sizeof matrix);
    assert_int_equal(source.calls, 1);
    assert_int_equal(bytes, sizeof matrix);
    for (int i = 0; i < 200; i++) {
        slice.row_begin = rand() % ROWS;
        slice.row_end = slice.row_begin + 1 + rand() % (ROWS - (int)slice.row_begin);
        slice.column_begin = rand() % COLUMNS;
        slice.column_end = slice.column_begin + 1 + rand() % (COLUMNS - (int)slice.column_begin);
        const uint16_t *next = &out[0][0];
        struct checkpoint_view view;
        assert_false(checkpoint_view_open(checkpoint, &slice, &view));
        assert_false(checkpoint_is_cached(checkpoint, &slice));
        assert_int_equal(checkpoint_read(checkpoint, &slice, out, NULL), OK);
        for (int64_t row = slice.row_begin; row < slice.row_end; row++)
            for (int64_t column = slice.column_begin; column < slice.column_end; column++)
                assert_int_equal(*next++, matrix[row][column]);
    }
    source.broken = true;
    assert_int_equal(checkpoint_read(checkpoint, &slice, out, NULL), ERR_IO);
    checkpoint_close(checkpoint);
    close(source.fd);
}

static void notes_are_checked(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",
        "[]",
        "{}",
        "{\"repository\": \"org/name\", \"commit\": \"main\", \"files\": []}",
        "{\"repository\": \"../x\", \"commit\": \"" COMMIT "\", \"files\": []}",
        "{\"repository\": \"org/name@v1\", \"commit\": \"" COMMIT "\", \"files\": []}",
        "{\"repository\": \"org/name\", \"commit\": \"" COMMIT "\", \"files\": [1]}",
        "{\"repository\": \"org/name\", \"commit\": \"" COMMIT
        "\", \"files\": [{\"path\": \"../a\", \"bytes\": 1}]}",
        "{\"repository\": \"org/name\", \"commit\": \"" COMMIT
        "\", \"files\": [{\"path\": \"model.safetensors\", \"bytes\": -1}]}",
        // of another file, and of another size
        "{\"repository\": \"org/name\", \"commit\": \"" COMMIT
        "\", \"files\": [{\"path\": \"other.safetensors\", \"bytes\": 100}]}",
        "{\"repository\": \"org/name\", \"commit\": \"" COMMIT
        "\", \"files\": [{\"path\": \"model.safetensors\", \"bytes\": 100}]}",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct checkpoint *checkpoint;
        write_note(wrong[i]);
        assert_int_equal(checkpoint_open(folder, &checkpoint), ERR_INPUT);
        assert_null(checkpoint);
    }
    write_right_note();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rectangles_come_from_the_source),
        cmocka_unit_test(notes_are_checked),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
