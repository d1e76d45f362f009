// `colrow pull`: a repository from the HuggingFace hub into its cache.
#include "cmd/commands.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/hub_pull.h"
#include "cmd/interrupt.h"

enum { PART_BYTES_MIN = 4096 };

struct pull {
    struct hub_pull hub;
    struct flag_texts include;
    bool dry_run, quiet;
};

static enum status say_files(const struct hub_listing *listing)
{
    struct table t;
    table_init(&t, 2);
    table_cell(&t, "file");
    table_cell(&t, "size");
    for (size_t i = 0; i < listing->n; i++) {
        const struct hub_entry *entry = &listing->entries[i];
        if (!entry->wanted)
            continue;
        table_cell(&t, "%s", entry->path);
        table_cell(&t, "%s", show_bytes((double)entry->bytes));
    }
    enum status status = table_print(&t, output());
    table_fini(&t);
    return status;
}

static enum status run_pull(struct pull *p, const char *given)
{
    char folder[FILE_PATH_MAX];
    TRY(hub_pull_begin(&p->hub, given));
    TRY(hub_listing_choose(&p->hub.listing, p->hub.name.id, p->include.items, p->include.n));
    if (p->dry_run)
        return say_files(&p->hub.listing);
    TRY(hub_pull_snapshot(&p->hub, folder));
    output_print("%s\n", folder);
    return output_flush();
}

static int pull_main(int argc, char **argv);
#define AT(field) offsetof(struct pull, field)
static const struct flag pull_flags[] = {
    {FLAG_TEXTS, "--include", NULL, AT(include), 0, 0, "PATTERN",
     "files to fetch, as '*.json', instead of those that colrow reads; may be repeated"},
    {FLAG_INT, "--max-workers", NULL, AT(hub.options.workers), 1, HUB_WORKERS_MAX, "N",
     "connections at once (default: 8)"},
    {FLAG_BYTES, "--part-size", NULL, AT(hub.options.part_bytes), PART_BYTES_MIN, 0, "SIZE",
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
    struct pull p = {0};
    bool helped;
    int n_positional;
    const char *given = NULL;
    hub_pull_init(&p.hub);
    interrupts_catch();
    enum status status =
        flags_parse(&command_pull, &p, argc, argv, &given, 1, &n_positional, &helped);
    if (p.quiet)
        log_set_level(LOG_WARNING);
    if (status == OK && !helped)
        status = given ? run_pull(&p, given)
                       : fail(ERR_USAGE, "no repository: colrow pull org/name[@revision]");
    hub_pull_fini(&p.hub);
    free(p.include.items);
    return status == OK ? 0 : flags_failed(status);
}
