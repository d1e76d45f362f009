#include "comm/shm_round.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "comm/collective_call.h"

static enum status await_published(struct comm *comm, uint32_t round)
{
    struct shm_channel *shm = shm_of(comm);
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank)
            TRY(await_peer(comm, &shm->lines[r].published, round, r));
    shm->seen = round;
    return OK;
}

enum status round_begin(struct comm *comm, enum comm_operation operation, int root, uint64_t count)
{
    struct shm_channel *shm = shm_of(comm);
    if ((int32_t)(shm->round - shm->seen) > 0)
        TRY(await_published(comm, shm->round));
    shm->round++;
    shm->call = collective_call(operation, root, count);
    shm->place = flight_fingerprint(comm->flight);
    return OK;
}

void round_publish(struct comm *comm)
{
    struct shm_channel *shm = shm_of(comm);
    // relaxed: signal_raise() publishes it. Written only now: the peers poll this line, and each
    // store to it that comes alone costs a journey to them.
    atomic_store_explicit(&shm->line->call[shm->round & 1], shm->call, memory_order_relaxed);
    atomic_store_explicit(&shm->line->place[shm->round & 1], shm->place, memory_order_relaxed);
    signal_raise(&shm->line->published, shm->round);
}

enum status round_await(struct comm *comm, int peer)
{
    struct shm_channel *shm = shm_of(comm);
    TRY(await_peer(comm, &shm->lines[peer].published, shm->round, peer));
    // relaxed: ordered by the acquire of `published`; the peer writes it again in round + 2, which
    // we have not published
    unsigned parity = shm->round & 1;
    const struct rank_line *line = &shm->lines[peer];
    uint64_t call = atomic_load_explicit(&line->call[parity], memory_order_relaxed);
    uint64_t place = atomic_load_explicit(&line->place[parity], memory_order_relaxed);
    bool same = shm->call == call && shm->place == place;
    if (same)
        return OK;
    const struct flight_record *other = &comm_rank_record(comm, peer)->flight;
    return break_for_mismatch(comm, comm->first_rank + peer, shm->call, call, other);
}

enum status round_await_all(struct comm *comm)
{
    struct shm_channel *shm = shm_of(comm);
    for (int r = 0; r < comm->size; r++)
        if (r != comm->rank)
            TRY(round_await(comm, r));
    shm->seen = shm->round;
    return OK;
}

void round_advance(struct comm *comm, bool last)
{
    struct shm_channel *shm = shm_of(comm);
    shm->round++;
    if (last)
        signal_raise(&shm->line->published, shm->round);
    else
        signal_note(&shm->line->published, shm->round);
}

// The peer's line is looked at only when what it said last does not suffice: each look takes the
// line away from it.
enum status round_await_progress(struct comm *comm, uint32_t round)
{
    struct shm_channel *shm = shm_of(comm);
    int peer = !comm->rank;
    assert(comm->size == 2);
    if ((int32_t)(round - shm->seen) <= 0)
        return OK;
    struct signal_word *word = &shm->lines[peer].published;
    TRY(await_peer(comm, word, round, peer));
    // acquire: what the peer did up to this round will be read without another look
    shm->seen = atomic_load_explicit(&word->value, memory_order_acquire);
    return OK;
}

// Any assignment of slots to writers would do: who writes in round s + 2 knows that all have read
// what they wanted of round s.
static char *slot_of_rank(const struct comm *comm, int rank, uint32_t round)
{
    unsigned turn = comm->size == 2 ? round >> 1 & 1 : 0;
    return shm_of(comm)->slots[(unsigned)rank ^ turn][round & 1];
}

char *round_slot(const struct comm *comm, int rank)
{
    return slot_of_rank(comm, rank, shm_of(comm)->round);
}

char *round_next_slot(const struct comm *comm)
{
    return slot_of_rank(comm, comm->rank, shm_of(comm)->round + 1);
}

#ifdef __x86_64__
// Past the caches: readers need not fetch the lines from ours. 64 bytes of whole lines at a time.
static void stream_bytes(char *to, const char *from, size_t bytes)
{
    size_t i = 0;
    for (; i + 64 <= bytes; i += 64)
        for (size_t j = i; j < i + 64; j += 16)
            _mm_stream_si128((void *)(to + j), _mm_loadu_si128((const void *)(from + j)));
    memcpy(to + i, from + i, bytes - i);
    _mm_sfence(); // streamed stores are not ordered by the release that follows
}
#else
static void stream_bytes(char *to, const char *from, size_t bytes)
{
    memcpy(to, from, bytes);
}
#endif

void slot_write(struct comm *comm, void *slot, const void *data, size_t bytes)
{
    comm->statistics.bytes_sent += bytes;
    if (bytes >= comm->points.stream_bytes && (uintptr_t)slot % 16 == 0)
        stream_bytes(slot, data, bytes);
    else if (bytes)
        memcpy(slot, data, bytes);
}
