// Source: huggingface_hub, file_download.py: names, links and locks of the cache.
#include "hf/hub_store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file_writer.h"
#include "hf/hub_cache.h"

// The folders above `path`.
static enum status make_folders(const char *path)
{
    char folder[FILE_PATH_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(folder, 0777) != 0 && errno != EEXIST)
            return fail_errno("create", folder);
        *slash = '/';
    }
    return OK;
}

static enum status path_in(const char *folder, const char *below, const char *name, char *out)
{
    char middle[FILE_PATH_MAX];
    TRY(file_join(folder, below, middle));
    return file_join(middle, name, out);
}

static enum status linked_path(const struct hub_store *store, const char *path, char *out)
{
    char name[HUB_COMMIT_DIGITS + HUB_PATH_MAX + 2];
    snprintf(name, sizeof name, "%s/%s", store->commit, path);
    return path_in(store->folder, store->kind == HUB_STORE_RANGES ? ".colrow/ranges" : "snapshots",
                   name, out);
}

enum status hub_store_folder(const struct hub_store *store, char *out)
{
    TRY(linked_path(store, "", out));
    out[strlen(out) - 1] = '\0';
    return OK;
}

// Links under construction, whose maker was ended before they got their name: link-PID.
static void remove_lost_links(const struct hub_store *store)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
    DIR *dir = file_join(store->folder, ".colrow", folder) == OK ? opendir(folder) : NULL;
    for (struct dirent *entry = NULL; dir && (entry = hub_next_entry(dir));) {
        long pid =
            strncmp(entry->d_name, "link-", 5) == 0 ? strtol(entry->d_name + 5, NULL, 10) : 0;
        bool lost = pid > 0 && kill((pid_t)pid, 0) != 0 && errno == ESRCH;
        if (lost && file_join(folder, entry->d_name, path) == OK)
            (void)unlink(path);
    }
    if (dir)
        closedir(dir);
}

enum status hub_store_open(const struct hub_settings *settings, const char *id, const char *commit,
                           enum hub_store_kind kind, struct hub_store *out)
{
    static const char *const folders[] = {"blobs/", "refs/", "trees/", "snapshots/", ".colrow/"};
    char path[FILE_PATH_MAX];
    *out = (struct hub_store){.kind = kind};
    snprintf(out->commit, sizeof out->commit, "%s", commit);
    TRY(hub_cache_folder(settings, id, out->folder));
    TRY(path_in(settings->cache, ".locks", strrchr(out->folder, '/') + 1, out->locks));
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++) {
        TRY(file_join(out->folder, folders[i], path));
        TRY(make_folders(path));
    }
    remove_lost_links(out);
    TRY(file_join(out->locks, "", path));
    TRY(make_folders(path));
    TRY(linked_path(out, "", path)); // before a ref names it
    return make_folders(path);
}

enum status hub_store_room(const struct hub_store *store, uint64_t *out)
{
    struct statvfs info;
    if (statvfs(store->folder, &info) != 0)
        return fail_errno("look at the file system of", store->folder);
    if (__builtin_mul_overflow((uint64_t)info.f_bavail, (uint64_t)info.f_frsize, out))
        *out = UINT64_MAX;
    return OK;
}

static bool has_size(const char *path, uint64_t bytes)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) && (uint64_t)info.st_size == bytes;
}

bool hub_store_has(const struct hub_store *store, const char *blob, uint64_t bytes)
{
    char path[FILE_PATH_MAX];
    return path_in(store->folder, "blobs", blob, path) == OK && has_size(path, bytes);
}

bool hub_store_linked(const struct hub_store *store, const char *path, uint64_t bytes)
{
    char whole[FILE_PATH_MAX];
    return linked_path(store, path, whole) == OK && has_size(whole, bytes);
}

enum status hub_store_lock(const struct hub_store *store, const char *blob, int *fd)
{
    char name[HUB_SHA256_DIGITS + 8], path[FILE_PATH_MAX];
    snprintf(name, sizeof name, "%s.lock", blob);
    TRY(file_join(store->locks, name, path));
    *fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0664);
    if (*fd < 0)
        return fail_errno("open", path);
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0)
        return OK;
    int error = errno;
    close(*fd);
    *fd = -1;
    if (error == EWOULDBLOCK || error == EINTR)
        return OK;
    errno = error;
    return fail_errno("lock", path);
}

void hub_store_unlock(int fd)
{
    if (fd >= 0)
        close(fd);
}

// A file system without links gets the file itself, as from huggingface_hub.
static enum status move_blob(const struct hub_store *store, const char *blob, const char *path)
{
    char from[FILE_PATH_MAX];
    TRY(path_in(store->folder, "blobs", blob, from));
    return rename(from, path) == 0 ? OK : fail_errno("rename to", path);
}

enum status hub_store_link(const struct hub_store *store, const char *path, const char *blob)
{
    char whole[FILE_PATH_MAX], name[64], fresh[FILE_PATH_MAX];
    char target[3 * HUB_PATH_MAX + HUB_SHA256_DIGITS + 32];
    size_t n = store->kind == HUB_STORE_RANGES ? 3 : 0; // one folder deeper
    memcpy(target, "../", 4);
    TRY(linked_path(store, path, whole));
    TRY(make_folders(whole));
    for (const char *at = path; at; at = strchr(at, '/'), at = at ? at + 1 : NULL)
        n += (size_t)snprintf(target + n, sizeof target - n, "../");
    snprintf(target + n, sizeof target - n, "../blobs/%s", blob);
    snprintf(name, sizeof name, "link-%ld", (long)getpid());
    TRY(path_in(store->folder, ".colrow", name, fresh));
    (void)unlink(fresh); // of a process that had this number
    if (symlink(target, fresh) != 0)
        return errno == EPERM || errno == EOPNOTSUPP || errno == ENOSYS
                   ? move_blob(store, blob, whole)
                   : fail_errno("create", fresh);
    if (rename(fresh, whole) == 0)
        return OK;
    enum status status = fail_errno("rename to", whole);
    (void)unlink(fresh);
    return status;
}

enum status hub_store_tree(const struct hub_store *store, const struct hub_listing *listing)
{
    char name[HUB_COMMIT_DIGITS + 8], path[FILE_PATH_MAX];
    struct bytes text;
    bytes_init(&text);
    snprintf(name, sizeof name, "%s.json", store->commit);
    enum status status = path_in(store->folder, "trees", name, path);
    if (status == OK)
        status = hub_listing_json(listing, &text);
    if (status == OK)
        status = file_write(path, text.data, text.length);
    bytes_fini(&text);
    return status;
}

enum status hub_store_ref(const struct hub_store *store, const char *revision)
{
    char path[FILE_PATH_MAX];
    if (hub_commit_is(revision)) // names itself
        return OK;
    TRY(path_in(store->folder, "refs", revision, path));
    TRY(make_folders(path));
    return file_write(path, store->commit, HUB_COMMIT_DIGITS);
}
