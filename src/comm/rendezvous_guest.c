// The other nodes' side of the rendezvous: a way to node 0, tried until it is there.
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "comm/cluster_lookup.h"
#include "comm/rendezvous_parts.h"

enum { PAUSE_MS = 250, CONNECT_MS = 3000 };

enum status guest_open(struct rendezvous *r)
{
    TRY(memory_new(1, sizeof *r->way, "a rendezvous", &r->way));
    cluster_link_init(&r->way->link);
    r->world.node = r->options.node > 0 ? r->options.node : 0;
    return OK;
}

void guest_close(struct rendezvous *r)
{
    if (!r->way)
        return;
    cluster_link_close(&r->way->link);
    lookup_end(r->way->lookup);
    free(r->way);
    r->way = NULL;
}

// Not there yet: once more, a little later.
static void try_again(struct way *way, int64_t now, const char *why)
{
    snprintf(way->why, sizeof way->why, "%s", why);
    cluster_link_close(&way->link);
    lookup_end(way->lookup);
    way->lookup = NULL;
    way->stage = STAGE_PAUSE;
    way->next_ns = now + PAUSE_MS * 1000000ll;
}

static void refused(struct rendezvous *r, const char *sentence)
{
    cluster_link_flush(&r->way->link);
    rendezvous_refuse(r, sentence);
}

static void begin_lookup(struct rendezvous *r, int64_t now)
{
    struct way *way = r->way;
    way->address = 0;
    if (lookup_begin(r->options.host, r->options.port, &way->lookup) != OK)
        try_again(way, now, status_message());
    else
        way->stage = STAGE_LOOKUP;
}

static bool start_connecting(struct rendezvous *r, const struct addrinfo *address)
{
    struct way *way = r->way;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    if (connect(fd, address->ai_addr, address->ai_addrlen) && errno != EINPROGRESS) {
        int error = errno;
        close(fd);
        errno = error;
        return false;
    }
    return cluster_link_open(&way->link, fd, r->deadline_ms) == OK;
}

// The next address of the name; after the last the name is looked up again.
static void connect_next(struct rendezvous *r, int64_t now, const char *why_not)
{
    struct way *way = r->way;
    const struct addrinfo *address = NULL;
    const char *error;
    cluster_link_close(&way->link);
    if (!lookup_ready(way->lookup, &address, &error))
        return;
    if (!address) {
        try_again(way, now, error);
        return;
    }
    for (int i = 0; address && i < way->address; i++)
        address = address->ai_next;
    if (!address) {
        try_again(way, now, why_not);
        return;
    }
    way->address++;
    way->stage = STAGE_CONNECTING;
    way->next_ns = now + CONNECT_MS * 1000000ll;
    if (!start_connecting(r, address))
        connect_next(r, now, strerror(errno));
}

static void await_connection(struct rendezvous *r, int64_t now)
{
    struct way *way = r->way;
    struct pollfd connected = {.fd = way->link.fd, .events = POLLOUT};
    int error = 0;
    socklen_t bytes = sizeof error;
    if (poll(&connected, 1, 0) == 0) {
        if (now > way->next_ns)
            connect_next(r, now, "no answer");
        return;
    }
    if (getsockopt(way->link.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) || error) {
        connect_next(r, now, strerror(error));
        return;
    }
    cluster_link_peer(&way->link, way->host_address);
    cluster_link_own(&way->link, r->own_address);
    way->link.heard_ns = way->link.said_ns = now;
    way->link.payload_max = frame_bytes_max(FRAME_CHALLENGE) > frame_bytes_max(FRAME_REFUSAL)
                                ? frame_bytes_max(FRAME_CHALLENGE)
                                : frame_bytes_max(FRAME_REFUSAL);
    way->stage = STAGE_GREETING;
    way->next_ns = now + HANDSHAKE_MS * 1000000ll;
}

// ---- the handshake

// Both sides are told.
static void decline(struct rendezvous *r, const char *for_host, const char *sentence)
{
    struct cluster_link *link = &r->way->link;
    rendezvous_wrote(link, text_write(&link->out, FRAME_REFUSAL, for_host));
    refused(r, sentence);
}

static void hear_challenge(struct rendezvous *r, const struct frame *frame)
{
    struct way *way = r->way;
    struct challenge_message challenge;
    char sentence[CLUSTER_SENTENCE_MAX];
    static _Thread_local struct hello_message hello;
    if (!challenge_read(frame, &challenge)) {
        cluster_link_end(&way->link, "what answers there is not colrow");
        return;
    }
    const struct rendezvous_options *own = &r->options;
    if (challenge.protocol != CLUSTER_PROTOCOL) {
        snprintf(sentence, sizeof sentence,
                 "this node runs colrow %s, but node 0 (%s) runs %s: all nodes need the same "
                 "version",
                 own->build, way->host_address, challenge.build);
        decline(r, sentence, sentence);
    } else if (challenge.wants_key && !own->key) {
        snprintf(sentence, sizeof sentence,
                 "node 0 (%s) has a cluster key: give this node the same --cluster-key-file",
                 way->host_address);
        decline(r, "it has no cluster key (--cluster-key-file)", sentence);
    } else if (!challenge.wants_key && own->key) {
        snprintf(sentence, sizeof sentence,
                 "node 0 (%s) has no cluster key, but this node has: give it the same "
                 "--cluster-key-file",
                 way->host_address);
        decline(r, "it has a cluster key, but node 0 has none (--cluster-key-file)", sentence);
    } else if (!own->key && !cluster_link_is_private(&way->link)) {
        snprintf(sentence, sizeof sentence,
                 "node 0 at %s is not on a private network: give all nodes a --cluster-key-file",
                 way->host_address);
        decline(r, "it has no cluster key (--cluster-key-file)", sentence);
    } else {
        hello.node = own->node;
        hello.n_nodes = own->n_nodes;
        hello.n_local = own->n_local;
        snprintf(hello.build, sizeof hello.build, "%s", own->build);
        snprintf(hello.run, sizeof hello.run, "%s", own->run);
        snprintf(hello.agreement, sizeof hello.agreement, "%s", own->agreement);
        if (cluster_nonce(way->nonce) != OK) {
            cluster_link_end(&way->link, status_message());
            return;
        }
        memcpy(hello.nonce, way->nonce, NONCE_BYTES);
        rendezvous_wrote(&way->link,
                         hello_write(&way->link.out, &hello, own->key, challenge.nonce));
        way->stage = STAGE_PROVING;
    }
}

static void hear_welcome(struct rendezvous *r, const struct frame *frame)
{
    struct way *way = r->way;
    struct welcome_message welcome;
    char sentence[CLUSTER_SENTENCE_MAX];
    if (r->options.key && !welcome_is_proved(frame, r->options.key, way->nonce)) {
        snprintf(sentence, sizeof sentence,
                 "node 0 (%s) has another cluster key than this node (--cluster-key-file)",
                 way->host_address);
        refused(r, sentence);
        return;
    }
    if (!welcome_read(frame, &welcome)) {
        cluster_link_end(&way->link, "what answers there is not colrow");
        return;
    }
    r->beat_ms = welcome.beat_ms;
    r->deadline_ms = welcome.deadline_ms < DEADLINE_MS_MIN ? DEADLINE_MS_MIN : welcome.deadline_ms;
    way->link.payload_max = SIZE_MAX;
    way->stage = STAGE_JOINED;
    way->waiting[0] = '\0';
}

// ---- at the table

static bool hear_world(struct rendezvous *r, const struct frame *frame)
{
    static _Thread_local struct cluster_world world;
    if (r->state != RENDEZVOUS_GATHERING || !world_read(frame, &world))
        return false;
    if (world.n_nodes != r->options.n_nodes || world.node == 0 ||
        world.nodes[world.node].n_local < 1 ||
        (world.nodes[world.node].n_local != r->options.n_local && !r->options.settles) ||
        (r->options.node != ANY_NODE && world.node != r->options.node))
        return false;
    // This node's name for the host is the one that it has reached it by.
    snprintf(world.nodes[0].address, CLUSTER_NAME_MAX, "%s", r->way->host_address);
    r->world = world;
    r->options.n_local = world.nodes[world.node].n_local;
    r->state = RENDEZVOUS_COMPLETE;
    return true;
}

static bool hear_joined(struct rendezvous *r, const struct frame *frame)
{
    struct way *way = r->way;
    struct cluster_fault fault;
    bool complete = r->state == RENDEZVOUS_COMPLETE;
    if (frame->type == FRAME_BEAT)
        return text_read(frame, way->place, sizeof way->place);
    if (frame->type == FRAME_WAITING)
        return text_read(frame, way->waiting, sizeof way->waiting);
    if (frame->type == FRAME_WORLD)
        return hear_world(r, frame);
    if (frame->type == FRAME_BOOK && complete) {
        struct bytes whole = {.data = (char *)(uintptr_t)(frame->payload - FRAME_HEADER_BYTES),
                              .length = frame->bytes + FRAME_HEADER_BYTES};
        rendezvous_take_book(r, &whole, 0);
        return r->book.n > 0;
    }
    if (frame->type == FRAME_FAULT && complete && fault_read(frame, &fault)) {
        if (fault.node >= r->world.n_nodes)
            return false;
        rendezvous_break(r, &fault);
        return true;
    }
    if (frame->type != FRAME_DONE || !complete || !r->left)
        return false;
    r->state = RENDEZVOUS_DONE;
    return true;
}

static void hear_frame(struct rendezvous *r, const struct frame *frame)
{
    struct way *way = r->way;
    char sentence[CLUSTER_SENTENCE_MAX];
    if (frame->type == FRAME_REFUSAL && r->state == RENDEZVOUS_GATHERING) {
        if (text_read(frame, sentence, sizeof sentence))
            refused(r, sentence);
        return;
    }
    if (way->stage == STAGE_GREETING && frame->type == FRAME_CHALLENGE)
        hear_challenge(r, frame);
    else if (way->stage == STAGE_PROVING && frame->type == FRAME_WELCOME)
        hear_welcome(r, frame);
    else if (way->stage != STAGE_JOINED)
        cluster_link_end(&way->link, "what answers there is not colrow");
    else if (!hear_joined(r, frame) && !rendezvous_is_over(r))
        cluster_link_end(&way->link, "it does not speak colrow's protocol");
}

static void lose_host(struct rendezvous *r, int64_t now)
{
    struct way *way = r->way;
    struct cluster_fault fault;
    if (r->state == RENDEZVOUS_GATHERING) {
        if (way->stage == STAGE_JOINED)
            log_warning("node 0 (%s) has gone: %s; trying again", way->host_address, way->link.why);
        try_again(way, now, way->link.why);
    } else if (r->state == RENDEZVOUS_COMPLETE && r->hearsay_ns) {
        rendezvous_break(r, &r->hearsay); // nobody is there to judge it
    } else if (r->state == RENDEZVOUS_COMPLETE) {
        rendezvous_lost_fault(r, 0, way->link.why, way->place, &fault);
        rendezvous_break(r, &fault);
    }
}

static void hear_host(struct rendezvous *r, int64_t now)
{
    struct way *way = r->way;
    struct frame frame;
    cluster_link_read(&way->link);
    while (!rendezvous_is_over(r) && cluster_link_next(&way->link, &frame))
        hear_frame(r, &frame);
    cluster_link_flush(&way->link);
    if (rendezvous_is_over(r))
        return;
    if (way->stage == STAGE_JOINED)
        rendezvous_beat(r, &way->link, now);
    else if (now > way->next_ns)
        cluster_link_end(&way->link, "what answers there says nothing");
    if (way->link.ended)
        lose_host(r, now);
}

void guest_turn(struct rendezvous *r, int64_t now)
{
    struct way *way = r->way;
    if (rendezvous_is_over(r)) {
        cluster_link_flush(&way->link);
        return;
    }
    switch (way->stage) {
    case STAGE_PAUSE:
        if (now >= way->next_ns)
            begin_lookup(r, now);
        break;
    case STAGE_LOOKUP:
        connect_next(r, now, "no address");
        break;
    case STAGE_CONNECTING:
        await_connection(r, now);
        break;
    case STAGE_GREETING:
    case STAGE_PROVING:
    case STAGE_JOINED:
        hear_host(r, now);
        break;
    }
}
