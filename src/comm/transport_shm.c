// Ranks of one node, over shared memory: the table, and the collectives that are a loop over
// rounds.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "comm/collective_call.h"
#include "comm/reduce_points.h"
#include "comm/shm_all_reduce.h"
#include "comm/shm_pair.h"
#include "comm/shm_round.h"

// A chunk of the own slot; two of them fit into the second-level cache of every machine we know.
enum { CHUNK_BYTES = 256 << 10 };
static_assert(CHUNK_BYTES <= (int)SLOT_BYTES, "a slot holds a chunk");

static size_t part_of(size_t bytes, size_t offset, size_t chunk)
{
    if (offset >= bytes)
        return 0;
    return bytes - offset < chunk ? bytes - offset : chunk;
}

static enum status shm_all_gather(struct comm *comm, const void *in, const size_t *bytes, void *out)
{
    size_t begin[COMM_RANKS_MAX] = {0}, most = 0, total = 0;
    for (int r = 0; r < comm->size; r++) {
        begin[r] = total;
        total += bytes[r];
        most = bytes[r] > most ? bytes[r] : most;
    }
    char *to = out;
    int cut = collective_cut(bytes, comm->size);
    for (size_t offset = 0; offset == 0 || offset < most; offset += CHUNK_BYTES) {
        TRY(round_begin(comm, OPERATION_ALL_GATHER, cut, total));
        size_t own = part_of(bytes[comm->rank], offset, CHUNK_BYTES);
        if (own)
            slot_write(comm, round_slot(comm, comm->rank), (const char *)in + offset, own);
        round_publish(comm);
        char *place = to + begin[comm->rank] + offset;
        if (own && place != (const char *)in + offset) // `in` may be its place in `out`
            memcpy(place, (const char *)in + offset, own);
        TRY(round_await_all(comm));
        for (int r = 0; r < comm->size; r++) {
            size_t n = part_of(bytes[r], offset, CHUNK_BYTES);
            if (n && r != comm->rank)
                memcpy(to + begin[r] + offset, round_slot(comm, r), n);
        }
    }
    return OK;
}

// The root never waits for its readers but when it wants a slot back, two chunks later.
static enum status shm_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    char *place = data;
    for (size_t offset = 0; offset == 0 || offset < bytes; offset += CHUNK_BYTES) {
        size_t n = part_of(bytes, offset, CHUNK_BYTES);
        TRY(round_begin(comm, OPERATION_BROADCAST, root, bytes));
        if (comm->rank == root && n)
            slot_write(comm, round_slot(comm, root), place + offset, n);
        round_publish(comm);
        if (comm->rank == root)
            continue;
        TRY(round_await(comm, root));
        if (n)
            memcpy(place + offset, round_slot(comm, root), n);
    }
    return OK;
}

// Like the first half of a two-shot all-reduce: in each round a piece of every rank's part,
// [rank][node][piece].
static enum status shm_reduce_scatter(struct comm *comm, const struct reduction_tree *tree,
                                      const float *in, const size_t *counts, float *out)
{
    size_t begin[COMM_RANKS_MAX] = {0}, most = 0, total = 0;
    for (int r = 0; r < comm->size; r++) {
        begin[r] = total;
        total += counts[r];
        most = counts[r] > most ? counts[r] : most;
    }
    size_t n_nodes = (size_t)reduction_tree_node_count(tree, comm->rank);
    size_t n_nodes_max = (size_t)reduction_tree_node_count_max(tree);
    n_nodes_max = n_nodes_max ? n_nodes_max : 1;
    size_t piece = SLOT_BYTES / sizeof *in / (size_t)comm->size / n_nodes_max / 16 * 16;
    assert(piece > 0);
    int cut = collective_cut(counts, comm->size);
    for (size_t offset = 0; offset == 0 || offset < most; offset += piece) {
        TRY(round_begin(comm, OPERATION_REDUCE_SCATTER, cut, total));
        void *room = round_slot(comm, comm->rank);
        for (size_t r = 0; r < (size_t)comm->size; r++)
            for (size_t node = 0; node < n_nodes && offset < counts[r]; node++)
                slot_write(comm, (float *)room + (r * n_nodes_max + node) * piece,
                           in + node * total + begin[r] + offset,
                           part_of(counts[r], offset, piece) * sizeof *in);
        round_publish(comm);
        TRY(round_await_all(comm));
        const float *nodes[COMM_RANKS_MAX];
        for (int r = 0; r < comm->size; r++) {
            void *slot = round_slot(comm, r);
            nodes[r] = (float *)slot + (size_t)comm->rank * n_nodes_max * piece;
        }
        size_t own = part_of(counts[comm->rank], offset, piece);
        if (own)
            reduction_tree_finish(tree, nodes, piece, out + offset, own, comm->kernels);
    }
    return OK;
}

static enum status shm_barrier(struct comm *comm)
{
    TRY(round_begin(comm, OPERATION_BARRIER, 0, 0));
    round_publish(comm);
    return round_await_all(comm);
}

int shm_first(const struct comm *comm)
{
    return comm->first_rank - comm->membership->segment.first_rank;
}

static void find_places(struct comm *comm)
{
    struct shm_channel *shm = shm_of(comm);
    const struct segment *segment = &comm->membership->segment;
    int first = shm_first(comm);
    shm->lines = segment_line(segment, comm->channel, first);
    shm->line = &shm->lines[comm->rank];
    for (int r = 0; r < comm->size; r++)
        for (int parity = 0; parity < 2; parity++)
            shm->slots[r][parity] = segment_slot(segment, comm->channel, first + r, parity);
    for (int r = 0; r < 2; r++)
        for (int parity = 0; parity < 2; parity++)
            shm->exchanges[r][parity] = segment_exchange(segment, comm->channel, first + r, parity);
}

enum status shm_attach(struct comm *comm, struct shm_sends *sends)
{
    assert(comm->size > 1);
    struct shm_channel *shm;
    TRY(memory_new(1, sizeof *shm, "a communicator", &shm));
    comm->transport = &transport_shm;
    comm->own = shm;
    shm->sends = sends;
    shm->is_split = sends != NULL;
    find_places(comm);
    TRY(reduce_points_default(comm));
    TRY(memory_new(shm_all_reduce_part_bytes(comm->size), 1, "a communicator", &shm->part));
    return sends ? OK : memory_new(1, sizeof *shm->sends, "a communicator", &shm->sends);
}

void shm_detach(struct comm *comm)
{
    struct shm_channel *shm = shm_of(comm);
    if (!shm)
        return;
    if (!shm->is_split)
        free(shm->sends);
    free(shm->part);
    free(shm);
    comm->own = NULL;
}

static enum status shm_open(struct comm *comm)
{
    return shm_attach(comm, NULL);
}

static enum status shm_split(struct comm *comm, struct comm *part)
{
    return part->size == 1 ? transport_self.open(part) : shm_attach(part, shm_of(comm)->sends);
}

const struct transport transport_shm = {
    .name = "shm",
    .open = shm_open,
    .split = shm_split,
    .tune = reduce_points_measure,
    .check = check_peers,
    .close = shm_detach,
    .all_reduce = shm_all_reduce,
    .reduce_scatter = shm_reduce_scatter,
    .all_gather = shm_all_gather,
    .broadcast = shm_broadcast,
    .send = shm_send,
    .recv = shm_recv,
    .barrier = shm_barrier,
};
