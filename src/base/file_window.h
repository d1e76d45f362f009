// A part of a file as memory, to look at where the page cache has it instead of copying it out.
//
// The file belongs to others: it may be cut, or its disk fail, while somebody looks. Reading such a
// page raises SIGBUS. Between file_window_guard_begin() and _end() that ends nothing: the window
// becomes zeros, and closing it says that what was seen does not count.
#ifndef COLROW_BASE_FILE_WINDOW_H
#define COLROW_BASE_FILE_WINDOW_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct file_window {
    const char *data; // of the offset asked for
    char *mapping;    // whole pages around it
    size_t mapping_bytes;
    int fd; // borrowed
    uint64_t end;
    volatile sig_atomic_t lost; // a page could not be read
};

// For all threads of the process that do not block SIGBUS; may be nested. A SIGBUS that is not of a
// window goes where it went before.
void file_window_guard_begin(void);
void file_window_guard_end(void);

// Maps `bytes` > 0 bytes from `offset` on, for this thread to read; a thread has one window at a
// time. False: this file cannot be mapped (some file systems refuse), read it instead.
bool file_window_open(int fd, uint64_t offset, size_t bytes, struct file_window *out);
// False: part of what was there to see was not the file's. Reading it instead tells why.
bool file_window_close(struct file_window *window);

#endif
