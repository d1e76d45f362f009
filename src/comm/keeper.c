#include "comm/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "comm/descriptor_message.h"
#include "comm/environment_number.h"
#include "comm/flight_record.h"
#include "comm/group_spawn.h"
#include "comm/rank_watcher.h"
#include "comm/reduction_tree.h"
#include "comm/segment_join.h"

// Segment, life and bell, which lie side by side.
enum { GENERATION_FDS = RANK_BELL_FD - RANK_SEGMENT_FD + 1 };

struct keeper {
    struct segment segment; // of the first generation, while loading
    struct rank_watcher *watcher;
    int rank, size; // in the world
    int local_rank;
    int socket;
    int signals_fd; // SIGCHLD; -1 while loading
    sigset_t mask;  // before it was blocked
    pid_t child;    // 0: none; it stays uncollected until the next, so that its number is its own
    bool child_left;
    uint64_t generation;
    const _Atomic bool *spoilt; // keeper_end_when(); NULL: never
};

static struct rank_record *own_record(const struct keeper *keeper)
{
    return &keeper->segment.ranks[keeper->local_rank];
}

// The watcher closes what it gets, and the first rank needs it, too.
static enum status watch_while_loading(struct keeper *keeper)
{
    int life = fcntl(RANK_LIFE_FD, F_DUPFD_CLOEXEC, RANK_FDS_END);
    if (life < 0)
        return fail_errno("duplicate", "a file descriptor of the group");
    enum status status =
        rank_watcher_start(&keeper->segment, keeper->local_rank, life, &keeper->watcher);
    if (status != OK)
        close(life);
    return status;
}

enum status keeper_open(struct keeper **out)
{
    struct keeper *keeper;
    TRY(memory_new(1, sizeof *keeper, "a keeper", &keeper));
    keeper->signals_fd = -1;
    enum status status;
    if (!getenv(KEEPER_FD_VARIABLE))
        TRY_DONE(fail(ERR_INPUT, "`colrow rank` is what colrow starts by itself; use `colrow "
                                 "generate`"));
    TRY_DONE(environment_number(KEEPER_FD_VARIABLE, 0, 1 << 20, &keeper->socket));
    unsetenv(KEEPER_FD_VARIABLE);
    TRY_DONE(segment_join(RANK_SEGMENT_FD, &keeper->segment, &keeper->local_rank));
    keeper->size = keeper->segment.world_size;
    keeper->rank = keeper->segment.first_rank + keeper->local_rank;
    // relaxed: peers look until they find it
    atomic_store_explicit(&own_record(keeper)->member_pid, (int32_t)getpid(), memory_order_relaxed);
    TRY_DONE(watch_while_loading(keeper));
    *out = keeper;
done:
    if (status != OK)
        keeper_close(keeper);
    return status;
}

int keeper_rank(const struct keeper *keeper)
{
    return keeper->rank;
}

int keeper_group_size(const struct keeper *keeper)
{
    return keeper->size;
}

int keeper_local_rank(const struct keeper *keeper)
{
    return keeper->local_rank;
}

int keeper_local_size(const struct keeper *keeper)
{
    return keeper->segment.n_ranks;
}

void *keeper_board(const struct keeper *keeper, size_t *bytes)
{
    *bytes = keeper->segment.header->board_bytes;
    return segment_board(&keeper->segment);
}

void keeper_mark(struct keeper *keeper, const char *what)
{
    flight_mark(&own_record(keeper)->flight, -1, -1, what);
}

void keeper_end_when(struct keeper *keeper, const _Atomic bool *spoilt)
{
    keeper->spoilt = spoilt;
}

void keeper_abort(struct keeper *keeper, const char *sentence)
{
    verdict_give(&keeper->segment, keeper->rank, keeper->rank, sentence);
}

static void stop_loading(struct keeper *keeper)
{
    rank_watcher_stop(keeper->watcher);
    keeper->watcher = NULL;
    segment_unmap(&keeper->segment);
}

void keeper_close(struct keeper *keeper)
{
    if (!keeper)
        return;
    stop_loading(keeper);
    if (keeper->signals_fd >= 0)
        close(keeper->signals_fd);
    free(keeper);
}

// What cannot be said is said by the end of the socket.
static void tell_owner(const struct keeper *keeper, const struct keeper_message *message)
{
    while (send(keeper->socket, message, sizeof *message, MSG_NOSIGNAL) < 0 && errno == EINTR)
        ;
}

// ---- one generation ----

static void close_generation(void)
{
    for (int fd = RANK_SEGMENT_FD; fd <= RANK_BELL_FD; fd++)
        close(fd);
}

static void collect_child(struct keeper *keeper)
{
    siginfo_t info;
    while (keeper->child && waitid(P_PID, (id_t)keeper->child, &info, WEXITED) && errno == EINTR)
        ;
    keeper->child = 0;
}

// The system ends whoever takes most when memory is short: that be the rank, which can be replaced
// at once.
static void offer_to_the_system(void)
{
    enum { MORE = 200, MOST = 1000 };
    char text[32] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, sizeof text - 1);
    long now = n > 0 ? strtol(text, NULL, 10) : 0;
    long then = now + MORE < MOST ? now + MORE : MOST;
    int length = snprintf(text, sizeof text, "%ld", then);
    n = pwrite(fd, text, (size_t)length, 0);
    (void)n;
    close(fd);
}

static void go_on_as_rank(struct keeper *keeper)
{
    char number[16];
    close(keeper->socket);
    close(keeper->signals_fd);
    sigprocmask(SIG_SETMASK, &keeper->mask, NULL);
    prctl(PR_SET_NAME, "colrow rank");
    offer_to_the_system();
    snprintf(number, sizeof number, "%d", RANK_SEGMENT_FD);
    setenv(SEGMENT_FD_VARIABLE, number, 1);
    snprintf(number, sizeof number, "%d", RANK_LIFE_FD);
    setenv(LIFE_FD_VARIABLE, number, 1);
    free(keeper);
}

// The descriptors of the generation lie where ranks have them. True in the new process.
static bool start_rank(struct keeper *keeper, uint64_t *generation)
{
    collect_child(keeper);
    *generation = ++keeper->generation;
    pid_t pid = fork();
    if (pid == 0) {
        go_on_as_rank(keeper);
        return true;
    }
    struct keeper_message message = {KEEPER_STARTED, (int32_t)pid, 0, 0};
    if (pid < 0)
        message = (struct keeper_message){KEEPER_LEFT, 0, 0, errno};
    keeper->child = pid > 0 ? pid : 0;
    keeper->child_left = false;
    close_generation();
    tell_owner(keeper, &message);
    return false;
}

static bool is_spoilt(const struct keeper *keeper)
{
    // relaxed: set before the rank left
    return keeper->child_left && keeper->spoilt &&
           atomic_load_explicit(keeper->spoilt, memory_order_relaxed);
}

static void follow_child(struct keeper *keeper)
{
    struct signalfd_siginfo gone;
    while (read(keeper->signals_fd, &gone, sizeof gone) > 0)
        ;
    while (keeper->child && !keeper->child_left) {
        siginfo_t info = {0};
        if (waitid(P_PID, (id_t)keeper->child, &info, WSTOPPED | WCONTINUED | WNOHANG) ||
            info.si_pid == 0) {
            if (waitid(P_PID, (id_t)keeper->child, &info, WEXITED | WNOHANG | WNOWAIT) ||
                info.si_pid == 0)
                return;
            keeper->child_left = true;
        }
        if (is_spoilt(keeper))
            return; // the owner sees that this process ends, and asks no more of it
        struct keeper_message message = {KEEPER_LEFT, (int32_t)keeper->child, info.si_code,
                                         info.si_status};
        if (info.si_code == CLD_STOPPED)
            message.event = KEEPER_STOPPED;
        else if (info.si_code == CLD_CONTINUED)
            message.event = KEEPER_CONTINUED;
        tell_owner(keeper, &message);
    }
}

// A rank sees by itself that its owner is gone, and may say so; one that is stopped does not.
static void end_child(struct keeper *keeper)
{
    enum { PATIENCE_MS = 400 };
    if (keeper->child && !keeper->child_left) {
        struct pollfd news = {.fd = keeper->signals_fd, .events = POLLIN};
        kill(keeper->child, SIGCONT);
        (void)poll(&news, 1, PATIENCE_MS);
        kill(keeper->child, SIGKILL);
    }
    collect_child(keeper);
}

// ---- the owner's word ----

// Puts the descriptors where ranks have them; those places are free.
static bool place_descriptors(int *fds)
{
    bool good = true;
    for (int i = 0; i < GENERATION_FDS; i++)
        good = spawn_raise_fd(&fds[i]) == OK && good;
    for (int i = 0; i < GENERATION_FDS; i++) {
        good = good && dup2(fds[i], RANK_SEGMENT_FD + i) >= 0;
        if (fds[i] >= 0)
            close(fds[i]);
    }
    return good;
}

// False: the owner is gone, or has lost its mind.
static bool hear_start(const struct keeper *keeper)
{
    struct keeper_message message;
    int fds[MESSAGE_DESCRIPTORS_MAX];
    size_t n = 0;
    return descriptor_message_receive(keeper->socket, &message, sizeof message, fds, &n) &&
           message.event == KEEPER_START && n == GENERATION_FDS &&
           (keeper->child == 0 || keeper->child_left) && place_descriptors(fds);
}

static enum status hear_children(struct keeper *keeper)
{
    sigset_t children;
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    sigprocmask(SIG_BLOCK, &children, &keeper->mask);
    signal(SIGCHLD, SIG_DFL);
    keeper->signals_fd = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
    return keeper->signals_fd >= 0 ? OK : fail_errno("watch", "the rank's process");
}

bool keeper_serve(struct keeper *keeper, uint64_t *generation)
{
    stop_loading(keeper);
    prctl(PR_SET_NAME, "colrow keeper");
    if (hear_children(keeper) != OK) {
        log_error("%s", status_message());
        return false;
    }
    tell_owner(keeper, &(struct keeper_message){.event = KEEPER_LOADED});
    bool owned = true;
    if (start_rank(keeper, generation))
        return true;
    while (owned) {
        struct pollfd fds[] = {{.fd = keeper->socket, .events = POLLIN},
                               {.fd = keeper->signals_fd, .events = POLLIN}};
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents)
            follow_child(keeper);
        owned = !is_spoilt(keeper);
        if (fds[0].revents && owned)
            owned = hear_start(keeper);
        if (fds[0].revents && owned && start_rank(keeper, generation))
            return true;
    }
    end_child(keeper);
    return false;
}
