// Threads with a connection each take parts of blobs, and the last one of a blob checks it and puts
// it in place. One mutex guards what is to be done; bytes flow without it.
#include "cmd/hub_fetch.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "base/progress.h"
#include "base/thread.h"
#include "cmd/hub_digest.h"

enum { ROUNDS_MAX = 1000, WRONG_MAX = 2, LOOK_AGAIN_MS = 100 };
static const char last_file[] = "config.json"; // with it a folder is a model

enum blob_state { BLOB_WAITS, BLOB_OPEN, BLOB_CHECKED, BLOB_DONE };
struct blob {
    const struct hub_entry *const *entries; // files with these bytes, borrowed
    size_t n_entries;
    enum blob_state state;
    int lock; // of other processes; -1: none
    struct hub_partial partial;
    size_t next_part; // parts before it are given out
    int active;       // threads at it
    bool plain;       // the server cannot give ranges: one thread takes all of it
    bool waited;      // for another process
    int wrong;        // times its hash was
};

struct fetch {
    const struct hub_store *store;
    const struct hub_fetch_options *options;
    struct hub_api api;
    const struct hub_entry **entries; // wanted, by blob
    struct blob *blobs;               // small ones first
    size_t n_entries, n_blobs, n_done;
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int running;        // threads
    enum status status; // the first failure, and its sentence
    char message[STATUS_MESSAGE_MAX];
    atomic_bool stop;
    atomic_uint_least64_t have;
};

static bool worker_stopped(void *context)
{
    struct fetch *f = context;
    return atomic_load_explicit(&f->stop, memory_order_relaxed); // it publishes nothing
}

static const struct hub_entry *shared_file(const struct blob *blob)
{
    return blob->entries[0];
}

static const char *name_of(const struct blob *blob)
{
    return hub_entry_blob(shared_file(blob));
}

// --- one request ---

struct flow {
    struct fetch *f;
    struct blob *blob;
    uint64_t at, end; // of the file
    bool ranged, begun;
    bool strange; // not what was asked for
    enum status status;
};

static bool is_expected(const struct flow *flow, const struct hub_answer *a)
{
    uint64_t bytes = shared_file(flow->blob)->bytes;
    if (a->encoding[0] && strcmp(a->encoding, "identity") != 0)
        return false;
    if (flow->ranged)
        return a->status == 206 && a->has_range && a->first == flow->at &&
               a->last == flow->end - 1 && a->total == bytes;
    return a->status == 200 && (a->content_length < 0 || (uint64_t)a->content_length == bytes);
}

static bool take_piece(void *context, const struct hub_answer *answer, const void *data,
                       size_t bytes)
{
    struct flow *flow = context;
    if (!flow->begun)
        flow->strange = !is_expected(flow, answer);
    flow->begun = true;
    if (flow->strange || bytes > flow->end - flow->at) {
        flow->strange = true;
        return false;
    }
    flow->status = hub_partial_write(&flow->blob->partial, flow->at, data, bytes);
    if (flow->status != OK)
        return false;
    flow->at += bytes;
    atomic_fetch_add_explicit(&flow->f->have, bytes, memory_order_relaxed); // for the bar
    return true;
}

static void set_plain(struct fetch *f, struct blob *blob)
{
    pthread_mutex_lock(&f->mutex);
    blob->plain = true;
    pthread_mutex_unlock(&f->mutex);
}

static enum status start_over(struct fetch *f, struct blob *blob)
{
    uint64_t had = hub_partial_have(&blob->partial);
    atomic_fetch_sub_explicit(&f->have, had, memory_order_relaxed);
    return hub_partial_restart(&blob->partial);
}

// From `at` to `end`; `at` moves on with what has come.
static enum status request_bytes(struct fetch *f, struct hub_client *client, struct flow *flow,
                                 struct hub_answer *answer)
{
    char url[HUB_URL_MAX + 1];
    hub_api_file_url(&f->api, f->store->commit, shared_file(flow->blob)->path, url);
    const struct hub_request request = {.url = url,
                                        .ranged = flow->ranged,
                                        .first = flow->at,
                                        .last = flow->end - 1,
                                        .sink = take_piece,
                                        .context = flow};
    TRY(hub_http.get(client, &request, answer));
    return flow->status;
}

// OK with the part not complete: the blob is plain now.
static enum status fetch_part(struct fetch *f, struct hub_client *client, struct blob *blob,
                              size_t part)
{
    struct hub_partial *p = &blob->partial;
    uint64_t begin = part * p->part_bytes, end = begin + hub_partial_part_bytes(p, part);
    int tries = 0;
    for (int round = 0; begin + p->done[part] < end; round++) {
        struct hub_answer answer;
        uint64_t from = begin + p->done[part];
        struct flow flow = {.f = f, .blob = blob, .at = from, .end = end};
        flow.ranged = from > 0 || end < p->bytes;
        TRY(request_bytes(f, client, &flow, &answer));
        if (flow.at == end)
            return OK;
        if (flow.ranged && (flow.strange || answer.status == 416)) {
            set_plain(f, blob);
            return OK;
        }
        tries = flow.at > from && round < ROUNDS_MAX ? 1 : tries + 1;
        TRY(hub_api_try_again(&f->api, &answer, shared_file(blob)->path, tries));
    }
    return OK;
}

// Each try begins again: more of the file than before is progress.
static enum status fetch_plain(struct fetch *f, struct hub_client *client, struct blob *blob)
{
    uint64_t most = 0;
    for (int tries = 0, round = 0;; round++) {
        struct hub_answer answer;
        struct flow flow = {.f = f, .blob = blob, .end = shared_file(blob)->bytes};
        TRY(start_over(f, blob));
        TRY(request_bytes(f, client, &flow, &answer));
        if (flow.at == flow.end)
            return OK;
        tries = flow.at > most && round < ROUNDS_MAX ? 1 : tries + 1;
        most = flow.at > most ? flow.at : most;
        TRY(hub_api_try_again(&f->api, &answer, shared_file(blob)->path, tries));
    }
}

// --- one blob ---

static enum status link_files(struct fetch *f, const struct blob *blob, bool last)
{
    for (size_t i = 0; i < blob->n_entries; i++) {
        const struct hub_entry *entry = blob->entries[i];
        bool is_last = strcmp(entry->path, last_file) == 0;
        if (is_last == last && !hub_store_linked(f->store, entry->path, entry->bytes))
            TRY(hub_store_link(f->store, entry->path, name_of(blob)));
    }
    return OK;
}

static enum status close_blob(struct fetch *f, struct blob *blob)
{
    enum status status = link_files(f, blob, false);
    hub_partial_close(&blob->partial);
    hub_store_unlock(blob->lock);
    blob->lock = -1;
    blob->state = BLOB_DONE;
    f->n_done++;
    pthread_cond_broadcast(&f->changed);
    return status;
}

// All of its bytes are there. `*right`: they are what the hub says.
static enum status check_blob(struct fetch *f, struct blob *blob, bool *right)
{
    char found[HUB_SHA256_DIGITS + 1];
    const struct hub_entry *entry = shared_file(blob);
    bool sha256 = entry->sha256[0] != '\0';
    TRY(hub_digest_of(blob->partial.fd, blob->partial.path, entry->bytes, sha256, worker_stopped, f,
                      found));
    *right = strcmp(found, name_of(blob)) == 0;
    if (*right)
        return hub_partial_publish(&blob->partial, f->store, name_of(blob));
    TRY(start_over(f, blob));
    if (++blob->wrong < WRONG_MAX)
        return OK;
    return fail(
        ERR_IO,
        "%s: what came has the %s %s, and the hub says %s, %d times; nothing of it was kept",
        entry->path, sha256 ? "sha256" : "git sha1", found, name_of(blob), WRONG_MAX);
}

// With the mutex; it is let go of while the hash is computed.
static enum status finish_blob(struct fetch *f, struct blob *blob)
{
    bool right = false;
    blob->state = BLOB_CHECKED;
    pthread_mutex_unlock(&f->mutex);
    enum status status = check_blob(f, blob, &right);
    pthread_mutex_lock(&f->mutex);
    TRY(status);
    if (right)
        return close_blob(f, blob);
    log_warning("%s: its hash is wrong; it is fetched again", shared_file(blob)->path);
    blob->state = BLOB_OPEN;
    blob->next_part = 0;
    pthread_cond_broadcast(&f->changed);
    return OK;
}

// With the mutex. It may stay BLOB_WAITS: another process has it.
static enum status open_blob(struct fetch *f, struct blob *blob)
{
    const struct hub_entry *entry = shared_file(blob);
    TRY(hub_store_lock(f->store, name_of(blob), &blob->lock));
    if (blob->lock < 0) {
        if (!blob->waited)
            log_info("%s: another process fetches it; waiting", entry->path);
        blob->waited = true;
        return OK;
    }
    if (hub_store_has(f->store, name_of(blob), entry->bytes)) { // since then
        atomic_fetch_add_explicit(&f->have, entry->bytes, memory_order_relaxed);
        hub_partial_forget(f->store, name_of(blob));
        return close_blob(f, blob);
    }
    TRY(hub_partial_open(f->store, name_of(blob), entry->bytes, (uint64_t)f->options->part_bytes,
                         &blob->partial));
    atomic_fetch_add_explicit(&f->have, hub_partial_have(&blob->partial), memory_order_relaxed);
    blob->state = BLOB_OPEN;
    return OK;
}

// --- the threads ---

// The next part to fetch of an open blob, or n_parts for all of it; false: there is none now.
static bool next_part_of(struct blob *blob, size_t *part)
{
    struct hub_partial *p = &blob->partial;
    if (blob->state != BLOB_OPEN)
        return false;
    *part = p->n_parts;
    if (blob->plain)
        return blob->active == 0;
    while (blob->next_part < p->n_parts &&
           p->done[blob->next_part] == hub_partial_part_bytes(p, blob->next_part))
        blob->next_part++;
    *part = blob->next_part;
    return blob->next_part < p->n_parts && blob->next_part++ < p->n_parts;
}

static bool is_complete(const struct blob *blob)
{
    return blob->state == BLOB_OPEN && blob->active == 0 &&
           hub_partial_have(&blob->partial) == shared_file(blob)->bytes;
}

// With the mutex: until something changes, or it is time to look again.
static void wait_a_little(struct fetch *f)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_AGAIN_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_cond_timedwait(&f->changed, &f->mutex, &until);
}

// With the mutex: something to do, or NULL when all is done or failed.
static struct blob *take_task(struct fetch *f, size_t *part, enum status *status)
{
    while (!worker_stopped(f) && f->n_done < f->n_blobs) {
        bool opened = false;
        for (size_t i = 0; i < f->n_blobs; i++) {
            struct blob *blob = &f->blobs[i];
            if (!next_part_of(blob, part))
                continue;
            blob->active++;
            return blob;
        }
        for (size_t i = 0; i < f->n_blobs && !opened; i++) {
            struct blob *blob = &f->blobs[i];
            if (blob->state != BLOB_WAITS)
                continue;
            *status = open_blob(f, blob);
            opened = blob->state != BLOB_WAITS;
            if (*status == OK && is_complete(blob))
                *status = finish_blob(f, blob);
            if (*status != OK)
                return NULL;
        }
        if (opened)
            continue;
        wait_a_little(f);
    }
    return NULL;
}

// With the mutex.
static enum status do_tasks(struct fetch *f, struct hub_client *client)
{
    enum status status = OK;
    size_t part;
    for (struct blob *blob; status == OK && (blob = take_task(f, &part, &status));) {
        pthread_mutex_unlock(&f->mutex);
        status = part == blob->partial.n_parts ? fetch_plain(f, client, blob)
                                               : fetch_part(f, client, blob, part);
        pthread_mutex_lock(&f->mutex);
        blob->active--;
        if (status == OK && is_complete(blob))
            status = finish_blob(f, blob);
        pthread_cond_broadcast(&f->changed);
    }
    return status;
}

static void *fetch_tasks(void *context)
{
    struct fetch *f = context;
    struct hub_client *client = NULL;
    enum status status =
        hub_http.open(f->api.settings, f->options->token, worker_stopped, f, &client);
    pthread_mutex_lock(&f->mutex);
    if (status == OK)
        status = do_tasks(f, client);
    if (status != OK && f->status == OK) {
        f->status = status;
        snprintf(f->message, sizeof f->message, "%s", status_message());
    }
    if (status != OK)
        atomic_store_explicit(&f->stop, true, memory_order_relaxed);
    f->running--;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    hub_http.close(client);
    return NULL;
}

// --- all of it ---

static int compare_blobs_of(const void *a, const void *b)
{
    const struct hub_entry *const *x = a, *const *y = b;
    int order = strcmp(hub_entry_blob(*x), hub_entry_blob(*y));
    return order ? order : strcmp((*x)->path, (*y)->path);
}

static int compare_sizes(const void *a, const void *b)
{
    const struct blob *x = a, *y = b;
    uint64_t n = shared_file(x)->bytes, m = shared_file(y)->bytes;
    return n < m ? -1 : n > m ? 1 : strcmp(name_of(x), name_of(y));
}

static enum status list_blobs(struct fetch *f, const struct hub_listing *listing)
{
    TRY(memory_new(listing->n + 1, sizeof *f->entries, "the files", &f->entries));
    TRY(memory_new(listing->n + 1, sizeof *f->blobs, "the files", &f->blobs));
    for (size_t i = 0; i < listing->n; i++)
        if (listing->entries[i].wanted)
            f->entries[f->n_entries++] = &listing->entries[i];
    qsort(f->entries, f->n_entries, sizeof *f->entries, compare_blobs_of);
    for (size_t i = 0; i < f->n_entries; i++) {
        const char *name = hub_entry_blob(f->entries[i]);
        if (i == 0 || strcmp(hub_entry_blob(f->entries[i - 1]), name) != 0)
            f->blobs[f->n_blobs++] = (struct blob){.entries = &f->entries[i], .lock = -1};
        f->blobs[f->n_blobs - 1].n_entries++;
    }
    qsort(f->blobs, f->n_blobs, sizeof *f->blobs, compare_sizes);
    return OK;
}

// Nothing of it has to come.
static bool is_present(const struct fetch *f, const struct blob *blob)
{
    bool linked = true;
    for (size_t k = 0; k < blob->n_entries; k++)
        linked =
            linked && hub_store_linked(f->store, blob->entries[k]->path, blob->entries[k]->bytes);
    return linked || hub_store_has(f->store, name_of(blob), shared_file(blob)->bytes);
}

// Blobs that are there only get their links.
static enum status skip_present(struct fetch *f)
{
    for (size_t i = 0; i < f->n_blobs; i++) {
        struct blob *blob = &f->blobs[i];
        if (!is_present(f, blob))
            continue;
        if (hub_store_has(f->store, name_of(blob), shared_file(blob)->bytes))
            hub_partial_forget(f->store, name_of(blob));
        TRY(close_blob(f, blob));
    }
    return OK;
}

enum status hub_fetch_need(const struct hub_store *store, const struct hub_listing *listing,
                           struct hub_need *out)
{
    struct fetch f = {.store = store};
    *out = (struct hub_need){0};
    enum status status = list_blobs(&f, listing);
    for (size_t i = 0; i < f.n_blobs && status == OK; i++) {
        const uint64_t bytes = shared_file(&f.blobs[i])->bytes,
                       there = hub_partial_space(store, name_of(&f.blobs[i]));
        if (is_present(&f, &f.blobs[i]))
            continue;
        out->n_files += f.blobs[i].n_entries;
        out->bytes += bytes; // of at most 65,536 times 16 TiB: it fits
        out->space += bytes > there ? bytes - there : 0;
    }
    free(f.entries);
    free(f.blobs);
    return status;
}

// Until all threads have left; the bar is drawn here, and signals are noticed.
static void watch(struct fetch *f, const struct hub_api *caller, uint64_t total)
{
    struct progress bar;
    progress_begin(&bar, caller->name->id, (double)total);
    progress_resume(&bar, (double)atomic_load(&f->have));
    pthread_mutex_lock(&f->mutex);
    while (f->running > 0) {
        wait_a_little(f);
        if (caller->stopped(caller->context))
            atomic_store_explicit(&f->stop, true, memory_order_relaxed);
        progress_set(&bar, (double)atomic_load(&f->have));
    }
    pthread_mutex_unlock(&f->mutex);
    progress_end(&bar);
}

static enum status run_fetchers(struct fetch *f, const struct hub_api *caller, uint64_t total)
{
    pthread_t threads[HUB_WORKERS_MAX];
    int n = 0;
    enum status status = OK;
    for (; n < f->options->workers && status == OK; n += status == OK) {
        pthread_mutex_lock(&f->mutex);
        f->running++;
        pthread_mutex_unlock(&f->mutex);
        status = quiet_thread_start(&threads[n], fetch_tasks, f, "fetches from the hub");
    }
    if (status != OK) {
        pthread_mutex_lock(&f->mutex);
        f->running--;
        pthread_mutex_unlock(&f->mutex);
        atomic_store(&f->stop, true);
    }
    watch(f, caller, total);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    TRY(status);
    if (f->status != OK)
        return fail(f->status, "%s", f->message);
    if (f->n_done < f->n_blobs)
        return fail(ERR_CANCELLED, "%s: the download was ended", caller->name->id);
    return OK;
}

enum status hub_fetch_all(const struct hub_api *api, const struct hub_store *store,
                          const struct hub_listing *listing,
                          const struct hub_fetch_options *options, uint64_t bytes)
{
    struct fetch f = {.store = store,
                      .options = options,
                      .api = *api,
                      .mutex = PTHREAD_MUTEX_INITIALIZER,
                      .changed = PTHREAD_COND_INITIALIZER};
    f.api.stopped = worker_stopped;
    f.api.context = &f;
    enum status status = list_blobs(&f, listing);
    if (status == OK)
        status = skip_present(&f);
    if (status == OK && f.n_done < f.n_blobs)
        status = run_fetchers(&f, api, bytes);
    for (size_t i = 0; i < f.n_blobs; i++) {
        if (status == OK)
            status = link_files(&f, &f.blobs[i], true);
        hub_partial_close(&f.blobs[i].partial);
        hub_store_unlock(f.blobs[i].lock);
    }
    free(f.entries);
    free(f.blobs);
    pthread_mutex_destroy(&f.mutex);
    pthread_cond_destroy(&f.changed);
    return status;
}
