// The transports over a wire: opening, splitting, and the collectives that are put together from
// those of the party and of the leads.
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "comm/address_book.h"
#include "comm/collective_call.h"
#include "comm/shm_round.h"
#include "comm/ucx_library.h"
#include "comm/wired.h"

// What a rank puts into the book, in front of the wire's own address.
struct wired_address {
    char magic[4];
    uint32_t version, party;
    uint32_t bytes; // of the wire's address
};
static const char address_magic[4] = "clw";
enum { ADDRESS_VERSION = 2 };

// ---- opening ----

static enum status say_own_address(struct comm *comm, struct wired_world *world, int party)
{
    struct segment *segment = &comm->membership->segment;
    const void *address;
    size_t bytes;
    unsigned char entry[ADDRESS_BYTES_MAX];
    struct wired_address head = {.version = ADDRESS_VERSION, .party = (uint32_t)party};
    TRY(wire_address(world->wire, &address, &bytes));
    if (bytes > sizeof entry - sizeof head)
        return fail(ERR_INPUT,
                    "the wire's address has %zu bytes; expected at most %zu: name the device to "
                    "use in UCX_NET_DEVICES",
                    bytes, sizeof entry - sizeof head);
    memcpy(head.magic, address_magic, sizeof head.magic);
    head.bytes = (uint32_t)bytes;
    memcpy(entry, &head, sizeof head);
    memcpy(entry + sizeof head, address, bytes);
    address_book_put(segment, comm->rank + comm->first_rank - segment->first_rank, entry,
                     sizeof head + bytes);
    return OK;
}

// Until all are there, there is nobody to wait for: only whether the group still stands.
static enum status check_verdict(void *context)
{
    struct comm *comm = context;
    return verdict_given(&comm->membership->segment) ? comm_break(comm, -1, "") : OK;
}

static enum status read_world_address(struct wired_world *world, const struct segment *segment,
                                      int rank)
{
    size_t bytes = 0;
    const unsigned char *entry = address_book_read(segment, rank, &bytes);
    struct wired_address head = {.bytes = 0};
    if (entry && bytes >= sizeof head)
        memcpy(&head, entry, sizeof head);
    bool good = entry && bytes >= sizeof head && head.bytes == bytes - sizeof head &&
                memcmp(head.magic, address_magic, sizeof head.magic) == 0 &&
                head.version == ADDRESS_VERSION && head.party < COMM_RANKS_MAX;
    if (!good)
        return fail(ERR_INPUT,
                    "rank %d says no address that this version of colrow understands; expected "
                    "the same version, and COLROW_TRANSPORT, on all nodes",
                    rank);
    world->address[rank] = entry + sizeof head;
    world->party[rank] = (int)head.party;
    if (rank > 0 && world->party[rank] < world->party[rank - 1])
        return fail(ERR_INPUT,
                    "rank %d is on node %d, but rank %d on node %d; expected ranks to "
                    "be counted node by node",
                    rank - 1, world->party[rank - 1], rank, world->party[rank]);
    return OK;
}

static void progress_wire(void *wire)
{
    (void)wire_progress(wire);
}

static enum status meet_world(struct comm *comm, struct wired_world *world, int party)
{
    struct segment *segment = &comm->membership->segment;
    world->n = comm->size;
    TRY(wire_open(comm->size, &world->wire));
    comm->membership->serve_others = progress_wire;
    comm->membership->others = world->wire;
    TRY(say_own_address(comm, world, party));
    TRY(address_book_wait(segment, check_verdict, comm));
    for (int r = 0; r < comm->size; r++)
        TRY(read_world_address(world, segment, r));
    return OK;
}

// Ranks of this party that `comm` has, as a communicator of shared memory.
static enum status open_node(struct comm *comm, struct shm_sends *sends)
{
    struct wired *w = wired_of(comm);
    int first = w->first[w->self], size = w->first[w->self + 1] - first;
    struct comm *node;
    if (size == 1)
        return OK;
    TRY(memory_new(1, sizeof *node, "a communicator", &node));
    w->node = node;
    node->kernels = comm->kernels;
    node->membership = comm->membership;
    node->is_split = true;
    node->rank = comm->rank - first;
    node->size = size;
    node->first_rank = comm->first_rank + first;
    node->channel = comm->channel;
    node->flight = comm->flight;
    node->fail_after = &node->own_fail_after;
    return shm_attach(node, sends);
}

enum status wired_connect(struct wired_world *world, int peer)
{
    return wire_connect(world->wire, peer, world->address[peer]);
}

static enum status open_group(struct comm *comm)
{
    struct wired *w = wired_of(comm);
    int lead[COMM_RANKS_MAX];
    if (!wired_leads(comm))
        return OK;
    for (int p = 0; p < w->n; p++)
        lead[p] = comm->first_rank + w->first[p];
    TRY(wire_lanes_new(&w->lanes));
    TRY(wire_group_init(&w->group, comm, w->world->wire, lead, w->n, w->self));
    for (int p = 0; p < w->n; p++)
        if (p != w->self)
            TRY(wired_connect(w->world, w->group.lead[p]));
    return OK;
}

// The parties of `comm`: its ranks, by the world's parties.
static void find_parties(struct comm *comm)
{
    struct wired *w = wired_of(comm);
    const int *party = w->world->party + comm->first_rank;
    for (int r = 0; r < comm->size; r++) {
        if (r == 0 || party[r] != party[r - 1])
            w->first[w->n++] = r;
        if (r == comm->rank)
            w->self = w->n - 1;
    }
    w->first[w->n] = comm->size;
}

static enum status wired_new(struct comm *comm, const struct transport *transport,
                             struct wired **out)
{
    TRY(memory_new(1, sizeof **out, "a communicator", out));
    comm->transport = transport;
    comm->own = *out;
    return OK;
}

static enum status wired_barrier(struct comm *comm);

static enum status open_world(struct comm *comm, const struct transport *transport, int party)
{
    struct wired *w;
    TRY(wired_new(comm, transport, &w));
    TRY(memory_new(1, sizeof *w->world, "a communicator", &w->world));
    flight_mark(comm->flight, -1, -1, "meeting the other nodes");
    TRY(meet_world(comm, w->world, party));
    find_parties(comm);
    TRY(open_node(comm, NULL));
    TRY(open_group(comm));
    // Who cannot be reached is found now, and connections exist before they are needed.
    enum status status = wired_barrier(comm);
    comm->statistics = (struct comm_statistics){0};
    comm->wait_ticks = 0;
    return status;
}

static enum status ucx_open(struct comm *comm)
{
    return open_world(comm, &transport_ucx, comm->rank);
}

static enum status nested_open(struct comm *comm)
{
    return open_world(comm, &transport_nested, comm->membership->segment.header->node);
}

static enum status wired_split(struct comm *comm, struct comm *part)
{
    struct wired *w = wired_of(comm), *own;
    struct shm_sends *sends = w->node ? shm_of(w->node)->sends : NULL;
    int first = part->first_rank - comm->first_rank;
    if (part->size == 1)
        return transport_self.open(part);
    if (first >= w->first[w->self] && first + part->size <= w->first[w->self + 1])
        return shm_attach(part, sends);
    TRY(wired_new(part, comm->transport, &own));
    own->world = w->world;
    own->is_split = true;
    find_parties(part);
    TRY(open_node(part, sends));
    return open_group(part);
}

static void wired_close(struct comm *comm)
{
    struct wired *w = wired_of(comm);
    if (!w)
        return;
    if (w->node)
        shm_detach(w->node);
    free(w->node);
    if (w->group.wire)
        wire_group_fini(&w->group);
    wire_lanes_free(w->lanes);
    if (!w->is_split && w->world) {
        comm->membership->serve_others = NULL;
        wire_close(w->world->wire, !comm->membership->broken);
        free(w->world);
    }
    free(w);
    comm->own = NULL;
}

static enum status wired_tune(struct comm *comm)
{
    struct wired *w = wired_of(comm);
    if (!w->node)
        return OK;
    TRY(transport_shm.tune(w->node));
    w->node->statistics = (struct comm_statistics){0}; // not counted
    w->node->wait_ticks = 0;
    comm->points = w->node->points;
    return OK;
}

void wired_count_node(struct comm *comm)
{
    struct comm *node = wired_of(comm)->node;
    if (!node)
        return;
    comm->wait_ticks += node->wait_ticks;
    comm->statistics.bytes_sent += node->statistics.bytes_sent;
    node->wait_ticks = 0;
    node->statistics.bytes_sent = 0;
}

// ---- collectives of the leads ----

static enum status lead_barrier(struct wire_group *group)
{
    const void *nothing;
    wire_call_begin(group, OPERATION_BARRIER, 0, 0);
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_first_expect(group, p));
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_first_send(group, p, 0));
    for (int p = 0; p < group->n; p++)
        if (p != group->self)
            TRY(wire_first_await(group, p, 0, &nothing));
    return wire_call_end(group);
}

// The first messages take short data along.
static size_t with_first(size_t bytes)
{
    return wire_first_fits(bytes) ? bytes : 0;
}

// `bytes` are parties'; each one's lie in `out` already, or are to come there, from begin[p].
static enum status lead_all_gather(struct wire_group *group, int cut, size_t total,
                                   const size_t *begin, const size_t *bytes, char *out)
{
    struct wire_message came[COMM_RANKS_MAX], sent[COMM_RANKS_MAX];
    size_t own = bytes[group->self];
    const char *data = out + begin[group->self];
    wire_call_begin(group, OPERATION_ALL_GATHER, cut, total);
    if (with_first(own))
        memcpy(wire_first_room(group), data, own);
    for (int p = 0; p < group->n; p++) {
        came[p] = sent[p] = (struct wire_message){.done = true};
        if (p == group->self)
            continue;
        TRY(wire_first_expect(group, p));
        if (bytes[p] > with_first(bytes[p]))
            TRY(wire_bulk_expect(group, p, 0, out + begin[p], bytes[p], &came[p]));
    }
    for (int p = 0; p < group->n; p++) {
        if (p == group->self)
            continue;
        TRY(wire_first_send(group, p, with_first(own)));
        if (own > with_first(own))
            TRY(wire_bulk_send(group, p, 0, data, own, &sent[p]));
    }
    for (int p = 0; p < group->n; p++) {
        const void *first;
        if (p == group->self)
            continue;
        TRY(wire_first_await(group, p, with_first(bytes[p]), &first));
        if (with_first(bytes[p]))
            memcpy(out + begin[p], first, bytes[p]);
        else
            TRY(wire_await(group->comm, &came[p], bytes[p]));
    }
    for (int p = 0; p < group->n; p++)
        TRY(wire_await(group->comm, &sent[p], 0));
    return wire_call_end(group);
}

static enum status lead_broadcast(struct wire_group *group, void *data, size_t bytes, int root,
                                  int root_rank)
{
    struct wire_message sent[COMM_RANKS_MAX], came = {.done = true};
    const void *first;
    size_t with = with_first(bytes), bulk = bytes - with;
    wire_call_begin(group, OPERATION_BROADCAST, root_rank, bytes);
    if (group->self != root) {
        TRY(wire_first_expect(group, root));
        if (bulk)
            TRY(wire_bulk_expect(group, root, 0, data, bulk, &came));
        TRY(wire_first_await(group, root, with, &first));
        if (with)
            memcpy(data, first, with);
        return bulk ? wire_await(group->comm, &came, bulk) : OK;
    }
    if (with)
        memcpy(wire_first_room(group), data, with);
    for (int p = 0; p < group->n; p++) {
        sent[p] = (struct wire_message){.done = true};
        if (p == root)
            continue;
        TRY(wire_first_send(group, p, with));
        if (bulk)
            TRY(wire_bulk_send(group, p, 0, data, bulk, &sent[p]));
    }
    for (int p = 0; p < group->n; p++)
        TRY(wire_await(group->comm, &sent[p], 0));
    return wire_call_end(group);
}

// ---- of all ----

// Whether this rank's party has to be asked, before or after its lead.
static enum status node_barrier(struct comm *comm)
{
    struct comm *node = wired_of(comm)->node;
    return node ? transport_shm.barrier(node) : OK;
}

static enum status wired_barrier(struct comm *comm)
{
    struct wired *w = wired_of(comm);
    TRY(node_barrier(comm));
    if (wired_leads(comm))
        TRY(lead_barrier(&w->group));
    TRY(node_barrier(comm));
    wired_count_node(comm);
    return OK;
}

// First the party's own, then those of the others to the lead, then from there to all.
static enum status wired_all_gather(struct comm *comm, const void *in, const size_t *bytes,
                                    void *out)
{
    struct wired *w = wired_of(comm);
    size_t begin[COMM_RANKS_MAX], count[COMM_RANKS_MAX] = {0}, total = 0;
    char *to = out;
    for (int p = 0; p < w->n; p++) {
        begin[p] = total;
        for (int r = w->first[p]; r < w->first[p + 1]; r++)
            count[p] += bytes[r];
        total += count[p];
    }
    if (w->node)
        TRY(transport_shm.all_gather(w->node, in, bytes + w->first[w->self], to + begin[w->self]));
    else if (bytes[comm->rank] && to + begin[w->self] != (const char *)in)
        memcpy(to + begin[w->self], in, bytes[comm->rank]);
    if (wired_leads(comm))
        TRY(lead_all_gather(&w->group, collective_cut(bytes, comm->size), total, begin, count, to));
    if (w->node) {
        size_t behind = begin[w->self] + count[w->self];
        if (w->self > 0)
            TRY(transport_shm.broadcast(w->node, to, begin[w->self], 0));
        if (w->self + 1 < w->n)
            TRY(transport_shm.broadcast(w->node, to + behind, total - behind, 0));
    }
    wired_count_node(comm);
    return OK;
}

// From the root to its party, from lead to leads, from leads to their parties.
static enum status wired_broadcast(struct comm *comm, void *data, size_t bytes, int root)
{
    struct wired *w = wired_of(comm);
    int party = 0;
    while (root >= w->first[party + 1])
        party++;
    if (w->node && w->self == party)
        TRY(transport_shm.broadcast(w->node, data, bytes, root - w->first[party]));
    if (wired_leads(comm))
        TRY(lead_broadcast(&w->group, data, bytes, party, root));
    if (w->node && w->self != party)
        TRY(transport_shm.broadcast(w->node, data, bytes, 0));
    wired_count_node(comm);
    return OK;
}

#define WIRED_COLLECTIVES                                                                          \
    .split = wired_split, .tune = wired_tune, .check = check_peers, .close = wired_close,          \
    .all_reduce = wired_all_reduce, .reduce_scatter = wired_reduce_scatter,                        \
    .all_gather = wired_all_gather, .broadcast = wired_broadcast, .send = wired_send,              \
    .recv = wired_recv, .barrier = wired_barrier

static enum status probe_library(void)
{
    const struct ucx_library *library;
    return ucx_library_load(&library);
}

const struct transport transport_ucx = {
    .name = "ucx", .open = ucx_open, .probe = probe_library, WIRED_COLLECTIVES};
const struct transport transport_nested = {
    .name = "nested", .open = nested_open, WIRED_COLLECTIVES};
