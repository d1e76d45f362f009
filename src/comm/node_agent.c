#include "comm/node_agent.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "comm/address_book.h"
#include "comm/rendezvous_parts.h"

enum {
    CARRY_MS = 2, // between first looks at the ranks' mail; later ones are rarer
    CARRY_MS_MAX = 50,
    CARRY_PART = 50, // they make a start longer by this part of it at most
    SLICE_MS = 20,   // between looks of a waiting owner
    REMIND_S = 5,    // between lines about who is missing
    FAREWELL_MS = 1000,
    EXCHANGES_MAX = 1000, // rounds before those of ranks
};

struct node_agent {
    pthread_t thread;
    pthread_mutex_t lock; // of all below
    int wake_fd;
    bool stopping;
    struct rendezvous *rendezvous;
    // The ranks, borrowed from their group; NULL: none now.
    struct segment *segment;
    uint32_t round; // of this start of the ranks
    int64_t attached_ns;
    bool sent, filled, told;
};

// ---- the thread

// The rank that has begun the fewest collectives, and which that was.
static void note_place(struct node_agent *agent)
{
    const struct segment *segment = agent->segment;
    char collective[PLACE_BYTES], place[CLUSTER_PLACE_MAX];
    const struct flight_record *last = NULL;
    int rank = 0;
    // relaxed: for people
    for (int r = 0; r < segment->n_ranks; r++) {
        const struct flight_record *one = &segment->ranks[r].flight;
        if (last && atomic_load_explicit(&one->n_operations, memory_order_relaxed) >=
                        atomic_load_explicit(&last->n_operations, memory_order_relaxed))
            continue;
        last = one;
        rank = r;
    }
    if (!last || atomic_load_explicit(&last->n_operations, memory_order_relaxed) == 0)
        return;
    flight_collective(last, collective);
    snprintf(place, sizeof place, "rank %d, %s", segment->first_rank + rank, collective);
    rendezvous_note_place(agent->rendezvous, place);
}

static void send_mail(struct node_agent *agent)
{
    static _Thread_local struct address_message mail;
    mail.round = agent->round;
    mail.n = agent->segment->n_ranks;
    for (int r = 0; r < mail.n; r++) {
        const void *address;
        if (!address_book_take(agent->segment, r, &address, &mail.address[r].bytes))
            return;
        mail.address[r].data = address;
    }
    rendezvous_put_addresses(agent->rendezvous, &mail);
    agent->sent = true;
}

static void fill_book(struct node_agent *agent)
{
    const struct address_message *book = rendezvous_book(agent->rendezvous, agent->round);
    if (!book || book->n != agent->segment->world_size)
        return;
    for (int r = 0; r < book->n; r++)
        if (!address_book_fill(agent->segment, r, book->address[r].data, book->address[r].bytes))
            return;
    address_book_complete(agent->segment);
    agent->filled = true;
}

// Ranks that wait hear it at once; what their owner says follows in node_agent_check().
static void tell_ranks(struct node_agent *agent)
{
    char text[VERDICT_BYTES];
    rendezvous_say_fault(agent->rendezvous, text, sizeof text);
    verdict_give(agent->segment, -1, rendezvous_fault(agent->rendezvous)->culprit, text);
    agent->told = true;
}

static void serve_ranks(struct node_agent *agent)
{
    if (agent->told)
        return; // the place stays that of the failure
    note_place(agent);
    if (rendezvous_state(agent->rendezvous) == RENDEZVOUS_BROKEN) {
        tell_ranks(agent);
        return;
    }
    if (!agent->sent)
        send_mail(agent);
    if (agent->sent && !agent->filled)
        fill_book(agent);
}

// Nothing tells when a rank has put its address there. Programs that never do are not looked at
// more often than a beat needs, in the end.
static int until_next_look(const struct node_agent *agent, int timeout_ms)
{
    if (!agent->segment || agent->sent)
        return timeout_ms; // the book comes by itself
    int64_t part_ms = (clock_ns() - agent->attached_ns) / (CARRY_PART * 1000000ll);
    int64_t look_ms = part_ms < CARRY_MS       ? CARRY_MS
                      : part_ms > CARRY_MS_MAX ? CARRY_MS_MAX
                                               : part_ms;
    return look_ms < timeout_ms ? (int)look_ms : timeout_ms;
}

static void *run_agent(void *context)
{
    struct node_agent *agent = context;
    struct pollfd fds[RENDEZVOUS_FDS_MAX + 1];
    pthread_mutex_lock(&agent->lock);
    while (!agent->stopping) {
        int timeout_ms;
        rendezvous_turn(agent->rendezvous);
        if (agent->segment)
            serve_ranks(agent);
        int n = rendezvous_fds(agent->rendezvous, fds, &timeout_ms);
        timeout_ms = until_next_look(agent, timeout_ms);
        fds[n++] = (struct pollfd){.fd = agent->wake_fd, .events = POLLIN};
        pthread_mutex_unlock(&agent->lock);
        (void)poll(fds, (nfds_t)n, timeout_ms);
        uint64_t wakes;
        (void)!read(agent->wake_fd, &wakes, sizeof wakes);
        pthread_mutex_lock(&agent->lock);
    }
    pthread_mutex_unlock(&agent->lock);
    return NULL;
}

// ---- the owner

static void wake(struct node_agent *agent)
{
    uint64_t one = 1;
    (void)!write(agent->wake_fd, &one, sizeof one);
}

enum status node_agent_start(const struct rendezvous_options *options, struct node_agent **out)
{
    struct node_agent *agent;
    TRY(memory_new(1, sizeof *agent, "a node's agent", &agent));
    pthread_mutex_init(&agent->lock, NULL);
    agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    enum status status = OK;
    if (agent->wake_fd < 0)
        status = fail_errno("create", "an event for a node's agent");
    if (status == OK)
        status = rendezvous_open(options, &agent->rendezvous);
    if (status == OK)
        status = quiet_thread_start(&agent->thread, run_agent, agent, "talks to the other nodes");
    if (status == OK) {
        *out = agent;
        return OK;
    }
    rendezvous_close(agent->rendezvous);
    if (agent->wake_fd >= 0)
        close(agent->wake_fd);
    pthread_mutex_destroy(&agent->lock);
    free(agent);
    return status;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = SLICE_MS * 1000000L}, NULL);
}

static enum rendezvous_state look_at_state(struct node_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    enum rendezvous_state state = rendezvous_state(agent->rendezvous);
    pthread_mutex_unlock(&agent->lock);
    return state;
}

void node_agent_stop(struct node_agent *agent)
{
    if (!agent)
        return;
    bool flushed = false;
    for (int64_t end = clock_ns() + FAREWELL_MS * 1000000ll; !flushed && clock_ns() < end;) {
        pthread_mutex_lock(&agent->lock);
        flushed = rendezvous_flushed(agent->rendezvous);
        pthread_mutex_unlock(&agent->lock);
        if (!flushed) {
            wake(agent);
            nap();
        }
    }
    pthread_mutex_lock(&agent->lock);
    agent->stopping = true;
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
    pthread_join(agent->thread, NULL);
    rendezvous_close(agent->rendezvous);
    close(agent->wake_fd);
    pthread_mutex_destroy(&agent->lock);
    free(agent);
}

// On a terminal a line that is written over, elsewhere one now and then.
static void show_waiting(const char *text, double waited, double *said, bool *drawn)
{
    bool terminal = isatty(STDERR_FILENO) && log_get_level() <= LOG_INFO;
    if (terminal && waited - *said >= 0.25) {
        fprintf(stderr, "\rwaiting for %s (%.0f s)\033[K", text, waited);
        *drawn = true;
    } else if (waited - *said >= REMIND_S) {
        log_info("waiting for %s (%.0f s)", text, waited);
    } else {
        return;
    }
    *said = waited;
}

static enum status await_nodes(struct node_agent *agent, double wait_seconds, const char *flag,
                               signal_check check, void *context, bool *drawn)
{
    double begun = clock_seconds(), said = 0;
    for (;;) {
        char text[CLUSTER_SENTENCE_MAX], refusal[CLUSTER_SENTENCE_MAX];
        pthread_mutex_lock(&agent->lock);
        enum rendezvous_state state = rendezvous_state(agent->rendezvous);
        rendezvous_waiting(agent->rendezvous, text, sizeof text);
        snprintf(refusal, sizeof refusal, "%s", rendezvous_refusal(agent->rendezvous));
        pthread_mutex_unlock(&agent->lock);
        if (state == RENDEZVOUS_REFUSED)
            return fail(ERR_INPUT, "%s", refusal);
        if (state != RENDEZVOUS_GATHERING)
            return OK;
        double waited = clock_seconds() - begun;
        if (wait_seconds > 0 && waited > wait_seconds)
            return fail(ERR_GROUP, "after %.0f s (%s): still waiting for %s", waited, flag, text);
        show_waiting(text, waited, &said, drawn);
        if (check)
            TRY(check(context));
        nap();
    }
}

enum status node_agent_await(struct node_agent *agent, double wait_seconds, const char *flag,
                             signal_check check, void *context, struct cluster_world *out)
{
    bool drawn = false;
    enum status status = await_nodes(agent, wait_seconds, flag, check, context, &drawn);
    if (drawn)
        fprintf(stderr, "\r\033[K");
    TRY(status);
    pthread_mutex_lock(&agent->lock);
    *out = *rendezvous_world(agent->rendezvous);
    pthread_mutex_unlock(&agent->lock);
    return OK;
}

void node_agent_waiting(struct node_agent *agent, char *text, size_t room)
{
    *text = '\0';
    pthread_mutex_lock(&agent->lock);
    if (rendezvous_state(agent->rendezvous) == RENDEZVOUS_GATHERING)
        rendezvous_waiting(agent->rendezvous, text, room);
    pthread_mutex_unlock(&agent->lock);
}

void node_agent_here(struct node_agent *agent, bool here[CLUSTER_NODES_MAX])
{
    pthread_mutex_lock(&agent->lock);
    rendezvous_here(agent->rendezvous, here);
    pthread_mutex_unlock(&agent->lock);
}

bool node_agent_settle(struct node_agent *agent, const int n_local[CLUSTER_NODES_MAX])
{
    pthread_mutex_lock(&agent->lock);
    bool settled = rendezvous_settle(agent->rendezvous, n_local);
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
    return settled;
}

void node_agent_address(struct node_agent *agent, char out[CLUSTER_NAME_MAX])
{
    pthread_mutex_lock(&agent->lock);
    snprintf(out, CLUSTER_NAME_MAX, "%s", rendezvous_own_address(agent->rendezvous));
    pthread_mutex_unlock(&agent->lock);
}

static void say_word(struct node_agent *agent, const void *word, size_t bytes)
{
    static _Thread_local struct address_message mail;
    const struct cluster_world *world = rendezvous_world(agent->rendezvous);
    mail.round = ++agent->round;
    mail.n = world->nodes[world->node].n_local;
    for (int r = 0; r < mail.n; r++) // a round is about ranks: each says it
        mail.address[r] = (struct rank_address){bytes, word};
    rendezvous_put_addresses(agent->rendezvous, &mail);
}

// False: not all have said theirs.
static bool take_words(struct node_agent *agent, struct node_word *out)
{
    const struct cluster_world *world = rendezvous_world(agent->rendezvous);
    const struct address_message *book = rendezvous_book(agent->rendezvous, agent->round);
    for (int node = 0; book && node < world->n_nodes; node++) {
        out[node].bytes = 0;
        if (world->nodes[node].n_local == 0)
            continue;
        const struct rank_address *one = &book->address[world->nodes[node].first_rank];
        out[node].bytes = one->bytes;
        memcpy(out[node].data, one->data, one->bytes);
    }
    return book != NULL;
}

enum status node_agent_exchange(struct node_agent *agent, const void *word, size_t bytes,
                                signal_check check, void *context, struct node_word *out)
{
    assert(bytes > 0 && bytes <= RANK_ADDRESS_BYTES_MAX && agent->round < EXCHANGES_MAX);
    pthread_mutex_lock(&agent->lock);
    say_word(agent, word, bytes);
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
    for (;;) {
        char fault[CLUSTER_SENTENCE_MAX + CLUSTER_PLACE_MAX] = "";
        pthread_mutex_lock(&agent->lock);
        bool done = take_words(agent, out);
        if (rendezvous_state(agent->rendezvous) != RENDEZVOUS_COMPLETE)
            rendezvous_say_fault(agent->rendezvous, fault, sizeof fault);
        pthread_mutex_unlock(&agent->lock);
        if (done)
            return OK;
        if (*fault)
            return fail(ERR_GROUP, "%s", fault);
        if (check)
            TRY(check(context));
        nap();
    }
}

void node_agent_attach(struct node_agent *agent, struct group *group, uint64_t generation)
{
    pthread_mutex_lock(&agent->lock);
    agent->segment = group_segment(group);
    agent->round = EXCHANGES_MAX + (uint32_t)generation;
    agent->attached_ns = clock_ns();
    agent->sent = agent->filled = agent->told = false;
    rendezvous_note_place(agent->rendezvous, "");
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
}

void node_agent_detach(struct node_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    agent->segment = NULL;
    pthread_mutex_unlock(&agent->lock);
}

bool node_agent_fault(struct node_agent *agent, int *node, char *text, size_t room)
{
    pthread_mutex_lock(&agent->lock);
    bool broken = rendezvous_state(agent->rendezvous) == RENDEZVOUS_BROKEN;
    if (broken) {
        *node = rendezvous_fault(agent->rendezvous)->node;
        rendezvous_say_fault(agent->rendezvous, text, room);
    }
    pthread_mutex_unlock(&agent->lock);
    return broken;
}

void node_agent_check(struct node_agent *agent, struct group *group)
{
    char text[VERDICT_BYTES];
    int culprit;
    const char *word = group_verdict(group, &culprit);
    bool broken;
    pthread_mutex_lock(&agent->lock);
    const struct cluster_world *world = rendezvous_world(agent->rendezvous);
    const struct cluster_node *own = &world->nodes[world->node];
    broken = rendezvous_state(agent->rendezvous) == RENDEZVOUS_BROKEN;
    if (broken) {
        rendezvous_say_fault(agent->rendezvous, text, sizeof text);
        culprit = rendezvous_fault(agent->rendezvous)->culprit;
    } else if (word && culprit >= 0 &&
               (culprit < own->first_rank || culprit >= own->first_rank + own->n_local)) {
        note_place(agent);
        rendezvous_report(agent->rendezvous, culprit, 1, word);
    }
    pthread_mutex_unlock(&agent->lock);
    if (broken)
        group_give_verdict(group, culprit, text);
}

enum status node_agent_judge(struct node_agent *agent, int exit_status, int *judged)
{
    static const char ended[] = "; the group was ended";
    char text[2 * CLUSTER_SENTENCE_MAX];
    snprintf(text, sizeof text, "%s", status_message());
    char *end = strstr(text, ended); // each node's owner says so
    if (end)
        *end = '\0';
    pthread_mutex_lock(&agent->lock);
    if (agent->segment && !agent->told)
        note_place(agent);
    rendezvous_report(agent->rendezvous, -1, exit_status, text);
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
    int64_t patience = clock_ns() + (ANSWER_MS + HEARSAY_MS) * 1000000ll;
    while (look_at_state(agent) == RENDEZVOUS_COMPLETE && clock_ns() < patience)
        nap();
    *judged = exit_status;
    pthread_mutex_lock(&agent->lock);
    const struct cluster_fault *fault = rendezvous_fault(agent->rendezvous);
    if (fault) {
        rendezvous_say_fault(agent->rendezvous, text, sizeof text);
        *judged = fault->exit_status;
    }
    pthread_mutex_unlock(&agent->lock);
    return fail(ERR_GROUP, "%s%s", text, ended);
}

enum status node_agent_leave(struct node_agent *agent, signal_check check, void *context,
                             int *exit_status)
{
    pthread_mutex_lock(&agent->lock);
    rendezvous_leave(agent->rendezvous);
    pthread_mutex_unlock(&agent->lock);
    wake(agent);
    *exit_status = 0;
    for (;;) {
        enum rendezvous_state state = look_at_state(agent);
        if (state == RENDEZVOUS_DONE)
            return OK;
        if (state == RENDEZVOUS_BROKEN)
            return node_agent_judge(agent, 1, exit_status);
        if (check)
            TRY(check(context));
        nap();
    }
}
