#include "comm/group_keepers.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"

struct keepers {
    int n;
    struct keeper_handle keeper[];
};

enum status keepers_new(int n, struct keepers **out)
{
    struct keepers *keepers;
    TRY(memory_new(1, sizeof *keepers + (size_t)n * sizeof keepers->keeper[0], "keepers",
                   &keepers));
    keepers->n = n;
    for (int r = 0; r < n; r++)
        keepers->keeper[r] = (struct keeper_handle){{0, -1}, -1, false};
    *out = keepers;
    return OK;
}

struct keeper_handle *keepers_at(struct keepers *keepers, int rank)
{
    assert(rank >= 0 && rank < keepers->n);
    return &keepers->keeper[rank];
}

void keeper_hang_up(struct keeper_handle *keeper)
{
    if (keeper->socket >= 0)
        close(keeper->socket);
    keeper->socket = -1;
}

static bool is_gone(const struct keeper_handle *keeper)
{
    siginfo_t info = {0};
    if (waitid(P_PID, (id_t)keeper->process.pid, &info, WEXITED | WNOHANG | WNOWAIT))
        return true; // somebody has collected it
    return info.si_pid != 0;
}

// Of one that is gone, or is about to be.
static void collect_keeper(struct keeper_handle *keeper)
{
    siginfo_t info;
    while (waitid(P_PID, (id_t)keeper->process.pid, &info, WEXITED) && errno == EINTR)
        ;
    process_handle_close(&keeper->process);
    keeper->loaded = false;
}

void keepers_free(struct keepers *keepers)
{
    enum { PATIENCE_MS = 500 };
    if (!keepers)
        return;
    for (int r = 0; r < keepers->n; r++)
        keeper_hang_up(&keepers->keeper[r]);
    for (int r = 0; r < keepers->n; r++) {
        struct keeper_handle *keeper = &keepers->keeper[r];
        if (!keeper->process.pid)
            continue;
        // one that is stopped, or reads from a disk that does not answer, hears nothing
        struct pollfd gone = {.fd = keeper->process.fd, .events = POLLIN};
        if (!is_gone(keeper) && (keeper->process.fd < 0 || poll(&gone, 1, PATIENCE_MS) <= 0))
            process_kill(&keeper->process, SIGKILL);
        collect_keeper(keeper);
    }
    free(keepers);
}

static enum status spawn_keeper(struct keeper_handle *keeper, const struct group_options *options,
                                int rank, const struct rank_fds *fds)
{
    int ends[2];
    pid_t pid;
    struct rank_fds inherited = *fds;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return fail_errno("create", "the socket of a rank's keeper");
    inherited.keeper = ends[1];
    enum status status = spawn_raise_fd(&inherited.keeper);
    if (status == OK) {
        status = spawn_rank(options, rank, &inherited, &pid);
        close(inherited.keeper);
    }
    if (status != OK) {
        close(ends[0]);
        return status;
    }
    keeper->process = process_handle_open(pid);
    keeper->socket = ends[0];
    keeper->loaded = false;
    return OK;
}

static bool ask(const struct keeper_handle *keeper, const struct rank_fds *fds)
{
    const int given[3] = {fds->segment, fds->life, fds->bell};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof given)];
    } descriptors = {0};
    struct keeper_message message = {.event = KEEPER_START};
    struct iovec part = {&message, sizeof message};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &descriptors,
                            .msg_controllen = sizeof descriptors};
    struct cmsghdr *control = CMSG_FIRSTHDR(&header);
    control->cmsg_level = SOL_SOCKET;
    control->cmsg_type = SCM_RIGHTS;
    control->cmsg_len = CMSG_LEN(sizeof given);
    memcpy(CMSG_DATA(control), given, sizeof given);
    ssize_t n;
    do
        n = sendmsg(keeper->socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof message;
}

enum status keeper_start_rank(struct keeper_handle *keeper, const struct group_options *options,
                              int rank, const struct rank_fds *fds)
{
    assert(fds->bell >= 0);
    if (keeper->socket >= 0 && keeper->loaded && !is_gone(keeper) && ask(keeper, fds))
        return OK;
    keeper_hang_up(keeper);
    if (keeper->process.pid) {
        process_kill(&keeper->process, SIGKILL);
        collect_keeper(keeper);
    }
    return spawn_keeper(keeper, options, rank, fds);
}

bool keeper_hear(struct keeper_handle *keeper, struct keeper_message *message)
{
    if (keeper->socket < 0)
        return false;
    ssize_t n;
    do
        n = recv(keeper->socket, message, sizeof *message, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof *message) {
        keeper->loaded |= message->event == KEEPER_LOADED;
        return true;
    }
    return false;
}
