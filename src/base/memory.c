#include "base/memory.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"

static atomic_long countdown;

void memory_fail_after(long n)
{
    atomic_store(&countdown, n);
}

static int told_to_fail(void)
{
    if (atomic_load_explicit(&countdown, memory_order_relaxed) <= 0)
        return 0;
    return atomic_fetch_sub(&countdown, 1) == 1;
}

enum status memory_new(size_t count, size_t item_bytes, const char *what, void *out)
{
    void *memory = NULL;
    size_t bytes = 0;
    if (checked_mul(count, item_bytes, &bytes) && !told_to_fail())
        memory = calloc(count ? count : 1, item_bytes);
    memcpy(out, &memory, sizeof memory);
    return memory ? OK : fail_memory(bytes, what);
}

enum status memory_grow(void *array, size_t *capacity, size_t wanted, size_t item_bytes,
                        const char *what)
{
    if (wanted <= *capacity)
        return OK;
    size_t items = *capacity ? *capacity : 16, bytes;
    while (items < wanted)
        if (!checked_mul(items, 2, &items))
            return fail_memory(SIZE_MAX, what);
    if (!checked_mul(items, item_bytes, &bytes) || told_to_fail())
        return fail_memory(bytes, what);
    void *memory;
    memcpy(&memory, array, sizeof memory);
    memory = realloc(memory, bytes);
    if (!memory)
        return fail_memory(bytes, what);
    memcpy(array, &memory, sizeof memory);
    *capacity = items;
    return OK;
}

enum status memory_text(const char *text, char **out)
{
    size_t length = strlen(text) + 1;
    TRY(memory_new(length, 1, "a string", out));
    memcpy(*out, text, length);
    return OK;
}

struct arena_block {
    struct arena_block *next;
    size_t used, size;
    alignas(16) char data[];
};

void arena_init(struct arena *arena)
{
    *arena = (struct arena){0};
}

void arena_fini(struct arena *arena)
{
    for (struct arena_block *block = arena->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    arena_init(arena);
}

enum status arena_take(struct arena *arena, size_t count, size_t item_bytes, void *out)
{
    size_t bytes, block_bytes;
    if (!checked_mul(count, item_bytes, &bytes) || !checked_add(bytes, 15, &bytes))
        return fail_memory(SIZE_MAX, "an arena");
    bytes &= ~(size_t)15;
    struct arena_block *block = arena->blocks;
    if (!block || block->size - block->used < bytes) {
        size_t size = bytes > 65536 ? bytes : 65536;
        if (!checked_add(size, sizeof *block, &block_bytes))
            return fail_memory(SIZE_MAX, "an arena");
        TRY(memory_new(1, block_bytes, "an arena", &block));
        block->size = size;
        block->next = arena->blocks;
        arena->blocks = block;
    }
    void *memory = block->data + block->used;
    block->used += bytes;
    arena->bytes += bytes;
    memcpy(out, &memory, sizeof memory);
    return OK;
}

enum status arena_text(struct arena *arena, const char *text, size_t length, char **out)
{
    TRY(arena_take(arena, length + 1, 1, out));
    memcpy(*out, text, length);
    (*out)[length] = '\0';
    return OK;
}

void bytes_init(struct bytes *bytes)
{
    *bytes = (struct bytes){0};
}

void bytes_fini(struct bytes *bytes)
{
    free(bytes->data);
    bytes_init(bytes);
}

void bytes_clear(struct bytes *bytes)
{
    bytes->length = 0;
    if (bytes->data)
        bytes->data[0] = '\0';
}

enum status bytes_append(struct bytes *bytes, const void *data, size_t length)
{
    size_t wanted;
    if (!checked_add(bytes->length, length, &wanted) || !checked_add(wanted, 1, &wanted))
        return fail_memory(SIZE_MAX, "a string");
    TRY(memory_grow(&bytes->data, &bytes->capacity, wanted, 1, "a string"));
    if (length)
        memcpy(bytes->data + bytes->length, data, length);
    bytes->length += length;
    bytes->data[bytes->length] = '\0';
    return OK;
}

enum status bytes_text(struct bytes *bytes, const char *text)
{
    return bytes_append(bytes, text, strlen(text));
}

enum status bytes_format(struct bytes *bytes, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    enum status status = OK;
    if (length < 0)
        status = fail(ERR_INTERNAL, "a text could not be formatted");
    else
        status = memory_grow(&bytes->data, &bytes->capacity, bytes->length + (size_t)length + 1, 1,
                             "a string");
    if (status == OK) {
        vsnprintf(bytes->data + bytes->length, (size_t)length + 1, format, again);
        bytes->length += (size_t)length;
    }
    va_end(again);
    return status;
}
