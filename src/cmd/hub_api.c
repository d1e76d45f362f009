#include "cmd/hub_api.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

enum { API_BYTES_MAX = 64 << 20, PAGES_MAX = 1000, PAUSE_MS = 250, PAUSE_PIECE_MS = 50 };

// Percent-encoded; `keep` are marks that stay.
static void encode_url(const char *text, const char *keep, char *out, size_t room)
{
    size_t n = strlen(out);
    for (; *text && n + 4 < room; text++) {
        unsigned char c = (unsigned char)*text;
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     strchr("-_.~", c) || strchr(keep, c);
        if (plain)
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    }
    out[n] = '\0';
}

void hub_api_file_url(const struct hub_api *api, const char *commit, const char *path, char *out)
{
    snprintf(out, HUB_URL_MAX + 1, "%s/%s/resolve/%s/", api->settings->endpoint, api->name->id,
             commit);
    encode_url(path, "/", out, HUB_URL_MAX + 1);
}

static enum status pause_for(const struct hub_api *api, int64_t ms)
{
    const struct timespec piece = {.tv_nsec = PAUSE_PIECE_MS * 1000000L};
    for (int64_t until = clock_ns() + ms * 1000000; clock_ns() < until;) {
        if (api->stopped(api->context))
            return fail(ERR_CANCELLED, "%s: the download was ended", api->name->id);
        nanosleep(&piece, NULL);
    }
    return OK;
}

static bool is_passing(const struct hub_answer *answer)
{
    switch (answer->status) {
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    case 401:
    case 403:
    case 404:
    case 410: // a signed address that has expired: ask for another
        return !answer->from_hub;
    default:
        return answer->cut && !answer->hopeless;
    }
}

static enum status explain_access(const struct hub_api *api, const struct hub_answer *answer)
{
    const char *id = api->name->id, *hub = api->settings->endpoint;
    if (strcmp(answer->code, "GatedRepo") == 0)
        return fail(ERR_INPUT,
                    "%s is gated: accept its conditions at %s/%s, then use a token of that account "
                    "(HF_TOKEN%s)",
                    id, hub, id, api->has_token ? "; the one that was sent has no access" : "");
    if (strcmp(answer->code, "RevisionNotFound") == 0)
        return fail(ERR_INPUT, "%s has no revision \"%s\" at %s; expected a branch, tag or commit",
                    id, api->name->revision, hub);
    return fail(ERR_INPUT, "%s: there is no such repository at %s, or it is private; %s", id, hub,
                api->has_token ? "check its name, and whether the token may read it"
                               : "check its name, or set HF_TOKEN");
}

// In one sentence what the hub said to `what`.
static enum status explain_answer(const struct hub_api *api, const struct hub_answer *answer,
                                  const char *what, int tries)
{
    char again[48] = "";
    if (tries > 1)
        snprintf(again, sizeof again, " (%d tries)", tries);
    if (api->stopped(api->context))
        return fail(ERR_CANCELLED, "%s: the download was ended", api->name->id);
    if (answer->status == 0)
        return fail(ERR_IO, "%s: %s does not answer%s: %s", what, api->settings->endpoint, again,
                    answer->trouble);
    if (answer->status == 429)
        return fail(ERR_IO, "%s: the hub limits how much is asked of it (429)%s; wait%s%s", what,
                    again, answer->retry_after > HUB_WAIT_SECONDS_MAX ? " some minutes" : "",
                    api->has_token ? "" : ", or set HF_TOKEN: with a token the limit is higher");
    if (strcmp(answer->code, "EntryNotFound") == 0)
        return fail(ERR_INPUT, "%s: the hub lists this file but does not have it", what);
    bool access = answer->status == 401 || answer->status == 403 || answer->status == 404;
    if (access && answer->from_hub)
        return explain_access(api, answer);
    if (answer->status == 200 || answer->status == 206)
        return fail(ERR_IO,
                    "%s: the answer ends too early or is another one than was asked for%s%s%s",
                    what, again, *answer->trouble ? ": " : "", answer->trouble);
    return fail(ERR_IO, "%s: the hub answers with status %ld%s%s%s", what, answer->status, again,
                *answer->message ? ": " : "", answer->message);
}

enum status hub_api_try_again(const struct hub_api *api, const struct hub_answer *answer,
                              const char *what, int tries)
{
    bool good = answer->status == 200 || answer->status == 206; // and yet not what was asked for
    if (tries >= HUB_TRIES_MAX || !(good || is_passing(answer)) ||
        answer->retry_after > HUB_WAIT_SECONDS_MAX || api->stopped(api->context))
        return explain_answer(api, answer, what, tries);
    if (answer->retry_after >= 0)
        return pause_for(api, answer->retry_after * 1000 + 100);
    return pause_for(api, (int64_t)PAUSE_MS << (tries - 1));
}

static enum status get_json(const struct hub_api *api, struct hub_client *client, const char *url,
                            struct hub_answer *answer, struct bytes *body)
{
    const struct hub_request request = {.url = url, .body = body, .body_max = API_BYTES_MAX};
    for (int tries = 1;; tries++) {
        TRY(hub_http.get(client, &request, answer));
        if (answer->status == 200 && !answer->cut)
            return OK;
        TRY(hub_api_try_again(api, answer, url, tries));
    }
}

static enum status read_commit(const struct hub_api *api, struct hub_client *client, char *commit,
                               struct bytes *body)
{
    char url[HUB_URL_MAX + 1], id[HUB_ID_MAX + 1];
    struct hub_answer answer;
    if (hub_commit_is(api->name->revision)) {
        snprintf(commit, HUB_COMMIT_DIGITS + 1, "%.*s", HUB_COMMIT_DIGITS, api->name->revision);
        return OK;
    }
    snprintf(url, sizeof url, "%s/api/models/%s/revision/", api->settings->endpoint, api->name->id);
    encode_url(api->name->revision, "", url, sizeof url);
    TRY(get_json(api, client, url, &answer, body));
    TRY(hub_listing_commit(url, body->data ? body->data : "", body->length, commit, id));
    if (*id && strcmp(id, api->name->id) != 0)
        log_warning("%s is called %s now; it is kept under the name that was asked for",
                    api->name->id, id);
    return OK;
}

enum status hub_api_listing(const struct hub_api *api, struct hub_client *client, char *commit,
                            struct hub_listing *out)
{
    char url[HUB_URL_MAX + 1];
    struct hub_answer answer;
    struct bytes body;
    bytes_init(&body);
    enum status status = read_commit(api, client, commit, &body);
    snprintf(url, sizeof url, "%s/api/models/%s/tree/%s?recursive=true&expand=false",
             api->settings->endpoint, api->name->id, commit);
    for (int page = 0; status == OK; page++) {
        TRY_DONE(get_json(api, client, url, &answer, &body));
        TRY_DONE(hub_listing_add(out, url, body.data ? body.data : "", body.length));
        if (!answer.next[0])
            break;
        if (page == PAGES_MAX || !hub_http.owns(client, answer.next))
            status = fail(ERR_INPUT, "%s: the list of files goes on at %.200s, %s", url,
                          answer.next, page == PAGES_MAX ? "page after page" : "another host");
        snprintf(url, sizeof url, "%s", answer.next);
    }
done:
    bytes_fini(&body);
    return status;
}
