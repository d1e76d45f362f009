// Fetching blobs of a repository in parallel, into the cache.
#ifndef COLROW_CMD_HUB_FETCH_H
#define COLROW_CMD_HUB_FETCH_H

#include <stdint.h>

#include "base/status.h"
#include "cmd/hub_api.h"
#include "hf/hub_store.h"

enum { HUB_WORKERS_MAX = 64 };

struct hub_fetch_options {
    int workers;        // connections at once
    int64_t part_bytes; // of one request
    const char *token;  // "": none
};
// What there is to fetch, before it is.
struct hub_need {
    size_t n_files; // that are not in the snapshot yet
    uint64_t bytes; // of blobs that are not in the cache
    uint64_t space; // ... less what an earlier try has left
};
enum status hub_fetch_need(const struct hub_store *store, const struct hub_listing *listing,
                           struct hub_need *out) STATUS_MUST_USE;
// All wanted files into the snapshot, config.json last; with it, the snapshot is complete. On
// failure what has come stays, for the next try. `bytes` are the bar's, of hub_fetch_need().
enum status hub_fetch_all(const struct hub_api *api, const struct hub_store *store,
                          const struct hub_listing *listing,
                          const struct hub_fetch_options *options, uint64_t bytes) STATUS_MUST_USE;

#endif
