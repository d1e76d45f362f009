#include "comm/process_handle.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

// pidfds are close-on-exec by themselves. SYS_pidfd_* are in the headers of every kernel since 5.3.
struct process_handle process_handle_open(pid_t pid)
{
    return (struct process_handle){pid, (int)syscall(SYS_pidfd_open, pid, 0)};
}

void process_handle_close(struct process_handle *handle)
{
    if (handle->pid && handle->fd >= 0)
        close(handle->fd);
    *handle = (struct process_handle){0, -1};
}

// The letter after "(name)" in /proc/PID/stat; 'X' when there is no such process.
static char process_state(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return (char)(kill(pid, 0) && errno == ESRCH ? 'X' : 'R');
    ssize_t n = read(file, text, sizeof text - 1);
    close(file);
    text[n > 0 ? n : 0] = '\0';
    const char *end = strrchr(text, ')');
    return (char)(end && end[1] == ' ' ? end[2] : 'R');
}

bool process_is_gone(const struct process_handle *handle)
{
    if (!handle->pid)
        return false;
    if (handle->fd >= 0) {
        struct pollfd ready = {.fd = handle->fd, .events = POLLIN};
        return poll(&ready, 1, 0) > 0 && ready.revents != 0;
    }
    char state = process_state(handle->pid);
    return state == 'Z' || state == 'X' || state == 'x';
}

void process_kill(const struct process_handle *handle, int signal)
{
    if (!handle->pid)
        return;
    if (handle->fd >= 0)
        syscall(SYS_pidfd_send_signal, handle->fd, signal, NULL, 0);
    else
        kill(handle->pid, signal);
}

void process_collect(struct process_handle *handle)
{
    siginfo_t info;
    while (waitid(P_PID, (id_t)handle->pid, &info, WEXITED) && errno == EINTR)
        ;
    process_handle_close(handle);
}
