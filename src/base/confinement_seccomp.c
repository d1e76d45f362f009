// The filters. Two rules for what stands where:
//
// - What an attacker wants and we never do (programs, sockets, other processes' memory) kills the
//   process: going on after it would be going on under somebody else's hand.
// - In a rank, whose calls are few and known, all that is not allowed fails with EPERM: a C library
//   that tries something new finds what it finds on an old kernel, and goes on without it.
#include <errno.h>
#include <sched.h>
#include <seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/confinement.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

// Nobody's business once everything has started.
static const int never[] = {
    // programs
    SCMP_SYS(execve),
    SCMP_SYS(execveat),
    // other processes
    SCMP_SYS(ptrace),
    SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev),
    SCMP_SYS(process_madvise),
    SCMP_SYS(pidfd_getfd),
    SCMP_SYS(kcmp),
    // the system
    SCMP_SYS(mount),
    SCMP_SYS(umount2),
    SCMP_SYS(move_mount),
    SCMP_SYS(open_tree),
    SCMP_SYS(fsopen),
    SCMP_SYS(fsmount),
    SCMP_SYS(mount_setattr),
    SCMP_SYS(pivot_root),
    SCMP_SYS(chroot),
    SCMP_SYS(setns),
    SCMP_SYS(unshare),
    SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open),
    SCMP_SYS(userfaultfd),
    SCMP_SYS(open_by_handle_at),
    SCMP_SYS(init_module),
    SCMP_SYS(finit_module),
    SCMP_SYS(delete_module),
    SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load),
    SCMP_SYS(reboot),
    SCMP_SYS(swapon),
    SCMP_SYS(swapoff),
    SCMP_SYS(add_key),
    SCMP_SYS(request_key),
    SCMP_SYS(keyctl),
};

// Nobody listens or calls out any more: what there is has been opened, accepted or inherited.
static const int new_peers[] = {
    SCMP_SYS(connect),
    SCMP_SYS(bind),
    SCMP_SYS(listen),
};

static const int sockets[] = {
    SCMP_SYS(socket), SCMP_SYS(socketpair), SCMP_SYS(accept),   SCMP_SYS(accept4),
    SCMP_SYS(sendto), SCMP_SYS(sendmsg),    SCMP_SYS(sendmmsg),
};

static const int processes[] = {
    SCMP_SYS(fork),
    SCMP_SYS(vfork),
};

// A rank that computes, waits, and leaves.
static const int of_ranks[] = {
    // descriptors that it has
    SCMP_SYS(read),
    SCMP_SYS(write),
    SCMP_SYS(writev),
    SCMP_SYS(close),
    SCMP_SYS(poll),
    SCMP_SYS(ppoll),
    SCMP_SYS(pidfd_open), // to see when another rank is gone; it can be polled and no more
    SCMP_SYS(fstat),
    SCMP_SYS(lseek),
    // memory; what can be executed has a rule of its own
    SCMP_SYS(brk),
    SCMP_SYS(munmap),
    SCMP_SYS(mremap),
    SCMP_SYS(madvise),
    SCMP_SYS(get_mempolicy),
    // threads
    SCMP_SYS(futex),
    SCMP_SYS(futex_waitv),
    SCMP_SYS(sched_yield),
    SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity),
    SCMP_SYS(set_robust_list),
    SCMP_SYS(rseq),
    SCMP_SYS(membarrier),
    SCMP_SYS(getcpu),
    SCMP_SYS(gettid),
    SCMP_SYS(exit),
    SCMP_SYS(setpriority),
    // time
    SCMP_SYS(clock_gettime),
    SCMP_SYS(clock_getres),
    SCMP_SYS(clock_nanosleep),
    SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday),
    SCMP_SYS(restart_syscall),
    // signals
    SCMP_SYS(rt_sigaction),
    SCMP_SYS(rt_sigprocmask),
    SCMP_SYS(rt_sigreturn),
    SCMP_SYS(sigaltstack),
    // itself
    SCMP_SYS(getpid),
    SCMP_SYS(getppid),
    SCMP_SYS(getuid),
    SCMP_SYS(getrandom),
    SCMP_SYS(getrusage),
    SCMP_SYS(exit_group),
};

static int add_all(scmp_filter_ctx filter, uint32_t action, const int *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        // a call that this architecture does not have needs no rule
        int error = seccomp_rule_add(filter, action, calls[i], 0);
        if (error && error != -EDOM && error != -EACCES)
            return error;
    }
    return 0;
}
#define ADD(filter, action, calls) add_all(filter, action, calls, COUNT(calls))

// clone3() has its flags in memory, where no filter sees them: without it the C library takes
// clone().
static int only_threads(scmp_filter_ctx filter)
{
    int error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
    if (!error)
        error = ADD(filter, SCMP_ACT_KILL_PROCESS, processes);
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0));
    return error;
}

// libuv tries it where it can read files by it, and goes on without. A ring would make calls that
// no filter sees.
static int no_rings(scmp_filter_ctx filter)
{
    return seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0);
}

static int fill_head_node(scmp_filter_ctx filter)
{
    int error = only_threads(filter);
    return error ? error : no_rings(filter);
}

static int fill_front_end(scmp_filter_ctx filter)
{
    int error = fill_head_node(filter);
    if (!error)
        error = ADD(filter, SCMP_ACT_KILL_PROCESS, new_peers);
    // descriptors are passed to keepers, and the service manager is told things
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 1,
                                 SCMP_A0(SCMP_CMP_NE, AF_UNIX, 0));
    return error;
}

static int fill_keeper(scmp_filter_ctx filter)
{
    int error = no_rings(filter);
    if (!error)
        error = ADD(filter, SCMP_ACT_KILL_PROCESS, new_peers);
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(socket), 0);
    return error;
}

static int fill_rank(scmp_filter_ctx filter)
{
    int error = only_threads(filter);
    if (!error)
        error = ADD(filter, SCMP_ACT_KILL_PROCESS, new_peers);
    if (!error)
        error = ADD(filter, SCMP_ACT_KILL_PROCESS, sockets);
    if (!error)
        error = ADD(filter, SCMP_ACT_ALLOW, of_ranks);
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
                                 SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
    // memory that can be executed would be code of somebody else
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
                                 SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
    // signals to its own threads alone, to abort; to others none, which asks whether they live
    if (!error)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0));
    if (!error)
        error =
            seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(kill), 1, SCMP_A1(SCMP_CMP_EQ, 0, 0));
    // a thread that begins names itself, and wants to hear of its parent's death
    const int of_threads[] = {PR_SET_NAME, PR_SET_PDEATHSIG};
    for (size_t i = 0; i < COUNT(of_threads) && !error; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(prctl), 1,
                                 SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)of_threads[i], 0));
    return error;
}

static int fill(scmp_filter_ctx filter, enum confinement kind)
{
    int error = ADD(filter, SCMP_ACT_KILL_PROCESS, never);
    if (error)
        return error;
    switch (kind) {
    case CONFINE_FRONT_END:
        return fill_front_end(filter);
    case CONFINE_HEAD_NODE:
        return fill_head_node(filter);
    case CONFINE_KEEPER:
        return fill_keeper(filter);
    case CONFINE_RANK:
        break;
    }
    return fill_rank(filter);
}

static int set_attributes(scmp_filter_ctx filter)
{
    int error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1); // all threads
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    // Older kernels otherwise turn off a part of speculation for confined processes, at the cost of
    // some percent: ranks run no code of others.
    if (!error)
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a tree instead of a list
    return error;
}

static bool load_filter(enum confinement kind, const char **why)
{
    uint32_t otherwise = kind == CONFINE_RANK ? SCMP_ACT_ERRNO(EPERM) : SCMP_ACT_ALLOW;
    scmp_filter_ctx filter = seccomp_init(otherwise);
    *why = "there is no memory for a seccomp filter";
    if (!filter)
        return false;
    int error = set_attributes(filter);
    if (!error)
        error = fill(filter, kind);
    if (!error)
        error = seccomp_load(filter);
    seccomp_release(filter);
    *why = error ? "the kernel takes no seccomp filter" : NULL;
    return error == 0;
}

const struct confinement_filter confinement_filter = {true, load_filter};
