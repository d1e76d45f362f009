// What colrow asks the hub about a repository, and what its refusals mean.
#ifndef COLROW_CMD_HUB_API_H
#define COLROW_CMD_HUB_API_H

#include "base/status.h"
#include "cmd/hub_http.h"
#include "hf/hub_listing.h"
#include "hf/hub_name.h"

enum { HUB_TRIES_MAX = 6, HUB_WAIT_SECONDS_MAX = 60 };

struct hub_api {
    const struct hub_settings *settings;
    const struct hub_name *name;
    bool has_token;
    bool (*stopped)(void *);
    void *context;
};

// Commit of the revision, and all files there. A repository that was renamed is a warning.
enum status hub_api_listing(const struct hub_api *api, struct hub_client *client, char *commit,
                            struct hub_listing *out) STATUS_MUST_USE;
// The address of a file of the commit; `out` has HUB_URL_MAX + 1 bytes.
void hub_api_file_url(const struct hub_api *api, const char *commit, const char *path, char *out);

// After the try number `tries` (from 1) without progress: OK, after a pause, if another one makes
// sense; else the sentence. `what` is what was asked for.
enum status hub_api_try_again(const struct hub_api *api, const struct hub_answer *answer,
                              const char *what, int tries) STATUS_MUST_USE;

#endif
