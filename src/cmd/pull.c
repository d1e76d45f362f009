// `colrow pull`: a repository from the HuggingFace hub into its cache.
#include "cmd/commands.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/hub_api.h"
#include "cmd/hub_fetch.h"
#include "cmd/interrupt.h"
#include "hf/hub_cache.h"
#include "hf/hub_store.h"

enum { PART_BYTES_MIN = 4096, WORKERS = 8 };
static const int64_t part_bytes = INT64_C(64) << 20;

struct pull {
    struct hub_fetch_options options;
    struct flag_texts include;
    bool dry_run, quiet;
    struct hub_settings settings;
    struct hub_name name;
    char token[HUB_TOKEN_MAX + 1];
    char commit[HUB_COMMIT_DIGITS + 1];
    struct hub_listing listing;
};

static bool pull_interrupted(void *context)
{
    (void)context;
    return interrupt_seen() != 0;
}

static enum status say_files(const struct pull *p)
{
    struct table t;
    table_init(&t, 2);
    table_cell(&t, "file");
    table_cell(&t, "size");
    for (size_t i = 0; i < p->listing.n; i++) {
        const struct hub_entry *entry = &p->listing.entries[i];
        if (!entry->wanted)
            continue;
        table_cell(&t, "%s", entry->path);
        table_cell(&t, "%s", show_bytes((double)entry->bytes));
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

static enum status check_space(const struct pull *p, const struct hub_store *store,
                               const struct hub_need *need)
{
    uint64_t room;
    TRY(hub_store_room(store, &room));
    if (need->space <= room)
        return OK;
    return fail(ERR_IO,
                "%s: %s are to be fetched, and the file system of %s has room for %s; set "
                "HF_HUB_CACHE to another one, or remove something (colrow list, colrow rm)",
                p->name.id, show_bytes((double)need->space), p->settings.cache,
                show_bytes((double)room));
}

static enum status fetch(const struct pull *p, const struct hub_api *api)
{
    struct hub_store store;
    TRY(hub_store_open(&p->settings, p->name.id, p->commit, &store));
    struct hub_need need;
    TRY(hub_fetch_need(&store, &p->listing, &need));
    TRY(check_space(p, &store, &need));
    TRY(hub_store_tree(&store, &p->listing));
    if (need.bytes)
        log_info("%s@%.8s: %zu file%s, %s to fetch", p->name.id, p->commit, need.n_files,
                 need.n_files == 1 ? "" : "s", show_bytes((double)need.bytes));
    double begun = clock_seconds();
    TRY(hub_fetch_all(api, &store, &p->listing, &p->options, need.bytes));
    TRY(hub_store_ref(&store, p->name.revision));
    if (need.bytes)
        log_info("%s: fetched and checked in %.1f s", p->name.id, clock_seconds() - begun);
    output_print("%s/snapshots/%s\n", store.folder, p->commit);
    return output_flush();
}

static enum status run_pull(struct pull *p, const char *given)
{
    struct hub_client *client = NULL;
    TRY(hub_name_read(given, &p->name));
    TRY(hub_settings_read(&p->settings));
    TRY(hub_token_read(&p->settings, p->token));
    if (p->settings.offline)
        return fail(ERR_USAGE,
                    "%s: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set, so nothing is "
                    "fetched; unset it",
                    given);
    const struct hub_api api = {.settings = &p->settings,
                                .name = &p->name,
                                .has_token = p->token[0] != '\0',
                                .stopped = pull_interrupted};
    p->options.token = p->token;
    TRY(hub_http.open(&p->settings, p->token, pull_interrupted, NULL, &client));
    enum status status = hub_api_listing(&api, client, p->commit, &p->listing);
    hub_http.close(client);
    TRY(status);
    TRY(hub_listing_choose(&p->listing, p->name.id, p->include.items, p->include.n));
    return p->dry_run ? say_files(p) : fetch(p, &api);
}

static int pull_main(int argc, char **argv);
#define AT(field) offsetof(struct pull, field)
static const struct flag pull_flags[] = {
    {FLAG_TEXTS, "--include", NULL, AT(include), 0, 0, "PATTERN",
     "files to fetch, as '*.json', instead of those that colrow reads; may be repeated"},
    {FLAG_INT, "--max-workers", NULL, AT(options.workers), 1, HUB_WORKERS_MAX, "N",
     "connections at once (default: 8)"},
    {FLAG_BYTES, "--part-size", NULL, AT(options.part_bytes), PART_BYTES_MIN, 0, "SIZE",
     "what one request asks for; larger files come in several (default: 64MiB)"},
    {FLAG_ON, "--quiet", "-q", AT(quiet), 0, 0, NULL, "no progress, only the folder"},
    {FLAG_ON, "--dry-run", NULL, AT(dry_run), 0, 0, NULL, "show the files, fetch nothing"},
};
const struct command command_pull = {
    .name = "pull",
    .brief = "fetch a repository from the HuggingFace hub",
    .positional = "REPOSITORY",
    .summary = "Fetches org/name or org/name@revision into HuggingFace's cache: of its files "
               "those that colrow\nreads, in parallel, checked against the hub's hashes. What was "
               "cut off goes on where it ended.\nPrints the folder. HF_TOKEN, HF_ENDPOINT, HF_HOME "
               "and HF_HUB_CACHE are used.",
    .examples = "  colrow pull org/name\n  colrow pull org/name@refs/pr/1 --dry-run",
    .sections = {FLAG_SECTION(pull_flags, 0)},
    .run = pull_main,
};

static int pull_main(int argc, char **argv)
{
    struct pull p = {.options = {.workers = WORKERS, .part_bytes = part_bytes}};
    bool helped;
    int n_positional;
    const char *given = NULL;
    hub_listing_init(&p.listing);
    interrupts_catch();
    enum status status =
        flags_parse(&command_pull, &p, argc, argv, &given, 1, &n_positional, &helped);
    if (p.quiet)
        log_set_level(LOG_WARNING);
    if (status == OK && !helped)
        status = given ? run_pull(&p, given)
                       : fail(ERR_USAGE, "no repository: colrow pull org/name[@revision]");
    hub_listing_fini(&p.listing);
    free(p.include.items);
    return status == OK ? 0 : flags_failed(status);
}
