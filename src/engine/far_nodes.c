#include "engine/far_nodes.h"

#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/memory.h"
#include "base/thread.h"
#include "engine/far_link.h"

struct node {
    struct far_node is;
    struct far_link link;
    struct far_rank *ranks; // [is.n_local], as it said last
    bool ready, gone, told_end;
    int64_t done; // number of its last finished step or canary; 0: none
};

struct far_nodes {
    pthread_t thread;
    pthread_mutex_t lock; // of all below
    int wake_fd;
    bool stopping, quitting;
    struct board_shape shape;
    double deadline_seconds;
    bool crowded;
    struct board_options options; // of this generation
    struct board *board;          // NULL: there is none now
    int64_t posted;               // number of the last step or canary; 0: none of this generation
    struct posted_step {
        bool is_canary;
        int32_t n_logits, n_captured; // rows
        uint8_t *logit_full;          // [n_logits]
    } steps[STEPS_UNDER_WAY_MAX];     // by slot
    bool broken;
    int exit_status;
    char sentence[STATUS_MESSAGE_MAX];
    int n_nodes;
    struct node nodes[];
};

#define NODE_PLACE(node) (node)->is.node, (node)->is.address

static void break_far(struct far_nodes *far, int exit_status, const char *sentence)
{
    if (far->broken)
        return;
    far->broken = true;
    far->exit_status = exit_status;
    snprintf(far->sentence, sizeof far->sentence, "%.*s", (int)sizeof far->sentence - 1, sentence);
    if (far->board)
        board_ring(far->board); // somebody looks
}

static void lose_node(struct far_nodes *far, struct node *node)
{
    char sentence[sizeof node->link.why + CLUSTER_NAME_MAX + 80];
    snprintf(sentence, sizeof sentence, "node %d (%s) with ranks %d to %d is lost: %s",
             NODE_PLACE(node), node->is.first_rank, node->is.first_rank + node->is.n_local - 1,
             node->link.why);
    node->gone = true;
    break_far(far, 1, sentence);
}

// ---- what nodes say

static void publish(struct board_rank *to, const struct far_rank *from)
{
    // counters that the engine reads now and then: relaxed suffices, as where ranks write them
#define PUT(field) atomic_store_explicit(&to->field, from->field, memory_order_relaxed)
    PUT(bytes_read);
    PUT(weight_bytes);
    PUT(kv_bytes);
    PUT(host_kv_bytes);
    PUT(scratch_bytes);
    PUT(resident_peak_bytes);
    PUT(load_ns);
    PUT(weights_ns);
    PUT(step_ns);
    PUT(all_reduce_ns);
    PUT(wait_ns);
    PUT(stage_ns);
    PUT(bytes_sent);
    PUT(busiest_pairs);
    for (int leaf = 0; leaf < EXPERT_LEAVES; leaf++)
        PUT(expert_pairs[leaf]);
#undef PUT
    // release: see crew_touched_pages()
    atomic_store_explicit(&to->kv_pages_touched, from->kv_pages_touched, memory_order_release);
}

static bool take_ranks(struct far_nodes *far, struct node *node, const unsigned char *data,
                       size_t bytes)
{
    if (bytes != (size_t)node->is.n_local * sizeof *node->ranks)
        return false;
    uint64_t touched = 0, before = 0;
    for (int r = 0; r < node->is.n_local; r++)
        before += node->ranks[r].kv_pages_touched;
    memcpy(node->ranks, data, bytes);
    for (int r = 0; r < node->is.n_local; r++) {
        node->ranks[r].flight.what[FLIGHT_WHAT_BYTES - 1] = '\0';
        node->ranks[r].flight.last_what[FLIGHT_WHAT_BYTES - 1] = '\0';
        touched += node->ranks[r].kv_pages_touched;
        if (far->board)
            publish(&far->board->ranks[node->is.first_rank + r], &node->ranks[r]);
    }
    if (far->board && touched != before)
        board_ring(far->board);
    return true;
}

static void arrive(struct far_nodes *far, const struct node *node, uint64_t done)
{
    for (int r = 0; r < node->is.n_local; r++)
        board_arrive(far->board, done);
}

static bool take_ready(struct far_nodes *far, struct node *node, const struct far_frame *frame)
{
    uint64_t generation;
    if (!far_take(frame, &generation, sizeof generation))
        return false;
    if (!far->board || generation != far->options.generation || node->ready)
        return generation < far->options.generation;
    node->ready = true;
    arrive(far, node, board_loaded(far->board));
    return true;
}

// Floats of what a node has captured after one layer, and after all of its layers.
static size_t captured_floats(const struct far_nodes *far, const struct posted_step *step)
{
    return (size_t)step->n_captured * (size_t)far->shape.hidden_size;
}

static size_t captured_bytes(const struct far_nodes *far, const struct node *node,
                             const struct posted_step *step)
{
    return captured_floats(far, step) * sizeof(float) *
           (size_t)(node->is.capture_end - node->is.capture_begin);
}

static void take_captured(struct far_nodes *far, const struct node *node, int slot,
                          const unsigned char *data)
{
    const struct step_results *results = &far->board->results[slot];
    size_t n = captured_floats(far, &far->steps[slot]),
           stride = (size_t)results->capture_rows_max * (size_t)far->shape.hidden_size;
    for (int32_t i = node->is.capture_begin; i < node->is.capture_end && n > 0; i++) {
        memcpy(results->capture + (size_t)i * stride, data, n * sizeof(float));
        data += n * sizeof(float);
    }
}

// The largest logits that each of its ranks of the last stage found, their columns of the rows that
// are wanted whole, and hidden states.
static bool take_results(struct far_nodes *far, const struct node *node, int slot,
                         const unsigned char *data, size_t bytes)
{
    const struct step_results *results = &far->board->results[slot];
    const struct posted_step *step = &far->steps[slot];
    size_t best_bytes = (size_t)step->n_logits * sizeof *results->best, n_full = 0,
           column_bytes =
               (size_t)(node->is.column_end - node->is.column_begin) * sizeof *results->logits;
    for (int32_t i = 0; i < step->n_logits; i++)
        n_full += step->logit_full[i];
    if (bytes != (size_t)(node->is.best_end - node->is.best_begin) * best_bytes +
                     n_full * column_bytes + captured_bytes(far, node, step))
        return false;
    for (int r = node->is.best_begin; r < node->is.best_end; r++, data += best_bytes)
        memcpy(results->best + (size_t)r * (size_t)results->logit_rows_max, data, best_bytes);
    for (int32_t i = 0; i < step->n_logits; i++) {
        if (!step->logit_full[i])
            continue;
        memcpy(results->logits + (size_t)i * (size_t)far->shape.vocab_size + node->is.column_begin,
               data, column_bytes);
        data += column_bytes;
    }
    take_captured(far, node, slot, data);
    return true;
}

// As if the ranks had said it here: with this machine's clock.
static void note_times_of(struct far_nodes *far, const struct node *node, int slot)
{
    int64_t now = clock_ns();
    for (int r = 0; r < node->is.n_local; r++) {
        struct board_times *times = &far->board->ranks[node->is.first_rank + r].steps[slot];
        // relaxed: ordered by `done`
        atomic_store_explicit(&times->step_ns, node->ranks[r].last_step_ns, memory_order_relaxed);
        atomic_store_explicit(&times->end_ns, now, memory_order_relaxed);
    }
}

static bool take_done(struct far_nodes *far, struct node *node, const struct far_frame *frame)
{
    struct far_done head;
    size_t ranks_bytes = (size_t)node->is.n_local * sizeof *node->ranks;
    if (frame->bytes < sizeof head + ranks_bytes)
        return false;
    memcpy(&head, frame->payload, sizeof head);
    if (head.generation < far->options.generation || !far->board)
        return true; // of ranks that are gone
    if (head.generation != far->options.generation || !node->ready || head.number <= node->done ||
        head.number > far->posted || (node->done && head.number != node->done + 1))
        return false;
    const unsigned char *data = frame->payload + sizeof head;
    size_t rest = frame->bytes - sizeof head - ranks_bytes;
    if (!take_ranks(far, node, data, ranks_bytes))
        return false;
    int slot = board_slot(far->board, (uint64_t)head.number);
    if (far->steps[slot].is_canary ? rest != 0
                                   : !take_results(far, node, slot, data + ranks_bytes, rest))
        return false;
    note_times_of(far, node, slot);
    node->done = head.number;
    arrive(far, node, board_done((uint64_t)head.number));
    return true;
}

static bool take_broken(struct far_nodes *far, struct node *node, const struct far_frame *frame)
{
    struct far_broken message;
    char sentence[STATUS_MESSAGE_MAX + 256];
    if (!far_take(frame, &message, sizeof message))
        return false;
    if (message.generation != far->options.generation)
        return message.generation < far->options.generation;
    message.sentence[sizeof message.sentence - 1] = '\0';
    for (char *c = message.sentence; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    snprintf(sentence, sizeof sentence, "node %d (%s): %s", NODE_PLACE(node), message.sentence);
    node->told_end = true; // it knows
    break_far(far, message.exit_status > 0 && message.exit_status < 256 ? message.exit_status : 1,
              sentence);
    return true;
}

static bool take_gone(struct far_nodes *far, struct node *node, const struct far_frame *frame)
{
    uint64_t generation;
    if (!far_take(frame, &generation, sizeof generation))
        return false;
    if (generation == far->options.generation) {
        node->gone = true;
        if (far->board)
            board_ring(far->board);
    }
    return true;
}

static bool take_frame(struct far_nodes *far, struct node *node, const struct far_frame *frame)
{
    switch (frame->type) {
    case FAR_STATE:
        return take_ranks(far, node, frame->payload, frame->bytes);
    case FAR_READY:
        return take_ready(far, node, frame);
    case FAR_DONE:
        return take_done(far, node, frame);
    case FAR_BROKEN:
        return take_broken(far, node, frame);
    case FAR_GONE:
        return take_gone(far, node, frame);
    default:
        return false;
    }
}

static void hear_node(struct far_nodes *far, struct node *node)
{
    struct far_frame frame;
    bool was_ended = node->link.ended;
    far_link_read(&node->link);
    while (far_link_next(&node->link, &frame))
        if (!take_frame(far, node, &frame))
            far_link_end(&node->link, "it said what no node of this version says");
    far_link_flush(&node->link);
    if (node->link.ended && !was_ended)
        lose_node(far, node);
}

static void *listen_to_nodes(void *context)
{
    struct far_nodes *far = context;
    struct pollfd fds[CLUSTER_NODES_MAX + 1];
    pthread_mutex_lock(&far->lock);
    while (!far->stopping) {
        int n = 0;
        fds[n++] = (struct pollfd){.fd = far->wake_fd, .events = POLLIN};
        for (int i = 0; i < far->n_nodes; i++) {
            const struct far_link *link = &far->nodes[i].link;
            short events = (short)(POLLIN | (far_link_flushed(link) ? 0 : POLLOUT));
            fds[n++] = (struct pollfd){.fd = link->ended ? -1 : link->fd, .events = events};
        }
        pthread_mutex_unlock(&far->lock);
        (void)poll(fds, (nfds_t)n, -1);
        uint64_t wakes;
        if (fds[0].revents)
            (void)!read(far->wake_fd, &wakes, sizeof wakes);
        pthread_mutex_lock(&far->lock);
        for (int i = 0; i < far->n_nodes; i++)
            if (fds[i + 1].revents)
                hear_node(far, &far->nodes[i]);
    }
    pthread_mutex_unlock(&far->lock);
    return NULL;
}

// ---- opening and closing

static void free_far_nodes(struct far_nodes *far)
{
    for (int i = 0; i < far->n_nodes; i++) {
        far_link_fini(&far->nodes[i].link);
        free(far->nodes[i].ranks);
    }
    if (far->wake_fd >= 0)
        close(far->wake_fd);
    pthread_mutex_destroy(&far->lock);
    for (int i = 0; i < STEPS_UNDER_WAY_MAX; i++)
        free(far->steps[i].logit_full);
    free(far);
}

static enum status reserve_nodes(struct far_nodes *far, const struct far_node *nodes)
{
    far->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (far->wake_fd < 0)
        return fail_errno("create", "an event for the other nodes");
    for (int i = 0; i < board_slots(&far->shape); i++)
        TRY(memory_new((size_t)far->shape.limits.logit_rows_max, 1, "the other nodes",
                       &far->steps[i].logit_full));
    for (int i = 0; i < far->n_nodes; i++)
        TRY(memory_new((size_t)nodes[i].n_local, sizeof *far->nodes[i].ranks, "the other nodes",
                       &far->nodes[i].ranks));
    return quiet_thread_start(&far->thread, listen_to_nodes, far, "listens to the other nodes");
}

enum status far_nodes_new(const struct far_node *nodes, int n_nodes,
                          const struct board_shape *shape, double deadline_seconds, bool crowded,
                          struct far_nodes **out)
{
    struct far_nodes *far;
    assert(n_nodes > 0 && n_nodes < CLUSTER_NODES_MAX);
    size_t bytes = sizeof *far + (size_t)n_nodes * sizeof *far->nodes;
    enum status status = memory_new(1, bytes, "the other nodes", &far);
    if (status != OK) {
        for (int i = 0; i < n_nodes; i++)
            close(nodes[i].fd);
        return status;
    }
    pthread_mutex_init(&far->lock, NULL);
    far->shape = *shape;
    far->deadline_seconds = deadline_seconds;
    far->crowded = crowded;
    far->n_nodes = n_nodes;
    for (int i = 0; i < n_nodes; i++) {
        far->nodes[i].is = nodes[i];
        far_link_init(&far->nodes[i].link, nodes[i].fd, far_payload_max(shape));
    }
    status = reserve_nodes(far, nodes);
    if (status != OK)
        free_far_nodes(far);
    else
        *out = far;
    return status;
}

static void wake_listener(struct far_nodes *far)
{
    uint64_t one = 1;
    (void)!write(far->wake_fd, &one, sizeof one);
}

// A node that did not hear that it is free would look for us; and whoever started it is to find its
// ranks gone when we are.
static void await_goodbye(struct far_nodes *far)
{
    enum { LOOKS = 500, LOOK_NS = 10000000 };
    const struct timespec pause = {.tv_nsec = LOOK_NS};
    for (int i = 0; i < LOOKS; i++) {
        bool left = true;
        pthread_mutex_lock(&far->lock);
        for (int n = 0; n < far->n_nodes; n++)
            left &= far->nodes[n].link.ended;
        pthread_mutex_unlock(&far->lock);
        if (left)
            return;
        (void)nanosleep(&pause, NULL);
    }
}

void far_nodes_free(struct far_nodes *far)
{
    if (!far)
        return;
    if (far->quitting)
        await_goodbye(far);
    pthread_mutex_lock(&far->lock);
    far->stopping = true;
    far->board = NULL;
    pthread_mutex_unlock(&far->lock);
    wake_listener(far);
    pthread_join(far->thread, NULL);
    free_far_nodes(far);
}

// ---- what nodes are told

// What does not go now the thread sends.
static void send_frames(struct far_nodes *far, struct node *node, enum status status)
{
    far_link_wrote(&node->link, status);
    far_link_flush(&node->link);
    if (!far_link_flushed(&node->link))
        wake_listener(far);
}

static void tell_node(struct far_nodes *far, struct node *node, enum far_type type,
                      const void *payload, size_t bytes)
{
    send_frames(far, node, far_write(&node->link.out, type, payload, bytes));
}

void far_nodes_start(struct far_nodes *far, const struct board_options *options,
                     struct board *board)
{
    pthread_mutex_lock(&far->lock);
    far->options = *options;
    far->board = board;
    far->posted = 0;
    far->broken = false;
    struct far_start start = {.shape = far->shape,
                              .options = *options,
                              .crowded = far->crowded,
                              .deadline_seconds = far->deadline_seconds};
    for (int i = 0; i < far->n_nodes; i++) {
        struct node *node = &far->nodes[i];
        node->ready = node->gone = node->told_end = false;
        node->done = 0;
        memset(node->ranks, 0, (size_t)node->is.n_local * sizeof *node->ranks);
        start.best_begin = node->is.best_begin;
        start.best_end = node->is.best_end;
        start.column_begin = node->is.column_begin;
        start.column_end = node->is.column_end;
        start.capture_begin = node->is.capture_begin;
        start.capture_end = node->is.capture_end;
        tell_node(far, node, FAR_START, &start, sizeof start);
        if (node->link.ended)
            lose_node(far, node);
    }
    pthread_mutex_unlock(&far->lock);
}

void far_nodes_detach(struct far_nodes *far)
{
    pthread_mutex_lock(&far->lock);
    far->board = NULL;
    pthread_mutex_unlock(&far->lock);
}

void far_nodes_post(struct far_nodes *far, int64_t number, const struct step *step)
{
    pthread_mutex_lock(&far->lock);
    struct posted_step *posted = &far->steps[board_slot(far->board, (uint64_t)number)];
    far->posted = number;
    posted->is_canary = step == NULL;
    posted->n_logits = step ? step->n_logits : 0;
    posted->n_captured = far_captured_rows(&far->shape, step);
    if (posted->n_logits)
        memcpy(posted->logit_full, step->logit_full, (size_t)posted->n_logits);
    for (int i = 0; i < far->n_nodes; i++) {
        struct node *node = &far->nodes[i];
        send_frames(far, node,
                    far_write_step(&node->link.out, far->options.generation, number, step,
                                   &far->shape.limits));
    }
    pthread_mutex_unlock(&far->lock);
}

static void say_to_all(struct far_nodes *far, enum far_type type, const void *payload, size_t bytes)
{
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes; i++)
        tell_node(far, &far->nodes[i], type, payload, bytes);
    pthread_mutex_unlock(&far->lock);
}

void far_nodes_want_pages(struct far_nodes *far, int64_t n)
{
    say_to_all(far, FAR_PAGES, &n, sizeof n);
}

void far_nodes_quit(struct far_nodes *far, bool more)
{
    int32_t word = more;
    say_to_all(far, FAR_QUIT, &word, sizeof word);
    far->quitting = true; // read by the same thread alone
}

void far_nodes_end(struct far_nodes *far, const char *sentence)
{
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes; i++) {
        struct node *node = &far->nodes[i];
        if (!node->told_end)
            tell_node(far, node, FAR_END, sentence, strlen(sentence));
        node->told_end = true;
    }
    pthread_mutex_unlock(&far->lock);
}

// ---- what the engine asks

void far_nodes_lose(struct far_nodes *far, int node, const char *sentence)
{
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes; i++) {
        if (far->nodes[i].is.node != node || far->nodes[i].link.ended)
            continue;
        far_link_end(&far->nodes[i].link, "nothing is heard of it");
        far->nodes[i].gone = true;
        break_far(far, 1, sentence);
    }
    pthread_mutex_unlock(&far->lock);
}

enum status far_nodes_check(struct far_nodes *far)
{
    char sentence[STATUS_MESSAGE_MAX] = "";
    pthread_mutex_lock(&far->lock);
    if (far->broken)
        memcpy(sentence, far->sentence, sizeof sentence);
    pthread_mutex_unlock(&far->lock);
    return *sentence ? fail(ERR_GROUP, "%s", sentence) : OK;
}

int far_nodes_exit_status(struct far_nodes *far)
{
    pthread_mutex_lock(&far->lock);
    int status = far->broken ? far->exit_status : 0;
    pthread_mutex_unlock(&far->lock);
    return status;
}

bool far_nodes_gone(struct far_nodes *far)
{
    bool gone = true;
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes; i++)
        gone &= far->nodes[i].gone || far->nodes[i].link.ended;
    pthread_mutex_unlock(&far->lock);
    return gone;
}

bool far_nodes_lost(struct far_nodes *far)
{
    bool lost = false;
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes; i++)
        lost |= far->nodes[i].link.ended;
    pthread_mutex_unlock(&far->lock);
    return lost;
}

bool far_nodes_report(struct far_nodes *far, int rank, pid_t *pid, struct flight_report *out)
{
    bool found = false;
    pthread_mutex_lock(&far->lock);
    for (int i = 0; i < far->n_nodes && !found; i++) {
        const struct node *node = &far->nodes[i];
        int local = rank - node->is.first_rank;
        found = local >= 0 && local < node->is.n_local;
        if (found && pid)
            *pid = node->ranks[local].pid;
        if (found && out)
            *out = node->ranks[local].flight;
    }
    pthread_mutex_unlock(&far->lock);
    return found;
}
