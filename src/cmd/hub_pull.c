#include "cmd/hub_pull.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/progress.h"
#include "cmd/interrupt.h"

enum { PULL_WORKERS = 8 };
static const int64_t pull_part_bytes = INT64_C(64) << 20;

static bool pull_interrupted(void *context)
{
    (void)context;
    return interrupt_seen() != 0;
}

void hub_pull_init(struct hub_pull *pull)
{
    *pull = (struct hub_pull){.options = {.workers = PULL_WORKERS, .part_bytes = pull_part_bytes}};
    hub_listing_init(&pull->listing);
}

void hub_pull_fini(struct hub_pull *pull)
{
    hub_listing_fini(&pull->listing);
}

enum status hub_pull_begin(struct hub_pull *pull, const char *given)
{
    struct hub_client *client = NULL;
    TRY(hub_name_read(given, &pull->name));
    TRY(hub_settings_read(&pull->settings));
    TRY(hub_token_read(&pull->settings, pull->token));
    if (pull->settings.offline)
        return fail(ERR_USAGE,
                    "%s: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so nothing is "
                    "fetched; unset it",
                    given);
    pull->api = (struct hub_api){.settings = &pull->settings,
                                 .name = &pull->name,
                                 .has_token = pull->token[0] != '\0',
                                 .stopped = pull_interrupted};
    pull->options.token = pull->token;
    TRY(hub_http.open(&pull->settings, pull->token, pull_interrupted, NULL, &client));
    enum status status = hub_api_listing(&pull->api, client, pull->commit, &pull->listing);
    hub_http.close(client);
    return status;
}

static enum status check_space(const struct hub_pull *pull, const struct hub_store *store,
                               uint64_t needed)
{
    uint64_t room;
    TRY(hub_store_room(store, &room));
    if (needed <= room)
        return OK;
    return fail(ERR_IO,
                "%s: %s are to be fetched, and the file system of %s has room for %s; set "
                "HF_HUB_CACHE to another one, or remove something (colrow list, colrow rm)",
                pull->name.id, show_bytes((double)needed), pull->settings.cache,
                show_bytes((double)room));
}

enum status hub_pull_files(struct hub_pull *pull, const struct hub_store *store, uint64_t more)
{
    struct hub_need need;
    TRY(hub_fetch_need(store, &pull->listing, &need));
    TRY(check_space(pull, store, need.space + more));
    if (need.bytes)
        log_info("%s@%.8s: %zu file%s, %s to fetch", pull->name.id, pull->commit, need.n_files,
                 need.n_files == 1 ? "" : "s", show_bytes((double)need.bytes));
    double begun = clock_seconds();
    TRY(hub_fetch_all(&pull->api, store, &pull->listing, &pull->options, need.bytes));
    if (need.bytes)
        log_info("%s: fetched and checked in %.1f s", pull->name.id, clock_seconds() - begun);
    return OK;
}

enum status hub_pull_snapshot(struct hub_pull *pull, char *folder)
{
    struct hub_store store;
    TRY(hub_store_open(&pull->settings, pull->name.id, pull->commit, HUB_STORE_SNAPSHOT, &store));
    TRY(hub_store_tree(&store, &pull->listing));
    TRY(hub_pull_files(pull, &store, 0));
    TRY(hub_store_ref(&store, pull->name.revision));
    return hub_store_folder(&store, folder);
}
