#include "cmd/hub_headers.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/file_writer.h"
#include "base/log.h"
#include "base/progress.h"
#include "cmd/hub_range.h"
#include "hf/hub_ranges.h"
#include "hf/safetensors.h"

// What is asked for before a header's length is known; most headers are shorter.
enum { FIRST_BYTES = 128 << 10 };

static bool holds_weights(const struct hub_entry *entry)
{
    return file_has_ending(entry->path, ".safetensors");
}

// Length and header, all that comes before the data.
static enum status fetch_header(struct hub_pull *pull, struct hub_client *client,
                                const struct hub_entry *entry, struct bytes *out)
{
    char address[HUB_URL_MAX + 1] = "";
    size_t first = entry->bytes < FIRST_BYTES ? (size_t)entry->bytes : FIRST_BYTES;
    struct hub_range range = {
        .commit = pull->commit, .path = entry->path, .file_bytes = entry->bytes, .bytes = first};
    uint64_t all = 0;
    char *data;
    if (entry->bytes < SAFETENSORS_LENGTH_BYTES)
        return fail(ERR_INPUT, "%s: has %llu bytes; expected a safetensors file", entry->path,
                    (unsigned long long)entry->bytes);
    TRY(memory_new(first, 1, "a safetensors header", &data));
    range.out = data;
    bytes_clear(out);
    enum status status;
    TRY_DONE(hub_range_fetch(&pull->api, client, &range, address));
    TRY_DONE(
        safetensors_header_length(entry->path, (const unsigned char *)data, entry->bytes, &all));
    all += SAFETENSORS_LENGTH_BYTES;
    TRY_DONE(bytes_append(out, data, all < first ? (size_t)all : first));
    if (all > first) {
        free(data);
        data = NULL;
        range.offset = first;
        range.bytes = (size_t)all - first;
        TRY_DONE(memory_new(range.bytes, 1, "a safetensors header", &data));
        range.out = data;
        TRY_DONE(hub_range_fetch(&pull->api, client, &range, address));
        TRY_DONE(bytes_append(out, data, range.bytes));
    }
done:
    free(data);
    return status;
}

static enum status fetch_headers(struct hub_pull *pull, const char *folder)
{
    struct hub_client *client = NULL;
    struct bytes header;
    uint64_t total = 0;
    size_t n = 0;
    bytes_init(&header);
    enum status status;
    TRY_DONE(hub_http.open(&pull->settings, pull->token, pull->api.stopped, NULL, &client));
    for (size_t i = 0; i < pull->listing.n; i++) {
        const struct hub_entry *entry = &pull->listing.entries[i];
        char path[FILE_PATH_MAX];
        if (!entry->wanted)
            continue;
        TRY_DONE(fetch_header(pull, client, entry, &header));
        TRY_DONE(file_join(folder, entry->path, path));
        TRY_DONE(file_write(path, header.data, header.length));
        total += entry->bytes;
        n++;
    }
    TRY_DONE(hub_ranges_write(folder, pull->name.id, pull->commit, &pull->listing));
    log_info("%s@%.8s: %zu header%s fetched; %s of weights stay at the hub", pull->name.id,
             pull->commit, n, n == 1 ? "" : "s", show_bytes((double)total));
done:
    hub_http.close(client);
    bytes_fini(&header);
    return status;
}

// The files of `weights` are marked, or all others, out of those that were.
static void mark(struct hub_listing *listing, const bool *wanted, bool weights)
{
    for (size_t i = 0; i < listing->n; i++)
        listing->entries[i].wanted = wanted[i] && holds_weights(&listing->entries[i]) == weights;
}

enum status hub_headers_fetch(struct hub_pull *pull, bool weights, char *folder)
{
    struct hub_listing *listing = &pull->listing;
    struct hub_store store;
    bool *wanted;
    TRY(memory_new(listing->n + 1, sizeof *wanted, "the files", &wanted));
    for (size_t i = 0; i < listing->n; i++)
        wanted[i] = listing->entries[i].wanted;
    enum status status;
    TRY_DONE(
        hub_store_open(&pull->settings, pull->name.id, pull->commit, HUB_STORE_RANGES, &store));
    TRY_DONE(hub_store_folder(&store, folder));
    mark(listing, wanted, false);
    TRY_DONE(hub_pull_files(pull, &store, 0));
    if (!weights || hub_ranges_are(folder))
        goto done;
    mark(listing, wanted, true);
    TRY_DONE(fetch_headers(pull, folder));
done:
    free(wanted);
    return status;
}
