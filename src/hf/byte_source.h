// Where bytes of a checkpoint's files come from when the files themselves are elsewhere.
#ifndef COLROW_HF_BYTE_SOURCE_H
#define COLROW_HF_BYTE_SOURCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "hf/hub_ranges.h"

struct byte_source; // of one process
// Those of a file, by who has a way to them: `colrow rank` has one to the hub (cmd/hub_reader.c).
struct byte_sources {
    // `ranges` is borrowed for its life. `rank` tells the other side who asks.
    enum status (*open)(const struct hub_ranges *ranges, int rank, struct byte_source **out);
    void (*close)(struct byte_source *source); // accepts NULL
    // All of bytes [offset, offset + bytes) of the file, or a sentence. From any thread, several at
    // once.
    enum status (*read)(struct byte_source *source, const struct hub_ranges_file *file,
                        uint64_t offset, void *out, size_t bytes);
    // `n` pieces of `bytes` bytes, `stride` from one to the next, one behind the other. `*done`
    // false: they can only be had one by one, or with what lies between them.
    enum status (*read_pieces)(struct byte_source *source, const struct hub_ranges_file *file,
                               uint64_t offset, uint64_t stride, size_t n, void *out, size_t bytes,
                               bool *done);
};

#endif
