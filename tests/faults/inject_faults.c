// Loaded into every process of a server (LD_PRELOAD), active in its ranks: makes one call of the C
// library fail, once, as told through a file that the test maps ($FAULTS, struct faults). A process
// that gets SIGILL spins for ever in the thread that got it.
#define _GNU_SOURCE // what the C library adds to ISO C
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum call {
    CALL_NONE,
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_REALLOC,
    CALL_MEMALIGN,
    CALL_MMAP,
    CALL_MUNMAP,
    CALL_MADVISE,
    CALL_OPEN,
    CALL_FOPEN,
    CALL_OPENDIR,
    CALL_READ,
    CALL_PREAD,
    CALL_WRITE,
    CALL_CLOSE,
    CALL_FSTAT,
    CALL_FCNTL,
    CALL_POLL,
    CALL_EVENTFD,
    CALL_PRCTL,
    CALL_THREAD,
    CALL_AFFINITY,
    CALL_PRIORITY,
    CALL_YIELD,
    CALL_SLEEP,
    CALL_FUTEX_WAIT,
    CALL_FUTEX_WAKE,
    CALL_PIDFD,
    CALL_FORK,
    CALL_WAIT,
    CALL_KILL,
    CALL_SEND,
    CALL_RECEIVE,
    N_CALLS
};
static const char names[N_CALLS][16] = {
    "none",     "malloc",   "calloc", "realloc",   "memalign",   "mmap",       "munmap",
    "madvise",  "open",     "fopen",  "opendir",   "read",       "pread",      "write",
    "close",    "fstat",    "fcntl",  "poll",      "eventfd",    "prctl",      "pthread_create",
    "affinity", "priority", "yield",  "nanosleep", "futex wait", "futex wake", "pidfd",
    "fork",     "waitid",   "kill",   "sendmsg",   "recvmsg",
};

struct faults {
    _Atomic int64_t collectives[64];  // for COLROW_FAIL_COLLECTIVE=@FILE; not ours
    _Atomic int32_t call, rank;       // which call of which rank
    _Atomic int64_t countdown;        // the how manieth; 0: none (any more)
    _Atomic int32_t error, fired_pid; // error -1: it does not fail, it hangs
    _Atomic uint64_t seen[64];        // calls of that rank
    char names[64][16];
};

static struct faults *faults; // NULL: this process is no rank
static int own_rank;

static void spin(int number)
{
    (void)number;
    for (volatile int turn = 0;; turn = !turn)
        ;
}

__attribute__((constructor)) static void map_faults(void)
{
    const char *path = getenv("FAULTS"), *rank = getenv("RANK");
    if (!path || !rank)
        return;
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC);
    void *page = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (fd < 0 || page == MAP_FAILED)
        return;
    own_rank = atoi(rank);
    memcpy(((struct faults *)page)->names, names, sizeof names);
    faults = page;
    signal(SIGILL, spin);
}

// True: this call is the one; errno is set.
static bool fails(enum call call)
{
    if (!faults || atomic_load_explicit(&faults->rank, memory_order_relaxed) != own_rank)
        return false;
    atomic_fetch_add_explicit(&faults->seen[call], 1, memory_order_relaxed);
    if (atomic_load_explicit(&faults->call, memory_order_relaxed) != (int32_t)call ||
        atomic_load_explicit(&faults->countdown, memory_order_relaxed) <= 0 ||
        atomic_fetch_sub_explicit(&faults->countdown, 1, memory_order_relaxed) != 1)
        return false;
    atomic_store(&faults->fired_pid, getpid());
    int error = atomic_load(&faults->error);
    while (error < 0) // it takes no CPU time from the others
        pause();
    errno = error;
    return true;
}

// glibc's own names for its allocator, as the search for the next definition allocates itself.
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);

void *malloc(size_t bytes)
{
    return fails(CALL_MALLOC) ? NULL : __libc_malloc(bytes);
}
void *calloc(size_t n, size_t bytes)
{
    return fails(CALL_CALLOC) ? NULL : __libc_calloc(n, bytes);
}
void *realloc(void *memory, size_t bytes)
{
    return fails(CALL_REALLOC) ? NULL : __libc_realloc(memory, bytes);
}
void *aligned_alloc(size_t alignment, size_t bytes)
{
    return fails(CALL_MEMALIGN) ? NULL : __libc_memalign(alignment, bytes);
}
int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    if (fails(CALL_MEMALIGN))
        return ENOMEM;
    *out = __libc_memalign(alignment, bytes);
    return *out ? 0 : ENOMEM;
}

// The next definition of a function, in a pointer of its type.
#define REAL(name)                                                                                 \
    static __typeof__(name) *real;                                                                 \
    if (!real) {                                                                                   \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        memcpy(&real, &found, sizeof real);                                                        \
    }

void *mmap(void *address, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    REAL(mmap)
    return fails(CALL_MMAP) ? MAP_FAILED : real(address, bytes, protection, flags, fd, offset);
}
int munmap(void *address, size_t bytes)
{
    REAL(munmap)
    return fails(CALL_MUNMAP) ? -1 : real(address, bytes);
}
int madvise(void *address, size_t bytes, int advice)
{
    REAL(madvise)
    return fails(CALL_MADVISE) ? -1 : real(address, bytes, advice);
}
int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails(CALL_OPEN) ? -1 : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fails(CALL_OPEN) ? -1 : (int)syscall(SYS_openat, folder, path, flags, mode);
}
FILE *fopen(const char *path, const char *mode)
{
    REAL(fopen)
    return fails(CALL_FOPEN) ? NULL : real(path, mode);
}
DIR *opendir(const char *path)
{
    REAL(opendir)
    return fails(CALL_OPENDIR) ? NULL : real(path);
}
ssize_t read(int fd, void *data, size_t bytes)
{
    REAL(read)
    return fails(CALL_READ) ? -1 : real(fd, data, bytes);
}
ssize_t pread(int fd, void *data, size_t bytes, off_t offset)
{
    REAL(pread)
    return fails(CALL_PREAD) ? -1 : real(fd, data, bytes, offset);
}
ssize_t write(int fd, const void *data, size_t bytes)
{
    REAL(write)
    return fails(CALL_WRITE) ? -1 : real(fd, data, bytes);
}
int close(int fd) // as the kernel does: closed, and an error all the same
{
    bool fail = fails(CALL_CLOSE);
    int error = errno, result = (int)syscall(SYS_close, fd);
    if (!fail)
        return result;
    errno = error;
    return -1;
}
int fstat(int fd, struct stat *out)
{
    REAL(fstat)
    return fails(CALL_FSTAT) ? -1 : real(fd, out);
}
int fcntl(int fd, int command, ...)
{
    REAL(fcntl)
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fails(CALL_FCNTL) ? -1 : real(fd, command, argument);
}
int poll(struct pollfd *fds, nfds_t n, int timeout)
{
    REAL(poll)
    return fails(CALL_POLL) ? -1 : real(fds, n, timeout);
}
int eventfd(unsigned count, int flags)
{
    REAL(eventfd)
    return fails(CALL_EVENTFD) ? -1 : real(count, flags);
}
int prctl(int option, ...)
{
    REAL(prctl)
    va_list list;
    va_start(list, option);
    unsigned long a = va_arg(list, unsigned long), b = va_arg(list, unsigned long),
                  c = va_arg(list, unsigned long), d = va_arg(list, unsigned long);
    va_end(list);
    return fails(CALL_PRCTL) ? -1 : real(option, a, b, c, d);
}
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                   void *argument)
{
    REAL(pthread_create)
    return fails(CALL_THREAD) ? errno : real(thread, attributes, run, argument);
}
int pthread_setaffinity_np(pthread_t thread, size_t bytes, const cpu_set_t *set)
{
    REAL(pthread_setaffinity_np)
    return fails(CALL_AFFINITY) ? errno : real(thread, bytes, set);
}
int pthread_getaffinity_np(pthread_t thread, size_t bytes, cpu_set_t *set)
{
    REAL(pthread_getaffinity_np)
    return fails(CALL_AFFINITY) ? errno : real(thread, bytes, set);
}
int sched_getaffinity(pid_t pid, size_t bytes, cpu_set_t *set)
{
    REAL(sched_getaffinity)
    return fails(CALL_AFFINITY) ? -1 : real(pid, bytes, set);
}
int setpriority(__priority_which_t which, id_t who, int priority)
{
    REAL(setpriority)
    return fails(CALL_PRIORITY) ? -1 : real(which, who, priority);
}
int sched_yield(void)
{
    REAL(sched_yield)
    return fails(CALL_YIELD) ? -1 : real();
}
int nanosleep(const struct timespec *time, struct timespec *rest)
{
    REAL(nanosleep)
    return fails(CALL_SLEEP) ? -1 : real(time, rest);
}
pid_t fork(void)
{
    REAL(fork)
    return fails(CALL_FORK) ? -1 : real();
}
int waitid(idtype_t type, id_t id, siginfo_t *out, int options)
{
    REAL(waitid)
    return fails(CALL_WAIT) ? -1 : real(type, id, out, options);
}
pid_t waitpid(pid_t pid, int *status, int options)
{
    REAL(waitpid)
    return fails(CALL_WAIT) ? -1 : real(pid, status, options);
}
int kill(pid_t pid, int number)
{
    REAL(kill)
    return fails(CALL_KILL) ? -1 : real(pid, number);
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    REAL(sendmsg)
    return fails(CALL_SEND) ? -1 : real(fd, message, flags);
}
ssize_t send(int fd, const void *data, size_t bytes, int flags)
{
    REAL(send)
    return fails(CALL_SEND) ? -1 : real(fd, data, bytes, flags);
}
ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    REAL(recvmsg)
    return fails(CALL_RECEIVE) ? -1 : real(fd, message, flags);
}
ssize_t recv(int fd, void *data, size_t bytes, int flags)
{
    REAL(recv)
    return fails(CALL_RECEIVE) ? -1 : real(fd, data, bytes, flags);
}

static enum call call_of(long number, int operation)
{
    switch (number) {
    case SYS_futex:
        operation &= ~(FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME);
        return operation == FUTEX_WAKE ? CALL_FUTEX_WAKE : CALL_FUTEX_WAIT;
    case SYS_pidfd_open:
    case SYS_pidfd_send_signal:
        return CALL_PIDFD;
    default:
        return CALL_NONE;
    }
}

long syscall(long number, ...)
{
    static __typeof__(syscall) *real;
    long a[6];
    va_list list;
    va_start(list, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(list, long);
    va_end(list);
    if (!real) {
        void *found = dlsym(RTLD_NEXT, "syscall");
        memcpy(&real, &found, sizeof real);
    }
    return fails(call_of(number, (int)a[1])) ? -1
                                             : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
