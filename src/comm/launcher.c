#include "comm/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "comm/descriptor_message.h"
#include "comm/process_handle.h"
#include "comm/reduction_tree.h"

enum {
    LAUNCHER_FD = 3,
    DESCRIPTORS = MESSAGE_DESCRIPTORS_MAX,
    ARGUMENTS_MAX = 15,
    PATIENCE_MS = 5000
};

struct launch_message {
    int32_t rank, n_ranks;
    int32_t world_size, first_rank, n_nodes, node; // as struct group_options
    int32_t given[DESCRIPTORS]; // as struct rank_fds: 1: a descriptor comes, 0: none
};
struct launch_answer {
    int32_t pid, error; // error: errno, or 0
};

// ---- the owner's side ----

struct launcher {
    struct process_handle process;
    int socket;
};

static int set_launcher_files(posix_spawn_file_actions_t *actions, const void *context)
{
    const int *socket = context;
    int error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, *socket, LAUNCHER_FD);
    return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, LAUNCHER_FD + 1);
}

// Ours, and more; heap memory, which points to both.
static enum status join_environments(const char *const *more, const char ***out)
{
    size_t n = 0, n_more = 0;
    while (environ[n])
        n++;
    while (more && more[n_more])
        n_more++;
    TRY(memory_new(n + n_more + 1, sizeof **out, "an environment", out));
    memcpy(*out, environ, n * sizeof **out);
    for (size_t i = 0; i < n_more; i++)
        (*out)[n + i] = more[i];
    return OK;
}

static enum status start_process(struct launcher *launcher, const char *colrow, const char *program,
                                 const char *const *arguments, const char *const *more)
{
    enum { OWN = 3 };
    const char *argv[OWN + ARGUMENTS_MAX + 1] = {"colrow", "launcher", program};
    for (int i = 0; i < ARGUMENTS_MAX && arguments[i]; i++)
        argv[OWN + i] = arguments[i];
    int ends[2];
    pid_t pid = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends))
        return fail_errno("create", "the socket of the process that starts ranks");
    launcher->socket = ends[0];
    TRY(spawn_raise_fd(&ends[1])); // above LAUNCHER_FD, so that it is copied there
    const char **environment;
    enum status status = join_environments(more, &environment);
    int error = status != OK
                    ? 0
                    : spawn_process(colrow, argv, environment, set_launcher_files, &ends[1], &pid);
    close(ends[1]);
    TRY(status);
    free(environment);
    if (error)
        return fail(error == ENOMEM || error == EAGAIN ? ERR_MEMORY : ERR_INPUT,
                    "cannot start the process that starts ranks: %s: %s", colrow, strerror(error));
    launcher->process = process_handle_open(pid);
    return OK;
}

static void drop_socket(struct launcher *launcher)
{
    if (launcher->socket >= 0)
        close(launcher->socket);
    launcher->socket = -1;
}

enum status launcher_start(const char *colrow, const char *program, const char *const *arguments,
                           const char *const *more, struct launcher **out)
{
    struct launcher *launcher;
    TRY(memory_new(1, sizeof *launcher, "a launcher", &launcher));
    launcher->process = (struct process_handle){0, -1};
    launcher->socket = -1;
    enum status status = start_process(launcher, colrow, program, arguments, more);
    if (status != OK)
        launcher_stop(launcher);
    else
        *out = launcher;
    return status;
}

void launcher_stop(struct launcher *launcher)
{
    if (!launcher)
        return;
    drop_socket(launcher);
    if (launcher->process.pid) {
        process_kill(&launcher->process, SIGKILL); // it holds nothing that could be lost
        process_collect(&launcher->process);
    }
    free(launcher);
}

static bool await_launch(const struct launcher *launcher, struct launch_answer *answer)
{
    struct pollfd ready = {.fd = launcher->socket, .events = POLLIN};
    int n;
    do
        n = poll(&ready, 1, PATIENCE_MS);
    while (n < 0 && errno == EINTR);
    return n > 0 &&
           recv(launcher->socket, answer, sizeof *answer, MSG_DONTWAIT) == (ssize_t)sizeof *answer;
}

enum status launcher_spawn(struct launcher *launcher, const struct group_options *options, int rank,
                           const struct rank_fds *fds, pid_t *out)
{
    const int all[DESCRIPTORS] = {fds->segment, fds->life, fds->bell, fds->keeper};
    struct launch_message message = {.rank = rank,
                                     .n_ranks = options->n_ranks,
                                     .world_size = options->world_size,
                                     .first_rank = options->first_rank,
                                     .n_nodes = options->n_nodes,
                                     .node = options->node};
    struct launch_answer answer = {0, 0};
    int given[DESCRIPTORS];
    size_t n = 0;
    for (int i = 0; i < DESCRIPTORS; i++) {
        message.given[i] = all[i] >= 0;
        if (all[i] >= 0)
            given[n++] = all[i];
    }
    if (!descriptor_message_send(launcher->socket, &message, sizeof message, given, n) ||
        !await_launch(launcher, &answer)) {
        drop_socket(launcher); // an answer that came late would be taken for the next one's
        return fail(ERR_GROUP,
                    "cannot start rank %d: the process that starts ranks (pid %d) is gone, and "
                    "this one may start none",
                    options->first_rank + rank, (int)launcher->process.pid);
    }
    if (answer.error)
        return fail(answer.error == ENOMEM || answer.error == EAGAIN ? ERR_MEMORY : ERR_INPUT,
                    "cannot start rank %d: %s: %s", options->first_rank + rank, options->program,
                    strerror(answer.error));
    *out = answer.pid;
    return OK;
}

// ---- the process ----

// Descriptors to where `fds` wants them; false: not what an owner sends.
static bool sort_descriptors(const struct launch_message *message, const int *given, size_t n,
                             struct rank_fds *fds)
{
    int *const all[DESCRIPTORS] = {&fds->segment, &fds->life, &fds->bell, &fds->keeper};
    size_t next = 0;
    bool good = true;
    for (int i = 0; i < DESCRIPTORS; i++) {
        if (!message->given[i])
            continue;
        if (next == n)
            return false;
        *all[i] = given[next++];
        good = spawn_raise_fd(all[i]) == OK && good;
    }
    return good && next == n;
}

// False: the owner is gone.
static bool hear_request(struct launch_message *message, struct rank_fds *fds)
{
    int given[MESSAGE_DESCRIPTORS_MAX];
    size_t n = 0;
    return descriptor_message_receive(LAUNCHER_FD, message, sizeof *message, given, &n) &&
           message->n_ranks >= 1 && message->n_ranks <= COMM_RANKS_MAX && message->rank >= 0 &&
           message->rank < message->n_ranks && sort_descriptors(message, given, n, fds);
}

int launcher_main(int argc, char **argv)
{
    enum { OWN = 2 };
    const char *arguments[ARGUMENTS_MAX + 1] = {NULL};
    struct stat file;
    if (argc <= OWN || argc > OWN + ARGUMENTS_MAX || fstat(LAUNCHER_FD, &file) ||
        !S_ISSOCK(file.st_mode))
        return EXIT_FAILURE; // not started by an owner
    for (int i = OWN; i < argc; i++)
        arguments[i - OWN] = argv[i];
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "colrow launcher");
    (void)fcntl(LAUNCHER_FD, F_SETFD, FD_CLOEXEC);
    for (;;) {
        struct launch_message message;
        struct rank_fds fds = {-1, -1, -1, -1};
        if (!hear_request(&message, &fds))
            return EXIT_SUCCESS;
        const struct group_options options = {
            .program = argv[1],
            .arguments = arguments,
            .n_ranks = message.n_ranks,
            .world_size = message.world_size,
            .first_rank = message.first_rank,
            .n_nodes = message.n_nodes,
            .node = message.node,
            .as_siblings = true,
        };
        pid_t pid = 0;
        struct launch_answer answer = {0, 0};
        errno = 0;
        if (spawn_rank(&options, message.rank, &fds, &pid) != OK)
            answer.error = errno ? errno : ENOMEM;
        answer.pid = (int32_t)pid;
        rank_fds_close(&fds);
        while (send(LAUNCHER_FD, &answer, sizeof answer, MSG_NOSIGNAL) < 0 && errno == EINTR)
            ;
    }
}
