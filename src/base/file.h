// Whole files and paths.
#ifndef COLROW_BASE_FILE_H
#define COLROW_BASE_FILE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { FILE_PATH_MAX = 4096 };

// Opens a regular file for reading; `*fd` is the caller's to close.
enum status file_open(const char *path, int *fd, uint64_t *bytes) STATUS_MUST_USE;
// Reads a regular file of at most `bytes_max` bytes into `out` (initialised by the caller).
enum status file_read(const char *path, size_t bytes_max, struct bytes *out) STATUS_MUST_USE;
// Same, from standard input up to its end; may hold NUL bytes.
enum status file_read_stdin(size_t bytes_max, struct bytes *out) STATUS_MUST_USE;
// For files that users name: also what shells give them, "-", /dev/stdin and <(command), up to its
// end. May hold NUL bytes.
enum status file_read_given(const char *path, size_t bytes_max, struct bytes *out) STATUS_MUST_USE;
// Writes the file whole or not at all (file_writer.h).
enum status file_write(const char *path, const void *data, size_t length) STATUS_MUST_USE;
bool file_exists(const char *path);
bool file_is_folder(const char *path);
bool file_has_ending(const char *name, const char *ending); // ".safetensors"
// "folder/name" into `out` (FILE_PATH_MAX bytes).
enum status file_join(const char *folder, const char *name, char *out) STATUS_MUST_USE;
// `path` as others find it, also after this process has changed its folder; "" stays so.
enum status file_whole_path(const char *path, char *out) STATUS_MUST_USE;

#endif
