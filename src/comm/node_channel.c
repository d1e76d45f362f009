#include "comm/node_channel.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "comm/cluster_key.h"
#include "comm/cluster_link.h"

enum { OPEN_SECONDS = 20, SLICE_MS = 50, GREETING_SECONDS = 2, WORD_MAGIC = 0x63726368 };

// What node 0 tells the others: where it listens, and what they are to say there, which nobody else
// knows. The others have nothing to tell.
struct channel_word {
    uint32_t magic, port;
    uint8_t token[NONCE_BYTES];
};

struct greeting {
    uint8_t token[NONCE_BYTES];
    uint32_t node;
};

void node_channels_close(int fds[CLUSTER_NODES_MAX])
{
    for (int i = 0; i < CLUSTER_NODES_MAX; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
        fds[i] = -1;
    }
}

static enum status set_up(int fd, double deadline_seconds)
{
    return cluster_socket_set_up(fd, (int)(deadline_seconds * 1000))
               ? OK
               : fail_errno("set up", "a connection between nodes");
}

static enum status wait_a_moment(int fd, short events, int64_t end_ns, signal_check check,
                                 void *context, const char *what)
{
    struct pollfd event = {.fd = fd, .events = events};
    if (check)
        TRY(check(context));
    (void)poll(&event, 1, SLICE_MS); // a signal: looks a little earlier
    if (clock_ns() < end_ns)
        return OK;
    return fail(ERR_GROUP, "%s", what);
}

// ---- node 0

static enum status open_listener(const char *address, int *fd, uint32_t *port)
{
    union {
        struct sockaddr any;
        struct sockaddr_in four;
        struct sockaddr_in6 six;
    } own;
    socklen_t bytes = sizeof own;
    memset(&own, 0, sizeof own);
    struct addrinfo *found,
        hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_PASSIVE};
    int error = getaddrinfo(address[0] ? address : NULL, "0", &hints, &found);
    if (error)
        return fail(ERR_IO, "cannot listen at %s for the other nodes: %s", address,
                    gai_strerror(error));
    *fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool good = *fd >= 0 && bind(*fd, found->ai_addr, found->ai_addrlen) == 0 &&
                listen(*fd, CLUSTER_NODES_MAX) == 0 && getsockname(*fd, &own.any, &bytes) == 0;
    freeaddrinfo(found);
    if (!good)
        return fail_errno("listen for the other nodes at", address);
    *port = ntohs(own.any.sa_family == AF_INET6 ? own.six.sin6_port : own.four.sin_port);
    return OK;
}

// Who connects has little time to say who it is; -1: nobody that we wait for.
static int greeting_node(int fd, const struct channel_word *word)
{
    struct greeting greeting;
    struct timeval most = {GREETING_SECONDS, 0};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) ||
        recv(fd, &greeting, sizeof greeting, MSG_WAITALL) != (ssize_t)sizeof greeting)
        return -1;
    most = (struct timeval){0, 0};
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most);
    return same_secret(greeting.token, word->token, NONCE_BYTES) &&
                   greeting.node < CLUSTER_NODES_MAX
               ? (int)greeting.node
               : -1;
}

static enum status accept_nodes(int listen_fd, const struct channel_word *word,
                                const struct cluster_world *world, double deadline_seconds,
                                signal_check check, void *context, int fds[CLUSTER_NODES_MAX])
{
    int64_t end_ns = clock_ns() + OPEN_SECONDS * 1000000000ll;
    int missing = 0;
    for (int i = 1; i < world->n_nodes; i++)
        missing += world->nodes[i].n_local > 0;
    while (missing > 0) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0) {
            TRY(wait_a_moment(listen_fd, POLLIN, end_ns, check, context,
                              "a node does not connect to node 0, although it has joined; is a "
                              "firewall between them?"));
            continue;
        }
        int node = greeting_node(fd, word);
        if (node < 1 || node >= world->n_nodes || world->nodes[node].n_local == 0 ||
            fds[node] >= 0 || set_up(fd, deadline_seconds) != OK) {
            close(fd);
            continue;
        }
        fds[node] = fd;
        missing--;
    }
    return OK;
}

static enum status host_channels(struct node_agent *agent, const struct cluster_world *world,
                                 double deadline_seconds, signal_check check, void *context,
                                 struct node_word *words, int fds[CLUSTER_NODES_MAX])
{
    struct channel_word word = {.magic = WORD_MAGIC};
    int listen_fd = -1;
    enum status status = cluster_nonce(word.token);
    if (status == OK)
        status = open_listener(world->nodes[0].address, &listen_fd, &word.port);
    if (status == OK)
        status = node_agent_exchange(agent, &word, sizeof word, check, context, words);
    if (status == OK)
        status = accept_nodes(listen_fd, &word, world, deadline_seconds, check, context, fds);
    if (listen_fd >= 0)
        close(listen_fd);
    return status;
}

// ---- the others

static enum status connect_to_host(const char *address, uint32_t port, int64_t end_ns,
                                   signal_check check, void *context, int *out)
{
    char service[16];
    struct addrinfo *found, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    snprintf(service, sizeof service, "%u", port);
    int error = getaddrinfo(address, service, &hints, &found);
    if (error)
        return fail(ERR_IO, "cannot connect to node 0 at %s: %s", address, gai_strerror(error));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), why = 0;
    socklen_t bytes = sizeof why;
    enum status status = OK;
    if (fd < 0 || (connect(fd, found->ai_addr, found->ai_addrlen) && errno != EINPROGRESS))
        status = fail_errno("connect to node 0 at", address);
    freeaddrinfo(found);
    for (struct pollfd event = {.fd = fd, .events = POLLOUT}; status == OK && !event.revents;) {
        status = wait_a_moment(-1, 0, end_ns, check, context,
                               "node 0 cannot be reached, although it let this node join; is a "
                               "firewall between them?");
        (void)poll(&event, 1, 0);
    }
    if (status == OK && (getsockopt(fd, SOL_SOCKET, SO_ERROR, &why, &bytes) || why)) {
        errno = why;
        status = fail_errno("connect to node 0 at", address);
    }
    if (status != OK && fd >= 0)
        close(fd);
    else
        *out = fd;
    return status;
}

static enum status guest_channel(struct node_agent *agent, const struct cluster_world *world,
                                 double deadline_seconds, signal_check check, void *context,
                                 struct node_word *words, int fds[CLUSTER_NODES_MAX])
{
    struct channel_word word;
    struct greeting greeting = {.node = (uint32_t)world->node};
    uint8_t nothing = 0;
    int64_t end_ns = clock_ns() + OPEN_SECONDS * 1000000000ll;
    TRY(node_agent_exchange(agent, &nothing, 1, check, context, words));
    if (words[0].bytes != sizeof word)
        return fail(ERR_GROUP, "node 0 runs another command than this node; give all nodes the "
                               "same one");
    memcpy(&word, words[0].data, sizeof word);
    if (word.magic != WORD_MAGIC || word.port < 1 || word.port > 65535)
        return fail(ERR_GROUP, "node 0 runs another command than this node; give all nodes the "
                               "same one");
    TRY(connect_to_host(world->nodes[0].address, word.port, end_ns, check, context, &fds[0]));
    TRY(set_up(fds[0], deadline_seconds));
    memcpy(greeting.token, word.token, sizeof greeting.token);
    if (send(fds[0], &greeting, sizeof greeting, MSG_NOSIGNAL) != (ssize_t)sizeof greeting)
        return fail_errno("greet", "node 0");
    return OK;
}

enum status node_channels_open(struct node_agent *agent, const struct cluster_world *world,
                               double deadline_seconds, signal_check check, void *context,
                               int fds[CLUSTER_NODES_MAX])
{
    struct node_word *words;
    for (int i = 0; i < CLUSTER_NODES_MAX; i++)
        fds[i] = -1;
    TRY(memory_new((size_t)world->n_nodes, sizeof *words, "the other nodes", &words));
    enum status status =
        world->node == 0
            ? host_channels(agent, world, deadline_seconds, check, context, words, fds)
            : guest_channel(agent, world, deadline_seconds, check, context, words, fds);
    free(words);
    if (status != OK)
        node_channels_close(fds);
    return status;
}
