// What HuggingFace's cache holds of a repository: its snapshots (one for each commit), the files
// they link to, the refs that name them.
#ifndef COLROW_HF_HUB_SNAPSHOT_H
#define COLROW_HF_HUB_SNAPSHOT_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum {
    HUB_FILES_MAX = 65536,     // of a snapshot
    HUB_FOLDERS_DEEP_MAX = 32, // ... of folders in it
    HUB_SNAPSHOTS_MAX = 4096,  // of a repository
    HUB_REFS_MAX = 4096,
    HUB_FOLDER_NAME_MAX = 255,
};

struct hub_file {
    char *path;                    // below the snapshot's folder
    char *blob;                    // where its link leads, "" of a plain file
    uint64_t bytes, device, inode; // of what it leads to
    int64_t used;                  // seconds since 1970: when that was last read or written
    bool missing;                  // ... is not there
};

struct hub_snapshot {
    char *commit; // the folder's name
    char *folder;
    struct hub_file *files;
    size_t n_files, n_missing;
    uint64_t bytes;
    int64_t used;
};

struct hub_ref {
    char *name; // "main", "refs/pr/1"
    char *path;
    char *commit; // "": the file holds no name of a snapshot
};

// All in one arena.
struct hub_repository {
    char *id; // "org/name"
    char *folder;
    struct hub_snapshot *snapshots;
    struct hub_ref *refs;
    size_t n_snapshots, n_refs;
    uint64_t unfinished; // bytes of downloads that have not come to their end
    struct arena arena;
};

// `folder` is a models--org--name. An absent one has no snapshots.
enum status hub_repository_read(const char *folder, const char *id,
                                struct hub_repository *out) STATUS_MUST_USE;
void hub_repository_fini(struct hub_repository *repository);
// Only the files of one snapshot, into memory of `arena`.
enum status hub_snapshot_read(const char *folder, struct arena *arena,
                              struct hub_snapshot *out) STATUS_MUST_USE;

// The next entry of a folder that is neither "." nor ".."; NULL: no more.
struct dirent *hub_next_entry(DIR *folder);
// "models--org--name" is "org/name"; false: it is no such folder. `out` has `room` bytes.
bool hub_id_of_folder(const char *folder_name, char *out, size_t room);
// The commit that a ref's file names, or "" where it holds no name of a folder. `out` has
// HUB_FOLDER_NAME_MAX + 1 bytes.
enum status hub_ref_read(const char *path, char *out) STATUS_MUST_USE;

#endif
