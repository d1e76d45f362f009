// Of a repository what says how its weights lie, without the weights.
#ifndef COLROW_CMD_HUB_HEADERS_H
#define COLROW_CMD_HUB_HEADERS_H

#include <stdbool.h>

#include "base/status.h"
#include "cmd/hub_pull.h"

// Fetches the small files among those that are marked, and with `weights` the headers of the
// others, by range, into a folder as hub_ranges.h has it; `folder` has FILE_PATH_MAX bytes. What is
// there already is not fetched again.
enum status hub_headers_fetch(struct hub_pull *pull, bool weights, char *folder) STATUS_MUST_USE;

#endif
