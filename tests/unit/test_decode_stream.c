// A stream gives whole characters, as early as it can, and all of the text in the end.
#include "tokenizer_vectors.h"

#include "text/unicode.h"

#define DATA SOURCE_DIR "/tests/data/tokenizers"

static struct tokenizer *open_folder(const char *name)
{
    struct tokenizer *tokenizer;
    assert_int_equal(tokenizer_open(name, &tokenizer), OK);
    return tokenizer;
}

// Appends each piece and "|", then the flush.
static void stream_pieces(const struct tokenizer *tokenizer, const int32_t *ids, size_t n,
                          struct bytes *out)
{
    struct decode_stream stream;
    size_t at;
    bytes_clear(out);
    decode_stream_init(&stream, tokenizer, true);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(decode_stream_step(&stream, ids[i], out), OK);
        assert_true(utf8_check(out->data ? out->data : "", out->length, &at));
        assert_int_equal(bytes_text(out, "|"), OK);
    }
    assert_int_equal(decode_stream_flush(&stream, out), OK);
    decode_stream_fini(&stream);
}

static void expect_pieces(const struct tokenizer *tokenizer, const char *const *tokens,
                          const char *expected)
{
    int32_t ids[16];
    size_t n = 0;
    struct bytes out;
    bytes_init(&out);
    for (; tokens[n]; n++)
        ids[n] = tokenizer_find(tokenizer, tokens[n]);
    stream_pieces(tokenizer, ids, n, &out);
    assert_string_equal(out.data, expected);
    bytes_fini(&out);
}

#define PIECES(tokenizer, expected, ...)                                                           \
    do {                                                                                           \
        static const char *const tokens_[] = {__VA_ARGS__, NULL};                                  \
        expect_pieces(tokenizer, tokens_, expected);                                               \
    } while (0)
#define FFFD REPLACEMENT_CHARACTER

static void byte_runs_become_characters(void **state)
{
    (void)state;
    struct tokenizer *t = open_folder(DATA "/sentencepiece");
    PIECES(t, "a||é|b|", "a", "<0xC3>", "<0xA9>", "b");
    PIECES(t, "|||👍|", "<0xF0>", "<0x9F>", "<0x91>", "<0x8D>");
    PIECES(t, "|é||ü|", "<0xC3>", "<0xA9>", "<0xC3>", "<0xBC>");
    PIECES(t, "\n|\n|", "<0x0A>", "<0x0A>");
    // never finished: each byte is one U+FFFD, at the next token or the end
    PIECES(t, "||" FFFD FFFD "a|", "<0xE4>", "<0xBD>", "a");
    PIECES(t, "a|||" FFFD FFFD, "a", "<0xE4>", "<0xBD>");
    // a byte that begins no character spoils its whole run
    PIECES(t, "|||" FFFD FFFD FFFD "a|", "<0xFF>", "<0x41>", "<0xC3>", "a");
    tokenizer_close(t);
}

static void the_first_blank_is_dropped(void **state)
{
    (void)state;
    struct tokenizer *t = open_folder(DATA "/sentencepiece");
    PIECES(t, "a| a|", "▁a", "▁a");
    PIECES(t, "| a|", "▁", "▁a");
    PIECES(t, "| |a|", "<s>", "▁▁", "a");
    tokenizer_close(t);
}

static void letters_become_characters(void **state)
{
    (void)state;
    struct tokenizer *t = open_folder(DATA "/bytelevel");
    PIECES(t, "|é|", "Ã", "©");
    PIECES(t, "a||" FFFD "b|", "a", "Ã", "b");
    PIECES(t, "a||" FFFD, "a", "Ã");
    PIECES(t, "|" FFFD "a|", "ÿ", "a");
    PIECES(t, "x|<think>|y|", "x", "<think>", "y");
    PIECES(t, "x||y|", "x", "<|eot|>", "y");
    tokenizer_close(t);
}

// U+FFFD for ever is held back only so long.
static void holding_back_is_bounded(void **state)
{
    enum { TOKENS = 1000 };
    (void)state;
    struct tokenizer *t = open_folder(DATA "/bytelevel");
    struct decode_stream stream;
    struct bytes out;
    int32_t id = tokenizer_find(t, "ÿ");
    bytes_init(&out);
    decode_stream_init(&stream, t, false);
    for (size_t i = 1; i <= TOKENS; i++) {
        assert_int_equal(decode_stream_step(&stream, id, &out), OK);
        assert_true(3 * i - out.length <= 256);
    }
    assert_int_equal(decode_stream_flush(&stream, &out), OK);
    assert_int_equal(out.length, 3 * TOKENS);
    bytes_fini(&out);
    decode_stream_fini(&stream);
    tokenizer_close(t);
}

static uint32_t random_below(uint64_t *state, uint32_t n)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33) % n;
}

static bool is_byte(const struct tokenizer *t, int32_t id)
{
    size_t length;
    const char *piece = tokenizer_piece(t, id, &length);
    return piece && length == 6 && strncmp(piece, "<0x", 3) == 0;
}

// The documented exception: characters of a run of byte tokens were given out before the run became
// invalid.
static bool run_turns_invalid(const struct tokenizer *t, const int32_t *ids, size_t n)
{
    char run[64];
    size_t length = 0, at;
    for (size_t i = 0; i <= n; i++) {
        size_t piece_length;
        if (i < n && is_byte(t, ids[i])) {
            run[length++] = (char)strtol(tokenizer_piece(t, ids[i], &piece_length) + 3, NULL, 16);
            continue;
        }
        if (i < n &&
            (tokenizer_is_special(t, ids[i]) || !tokenizer_piece(t, ids[i], &piece_length)))
            continue; // not part of the text
        if (length > 0 && !utf8_check(run, length, &at) && at > 0)
            return true;
        length = 0;
    }
    return false;
}

static void pieces_add_up_to_the_whole(void **state)
{
    enum { ROUNDS = 20000, IDS_MAX = 24 };
    static const char *const names[] = {DATA "/bytelevel", DATA "/sentencepiece"};
    uint64_t random = 1;
    size_t compared = 0;
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct tokenizer *t = open_folder(names[k]);
        struct bytes pieces, whole;
        bytes_init(&pieces);
        bytes_init(&whole);
        for (int round = 0; round < ROUNDS; round++) {
            int32_t ids[IDS_MAX];
            size_t n = random_below(&random, IDS_MAX);
            uint32_t range = random_below(&random, 2) ? 270 : (uint32_t)tokenizer_vocab_size(t) + 3;
            for (size_t i = 0; i < n; i++)
                ids[i] = (int32_t)random_below(&random, range);
            if (run_turns_invalid(t, ids, n))
                continue;
            struct decode_stream stream;
            bytes_clear(&pieces);
            bytes_clear(&whole);
            decode_stream_init(&stream, t, true);
            for (size_t i = 0; i < n; i++)
                assert_int_equal(decode_stream_step(&stream, ids[i], &pieces), OK);
            assert_int_equal(decode_stream_flush(&stream, &pieces), OK);
            decode_stream_fini(&stream);
            assert_int_equal(tokenizer_decode(t, ids, n, true, &whole), OK);
            assert_int_equal(pieces.length, whole.length);
            if (whole.length > 0)
                assert_memory_equal(pieces.data, whole.data, whole.length);
            compared++;
        }
        bytes_fini(&pieces);
        bytes_fini(&whole);
        tokenizer_close(t);
    }
    assert_true(compared > ROUNDS + ROUNDS / 4);
}

// Decoders of other shapes: the last tokens are decoded again, as tokenizers' DecodeStream does.
static void other_decoders_are_followed_in_a_window(void **state)
{
    static const char text[] = "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]},\"decoder\":"
                               "{\"type\":\"Sequence\",\"decoders\":["
                               "{\"type\":\"Fuse\"},{\"type\":\"Replace\",\"pattern\":{\"Regex\":"
                               "\"ab+\"},\"content\":\"<\"}]}}";
    const int32_t ids[] = {1, 0, 1, 1, 0};
    struct tokenizer *t;
    struct bytes out;
    (void)state;
    bytes_init(&out);
    assert_int_equal(tokenizer_parse("t", text, strlen(text), &t), OK);
    stream_pieces(t, ids, 5, &out);
    assert_string_equal(out.data, "b|a|||<a|");
    bytes_fini(&out);
    tokenizer_close(t);
}

static void without_a_decoder_tokens_are_joined(void **state)
{
    static const char text[] = "{\"model\":{\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]}}";
    const int32_t ids[] = {1, 0, 7, 1};
    struct tokenizer *t;
    struct bytes out;
    (void)state;
    bytes_init(&out);
    assert_int_equal(tokenizer_parse("t", text, strlen(text), &t), OK);
    stream_pieces(t, ids, 4, &out);
    assert_string_equal(out.data, "b| a|| b|");
    bytes_fini(&out);
    tokenizer_close(t);
}

// A completion's pieces behind its prompt, as vLLM gives them (tools/make_completion_vectors.py).
static void completions_go_on_from_their_prompts(void **state)
{
    json_t *root, *item;
    size_t i, wrong = 0;
    (void)state;
    assert_int_equal(
        json_file(SOURCE_DIR "/tests/data/tokenizers/completions.json", 1 << 24, &root), OK);
    json_array_foreach(root, i, item)
    {
        char path[512];
        json_t *config;
        struct tokenizer *t;
        struct decode_stream stream;
        struct token_ids prompt, ids;
        struct bytes piece;
        snprintf(path, sizeof path, SOURCE_DIR "/tests/data/tokenizers/%s/tokenizer.json",
                 json_string_value(json_object_get(item, "base")));
        assert_int_equal(json_file(path, 1 << 24, &config), OK);
        json_object_set(config, "decoder", json_object_get(item, "decoder"));
        char *text = json_dumps(config, 0);
        assert_int_equal(tokenizer_parse("completion", text, strlen(text), &t), OK);
        read_ids(json_object_get(item, "prompt"), &prompt);
        read_ids(json_object_get(item, "ids"), &ids);
        bytes_init(&piece);
        decode_stream_init(&stream, t, true);
        assert_int_equal(decode_stream_prime(&stream, prompt.ids, prompt.n), OK);
        for (size_t k = 0; k < ids.n; k++) {
            const json_t *expected = json_array_get(json_object_get(item, "pieces"), k);
            bytes_clear(&piece);
            assert_int_equal(decode_stream_step(&stream, ids.ids[k], &piece), OK);
            if (!same_text(expected, &piece)) {
                printf("completion %zu, piece %zu: \"%s\", expected \"%s\"\n", i, k,
                       piece.length ? piece.data : "", json_string_value(expected));
                wrong++;
            }
        }
        bytes_fini(&piece);
        decode_stream_fini(&stream);
        token_ids_fini(&prompt);
        token_ids_fini(&ids);
        tokenizer_close(t);
        free(text);
        json_decref(config);
    }
    assert_true(i >= 60);
    assert_int_equal(wrong, 0);
    json_decref(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(byte_runs_become_characters),
        cmocka_unit_test(the_first_blank_is_dropped),
        cmocka_unit_test(letters_become_characters),
        cmocka_unit_test(holding_back_is_bounded),
        cmocka_unit_test(pieces_add_up_to_the_whole),
        cmocka_unit_test(completions_go_on_from_their_prompts),
        cmocka_unit_test(other_decoders_are_followed_in_a_window),
        cmocka_unit_test(without_a_decoder_tokens_are_joined),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
