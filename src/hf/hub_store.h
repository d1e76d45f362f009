// Writing into HuggingFace's cache, so that huggingface_hub finds it as if it were its own, and
// nothing wrong has a name there at any time: what is not whole and checked lies in the
// repository's hidden folder .colrow/, and all names appear by rename().
#ifndef COLROW_HF_HUB_STORE_H
#define COLROW_HF_HUB_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/file.h"
#include "base/status.h"
#include "hf/hub_listing.h"
#include "hf/hub_name.h"
#include "hf/hub_settings.h"

// Where the links of a commit's files lie: where everybody looks for them, or in .colrow/ranges/,
// of a model whose weights stay at the hub (hub_ranges.h).
enum hub_store_kind { HUB_STORE_SNAPSHOT, HUB_STORE_RANGES };
struct hub_store {
    enum hub_store_kind kind;
    char folder[FILE_PATH_MAX]; // CACHE/models--org--name
    char locks[FILE_PATH_MAX];  // CACHE/.locks/models--org--name
    char commit[HUB_COMMIT_DIGITS + 1];
};

// Makes the folders for one commit.
enum status hub_store_open(const struct hub_settings *settings, const char *id, const char *commit,
                           enum hub_store_kind kind, struct hub_store *out) STATUS_MUST_USE;
// The folder of the links; `out` has FILE_PATH_MAX bytes.
enum status hub_store_folder(const struct hub_store *store, char *out) STATUS_MUST_USE;
// Bytes that the file system has for us.
enum status hub_store_room(const struct hub_store *store, uint64_t *out) STATUS_MUST_USE;
// Is the blob there, with this size?
bool hub_store_has(const struct hub_store *store, const char *blob, uint64_t bytes);
// Is the link of `path` there, with this size?
bool hub_store_linked(const struct hub_store *store, const char *path, uint64_t bytes);
// flock() of .locks/.../BLOB.lock, as huggingface_hub's. `*fd` -1: another process has it.
// hub_store_unlock() leaves the file.
enum status hub_store_lock(const struct hub_store *store, const char *blob,
                           int *fd) STATUS_MUST_USE;
void hub_store_unlock(int fd); // accepts -1
// `path` in that folder becomes a link to the blob, in place of what was there.
enum status hub_store_link(const struct hub_store *store, const char *path,
                           const char *blob) STATUS_MUST_USE;
// trees/COMMIT.json and refs/REVISION.
enum status hub_store_tree(const struct hub_store *store,
                           const struct hub_listing *listing) STATUS_MUST_USE;
enum status hub_store_ref(const struct hub_store *store, const char *revision) STATUS_MUST_USE;

// A blob while it is fetched, in parts, in any order: .colrow/BLOB, and .colrow/BLOB.parts, which
// says how much of each part is there, so that another process can go on. Its user has the lock.
struct hub_partial {
    int fd, parts_fd;
    char path[FILE_PATH_MAX], parts_path[FILE_PATH_MAX];
    uint64_t bytes, part_bytes;
    size_t n_parts;
    uint64_t *done; // [n_parts], from the part's begin; calls for the same part take turns
};
enum { HUB_PARTS_MAX = 1 << 22 };
enum status hub_partial_open(const struct hub_store *store, const char *blob, uint64_t bytes,
                             uint64_t part_bytes, struct hub_partial *out) STATUS_MUST_USE;
void hub_partial_close(struct hub_partial *partial); // what is there stays; accepts a zeroed one
uint64_t hub_partial_part_bytes(const struct hub_partial *partial, size_t part);
uint64_t hub_partial_have(const struct hub_partial *partial);
// Bytes at `offset`, where the part's bytes so far end (or before: they are written again).
enum status hub_partial_write(struct hub_partial *partial, uint64_t offset, const void *data,
                              size_t bytes) STATUS_MUST_USE;
// Forgets all of it: what came was wrong.
enum status hub_partial_restart(struct hub_partial *partial) STATUS_MUST_USE;
// The whole and checked file becomes blobs/BLOB.
enum status hub_partial_publish(struct hub_partial *partial, const struct hub_store *store,
                                const char *blob) STATUS_MUST_USE;
// The blob is there: what somebody left of fetching it who was killed, or whom another overtook.
void hub_partial_forget(const struct hub_store *store, const char *blob);
// How much of the blob's disk space a partial file has already.
uint64_t hub_partial_space(const struct hub_store *store, const char *blob);

#endif
