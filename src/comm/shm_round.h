// A round: the one building block of the collectives over shared memory. In round s every rank
//
//   1. round_begin():   waits until all have published s - 1 (after a round with round_await_all()
//   they have),
//   2. writes its slot of parity s mod 2, when it has something to tell,
//   3. round_publish(): says so,
//   4. round_await():   waits for whose slots it wants to read, and reads them until it publishes s
//   + 1.
//
// Who publishes s has read all it wanted of s - 1. So a slot is written again two rounds later with
// one flag for each rank and round, and nobody ever waits to be allowed to write.
#ifndef COLROW_COMM_SHM_ROUND_H
#define COLROW_COMM_SHM_ROUND_H

#include "comm/transport.h"

// To whom (rank of the node + 1) the last piece in each buffer for messages went, and its number
// there.
struct shm_sends {
    uint32_t n_pieces; // begun
    struct {
        int to;
        uint32_t number;
    } piece[SEND_PIECES];
};

// The own data of a communicator over shared memory. All its ranks are of one node.
struct shm_channel {
    uint32_t round, seen;           // begun; that all peers are known to have published
    uint64_t call, place;           // of this round: what, and where in the step
    struct rank_line *line;         // own
    struct rank_line *lines;        // [size]
    char *slots[COMM_RANKS_MAX][2]; // by rank and parity
    char *exchanges[2][2];          // likewise; of two ranks
    float *part;                    // own part of a two-shot sum, when there is a consumer
    struct shm_sends *sends;        // the world's, borrowed by its splits
    bool is_split;
};

static inline struct shm_channel *shm_of(const struct comm *comm)
{
    return comm->own;
}

// As transport_shm's. shm_split() takes any communicator whose own data need not be ours: `sends`
// are borrowed from who has them, NULL: none yet.
enum status shm_attach(struct comm *comm, struct shm_sends *sends) STATUS_MUST_USE;
void shm_detach(struct comm *comm);
// The node's rank that rank 0 of `comm` is.
int shm_first(const struct comm *comm);

// What all ranks must agree on: the operation, a root (or another number of eight bits), and how
// many numbers or bytes. Also where in the step they are (comm_mark()).
enum status round_begin(struct comm *comm, enum comm_operation operation, int root,
                        uint64_t count) STATUS_MUST_USE;
void round_publish(struct comm *comm);
enum status round_await(struct comm *comm, int peer) STATUS_MUST_USE;
enum status round_await_all(struct comm *comm) STATUS_MUST_USE;

// Within a collective whose calls all have compared in a round: further rounds without a slot, by
// which two ranks tell each other how far they are. round_advance() publishes the next one; a peer
// that sleeps is woken only by one that is `last` of a series. round_await_progress() waits for the
// other rank's `round`, which may lie behind it already.
void round_advance(struct comm *comm, bool last);
enum status round_await_progress(struct comm *comm, uint32_t round) STATUS_MUST_USE;

// Slots of the current round (own and peers'), and of the next (own). Between two ranks they change
// hands: a line that the peer has read is the peer's, and cheapest for it to write.
char *round_slot(const struct comm *comm, int rank);
char *round_next_slot(const struct comm *comm);

// Copies what peers will read; counted as sent.
void slot_write(struct comm *comm, void *slot, const void *data, size_t bytes);

#endif
