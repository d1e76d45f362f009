// Source: huggingface_hub, utils/_cache_manager.py (scan_cache_dir).
#include "hf/hub_snapshot.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "hf/hub_name.h"

enum { REF_BYTES_MAX = 4096 };

struct dirent *hub_next_entry(DIR *folder)
{
    for (struct dirent *entry = readdir(folder); entry; entry = readdir(folder))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            return entry;
    return NULL;
}

bool hub_id_of_folder(const char *folder_name, char *out, size_t room)
{
    static const char kind[] = "models--";
    size_t length = strlen(kind), n = 0;
    if (strncmp(folder_name, kind, length) != 0)
        return false;
    for (const char *at = folder_name + length; *at && n + 1 < room; at++) {
        bool slash = at[0] == '-' && at[1] == '-';
        out[n++] = *at;
        if (slash)
            out[n - 1] = '/';
        at += slash;
    }
    out[n] = '\0';
    return n > 0;
}

enum status hub_ref_read(const char *path, char *out)
{
    struct bytes text;
    bytes_init(&text);
    out[0] = '\0';
    enum status status = file_read(path, REF_BYTES_MAX, &text);
    size_t length = status == OK ? text.length : 0;
    while (length && (text.data[length - 1] == '\n' || text.data[length - 1] == ' '))
        length--;
    if (length && length <= HUB_FOLDER_NAME_MAX && !memchr(text.data, '/', length) &&
        !memchr(text.data, '\0', length) && text.data[0] != '.')
        snprintf(out, HUB_FOLDER_NAME_MAX + 1, "%.*s", (int)length, text.data);
    bytes_fini(&text);
    return status;
}

// The arrays grow by doubling inside the arena: what they leave behind is released with it.
static enum status grow_in(struct arena *arena, void *array, size_t n, size_t item_bytes)
{
    if (n & (n - 1)) // room up to the next power of two
        return OK;
    void **items = array, *more;
    TRY(arena_take(arena, n ? 2 * n : 1, item_bytes, &more));
    if (n)
        memcpy(more, *items, n * item_bytes);
    *items = more;
    return OK;
}

static enum status add_snapshot_file(struct hub_snapshot *s, struct arena *arena, const char *path,
                                     const struct stat *itself)
{
    char link[FILE_PATH_MAX] = "";
    struct stat info;
    if (s->n_files == HUB_FILES_MAX)
        return fail(ERR_INPUT, "%s: has more than %d files", s->folder, HUB_FILES_MAX);
    TRY(grow_in(arena, &s->files, s->n_files, sizeof *s->files));
    struct hub_file *file = &s->files[s->n_files];
    *file = (struct hub_file){0};
    if (S_ISLNK(itself->st_mode)) {
        ssize_t n = readlink(path, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
    }
    file->missing = stat(path, &info) != 0;
    if (!file->missing) {
        file->bytes = (uint64_t)info.st_size;
        file->device = (uint64_t)info.st_dev;
        file->inode = (uint64_t)info.st_ino;
        file->used = info.st_atime > info.st_mtime ? info.st_atime : info.st_mtime;
    }
    const char *below = path + strlen(s->folder) + 1;
    TRY(arena_text(arena, below, strlen(below), &file->path));
    TRY(arena_text(arena, link, strlen(link), &file->blob));
    s->n_files++;
    s->n_missing += file->missing;
    s->bytes += file->bytes; // at most 65,536 files that a file system holds
    if (file->used > s->used)
        s->used = file->used;
    return OK;
}

static enum status walk(struct hub_snapshot *s, struct arena *arena, const char *folder, int deep)
{
    if (deep > HUB_FOLDERS_DEEP_MAX)
        return fail(ERR_INPUT, "%s: has more than %d folders in each other", s->folder,
                    HUB_FOLDERS_DEEP_MAX);
    DIR *dir = opendir(folder);
    if (!dir)
        return fail_errno("open", folder);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = hub_next_entry(dir));) {
        char path[FILE_PATH_MAX];
        struct stat itself;
        status = file_join(folder, entry->d_name, path);
        if (status != OK || lstat(path, &itself) != 0)
            continue; // it left meanwhile
        status = S_ISDIR(itself.st_mode) ? walk(s, arena, path, deep + 1)
                                         : add_snapshot_file(s, arena, path, &itself);
    }
    closedir(dir);
    return status;
}

enum status hub_snapshot_read(const char *folder, struct arena *arena, struct hub_snapshot *out)
{
    *out = (struct hub_snapshot){0};
    const char *name = strrchr(folder, '/');
    name = name ? name + 1 : folder;
    TRY(arena_text(arena, folder, strlen(folder), &out->folder));
    TRY(arena_text(arena, name, strlen(name), &out->commit));
    return walk(out, arena, folder, 0);
}

static enum status read_snapshots(struct hub_repository *r)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
    TRY(file_join(r->folder, "snapshots", folder));
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? OK : fail_errno("open", folder);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = hub_next_entry(dir));) {
        TRY_DONE(file_join(folder, entry->d_name, path));
        if (entry->d_name[0] == '.' || !file_is_folder(path))
            continue;
        if (r->n_snapshots == HUB_SNAPSHOTS_MAX) {
            status = fail(ERR_INPUT, "%s: has more than %d folders", folder, HUB_SNAPSHOTS_MAX);
            break;
        }
        TRY_DONE(grow_in(&r->arena, &r->snapshots, r->n_snapshots, sizeof *r->snapshots));
        TRY_DONE(hub_snapshot_read(path, &r->arena, &r->snapshots[r->n_snapshots]));
        r->n_snapshots++;
    }
done:
    closedir(dir);
    return status;
}

static enum status add_ref(struct hub_repository *r, const char *path, size_t prefix)
{
    char commit[HUB_FOLDER_NAME_MAX + 1];
    if (r->n_refs == HUB_REFS_MAX)
        return fail(ERR_INPUT, "%s: has more than %d refs", r->folder, HUB_REFS_MAX);
    TRY(hub_ref_read(path, commit));
    TRY(grow_in(&r->arena, &r->refs, r->n_refs, sizeof *r->refs));
    struct hub_ref *ref = &r->refs[r->n_refs];
    TRY(arena_text(&r->arena, path, strlen(path), &ref->path));
    TRY(arena_text(&r->arena, commit, strlen(commit), &ref->commit));
    ref->name = ref->path + prefix;
    r->n_refs++;
    return OK;
}

static enum status walk_refs(struct hub_repository *r, const char *folder, size_t prefix, int deep)
{
    DIR *dir = deep > HUB_FOLDERS_DEEP_MAX ? NULL : opendir(folder);
    if (!dir)
        return deep || errno == ENOENT ? OK : fail_errno("open", folder);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = hub_next_entry(dir));) {
        char path[FILE_PATH_MAX];
        struct stat itself;
        status = file_join(folder, entry->d_name, path);
        if (status != OK || lstat(path, &itself) != 0 || entry->d_name[0] == '.')
            continue;
        if (S_ISDIR(itself.st_mode))
            status = walk_refs(r, path, prefix, deep + 1);
        else if (S_ISREG(itself.st_mode))
            status = add_ref(r, path, prefix);
    }
    closedir(dir);
    return status;
}

// What a download that was cut off has left, of colrow's (.colrow/) and of huggingface_hub's.
static void count_unfinished(struct hub_repository *r)
{
    static const char *const places[] = {"blobs", ".colrow"};
    for (int i = 0; i < 2; i++) {
        char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
        DIR *dir = file_join(r->folder, places[i], folder) == OK ? opendir(folder) : NULL;
        for (struct dirent *entry; dir && (entry = hub_next_entry(dir));) {
            struct stat info;
            const char *end = strrchr(entry->d_name, '.');
            bool counts = i == 1 || (end && strcmp(end, ".incomplete") == 0);
            if (counts && file_join(folder, entry->d_name, path) == OK && lstat(path, &info) == 0)
                r->unfinished += (uint64_t)info.st_blocks * 512; // they have holes
        }
        if (dir)
            closedir(dir);
    }
}

enum status hub_repository_read(const char *folder, const char *id, struct hub_repository *out)
{
    char refs[FILE_PATH_MAX];
    *out = (struct hub_repository){0};
    arena_init(&out->arena);
    enum status status = arena_text(&out->arena, folder, strlen(folder), &out->folder);
    if (status == OK)
        status = arena_text(&out->arena, id, strlen(id), &out->id);
    if (status == OK)
        status = read_snapshots(out);
    if (status == OK)
        status = file_join(folder, "refs", refs);
    if (status == OK)
        status = walk_refs(out, refs, strlen(refs) + 1, 0);
    if (status == OK)
        count_unfinished(out);
    else
        hub_repository_fini(out);
    return status;
}

void hub_repository_fini(struct hub_repository *repository)
{
    arena_fini(&repository->arena);
    *repository = (struct hub_repository){0};
}
