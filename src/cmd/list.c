// `colrow list`: the repositories in HuggingFace's cache.
#include "cmd/commands.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/name_list.h"
#include "base/output.h"
#include "base/progress.h"
#include "base/text_table.h"
#include "cmd/json_output.h"
#include "hf/config_reader.h"
#include "hf/hub_cache.h"
#include "hf/quantisation.h"

enum { REPOSITORIES_MAX = 65536, COMMIT_SHOWN = 8 };

struct list {
    bool json;
    struct hub_settings settings;
    struct hub_repository *repositories;
    size_t n, capacity;
};

static int compare_ids(const void *a, const void *b)
{
    const struct hub_repository *x = a, *y = b;
    return strcmp(x->id, y->id);
}

// One that cannot be read is a warning: the rest is still worth a list.
static enum status add_repository(struct list *list, const char *folder_name)
{
    char id[HUB_FOLDER_NAME_MAX + 1], folder[FILE_PATH_MAX];
    if (!hub_id_of_folder(folder_name, id, sizeof id))
        return OK;
    if (list->n == REPOSITORIES_MAX)
        return fail(ERR_INPUT, "%s: has more than %d repositories", list->settings.cache,
                    REPOSITORIES_MAX);
    TRY(file_join(list->settings.cache, folder_name, folder));
    TRY(memory_grow(&list->repositories, &list->capacity, list->n + 1, sizeof *list->repositories,
                    "the repositories"));
    if (hub_repository_read(folder, id, &list->repositories[list->n]) == OK)
        list->n++;
    else
        log_warning("%s", status_message());
    return OK;
}

static enum status read_cache(struct list *list)
{
    TRY(hub_settings_read(&list->settings));
    DIR *dir = opendir(list->settings.cache);
    if (!dir)
        return errno == ENOENT ? OK : fail_errno("open", list->settings.cache);
    enum status status = OK;
    for (struct dirent *entry; status == OK && (entry = hub_next_entry(dir));)
        status = add_repository(list, entry->d_name);
    closedir(dir);
    if (list->n)
        qsort(list->repositories, list->n, sizeof *list->repositories, compare_ids);
    return status;
}

// "3 days ago", and the date of what is older than a month.
static void show_age(int64_t when, char *out, size_t room)
{
    static const struct {
        const char *unit;
        int64_t seconds;
    } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}};
    int64_t age = (int64_t)time(NULL) - when;
    time_t second = (time_t)when;
    struct tm date;
    if (when == 0 || (age > 30 * units[0].seconds && !localtime_r(&second, &date))) {
        snprintf(out, room, "-");
        return;
    }
    if (age > 30 * units[0].seconds) {
        strftime(out, room, "%Y-%m-%d", &date);
        return;
    }
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (age >= units[i].seconds) {
            long long n = (long long)(age / units[i].seconds);
            snprintf(out, room, "%lld %s%s ago", n, units[i].unit, n == 1 ? "" : "s");
            return;
        }
    snprintf(out, room, "just now");
}

// "bfloat16", or how the weights are quantised; "" of what says neither.
static void show_weights(const char *folder, char *out, size_t room)
{
    char path[FILE_PATH_MAX];
    struct quantisation *quantisation = NULL;
    json_t *root = NULL;
    snprintf(out, room, "%s", "");
    if (quantisation_of_folder(folder, &quantisation) != OK) {
        snprintf(out, room, "not readable");
        return;
    }
    if (quantisation) {
        quantisation_show(quantisation, out, room);
        quantisation_free(quantisation);
        return;
    }
    if (file_join(folder, "config.json", path) != OK || !file_exists(path) ||
        json_file(path, CONFIG_BYTES_MAX, &root) != OK)
        return;
    enum element_type type;
    config_read_dtype(&(struct config_reader){.name = path, .root = root}, &type, out, room);
    snprintf(out, room, "%s", type == ELEMENT_NONE ? "" : element_dtype_name(type));
    json_decref(root);
}

static void add_row(struct table *t, const struct hub_repository *r, const struct hub_snapshot *s)
{
    char refs[64] = "", age[32], revision[160], weights[160];
    for (size_t i = 0; i < r->n_refs; i++)
        if (strcmp(r->refs[i].commit, s->commit) == 0)
            name_list_add(refs, sizeof refs, r->refs[i].name);
    snprintf(revision, sizeof revision, "%.*s%s%s%s", COMMIT_SHOWN, s->commit, *refs ? " (" : "",
             refs, *refs ? ")" : "");
    show_age(s->used, age, sizeof age);
    table_cell(t, "%s", r->id);
    table_cell(t, " %s", revision); // the space keeps numbers from being set right
    table_cell(t, "%s", show_bytes((double)s->bytes));
    if (s->n_missing)
        table_cell(t, "%zu, %zu missing", s->n_files, s->n_missing);
    else
        table_cell(t, "%zu", s->n_files);
    show_weights(s->folder, weights, sizeof weights);
    table_cell(t, " %s", weights);
    table_cell(t, " %s", age);
}

static enum status list_as_text(const struct list *list)
{
    static const char *const heading[] = {"repository", " revision", "size",
                                          "files",      " weights",  " last used"};
    struct table t;
    size_t rows = 0;
    uint64_t unfinished = 0;
    table_init(&t, 6);
    for (int i = 0; i < 6; i++)
        table_cell(&t, "%s", heading[i]);
    for (size_t i = 0; i < list->n; i++) {
        const struct hub_repository *r = &list->repositories[i];
        for (size_t k = 0; k < r->n_snapshots; k++, rows++)
            add_row(&t, r, &r->snapshots[k]);
        unfinished += r->unfinished;
    }
    enum status status = rows ? table_print(&t, output()) : OK;
    table_fini(&t);
    TRY(status);
    if (rows == 0)
        output_print("%s holds no repositories; `colrow pull org/name` fetches one\n",
                     list->settings.cache);
    if (unfinished)
        output_print("%s of downloads that did not come to their end; `colrow pull` goes on with "
                     "its own\n",
                     show_bytes((double)unfinished));
    return OK;
}

static json_t *snapshot_json(const struct hub_repository *r, const struct hub_snapshot *s)
{
    char used[32];
    time_t second = (time_t)s->used;
    struct tm date;
    json_t *refs = json_array();
    char weights[160];
    show_weights(s->folder, weights, sizeof weights);
    for (size_t i = 0; i < r->n_refs; i++)
        if (strcmp(r->refs[i].commit, s->commit) == 0)
            json_array_append_new(refs, json_foreign(r->refs[i].name));
    bool known = s->used && gmtime_r(&second, &date) &&
                 strftime(used, sizeof used, "%Y-%m-%dT%H:%M:%SZ", &date) > 0;
    return json_pack("{s:o, s:o, s:o, s:I, s:I, s:I, s:o, s:s?, s:o}", "repository",
                     json_foreign(r->id), "revision", json_foreign(s->commit), "refs", refs, "size",
                     (json_int_t)s->bytes, "files", (json_int_t)s->n_files, "missing",
                     (json_int_t)s->n_missing, "weights", json_foreign(weights), "last_used",
                     known ? used : NULL, "folder", json_foreign(s->folder));
}

static enum status list_as_json(const struct list *list)
{
    json_t *rows = json_array();
    uint64_t unfinished = 0;
    for (size_t i = 0; i < list->n; i++) {
        const struct hub_repository *r = &list->repositories[i];
        for (size_t k = 0; k < r->n_snapshots; k++)
            json_array_append_new(rows, snapshot_json(r, &r->snapshots[k]));
        unfinished += r->unfinished;
    }
    return json_write(json_pack("{s:o, s:I, s:o}", "cache", json_foreign(list->settings.cache),
                                "unfinished", (json_int_t)unfinished, "snapshots", rows),
                      JSON_INDENT(2), NULL);
}

static int list_main(int argc, char **argv);
static const struct flag list_flags[] = {
    {FLAG_ON, "--json", NULL, offsetof(struct list, json), 0, 0, NULL, "for machines"},
};
const struct command command_list = {
    .name = "list",
    .brief = "show the repositories in HuggingFace's cache",
    .positional = NULL,
    .summary = "Shows the repositories in HuggingFace's cache (HF_HUB_CACHE, HF_HOME), which "
               "Python's\nhuggingface_hub shares: each can be named as MODEL. A file that two "
               "revisions share counts in both.",
    .examples = "  colrow list\n  colrow list --json",
    .sections = {FLAG_SECTION(list_flags, 0)},
    .run = list_main,
};

static int list_main(int argc, char **argv)
{
    struct list list = {0};
    bool helped;
    int n_positional;
    enum status status =
        flags_parse(&command_list, &list, argc, argv, NULL, 0, &n_positional, &helped);
    if (status == OK && !helped)
        status = read_cache(&list);
    if (status == OK && !helped)
        status = list.json ? list_as_json(&list) : list_as_text(&list);
    for (size_t i = 0; i < list.n; i++)
        hub_repository_fini(&list.repositories[i]);
    free(list.repositories);
    return status == OK ? 0 : flags_failed(status);
}
