// What a rank looks at while it waits for another: the verdict, the peer's life, the deadline.
#include "comm/peer_wait.h"

#include <stdio.h>

#include "base/clock.h"
#include "comm/wire.h"

// The owner looks for late ranks too and knows more; it goes first.
enum { OWNER_FIRST_NS = 600000000 };

enum status(comm_break)(struct comm *comm, int culprit, const char *sentence)
{
    struct segment *segment = &comm->membership->segment;
    comm->membership->broken = true;
    if (!segment->header)
        return fail(ERR_GROUP, "%s", sentence);
    verdict_give(segment, comm->first_rank + comm->rank, culprit, sentence);
    const struct verdict *verdict = verdict_read(segment);
    return fail(ERR_GROUP, "%s",
                verdict ? verdict->sentence : "the group was ended by another rank");
}

enum status comm_break_for_size(struct comm *comm, int from, size_t wanted, uint64_t found)
{
    char place[PLACE_BYTES], sentence[VERDICT_BYTES];
    flight_place(comm->flight, place);
    snprintf(sentence, sizeof sentence,
             "rank %d receives %zu bytes from rank %d, which sends %llu%s",
             comm->first_rank + comm->rank, wanted, comm->first_rank + from,
             (unsigned long long)found, place);
    return comm_break(comm, -1, sentence);
}

struct rank_record *comm_rank_record(const struct comm *comm, int rank)
{
    const struct segment *segment = &comm->membership->segment;
    return segment->ranks ? segment_record(segment, comm->first_rank + rank) : NULL;
}

static void serve_others(const struct comm *comm)
{
    if (comm->membership->serve_others)
        comm->membership->serve_others(comm->membership->others);
}

static int32_t pid_of(const struct rank_record *record)
{
    // relaxed: a pid that is not there yet is looked at again in the next slice
    int32_t member = atomic_load_explicit(&record->member_pid, memory_order_relaxed);
    return member ? member : atomic_load_explicit(&record->pid, memory_order_relaxed);
}

// A wrapper's pid is replaced by that of the rank proper once this is known.
static bool peer_is_gone(struct comm *comm, int peer, const struct rank_record *record)
{
    struct process_handle *handle = &comm->membership->peers[peer];
    int32_t pid = pid_of(record);
    if (pid == 0)
        return false; // not started yet
    if (handle->pid != pid) {
        process_handle_close(handle);
        *handle = process_handle_open(pid);
    }
    return process_is_gone(handle);
}

// acquire: pairs with the release in comm_close(); all that the peer raised before is visible then.
static bool peer_has_closed(const struct rank_record *record)
{
    return atomic_load_explicit(&record->closed, memory_order_acquire) != 0;
}

enum status break_for_peer(struct comm *comm, int peer, const char *fate)
{
    const struct rank_record *record = segment_record(&comm->membership->segment, peer);
    char where[32], place[PLACE_BYTES], sentence[VERDICT_BYTES];
    flight_place(comm->flight, place);
    if (record)
        snprintf(where, sizeof where, "(pid %d)", (int)pid_of(record));
    else
        snprintf(where, sizeof where, "on another node");
    snprintf(sentence, sizeof sentence, "rank %d %s %s; rank %d waits for it%s", peer, where, fate,
             comm->first_rank + comm->rank, place);
    return comm_break(comm, peer, sentence);
}

// The peer is through with the step in which we wait for it: it makes fewer collectives than we do.
static bool peer_has_left_step(const struct peer_wait *wait, const struct flight_record *peer)
{
    // relaxed: our own. acquire: pairs with the release in comm_finish_step(), so that what the
    // peer raised in the step is visible
    const struct comm *comm = wait->comm;
    int64_t step = atomic_load_explicit(&comm->flight->now.step, memory_order_relaxed);
    return step >= 1 && atomic_load_explicit(&peer->steps_done, memory_order_acquire) >= step;
}

static enum status break_for_leaver(struct comm *comm, int peer)
{
    char own[PLACE_BYTES], last[PLACE_BYTES], sentence[VERDICT_BYTES];
    const struct rank_record *record = segment_record(&comm->membership->segment, peer);
    flight_collective(comm->flight, own);
    flight_collective(&record->flight, last);
    snprintf(sentence, sizeof sentence,
             "ranks diverge: rank %d waits for rank %d in %s, but rank %d (pid %d) has finished "
             "the step; its last was %s",
             comm->first_rank + comm->rank, peer, own, peer, (int)pid_of(record), last);
    return comm_break(comm, -1, sentence);
}

static enum status check_deadline(struct peer_wait *wait)
{
    struct comm *comm = wait->comm;
    const struct segment *segment = &comm->membership->segment;
    int64_t now = clock_ns();
    if (now - wait->since_ns <= segment->header->deadline_ns)
        return OK;
    // Two looks: the whole group may have been suspended (Ctrl-Z, a virtual machine's snapshot).
    if (!wait->overdue_ns)
        wait->overdue_ns = now;
    struct lateness late;
    if (now - wait->overdue_ns < OWNER_FIRST_NS || !flight_find_late(segment, now, &late))
        return OK;
    char sentence[VERDICT_BYTES];
    flight_say_late(segment, &late, sentence, sizeof sentence);
    return comm_break(comm, late.rank, sentence);
}

static bool arrived(const struct peer_wait *wait)
{
    if (wait->message)
        return wait->message->done;
    // acquire: as in signal_await(), which looks again
    uint32_t value = atomic_load_explicit(&wait->word->value, memory_order_acquire);
    return (int32_t)(wait->value - value) <= 0;
}

// A peer of this node: what its record and its process say.
static enum status check_near_peer(struct peer_wait *wait, const struct rank_record *record)
{
    // Gone first, arrived second: it may have raised the word and left.
    struct comm *comm = wait->comm;
    bool closed = peer_has_closed(record);
    if (closed || peer_is_gone(comm, wait->peer, record))
        return arrived(wait)
                   ? OK
                   : break_for_peer(comm, wait->peer, closed ? "has left the group" : "is gone");
    if (peer_has_left_step(wait, &record->flight) && !arrived(wait))
        return break_for_leaver(comm, wait->peer);
    return OK;
}

enum status peer_wait_check(void *context)
{
    struct peer_wait *wait = context;
    struct comm *comm = wait->comm;
    if (!wait->since_ns) {
        wait->since_ns = clock_ns();
        flight_wait(&comm->membership->segment, comm->flight, wait->peer,
                    wait->message ? NULL : wait->word, wait->value, wait->since_ns);
    }
    if (verdict_given(&comm->membership->segment))
        return comm_break(comm, -1, "");
    // Peers on other nodes may need an answer before this one, which waits in memory, gets its own.
    serve_others(comm);
    const struct rank_record *record = segment_record(&comm->membership->segment, wait->peer);
    // What a near peer has sent may still be on its way over a wire.
    if (record && !wait->message)
        TRY(check_near_peer(wait, record));
    return check_deadline(wait);
}

void peer_wait_end(const struct peer_wait *wait)
{
    if (wait->since_ns)
        flight_wait_end(wait->comm->flight);
}

enum status await_peer(struct comm *comm, struct signal_word *word, uint32_t value, int peer)
{
    struct peer_wait wait = {
        .comm = comm, .peer = comm->first_rank + peer, .word = word, .value = value};
    if (arrived(&wait))
        return OK;
    uint64_t begun = ticks_now();
    enum status status = signal_await(word, value, WAIT_BUSY, peer_wait_check, &wait);
    comm->wait_ticks += ticks_now() - begun;
    if (status == OK) // after an error the record shows what was waited for
        peer_wait_end(&wait);
    return status;
}

enum status comm_check(void *context)
{
    struct comm *comm = context;
    if (comm->membership->broken)
        return fail(ERR_GROUP, "the group is broken");
    // Who waits for something else than a collective is not busy, however long ago it marked its
    // last deed.
    atomic_store_explicit(&comm->flight->busy_since_ns, 0, memory_order_relaxed);
    if (!comm->membership->segment.header)
        return OK;
    if (verdict_given(&comm->membership->segment))
        return comm_break(comm, -1, "");
    serve_others(comm);
    return comm->transport->check(comm);
}

enum status check_peers(struct comm *comm)
{
    for (int r = 0; r < comm->size; r++) {
        int peer = comm->first_rank + r;
        const struct rank_record *record = comm_rank_record(comm, r);
        if (r != comm->rank && record && !peer_has_closed(record) &&
            peer_is_gone(comm, peer, record) && !peer_has_closed(record))
            return break_for_peer(comm, peer, "is gone");
    }
    return OK;
}
