// A sender has SEND_PIECES buffers for all its receivers. A message goes in pieces; one that fits
// into the buffers that are free is sent without waiting for the receiver. Even an empty message is
// one piece, so that none goes unnoticed.
#include "comm/shm_pair.h"

#include <stdio.h>
#include <string.h>

#include "comm/shm_round.h"

enum { PIECE_HEAD_BYTES = 64, PIECE_DATA_BYTES = SEND_PIECE_BYTES - PIECE_HEAD_BYTES };

static size_t piece_data_bytes(size_t rest)
{
    return rest < PIECE_DATA_BYTES ? rest : PIECE_DATA_BYTES;
}

// A buffer whose piece has been read.
static enum status take_buffer(struct comm *comm, int *buffer)
{
    struct shm_sends *sends = shm_of(comm)->sends;
    int i = (int)(sends->n_pieces % SEND_PIECES);
    if (sends->piece[i].to) {
        int self = shm_first(comm) + comm->rank, to = sends->piece[i].to - 1;
        struct pair_line *pair = segment_pair(&comm->membership->segment, self, to);
        // That receiver may be no rank of `comm`; counted from its first rank it is right all the
        // same.
        TRY(await_peer(comm, &pair->taken, sends->piece[i].number, to - shm_first(comm)));
    }
    sends->n_pieces++;
    *buffer = i;
    return OK;
}

enum status shm_send(struct comm *comm, const void *data, size_t bytes, int to)
{
    const struct segment *segment = &comm->membership->segment;
    int self = shm_first(comm) + comm->rank;
    struct pair_line *pair = segment_pair(segment, self, shm_first(comm) + to);
    for (size_t offset = 0, n; offset == 0 || offset < bytes; offset += n) {
        int buffer;
        TRY(take_buffer(comm, &buffer));
        n = piece_data_bytes(bytes - offset);
        char *piece = segment_send_piece(segment, self, buffer);
        uint64_t whole = bytes;
        memcpy(piece, &whole, sizeof whole);
        if (n)
            memcpy(piece + PIECE_HEAD_BYTES, (const char *)data + offset, n);
        // relaxed: nobody else writes `sent`, and signal_raise() publishes `where`
        uint32_t number = atomic_load_explicit(&pair->sent.value, memory_order_relaxed) + 1;
        atomic_store_explicit(&pair->where[number % SEND_PIECES], (uint32_t)buffer,
                              memory_order_relaxed);
        shm_of(comm)->sends->piece[buffer].to = shm_first(comm) + to + 1;
        shm_of(comm)->sends->piece[buffer].number = number;
        signal_raise(&pair->sent, number);
        if (n == 0)
            break;
    }
    comm->statistics.bytes_sent += bytes;
    return OK;
}

static enum status break_for_piece(struct comm *comm, int from, uint32_t buffer)
{
    char sentence[VERDICT_BYTES];
    snprintf(
        sentence, sizeof sentence,
        "rank %d says that a piece for rank %d lies in buffer %u; expected 0 to %d: its memory "
        "was written over",
        comm->first_rank + from, comm->first_rank + comm->rank, buffer, SEND_PIECES - 1);
    // Nobody is named as the culprit: that one is alive, and how it then leaves is no news.
    return comm_break(comm, -1, sentence);
}

enum status shm_recv(struct comm *comm, void *data, size_t bytes, int from)
{
    const struct segment *segment = &comm->membership->segment;
    int sender = shm_first(comm) + from;
    struct pair_line *pair = segment_pair(segment, sender, shm_first(comm) + comm->rank);
    for (size_t offset = 0, n; offset == 0 || offset < bytes; offset += n) {
        // relaxed: nobody else writes `taken`
        uint32_t number = atomic_load_explicit(&pair->taken.value, memory_order_relaxed) + 1;
        TRY(await_peer(comm, &pair->sent, number, from));
        uint32_t buffer =
            atomic_load_explicit(&pair->where[number % SEND_PIECES], memory_order_relaxed);
        if (buffer >= SEND_PIECES) // memory that the peer writes
            return break_for_piece(comm, from, buffer);
        const char *piece = segment_send_piece(segment, sender, (int)buffer);
        uint64_t whole;
        memcpy(&whole, piece, sizeof whole);
        if (whole != bytes)
            return comm_break_for_size(comm, from, bytes, whole);
        n = piece_data_bytes(bytes - offset);
        if (n)
            memcpy((char *)data + offset, piece + PIECE_HEAD_BYTES, n);
        signal_raise(&pair->taken, number);
        if (n == 0)
            break;
    }
    return OK;
}
