// The input is a tokenizer.json, behind which the files beside it may stand, each after a line
// "#file". It encodes a short text, and what it makes is decoded whole and as a stream.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "text/decode_stream.h"
#include "text/tokenizer.h"

// `exact`: no run of byte tokens can turn invalid, so the pieces are the whole.
static void check_stream(const struct tokenizer *tokenizer, const struct token_ids *ids, int exact)
{
    struct decode_stream stream;
    struct bytes pieces, whole;
    bytes_init(&pieces);
    bytes_init(&whole);
    decode_stream_init(&stream, tokenizer, false);
    exact = exact && !stream.window;
    enum status status = OK;
    for (size_t i = 0; i < ids->n && status == OK; i++)
        status = decode_stream_step(&stream, ids->ids[i], &pieces);
    if (status == OK)
        status = decode_stream_flush(&stream, &pieces);
    if (tokenizer_decode(tokenizer, ids->ids, ids->n, false, &whole) == OK && status == OK && exact)
        assert(pieces.length == whole.length &&
               (whole.length == 0 || memcmp(pieces.data, whole.data, whole.length) == 0));
    decode_stream_fini(&stream);
    bytes_fini(&pieces);
    bytes_fini(&whole);
}

// The texts of tokenizer_config.json, special_tokens_map.json, added_tokens.json and config.json.
static enum status parse(char *text, size_t size, struct tokenizer **out)
{
    static const char mark[] = "\n#file\n";
    const char *files[4] = {0};
    char *end = memmem(text, size, mark, sizeof mark - 1);
    if (!end)
        return tokenizer_parse("fuzz", text, size, out);
    size_t length = (size_t)(end - text);
    for (int i = 0; i < 4 && end; i++) {
        *end = '\0';
        files[i] = end + sizeof mark - 1;
        end = memmem(files[i], size - (size_t)(files[i] - text), mark, sizeof mark - 1);
    }
    return tokenizer_parse_files("fuzz", text, length, files, out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello  the rank's 42 <s>x</s>\n\xC3\xA9 e\xCC\x81 \xE6\x97\xA5 "
                               "<0x41>\xE2\x96\x81 A--B [A] aab";
    struct tokenizer *tokenizer;
    struct token_ids ids;
    char *copy = malloc(size + 1);
    assert(copy);
    memcpy(copy, data, size);
    copy[size] = '\0';
    enum status status = parse(copy, size, &tokenizer);
    free(copy);
    if (status != OK)
        return 0;
    (void)tokenizer_eos_id(tokenizer);
    int exact = !memmem(data, size, "ByteFallback", 12) && !memmem(data, size, "\\u", 2);
    token_ids_init(&ids);
    if (tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids) == OK) {
        for (size_t i = 0; i < ids.n; i++)
            assert(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_vocab_size(tokenizer));
        check_stream(tokenizer, &ids, exact);
    }
    token_ids_fini(&ids);
    tokenizer_close(tokenizer);
    return 0;
}
