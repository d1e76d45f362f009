// A hub without a network, for cmd/hub_pieces.h: what one program includes once instead of linking
// cmd/hub_http_*.c and cmd/hub_api.c. The bytes of its answers are the test's.
#ifndef COLROW_TESTS_PRETEND_HUB_H
#define COLROW_TESTS_PRETEND_HUB_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/hub_api.h"
#include "cmd/hub_pieces.h"

struct hub_client {
    // Makes the answer to a request, all but what `request->sink` says to its body.
    void (*reply)(struct hub_client *hub, const struct hub_request *request,
                  struct hub_answer *answer, struct bytes *body);
    void *context;         // the test's
    size_t (*cut)(void *); // how many bytes come next, at least 1; NULL: all at once
    void *cut_context;
    int requests, new_urls; // how many were sent; how often the hub itself was asked for the file
    size_t not_wanted;      // bytes of bodies behind the one that ended a transfer
};

// As curl does it: a piece that the sink refuses ends the transfer.
static enum status hub_get(struct hub_client *hub, const struct hub_request *request,
                           struct hub_answer *answer)
{
    struct bytes body;
    bytes_init(&body);
    *answer = (struct hub_answer){.retry_after = -1, .content_length = -1};
    assert(request->ranged && request->sink && request->ranges && *request->url);
    hub->requests++;
    hub->reply(hub, request, answer, &body);
    bool wanted = answer->status == 200 || answer->status == 206;
    for (size_t at = 0, n; wanted && at < body.length; at += n) {
        n = hub->cut ? hub->cut(hub->cut_context) : body.length;
        n = n < body.length - at ? n : body.length - at;
        char *piece = malloc(n); // a byte too far is seen
        assert(piece);
        memcpy(piece, body.data + at, n);
        bool more = request->sink(request->context, answer, piece, n);
        free(piece);
        if (more)
            continue;
        answer->cut = true;
        hub->not_wanted += body.length - at - n;
        break;
    }
    bytes_fini(&body);
    if (request->found)
        snprintf(request->found, HUB_URL_MAX + 1, "https://elsewhere/signed");
    return OK;
}

const struct hub_http hub_http = {.exists = true, .get = hub_get};

void hub_api_file_url(const struct hub_api *api, const char *commit, const char *path, char *out)
{
    struct hub_client *hub = api->context;
    hub->new_urls++;
    snprintf(out, HUB_URL_MAX + 1, "https://hub/%s/%s", commit, path);
}

// Without pauses.
enum status hub_api_try_again(const struct hub_api *api, const struct hub_answer *answer,
                              const char *what, int tries)
{
    (void)api;
    if (tries < HUB_TRIES_MAX)
        return OK;
    return fail(ERR_IO, "%s: status %ld after %d tries", what, answer->status, tries);
}

#endif
