#include "text/splits.h"

#include <assert.h>
#include <stdlib.h>

void splits_init(struct splits *splits)
{
    *splits = (struct splits){0};
}

void splits_fini(struct splits *splits)
{
    bytes_fini(&splits->text);
    free(splits->items);
    splits_init(splits);
}

void splits_clear(struct splits *splits)
{
    bytes_clear(&splits->text);
    splits->n = 0;
}

static uint32_t last_end(const struct splits *splits)
{
    return splits->n ? splits->items[splits->n - 1].end : 0;
}

enum status splits_push(struct splits *splits, int32_t id, size_t start)
{
    assert(splits && id >= -1 && splits->n <= splits->capacity && start <= TEXT_BYTES_MAX);
    uint32_t begin = last_end(splits);
    if (splits->text.length > TEXT_BYTES_MAX)
        return fail(ERR_INPUT, "the text grows beyond %zu bytes in the tokenizer", TEXT_BYTES_MAX);
    TRY(memory_grow(&splits->items, &splits->capacity, splits->n + 1, sizeof *splits->items,
                    "parts of a text"));
    splits->items[splits->n++] =
        (struct split){begin, (uint32_t)splits->text.length, id, (uint32_t)start};
    return OK;
}

enum status splits_add(struct splits *splits, int32_t id, size_t start)
{
    assert(splits && splits->text.length >= last_end(splits));
    return splits->text.length == last_end(splits) ? OK : splits_push(splits, id, start);
}

enum status splits_add_text(struct splits *splits, const char *text, size_t length, int32_t id,
                            size_t start)
{
    assert(splits && (text || length == 0));
    TRY(bytes_append(&splits->text, text, length));
    return splits_add(splits, id, start);
}

size_t splits_start_of(size_t start, size_t begin, size_t end)
{
    if (start <= begin)
        return 0;
    return (start < end ? start : end) - begin;
}

void decode_buffers_init(struct decode_buffers *buffers)
{
    *buffers = (struct decode_buffers){0};
}

void decode_buffers_fini(struct decode_buffers *buffers)
{
    splits_fini(&buffers->tokens);
    splits_fini(&buffers->next);
    bytes_fini(&buffers->bytes);
}
