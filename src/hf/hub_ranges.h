// A model of which the weights stay at the hub: its folder holds the small files, of each file of
// weights its header, and a note that says which files of which commit these are. Whoever reads
// weights asks the hub for their bytes (byte_source.h).
#ifndef COLROW_HF_HUB_RANGES_H
#define COLROW_HF_HUB_RANGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "hf/hub_listing.h"
#include "hf/hub_name.h"

struct hub_ranges_file {
    const char *path; // below the repository
    uint64_t bytes;   // of the whole file
};
struct hub_ranges {
    char id[HUB_ID_MAX + 1];
    char commit[HUB_COMMIT_DIGITS + 1];
    struct hub_ranges_file *files;
    size_t n_files;
    struct arena arena; // holds all of it
};

// Is there such a note in the folder?
bool hub_ranges_are(const char *folder);
enum status hub_ranges_read(const char *folder, struct hub_ranges *out) STATUS_MUST_USE;
void hub_ranges_fini(struct hub_ranges *ranges);
// Writes it, last of all, for the files that are marked as wanted; it appears whole or not at all.
enum status hub_ranges_write(const char *folder, const char *id, const char *commit,
                             const struct hub_listing *listing) STATUS_MUST_USE;
// NULL: there is none of this path.
const struct hub_ranges_file *hub_ranges_find(const struct hub_ranges *ranges, const char *path);

#endif
