// Twelve real tokenizers on 246 texts each (../shared/goldens/text/tokenizers), and what llama.cpp
// makes of 47 texts with five of them (../shared/data/tokenizer_vectors).
#include "tokenizer_vectors.h"

static void vectors_are_equal(void **state)
{
    static const char *const names[] = {"gpt2",    "llama-2-7b",   "llama-3.2",  "llama-3.3",
                                        "smollm2", "smollm3",      "qwen2",      "qwen2.5",
                                        "qwen3",   "mistral-v0.3", "phi-3-mini", "gemma"};
    size_t all_wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[FILE_PATH_MAX], vectors[FILE_PATH_MAX];
        json_t *root;
        snprintf(folder, sizeof folder, SHARED_DIR "/data/tokenizers/%s", names[i]);
        snprintf(vectors, sizeof vectors, SHARED_DIR "/goldens/text/tokenizers/%s.json", names[i]);
        struct tokenizer *tokenizer = open_alone(folder);
        assert_int_equal(json_file(vectors, 1 << 24, &root), OK);
        const json_t *cases = json_object_get(root, "cases");
        size_t wrong = count_wrong(names[i], tokenizer, cases);
        printf("%-14s %zu of %zu texts equal\n", names[i], json_array_size(cases) - wrong,
               json_array_size(cases));
        assert_int_equal(json_array_size(cases), 246);
        all_wrong += wrong;
        json_decref(root);
        tokenizer_close(tokenizer);
    }
    assert_int_equal(all_wrong, 0);
}

// A model small enough that most of its text is single characters and bytes.
static void the_story_model_is_equal(void **state)
{
    struct tokenizer *tokenizer = open_alone(SHARED_DIR "/data/models/stories260K-hf");
    json_t *root;
    (void)state;
    must(json_file(SOURCE_DIR "/tests/data/tokenizers/stories260K.json", 1 << 24, &root));
    assert_true(json_array_size(json_object_get(root, "cases")) >= 75);
    assert_int_equal(count_wrong("stories260K", tokenizer, json_object_get(root, "cases")), 0);
    assert_int_equal(count_wrong("stories260K", tokenizer, json_object_get(root, "random")), 0);
    json_decref(root);
    tokenizer_close(tokenizer);
}

// A line of ids, the last one without an end; returns where the next one begins.
static const char *read_line_of_ids(const char *line, struct token_ids *out)
{
    token_ids_init(out);
    for (; *line == ' '; line += strspn(line, "0123456789"))
        assert_int_equal(token_ids_push(out, (int32_t)strtol(++line, NULL, 10)), OK);
    assert_true(*line == '\n' || *line == '\0');
    return line + (*line == '\n');
}

static bool same_as_line(const struct tokenizer *tokenizer, const char *text, size_t length,
                         const char **line)
{
    struct token_ids expected, found;
    *line = read_line_of_ids(*line, &expected);
    token_ids_init(&found);
    must(tokenizer_encode(tokenizer, text, length, false, &found));
    bool same =
        expected.n == found.n && memcmp(expected.ids, found.ids, found.n * sizeof *found.ids) == 0;
    if (!same)
        printf("other ids than llama.cpp's: %.*s\n", (int)length, text);
    token_ids_fini(&expected);
    token_ids_fini(&found);
    return same;
}

// `vocab`.inp has texts with a line between them, `vocab`.out a line of ids for each.
static size_t count_unlike_llama_cpp(const char *vocab, const struct tokenizer *tokenizer)
{
    static const char between[] = "\n__ggml_vocab_test__\n";
    char path[FILE_PATH_MAX];
    struct bytes texts, lines;
    size_t n = 0, wrong = 0;
    bytes_init(&texts);
    bytes_init(&lines);
    snprintf(path, sizeof path,
             SHARED_DIR "/data/tokenizer_vectors/llama.cpp/ggml-vocab-%s.gguf.inp", vocab);
    must(file_read(path, 1 << 20, &texts));
    memcpy(path + strlen(path) - 3, "out", 3);
    must(file_read(path, 1 << 20, &lines));
    must(bytes_append(&texts, "", 1));
    must(bytes_append(&lines, "", 1));
    const char *text = texts.data, *line = lines.data;
    for (const char *end; text; text = end ? end + strlen(between) : NULL, n++) {
        end = strstr(text, between);
        size_t length = end ? (size_t)(end - text) : strlen(text);
        wrong += !same_as_line(tokenizer, text, length, &line);
    }
    printf("%-14s %zu of %zu texts as in llama.cpp\n", vocab, n - wrong, n);
    assert_int_equal(n, 47);
    assert_int_equal(*line, '\0');
    bytes_fini(&texts);
    bytes_fini(&lines);
    return wrong;
}

static void ids_are_those_of_llama_cpp(void **state)
{
    static const struct {
        const char *vocab, *folder;
    } pairs[] = {{"gpt-2", "gpt2"},
                 {"llama-bpe", "llama-3.2"},
                 {"llama-spm", "llama-2-7b"},
                 {"phi-3", "phi-3-mini"},
                 {"qwen2", "qwen2"}};
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        char folder[FILE_PATH_MAX];
        snprintf(folder, sizeof folder, SHARED_DIR "/data/tokenizers/%s", pairs[i].folder);
        struct tokenizer *tokenizer = open_alone(folder);
        wrong += count_unlike_llama_cpp(pairs[i].vocab, tokenizer);
        tokenizer_close(tokenizer);
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_are_equal),
                                       cmocka_unit_test(the_story_model_is_equal),
                                       cmocka_unit_test(ids_are_those_of_llama_cpp)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
