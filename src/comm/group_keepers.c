#include "comm/group_keepers.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/memory.h"
#include "comm/descriptor_message.h"

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
        if (!process_is_gone(&keeper->process) &&
            (keeper->process.fd < 0 || poll(&gone, 1, PATIENCE_MS) <= 0))
            process_kill(&keeper->process, SIGKILL);
        process_collect(&keeper->process);
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
    const int given[] = {fds->segment, fds->life, fds->bell};
    const struct keeper_message message = {.event = KEEPER_START};
    return descriptor_message_send(keeper->socket, &message, sizeof message, given,
                                   sizeof given / sizeof given[0]);
}

enum status keeper_start_rank(struct keeper_handle *keeper, const struct group_options *options,
                              int rank, const struct rank_fds *fds)
{
    assert(fds->bell >= 0);
    if (keeper->socket >= 0 && keeper->loaded && !process_is_gone(&keeper->process) &&
        ask(keeper, fds))
        return OK;
    keeper_hang_up(keeper);
    if (keeper->process.pid) {
        process_kill(&keeper->process, SIGKILL);
        process_collect(&keeper->process);
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
