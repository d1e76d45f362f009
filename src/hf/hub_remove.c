#include "hf/hub_remove.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static enum status remove_file(const char *path)
{
    return unlink(path) == 0 || errno == ENOENT ? OK : fail_errno("remove", path);
}

// A folder and what is in it. Links are removed, never followed.
static enum status remove_tree(const char *folder, struct hub_removal *out, int deep)
{
    if (deep > HUB_FOLDERS_DEEP_MAX)
        return fail(ERR_INPUT, "%s: there are more than %d folders in each other", folder,
                    HUB_FOLDERS_DEEP_MAX);
    DIR *dir = opendir(folder);
    if (!dir)
        return errno == ENOENT ? OK : fail_errno("open", folder);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = hub_next_entry(dir));) {
        char path[FILE_PATH_MAX];
        struct stat itself;
        status = file_join(folder, entry->d_name, path);
        if (status != OK || lstat(path, &itself) != 0)
            continue;
        if (S_ISDIR(itself.st_mode)) {
            status = remove_tree(path, out, deep + 1);
            continue;
        }
        status = remove_file(path);
        if (status == OK && S_ISREG(itself.st_mode) && itself.st_nlink == 1)
            out->bytes += (uint64_t)itself.st_blocks * 512;
    }
    closedir(dir);
    if (status == OK && rmdir(folder) != 0 && errno != ENOENT)
        status = fail_errno("remove", folder);
    return status;
}

static enum status remove_below(const char *folder, const char *name, struct hub_removal *out)
{
    char path[FILE_PATH_MAX];
    TRY(file_join(folder, name, path));
    return remove_tree(path, out, 0);
}

// commit NULL: all of them.
static enum status remove_refs(const struct hub_repository *r, const char *commit,
                               struct hub_removal *out)
{
    for (size_t i = 0; i < r->n_refs; i++) {
        if (commit && strcmp(r->refs[i].commit, commit) != 0)
            continue;
        TRY(remove_file(r->refs[i].path));
        out->n_refs++;
    }
    return OK;
}

static int compare_files(const void *a, const void *b)
{
    const struct hub_file *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->inode == y->inode ? 0 : x->inode < y->inode ? -1 : 1;
}

// What the other snapshots hold (of none: all), in order, for bsearch().
static enum status list_kept(const struct hub_repository *r, const struct hub_snapshot *leaving,
                             struct hub_file **out, size_t *n)
{
    size_t count = 0;
    *n = 0;
    for (size_t i = 0; i < r->n_snapshots; i++)
        count += r->snapshots[i].n_files;
    TRY(memory_new(count + 1, sizeof **out, "the files that stay", out));
    for (size_t i = 0; i < r->n_snapshots; i++) {
        const struct hub_snapshot *s = &r->snapshots[i];
        for (size_t k = 0; s != leaving && k < s->n_files; k++)
            if (!s->files[k].missing)
                (*out)[(*n)++] = s->files[k];
    }
    qsort(*out, *n, sizeof **out, compare_files);
    return OK;
}

enum status hub_remove_repository(const struct hub_settings *settings,
                                  const struct hub_repository *r, struct hub_removal *out)
{
    *out = (struct hub_removal){0};
    char locks[FILE_PATH_MAX];
    struct hub_file *files;
    size_t n_files;
    TRY(list_kept(r, NULL, &files, &n_files));
    for (size_t i = 0; i < n_files; i++) // revisions share files, and are one file
        out->n_blobs += i == 0 || compare_files(&files[i - 1], &files[i]) != 0;
    free(files);
    const char *name = strrchr(r->folder, '/');
    TRY(remove_refs(r, NULL, out));
    TRY(remove_below(r->folder, "snapshots", out));
    TRY(remove_tree(r->folder, out, 0));
    TRY(file_join(settings->cache, ".locks", locks));
    return remove_below(locks, name ? name + 1 : r->folder, out);
}

// The file that a link leads to, if it lies in the repository's blobs/: nothing else is ours.
static enum status remove_blob(const struct hub_repository *r, const struct hub_file *file,
                               struct hub_removal *out)
{
    char blobs[FILE_PATH_MAX], path[FILE_PATH_MAX];
    struct stat itself;
    const char *name = strrchr(file->blob, '/');
    if (!name || !name[1])
        return OK;
    TRY(file_join(r->folder, "blobs", blobs));
    TRY(file_join(blobs, name + 1, path));
    if (lstat(path, &itself) != 0 || S_ISDIR(itself.st_mode))
        return OK;
    TRY(remove_file(path));
    out->n_blobs++;
    if (S_ISREG(itself.st_mode)) // a link leads to a store that repositories share
        out->bytes += (uint64_t)itself.st_size;
    return OK;
}

enum status hub_remove_snapshot(const struct hub_repository *r, const struct hub_snapshot *s,
                                struct hub_removal *out)
{
    char trees[FILE_PATH_MAX], tree[FILE_PATH_MAX], absent[FILE_PATH_MAX],
        name[HUB_FOLDER_NAME_MAX + 8];
    struct hub_file *kept = NULL;
    size_t n_kept;
    enum status status = OK;
    *out = (struct hub_removal){0};
    TRY_DONE(list_kept(r, s, &kept, &n_kept));
    TRY_DONE(remove_refs(r, s->commit, out));
    TRY_DONE(remove_tree(s->folder, out, 0));
    for (size_t i = 0; i < s->n_files; i++)
        if (!s->files[i].missing &&
            !bsearch(&s->files[i], kept, n_kept, sizeof *kept, compare_files))
            TRY_DONE(remove_blob(r, &s->files[i], out));
    snprintf(name, sizeof name, "%s.json", s->commit);
    TRY_DONE(file_join(r->folder, "trees", trees));
    TRY_DONE(file_join(trees, name, tree));
    TRY_DONE(remove_file(tree));
    TRY_DONE(file_join(r->folder, ".no_exist", absent));
    status = remove_below(absent, s->commit, out);
done:
    free(kept);
    return status;
}
