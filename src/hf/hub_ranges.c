#include "hf/hub_ranges.h"

#include <stdlib.h>
#include <string.h>

#include "base/file_writer.h"
#include "base/json.h"

#define RANGES_NOTE "colrow-ranges.json"
enum { RANGES_BYTES_MAX = 16 << 20, RANGES_FILES_MAX = 4096 };

static enum status note_path(const char *folder, char *out)
{
    return file_join(folder, RANGES_NOTE, out);
}

bool hub_ranges_are(const char *folder)
{
    char path[FILE_PATH_MAX];
    return note_path(folder, path) == OK && file_exists(path);
}

static enum status read_range_files(const json_t *files, const char *where, struct hub_ranges *out)
{
    size_t i;
    json_t *item;
    if (json_array_size(files) > RANGES_FILES_MAX)
        return fail(ERR_INPUT, "%s: names %zu files; expected at most %d", where,
                    json_array_size(files), RANGES_FILES_MAX);
    TRY(arena_take(&out->arena, json_array_size(files) + 1, sizeof *out->files, &out->files));
    json_array_foreach(files, i, item)
    {
        const char *path;
        char *copy;
        int64_t bytes;
        if (!json_is_object(item))
            return fail(ERR_INPUT, "%s: expected objects as files, found %s", where,
                        json_kind(item));
        TRY(json_get_text(item, where, "path", &path, NULL));
        TRY(json_get_int(item, where, "bytes", 0, (int64_t)HUB_FILE_BYTES_MAX, &bytes, NULL));
        if (!hub_path_is(path))
            return fail(ERR_INPUT, "%s: \"%.200s\" is no path below a repository", where, path);
        TRY(arena_text(&out->arena, path, strlen(path), &copy));
        out->files[out->n_files++] = (struct hub_ranges_file){copy, (uint64_t)bytes};
    }
    return OK;
}

static enum status read_note(const json_t *root, const char *where, struct hub_ranges *out)
{
    const char *id, *commit;
    struct hub_name name;
    json_t *files;
    TRY(json_get_text(root, where, "repository", &id, NULL));
    TRY(json_get_text(root, where, "commit", &commit, NULL));
    TRY(json_get_array(root, where, "files", &files, NULL));
    if (!hub_name_is(id) || hub_name_read(id, &name) != OK || name.revision_given ||
        !hub_commit_is(commit))
        return fail(ERR_INPUT, "%s: expected a repository's name and a commit's %d digits", where,
                    HUB_COMMIT_DIGITS);
    memcpy(out->id, name.id, sizeof out->id);
    memcpy(out->commit, commit, sizeof out->commit);
    return read_range_files(files, where, out);
}

enum status hub_ranges_read(const char *folder, struct hub_ranges *out)
{
    char path[FILE_PATH_MAX];
    json_t *root;
    *out = (struct hub_ranges){0};
    arena_init(&out->arena);
    TRY(note_path(folder, path));
    TRY(json_file(path, RANGES_BYTES_MAX, &root));
    enum status status = json_is_object(root) ? read_note(root, path, out)
                                              : fail(ERR_INPUT, "%s: expected an object, found %s",
                                                     path, json_kind(root));
    json_decref(root);
    if (status != OK)
        hub_ranges_fini(out);
    return status;
}

void hub_ranges_fini(struct hub_ranges *ranges)
{
    arena_fini(&ranges->arena);
    *ranges = (struct hub_ranges){0};
}

enum status hub_ranges_write(const char *folder, const char *id, const char *commit,
                             const struct hub_listing *listing)
{
    char path[FILE_PATH_MAX];
    json_t *files = json_array();
    for (size_t i = 0; i < listing->n; i++) {
        const struct hub_entry *entry = &listing->entries[i];
        if (entry->wanted)
            json_array_append_new(files, json_pack("{s:s, s:I}", "path", entry->path, "bytes",
                                                   (json_int_t)entry->bytes));
    }
    json_t *root = json_pack("{s:s, s:s, s:o}", "repository", id, "commit", commit, "files", files);
    char *text = root ? json_dumps(root, JSON_INDENT(1)) : NULL;
    json_decref(root);
    if (!text)
        return fail_memory(listing->n * sizeof *listing->entries, "the list of files");
    enum status status = note_path(folder, path);
    if (status == OK)
        status = file_write(path, text, strlen(text));
    free(text);
    return status;
}

const struct hub_ranges_file *hub_ranges_find(const struct hub_ranges *ranges, const char *path)
{
    for (size_t i = 0; i < ranges->n_files; i++)
        if (strcmp(ranges->files[i].path, path) == 0)
            return &ranges->files[i];
    return NULL;
}
