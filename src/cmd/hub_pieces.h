// Many short pieces of a file at once: several ranges in one request, as RFC 9110 has it (14.2 and
// 15.3.7.2). Not every hub does that.
#ifndef COLROW_CMD_HUB_PIECES_H
#define COLROW_CMD_HUB_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "cmd/hub_api.h"

struct hub_pieces {
    const char *commit, *path;
    uint64_t file_bytes, offset, stride; // of the whole file; of the first; from one to the next
    size_t n, bytes;                     // of each, at least 1
    void *out;                           // [n][bytes]
    const char *caller;                  // as of struct hub_range
};
// All of them, in their order. `*done` false: the answer is not the pieces that were asked for, one
// by one. `address`: as of hub_range_fetch(), not NULL.
enum status hub_pieces_fetch(const struct hub_api *api, struct hub_client *client,
                             const struct hub_pieces *pieces, char *address,
                             bool *done) STATUS_MUST_USE;

#endif
