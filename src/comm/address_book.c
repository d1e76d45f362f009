#include "comm/address_book.h"

#include <assert.h>
#include <string.h>

static void write_address(struct address_entry *entry, const void *address, size_t bytes)
{
    assert(bytes <= ADDRESS_BYTES_MAX && !signal_reached(&entry->there, 1));
    entry->bytes = (uint32_t)bytes;
    if (bytes)
        memcpy(entry->address, address, bytes);
    signal_raise(&entry->there, 1);
}

// The length lies in memory that others write.
static const void *read_address(const struct address_entry *entry, size_t *bytes)
{
    if (!signal_reached(&entry->there, 1) || entry->bytes > ADDRESS_BYTES_MAX)
        return NULL;
    *bytes = entry->bytes;
    return entry->address;
}

static bool is_alone(const struct segment *segment)
{
    return segment->n_ranks == segment->world_size;
}

void address_book_put(struct segment *segment, int local_rank, const void *address, size_t bytes)
{
    write_address(segment_mail(segment, local_rank), address, bytes);
}

enum status address_book_wait(struct segment *segment, signal_check check, void *context)
{
    if (!is_alone(segment))
        return signal_await(&segment->header->book_complete, 1, WAIT_IDLE, check, context);
    for (int r = 0; r < segment->n_ranks; r++)
        TRY(signal_await(&segment_mail(segment, r)->there, 1, WAIT_IDLE, check, context));
    return OK;
}

const void *address_book_read(const struct segment *segment, int world_rank, size_t *bytes)
{
    return read_address(segment_book(segment, world_rank), bytes);
}

bool address_book_take(const struct segment *segment, int local_rank, const void **address,
                       size_t *bytes)
{
    *address = read_address(segment_mail(segment, local_rank), bytes);
    return *address != NULL;
}

bool address_book_fill(struct segment *segment, int world_rank, const void *address, size_t bytes)
{
    struct address_entry *entry = segment_book(segment, world_rank);
    if (is_alone(segment)) // the ranks' own mail is the book
        return true;
    if (bytes > ADDRESS_BYTES_MAX || signal_reached(&entry->there, 1))
        return false;
    write_address(entry, address, bytes);
    return true;
}

void address_book_complete(struct segment *segment)
{
    signal_raise(&segment->header->book_complete, 1);
}
