// Each thread that reads takes a client, a connection, that nobody uses just now. Where a file was
// found past the hub's redirect is known to all: the hub is asked once for each file and client,
// and again when a signed address has expired.
#include "cmd/hub_reader.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/hub_pieces.h"
#include "cmd/hub_range.h"

enum { IDLE_CLIENTS_MAX = 64 };

// Does the hub give several ranges at a time? One thread tries: a hub that does not may begin to
// send the whole file, and what is on its way is for nothing.
enum several { SEVERAL_UNKNOWN, SEVERAL_NO, SEVERAL_YES };

struct byte_source {
    const struct hub_ranges *ranges;
    struct hub_settings settings;
    struct hub_name name;
    char token[HUB_TOKEN_MAX + 1];
    char caller[32];
    struct hub_api api;
    _Atomic int several; // enum several
    pthread_mutex_t trial;
    pthread_mutex_t lock; // guards what follows
    struct hub_client *idle[IDLE_CLIENTS_MAX];
    int n_idle;
    char **addresses; // [n_files], NULL: not known
};

// Who waits for ranks ends them.
static bool never_stopped(void *context)
{
    (void)context;
    return false;
}

static void close_reader(struct byte_source *source)
{
    if (!source)
        return;
    for (int i = 0; i < source->n_idle; i++)
        hub_http.close(source->idle[i]);
    for (size_t i = 0; source->addresses && i < source->ranges->n_files; i++)
        free(source->addresses[i]);
    free(source->addresses);
    pthread_mutex_destroy(&source->trial);
    pthread_mutex_destroy(&source->lock);
    explicit_bzero(source->token, sizeof source->token); // ranks are copies of this memory
    free(source);
}

static enum status open_reader(const struct hub_ranges *ranges, int rank, struct byte_source **out)
{
    struct byte_source *source;
    *out = NULL;
    TRY(memory_new(1, sizeof *source, "a reader of the hub", &source));
    source->ranges = ranges;
    pthread_mutex_init(&source->trial, NULL);
    pthread_mutex_init(&source->lock, NULL);
    snprintf(source->caller, sizeof source->caller, "rank %d", rank);
    enum status status;
    TRY_DONE(memory_new(ranges->n_files + 1, sizeof *source->addresses, "addresses",
                        &source->addresses));
    TRY_DONE(hub_name_read(ranges->id, &source->name));
    TRY_DONE(hub_settings_read(&source->settings));
    TRY_DONE(hub_token_read(&source->settings, source->token));
    if (source->settings.offline)
        status = fail(ERR_USAGE,
                      "%s: its weights are at the hub, and HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE "
                      "is set; unset it",
                      ranges->id);
    source->api = (struct hub_api){.settings = &source->settings,
                                   .name = &source->name,
                                   .has_token = source->token[0] != '\0',
                                   .stopped = never_stopped};
done:
    if (status == OK)
        *out = source;
    else
        close_reader(source);
    return status;
}

static enum status take_client(struct byte_source *source, size_t file, struct hub_client **client,
                               char *address)
{
    pthread_mutex_lock(&source->lock);
    *client = source->n_idle ? source->idle[--source->n_idle] : NULL;
    const char *known = source->addresses[file];
    snprintf(address, HUB_URL_MAX + 1, "%s", known ? known : "");
    pthread_mutex_unlock(&source->lock);
    if (*client)
        return OK;
    return hub_http.open(&source->settings, source->token, never_stopped, NULL, client);
}

static void give_client(struct byte_source *source, size_t file, struct hub_client *client,
                        const char *address)
{
    struct hub_client *surplus = NULL;
    pthread_mutex_lock(&source->lock);
    if (source->n_idle < IDLE_CLIENTS_MAX)
        source->idle[source->n_idle++] = client;
    else
        surplus = client;
    char *known = source->addresses[file];
    if (*address && (!known || strcmp(known, address) != 0)) {
        free(known);
        source->addresses[file] = strdup(address); // without it the hub is asked again
    }
    pthread_mutex_unlock(&source->lock);
    hub_http.close(surplus);
}

static enum status read_range(struct byte_source *source, const struct hub_ranges_file *file,
                              uint64_t offset, void *out, size_t bytes)
{
    char address[HUB_URL_MAX + 1];
    size_t i = (size_t)(file - source->ranges->files);
    struct hub_client *client;
    const struct hub_range range = {.commit = source->ranges->commit,
                                    .path = file->path,
                                    .file_bytes = file->bytes,
                                    .offset = offset,
                                    .out = out,
                                    .bytes = bytes,
                                    .caller = source->caller};
    if (bytes == 0)
        return OK;
    TRY(take_client(source, i, &client, address));
    enum status status = hub_range_fetch(&source->api, client, &range, address);
    give_client(source, i, client, status == OK ? address : "");
    return status;
}

static enum status fetch_pieces(struct byte_source *source, size_t file,
                                const struct hub_pieces *pieces, bool *done)
{
    char address[HUB_URL_MAX + 1];
    struct hub_client *client;
    TRY(take_client(source, file, &client, address));
    enum status status = hub_pieces_fetch(&source->api, client, pieces, address, done);
    give_client(source, file, client, status == OK ? address : "");
    if (status == OK)
        atomic_store(&source->several, *done ? SEVERAL_YES : SEVERAL_NO);
    return status;
}

static enum status read_pieces_of(struct byte_source *source, const struct hub_ranges_file *file,
                                  uint64_t offset, uint64_t stride, size_t n, void *out,
                                  size_t bytes, bool *done)
{
    size_t i = (size_t)(file - source->ranges->files);
    enum status status = OK;
    const struct hub_pieces pieces = {.commit = source->ranges->commit,
                                      .path = file->path,
                                      .file_bytes = file->bytes,
                                      .offset = offset,
                                      .stride = stride,
                                      .n = n,
                                      .out = out,
                                      .bytes = bytes,
                                      .caller = source->caller};
    *done = false;
    if (atomic_load(&source->several) == SEVERAL_UNKNOWN) {
        pthread_mutex_lock(&source->trial); // the others wait for what it shows
        bool first = atomic_load(&source->several) == SEVERAL_UNKNOWN;
        if (first)
            status = fetch_pieces(source, i, &pieces, done);
        pthread_mutex_unlock(&source->trial);
        if (first)
            return status;
    }
    if (atomic_load(&source->several) == SEVERAL_YES)
        status = fetch_pieces(source, i, &pieces, done);
    return status;
}

const struct byte_sources hub_reader = {
    .open = open_reader, .close = close_reader, .read = read_range, .read_pieces = read_pieces_of};
