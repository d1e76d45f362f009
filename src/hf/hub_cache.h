// HuggingFace's cache of repositories, shared with Python's huggingface_hub: from a repository's
// name to the folder of its files.
#ifndef COLROW_HF_HUB_CACHE_H
#define COLROW_HF_HUB_CACHE_H

#include "base/status.h"
#include "hf/hub_name.h"
#include "hf/hub_settings.h"
#include "hf/hub_snapshot.h"

// "CACHE/models--org--name"; `out` has FILE_PATH_MAX bytes. It need not be there.
enum status hub_cache_folder(const struct hub_settings *settings, const char *id,
                             char *out) STATUS_MUST_USE;
// The folder in snapshots/ that refs/REVISION names, that has this name, or that alone begins with
// it (7 digits or more); without a revision also the only one there is. `*out` is borrowed; NULL:
// there is none.
enum status hub_cache_snapshot(const struct hub_repository *repository, const struct hub_name *name,
                               const struct hub_snapshot **out) STATUS_MUST_USE;
// From "org/name" or "org/name@revision" to the snapshot's folder, whole as far as its links say.
// `out` has FILE_PATH_MAX bytes. A sentence says what is not there, and what brings it.
enum status hub_cache_find(const char *given, char *out) STATUS_MUST_USE;

#endif
