// The hashes by which the hub names files: sha256 of LFS files, git's sha1 of all others.
#ifndef COLROW_CMD_HUB_DIGEST_H
#define COLROW_CMD_HUB_DIGEST_H

#include <stdbool.h>

#include "hf/hub_listing.h"

// Of the `bytes` bytes of `fd`, in hexadecimal digits: HUB_SHA256_DIGITS, or HUB_SHA1_DIGITS of
// what git hashes, "blob BYTES\0" in front. `stopped` is asked now and then.
enum status hub_digest_of(int fd, const char *path, uint64_t bytes, bool sha256,
                          bool (*stopped)(void *), void *context,
                          char out[HUB_SHA256_DIGITS + 1]) STATUS_MUST_USE;

#endif
