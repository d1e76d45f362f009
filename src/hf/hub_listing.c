// Source: huggingface_hub, hf_api.py (RepoFile) and _snapshot_download.py.
#include "hf/hub_listing.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "hf/hub_name.h"

void hub_listing_init(struct hub_listing *listing)
{
    *listing = (struct hub_listing){0};
    arena_init(&listing->arena);
}

void hub_listing_fini(struct hub_listing *listing)
{
    arena_fini(&listing->arena);
    free(listing->entries);
    *listing = (struct hub_listing){0};
}

enum status hub_listing_commit(const char *where, const char *text, size_t length, char *commit,
                               char *id)
{
    json_t *root;
    const char *sha, *name = "";
    bool found;
    TRY(json_parse(where, text, length, &root));
    enum status status = json_get_text(root, where, "sha", &sha, NULL);
    if (status == OK && !hub_commit_is(sha))
        status = fail(ERR_INPUT, "%s: key \"sha\" is \"%.80s\"; expected a commit's %d digits",
                      where, sha, HUB_COMMIT_DIGITS);
    if (status == OK)
        status = json_get_text(root, where, "id", &name, &found);
    if (status == OK) {
        snprintf(commit, HUB_COMMIT_DIGITS + 1, "%s", sha);
        snprintf(id, HUB_ID_MAX + 1, "%s", strlen(name) <= HUB_ID_MAX ? name : "");
    }
    json_decref(root);
    return status;
}

static enum status read_hash(const json_t *object, const char *where, const char *path, size_t n,
                             char *out)
{
    const char *text;
    TRY(json_get_text(object, where, "oid", &text, NULL));
    if (!hub_digits_are(text, n))
        return fail(ERR_INPUT, "%s: the hash of %s is \"%.80s\"; expected %zu hexadecimal digits",
                    where, path, text, n);
    memcpy(out, text, n + 1);
    return OK;
}

static enum status read_hub_entry(const json_t *object, const char *where,
                                  struct hub_listing *listing)
{
    const char *type, *path;
    json_t *lfs;
    bool is_lfs;
    int64_t bytes;
    const int64_t most = (int64_t)HUB_FILE_BYTES_MAX;
    TRY(json_get_text(object, where, "type", &type, NULL));
    if (strcmp(type, "file") != 0)
        return OK;
    TRY(json_get_text(object, where, "path", &path, NULL));
    if (!hub_path_is(path))
        return fail(ERR_INPUT,
                    "%s: a file is called \"%.200s\"; expected a path below the repository, of at "
                    "most %d bytes",
                    where, path, HUB_PATH_MAX);
    if (listing->n == HUB_FILES_MAX)
        return fail(ERR_INPUT, "%s: the repository has more than %d files", where, HUB_FILES_MAX);
    TRY(memory_grow(&listing->entries, &listing->capacity, listing->n + 1, sizeof *listing->entries,
                    "the list of files"));
    struct hub_entry *entry = &listing->entries[listing->n];
    *entry = (struct hub_entry){0};
    TRY(read_hash(object, where, path, HUB_SHA1_DIGITS, entry->oid));
    TRY(json_get_object(object, where, "lfs", &lfs, &is_lfs));
    if (is_lfs)
        TRY(read_hash(lfs, where, path, HUB_SHA256_DIGITS, entry->sha256));
    TRY(json_get_int(is_lfs ? lfs : object, where, "size", 0, most, &bytes, NULL));
    entry->bytes = (uint64_t)bytes;
    TRY(arena_text(&listing->arena, path, strlen(path), &entry->path));
    listing->n++;
    return OK;
}

enum status hub_listing_add(struct hub_listing *listing, const char *where, const char *text,
                            size_t length)
{
    json_t *root, *item;
    size_t i;
    TRY(json_parse(where, text, length, &root));
    enum status status = OK;
    if (!json_is_array(root))
        status = fail(ERR_INPUT, "%s: expected a list of files, found %s", where, json_kind(root));
    json_array_foreach(root, i, item)
    {
        if (status == OK && !json_is_object(item))
            status = fail(ERR_INPUT, "%s: expected objects, found %s", where, json_kind(item));
        if (status == OK)
            status = read_hub_entry(item, where, listing);
    }
    json_decref(root);
    return status;
}

static bool is_weights(const char *path)
{
    return file_has_ending(path, ".safetensors") && !strchr(path, '/');
}

// Names that colrow reads: model.safetensors, and model-00001-of-00004.safetensors.
static bool is_model(const char *path)
{
    return is_weights(path) && strncmp(path, "model", 5) == 0 && (path[5] == '.' || path[5] == '-');
}

static bool is_text_of_model(const char *path)
{
    static const char *const ends[] = {".json", ".txt", ".model", ".jinja", ".tiktoken"};
    static const char templates[] = "additional_chat_templates/";
    if (strchr(path, '/') && strncmp(path, templates, sizeof templates - 1) != 0)
        return false;
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++)
        if (file_has_ending(path, ends[i]))
            return true;
    return false;
}

// One copy: the model's own names; else any that are no second, consolidated copy; else those.
static void choose_weights(struct hub_listing *listing)
{
    for (int tier = 0; tier < 3; tier++) {
        bool any = false;
        for (size_t i = 0; i < listing->n; i++) {
            struct hub_entry *entry = &listing->entries[i];
            bool fits = tier == 0   ? is_model(entry->path)
                        : tier == 1 ? is_weights(entry->path) &&
                                          strncmp(entry->path, "consolidated", 12) != 0
                                    : is_weights(entry->path);
            entry->wanted = entry->wanted || fits;
            any = any || fits;
        }
        if (any)
            return;
    }
}

static bool matches(const char *path, const char *const *patterns, int n)
{
    for (int i = 0; i < n; i++)
        if (fnmatch(patterns[i], path, FNM_NOESCAPE) == 0)
            return true;
    return false;
}

enum status hub_listing_choose(struct hub_listing *listing, const char *where,
                               const char *const *include, int n_include)
{
    bool any = false, weights = false, other = false;
    for (size_t i = 0; i < listing->n; i++) {
        struct hub_entry *entry = &listing->entries[i];
        entry->wanted =
            n_include ? matches(entry->path, include, n_include) : is_text_of_model(entry->path);
        any = any || entry->wanted;
        weights = weights || is_weights(entry->path);
        other = other || file_has_ending(entry->path, ".bin") ||
                file_has_ending(entry->path, ".gguf") || file_has_ending(entry->path, ".pth");
    }
    if (n_include)
        return any ? OK : fail(ERR_USAGE, "%s: no file matches --include", where);
    if (!weights)
        return fail(ERR_INPUT,
                    "%s: has no safetensors at its top%s; expected model.safetensors or its parts "
                    "(--include '*' fetches whatever there is)",
                    where, other ? ", only weights of another format (.bin, .pth, .gguf)" : "");
    choose_weights(listing);
    return OK;
}

const char *hub_entry_blob(const struct hub_entry *entry)
{
    return entry->sha256[0] ? entry->sha256 : entry->oid;
}

static json_t *entry_json(const struct hub_entry *e)
{
    if (!e->sha256[0])
        return json_pack("{s:I, s:s}", "size", (json_int_t)e->bytes, "blob_id", e->oid);
    return json_pack("{s:I, s:s, s:s, s:I}", "size", (json_int_t)e->bytes, "blob_id", e->oid,
                     "lfs_sha256", e->sha256, "lfs_size", (json_int_t)e->bytes);
}

enum status hub_listing_json(const struct hub_listing *listing, struct bytes *out)
{
    json_t *files = json_object();
    for (size_t i = 0; i < listing->n; i++)
        json_object_set_new(files, listing->entries[i].path, entry_json(&listing->entries[i]));
    json_t *root = json_pack("{s:i, s:o}", "format_version", 1, "files", files);
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    if (!text)
        return fail_memory(listing->n * sizeof *listing->entries, "the list of files");
    bytes_clear(out);
    enum status status = bytes_text(out, text);
    free(text);
    return status;
}
