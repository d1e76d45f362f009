// A process that cannot be mistaken for another: a pidfd, or where the kernel has none (before 5.3)
// its number.
#ifndef COLROW_COMM_PROCESS_HANDLE_H
#define COLROW_COMM_PROCESS_HANDLE_H

#include <stdbool.h>
#include <sys/types.h>

struct process_handle {
    pid_t pid; // 0: none
    int fd;    // -1: none
};

// Of a process that exists now, or whose exit has not been collected.
struct process_handle process_handle_open(pid_t pid);
void process_handle_close(struct process_handle *handle);
bool process_is_gone(const struct process_handle *handle); // has exited, collected or not
// Of a child that is gone, or about to be: waits for its end, and closes.
void process_collect(struct process_handle *handle);
void process_kill(const struct process_handle *handle, int signal);

#endif
