// tokenizer.json with the files beside it, against Transformers (tools/make_folder_vectors.py).
#include "tokenizer_vectors.h"

#include "text/special_tokens.h"

#define DATA SOURCE_DIR "/tests/data/tokenizers"

// The base's tokenizer.json with its changes.
static json_t *changed_base(const json_t *folder)
{
    char path[FILE_PATH_MAX];
    const char *key;
    json_t *root, *value;
    snprintf(path, sizeof path, DATA "/%s/tokenizer.json",
             json_string_value(json_object_get(folder, "base")));
    must(json_file(path, 1 << 24, &root));
    json_object_foreach(json_object_get(folder, "change"), key, value)
        json_object_set(root, key, value);
    return root;
}

static struct tokenizer *open_files(const json_t *folder)
{
    static const char *const names[] = {"tokenizer_config.json", "special_tokens_map.json",
                                        "added_tokens.json", "config.json"};
    const char *files[4];
    json_t *root = changed_base(folder);
    struct tokenizer *tokenizer;
    for (size_t i = 0; i < 4; i++) {
        const json_t *file = json_object_get(json_object_get(folder, "files"), names[i]);
        files[i] = file ? json_dumps(file, 0) : NULL;
    }
    char *text = json_dumps(root, 0);
    must(tokenizer_parse_files("folder", text, strlen(text), files, &tokenizer));
    for (size_t i = 0; i < 4; i++)
        free((void *)(uintptr_t)files[i]);
    free(text);
    json_decref(root);
    return tokenizer;
}

static size_t wrong_ids(const struct tokenizer *tokenizer, const json_t *folder,
                        const json_t *texts, const char *key, bool special)
{
    size_t wrong = 0;
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *text = json_array_get(texts, i);
        struct token_ids ids;
        token_ids_init(&ids);
        must(tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text), special,
                              &ids));
        if (!same_ids(json_array_get(json_object_get(folder, key), i), &ids)) {
            printf("%s, %s: %s differ: %s\n", json_string_value(json_object_get(folder, "base")),
                   json_string_value(json_object_get(folder, "name")), key,
                   json_string_value(text));
            wrong++;
        }
        token_ids_fini(&ids);
    }
    return wrong;
}

static void folders_are_equal(void **state)
{
    json_t *root, *folder;
    size_t i, wrong = 0;
    (void)state;
    must(json_file(DATA "/folders.json", 1 << 24, &root));
    const json_t *texts = json_object_get(root, "texts");
    json_array_foreach(json_object_get(root, "folders"), i, folder)
    {
        struct tokenizer *tokenizer = open_files(folder);
        wrong += wrong_ids(tokenizer, folder, texts, "ids", false);
        wrong += wrong_ids(tokenizer, folder, texts, "ids_special", true);
        json_int_t eos = json_integer_value(json_object_get(folder, "eos_id"));
        if (eos != tokenizer_eos_id(tokenizer)) {
            printf("%s: eos %d, expected %d\n", json_string_value(json_object_get(folder, "name")),
                   tokenizer_eos_id(tokenizer), (int)eos);
            wrong++;
        }
        tokenizer_close(tokenizer);
    }
    assert_true(i >= 70);
    assert_int_equal(wrong, 0);
    json_decref(root);
}

static void write_file(const char *folder, const char *name, const json_t *value)
{
    char path[FILE_PATH_MAX];
    char *text = json_dumps(value, 0);
    must(file_join(folder, name, path));
    must(file_write(path, text, strlen(text)));
    free(text);
}

// The names and texts that a chat template gets, from a real folder.
static void named_tokens_are_equal(void **state)
{
    json_t *root, *folder;
    size_t i;
    (void)state;
    must(json_file(DATA "/folders.json", 1 << 24, &root));
    json_array_foreach(json_object_get(root, "folders"), i, folder)
    {
        char path[] = "/tmp/colrow-folder-XXXXXX", command[64];
        struct special_tokens tokens;
        const char *key;
        json_t *value;
        if (json_object_get(json_object_get(folder, "change"), "padding"))
            continue; // a pad token that only tokenizer.json's padding names is not for templates
        assert_non_null(mkdtemp(path));
        json_object_foreach(json_object_get(folder, "files"), key, value)
            write_file(path, key, value);
        json_t *base = changed_base(folder);
        write_file(path, "tokenizer.json", base);
        json_decref(base);
        must(special_tokens_read(path, &tokens));
        const json_t *named = json_object_get(folder, "named");
        assert_int_equal(tokens.n, json_object_size(named));
        for (size_t k = 0; k < tokens.n; k++)
            assert_string_equal(tokens.items[k].text,
                                json_string_value(json_object_get(named, tokens.items[k].name)));
        special_tokens_fini(&tokens);
        snprintf(command, sizeof command, "rm -r %s", path);
        assert_int_equal(system(command), 0);
    }
    json_decref(root);
}

// Ids beyond the model's count are given in order, list by list, whatever the model's holes.
static void holes_are_filled_as_tokenizers_does(void **state)
{
    static const char text[] =
        "{\"version\":\"1.0\",\"added_tokens\":[{\"id\":9,\"content\":\"c\",\"single_word\":false,"
        "\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":true},{\"id\":9,"
        "\"content\":\"<x>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
        "\"normalized\":false,\"special\":true}],\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,"
        "\"b\":1,\"c\":10},\"merges\":[]}}";
    static const char *const files[4] = {"{\"extra_special_tokens\":[\"<y>\",\"<z>\"],"
                                         "\"added_tokens_decoder\":{}}"};
    struct tokenizer *tokenizer;
    (void)state;
    must(tokenizer_parse_files("holes", text, sizeof text - 1, files, &tokenizer));
    assert_int_equal(tokenizer_find(tokenizer, "c"), 10);
    assert_int_equal(tokenizer_find(tokenizer, "<x>"), 3);
    assert_int_equal(tokenizer_find(tokenizer, "<y>"), 11);
    assert_int_equal(tokenizer_find(tokenizer, "<z>"), 12);
    assert_int_equal(tokenizer_vocab_size(tokenizer), 13);
    tokenizer_close(tokenizer);
}

// As Transformers 5.24 takes them: only where no other key names a token of the model's own.
static void specific_tokens_are_read(void **state)
{
    static const char text[] =
        "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
        "\"merges\":[]}}";
    static const char *const alone[4] = {
        "{\"model_specific_special_tokens\":{\"image_token\":\"<i>\"}}"};
    static const char *const beside[4] = {
        "{\"model_specific_special_tokens\":{\"image_token\":\"<i>\"},\"boi_token\":\"<b>\"}"};
    struct tokenizer *tokenizer;
    (void)state;
    must(tokenizer_parse_files("specific", text, sizeof text - 1, alone, &tokenizer));
    assert_int_equal(tokenizer_find(tokenizer, "<i>"), 1);
    tokenizer_close(tokenizer);
    must(tokenizer_parse_files("specific", text, sizeof text - 1, beside, &tokenizer));
    assert_int_equal(tokenizer_find(tokenizer, "<i>"), -1);
    assert_int_equal(tokenizer_find(tokenizer, "<b>"), 1);
    tokenizer_close(tokenizer);
}

static void wrong_files_are_refused(void **state)
{
    static const struct {
        const char *config, *map, *added, *says;
    } cases[] = {
        {"[]", NULL, NULL, "expected an object"},
        {"{\"eos_token\":3}", NULL, NULL, "\"eos_token\" holds an integer"},
        {"{\"added_tokens_decoder\":[]}", NULL, NULL, "\"added_tokens_decoder\" holds an array"},
        {"{\"added_tokens_decoder\":{\"x\":{\"content\":\"<x>\"}}}", NULL, NULL, "token id"},
        {"{\"added_tokens_decoder\":{\"7\":\"<x>\"}}", NULL, NULL, "expected an object"},
        {"{\"added_tokens_decoder\":{\"7\":{}}}", NULL, NULL, "\"content\" is missing"},
        {"{\"extra_special_tokens\":7}", NULL, NULL, "\"extra_special_tokens\" holds an integer"},
        {"{\"model_specific_special_tokens\":[]}", NULL, NULL, "expected an object of tokens"},
        {"{\"tokenizer_class\":\"T5Tokenizer\"}", NULL, NULL, "T5Tokenizer"},
        {NULL, NULL, "{\"<x>\":\"7\"}", "added_tokens.json"},
        {NULL, "{\"pad_token\":[1]}", NULL, "\"pad_token\" holds an array"},
    };
    static const char text[] =
        "{\"version\":\"1.0\",\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},"
        "\"merges\":[]}}";
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const files[4] = {cases[i].config, cases[i].map, cases[i].added, NULL};
        struct tokenizer *tokenizer;
        assert_int_not_equal(
            tokenizer_parse_files("folder", text, sizeof text - 1, files, &tokenizer), OK);
        if (!strstr(status_message(), cases[i].says))
            printf("case %zu says: %s\n", i, status_message());
        assert_non_null(strstr(status_message(), cases[i].says));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_equal), cmocka_unit_test(named_tokens_are_equal),
        cmocka_unit_test(holes_are_filled_as_tokenizers_does),
        cmocka_unit_test(specific_tokens_are_read), cmocka_unit_test(wrong_files_are_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
