// Byte ranges of a repository's files, into memory.
#ifndef COLROW_CMD_HUB_RANGE_H
#define COLROW_CMD_HUB_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cmd/hub_api.h"

struct hub_range {
    const char *commit, *path;
    uint64_t file_bytes, offset; // of the whole file; of the range's begin
    void *out;
    size_t bytes;       // at least 1
    const char *caller; // who asks, for the other side's log; NULL: nobody in particular
};
// All of it. It goes on after cuts from what has come; answers that are not the range asked for are
// tried again, and are an error at last: nothing else can be checked, since the hub's hashes are of
// whole files. `address` (HUB_URL_MAX + 1 bytes, or NULL) is where the file was found before, past
// the hub's redirect, or ""; what is found now goes there.
enum status hub_range_fetch(const struct hub_api *api, struct hub_client *client,
                            const struct hub_range *range, char *address) STATUS_MUST_USE;

#endif
