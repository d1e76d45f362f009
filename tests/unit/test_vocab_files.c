// Folders without a tokenizer.json against Transformers (tools/make_vocab_vectors.py), and files
// that are damaged.
#include "tokenizer_vectors.h"

#include <ftw.h>

#include "base/base64.h"
#include "text/special_tokens.h"

static json_t *read_vectors_of(const char *name)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    must(file_join(SOURCE_DIR "/tests/data/tokenizers", name, path));
    must(json_file(path, 1 << 24, &root));
    return root;
}

static json_t *read_vectors(void)
{
    return read_vectors_of("vocab_files.json");
}

static void decode_file(const json_t *value, struct bytes *out)
{
    bool valid;
    bytes_clear(out);
    must(base64_decode(json_string_value(value), json_string_length(value), out, &valid));
    assert_true(valid);
}

static void write_folder(const json_t *files, const char *folder)
{
    const char *name;
    json_t *value;
    struct bytes data;
    bytes_init(&data);
    json_object_foreach((json_t *)files, name, value)
    {
        char path[FILE_PATH_MAX];
        decode_file(value, &data);
        must(file_join(folder, name, path));
        must(file_write(path, data.data, data.length));
    }
    bytes_fini(&data);
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *place)
{
    (void)info, (void)type, (void)place;
    return remove(path);
}

// One case of tokenizer_vectors.h for each text.
static json_t *cases_of(const json_t *folder, const json_t *texts)
{
    static const char *const keys[] = {"ids", "ids_special", "decoded"};
    json_t *cases = json_array();
    for (size_t i = 0; i < json_array_size(texts); i++) {
        json_t *item = json_pack("{s:O}", "text", json_array_get(texts, i));
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++)
            json_object_set(item, keys[k], json_array_get(json_object_get(folder, keys[k]), i));
        json_array_append_new(cases, item);
    }
    return cases;
}

static size_t wrong_names(const json_t *folder, const char *path)
{
    struct special_tokens tokens;
    const json_t *named = json_object_get(folder, "named");
    must(special_tokens_read(path, &tokens));
    size_t wrong = tokens.n != json_object_size(named);
    for (size_t i = 0; i < tokens.n; i++) {
        const char *text = json_string_value(json_object_get(named, tokens.items[i].name));
        wrong += !text || strcmp(text, tokens.items[i].text) != 0;
    }
    if (wrong)
        printf("%s: the names of special tokens differ\n",
               json_string_value(json_object_get(folder, "name")));
    special_tokens_fini(&tokens);
    return wrong;
}

// Returns how many folders there are.
static size_t check_folders(const char *name)
{
    json_t *root = read_vectors_of(name), *folder;
    const json_t *texts = json_object_get(root, "texts");
    size_t i, wrong = 0;
    json_array_foreach(json_object_get(root, "folders"), i, folder)
    {
        char path[] = "/tmp/colrow-vocab-XXXXXX";
        struct tokenizer *tokenizer;
        json_t *cases = cases_of(folder, texts);
        assert_non_null(mkdtemp(path));
        write_folder(json_object_get(folder, "files"), path);
        assert_true(tokenizer_there(path));
        must(tokenizer_open(path, &tokenizer));
        wrong += count_wrong(json_string_value(json_object_get(folder, "name")), tokenizer, cases);
        wrong += wrong_names(folder, path);
        tokenizer_close(tokenizer);
        json_decref(cases);
        nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
    }
    assert_int_equal(wrong, 0);
    json_decref(root);
    return i;
}

static void folders_are_equal(void **state)
{
    (void)state;
    assert_true(check_folders("vocab_files.json") >= 20);
}

// Against mistral-common (tools/make_tekken_vectors.py).
static void tekken_folders_are_equal(void **state)
{
    (void)state;
    assert_true(check_folders("tekken.json") >= 3);
}

// ---- damage ----

static enum status parse_vocab(const char *name, const void *text, size_t length,
                               const char *merges)
{
    static const char *const none[4] = {"{\"tokenizer_class\":\"GPT2Tokenizer\"}"};
    struct bytes data, lines;
    struct tokenizer *tokenizer;
    bytes_init(&data);
    bytes_init(&lines);
    must(bytes_append(&data, text, length));
    if (merges)
        must(bytes_text(&lines, merges));
    const char *const plain[4] = {NULL};
    enum status status = tokenizer_parse_vocab(name, &data, merges ? &lines : NULL,
                                               merges ? none : plain, &tokenizer);
    tokenizer_close(tokenizer);
    bytes_fini(&data);
    bytes_fini(&lines);
    return status;
}

static void tekken_files_may_be_wrong(void **state)
{
    (void)state;
#define TEKKEN(config, more) "{\"config\": {\"pattern\": \"a+\", " config "}, " more "}"
#define SIZES_OF(vocabulary, control)                                                              \
    "\"default_vocab_size\": " #vocabulary ", \"default_num_special_tokens\": " #control
#define TOKEN(rank, text)                                                                          \
    "{\"rank\": " #rank ", \"token_bytes\": \"" text "\", \"token_str\": null}"
#define NONE "\"special_tokens\": [], "
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[]", "expected"},
        {TEKKEN(SIZES_OF(2, 0), NONE "\"vocab\": [" TOKEN(0, "YQ==") "]"),
         "has 1 tokens; expected 2"},
        {TEKKEN(SIZES_OF(2, 3), NONE "\"vocab\": []"), "default_num_special_tokens"},
        {TEKKEN(SIZES_OF(1, 0), NONE "\"vocab\": [" TOKEN(1, "YQ==") "]"), "entry 0"},
        {TEKKEN(SIZES_OF(1, 0), NONE "\"vocab\": [" TOKEN(0, "*") "]"), "in base64"},
        {TEKKEN(SIZES_OF(1, 0), NONE "\"vocab\": [" TOKEN(0, "") "]"), "in base64"},
        {TEKKEN(SIZES_OF(2, 1), "\"vocab\": [" TOKEN(0, "YQ==") "]"), "at most"},
        {TEKKEN(SIZES_OF(3, 2),
                "\"vocab\": [" TOKEN(
                    0, "YQ==") "], \"special_tokens\": [{\"rank\": 0, "
                               "\"token_str\": \"<s>\"}, {\"rank\": 1, \"token_str\": \"<s>\"}]"),
         "a text of its own"},
        {TEKKEN(SIZES_OF(3, 2),
                "\"vocab\": [" TOKEN(0, "YQ==") "], \"special_tokens\": [{\"rank\": 1, "
                                                "\"token_str\": \"<s>\"}]"),
         "special_tokens: entry 0"},
        {"{\"config\": {" SIZES_OF(1, 0) "}, " NONE "\"vocab\": [" TOKEN(0, "YQ==") "]}",
         "pattern"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        enum status status = parse_vocab("tekken.json", cases[i].text, strlen(cases[i].text), NULL);
        assert_int_not_equal(status, OK);
        if (!strstr(status_message(), cases[i].message))
            print_error("%s\n  %s\n", cases[i].text, status_message());
        assert_non_null(strstr(status_message(), cases[i].message));
    }
}

static const json_t *find_file(const json_t *root, const char *folder, const char *file)
{
    json_t *item;
    size_t i;
    json_array_foreach(json_object_get(root, "folders"), i, item)
    {
        if (strcmp(json_string_value(json_object_get(item, "name")), folder) == 0)
            return json_object_get(json_object_get(item, "files"), file);
    }
    return NULL;
}

// Each prefix of a model, and each model with one byte changed: read or refused.
static void damaged_models_are_read_or_refused(void **state)
{
    json_t *root = read_vectors();
    struct bytes data;
    size_t refused = 0;
    (void)state;
    bytes_init(&data);
    decode_file(find_file(root, "tokenizer.model 1", "tokenizer.model"), &data);
    assert_true(data.length > 2000);
    must(parse_vocab("tokenizer.model", data.data, data.length, NULL));
    for (size_t n = 0; n < data.length; n += 1 + n / 64)
        refused += parse_vocab("tokenizer.model", data.data, n, NULL) != OK;
    assert_true(refused > 50);
    for (size_t at = 0; at < data.length; at += 1 + at / 32) {
        char kept = data.data[at];
        for (unsigned bit = 0; bit < 8; bit++) {
            data.data[at] = (char)(kept ^ 1 << bit);
            (void)parse_vocab("tokenizer.model", data.data, data.length, NULL);
        }
        data.data[at] = kept;
    }
    bytes_fini(&data);
    json_decref(root);
}

static const struct damage {
    const char *name, *text;
    size_t length; // 0: of the text
    const char *merges;
    const char *words[3]; // of the message
} damages[] = {
    {"tokenizer.model", "", 0, NULL, {"tokenizer.model", "no pieces"}},
    {"tokenizer.model", "\x0A", 1, NULL, {"not a valid protocol buffer", "ends within a number"}},
    {"tokenizer.model", "\x0A\x05\x0A", 3, NULL, {"longer than what is left", "byte 2"}},
    {"tokenizer.model", "\x0A\x04\x0A\x02\xC3\x28", 6, NULL, {"a piece", "UTF-8", "0xC3"}},
    {"tokenizer.model",
     "\x0A\x08\x0A\x01\x61\x15\x00\x00\xC0\x7F",
     10,
     NULL,
     {"piece \"a\"", "score nan"}},
    {"tokenizer.model", "\x0E\x01", 2, NULL, {"no known kind"}},
    {"tokenizer.model", "\x0C", 1, NULL, {"no known kind"}},
    {"tokenizer.model", "\x0B\x14", 2, NULL, {"a group ends that has not begun"}},
    {"tokenizer.model", "\x08\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF", 11, NULL, {"ten bytes"}},
    {"tokenizer.model", "\x02\x01", 2, NULL, {"no valid number"}},
    {"tokenizer.model",
     "\x0A\x03\x0A\x01\x61\x12\x0C\xC0\x02\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01",
     19,
     NULL,
     {"unk_id is -1", "1 pieces"}},
    {"tokenizer.model", "YQ== 0\nYg== x\n", 0, NULL, {"line 2", "Yg== x", "base64"}},
    {"tokenizer.model", "YQ==0\n", 0, NULL, {"line 1", "a blank and its rank"}},
    {"tokenizer.model", "Y?== 0\n", 0, NULL, {"line 1", "base64"}},
    {"tokenizer.model", "YQ== 0\nYQ== 1\n", 0, NULL, {"\"a\"", "twice"}},
    {"tokenizer.model", "YQ== 0\nYg== 0\n", 0, NULL, {"\"a\"", "\"b\"", "id 0"}},
    {"tokenizer.model", "YQ== 99999999\n", 0, NULL, {"99999999", "0 to 65544"}},
    {"qwen.tiktoken", "\n\n", 0, NULL, {"qwen.tiktoken", "no tokens"}},
    {"vocab.json", "{\"a\":0", 0, "", {"vocab.json", "not valid JSON"}},
    {"vocab.json", "{\"a\":0},\"b\":{}", 0, "", {"vocab.json", "nothing more"}},
    {"vocab.json", "[\"a\"]", 0, "", {"vocab.json", "'{'"}},
    {"vocab.json", "{\"a\":0}", 0, "a a\n", {"vocab.json", "merge 0", "\"aa\""}},
    {"vocab.json", "{\"a\":0,\"aa\":1}", 0, "a a\naa\n", {"merges.txt", "line 2", "two tokens"}},
    {"vocab.json", "{\"a\":0,\"aa\":1}", 0, "a a a\n", {"merges.txt", "line 1", "two tokens"}},
    {"vocab.json", "{\"a\":0}", 0, "\xC3 a\n", {"merges.txt", "UTF-8"}},
};

static void damage_is_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const struct damage *d = &damages[i];
        size_t length = d->length ? d->length : strlen(d->text);
        enum status status = parse_vocab(d->name, d->text, length, d->merges);
        const char *said = status == OK ? "no error" : status_message();
        for (size_t k = 0; k < 3 && d->words[k]; k++) {
            if (!strstr(said, d->words[k]))
                printf("case %zu: expected \"%s\", found: %s\n", i, d->words[k], said);
            assert_non_null(strstr(said, d->words[k]));
        }
    }
}

static void the_class_must_say_how_to_cut(void **state)
{
    static const char *const none[4] = {NULL};
    struct bytes vocab = {0}, merges = {0};
    struct tokenizer *tokenizer;
    (void)state;
    must(bytes_text(&vocab, "{\"a\":0}"));
    must(bytes_text(&merges, ""));
    assert_int_equal(tokenizer_parse_vocab("vocab.json", &vocab, &merges, none, &tokenizer),
                     ERR_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "GPT2Tokenizer"));
    bytes_fini(&vocab);
    bytes_fini(&merges);
}

// What stands in Qwen 1's tokenization_qwen.py, with `tiktoken` 0.14's ids of this text.
static void qwen_tokens_are_behind_the_ranks(void **state)
{
    static const char *const none[4] = {NULL};
    struct bytes ranks = {0};
    struct tokenizer *tokenizer;
    struct token_ids ids = {0};
    (void)state;
    must(bytes_text(&ranks, "YQ== 0\nYg== 1\nMQ== 2\nw4k= 3\nYWI= 4\nMTE= 5\nww== 6\niQ== 7\n"));
    must(tokenizer_parse_vocab("qwen.tiktoken", &ranks, NULL, none, &tokenizer));
    assert_int_equal(tokenizer_find(tokenizer, "<|endoftext|>"), 8);
    assert_int_equal(tokenizer_find(tokenizer, "<|im_end|>"), 10);
    assert_int_equal(tokenizer_find(tokenizer, "<|extra_204|>"), 8 + 3 + 204);
    assert_int_equal(tokenizer_vocab_size(tokenizer), 8 + 3 + 205);
    const char text[] = "ab11<|im_start|>E\xCC\x81"; // digits one by one; E and accent become one
    must(tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids));
    const int32_t expected[] = {4, 2, 2, 9, 3};
    assert_int_equal(ids.n, sizeof expected / sizeof *expected);
    assert_memory_equal(ids.ids, expected, sizeof expected);
    token_ids_fini(&ids);
    tokenizer_close(tokenizer);
    bytes_fini(&ranks);
}

static void base64_goes_both_ways(void **state)
{
    static const char data[] = "\x00\xFF\x10 any bytes\x80";
    (void)state;
    for (size_t n = 0; n < sizeof data; n++) {
        struct bytes text = {0}, back = {0};
        bool valid;
        must(base64_encode(data, n, &text));
        assert_int_equal(text.length, (n + 2) / 3 * 4);
        must(base64_decode(text.data, text.length, &back, &valid));
        assert_true(valid);
        assert_int_equal(back.length, n);
        assert_memory_equal(back.data, data, n);
        must(base64_decode(text.data, text.length - (n > 0), &back, &valid));
        assert_int_equal(valid, n == 0);
        bytes_fini(&text);
        bytes_fini(&back);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_equal),
        cmocka_unit_test(tekken_folders_are_equal),
        cmocka_unit_test(tekken_files_may_be_wrong),
        cmocka_unit_test(damaged_models_are_read_or_refused),
        cmocka_unit_test(damage_is_told),
        cmocka_unit_test(the_class_must_say_how_to_cut),
        cmocka_unit_test(qwen_tokens_are_behind_the_ranks),
        cmocka_unit_test(base64_goes_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
