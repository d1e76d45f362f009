#include "comm/shm_round.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

static uint64_t call_of(enum comm_operation operation, int root, uint64_t count)
{
    return (uint64_t)operation << 56 | (uint64_t)root << 48 | (count & 0xffffffffffffu);
}

static enum status break_for_mismatch(struct comm *comm, int peer, uint64_t own, uint64_t other)
{
    static const uint64_t count_mask = 0xffffffffffffu;
    char place[PLACE_BYTES], sentence[VERDICT_BYTES];
    flight_place(comm->flight, place);
    snprintf(sentence, sizeof sentence,
             "ranks call different collectives%s: rank %d %s of %llu (root %d), rank %d %s of %llu "
             "(root %d)",
             place, comm->first_rank + comm->rank, operation_name((enum comm_operation)(own >> 56)),
             (unsigned long long)(own & count_mask), (int)(own >> 48 & 255),
             comm->first_rank + peer, operation_name((enum comm_operation)(other >> 56)),
             (unsigned long long)(other & count_mask), (int)(other >> 48 & 255));
    return comm_break(comm, -1, sentence);
}

static enum status await_published(struct comm *comm, uint32_t round)
{
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank)
            TRY(await_peer(comm, &comm->lines[r].published, round, r));
    comm->seen = round;
    return OK;
}

enum status round_begin(struct comm *comm, enum comm_operation operation, int root, uint64_t count)
{
    if (comm->seen != comm->round)
        TRY(await_published(comm, comm->round));
    comm->round++;
    // relaxed: published by round_publish()
    atomic_store_explicit(&comm->line->call[comm->round & 1], call_of(operation, root, count),
                          memory_order_relaxed);
    return OK;
}

void round_publish(struct comm *comm)
{
    signal_raise(&comm->line->published, comm->round);
}

enum status round_await(struct comm *comm, int peer)
{
    TRY(await_peer(comm, &comm->lines[peer].published, comm->round, peer));
    // relaxed: ordered by the acquire of `published`; the peer writes it again in round + 2, which
    // we have not published
    unsigned parity = comm->round & 1;
    uint64_t own = atomic_load_explicit(&comm->line->call[parity], memory_order_relaxed);
    uint64_t other = atomic_load_explicit(&comm->lines[peer].call[parity], memory_order_relaxed);
    return own == other ? OK : break_for_mismatch(comm, peer, own, other);
}

enum status round_await_all(struct comm *comm)
{
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank)
            TRY(round_await(comm, r));
    comm->seen = comm->round;
    return OK;
}

char *round_slot(const struct comm *comm, int rank)
{
    return comm->slots[rank][comm->round & 1];
}

char *round_next_slot(const struct comm *comm)
{
    return comm->slots[comm->rank][(comm->round + 1) & 1];
}

#ifdef __x86_64__
// Past the caches: readers need not fetch the lines from ours. 64 bytes of whole lines at a time.
static void stream(char *to, const char *from, size_t bytes)
{
    size_t i = 0;
    for (; i + 64 <= bytes; i += 64)
        for (size_t j = i; j < i + 64; j += 16)
            _mm_stream_si128((void *)(to + j), _mm_loadu_si128((const void *)(from + j)));
    memcpy(to + i, from + i, bytes - i);
    _mm_sfence(); // streamed stores are not ordered by the release that follows
}

// Measured: streaming makes 4 KB to 1 MB faster between Zen 4 cores and 1.3 times slower between
// Granite Rapids cores, where plain stores win at all sizes.
static size_t streaming_pays_from(void)
{
    return __builtin_cpu_is("amd") ? 4096 : SIZE_MAX;
}
#else
static void stream(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
}

static size_t streaming_pays_from(void)
{
    return SIZE_MAX;
}
#endif

size_t slot_stream_bytes(void)
{
    const char *text = getenv("COLROW_STREAM_BYTES");
    return text ? strtoull(text, NULL, 10) : streaming_pays_from();
}

void slot_write(struct comm *comm, void *slot, const void *data, size_t bytes)
{
    comm->statistics.bytes_sent += bytes;
    if (bytes >= comm->stream_bytes && (uintptr_t)slot % 16 == 0)
        stream(slot, data, bytes);
    else if (bytes)
        memcpy(slot, data, bytes);
}
