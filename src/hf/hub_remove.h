// Removing repositories and snapshots from HuggingFace's cache, as `hf cache rm` does.
#ifndef COLROW_HF_HUB_REMOVE_H
#define COLROW_HF_HUB_REMOVE_H

#include <stdint.h>

#include "base/status.h"
#include "hf/hub_settings.h"
#include "hf/hub_snapshot.h"

struct hub_removal {
    uint64_t bytes; // that files had which are gone now
    size_t n_blobs, n_refs;
};

// The whole repository, with all that lies in its folder, and its locks. Refs go first, blobs
// last, so that no name leads to what is half gone when it is interrupted.
enum status hub_remove_repository(const struct hub_settings *settings,
                                  const struct hub_repository *repository,
                                  struct hub_removal *out) STATUS_MUST_USE;
// One snapshot: its refs, its links, and the blobs that no other snapshot of the repository has.
enum status hub_remove_snapshot(const struct hub_repository *repository,
                                const struct hub_snapshot *snapshot,
                                struct hub_removal *out) STATUS_MUST_USE;

#endif
