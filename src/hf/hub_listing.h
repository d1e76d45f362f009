// The hub's answers about a repository: its commit and its files.
#ifndef COLROW_HF_HUB_LISTING_H
#define COLROW_HF_HUB_LISTING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "hf/hub_snapshot.h"

enum { HUB_SHA1_DIGITS = 40, HUB_SHA256_DIGITS = 64 };
#define HUB_FILE_BYTES_MAX (UINT64_C(1) << 44) // 16 TiB

struct hub_entry {
    char *path;                         // below the repository, checked: hub_path_is()
    char oid[HUB_SHA1_DIGITS + 1];      // git's name of the file, or of its LFS pointer
    char sha256[HUB_SHA256_DIGITS + 1]; // of an LFS file; else ""
    uint64_t bytes;
    bool wanted; // by hub_listing_choose()
};
struct hub_listing {
    struct hub_entry *entries;
    size_t n, capacity;
    struct arena arena; // of the paths
};
void hub_listing_init(struct hub_listing *listing);
void hub_listing_fini(struct hub_listing *listing);
// The commit in the answer to /api/models/ID/revision/REV. `id`: the repository's name now, at most
// HUB_ID_MAX bytes, or "".
enum status hub_listing_commit(const char *where, const char *text, size_t length, char *commit,
                               char *id) STATUS_MUST_USE;
// Adds one page of /api/models/ID/tree/COMMIT.
enum status hub_listing_add(struct hub_listing *listing, const char *where, const char *text,
                            size_t length) STATUS_MUST_USE;
// Marks what colrow reads of a model: configuration, tokenizer and templates at the top, and of the
// weights one copy as safetensors. With `include` given: what matches one of these patterns (as in
// Python's fnmatch). ERR_INPUT: there is no such thing.
enum status hub_listing_choose(struct hub_listing *listing, const char *where,
                               const char *const *include, int n_include) STATUS_MUST_USE;
// The name of the file's blob in the cache: sha256 or oid.
const char *hub_entry_blob(const struct hub_entry *entry);
// huggingface_hub's trees/COMMIT.json, into `out`.
enum status hub_listing_json(const struct hub_listing *listing, struct bytes *out) STATUS_MUST_USE;

#endif
