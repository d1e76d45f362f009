// What the host says to a node that introduces itself: welcome, or why not.
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "comm/rendezvous_parts.h"

// The stranger alone is refused; the others go on waiting.
static void refuse_stranger(struct rendezvous *r, struct stranger *stranger, const char *sentence)
{
    rendezvous_wrote(&stranger->link, text_write(&stranger->link.out, FRAME_REFUSAL, sentence));
    cluster_link_flush(&stranger->link);
    cluster_link_end(&stranger->link, "");
    host_warn(r, sentence);
}

// No group can come of these nodes: all are told, and end.
static void refuse_all(struct rendezvous *r, struct stranger *stranger, const char *sentence)
{
    struct host *host = r->host;
    if (stranger) {
        rendezvous_wrote(&stranger->link, text_write(&stranger->link.out, FRAME_REFUSAL, sentence));
        cluster_link_flush(&stranger->link);
        cluster_link_end(&stranger->link, "");
    }
    for (int i = 1; i < r->options.n_nodes; i++) {
        struct cluster_link *link = &host->guests[i].link;
        if (!host->guests[i].here)
            continue;
        rendezvous_wrote(link, text_write(&link->out, FRAME_REFUSAL, sentence));
        cluster_link_flush(link);
    }
    rendezvous_refuse(r, sentence);
}

// The line of `text` that names what `line` names, and its length; NULL: none does.
static const char *same_line(const char *text, const char *line, size_t *length)
{
    size_t name = strcspn(line, ":\n");
    while (*text) {
        *length = strcspn(text, "\n");
        if (*length >= name && strncmp(text, line, name) == 0 && strcspn(text, ":\n") == name)
            return text;
        text += *length + (text[*length] == '\n');
    }
    return NULL;
}

// The first line of `ours` that `theirs` does not have.
static bool find_difference(const char *who, const char *whose, const char *ours,
                            const char *theirs, char *sentence, size_t room)
{
    enum { SHOWN_MAX = 200 };
    while (*ours) {
        size_t length = strcspn(ours, "\n"), other = 0;
        const char *line = same_line(theirs, ours, &other);
        int shown = (int)(length < SHOWN_MAX ? length : SHOWN_MAX);
        if (!line || other != length || strncmp(line, ours, length) != 0) {
            snprintf(
                sentence, room, "%s has \"%.*s\", but %s has %s%.*s%s: all nodes need the same",
                whose, shown, ours, who, line ? "\"" : "nothing of it",
                (int)(other < SHOWN_MAX ? other : SHOWN_MAX), line ? line : "", line ? "\"" : "");
            return true;
        }
        ours += length + (ours[length] == '\n');
    }
    return false;
}

// True: `sentence` says what is not the same there as here.
static bool disagrees(const struct rendezvous *r, const struct hello_message *hello,
                      const char *who, char *sentence, size_t room)
{
    const struct rendezvous_options *own = &r->options;
    if (strcmp(hello->build, own->build) != 0)
        snprintf(sentence, room,
                 "%s runs colrow %s, but node 0 runs %s: all nodes need the same version", who,
                 hello->build, own->build);
    else if (hello->n_nodes != own->n_nodes)
        snprintf(sentence, room, "%s was started with --nnodes %d, but node 0 with --nnodes %d",
                 who, hello->n_nodes, own->n_nodes);
    else if (strcmp(hello->run, own->run) != 0)
        snprintf(sentence, room, "%s was started with --rdzv-id \"%s\", but node 0 with \"%s\"",
                 who, hello->run, own->run);
    else
        return find_difference(who, "node 0", own->agreement, hello->agreement, sentence, room) ||
               find_difference("node 0", who, hello->agreement, own->agreement, sentence, room);
    return true;
}

// The node that it can be; -1, with a sentence, if it cannot be any.
static int node_for(const struct rendezvous *r, const struct hello_message *hello, const char *who,
                    char *sentence, size_t room)
{
    const struct guest *guests = r->host->guests;
    int node = hello->node;
    if (node == ANY_NODE)
        for (node = 1; node < r->options.n_nodes && guests[node].here; node++)
            ;
    if (r->host->degraded)
        snprintf(sentence, room,
                 "%s comes too late: the other nodes go on without it (--degrade); it is taken in "
                 "when they next look for a lost node, or when node 0 is started again",
                 who);
    else if (r->state != RENDEZVOUS_GATHERING ||
             (hello->node == ANY_NODE && node == r->options.n_nodes))
        snprintf(sentence, room, "%s comes too late: all %d nodes are here already", who,
                 r->options.n_nodes);
    else if (node >= r->options.n_nodes)
        snprintf(sentence, room, "%s was started with --node-rank %d; expected 0 to %d", who, node,
                 r->options.n_nodes - 1);
    else if (node == 0)
        snprintf(sentence, room, "%s was started with --node-rank 0, but node 0 is another one",
                 who);
    else if (guests[node].here)
        snprintf(sentence, room,
                 "%s is here already, as %s; each node needs a --node-rank of its own", who,
                 r->world.nodes[node].address);
    else
        return node;
    return -1;
}

static void begin_world(struct rendezvous *r)
{
    char sentence[CLUSTER_SENTENCE_MAX];
    if (!cluster_world_count(&r->world)) {
        snprintf(sentence, sizeof sentence,
                 "the nodes have %d ranks together; a group has at most %d", r->world.size,
                 COMM_RANKS_MAX);
        refuse_all(r, NULL, sentence);
        return;
    }
    r->state = RENDEZVOUS_COMPLETE;
    for (int i = 1; i < r->options.n_nodes; i++) {
        struct cluster_link *link = &r->host->guests[i].link;
        if (!r->host->guests[i].here)
            continue;
        rendezvous_wrote(link, world_write(&link->out, &r->world, i));
        cluster_link_flush(link);
    }
}

bool host_settle(struct rendezvous *r, const int n_local[CLUSTER_NODES_MAX])
{
    for (int i = 0; i < r->options.n_nodes; i++)
        if (n_local[i] > 0 && !r->host->guests[i].here)
            return false;
    for (int i = 0; i < r->options.n_nodes; i++) {
        r->world.nodes[i].n_local = n_local[i];
        r->host->degraded |= n_local[i] == 0;
    }
    r->options.n_local = n_local[0];
    begin_world(r);
    return r->state == RENDEZVOUS_COMPLETE;
}

static bool all_are_here(const struct rendezvous *r)
{
    for (int i = 0; i < r->options.n_nodes; i++)
        if (!r->host->guests[i].here)
            return false;
    return true;
}

static void welcome_guest(struct rendezvous *r, struct stranger *stranger, int node,
                          const struct hello_message *hello)
{
    struct guest *guest = &r->host->guests[node];
    const struct welcome_message message = {.beat_ms = r->beat_ms, .deadline_ms = r->deadline_ms};
    guest->link = stranger->link;
    cluster_link_init(&stranger->link);
    guest->link.payload_max = SIZE_MAX;
    guest->here = true;
    guest->done = false;
    guest->place[0] = '\0';
    bytes_clear(&guest->addresses);
    struct cluster_node *entry = &r->world.nodes[node];
    entry->n_local = hello->n_local;
    cluster_link_peer(&guest->link, entry->address);
    if (!r->own_address[0]) {
        cluster_link_own(&guest->link, r->own_address);
        snprintf(r->world.nodes[0].address, CLUSTER_NAME_MAX, "%s", r->own_address);
    }
    rendezvous_wrote(&guest->link,
                     welcome_write(&guest->link.out, &message, r->options.key, hello->nonce));
    cluster_link_flush(&guest->link);
    log_debug("node %d (%s) is here with %d ranks", node, entry->address, hello->n_local);
    if (!r->options.settles && all_are_here(r))
        begin_world(r);
    if (r->state == RENDEZVOUS_GATHERING)
        host_tell_waiting(r);
}

void host_hear_hello(struct rendezvous *r, struct stranger *stranger, const struct frame *frame)
{
    static _Thread_local struct hello_message hello;
    char peer[CLUSTER_NAME_MAX], who[CLUSTER_NAME_MAX + 32], sentence[CLUSTER_SENTENCE_MAX];
    cluster_link_peer(&stranger->link, peer);
    if (r->options.key && !hello_is_proved(frame, r->options.key, stranger->nonce)) {
        snprintf(sentence, sizeof sentence,
                 "the node at %s has another cluster key than node 0 (--cluster-key-file)", peer);
        refuse_stranger(r, stranger, sentence);
        return;
    }
    if (!hello_read(frame, &hello)) {
        snprintf(sentence, sizeof sentence, "the node at %s does not speak colrow's protocol",
                 peer);
        refuse_stranger(r, stranger, sentence);
        return;
    }
    if (hello.node == ANY_NODE)
        snprintf(who, sizeof who, "the node at %s", peer);
    else
        snprintf(who, sizeof who, "node %d (%s)", hello.node, peer);
    if (r->state == RENDEZVOUS_GATHERING && disagrees(r, &hello, who, sentence, sizeof sentence)) {
        refuse_all(r, stranger, sentence);
        return;
    }
    int node = node_for(r, &hello, who, sentence, sizeof sentence);
    if (node < 0)
        refuse_stranger(r, stranger, sentence);
    else
        welcome_guest(r, stranger, node, &hello);
}
