#include "comm/comm.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "comm/environment_number.h"
#include "comm/flight_record.h"
#include "comm/local_meeting.h"
#include "comm/rank_watcher.h"
#include "comm/segment_join.h"
#include "comm/transport.h"
#include "device/device.h"

static void start_clock(struct comm *comm)
{
    comm->opened_ticks = ticks_now();
    comm->opened_ns = clock_ns();
}

static enum status comm_new(int rank, int size, struct comm **out)
{
    struct comm *comm;
    TRY(memory_new(1, sizeof *comm, "a communicator", &comm));
    enum status status;
    TRY_DONE(kernels_choose(&comm->kernels));
    TRY_DONE(memory_new(1, sizeof *comm->membership, "a communicator", &comm->membership));
    comm->membership->n_channels = 1;
    comm->membership->n_cpus = device_cpu_count();
    (void)transport_self.open(comm);
    comm->rank = rank;
    comm->size = size;
    comm->flight = &comm->private_flight;
    comm->fail_after = &comm->own_fail_after;
    start_clock(comm);
    *out = comm;
    return OK;
done:
    free(comm);
    return status;
}

// N of each rank, 64 bits in the machine's order, in a file that lasts for ever: so it may be
// changed while ranks run, and what was counted down stays so when they start again.
static void fault_from_file(struct comm *comm, const char *path)
{
    size_t bytes = COMM_RANKS_MAX * sizeof *comm->fail_after;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (fd >= 0)
        close(fd);
    if (page != MAP_FAILED)
        comm->fail_after = (_Atomic int64_t *)page + comm->rank;
}

// For tests of programs: COLROW_FAIL_COLLECTIVE=RANK:N makes the N-th collective of that rank fail,
// @FILE the one that is written there.
static void fault_from_environment(struct comm *comm)
{
    const char *text = getenv("COLROW_FAIL_COLLECTIVE");
    int rank;
    long n;
    if (text && text[0] == '@')
        fault_from_file(comm, text + 1);
    else if (text && sscanf(text, "%d:%ld", &rank, &n) == 2 && rank == comm->rank)
        comm_fail_after(comm, n);
}

// True: this collective is the one.
static bool is_to_fail(struct comm *comm)
{
    // relaxed: a number on its own
    int64_t n = atomic_load_explicit(comm->fail_after, memory_order_relaxed);
    if (n > 0)
        atomic_store_explicit(comm->fail_after, n - 1, memory_order_relaxed);
    return n == 1;
}

// COLROW_TRANSPORT: auto (default), or one by its name.
static enum status choose_transport(const struct comm *comm, const struct transport **out)
{
    static const struct transport *const all[] = {&transport_shm, &transport_ucx,
                                                  &transport_nested};
    const char *name = getenv("COLROW_TRANSPORT");
    bool is_alone = comm->membership->segment.n_ranks == comm->size;
    *out = comm->size == 1 ? &transport_self : is_alone ? &transport_shm : &transport_nested;
    if (!name || !*name || strcmp(name, "auto") == 0 || comm->size == 1)
        return OK;
    size_t i = 0;
    while (i < sizeof all / sizeof all[0] && strcmp(name, all[i]->name) != 0)
        i++;
    if (i == sizeof all / sizeof all[0])
        return fail(ERR_INPUT, "COLROW_TRANSPORT is \"%s\"; expected auto, shm, nested or ucx",
                    name);
    if (all[i] == &transport_shm && !is_alone)
        return fail(ERR_INPUT, "COLROW_TRANSPORT is shm, but there are ranks on other nodes; "
                               "expected auto, nested or ucx");
    if (all[i] == &transport_ucx || !is_alone) // on one node, nested is shm
        *out = all[i];
    return OK;
}

enum status comm_reaches_machines(void)
{
    return transport_ucx.probe();
}

// In memory that has been mapped. Before anything that may take long: who starts is told apart from
// who was never there.
static void appear_in_group(struct comm *comm)
{
    struct rank_record *record = comm_rank_record(comm, comm->rank);
    comm->flight = &record->flight;
    flight_mark(comm->flight, -1, -1, "starting"); // until it is open
    // relaxed: peers look until they find it
    atomic_store_explicit(&record->member_pid, (int32_t)getpid(), memory_order_relaxed);
    setenv(JOINED_VARIABLE, "1", 1);
}

static enum status enter_group(struct comm *comm)
{
    const struct transport *transport;
    TRY(choose_transport(comm, &transport));
    return transport->open(comm);
}

static enum status join_group(struct comm *comm, int segment_fd, int life_fd)
{
    struct membership *membership = comm->membership;
    int local_rank;
    // Children of this rank are not ranks.
    fcntl(segment_fd, F_SETFD, FD_CLOEXEC);
    fcntl(life_fd, F_SETFD, FD_CLOEXEC);
    unsetenv(SEGMENT_FD_VARIABLE);
    unsetenv(LIFE_FD_VARIABLE);
    TRY(segment_join(segment_fd, &membership->segment, &local_rank));
    close(segment_fd);
    appear_in_group(comm);
    TRY(rank_watcher_start(&membership->segment, local_rank, life_fd, &membership->watcher));
    return enter_group(comm);
}

static const char *own_variable(void *context, const char *name)
{
    (void)context;
    return getenv(name);
}

static enum status finish_open(struct comm *comm, enum status status, struct comm **out)
{
    if (status != OK) {
        comm_close(comm);
        return status;
    }
    flight_mark(comm->flight, -1, -1, NULL);
    fault_from_environment(comm);
    *out = comm;
    return OK;
}

// Started by a cluster's launcher itself: nobody owns the ranks, and nobody but they watch over
// each other.
static enum status open_among_equals(const struct cluster_place *place, struct comm **out)
{
    struct comm *comm;
    if (getenv(JOINED_VARIABLE))
        return fail(ERR_INPUT, "this process, or one that has started it, is or was a rank of a "
                               "group already (" JOINED_VARIABLE " in the environment)");
    TRY(local_meeting_check(place));
    TRY(comm_new(place->rank, place->size, &comm));
    enum status status = local_meeting(place, &comm->membership->segment);
    if (status != OK)
        return finish_open(comm, status, out);
    appear_in_group(comm);
    return finish_open(comm, enter_group(comm), out);
}

enum status comm_open(struct comm **out)
{
    const char *size_text = getenv("WORLD_SIZE");
    bool has_segment = getenv(SEGMENT_FD_VARIABLE) != NULL;
    int size, rank, segment_fd, life_fd;
    if (!has_segment && size_text && strcmp(size_text, "1") == 0)
        return comm_open_self(out);
    if (!has_segment) {
        struct cluster_place place;
        TRY(cluster_environment_read_rank(own_variable, NULL, &place));
        if (place.size > 1)
            return open_among_equals(&place, out);
    }
    if (!has_segment && !size_text)
        return comm_open_self(out);
    TRY(environment_number("WORLD_SIZE", 1, COMM_RANKS_MAX, &size));
    TRY(environment_number("RANK", 0, size - 1, &rank));
    if (!has_segment)
        return fail(ERR_INPUT,
                    "WORLD_SIZE is %d, but there is no " SEGMENT_FD_VARIABLE
                    "; start the program with `colrow launch --nproc-per-node %d -- PROGRAM`",
                    size, size);
    TRY(environment_number(SEGMENT_FD_VARIABLE, 0, 1 << 20, &segment_fd));
    TRY(environment_number(LIFE_FD_VARIABLE, 0, 1 << 20, &life_fd));
    struct comm *comm;
    TRY(comm_new(rank, size, &comm));
    return finish_open(comm, join_group(comm, segment_fd, life_fd), out);
}

enum status comm_open_self(struct comm **out)
{
    TRY(comm_new(0, 1, out));
    flight_mark((*out)->flight, -1, -1, NULL);
    fault_from_environment(*out);
    return OK;
}

enum status comm_split(struct comm *comm, int first, int count, struct comm **out)
{
    assert(first >= 0 && count >= 1 && first + count <= comm->size);
    assert(comm->rank >= first && comm->rank < first + count);
    struct membership *membership = comm->membership;
    if (membership->n_channels == SEGMENT_CHANNELS)
        return fail(ERR_UNSUPPORTED, "a group can be split at most %d times", SEGMENT_CHANNELS - 1);
    struct comm *split;
    TRY(memory_new(1, sizeof *split, "a communicator", &split));
    split->kernels = comm->kernels;
    split->membership = membership;
    split->is_split = true;
    split->rank = comm->rank - first;
    split->size = count;
    split->first_rank = comm->first_rank + first;
    split->channel = membership->n_channels;
    split->flight = comm->flight;
    split->fail_after = &split->own_fail_after;
    start_clock(split);
    enum status status = comm->transport->split(comm, split);
    if (status != OK) {
        comm_close(split);
        return status;
    }
    membership->n_channels++;
    *out = split;
    return OK;
}

static void leave_group(struct comm *comm)
{
    struct membership *membership = comm->membership;
    if (membership->segment.header) {
        struct rank_record *record = comm_rank_record(comm, comm->rank);
        atomic_store_explicit(&record->flight.busy_since_ns, 0, memory_order_relaxed);
        // release: who sees it sees all that this rank has published
        atomic_store_explicit(&record->closed, 1, memory_order_release);
    }
    rank_watcher_stop(membership->watcher);
    for (int r = 0; r < COMM_RANKS_MAX; r++)
        process_handle_close(&membership->peers[r]);
    segment_unmap(&membership->segment);
    free(membership);
}

void comm_close(struct comm *comm)
{
    if (!comm)
        return;
    if (comm->transport)
        comm->transport->close(comm);
    if (!comm->is_split)
        leave_group(comm);
    free(comm);
}

int comm_rank(const struct comm *comm)
{
    return comm->rank;
}

int comm_size(const struct comm *comm)
{
    return comm->size;
}

int comm_local_rank(const struct comm *comm)
{
    return comm->first_rank + comm->rank - comm->membership->segment.first_rank;
}

void *comm_board(const struct comm *comm, size_t *bytes)
{
    const struct segment *segment = &comm->membership->segment;
    *bytes = segment->header ? segment->header->board_bytes : 0;
    return *bytes ? segment_board(segment) : NULL;
}

void comm_mark(struct comm *comm, int64_t step, int layer, const char *what)
{
    flight_mark(comm->flight, step, layer, what);
}

void comm_finish_step(struct comm *comm, int64_t step)
{
    // release: who sees it sees all that this rank has published on the way
    atomic_store_explicit(&comm->flight->steps_done, step, memory_order_release);
}

void comm_abort(struct comm *comm, const char *sentence)
{
    comm_break(comm, comm->first_rank + comm->rank, sentence);
}

void comm_accuse_itself(const struct comm *comm, const char *sentence)
{
    struct segment *segment = &comm->membership->segment;
    int rank = comm->first_rank + comm->rank;
    if (segment->header)
        verdict_give(segment, rank, rank, sentence);
}

void comm_fail_after(struct comm *comm, long n)
{
    atomic_store_explicit(comm->fail_after, n, memory_order_relaxed);
}

void comm_statistics(const struct comm *comm, struct comm_statistics *out)
{
    double ticks = (double)(ticks_now() - comm->opened_ticks);
    double tick = ticks > 0 ? (double)(clock_ns() - comm->opened_ns) * 1e-9 / ticks : 0;
    *out = comm->statistics;
    out->seconds = (double)comm->ticks * tick;
    out->wait_seconds = (double)comm->wait_ticks * tick;
}

// Each collective is a call between begin_operation() and end_operation().
static enum status begin_operation(struct comm *comm, enum comm_operation operation,
                                   uint64_t *begun)
{
    struct segment *segment = &comm->membership->segment;
    if (comm->membership->broken || (segment->header && verdict_given(segment)))
        return comm_break(comm, -1, "the group is broken");
    *begun = ticks_now();
    comm->statistics.collectives++;
    comm->statistics.all_reduces += operation == OPERATION_ALL_REDUCE;
    flight_begin(comm->flight, operation);
    if (is_to_fail(comm))
        return comm_break(comm, comm->first_rank + comm->rank,
                          "this collective was made to fail by a test");
    return OK;
}

static enum status end_operation(struct comm *comm, uint64_t begun, enum status status)
{
    comm->ticks += ticks_now() - begun;
    if (status != OK) { // the record keeps showing what failed
        comm->membership->broken = true;
        return status;
    }
    // relaxed: the flight record is for people
    atomic_store_explicit(&comm->flight->operation, OPERATION_NONE, memory_order_relaxed);
    return OK;
}

static enum status all_reduce_to_sink(struct comm *comm, const struct reduction_tree *tree,
                                      const float *in, size_t n, const struct reduce_sink *sink)
{
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_ALL_REDUCE, &begun));
    struct reduction_tree plain;
    if (!tree) {
        reduction_tree_plain(comm->size, &plain);
        tree = &plain;
    }
    assert(tree->n_ranks == comm->size);
    return end_operation(comm, begun, comm->transport->all_reduce(comm, tree, in, n, sink));
}

enum status comm_all_reduce(struct comm *comm, const struct reduction_tree *tree, const float *in,
                            float *out, size_t n)
{
    const struct reduce_sink sink = {.out = out};
    return all_reduce_to_sink(comm, tree, in, n, &sink);
}

enum status comm_all_reduce_into(struct comm *comm, const struct reduction_tree *tree,
                                 const float *in, size_t n, comm_consumer consume, void *context)
{
    const struct reduce_sink sink = {.consume = consume, .context = context};
    return all_reduce_to_sink(comm, tree, in, n, &sink);
}

void comm_points(const struct comm *comm, struct comm_points *out)
{
    *out = comm->points;
}

enum status comm_tune(struct comm *comm)
{
    if (comm->size == 1)
        return OK;
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_TUNING, &begun));
    struct comm_statistics statistics = comm->statistics;
    uint64_t ticks = comm->ticks, wait_ticks = comm->wait_ticks;
    enum status status = end_operation(comm, begun, comm->transport->tune(comm));
    comm->statistics = statistics;
    comm->ticks = ticks;
    comm->wait_ticks = wait_ticks;
    return status;
}

enum status comm_reduce_scatter(struct comm *comm, const struct reduction_tree *tree,
                                const float *in, const size_t *counts, float *out)
{
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_REDUCE_SCATTER, &begun));
    struct reduction_tree plain;
    if (!tree) {
        reduction_tree_plain(comm->size, &plain);
        tree = &plain;
    }
    assert(tree->n_ranks == comm->size);
    return end_operation(comm, begun, comm->transport->reduce_scatter(comm, tree, in, counts, out));
}

enum status comm_all_gather(struct comm *comm, const void *in, size_t own_bytes,
                            const size_t *bytes, void *out)
{
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_ALL_GATHER, &begun));
    size_t same[COMM_RANKS_MAX];
    if (!bytes) {
        for (int r = 0; r < comm->size; r++)
            same[r] = own_bytes;
        bytes = same;
    }
    assert(bytes[comm->rank] == own_bytes);
    return end_operation(comm, begun, comm->transport->all_gather(comm, in, bytes, out));
}

enum status comm_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    assert(root >= 0 && root < comm->size);
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_BROADCAST, &begun));
    return end_operation(comm, begun, comm->transport->broadcast(comm, data, bytes, root));
}

enum status comm_send(struct comm *comm, const void *data, size_t bytes, int to)
{
    assert(to >= 0 && to < comm->size && to != comm->rank);
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_SEND, &begun));
    return end_operation(comm, begun, comm->transport->send(comm, data, bytes, to));
}

enum status comm_recv(struct comm *comm, void *data, size_t bytes, int from)
{
    assert(from >= 0 && from < comm->size && from != comm->rank);
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_RECV, &begun));
    return end_operation(comm, begun, comm->transport->recv(comm, data, bytes, from));
}

enum status comm_barrier(struct comm *comm)
{
    uint64_t begun;
    TRY(begin_operation(comm, OPERATION_BARRIER, &begun));
    return end_operation(comm, begun, comm->transport->barrier(comm));
}
