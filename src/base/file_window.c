#include "base/file_window.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"

static pthread_mutex_t guard_lock = PTHREAD_MUTEX_INITIALIZER;
static int n_guards; // under the lock
static struct sigaction before;

// What this thread looks at. The handler runs on the thread that read the missing page.
static _Thread_local struct file_window *open_window;

// Puts zeros where the file was, so that the read that failed goes on. mmap() is on no list of what
// handlers may call, but on Linux it is a system call and nothing else.
static void replace_lost(int signal, siginfo_t *info, void *context)
{
    (void)context;
    struct file_window *w = open_window;
    const char *at = info->si_addr;
    int kept = errno;
    bool ours = info->si_code > 0 && w && at >= w->mapping && at < w->mapping + w->mapping_bytes &&
                mmap(w->mapping, w->mapping_bytes, PROT_READ,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == w->mapping;
    if (ours) {
        w->lost = 1;
    } else { // as if we had not been here: the read fails again, and a sent signal is sent again
        sigaction(SIGBUS, &before, NULL);
        if (info->si_code <= 0)
            raise(signal);
    }
    errno = kept;
}

void file_window_guard_begin(void)
{
    struct sigaction action = {.sa_sigaction = replace_lost, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    pthread_mutex_lock(&guard_lock);
    if (n_guards++ == 0)
        sigaction(SIGBUS, &action, &before);
    pthread_mutex_unlock(&guard_lock);
}

void file_window_guard_end(void)
{
    pthread_mutex_lock(&guard_lock);
    assert(n_guards > 0);
    if (--n_guards == 0)
        sigaction(SIGBUS, &before, NULL);
    pthread_mutex_unlock(&guard_lock);
}

bool file_window_open(int fd, uint64_t offset, size_t bytes, struct file_window *out)
{
    assert(bytes > 0 && !open_window);
    size_t front = (size_t)(offset % (uint64_t)sysconf(_SC_PAGESIZE)), length;
    if (offset > INT64_MAX - bytes || !checked_add(bytes, front, &length))
        return false;
    char *mapping = mmap(NULL, length, PROT_READ, MAP_SHARED, fd, (off_t)(offset - front));
    if (mapping == MAP_FAILED)
        return false;
    *out = (struct file_window){.data = mapping + front,
                                .mapping = mapping,
                                .mapping_bytes = length,
                                .fd = fd,
                                .end = offset + bytes};
    open_window = out;
    return true;
}

bool file_window_close(struct file_window *window)
{
    assert(open_window == window);
    open_window = NULL;
    munmap(window->mapping, window->mapping_bytes);
    // A file cut inside a page raises no signal: the rest of the page reads as zeros. So its size
    // is asked for after all was read.
    struct stat info;
    return !window->lost && fstat(window->fd, &info) == 0 && (uint64_t)info.st_size >= window->end;
}
