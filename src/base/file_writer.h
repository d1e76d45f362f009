// Writing a file that somebody named. A regular file, or a name that is still free, appears whole
// or not at all: it is written beside its place and renamed. Devices, pipes and open descriptors
// are written to, and stay what they are; a symbolic link stays and what it names is written.
#ifndef COLROW_BASE_FILE_WRITER_H
#define COLROW_BASE_FILE_WRITER_H

#include <stddef.h>

#include "base/file.h"
#include "base/status.h"

struct file_writer {
    int fd;                        // -1: none
    char path[FILE_PATH_MAX];      // as it was named, for messages
    char target[FILE_PATH_MAX];    // what is replaced; "": it is written in place
    char neighbour[FILE_PATH_MAX]; // the file to be renamed, once it has a name; else ""
    unsigned mode, uid, gid;       // of the file that is replaced
    int replaces;                  // is there one?
};

// What would fail for certain, before hours of work: a folder, no permission, no such place.
enum status file_writer_check(const char *path) STATUS_MUST_USE;
// "-", /dev/stdout and /dev/fd/N are descriptors that this process has open.
enum status file_writer_open(const char *path, struct file_writer *out) STATUS_MUST_USE;
enum status file_writer_write(struct file_writer *writer, const void *data,
                              size_t bytes) STATUS_MUST_USE;
// Puts it in place. On failure nothing is left, and what was there before stays.
enum status file_writer_finish(struct file_writer *writer) STATUS_MUST_USE;
void file_writer_abandon(struct file_writer *writer); // also after finish

#endif
