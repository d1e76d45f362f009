#include "comm/local_meeting.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "comm/descriptor_message.h"
#include "comm/environment_number.h"
#include "comm/flight_record.h"
#include "comm/reduction_tree.h"

enum {
    JOIN_SECONDS = 600,
    HELLO_SECONDS = 5, // who says nothing for so long is no rank
    REMIND_SECONDS = 5,
    RETRY_MS = 20,
    PORT_DEFAULT = 29500,
    SENTENCE_BYTES = 256,
};
static const double collective_seconds = 600; // as `colrow launch --timeout`

static const char hello_magic[8] = "clwmeet";
struct meeting_hello {
    char magic[8];
    uint32_t version, size, rank;
};
struct meeting_answer {
    uint32_t welcome; // the memory comes in the next message
    char sentence[SENTENCE_BYTES];
};

enum status local_meeting_check(const struct cluster_place *place)
{
    if (place->rank < 0)
        return fail(ERR_INPUT, "%s has started %d ranks, but does not say which one this is",
                    place->by, place->size);
    if (place->size > COMM_RANKS_MAX)
        return fail(ERR_UNSUPPORTED, "%s has started %d ranks; a group has at most %d", place->by,
                    place->size, COMM_RANKS_MAX);
    if (place->n_nodes == 1 || place->local_size == place->size)
        return OK;
    char here[32] = "";
    if (place->local_size > 0)
        snprintf(here, sizeof here, " (%d on this one)", place->local_size);
    return fail(ERR_UNSUPPORTED,
                "%s has started %d ranks one by one on several nodes%s; there, start `colrow "
                "launch --nproc-per-node N -- PROGRAM` once a node, which starts its ranks itself",
                place->by, place->size, here);
}

// The launcher's process at the other end of MPICH's socket, which is the same for all its ranks.
static long hydra_pid(void)
{
    int fd;
    struct ucred other;
    socklen_t bytes = sizeof other;
    if (!getenv("PMI_FD") || environment_number("PMI_FD", 0, 1 << 20, &fd) != OK ||
        getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &other, &bytes))
        return 0;
    return (long)other.pid;
}

// What tells jobs apart that run on this machine at a time.
static void name_job(char *out, size_t room)
{
    static const char *const names[] = {"SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE",
                                        "TORCHELASTIC_RUN_ID"};
    size_t at = 0;
    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof names[0] && at < room; i++) {
        const char *value = getenv(names[i]);
        int n = snprintf(out + at, room - at, "-%.20s", value ? value : "");
        at += n > 0 ? (size_t)n : 0;
    }
}

// A name of Linux's own, which begins with a zero and is nowhere in the file system.
static socklen_t meeting_address(const struct cluster_place *place, struct sockaddr_un *out)
{
    char job[96];
    name_job(job, sizeof job);
    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    int n = snprintf(out->sun_path + 1, sizeof out->sun_path - 1, "colrow-%u-%d-%ld%s",
                     (unsigned)geteuid(), place->master_port ? place->master_port : PORT_DEFAULT,
                     hydra_pid(), job);
    size_t most = sizeof out->sun_path - 1, length = n > 0 && (size_t)n < most ? (size_t)n : most;
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

static void meeting_nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000L}, NULL);
}

struct meeting {
    const struct cluster_place *place;
    int listener;
    int guest[COMM_RANKS_MAX]; // socket of each rank; -1: not there
    int n_there;               // with rank 0
    double begun, reminded, wait_seconds;
};

static void list_missing(const struct meeting *m, char *out, size_t room)
{
    size_t at = 0;
    out[0] = '\0';
    for (int r = 1; r < m->place->size && at < room; r++) {
        if (m->guest[r] >= 0)
            continue;
        int n = snprintf(out + at, room - at, "%s%d", at ? ", " : "", r);
        at += n > 0 ? (size_t)n : 0;
    }
}

static enum status remind(struct meeting *m, const char *missing)
{
    double now = clock_seconds();
    if (now - m->begun > m->wait_seconds)
        return fail(ERR_GROUP,
                    "after %.0f s (COLROW_JOIN_TIMEOUT): rank %d of %d still waits for rank %s; "
                    "all ranks that %s starts have to call colrow_parallel_init()",
                    now - m->begun, m->place->rank, m->place->size, missing, m->place->by);
    if (now - m->reminded > REMIND_SECONDS) {
        log_info("rank %d waits for rank %s (%.0f s)", m->place->rank, missing, now - m->begun);
        m->reminded = now;
    }
    return OK;
}

// ---- rank 0 ----

static enum status listen_for_ranks(struct meeting *m)
{
    struct sockaddr_un address;
    socklen_t bytes = meeting_address(m->place, &address);
    m->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (m->listener < 0)
        return fail_errno("open", "a socket for the ranks to meet");
    if (bind(m->listener, (const struct sockaddr *)&address, bytes)) {
        if (errno != EADDRINUSE)
            return fail_errno("bind", "a socket for the ranks to meet");
        return fail(ERR_INPUT,
                    "another group meets at port %d of this machine; give each group a "
                    "MASTER_PORT of its own in the environment",
                    m->place->master_port ? m->place->master_port : PORT_DEFAULT);
    }
    return listen(m->listener, COMM_RANKS_MAX) ? fail_errno("listen at", "the ranks' socket") : OK;
}

// The process at the other end, if it is this user's; else 0.
static pid_t own_peer(int socket)
{
    struct ucred other;
    socklen_t bytes = sizeof other;
    bool known = getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &other, &bytes) == 0;
    return known && other.uid == geteuid() ? other.pid : 0;
}

static bool say_packet(int socket, const void *packet, size_t bytes)
{
    return send(socket, packet, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)bytes;
}

static bool hear_packet(int socket, void *packet, size_t bytes)
{
    ssize_t n;
    do
        n = recv(socket, packet, bytes, 0);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)bytes;
}

static void refuse_rank(int socket, const char *sentence)
{
    struct meeting_answer answer = {.welcome = 0};
    snprintf(answer.sentence, sizeof answer.sentence, "%s", sentence);
    (void)say_packet(socket, &answer, sizeof answer);
    close(socket);
}

static void admit_rank(struct meeting *m, int socket)
{
    const struct timeval patience = {.tv_sec = HELLO_SECONDS};
    struct meeting_hello hello;
    char why[SENTENCE_BYTES];
    setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (!own_peer(socket) || !hear_packet(socket, &hello, sizeof hello) ||
        memcmp(hello.magic, hello_magic, sizeof hello_magic) != 0) {
        close(socket);
    } else if (hello.version != SEGMENT_VERSION) {
        refuse_rank(socket, "rank 0 runs another version of colrow");
    } else if (hello.size != (uint32_t)m->place->size || hello.rank < 1 ||
               hello.rank >= hello.size || m->guest[hello.rank] >= 0) {
        snprintf(why, sizeof why,
                 "rank %u of %u is not one that rank 0 of %d waits for; do two groups meet at one "
                 "MASTER_PORT?",
                 hello.rank, hello.size, m->place->size);
        refuse_rank(socket, why);
    } else {
        m->guest[hello.rank] = socket;
        m->n_there++;
    }
}

static enum status gather_ranks(struct meeting *m)
{
    while (m->n_there < m->place->size) {
        char missing[SENTENCE_BYTES];
        struct pollfd ready = {.fd = m->listener, .events = POLLIN};
        if (poll(&ready, 1, 250) > 0) {
            int socket = accept4(m->listener, NULL, NULL, SOCK_CLOEXEC);
            if (socket >= 0)
                admit_rank(m, socket);
        }
        list_missing(m, missing, sizeof missing);
        TRY(remind(m, missing));
    }
    return OK;
}

// Who has gone meanwhile is missed by all.
static enum status hand_memory_over(struct meeting *m, struct segment *segment, int memory)
{
    const struct meeting_answer answer = {.welcome = 1};
    int gone = 0;
    // Known before they come, so that an end on the way is noticed. relaxed: handed over after it
    for (int r = 0; r < m->place->size; r++)
        atomic_store_explicit(&segment->ranks[r].pid,
                              (int32_t)(r ? own_peer(m->guest[r]) : getpid()),
                              memory_order_relaxed);
    for (int r = 1; r < m->place->size; r++)
        if (!say_packet(m->guest[r], &answer, sizeof answer) ||
            !descriptor_message_send(m->guest[r], "m", 1, &memory, 1))
            gone = r;
    if (!gone)
        return OK;
    char sentence[VERDICT_BYTES];
    snprintf(sentence, sizeof sentence, "rank %d is gone before the ranks have met", gone);
    verdict_give(segment, 0, gone, sentence);
    return fail(ERR_GROUP, "%s", sentence);
}

static enum status host_meeting(struct meeting *m, struct segment *out)
{
    const struct world_part part = {m->place->size, m->place->size, 0, 1, 0};
    enum status status;
    int memory = -1;
    TRY_DONE(listen_for_ranks(m));
    TRY_DONE(gather_ranks(m));
    TRY_DONE(segment_new(&part, 0, collective_seconds, out, &memory));
    status = hand_memory_over(m, out, memory);
    if (status != OK)
        segment_unmap(out);
done:
    for (int r = 1; r < m->place->size; r++)
        if (m->guest[r] >= 0)
            close(m->guest[r]);
    if (m->listener >= 0)
        close(m->listener);
    if (memory >= 0)
        close(memory);
    return status;
}

// ---- the others ----

static enum status connect_to_rank_0(struct meeting *m, int *out)
{
    struct sockaddr_un address;
    socklen_t bytes = meeting_address(m->place, &address);
    for (;;) {
        *out = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
        if (*out < 0)
            return fail_errno("open", "a socket for the ranks to meet");
        if (connect(*out, (const struct sockaddr *)&address, bytes) == 0)
            return OK;
        close(*out);
        TRY(remind(m, "0"));
        meeting_nap();
    }
}

static enum status visit_meeting(struct meeting *m, struct segment *out)
{
    struct meeting_hello hello = {.version = SEGMENT_VERSION,
                                  .size = (uint32_t)m->place->size,
                                  .rank = (uint32_t)m->place->rank};
    struct meeting_answer answer = {.welcome = 0};
    int fds[MESSAGE_DESCRIPTORS_MAX], socket;
    size_t n_fds = 0;
    char mark;
    memcpy(hello.magic, hello_magic, sizeof hello.magic);
    TRY(connect_to_rank_0(m, &socket));
    bool said = own_peer(socket) && say_packet(socket, &hello, sizeof hello) &&
                hear_packet(socket, &answer, sizeof answer) &&
                (!answer.welcome || descriptor_message_receive(socket, &mark, 1, fds, &n_fds));
    close(socket);
    answer.sentence[SENTENCE_BYTES - 1] = '\0';
    enum status status =
        !said ? fail(ERR_GROUP, "rank 0 of %d has left before all ranks were there", m->place->size)
        : answer.welcome && n_fds == 1 ? segment_map(fds[0], m->place->size, m->place->size, out)
                                       : fail(ERR_GROUP, "%s", answer.sentence);
    for (size_t i = 0; i < n_fds; i++)
        close(fds[i]);
    return status;
}

enum status local_meeting(const struct cluster_place *place, struct segment *out)
{
    int seconds = JOIN_SECONDS;
    struct meeting m = {.place = place, .listener = -1, .n_there = 1};
    if (getenv("COLROW_JOIN_TIMEOUT"))
        TRY(environment_number("COLROW_JOIN_TIMEOUT", 1, 1 << 20, &seconds));
    m.begun = m.reminded = clock_seconds();
    m.wait_seconds = seconds;
    for (int r = 0; r < COMM_RANKS_MAX; r++)
        m.guest[r] = -1;
    return place->rank == 0 ? host_meeting(&m, out) : visit_meeting(&m, out);
}
