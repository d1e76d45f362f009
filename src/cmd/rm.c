// `colrow rm`: removes repositories from HuggingFace's cache.
#include "cmd/commands.h"

#include <stddef.h>
#include <stdio.h>

#include "base/file.h"
#include "base/output.h"
#include "base/progress.h"
#include "hf/hub_cache.h"
#include "hf/hub_remove.h"

enum { REMOVED_AT_ONCE_MAX = 64 };

static enum status say_removed(const char *given, const struct hub_removal *gone)
{
    output_print("%s: removed %zu file%s and %zu ref%s, %s\n", given, gone->n_blobs,
                 gone->n_blobs == 1 ? "" : "s", gone->n_refs, gone->n_refs == 1 ? "" : "s",
                 show_bytes((double)gone->bytes));
    return output_flush();
}

static enum status remove_from(const struct hub_settings *settings,
                               const struct hub_repository *repository, const struct hub_name *name,
                               const char *given)
{
    const struct hub_snapshot *snapshot = NULL;
    struct hub_removal gone;
    if (name->revision_given)
        TRY(hub_cache_snapshot(repository, name, &snapshot));
    if (name->revision_given && !snapshot)
        return fail(ERR_INPUT, "%s: no such revision is in %s; `colrow list` shows what is", given,
                    repository->folder);
    // As `hf cache rm`: with the last snapshot goes what belongs to all of them.
    if (!snapshot || repository->n_snapshots == 1)
        TRY(hub_remove_repository(settings, repository, &gone));
    else
        TRY(hub_remove_snapshot(repository, snapshot, &gone));
    return say_removed(given, &gone);
}

static enum status remove_given(const char *given)
{
    struct hub_settings settings;
    struct hub_name name;
    struct hub_repository repository;
    char folder[FILE_PATH_MAX];
    TRY(hub_name_read(given, &name));
    TRY(hub_settings_read(&settings));
    TRY(hub_cache_folder(&settings, name.id, folder));
    if (!file_is_folder(folder))
        return fail(ERR_INPUT, "%s: is not in the cache %s; `colrow list` shows what is", name.id,
                    settings.cache);
    TRY(hub_repository_read(folder, name.id, &repository));
    enum status status = remove_from(&settings, &repository, &name, given);
    hub_repository_fini(&repository);
    return status;
}

static int rm_main(int argc, char **argv);
const struct command command_rm = {
    .name = "rm",
    .brief = "remove repositories from HuggingFace's cache",
    .positional = "REPOSITORY...",
    .summary = "Removes org/name, or of org/name@revision one snapshot: its refs, its links, and "
               "the files that\nno other revision of the repository has. Nothing is asked.",
    .examples = "  colrow rm org/name\n  colrow rm org/name@refs/pr/1 org/other@4567def",
    .run = rm_main,
};

static int rm_main(int argc, char **argv)
{
    const char *given[REMOVED_AT_ONCE_MAX];
    char none = 0;
    bool helped;
    int n = 0;
    enum status status =
        flags_parse(&command_rm, &none, argc, argv, given, REMOVED_AT_ONCE_MAX, &n, &helped);
    if (status == OK && !helped && n == 0)
        status = fail(ERR_USAGE, "no repository: colrow rm org/name[@revision]");
    for (int i = 0; status == OK && i < n; i++)
        status = remove_given(given[i]);
    return status == OK ? 0 : flags_failed(status);
}
