// Bringing a repository, or what is needed of it, from the hub into the cache.
#ifndef COLROW_CMD_HUB_PULL_H
#define COLROW_CMD_HUB_PULL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "cmd/hub_api.h"
#include "cmd/hub_fetch.h"
#include "hf/hub_listing.h"
#include "hf/hub_name.h"
#include "hf/hub_settings.h"
#include "hf/hub_store.h"

// Ends by hub_pull_fini(), whatever happened.
struct hub_pull {
    struct hub_fetch_options options; // workers and part_bytes may be set before it begins
    struct hub_settings settings;
    struct hub_name name;
    char token[HUB_TOKEN_MAX + 1];
    char commit[HUB_COMMIT_DIGITS + 1];
    struct hub_listing listing;
    struct hub_api api;
};
void hub_pull_init(struct hub_pull *pull);
void hub_pull_fini(struct hub_pull *pull);
// Asks for the revision's commit and its files. Signals end it, and all that follows
// (cmd/interrupt.h). ERR_USAGE: no name of a repository, or HF_HUB_OFFLINE.
enum status hub_pull_begin(struct hub_pull *pull, const char *given) STATUS_MUST_USE;
// Fetches the wanted files of the listing into `store`, which is open, if there is room for them
// and `more` bytes; with a bar, and lines for the log.
enum status hub_pull_files(struct hub_pull *pull, const struct hub_store *store,
                           uint64_t more) STATUS_MUST_USE;
// All of it: files, list and ref. `folder` (FILE_PATH_MAX bytes) is the snapshot's.
enum status hub_pull_snapshot(struct hub_pull *pull, char *folder) STATUS_MUST_USE;

#endif
