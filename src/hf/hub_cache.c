// Source: huggingface_hub, the cache's layout (docs: "Understand caching").
#include "hf/hub_cache.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/name_list.h"

enum { SHORT_COMMIT_MIN = 7, NAMES_SHOWN = 400 };

enum status hub_cache_folder(const struct hub_settings *settings, const char *id, char *out)
{
    const char *slash = strchr(id, '/');
    char name[HUB_ID_MAX + 16];
    int first = slash ? (int)(slash - id) : 0;
    snprintf(name, sizeof name, "models--%.*s%s%s", first, id, slash ? "--" : "",
             slash ? slash + 1 : id);
    return file_join(settings->cache, name, out);
}

static const struct hub_snapshot *named(const struct hub_repository *r, const char *commit)
{
    for (size_t i = 0; i < r->n_snapshots; i++)
        if (strcmp(r->snapshots[i].commit, commit) == 0)
            return &r->snapshots[i];
    return NULL;
}

// The only one, or the only one that begins with `text`.
static enum status find_single(const struct hub_repository *r, const char *id, const char *text,
                               const struct hub_snapshot **out)
{
    char names[NAMES_SHOWN] = "";
    int n = 0;
    for (size_t i = 0; i < r->n_snapshots; i++) {
        if (strncmp(r->snapshots[i].commit, text, strlen(text)) != 0)
            continue;
        *out = &r->snapshots[i];
        name_list_add(names, sizeof names, (*out)->commit);
        n++;
    }
    if (n <= 1)
        return OK;
    *out = NULL;
    return fail(ERR_INPUT,
                "%s%s%s is ambiguous: %d snapshots in %s could be meant (%s); expected one of them "
                "behind %s@",
                id, *text ? "@" : "", text, n, r->folder, names, id);
}

enum status hub_cache_snapshot(const struct hub_repository *r, const struct hub_name *name,
                               const struct hub_snapshot **out)
{
    *out = NULL;
    for (size_t i = 0; i < r->n_refs; i++) {
        if (strcmp(r->refs[i].name, name->revision) != 0)
            continue;
        if (!r->refs[i].commit[0])
            return fail(ERR_INPUT,
                        "%s: holds no name of a snapshot; expected a commit's 40 digits "
                        "(`colrow pull %s` writes it again)",
                        r->refs[i].path, name->id);
        *out = named(r, r->refs[i].commit);
        return OK;
    }
    *out = named(r, name->revision);
    size_t length = strlen(name->revision);
    if (*out || !name->revision_given)
        return *out ? OK : find_single(r, name->id, "", out);
    if (length < SHORT_COMMIT_MIN || !hub_digits_are(name->revision, length))
        return OK;
    return find_single(r, name->id, name->revision, out);
}

// `text` may also be a folder that is not there: models/demo looks like a repository.
static enum status not_cached(const struct hub_settings *settings, const char *given,
                              const struct hub_repository *r)
{
    char have[NAMES_SHOWN] = "", other[NAMES_SHOWN + 64] = "";
    for (size_t i = 0; i < r->n_refs; i++)
        name_list_add(have, sizeof have, r->refs[i].name);
    if (*have)
        snprintf(other, sizeof other, " (there are: %s)", have);
    return fail(ERR_INPUT,
                "%s: does not exist as a folder, and no such repository or revision is in the "
                "cache %s%s; %s`colrow pull %s` fetches it",
                given, settings->cache, other,
                settings->offline ? "HF_HUB_OFFLINE is set: without it, " : "", given);
}

static enum status check_whole(const struct hub_snapshot *s, const char *given)
{
    bool has_config = false;
    for (size_t i = 0; i < s->n_files; i++) {
        if (s->files[i].missing)
            return fail(ERR_INPUT,
                        "%s: the cache is broken: %s/%s links to %s, which is not there (%zu of "
                        "%zu files are missing); `colrow pull %s` fetches what is missing",
                        given, s->folder, s->files[i].path, s->files[i].blob, s->n_missing,
                        s->n_files, given);
        has_config = has_config || strcmp(s->files[i].path, "config.json") == 0;
    }
    if (has_config)
        return OK;
    return fail(ERR_INPUT,
                "%s: %s has no config.json: its download was cut off, or it is no model for "
                "transformers; `colrow pull %s` fetches what is missing",
                given, s->folder, given);
}

enum status hub_cache_find(const char *given, char *out)
{
    struct hub_settings settings;
    struct hub_name name;
    struct hub_repository repository = {0};
    const struct hub_snapshot *snapshot;
    char folder[FILE_PATH_MAX];
    TRY(hub_name_read(given, &name));
    TRY(hub_settings_read(&settings));
    TRY(hub_cache_folder(&settings, name.id, folder));
    TRY(hub_repository_read(folder, name.id, &repository));
    enum status status = hub_cache_snapshot(&repository, &name, &snapshot);
    if (status == OK && !snapshot)
        status = not_cached(&settings, given, &repository);
    else if (status == OK)
        status = check_whole(snapshot, given);
    if (status == OK && snapshot)
        snprintf(out, FILE_PATH_MAX, "%s", snapshot->folder);
    hub_repository_fini(&repository);
    return status;
}
