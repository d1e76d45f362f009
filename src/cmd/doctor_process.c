// What the limits of this process, which servers started from here inherit, leave to serving.
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/progress.h"
#include "cmd/doctor_findings.h"
#include "server/http.h"

// RLIM_INFINITY is the largest value there is.
static rlim_t limit_of(int resource, bool hard)
{
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    (void)getrlimit((__rlimit_resource_t)resource, &limit); // of these none is refused
    return hard ? limit.rlim_max : limit.rlim_cur;
}

// The server raises its own limit as far as it may.
static void look_at_files(struct findings *out)
{
    enum { LEAST_FILES = 192 };
    struct http_options options;
    http_options_init(&options);
    rlim_t files = limit_of(RLIMIT_NOFILE, true);
    uint64_t wanted = http_descriptors_wanted(&options);
    struct finding *f = files == RLIM_INFINITY ? finding_add(out, "open files", "any number")
                                               : finding_add(out, "open files", "up to %llu",
                                                             (unsigned long long)files);
    if (files >= wanted)
        return;
    char command[128];
    snprintf(command, sizeof command, "ulimit -n %llu   (as root; systemd: LimitNOFILE=)",
             (unsigned long long)wanted);
    if (files < LEAST_FILES)
        finding_blame(f, FINDING_FAULT, command,
                      "ranks, their pipes and files do not find enough descriptors");
    else
        finding_blame(f, FINDING_WARNING, command,
                      "`colrow serve` takes at most %d connections, not %d",
                      http_connections_within(files), options.connections_max);
}

// Memory that processes share is a file of its own kind, and keeps to the limit for files.
static void look_at_file_size(struct findings *out)
{
    const uint64_t shared = 64 << 20; // more than ranks of any usual model share
    rlim_t bytes = limit_of(RLIMIT_FSIZE, false);
    if (bytes == RLIM_INFINITY) {
        finding_add(out, "file size", "any");
        return;
    }
    struct finding *f = finding_add(out, "file size", "up to %s", show_bytes((double)bytes));
    if (bytes < shared)
        finding_blame(f, FINDING_FAULT, "ulimit -f unlimited   (systemd: LimitFSIZE=infinity)",
                      "the memory that ranks share counts as a file, and may not become as large "
                      "as it has to");
    else
        finding_blame(f, FINDING_WARNING, "ulimit -f unlimited   (systemd: LimitFSIZE=infinity)",
                      "files of models that are larger cannot be pulled, nor results written");
}

static void look_at_address_space(const struct doctor_subject *s, struct findings *out)
{
    rlim_t space = limit_of(RLIMIT_AS, false), data = limit_of(RLIMIT_DATA, false);
    rlim_t bytes = space < data ? space : data;
    if (bytes == RLIM_INFINITY) {
        finding_add(out, "address space", "any");
        return;
    }
    const char *command = space <= data ? "ulimit -v unlimited   (systemd: LimitAS=infinity)"
                                        : "ulimit -d unlimited   (systemd: LimitDATA=infinity)";
    struct finding *f =
        finding_add(out, "address space", "%s for each process", show_bytes((double)bytes));
    if (bytes < (rlim_t)1 << 30)
        finding_blame(f, FINDING_FAULT, command,
                      "a rank maps files, KV pages and libraries: 1 GB is the least");
    else if (bytes < s->memory.total)
        finding_blame(f, FINDING_WARNING, command,
                      "a rank's weights and KV pages have to fit into it, whatever is free");
}

// Nothing is locked, but by what drives InfiniBand.
static void look_at_locked_memory(const struct doctor_subject *s, struct findings *out)
{
    rlim_t bytes = limit_of(RLIMIT_MEMLOCK, false);
    bool any = bytes == RLIM_INFINITY;
    struct finding *f = finding_add(out, "locked memory", "%s%s", any ? "any" : "up to ",
                                    any ? "" : show_bytes((double)bytes));
    if (!any && s->host.infiniband)
        finding_blame(f, FINDING_WARNING, "ulimit -l unlimited   (systemd: LimitMEMLOCK=infinity)",
                      "there is InfiniBand, whose transports register, and so lock, what they "
                      "send; over TCP none is");
}

static void look_at_processes(const struct doctor_subject *s, struct findings *out)
{
    // Front-end, launcher, threads of libuv's pool; a rank has a keeper, a watcher, and threads.
    uint64_t needed = 16 + 4 * (uint64_t)s->topology.n_cores;
    rlim_t user = geteuid() == 0 ? RLIM_INFINITY : limit_of(RLIMIT_NPROC, false);
    uint64_t left = user < s->host.tasks_left ? user : s->host.tasks_left;
    if (left == UINT64_MAX) {
        finding_add(out, "processes", "any number");
        return;
    }
    struct finding *f =
        finding_add(out, "processes", "%llu more, with threads", (unsigned long long)left);
    bool by_user = user < s->host.tasks_left;
    if (left < needed)
        finding_blame(f, FINDING_FAULT,
                      by_user ? "ulimit -u unlimited   (systemd: LimitNPROC=infinity)"
                              : "echo max >/sys/fs/cgroup/GROUP/pids.max   (systemd: TasksMax=; "
                                "docker: --pids-limit)",
                      "ranks with a thread for each core, and what watches them, are some %llu",
                      (unsigned long long)needed);
}

// Memory without a name, so /dev/shm does not matter.
static void look_at_shared_memory(const struct doctor_subject *s, struct findings *out)
{
    int fd = memfd_create("colrow-doctor", MFD_CLOEXEC);
    bool works = fd >= 0;
    int error = errno;
    if (works)
        close(fd);
    struct finding *f = finding_add(
        out, "shared memory", "%s; /dev/shm: %s, not used", works ? "memfd works" : "no memfd",
        s->host.shm_bytes ? show_bytes((double)s->host.shm_bytes) : "none");
    if (!works)
        finding_blame(f, FINDING_FAULT,
                      error == EMFILE ? NULL : "docker run --security-opt seccomp=unconfined ...",
                      "memfd_create() fails: %s; ranks share memory through it", strerror(error));
}

void doctor_look_at_process(const struct doctor_subject *subject, struct findings *out)
{
    look_at_files(out);
    look_at_file_size(out);
    look_at_address_space(subject, out);
    look_at_locked_memory(subject, out);
    look_at_processes(subject, out);
    look_at_shared_memory(subject, out);
}
