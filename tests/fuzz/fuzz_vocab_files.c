// The input stands for a tokenizer.json: its first line is the file's name (tokenizer.model,
// qwen.tiktoken, vocab.json), then comes the file; behind it, each after a line "#file", may stand
// tokenizer_config.json and merges.txt. What it makes encodes a short text, and decodes it.
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>

#include "text/tokenizer.h"

static const char mark[] = "\n#file\n";

// The part up to the next mark; `*at` is moved behind that.
static void take_part(const char **at, const char *end, struct bytes *out)
{
    size_t left = (size_t)(end - *at);
    const char *stop = memmem(*at, left, mark, sizeof mark - 1);
    size_t length = stop ? (size_t)(stop - *at) : left;
    enum status status = bytes_append(out, *at, length);
    assert(status == OK);
    *at += stop ? length + sizeof mark - 1 : length;
}

static enum status open_input(const char *data, size_t size, struct tokenizer **out)
{
    const char *end = data + size, *line = memchr(data, '\n', size), *at = line ? line + 1 : end;
    struct bytes name = {0}, text = {0}, config = {0}, merges = {0};
    enum status status = bytes_append(&name, data, line ? (size_t)(line - data) : 0);
    assert(status == OK);
    if (name.length > 64)
        bytes_clear(&name);
    take_part(&at, end, &text);
    take_part(&at, end, &config);
    take_part(&at, end, &merges);
    const char *files[4] = {config.length ? config.data : NULL};
    status = tokenizer_parse_vocab(name.data, &text, &merges, files, out);
    bytes_fini(&name);
    bytes_fini(&text);
    bytes_fini(&config);
    bytes_fini(&merges);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char text[] = "Hello  the rank's 42 <s>x</s>\n\xC3\xA9 e\xCC\x81 \xE6\x97\xA5 "
                               "<0x41>\xE2\x96\x81 A--B [A] aab ";
    struct tokenizer *tokenizer;
    struct token_ids ids;
    struct bytes decoded;
    if (size == 0 || open_input((const char *)data, size, &tokenizer) != OK)
        return 0;
    token_ids_init(&ids);
    bytes_init(&decoded);
    if (tokenizer_encode(tokenizer, text, sizeof text - 1, true, &ids) == OK) {
        for (size_t i = 0; i < ids.n; i++)
            assert(ids.ids[i] >= 0 && ids.ids[i] < tokenizer_vocab_size(tokenizer));
        if (tokenizer_decode(tokenizer, ids.ids, ids.n, false, &decoded) == OK)
            assert(decoded.length > 0 || ids.n < 1000);
    }
    token_ids_fini(&ids);
    bytes_fini(&decoded);
    tokenizer_close(tokenizer);
    return 0;
}
