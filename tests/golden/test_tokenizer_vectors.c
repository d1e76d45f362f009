// Twelve real tokenizers on 246 texts each (../shared/goldens/text/tokenizers).
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

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_are_equal),
                                       cmocka_unit_test(the_story_model_is_equal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
