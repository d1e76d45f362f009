#include "comm/group_spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/memory.h"
#include "comm/keeper.h"
#include "comm/launcher.h"
#include "comm/reduction_tree.h"
#include "comm/segment.h"

enum { EXEC_FAILED = 127 }; // what shells say

void rank_fds_close(struct rank_fds *fds)
{
    int *const all[] = {&fds->segment, &fds->life, &fds->bell, &fds->keeper};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

enum status spawn_copy_fd(int fd, int *out)
{
    *out = fcntl(fd, F_DUPFD_CLOEXEC, RANK_FDS_END);
    return *out >= 0 ? OK : fail_errno("duplicate", "a file descriptor of the group");
}

enum status spawn_raise_fd(int *fd)
{
    int low = *fd;
    enum status status = spawn_copy_fd(low, fd);
    close(low);
    return status;
}

// The child's environment: later entries replace earlier ones of the same name.
struct variables {
    struct arena arena;
    const char **entries; // NULL-terminated
    size_t count, capacity;
};

static size_t name_length(const char *entry)
{
    return strcspn(entry, "=");
}

static enum status set_entry(struct variables *variables, const char *entry)
{
    size_t length = name_length(entry);
    for (size_t i = 0; i < variables->count; i++)
        if (strncmp(variables->entries[i], entry, length) == 0 &&
            variables->entries[i][length] == '=') {
            variables->entries[i] = entry;
            return OK;
        }
    TRY(memory_grow(&variables->entries, &variables->capacity, variables->count + 2,
                    sizeof *variables->entries, "the environment of a rank"));
    variables->entries[variables->count++] = entry;
    variables->entries[variables->count] = NULL;
    return OK;
}

static enum status set_number(struct variables *variables, const char *name, int number)
{
    struct bytes text;
    char *entry;
    bytes_init(&text);
    enum status status = bytes_format(&text, "%s=%d", name, number);
    if (status == OK)
        status = arena_text(&variables->arena, text.data, text.length, &entry);
    bytes_fini(&text);
    return status == OK ? set_entry(variables, entry) : status;
}

static enum status fill_environment(struct variables *variables,
                                    const struct group_options *options, int rank, bool kept)
{
    // Only for programs that look for them: nobody listens there.
    TRY(set_entry(variables, "MASTER_ADDR=127.0.0.1"));
    TRY(set_entry(variables, "MASTER_PORT=29500"));
    for (char **entry = environ; *entry; entry++)
        TRY(set_entry(variables, *entry));
    for (const char *const *entry = options->environment; entry && *entry; entry++)
        TRY(set_entry(variables, *entry));
    struct world_part part;
    TRY(group_part(options, &part));
    TRY(set_number(variables, "RANK", part.first_rank + rank));
    TRY(set_number(variables, "LOCAL_RANK", rank));
    TRY(set_number(variables, "WORLD_SIZE", part.world_size));
    TRY(set_number(variables, "LOCAL_WORLD_SIZE", part.n_ranks));
    if (kept)
        TRY(set_number(variables, KEEPER_FD_VARIABLE, RANK_KEEPER_FD));
    TRY(set_number(variables, SEGMENT_FD_VARIABLE, RANK_SEGMENT_FD));
    return set_number(variables, LIFE_FD_VARIABLE, RANK_LIFE_FD);
}

// 0 or an errno value, as posix_spawn's functions return them.
static int set_spawn_attributes(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    // The owner's ignored and blocked signals are its own. A process group per rank: Ctrl-C reaches
    // the owner, which ends the ranks in its own time.
    int error = posix_spawnattr_setflags(
        attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    if (!error)
        error = posix_spawnattr_setsigmask(attributes, &none);
    if (!error)
        error = posix_spawnattr_setsigdefault(attributes, &all);
    return error ? error : posix_spawnattr_setpgroup(attributes, 0);
}

static int first_closed(const struct rank_fds *fds)
{
    return fds->bell < 0 ? RANK_BELL_FD : fds->keeper < 0 ? RANK_KEEPER_FD : RANK_FDS_END;
}

struct rank_files {
    bool keep_stdin;
    const struct rank_fds *fds;
};

static int set_rank_files(posix_spawn_file_actions_t *actions, const void *context)
{
    const struct rank_files *files = context;
    const struct rank_fds *fds = files->fds;
    int error = 0;
    if (!files->keep_stdin)
        error = posix_spawn_file_actions_addopen(actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, fds->segment, RANK_SEGMENT_FD);
    if (!error)
        error = posix_spawn_file_actions_adddup2(actions, fds->life, RANK_LIFE_FD);
    if (!error && fds->bell >= 0)
        error = posix_spawn_file_actions_adddup2(actions, fds->bell, RANK_BELL_FD);
    if (!error && fds->keeper >= 0)
        error = posix_spawn_file_actions_adddup2(actions, fds->keeper, RANK_KEEPER_FD);
    return error ? error : posix_spawn_file_actions_addclosefrom_np(actions, first_closed(fds));
}

int spawn_process(const char *program, const char *const *arguments, const char **environment,
                  spawn_files files, const void *context, pid_t *out)
{
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_t actions;
    int error = posix_spawnattr_init(&attributes);
    if (error)
        return error;
    error = posix_spawn_file_actions_init(&actions);
    if (error) {
        posix_spawnattr_destroy(&attributes);
        return error;
    }
    error = set_spawn_attributes(&attributes);
    if (!error)
        error = files(&actions, context);
    if (!error) {
        // posix_spawn() does not write to the strings; its type is older than const.
        char *const *argv, *const *variables;
        memcpy(&argv, &arguments, sizeof argv);
        memcpy(&variables, &environment, sizeof variables);
        error = posix_spawnp(out, program, &actions, &attributes, argv, variables);
    }
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    return error;
}

// ---- as our parent's child, which posix_spawn() cannot do ----

static void put_fd(int fd, int where)
{
    if (fd >= 0 && dup2(fd, where) < 0)
        _exit(EXEC_FAILED);
}

static _Noreturn void become_sibling(const struct group_options *options, const char **environment,
                                     const struct rank_fds *fds)
{
    char *const *arguments, *const *variables;
    memcpy(&arguments, &options->arguments, sizeof arguments);
    memcpy(&variables, &environment, sizeof variables);
    setpgid(0, 0);
    put_fd(fds->segment, RANK_SEGMENT_FD);
    put_fd(fds->life, RANK_LIFE_FD);
    put_fd(fds->bell, RANK_BELL_FD);
    put_fd(fds->keeper, RANK_KEEPER_FD);
    if (close_range((unsigned)first_closed(fds), ~0u, 0))
        _exit(EXEC_FAILED);
    execvpe(options->program, arguments, variables);
    _exit(EXEC_FAILED);
}

// Of a process with one thread and no handlers of its own, whose standard input is /dev/null.
static int spawn_sibling(const struct group_options *options, const char **environment,
                         const struct rank_fds *fds, pid_t *out)
{
    long pid = syscall(SYS_clone, (long)CLONE_PARENT | SIGCHLD, 0L, 0L, 0L, 0L);
    if (pid == 0)
        become_sibling(options, environment, fds);
    *out = (pid_t)pid;
    return pid > 0 ? 0 : errno;
}

enum status group_part(const struct group_options *options, struct world_part *out)
{
    int n = options->n_ranks;
    *out = (struct world_part){n, n, 0, 1, 0};
    if (n < 1 || n > COMM_RANKS_MAX)
        return fail(ERR_INPUT, "a group has 1 to %d ranks, not %d", COMM_RANKS_MAX, n);
    if (!options->world_size)
        return OK;
    *out = (struct world_part){n, options->world_size, options->first_rank, options->n_nodes,
                               options->node};
    if (out->world_size < n || out->world_size > COMM_RANKS_MAX || out->first_rank < 0 ||
        out->first_rank > out->world_size - n || out->n_nodes < 1 || out->node < 0 ||
        out->node >= out->n_nodes)
        return fail(ERR_INPUT,
                    "ranks %d to %d on node %d of %d are no part of a world of %d; expected at "
                    "most %d ranks",
                    out->first_rank, out->first_rank + n - 1, out->node, out->n_nodes,
                    out->world_size, COMM_RANKS_MAX);
    return OK;
}

enum status spawn_rank(const struct group_options *options, int rank, const struct rank_fds *fds,
                       pid_t *out)
{
    struct variables variables = {0};
    if (options->launcher)
        return launcher_spawn(options->launcher, options, rank, fds, out);
    arena_init(&variables.arena);
    enum status status = fill_environment(&variables, options, rank, fds->keeper >= 0);
    if (status == OK) {
        const struct rank_files files = {options->keep_stdin, fds};
        int error = options->as_siblings
                        ? spawn_sibling(options, variables.entries, fds, out)
                        : spawn_process(options->program, options->arguments, variables.entries,
                                        set_rank_files, &files, out);
        if (error)
            status = fail(error == ENOMEM || error == EAGAIN ? ERR_MEMORY : ERR_INPUT,
                          "cannot start rank %d: %s: %s", options->first_rank + rank,
                          options->program, strerror(error));
    }
    free(variables.entries);
    arena_fini(&variables.arena);
    return status;
}
