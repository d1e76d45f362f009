// Bad safetensors, indices and folders are refused; the rules are in bad_input.h.
#include "bad_input.h"

#include "hf/checkpoint.h"

static enum status open_checkpoint(const char *path)
{
    struct checkpoint *checkpoint;
    enum status status = checkpoint_open(path, &checkpoint);
    checkpoint_close(checkpoint);
    return status;
}

#define ONE(header, bytes)                                                                         \
    {                                                                                              \
        {                                                                                          \
            .name = "model.safetensors", .text = header, .data = bytes                             \
        }                                                                                          \
    }
#define ENTRY(dtype, shape, offsets)                                                               \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
#define TENSOR(dtype, shape, offsets) "{\"w\":" ENTRY(dtype, shape, offsets) "}"
#define FILE_AND_TENSOR "model.safetensors", "tensor \"w\""

static const struct bad_case safetensors_cases[] = {
    {"header length beyond the file",
     {{.name = "model.safetensors", .text = "{}", .length = 3}},
     {"model.safetensors", "header length is 3", "at most 2"}},
    {"header length 2^63",
     {{.name = "model.safetensors", .text = "{}", .length = INT64_MIN}},
     {"model.safetensors", "header length is 9223372036854775808"}},
    {"header length too short",
     {{.name = "model.safetensors",
       .text = TENSOR("F32", "[1]", "[0,4]"),
       .data = 4,
       .length = 10}},
     {"model.safetensors", "a string that ends"}},
    {"cut header",
     {{.name = "model.safetensors", .text = TENSOR("F32", "[1]", "[0,4]"), .data = -20}},
     {"model.safetensors", "header length", "it is cut"}},
    {"no JSON", ONE("hello, this is no header", 0), {"model.safetensors", "'{'", "hello"}},
    {"no header",
     {{.name = "model.safetensors", .text = "", .length = 0}},
     {"model.safetensors", "'{'"}},
    {"an array", ONE("[]", 0), {"model.safetensors", "'{'", "column 1"}},
    {"cut JSON",
     ONE("{\"w\":{\"dtype\":\"F3", 0),
     {FILE_AND_TENSOR, "\"dtype\"", "a string that ends"}},
    {"text behind", ONE("{} {}", 0), {"model.safetensors", "nothing more", "column 4"}},
    {"comma at the end",
     ONE("{\"w\":" ENTRY("F32", "[]", "[0,4]") ",}", 4),
     {"model.safetensors", "a string"}},
    {"entry is no object", ONE("{\"w\":3}", 0), {FILE_AND_TENSOR, "'{'"}},
    {"entry is null", ONE("{\"w\":null}", 0), {FILE_AND_TENSOR, "null"}},
    {"empty entry", ONE("{\"w\":{}}", 0), {FILE_AND_TENSOR, "\"dtype\" is missing"}},
    {"unknown type",
     ONE(TENSOR("F31", "[1]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"dtype\" is \"F31\"", "BF16"}},
    {"type in small letters",
     ONE(TENSOR("bf16", "[1]", "[0,2]"), 2),
     {FILE_AND_TENSOR, "\"bf16\""}},
    {"type with NUL",
     ONE(TENSOR("F32\\u0000", "[1]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"dtype\" is \"F32?\""}},
    {"type missing",
     ONE("{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4),
     {FILE_AND_TENSOR, "\"dtype\""}},
    {"type is a number",
     ONE("{\"w\":{\"dtype\":32}}", 0),
     {FILE_AND_TENSOR, "\"dtype\"", "a string", "column 15", "32"}},
    {"shape missing",
     ONE("{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4),
     {FILE_AND_TENSOR, "\"shape\""}},
    {"shape negative",
     ONE(TENSOR("F32", "[-1]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"shape\"", "-1"}},
    {"shape real", ONE(TENSOR("F32", "[1.5]", "[0,4]"), 4), {FILE_AND_TENSOR, "\"shape\"", "1.5"}},
    {"shape with exponent",
     ONE(TENSOR("F32", "[1e3]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"shape\"", "1e3"}},
    {"shape is a number",
     ONE(TENSOR("F32", "1", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"shape\"", "'['"}},
    {"shape of strings",
     ONE(TENSOR("F32", "[\\\"1\\\"]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"shape\""}},
    {"size 2^63",
     ONE(TENSOR("F32", "[9223372036854775808]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "below 2^63"}},
    {"product overflows",
     ONE(TENSOR("F32", "[4294967296,4294967296]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "\"shape\" overflows"}},
    {"product overflows to 0",
     ONE(TENSOR("U8", "[4294967296,4294967296]", "[0,0]"), 0),
     {FILE_AND_TENSOR, "\"shape\" overflows"}},
    {"overflow behind a zero",
     ONE(TENSOR("F32", "[0,4294967296,4294967296]", "[0,0]"), 0),
     {FILE_AND_TENSOR, "\"shape\" overflows"}},
    {"65 dimensions",
     ONE(TENSOR("U8",
                "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
                "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
                "[0,1]"),
         1),
     {FILE_AND_TENSOR, "\"shape\"", "more than 64"}},
    {"half a byte",
     ONE(TENSOR("F4", "[3]", "[0,2]"), 2),
     {FILE_AND_TENSOR, "\"shape\"", "12 bits", "whole bytes"}},
    {"offsets missing",
     ONE("{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4),
     {FILE_AND_TENSOR, "\"data_offsets\""}},
    {"one offset",
     ONE(TENSOR("F32", "[1]", "[4]"), 4),
     {FILE_AND_TENSOR, "\"data_offsets\" has 1", "two"}},
    {"three offsets",
     ONE(TENSOR("F32", "[1]", "[0,4,8]"), 4),
     {FILE_AND_TENSOR, "\"data_offsets\"", "2"}},
    {"offsets descend",
     ONE(TENSOR("F32", "[1]", "[4,0]"), 4),
     {FILE_AND_TENSOR, "[4, 0]", "ascending"}},
    {"offsets past the end",
     ONE(TENSOR("F32", "[2]", "[0,8]"), 4),
     {FILE_AND_TENSOR, "[0, 8]", "the 4 bytes"}},
    {"offsets far past the end",
     ONE(TENSOR("F32", "[1]", "[9223372036854775803,9223372036854775807]"), 4),
     {FILE_AND_TENSOR, "9223372036854775807"}},
    {"type too wide",
     ONE(TENSOR("F64", "[1]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "spans 4", "expected 8", "F64"}},
    {"shape too large",
     ONE(TENSOR("F32", "[2]", "[0,4]"), 4),
     {FILE_AND_TENSOR, "spans 4", "expected 8"}},
    {"shape too small",
     ONE(TENSOR("F32", "[1]", "[0,8]"), 8),
     {FILE_AND_TENSOR, "spans 8", "expected 4"}},
    {"overlap",
     ONE("{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"w\":" ENTRY("F32", "[2]", "[4,12]") "}", 12),
     {FILE_AND_TENSOR, "begins at 4; expected 8", "overlap"}},
    {"same bytes twice",
     ONE("{\"a\":" ENTRY("F32", "[1]", "[0,4]") ",\"w\":" ENTRY("F32", "[1]", "[0,4]") "}", 4),
     {"model.safetensors", "begins at 0; expected 4", "overlap"}},
    {"hole",
     ONE("{\"a\":" ENTRY("F32", "[1]", "[0,4]") ",\"w\":" ENTRY("F32", "[1]", "[8,12]") "}", 12),
     {FILE_AND_TENSOR, "begins at 8; expected 4", "hole"}},
    {"hole in front",
     ONE(TENSOR("F32", "[1]", "[4,8]"), 8),
     {FILE_AND_TENSOR, "begins at 4; expected 0", "hole"}},
    {"bytes behind",
     ONE(TENSOR("F32", "[1]", "[0,4]"), 5),
     {"model.safetensors", "the file has", "the last tensor"}},
    {"bytes without tensors",
     ONE("{}", 5),
     {"model.safetensors", "the file has 15", "expected 10"}},
    {"name twice",
     ONE("{\"w\":" ENTRY("F32", "[1]", "[0,4]") ",\"w\":" ENTRY("F32", "[1]", "[4,8]") "}", 8),
     {FILE_AND_TENSOR, "begins at 4; expected 0", "hole"}},
    {"key twice",
     ONE("{\"w\":{\"dtype\":\"F32\",\"dtype\":\"F16\"}}", 4),
     {FILE_AND_TENSOR, "second key \"dtype\""}},
    {"unknown key and no other",
     ONE("{\"w\":{\"strides\":[1]}}", 4),
     {FILE_AND_TENSOR, "\"dtype\" is missing"}},
    {"unknown key with no JSON",
     ONE("{\"w\":{\"strides\":[1,]}}", 4),
     {FILE_AND_TENSOR, "not valid JSON", "a value"}},
    {"name without UTF-8", ONE("{\"\xff\":3}", 0), {"model.safetensors", "UTF-8"}},
    {"name with NUL", ONE("{\"a\\u0000b\":3}", 0), {"model.safetensors", "\"a?b\"", "NUL"}},
    {"half a surrogate pair", ONE("{\"\\ud800x\":3}", 0), {"model.safetensors", "surrogates"}},
    {"metadata is a list",
     ONE("{\"__metadata__\":[]}", 0),
     {"model.safetensors", "__metadata__", "'{'"}},
    {"metadata of numbers",
     ONE("{\"__metadata__\":{\"a\":1}}", 0),
     {"model.safetensors", "__metadata__", "a string"}},
    {"metadata twice",
     ONE("{\"__metadata__\":{},\"__metadata__\":{}}", 0),
     {"__metadata__", "twice"}},
    {"a folder", {{.name = "model.safetensors"}}, {"model.safetensors", "regular file"}},
    {"a Git LFS pointer",
     {{.name = "model.safetensors",
       .text = "version https://git-lfs.github.com/spec/v1\n",
       .data = -1000}},
     {"model.safetensors", "Git LFS pointer", "git lfs pull"}},
    {"empty",
     {{.name = "model.safetensors", .text = "", .data = -1000}},
     {"model.safetensors", "has 0 bytes"}},
    {"seven bytes",
     {{.name = "model.safetensors", .text = "1234567", .data = -1000}},
     {"model.safetensors", "7 bytes"}},
};

static void bad_safetensors_are_refused(void **state)
{
    (void)state;
    run_cases(safetensors_cases, sizeof safetensors_cases / sizeof safetensors_cases[0],
              open_checkpoint);
}

static enum status open_huge_header(const char *path)
{
    char file[FILE_PATH_MAX];
    TRY(file_join(path, "model.safetensors", file));
    assert_int_equal(truncate(file, 1LL << 40), 0); // sparse
    return open_checkpoint(path);
}

static void a_huge_header_is_refused(void **state)
{
    (void)state;
    static const struct bad_case bad = {
        "header of a terabyte",
        {{.name = "model.safetensors", .text = "{}", .length = 1LL << 39}},
        {"model.safetensors", "549755813888", "104857600"}};
    static const struct bad_case blank = {
        "header of 100 MB of NUL",
        {{.name = "model.safetensors", .text = "{", .length = 100 << 20}},
        {"model.safetensors", "a string", "column 2"}};
    run_cases(&bad, 1, open_huge_header);
    run_cases(&blank, 1, open_huge_header);
}

static enum status open_broken_link(const char *path)
{
    char file[FILE_PATH_MAX];
    TRY(file_join(path, "model.safetensors", file));
    assert_int_equal(symlink("../blobs/0123", file), 0); // as in HuggingFace's cache
    return open_checkpoint(path);
}

static void a_link_to_nothing_is_refused(void **state)
{
    (void)state;
    static const struct bad_case bad = {
        "broken link", {{0}}, {"/model.safetensors", "link to nothing"}};
    run_cases(&bad, 1, open_broken_link);
}

static enum status open_fifo(const char *path)
{
    char file[FILE_PATH_MAX];
    TRY(file_join(path, "model.safetensors", file));
    assert_int_equal(mkfifo(file, 0600), 0);
    return open_checkpoint(path);
}

static void a_fifo_does_not_hold_us(void **state)
{
    (void)state;
    static const struct bad_case bad = {"FIFO", {{0}}, {"/model.safetensors", "regular file"}};
    run_cases(&bad, 1, open_fifo);
}

#define INDEX_FILE "model.safetensors.index.json"
#define INDEX(json)                                                                                \
    {                                                                                              \
        .name = INDEX_FILE, .text = json                                                           \
    }
#define SHARD(file)                                                                                \
    {                                                                                              \
        .name = file, .text = TENSOR("F32", "[1]", "[0,4]"), .data = 4                             \
    }

static const struct bad_case folder_cases[] = {
    {"empty folder", {{0}}, {"/tmp/colrow-bad-", "no weights", "model.safetensors"}},
    {"PyTorch", {{.name = "pytorch_model.bin", .text = "x"}}, {"pytorch_model.bin", "safetensors"}},
    {"PyTorch, two files",
     {{.name = "b.pt", .text = "x"}, {.name = "a.pth", .text = "x"}},
     {"/a.pth", ".pth", "safetensors"}},
    {"GGUF", {{.name = "model.gguf", .text = "GGUF"}}, {"model.gguf", "safetensors"}},
    {"Flax", {{.name = "flax_model.msgpack", .text = "x"}}, {"flax_model.msgpack", "safetensors"}},
    {"TensorFlow", {{.name = "tf_model.h5", .text = "x"}}, {"tf_model.h5", "safetensors"}},
    {"a checkpoint", {{.name = "last.ckpt", .text = "x"}}, {"last.ckpt", "safetensors"}},
    {"an adapter", {SHARD("adapter_model.safetensors")}, {"adapter_model.safetensors", "neither"}},
    {"index is no JSON", {INDEX("weight_map")}, {INDEX_FILE, "not valid JSON"}},
    {"index is an array", {INDEX("[]")}, {INDEX_FILE, "an array"}},
    {"no weight_map", {INDEX("{\"metadata\":{}}")}, {INDEX_FILE, "\"weight_map\"", "missing"}},
    {"weight_map is an array",
     {INDEX("{\"weight_map\":[]}")},
     {INDEX_FILE, "\"weight_map\"", "an array"}},
    {"weight_map is empty", {INDEX("{\"weight_map\":{}}")}, {INDEX_FILE, "\"weight_map\" has 0"}},
    {"file is a number", {INDEX("{\"weight_map\":{\"w\":1}}")}, {INDEX_FILE, "\"w\" is 1"}},
    {"file is empty", {INDEX("{\"weight_map\":{\"w\":\"\"}}")}, {INDEX_FILE, "\"w\" is \"\""}},
    {"file elsewhere",
     {INDEX("{\"weight_map\":{\"w\":\"/etc/a.safetensors\"}}")},
     {INDEX_FILE, "\"w\"", "/etc/a.safetensors", "same folder"}},
    {"file above", {INDEX("{\"weight_map\":{\"w\":\"..\"}}")}, {INDEX_FILE, "\"w\"", "\"..\""}},
    {"file above a folder",
     {INDEX("{\"weight_map\":{\"w\":\"a/../../b.safetensors\"}}")},
     {INDEX_FILE, "\"w\"", "a/../../b.safetensors"}},
    {"file with NUL",
     {INDEX("{\"weight_map\":{\"w\":\"a.safetensors\\u0000.safetensors\"}}")},
     {INDEX_FILE, "\"w\""}},
    {"pickle in the index",
     {INDEX("{\"weight_map\":{\"w\":\"a.bin\"}}")},
     {INDEX_FILE, "a.bin", ".safetensors"}},
    {"file missing",
     {INDEX("{\"weight_map\":{\"w\":\"a.safetensors\"}}")},
     {INDEX_FILE, "\"weight_map\" names a.safetensors", "No such file"}},
    {"cut shard",
     {INDEX("{\"weight_map\":{\"w\":\"a.safetensors\"}}"),
      {.name = "a.safetensors", .text = TENSOR("F32", "[1]", "[0,4]"), .data = 3}},
     {"a.safetensors", "tensor \"w\"", "the 3 bytes"}},
};

static void bad_folders_are_refused(void **state)
{
    (void)state;
    run_cases(CASES(folder_cases), open_checkpoint);
}

static void paths_that_are_no_folder_are_refused(void **state)
{
    (void)state;
    assert_int_equal(open_checkpoint("/nowhere/model"), ERR_INPUT);
    assert_non_null(strstr(status_message(), "/nowhere/model: does not exist; expected a folder"));
    assert_int_equal(open_checkpoint(SOURCE_DIR "/LICENSE"), ERR_INPUT);
    assert_non_null(strstr(status_message(), "LICENSE: is a file; expected the folder"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_safetensors_are_refused),
        cmocka_unit_test(a_huge_header_is_refused),
        cmocka_unit_test(a_link_to_nothing_is_refused),
        cmocka_unit_test(a_fifo_does_not_hold_us),
        cmocka_unit_test(bad_folders_are_refused),
        cmocka_unit_test(paths_that_are_no_folder_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
