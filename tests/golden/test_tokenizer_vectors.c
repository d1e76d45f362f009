// What the package `tokenizers` made of a list of texts
// (../shared/goldens/text/make_tokenizer_vectors.py), and what we make of them: ids without and
// with special tokens, decoded text, and the pieces of a stream.
#include "testing.h"

#include "base/file.h"
#include "base/json.h"
#include "text/decode_stream.h"
#include "text/tokenizer.h"

struct counts {
    size_t cases, ids, wrong;
};

static void report(const char *name, const char *what, size_t i, const char *text)
{
    if (getenv("VERBOSE"))
        printf("%s: case %zu: %s differ: %.80s\n", name, i, what, text);
}

static bool same_ids(const json_t *expected, const struct token_ids *found)
{
    if (json_array_size(expected) != found->n)
        return false;
    for (size_t i = 0; i < found->n; i++)
        if (json_integer_value(json_array_get(expected, i)) != found->ids[i])
            return false;
    return true;
}

static bool same_text(const json_t *expected, const struct bytes *found)
{
    return json_string_length(expected) == found->length &&
           (found->length == 0 ||
            memcmp(json_string_value(expected), found->data, found->length) == 0);
}

static bool encodes(const struct tokenizer *tokenizer, const json_t *item, const char *key,
                    bool special)
{
    const json_t *text = json_object_get(item, "text");
    struct token_ids ids;
    token_ids_init(&ids);
    assert_int_equal(tokenizer_encode(tokenizer, json_string_value(text), json_string_length(text),
                                      special, &ids),
                     OK);
    bool same = same_ids(json_object_get(item, key), &ids);
    token_ids_fini(&ids);
    return same;
}

static void read_ids(const json_t *list, struct token_ids *out)
{
    size_t i;
    json_t *id;
    token_ids_init(out);
    json_array_foreach(list, i, id)
        assert_int_equal(token_ids_push(out, (int32_t)json_integer_value(id)), OK);
}

static bool decodes(const struct tokenizer *tokenizer, const json_t *item, const char *from,
                    const char *to, bool skip)
{
    struct token_ids ids;
    struct bytes text;
    bytes_init(&text);
    read_ids(json_object_get(item, from), &ids);
    assert_int_equal(tokenizer_decode(tokenizer, ids.ids, ids.n, skip, &text), OK);
    bool same = same_text(json_object_get(item, to), &text);
    token_ids_fini(&ids);
    bytes_fini(&text);
    return same;
}

// The pieces, and that they add up to the whole.
static bool streams(const struct tokenizer *tokenizer, const json_t *item)
{
    struct decode_stream stream;
    struct token_ids ids;
    struct bytes piece, all;
    const json_t *pieces = json_object_get(item, "pieces");
    bool same = true;
    bytes_init(&piece);
    bytes_init(&all);
    read_ids(json_object_get(item, "ids"), &ids);
    decode_stream_init(&stream, tokenizer, true);
    for (size_t i = 0; i < ids.n; i++) {
        bytes_clear(&piece);
        assert_int_equal(decode_stream_step(&stream, ids.ids[i], &piece), OK);
        assert_int_equal(bytes_append(&all, piece.data, piece.length), OK);
        if (json_is_array(pieces) && !same_text(json_array_get(pieces, i), &piece))
            same = false;
    }
    assert_int_equal(decode_stream_flush(&stream, &all), OK);
    same = same && same_text(json_object_get(item, "decoded"), &all);
    decode_stream_fini(&stream);
    token_ids_fini(&ids);
    bytes_fini(&piece);
    bytes_fini(&all);
    return same;
}

static void check(const char *name, const char *folder, const char *vectors, struct counts *counts)
{
    struct tokenizer *tokenizer;
    json_t *root, *item;
    size_t i;
    if (tokenizer_open(folder, &tokenizer) != OK) {
        printf("%s\n", status_message());
        assert_true(false);
    }
    assert_int_equal(json_file(vectors, 1 << 24, &root), OK);
    json_array_foreach(json_object_get(root, "cases"), i, item)
    {
        const char *text = json_string_value(json_object_get(item, "text"));
        bool good[] = {encodes(tokenizer, item, "ids", false),
                       encodes(tokenizer, item, "ids_special", true),
                       decodes(tokenizer, item, "ids", "decoded", true),
                       decodes(tokenizer, item, "ids_special", "decoded_all", false),
                       streams(tokenizer, item)};
        static const char *const what[] = {"ids", "ids_special", "decoded", "decoded_all",
                                           "pieces"};
        bool all = true;
        for (size_t k = 0; k < 5; k++) {
            if (!good[k])
                report(name, what[k], i, text);
            all = all && good[k];
        }
        counts->cases++;
        counts->ids += json_array_size(json_object_get(item, "ids"));
        counts->wrong += !all;
    }
    json_decref(root);
    tokenizer_close(tokenizer);
}

static void vectors_are_equal(void **state)
{
    static const char *const names[] = {"gpt2",    "llama-2-7b",   "llama-3.2",  "llama-3.3",
                                        "smollm2", "smollm3",      "qwen2",      "qwen2.5",
                                        "qwen3",   "mistral-v0.3", "phi-3-mini", "gemma"};
    size_t wrong = 0;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char folder[FILE_PATH_MAX], vectors[FILE_PATH_MAX];
        struct counts counts = {0};
        snprintf(folder, sizeof folder, SHARED_DIR "/data/tokenizers/%s", names[i]);
        snprintf(vectors, sizeof vectors, SHARED_DIR "/goldens/text/tokenizers/%s.json", names[i]);
        check(names[i], folder, vectors, &counts);
        printf("%-14s %zu of %zu texts equal, %zu ids\n", names[i], counts.cases - counts.wrong,
               counts.cases, counts.ids);
        wrong += counts.wrong;
    }
    assert_int_equal(wrong, 0);
}

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {cmocka_unit_test(vectors_are_equal)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
