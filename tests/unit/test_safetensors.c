#include "testing.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/file.h"
#include "hf/safetensors.h"

static char path[64];

static int make_path(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/colrow-test-%ld.safetensors", (long)getpid());
    return 0;
}

static int remove_path(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static enum status parse(const char *json, uint64_t data_bytes, struct safetensors_header *header)
{
    return safetensors_parse("a file", json, strlen(json), 8 + strlen(json) + data_bytes, header);
}

static void types_have_names_and_sizes(void **state)
{
    (void)state;
    for (int i = ELEMENT_NONE + 1; i <= ELEMENT_F6_E3M2; i++) {
        enum element_type type = (enum element_type)i;
        const char *name = element_name(type);
        assert_true(element_bits(type) >= 4 && element_bits(type) <= 64);
        assert_int_equal(element_bytes(type), element_bits(type) / 8);
        assert_int_equal(element_from_safetensors(name, strlen(name)), type);
        assert_int_equal(element_from_dtype(element_dtype_name(type)), type);
    }
    assert_int_equal(element_bytes(ELEMENT_NONE), 0);
    assert_int_equal(element_from_safetensors("none", 4), ELEMENT_NONE);
    assert_int_equal(element_from_dtype("torch.bfloat16"), ELEMENT_BF16);
    assert_int_equal(element_from_dtype("half"), ELEMENT_F16);
}

static void headers_are_read(void **state)
{
    (void)state;
    struct safetensors_header header;
    const char *json =
        " {\"b\" : {\"shape\":[2, 3],\"data_offsets\":[0,12], \"dtype\":\"BF16\"},\n"
        "\"__metadata__\":{\"format\":\"pt\",\"a\":\"\\\"\\u00e9\\n\"},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[12,16]},"
        "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,4],\"data_offsets\":[12,12]}}  \n";
    enum status status = parse(json, 16, &header);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    assert_int_equal(header.n_tensors, 3);
    assert_string_equal(header.tensors[0].name, "a");
    assert_string_equal(header.tensors[1].name, "b");
    const struct tensor_info *b = safetensors_find(&header, "b");
    assert_int_equal(b->type, ELEMENT_BF16);
    assert_int_equal(b->n_dimensions, 2);
    assert_int_equal(b->shape[0], 2);
    assert_int_equal(b->shape[1], 3);
    assert_int_equal(b->offset, 8 + strlen(json));
    assert_int_equal(b->bytes, 12);
    assert_int_equal(safetensors_find(&header, "empty")->bytes, 0);
    assert_null(safetensors_find(&header, "c"));
    assert_int_equal(header.n_metadata, 2);
    assert_string_equal(header.metadata[0], "a");
    assert_string_equal(header.metadata[1], "\"é\n");
    assert_string_equal(header.metadata[3], "pt");
    safetensors_close(&header);
}

static void no_tensors_are_fine(void **state)
{
    (void)state;
    struct safetensors_header header;
    assert_int_equal(parse("{}", 0, &header), OK);
    assert_int_equal(header.n_tensors, 0);
    assert_null(safetensors_find(&header, ""));
    safetensors_close(&header);
    safetensors_close(&header); // twice does no harm
}

// What safetensors 0.8 reads: keys it does not know, repeated ones, null, more dimensions, newer
// types, NUL in remarks.
static void headers_of_other_writers_are_read(void **state)
{
    (void)state;
    struct safetensors_header header;
    const char *json =
        "{\"__metadata__\":{\"a\":\"1\",\"b\":\"x\\u0000y\",\"a\":\"2\"},"
        "\"w\":{\"dtype\":\"U8\",\"shape\":[9],\"data_offsets\":[0,9],"
        "\"strides\":{\"x\":[1e3,null,true,\"\\ud83d\\ude00\",-0]}},"
        "\"w\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,2,3],\"data_offsets\":[0,6]},"
        "\"f4\":{\"dtype\":\"F4\",\"shape\":[3,2],\"data_offsets\":[6,9]},"
        "\"f6\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[9,12]}}";
    enum status status = parse(json, 12, &header);
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
    assert_int_equal(header.n_tensors, 3);
    assert_int_equal(header.n_metadata, 2);
    assert_string_equal(header.metadata[1], "2");
    assert_string_equal(header.metadata[3], "x\xEF\xBF\xBDy");
    const struct tensor_info *w = safetensors_find(&header, "w");
    assert_int_equal(w->bytes, 6);
    assert_int_equal(w->n_dimensions, TENSOR_DIMENSIONS_MAX);
    assert_int_equal(w->shape[TENSOR_DIMENSIONS_MAX - 1], 6);
    safetensors_close(&header);
    assert_int_equal(parse("{\"__metadata__\":null}", 0, &header), OK);
    safetensors_close(&header);
}

static void a_hundred_thousand_tensors_parse_fast(void **state)
{
    (void)state;
    enum { N = 100000 };
    struct bytes json;
    bytes_init(&json);
    assert_int_equal(bytes_text(&json, "{"), OK);
    for (int i = 0; i < N; i++)
        assert_int_equal(
            bytes_format(&json,
                         "%s\"model.layers.%d.mlp.experts.%d.up_proj.weight\":{\"dtype\":\"BF16\","
                         "\"shape\":[2],\"data_offsets\":[%d,%d]}",
                         i ? "," : "", i / 256, i % 256, 4 * i, 4 * i + 4),
            OK);
    assert_int_equal(bytes_text(&json, "}"), OK);
    struct safetensors_header header;
    double begun = user_seconds();
    assert_int_equal(parse(json.data, 4 * N, &header), OK);
    double took = user_seconds() - begun;
    print_message("%d tensors in %.3f s\n", N, took);
    assert_int_equal(header.n_tensors, N);
    assert_int_equal(
        safetensors_find(&header, "model.layers.3.mlp.experts.7.up_proj.weight")->offset,
        8 + json.length + 4 * (3 * 256 + 7));
    assert_true(took < patience(1)); // 0.06 s in release
    safetensors_close(&header);
    bytes_fini(&json);
}

static void memory_that_fails_is_given_back(void **state)
{
    (void)state;
    const char *json = "{\"__metadata__\":{\"a\":\"b\"},\"a\":{\"dtype\":\"U8\",\"shape\":[],"
                       "\"data_offsets\":[0,1]}}";
    for (long n = 1;; n++) {
        struct safetensors_header header;
        memory_fail_after(n);
        enum status status = parse(json, 1, &header);
        memory_fail_after(0);
        safetensors_close(&header);
        if (status == OK)
            break;
        assert_int_equal(status, ERR_MEMORY);
        assert_true(n < 10);
    }
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    const struct tensor_spec specs[] = {
        {.name = "logits", .type = ELEMENT_F32, .n_dimensions = 2, .shape = {2, 3}},
        {.name = "a \"name\"\n", .type = ELEMENT_BF16, .n_dimensions = 0},
        {.name = "none", .type = ELEMENT_I64, .n_dimensions = 1, .shape = {0}},
    };
    const char *metadata[] = {"format", "pt", "prompt", "\"é\""};
    const float logits[6] = {1, 2, 3, 4, 5, 6};
    struct safetensors_writer *writer;
    assert_int_equal(safetensors_create(path, specs, 3, metadata, 2, &writer), OK);
    assert_int_equal(safetensors_write(writer, logits, 12), OK);
    assert_false(file_exists(path)); // not before it is whole
    assert_int_equal(safetensors_write(writer, &logits[3], 12), OK);
    assert_int_equal(safetensors_write(writer, "ab", 2), OK);
    assert_int_equal(safetensors_finish(writer), OK);

    struct safetensors_header header;
    assert_int_equal(safetensors_open(path, &header), OK);
    assert_int_equal(header.n_tensors, 3);
    assert_int_equal(header.n_metadata, 2);
    assert_string_equal(header.metadata[3], "\"é\"");
    const struct tensor_info *tensor = safetensors_find(&header, "logits");
    assert_int_equal(tensor->offset % 8, 0);
    float back[250];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(safetensors_pread(fd, path, tensor->offset, back, sizeof logits), OK);
    assert_memory_equal(back, logits, sizeof logits);
    assert_int_equal(safetensors_pread(fd, path, tensor->offset, back, sizeof back), ERR_INPUT);
    assert_non_null(strstr(status_message(), "too early"));
    close(fd);
    assert_non_null(safetensors_find(&header, "a \"name\"\n"));
    safetensors_close(&header);
}

static void unfinished_files_vanish(void **state)
{
    (void)state;
    const struct tensor_spec spec = {
        .name = "w", .type = ELEMENT_U8, .n_dimensions = 1, .shape = {4}};
    struct safetensors_writer *writer;
    assert_int_equal(safetensors_create(path, &spec, 1, NULL, 0, &writer), OK);
    assert_int_equal(safetensors_write(writer, "abc", 3), OK);
    assert_int_equal(safetensors_finish(writer), ERR_INTERNAL); // a byte is missing
    assert_false(file_exists(path));
    assert_int_equal(safetensors_create(path, &spec, 1, NULL, 0, &writer), OK);
    safetensors_abandon(writer);
    safetensors_abandon(NULL);
    char neighbour[128];
    snprintf(neighbour, sizeof neighbour, "%s.%ld.new", path, (long)getpid());
    assert_false(file_exists(neighbour));
    assert_int_equal(safetensors_create("/nowhere/a.safetensors", &spec, 1, NULL, 0, &writer),
                     ERR_IO);
    assert_null(writer);
    const struct tensor_spec bad = {.name = "\xff", .type = ELEMENT_U8, .n_dimensions = 0};
    assert_int_equal(safetensors_create(path, &bad, 1, NULL, 0, &writer), ERR_INPUT);
    const struct tensor_spec huge = {
        .name = "w", .type = ELEMENT_F32, .n_dimensions = 2, .shape = {1LL << 40, 1LL << 40}};
    assert_int_equal(safetensors_create(path, &huge, 1, NULL, 0, &writer), ERR_INPUT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_have_names_and_sizes),
        cmocka_unit_test(headers_are_read),
        cmocka_unit_test(no_tensors_are_fine),
        cmocka_unit_test(headers_of_other_writers_are_read),
        cmocka_unit_test(a_hundred_thousand_tensors_parse_fast),
        cmocka_unit_test(memory_that_fails_is_given_back),
        cmocka_unit_test_setup_teardown(what_is_written_is_read, make_path, remove_path),
        cmocka_unit_test_setup_teardown(unfinished_files_vanish, make_path, remove_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
