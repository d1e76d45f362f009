// Source: huggingface_hub, the cache's layout (docs: "Understand caching").
#include "hf/model_folder.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/name_list.h"
#include "hf/hub_cache.h"
#include "hf/hub_snapshot.h"

static enum status take_path(const char *path, char *out)
{
    if (strlen(path) >= FILE_PATH_MAX)
        return fail(ERR_INPUT, "%.200s...: the path has %zu bytes; expected at most %d", path,
                    strlen(path), FILE_PATH_MAX - 1);
    memcpy(out, path, strlen(path) + 1);
    return OK;
}

// The revision that refs/main names; "" where there is no such file.
static enum status read_reference(const char *given, char *out)
{
    char path[FILE_PATH_MAX];
    *out = '\0';
    TRY(file_join(given, "refs/main", path));
    if (!file_exists(path))
        return OK;
    TRY(hub_ref_read(path, out));
    return *out ? OK : fail(ERR_INPUT, "%s: holds no name of a folder in snapshots", path);
}

// Of several none is chosen.
static enum status find_only(const char *snapshots, char *out)
{
    char names[400] = "";
    int n = 0;
    DIR *dir = opendir(snapshots);
    if (!dir)
        return fail_errno("open", snapshots);
    for (const struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.')
            continue;
        n++;
        name_list_add(names, sizeof names, entry->d_name);
        snprintf(out, HUB_FOLDER_NAME_MAX + 1, "%s", entry->d_name);
    }
    closedir(dir);
    if (n == 1)
        return OK;
    return fail(
        ERR_INPUT,
        "%s: has %d revisions%s%s; expected refs/main beside it to name one, or the path of "
        "one of them",
        snapshots, n, n ? ": " : "", names);
}

enum status model_folder_find(const char *given, char *out)
{
    char snapshots[FILE_PATH_MAX], config[FILE_PATH_MAX], name[HUB_FOLDER_NAME_MAX + 1];
    TRY(take_path(given, out));
    if (hub_name_is(given) && !file_exists(given))
        return hub_cache_find(given, out);
    if (strlen(given) > FILE_PATH_MAX / 2) // then it is no cache
        return OK;
    TRY(file_join(given, "config.json", config));
    TRY(file_join(given, "snapshots", snapshots));
    if (file_exists(config) || !file_is_folder(snapshots))
        return OK;
    TRY(read_reference(given, name));
    if (!*name)
        TRY(find_only(snapshots, name));
    return file_join(snapshots, name, out);
}
