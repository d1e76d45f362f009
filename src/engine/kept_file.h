// A file that a user names and that ranks read again: one that can be read only once, such as a
// pipe, is kept in memory for them.
#ifndef COLROW_ENGINE_KEPT_FILE_H
#define COLROW_ENGINE_KEPT_FILE_H

#include <stddef.h>

#include "base/status.h"

// The path of a regular file, or of what is not there, goes into `out` (FILE_PATH_MAX bytes) as it
// is, and `*fd` is -1. Anything else ("-", a pipe, /dev/stdin) is read to its end, at most
// `bytes_max` bytes, and `out` names a copy that other processes of this user can read while `*fd`,
// the caller's to close, is open.
enum status kept_file(const char *path, size_t bytes_max, char *out, int *fd) STATUS_MUST_USE;

#endif
