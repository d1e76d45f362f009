// The project's own small tokenizers against `tokenizers`, and what holds for any tokenizer.
#include "tokenizer_vectors.h"

#include "base/file.h"

#define DATA SOURCE_DIR "/tests/data/tokenizers"

static struct tokenizer *open_folder(const char *folder)
{
    struct tokenizer *tokenizer;
    must(tokenizer_open(folder, &tokenizer));
    return tokenizer;
}

static void check_folder(const char *name)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    snprintf(path, sizeof path, DATA "/%s", name);
    struct tokenizer *tokenizer = open_folder(path);
    snprintf(path, sizeof path, DATA "/%s/vectors.json", name);
    assert_int_equal(json_file(path, 1 << 24, &root), OK);
    assert_true(json_array_size(json_object_get(root, "cases")) >= 75);
    assert_int_equal(count_wrong(name, tokenizer, json_object_get(root, "cases")), 0);
    assert_true(json_array_size(json_object_get(root, "random")) >= 30);
    assert_int_equal(count_wrong(name, tokenizer, json_object_get(root, "random")), 0);
    json_decref(root);
    tokenizer_close(tokenizer);
}

static void byte_level_vectors_are_equal(void **state)
{
    (void)state;
    check_folder("bytelevel");
}

static void sentence_piece_vectors_are_equal(void **state)
{
    (void)state;
    check_folder("sentencepiece");
}

// `base` with some parts replaced; "model" is changed key by key.
static json_t *changed(const json_t *base, const json_t *change)
{
    json_t *config = json_deep_copy(base), *value;
    const char *key;
    json_object_foreach((json_t *)change, key, value)
    {
        if (strcmp(key, "model") == 0)
            assert_int_equal(json_object_update(json_object_get(config, "model"), value), 0);
        else
            assert_int_equal(json_object_set(config, key, value), 0);
    }
    return config;
}

// Lists side by side to a list of cases.
static json_t *feature_cases(const json_t *texts, const json_t *feature)
{
    json_t *cases = json_array(), *text;
    size_t i;
    json_array_foreach(texts, i, text)
    {
        const json_t *ids = json_object_get(feature, "ids"),
                     *decoded = json_object_get(feature, "decoded");
        json_array_append_new(cases, json_pack("{s:O, s:O, s:O}", "text", text, "ids",
                                               json_array_get(ids, i), "decoded",
                                               json_array_get(decoded, i)));
    }
    return cases;
}

static void features_are_equal(void **state)
{
    json_t *root, *feature;
    size_t i, wrong = 0;
    (void)state;
    assert_int_equal(json_file(DATA "/features.json", 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "features"), i, feature)
    {
        const char *name = json_string_value(json_object_get(feature, "name"));
        json_t *config = changed(json_object_get(root, "base"), json_object_get(feature, "change"));
        json_t *cases = feature_cases(json_object_get(root, "texts"), feature);
        char *text = json_dumps(config, 0);
        struct tokenizer *tokenizer;
        must(tokenizer_parse(name, text, strlen(text), &tokenizer));
        wrong += count_wrong(name, tokenizer, cases);
        tokenizer_close(tokenizer);
        free(text);
        json_decref(cases);
        json_decref(config);
    }
    assert_true(i > 50);
    json_decref(root);
    assert_int_equal(wrong, 0);
}

static void demo_vectors_are_equal(void **state)
{
    json_t *root;
    (void)state;
    if (!file_exists(SOURCE_DIR "/tests/data/demo_vectors.json"))
        skip();
    struct tokenizer *tokenizer = open_folder(SOURCE_DIR "/models/demo");
    assert_int_equal(json_file(SOURCE_DIR "/tests/data/demo_vectors.json", 1 << 24, &root), OK);
    const json_t *cases = json_object_get(root, "tokenizer");
    assert_true(json_array_size(cases) > 0);
    assert_int_equal(count_wrong("demo", tokenizer, cases), 0);
    json_decref(root);
    tokenizer_close(tokenizer);
}

static void tokens_can_be_looked_up(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = open_folder(DATA "/bytelevel");
    int32_t n = tokenizer_vocab_size(tokenizer),
            bos = tokenizer_find(tokenizer, "<|begin_of_text|>");
    size_t length;
    assert_int_equal(bos, n - 4);
    assert_true(tokenizer_is_special(tokenizer, bos));
    assert_false(tokenizer_is_special(tokenizer, tokenizer_find(tokenizer, "<think>")));
    assert_false(tokenizer_is_special(tokenizer, 5));
    assert_string_equal(tokenizer_piece(tokenizer, bos, &length), "<|begin_of_text|>");
    assert_int_equal(length, 17);
    assert_null(tokenizer_piece(tokenizer, n, &length));
    assert_null(tokenizer_piece(tokenizer, -1, &length));
    assert_int_equal(tokenizer_find(tokenizer, "no such token"), -1);
    for (int32_t id = 0; id < n; id++) {
        assert_non_null(tokenizer_piece(tokenizer, id, &length));
        assert_int_equal(tokenizer_find(tokenizer, tokenizer_piece(tokenizer, id, &length)), id);
    }
    tokenizer_close(tokenizer);
    tokenizer_close(NULL);
}

static void texts_must_be_utf8(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = open_folder(DATA "/bytelevel");
    struct token_ids ids;
    token_ids_init(&ids);
    assert_int_equal(tokenizer_encode(tokenizer, "ab\xC3", 3, false, &ids), ERR_INPUT);
    assert_non_null(strstr(status_message(), "byte 0xC3 at offset 2"));
    assert_int_equal(ids.n, 0);
    token_ids_fini(&ids);
    tokenizer_close(tokenizer);
}

static void ids_without_token_decode_to_nothing(void **state)
{
    (void)state;
    struct tokenizer *tokenizer = open_folder(DATA "/sentencepiece");
    int32_t ids[] = {-1, 1 << 24, tokenizer_find(tokenizer, "a"), INT32_MAX, INT32_MIN};
    struct bytes text;
    bytes_init(&text);
    assert_int_equal(tokenizer_decode(tokenizer, ids, 5, true, &text), OK);
    assert_string_equal(text.data, "a");
    bytes_fini(&text);
    tokenizer_close(tokenizer);
}

// The same text in one word and in many takes the two ways of merging, with and without the memory
// of words.
static void long_texts_equal_their_parts(void **state)
{
    enum { REPEATS = 3000 };
    static const char *const names[] = {"bytelevel", "sentencepiece"};
    static const char part[] = " the group keeps its share of the weights; Größe 日本 123";
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        char path[FILE_PATH_MAX];
        struct token_ids one, first, many;
        struct bytes text;
        snprintf(path, sizeof path, DATA "/%s", names[k]);
        struct tokenizer *tokenizer = open_folder(path);
        token_ids_init(&one);
        token_ids_init(&first);
        token_ids_init(&many);
        bytes_init(&text);
        // Twice, because SentencePiece-style normalizers change the front of a text.
        assert_int_equal(tokenizer_encode(tokenizer, part, strlen(part), false, &first), OK);
        assert_int_equal(bytes_text(&text, part), OK);
        assert_int_equal(bytes_text(&text, part), OK);
        assert_int_equal(tokenizer_encode(tokenizer, text.data, text.length, false, &one), OK);
        size_t n = one.n - first.n;
        bytes_clear(&text);
        for (int i = 0; i < REPEATS; i++)
            assert_int_equal(bytes_text(&text, part), OK);
        assert_int_equal(tokenizer_encode(tokenizer, text.data, text.length, false, &many), OK);
        assert_int_equal(many.n, first.n + (REPEATS - 1) * n);
        assert_memory_equal(many.ids, first.ids, first.n * sizeof *first.ids);
        for (size_t i = 1; i < REPEATS; i++)
            assert_memory_equal(many.ids + first.n + (i - 1) * n, one.ids + first.n,
                                n * sizeof *one.ids);
        token_ids_fini(&one);
        token_ids_fini(&first);
        token_ids_fini(&many);
        bytes_fini(&text);
        tokenizer_close(tokenizer);
    }
}

// A word of one letter has no place to be cut: the heap alone must be fast.
static void one_long_word_is_fast(void **state)
{
    enum { BYTES = 1 << 20 };
    (void)state;
    struct tokenizer *tokenizer = open_folder(DATA "/sentencepiece");
    char *text = malloc(BYTES);
    struct token_ids ids;
    struct bytes back;
    assert_non_null(text);
    for (int fill = 0; fill < 3; fill++) {
        for (size_t i = 0; i < BYTES; i++)
            text[i] = " ae"[fill == 2 ? i * 7 % 3 : (size_t)fill];
        token_ids_init(&ids);
        bytes_init(&back);
        assert_int_equal(tokenizer_encode(tokenizer, text, BYTES, false, &ids), OK);
        assert_int_equal(tokenizer_decode(tokenizer, ids.ids, ids.n, true, &back), OK);
        assert_int_equal(back.length, BYTES);
        assert_memory_equal(back.data, text, BYTES);
        token_ids_fini(&ids);
        bytes_fini(&back);
    }
    free(text);
    tokenizer_close(tokenizer);
}

static void memory_may_run_out(void **state)
{
    char *text;
    struct bytes file;
    (void)state;
    bytes_init(&file);
    assert_int_equal(file_read(DATA "/bytelevel/tokenizer.json", 1 << 20, &file), OK);
    text = file.data;
    enum status status = ERR_MEMORY;
    for (long n = 1; status == ERR_MEMORY; n++) {
        struct tokenizer *tokenizer;
        struct token_ids ids;
        token_ids_init(&ids);
        memory_fail_after(n);
        status = tokenizer_parse("t.json", text, file.length, &tokenizer);
        if (status == OK)
            status = tokenizer_encode(tokenizer, "The rank <|eot|> x", 18, true, &ids);
        memory_fail_after(0);
        assert_true(status == OK || status == ERR_MEMORY);
        token_ids_fini(&ids);
        tokenizer_close(tokenizer);
    }
    bytes_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_level_vectors_are_equal),
        cmocka_unit_test(sentence_piece_vectors_are_equal),
        cmocka_unit_test(features_are_equal),
        cmocka_unit_test(demo_vectors_are_equal),
        cmocka_unit_test(tokens_can_be_looked_up),
        cmocka_unit_test(texts_must_be_utf8),
        cmocka_unit_test(ids_without_token_decode_to_nothing),
        cmocka_unit_test(long_texts_equal_their_parts),
        cmocka_unit_test(one_long_word_is_fast),
        cmocka_unit_test(memory_may_run_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
