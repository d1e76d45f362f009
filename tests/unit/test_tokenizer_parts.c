// Every model, normalizer, pre-tokenizer, decoder and post-processor, as `tokenizers` does them:
// tests/data/tokenizers/parts.json, or the file named on the command line
// (tools/differential_tokenizers.py makes such files).
#include "tokenizer_vectors.h"

static const char *file = SOURCE_DIR "/tests/data/tokenizers/parts.json";

// What `tokenizers` gives up on, so may we.
static bool may_fail(const json_t *item, const char *key)
{
    return json_object_get(item, key) == NULL;
}

static bool same_encoding(const struct tokenizer *tokenizer, const json_t *item, const char *key,
                          bool special)
{
    const json_t *text = json_object_get(item, "text");
    struct token_ids ids;
    token_ids_init(&ids);
    enum status status = tokenizer_encode(tokenizer, json_string_value(text),
                                          json_string_length(text), special, &ids);
    bool same = may_fail(item, key) || (status == OK && same_ids(json_object_get(item, key), &ids));
    if (!same && status != OK)
        printf("%s\n", status_message());
    for (size_t i = 0; !same && i < ids.n; i++)
        printf(" %d", ids.ids[i]);
    token_ids_fini(&ids);
    return same;
}

static bool same_decoding(const struct tokenizer *tokenizer, const json_t *item, const char *from,
                          const char *to, bool skip)
{
    struct token_ids ids;
    struct bytes text;
    if (may_fail(item, from) || may_fail(item, to))
        return true;
    bytes_init(&text);
    read_ids(json_object_get(item, from), &ids);
    enum status status = tokenizer_decode(tokenizer, ids.ids, ids.n, skip, &text);
    bool same = status == OK && same_text(json_object_get(item, to), &text);
    if (!same)
        printf("%s: '%.*s'\n", status == OK ? "found" : status_message(), (int)text.length,
               text.data ? text.data : "");
    token_ids_fini(&ids);
    bytes_fini(&text);
    return same;
}

static bool same_stream(const struct tokenizer *tokenizer, const json_t *item)
{
    const json_t *pieces = json_object_get(item, "pieces");
    struct decode_stream stream;
    struct token_ids ids;
    struct bytes piece, all;
    bool same = true;
    if (!pieces)
        return true;
    bytes_init(&piece);
    bytes_init(&all);
    read_ids(json_object_get(item, "ids"), &ids);
    decode_stream_init(&stream, tokenizer, true);
    for (size_t i = 0; i < ids.n; i++) {
        bytes_clear(&piece);
        must(decode_stream_step(&stream, ids.ids[i], &piece));
        must(bytes_append(&all, piece.data, piece.length));
        if (!same_text(json_array_get(pieces, i), &piece)) {
            printf("piece %zu: '%.*s', expected '%s'\n", i, (int)piece.length,
                   piece.data ? piece.data : "", json_string_value(json_array_get(pieces, i)));
            same = false;
        }
    }
    must(decode_stream_flush(&stream, &all));
    if (!same_text(json_object_get(item, "decoded"), &all)) {
        printf("all pieces: '%.*s'\n", (int)all.length, all.data ? all.data : "");
        same = false;
    }
    decode_stream_fini(&stream);
    token_ids_fini(&ids);
    bytes_fini(&piece);
    bytes_fini(&all);
    return same;
}

static size_t count_different(const struct tokenizer *tokenizer, const json_t *entry,
                              const char *key)
{
    size_t wrong = 0, i;
    const char *name = json_string_value(json_object_get(entry, "name"));
    json_t *item, *cases = json_object_get(entry, key);
    json_array_foreach(cases, i, item)
    {
        bool text = json_object_get(item, "text") != NULL;
        const char *what =
            text && !same_encoding(tokenizer, item, "ids", false)                  ? "ids"
            : text && !same_encoding(tokenizer, item, "ids_special", true)         ? "ids_special"
            : !same_decoding(tokenizer, item, "ids", "decoded", true)              ? "decoded"
            : !same_decoding(tokenizer, item, "ids_special", "decoded_all", false) ? "decoded_all"
            : !same_stream(tokenizer, item)                                        ? "pieces"
                                                                                   : NULL;
        if (!what)
            continue;
        printf("%s: %s[%zu]: %s differ: %s\n", name, key, i, what, json_dumps(item, 0));
        wrong++;
    }
    return wrong;
}

static void parts_are_equal(void **state)
{
    json_t *root, *entry;
    size_t i, wrong = 0, refused = 0, equal = 0;
    (void)state;
    must(json_file(file, (size_t)1 << 30, &root));
    json_t *list = json_object_get(root, "tokenizers");
    assert_true(json_array_size(list) > 0);
    json_array_foreach(list, i, entry)
    {
        struct tokenizer *tokenizer;
        const json_t *config = json_object_get(entry, "config");
        if (tokenizer_parse("tokenizer.json", json_string_value(config), json_string_length(config),
                            &tokenizer) != OK) {
            printf("%s: refused: %s\n", json_string_value(json_object_get(entry, "name")),
                   status_message());
            refused++;
            continue;
        }
        size_t found = count_different(tokenizer, entry, "cases") +
                       count_different(tokenizer, entry, "random");
        wrong += found > 0;
        equal += found == 0;
        tokenizer_close(tokenizer);
    }
    printf("%zu tokenizers: %zu equal, %zu refused, %zu different\n", json_array_size(list), equal,
           refused, wrong);
    json_decref(root);
    assert_int_equal(wrong + refused, 0);
}

// Classes that build BPE leave other models their own rules.
static void other_models_keep_their_rules(void **state)
{
    static const char text[] =
        "{\"added_tokens\":[],\"normalizer\":{\"type\":\"Lowercase\"},\"pre_tokenizer\":"
        "{\"type\":\"WhitespaceSplit\"},\"decoder\":{\"type\":\"WordPiece\",\"prefix\":\"\","
        "\"cleanup\":true},\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[[\"<unk>\",0],"
        "[\"hello\",-1],[\"he\",-1],[\"llo\",-0.5],[\".\",-2]]}}";
    static const char *const classes[] = {"LlamaTokenizer", "GemmaTokenizer", "Qwen2Tokenizer",
                                          "GPT2TokenizerFast", "CodeLlamaTokenizer"};
    (void)state;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        char config[128];
        struct tokenizer *tokenizer;
        struct token_ids ids;
        const char *files[4] = {config};
        snprintf(config, sizeof config, "{\"tokenizer_class\":\"%s\"}", classes[i]);
        must(tokenizer_parse_files("x", text, sizeof text - 1, files, &tokenizer));
        token_ids_init(&ids);
        must(tokenizer_encode(tokenizer, "HELLO hello.", 12, false, &ids));
        assert_int_equal(ids.n, 3);
        assert_int_equal(ids.ids[0], 1);
        assert_int_equal(ids.ids[2], 4);
        token_ids_fini(&ids);
        tokenizer_close(tokenizer);
    }
}

int main(int n_arguments, char **arguments)
{
    if (n_arguments > 1)
        file = arguments[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(parts_are_equal),
                                       cmocka_unit_test(other_models_keep_their_rules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
