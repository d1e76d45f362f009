#include "comm/rendezvous.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "comm/rendezvous_parts.h"

// A turn that comes later than this after the one before was held up by the machine: then nobody
// else is to blame for having been silent.
static const int64_t held_up_ns = 1000000000;

enum status rendezvous_open(const struct rendezvous_options *options, struct rendezvous **out)
{
    struct rendezvous *r;
    assert(options->n_nodes >= 2 && options->n_nodes <= CLUSTER_NODES_MAX);
    assert(options->n_local >= 1 && options->n_local <= COMM_RANKS_MAX);
    TRY(memory_new(1, sizeof *r, "a rendezvous", &r));
    r->options = *options;
    r->beat_ms = BEAT_MS;
    r->deadline_ms = options->deadline_seconds > 0 ? (int)(options->deadline_seconds * 1e3)
                                                   : DEADLINE_MS_DEFAULT;
    if (r->deadline_ms < DEADLINE_MS_MIN)
        r->deadline_ms = DEADLINE_MS_MIN;
    r->turned_ns = clock_ns();
    r->world.n_nodes = options->n_nodes;
    bytes_init(&r->scratch);
    bytes_init(&r->book_frame);
    enum status status = options->hosts ? host_open(r) : guest_open(r);
    if (status != OK) {
        rendezvous_close(r);
        return status;
    }
    *out = r;
    return OK;
}

void rendezvous_close(struct rendezvous *r)
{
    if (!r)
        return;
    host_close(r);
    guest_close(r);
    bytes_fini(&r->scratch);
    bytes_fini(&r->book_frame);
    free(r);
}

bool rendezvous_is_over(const struct rendezvous *r)
{
    return r->state == RENDEZVOUS_REFUSED || r->state == RENDEZVOUS_BROKEN ||
           r->state == RENDEZVOUS_DONE;
}

static void add_link(struct cluster_link *link, struct pollfd *fds, int *n)
{
    if (link->fd >= 0 && !link->ended)
        fds[(*n)++] = (struct pollfd){.fd = link->fd, .events = cluster_link_events(link)};
}

int rendezvous_fds(struct rendezvous *r, struct pollfd fds[RENDEZVOUS_FDS_MAX], int *timeout_ms)
{
    int n = 0;
    *timeout_ms = r->beat_ms / 2;
    if (r->host) {
        if (r->host->listen_fd >= 0)
            fds[n++] = (struct pollfd){.fd = r->host->listen_fd, .events = POLLIN};
        for (int i = 1; i < r->options.n_nodes; i++)
            add_link(&r->host->guests[i].link, fds, &n);
        for (int i = 0; i < STRANGERS_MAX; i++)
            add_link(&r->host->strangers[i].link, fds, &n);
    } else {
        int before = n;
        add_link(&r->way->link, fds, &n);
        if (n > before && r->way->stage == STAGE_CONNECTING)
            fds[before].events = POLLOUT;
        if (r->way->stage <= STAGE_CONNECTING)
            *timeout_ms = 20; // nothing tells when a lookup is over
    }
    return n;
}

void rendezvous_turn(struct rendezvous *r)
{
    int64_t now = clock_ns(), gap = now - r->turned_ns;
    r->turned_ns = now;
    if (gap > held_up_ns) {
        for (int i = 1; r->host && i < r->options.n_nodes; i++)
            r->host->guests[i].link.heard_ns += gap;
        if (r->way)
            r->way->link.heard_ns += gap;
    }
    if (r->host)
        host_turn(r, now);
    else
        guest_turn(r, now);
    if (r->hearsay_ns && now - r->hearsay_ns > (r->host ? HEARSAY_MS : ANSWER_MS) * 1000000ll)
        rendezvous_break(r, &r->hearsay);
}

bool rendezvous_flushed(const struct rendezvous *r)
{
    if (r->way)
        return r->way->link.ended || cluster_link_flushed(&r->way->link);
    for (int i = 1; i < r->options.n_nodes; i++)
        if (!r->host->guests[i].link.ended && !cluster_link_flushed(&r->host->guests[i].link))
            return false;
    return true;
}

enum rendezvous_state rendezvous_state(const struct rendezvous *r)
{
    return r->state;
}

void rendezvous_here(const struct rendezvous *r, bool here[CLUSTER_NODES_MAX])
{
    for (int i = 0; i < r->options.n_nodes; i++)
        here[i] = r->host && r->host->guests[i].here;
}

bool rendezvous_settle(struct rendezvous *r, const int n_local[CLUSTER_NODES_MAX])
{
    assert(r->host && r->options.settles);
    return r->state == RENDEZVOUS_GATHERING && host_settle(r, n_local);
}

const char *rendezvous_refusal(const struct rendezvous *r)
{
    return r->refusal;
}

const struct cluster_world *rendezvous_world(const struct rendezvous *r)
{
    return &r->world;
}

const char *rendezvous_own_address(const struct rendezvous *r)
{
    return r->own_address;
}

void rendezvous_waiting(const struct rendezvous *r, char *text, size_t room)
{
    if (r->host)
        host_waiting(r, text, room);
    else if (r->way->stage == STAGE_JOINED && r->way->waiting[0])
        snprintf(text, room, "%s", r->way->waiting);
    else
        snprintf(text, room, "node 0 at %s, port %d%s%s", r->options.host, r->options.port,
                 r->way->why[0] ? ": " : "", r->way->why);
}

void rendezvous_refuse(struct rendezvous *r, const char *sentence)
{
    if (rendezvous_is_over(r))
        return;
    snprintf(r->refusal, sizeof r->refusal, "%s", sentence);
    r->state = RENDEZVOUS_REFUSED;
}

void rendezvous_wrote(struct cluster_link *link, enum status status)
{
    if (status != OK) {
        bytes_clear(&link->out);
        link->out_sent = 0;
        cluster_link_end(link, "there is no memory for what it should hear");
    }
    link->said_ns = clock_ns();
}

void rendezvous_beat(struct rendezvous *r, struct cluster_link *link, int64_t now)
{
    if (link->ended)
        return;
    if (now - link->heard_ns > (int64_t)r->deadline_ms * 1000000) {
        char why[80];
        snprintf(why, sizeof why, "nothing has been heard from it for %.1f s",
                 (double)(now - link->heard_ns) * 1e-9);
        cluster_link_end(link, why);
    } else if (now - link->said_ns >= (int64_t)r->beat_ms * 1000000) {
        rendezvous_wrote(link, text_write(&link->out, FRAME_BEAT, r->place));
        cluster_link_flush(link);
    }
}

void rendezvous_take_book(struct rendezvous *r, const struct bytes *out, size_t begin)
{
    struct frame frame;
    bytes_clear(&r->book_frame);
    r->book.n = 0;
    if (bytes_append(&r->book_frame, out->data + begin, out->length - begin) != OK)
        return; // ranks that wait for it say so when they are late
    if (frame_read(r->book_frame.data, r->book_frame.length, &frame) != FRAME_READY ||
        !addresses_read(&frame, &r->book) || r->book.n != r->world.size)
        r->book.n = 0;
}

const struct address_message *rendezvous_book(const struct rendezvous *r, uint32_t round)
{
    return r->book.n > 0 && r->book.round == round ? &r->book : NULL;
}

void rendezvous_put_addresses(struct rendezvous *r, const struct address_message *own)
{
    assert(own->n == r->options.n_local);
    if (r->state != RENDEZVOUS_COMPLETE)
        return;
    if (r->host) {
        host_put_addresses(r, own);
        return;
    }
    struct cluster_link *link = &r->way->link;
    rendezvous_wrote(link, addresses_write(&link->out, FRAME_ADDRESSES, own));
    cluster_link_flush(link);
}

void rendezvous_note_place(struct rendezvous *r, const char *place)
{
    snprintf(r->place, sizeof r->place, "%s", place);
}

void rendezvous_lost_fault(const struct rendezvous *r, int node, const char *why, const char *place,
                           struct cluster_fault *out)
{
    *out = (struct cluster_fault){.node = node, .lost = true, .culprit = -1, .exit_status = 1};
    (void)r;
    snprintf(out->sentence, sizeof out->sentence, "%s", why);
    snprintf(out->place, sizeof out->place, "%s", place);
}

void rendezvous_break(struct rendezvous *r, const struct cluster_fault *fault)
{
    if (rendezvous_is_over(r))
        return;
    r->fault = *fault;
    r->state = RENDEZVOUS_BROKEN;
    r->hearsay_ns = 0;
    for (int i = 1; r->host && i < r->options.n_nodes; i++) {
        struct cluster_link *link = &r->host->guests[i].link;
        if (link->fd < 0 || link->ended)
            continue;
        rendezvous_wrote(link, fault_write(&link->out, fault));
        cluster_link_flush(link);
    }
}

void rendezvous_report(struct rendezvous *r, int culprit, int exit_status, const char *sentence)
{
    struct cluster_fault fault = {.node = r->world.node,
                                  .culprit = culprit,
                                  .exit_status =
                                      exit_status < 1 || exit_status > 255 ? 1 : exit_status};
    if (rendezvous_is_over(r) || r->reported)
        return;
    r->reported = true; // the first word of a node is the one nearest to the cause
    snprintf(fault.sentence, sizeof fault.sentence, "%s", sentence);
    snprintf(fault.place, sizeof fault.place, "%s", r->place);
    if (r->host) {
        host_take_fault(r, &fault);
        return;
    }
    struct cluster_link *link = &r->way->link;
    r->hearsay = fault; // if the host does not answer
    r->hearsay_ns = clock_ns();
    rendezvous_wrote(link, fault_write(&link->out, &fault));
    cluster_link_flush(link);
}

const struct cluster_fault *rendezvous_fault(const struct rendezvous *r)
{
    return r->state == RENDEZVOUS_BROKEN ? &r->fault : NULL;
}

void rendezvous_say_fault(const struct rendezvous *r, char *text, size_t room)
{
    const struct cluster_fault *fault = &r->fault;
    const struct cluster_node *node = &r->world.nodes[fault->node];
    char places[2 * CLUSTER_PLACE_MAX + 64] = "";
    bool own = fault->node == r->world.node && !fault->lost;
    if (fault->place[0] || r->place[0])
        snprintf(places, sizeof places, "; last %sthere: %s; last here: %s",
                 fault->lost ? "heard from " : "", fault->place[0] ? fault->place : "no collective",
                 r->place[0] ? r->place : "no collective");
    int last = node->first_rank + node->n_local - 1;
    if (own)
        snprintf(text, room, "%s", fault->sentence);
    else if (!fault->lost)
        snprintf(text, room, "node %d (%s): %s%s", fault->node, node->address, fault->sentence,
                 places);
    else if (node->n_local == 1)
        snprintf(text, room, "node %d (%s, rank %d) is lost: %s%s", fault->node, node->address,
                 last, fault->sentence, places);
    else
        snprintf(text, room, "node %d (%s, ranks %d to %d) is lost: %s%s", fault->node,
                 node->address, node->first_rank, last, fault->sentence, places);
}

void rendezvous_leave(struct rendezvous *r)
{
    if (rendezvous_is_over(r) || r->left)
        return;
    r->left = true;
    if (r->host) {
        host_check_done(r);
        return;
    }
    struct cluster_link *link = &r->way->link;
    rendezvous_wrote(link, done_write(&link->out));
    cluster_link_flush(link);
}
