// Node 0's side of the rendezvous: one service, to which every other node connects.
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "comm/rendezvous_parts.h"

enum { COMPLAINTS_MAX = 16, ACCEPTS_MAX = 16, MISSING_NAMED_MAX = 8 };

// Who may knock at an open port as often as they like shall not fill a log.
void host_warn(struct rendezvous *r, const char *sentence)
{
    if (r->host->n_complaints++ < COMPLAINTS_MAX)
        log_warning("%s%s", sentence,
                    r->host->n_complaints == COMPLAINTS_MAX ? "; further ones are not shown" : "");
}

static void complain_of(struct rendezvous *r, const struct cluster_link *link, const char *what)
{
    char peer[CLUSTER_NAME_MAX], sentence[CLUSTER_SENTENCE_MAX + CLUSTER_NAME_MAX + 64];
    cluster_link_peer(link, peer);
    snprintf(sentence, sizeof sentence, "a connection from %s was refused: %s", peer, what);
    host_warn(r, sentence);
}

static int open_socket(int family, int port)
{
    const int on = 1, off = 0;
    struct sockaddr_in6 six = {
        .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_ANY_INIT};
    struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const void *address = family == AF_INET6 ? (const void *)&six : (const void *)&four;
    socklen_t bytes = family == AF_INET6 ? sizeof six : sizeof four;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    // The program that is started may want to listen at MASTER_PORT itself, once we do not.
    bool good = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0;
    if (family == AF_INET6)
        good = good && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) == 0;
    if (good && bind(fd, address, bytes) == 0 && listen(fd, SOMAXCONN) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

enum status host_open(struct rendezvous *r)
{
    TRY(memory_new(1, sizeof *r->host, "a rendezvous", &r->host));
    struct host *host = r->host;
    for (int i = 0; i < CLUSTER_NODES_MAX; i++) {
        cluster_link_init(&host->guests[i].link);
        bytes_init(&host->guests[i].addresses);
    }
    for (int i = 0; i < STRANGERS_MAX; i++)
        cluster_link_init(&host->strangers[i].link);
    host->guests[0].here = true;
    r->world.nodes[0].n_local = r->options.n_local;
    host->listen_fd = open_socket(AF_INET6, r->options.port);
    if (host->listen_fd < 0 && errno != EADDRINUSE)
        host->listen_fd = open_socket(AF_INET, r->options.port);
    if (host->listen_fd < 0)
        return fail(ERR_IO,
                    "cannot listen at port %d for the other nodes: %s; give all nodes another "
                    "--master-port",
                    r->options.port, strerror(errno));
    return OK;
}

void host_stop_listening(struct rendezvous *r)
{
    struct host *host = r->host;
    if (host->listen_fd >= 0)
        close(host->listen_fd);
    host->listen_fd = -1;
    for (int i = 0; i < STRANGERS_MAX; i++) {
        cluster_link_flush(&host->strangers[i].link);
        cluster_link_close(&host->strangers[i].link);
    }
}

void host_close(struct rendezvous *r)
{
    if (!r->host)
        return;
    host_stop_listening(r);
    for (int i = 0; i < CLUSTER_NODES_MAX; i++) {
        cluster_link_close(&r->host->guests[i].link);
        bytes_fini(&r->host->guests[i].addresses);
    }
    free(r->host);
    r->host = NULL;
}

// ---- those that have not said who they are

static struct stranger *place_for_stranger(struct host *host)
{
    struct stranger *oldest = &host->strangers[0];
    for (int i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *one = &host->strangers[i];
        if (one->link.fd < 0)
            return one;
        if (one->since_ns < oldest->since_ns)
            oldest = one;
    }
    cluster_link_close(&oldest->link);
    return oldest;
}

static void greet(struct rendezvous *r, struct stranger *stranger)
{
    struct challenge_message message = {.protocol = CLUSTER_PROTOCOL,
                                        .wants_key = r->options.key != NULL};
    struct cluster_link *link = &stranger->link;
    if (!r->options.key && !cluster_link_is_private(link)) {
        complain_of(
            r, link,
            "its address is neither loopback nor private, and there is no cluster key; give "
            "all nodes a --cluster-key-file");
        rendezvous_wrote(link, text_write(&link->out, FRAME_REFUSAL,
                                          "node 0 has no cluster key and takes in only nodes with "
                                          "loopback or private addresses; give all nodes a "
                                          "--cluster-key-file"));
        cluster_link_end(link, "");
        return;
    }
    if (cluster_nonce(stranger->nonce) != OK) {
        cluster_link_end(link, "");
        return;
    }
    memcpy(message.nonce, stranger->nonce, NONCE_BYTES);
    snprintf(message.build, sizeof message.build, "%s", r->options.build);
    rendezvous_wrote(link, challenge_write(&link->out, &message));
}

static void accept_strangers(struct rendezvous *r, int64_t now)
{
    struct host *host = r->host;
    for (int i = 0; i < ACCEPTS_MAX && host->listen_fd >= 0; i++) {
        int fd = accept4(host->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        struct stranger *stranger = place_for_stranger(host);
        if (cluster_link_open(&stranger->link, fd, r->deadline_ms) != OK)
            continue;
        stranger->since_ns = now;
        stranger->link.payload_max = frame_bytes_max(FRAME_HELLO);
        greet(r, stranger);
        cluster_link_flush(&stranger->link);
    }
}

static void hear_stranger(struct rendezvous *r, struct stranger *stranger, int64_t now)
{
    struct cluster_link *link = &stranger->link;
    struct frame frame;
    char sentence[CLUSTER_SENTENCE_MAX];
    cluster_link_read(link);
    bool heard = link->in.length > 0;
    if (cluster_link_next(link, &frame)) {
        if (frame.type == FRAME_HELLO) {
            host_hear_hello(r, stranger, &frame);
            return;
        }
        if (frame.type == FRAME_REFUSAL && text_read(&frame, sentence, sizeof sentence))
            complain_of(r, link, sentence);
        else
            complain_of(r, link, "it does not speak colrow's protocol");
        cluster_link_end(link, "");
    } else if (link->ended && heard) {
        complain_of(r, link, "it does not speak colrow's protocol");
    }
    if (now - stranger->since_ns > HANDSHAKE_MS * 1000000ll)
        cluster_link_end(link, "");
}

// ---- nodes

static void append_number(char *text, size_t room, const char *format, int number)
{
    size_t length = strlen(text);
    snprintf(text + length, room - length, format, number);
}

void host_waiting(const struct rendezvous *r, char *text, size_t room)
{
    int n_missing = 0, n = r->options.n_nodes;
    for (int i = 0; i < n; i++)
        n_missing += !r->host->guests[i].here;
    snprintf(text, room, "%d of %d nodes %s here; missing:", n - n_missing, n,
             n - n_missing == 1 ? "is" : "are");
    int said = 0;
    for (int i = 0; i < n && said < MISSING_NAMED_MAX; i++)
        if (!r->host->guests[i].here)
            append_number(text, room, said++ ? ", node %d" : " node %d", i);
    if (n_missing > said)
        append_number(text, room, " and %d more", n_missing - said);
}

void host_tell_waiting(struct rendezvous *r)
{
    char text[CLUSTER_SENTENCE_MAX];
    host_waiting(r, text, sizeof text);
    for (int i = 1; i < r->options.n_nodes; i++) {
        struct cluster_link *link = &r->host->guests[i].link;
        if (!r->host->guests[i].here || link->ended)
            continue;
        rendezvous_wrote(link, text_write(&link->out, FRAME_WAITING, text));
        cluster_link_flush(link);
    }
}

static int node_of(const struct rendezvous *r, int rank)
{
    int node = 0;
    while (node + 1 < r->world.n_nodes && r->world.nodes[node + 1].first_rank <= rank)
        node++;
    return node;
}

void host_take_fault(struct rendezvous *r, const struct cluster_fault *fault)
{
    bool hearsay = fault->culprit >= 0 && node_of(r, fault->culprit) != fault->node;
    if (!hearsay) {
        rendezvous_break(r, fault);
    } else if (!r->hearsay_ns) {
        r->hearsay = *fault;
        r->hearsay_ns = clock_ns();
    }
}

void host_check_done(struct rendezvous *r)
{
    if (r->state != RENDEZVOUS_COMPLETE || !r->left || r->hearsay_ns)
        return;
    for (int i = 1; i < r->options.n_nodes; i++)
        if (r->host->guests[i].here && !r->host->guests[i].done)
            return;
    r->state = RENDEZVOUS_DONE;
    for (int i = 1; i < r->options.n_nodes; i++) {
        struct cluster_link *link = &r->host->guests[i].link;
        if (!r->host->guests[i].here)
            continue;
        rendezvous_wrote(link, done_write(&link->out));
        cluster_link_flush(link);
    }
}

// True: that is a frame of addresses of as many ranks as the node has; `*round` is its.
static bool addresses_of(const struct rendezvous *r, int node, struct address_message *out)
{
    struct frame frame;
    const struct bytes *bytes = &r->host->guests[node].addresses;
    return bytes->length > 0 && frame_read(bytes->data, bytes->length, &frame) == FRAME_READY &&
           addresses_read(&frame, out) && out->n == r->world.nodes[node].n_local;
}

static void send_book(struct rendezvous *r, const struct address_message *book)
{
    bytes_clear(&r->scratch);
    if (addresses_write(&r->scratch, FRAME_BOOK, book) != OK)
        return;
    for (int i = 1; i < r->options.n_nodes; i++) {
        struct cluster_link *link = &r->host->guests[i].link;
        if (!r->host->guests[i].here)
            continue;
        rendezvous_wrote(link, bytes_append(&link->out, r->scratch.data, r->scratch.length));
        cluster_link_flush(link);
    }
    rendezvous_take_book(r, &r->scratch, 0);
}

// Once all nodes have put theirs for one round.
static void check_book(struct rendezvous *r)
{
    static _Thread_local struct address_message book, one;
    book.n = 0;
    for (int i = 0; i < r->options.n_nodes; i++) {
        if (r->world.nodes[i].n_local == 0)
            continue;
        if (!addresses_of(r, i, &one) || (i > 0 && one.round != book.round))
            return;
        book.round = one.round;
        memcpy(&book.address[book.n], one.address, (size_t)one.n * sizeof one.address[0]);
        book.n += one.n;
    }
    send_book(r, &book);
}

void host_put_addresses(struct rendezvous *r, const struct address_message *own)
{
    struct bytes *bytes = &r->host->guests[0].addresses;
    bytes_clear(bytes);
    if (addresses_write(bytes, FRAME_ADDRESSES, own) != OK)
        bytes_clear(bytes);
    check_book(r);
}

static bool take_addresses(struct rendezvous *r, int node, const struct frame *frame)
{
    static _Thread_local struct address_message message;
    struct bytes *bytes = &r->host->guests[node].addresses;
    bytes_clear(bytes);
    if (!addresses_read(frame, &message) || message.n != r->world.nodes[node].n_local)
        return false;
    if (addresses_write(bytes, FRAME_ADDRESSES, &message) != OK)
        return false;
    check_book(r);
    return true;
}

static bool hear_guest_frame(struct rendezvous *r, int node, const struct frame *frame)
{
    struct guest *guest = &r->host->guests[node];
    struct cluster_fault fault;
    if (frame->type == FRAME_BEAT)
        return text_read(frame, guest->place, sizeof guest->place);
    if (r->state == RENDEZVOUS_GATHERING)
        return false;
    if (frame->type == FRAME_ADDRESSES)
        return take_addresses(r, node, frame);
    if (frame->type == FRAME_FAULT && fault_read(frame, &fault)) {
        if (fault.node != node || fault.lost)
            return false;
        if (fault.culprit >= r->world.size)
            fault.culprit = -1;
        host_take_fault(r, &fault);
        return true;
    }
    if (frame->type != FRAME_DONE)
        return false;
    guest->done = true;
    host_check_done(r);
    return true;
}

static void lose_guest(struct rendezvous *r, int node)
{
    struct guest *guest = &r->host->guests[node];
    struct cluster_fault fault;
    if (r->state == RENDEZVOUS_COMPLETE) {
        rendezvous_lost_fault(r, node, guest->link.why, guest->place, &fault);
        rendezvous_break(r, &fault);
    }
    if (r->state != RENDEZVOUS_GATHERING)
        return;
    log_warning("node %d (%s) has gone again: %s", node, r->world.nodes[node].address,
                guest->link.why);
    cluster_link_close(&guest->link);
    guest->here = false;
    host_tell_waiting(r);
}

static void hear_guest(struct rendezvous *r, int node, int64_t now)
{
    struct guest *guest = &r->host->guests[node];
    struct frame frame;
    if (!guest->here || guest->link.fd < 0 || guest->link.ended)
        return;
    cluster_link_read(&guest->link);
    while (cluster_link_next(&guest->link, &frame))
        if (!hear_guest_frame(r, node, &frame))
            cluster_link_end(&guest->link, "it does not speak colrow's protocol");
    cluster_link_flush(&guest->link);
    rendezvous_beat(r, &guest->link, now);
    if (guest->link.ended)
        lose_guest(r, node);
}

void host_turn(struct rendezvous *r, int64_t now)
{
    struct host *host = r->host;
    accept_strangers(r, now);
    for (int i = 0; i < STRANGERS_MAX; i++) {
        struct stranger *stranger = &host->strangers[i];
        if (stranger->link.fd < 0)
            continue;
        hear_stranger(r, stranger, now);
        cluster_link_flush(&stranger->link);
        if (stranger->link.ended)
            cluster_link_close(&stranger->link);
    }
    for (int i = 1; i < r->options.n_nodes; i++)
        hear_guest(r, i, now);
    if (r->state != RENDEZVOUS_GATHERING && host->listen_fd >= 0 && !host->degraded)
        host_stop_listening(r); // else it tells those that come that they are not waited for
}
