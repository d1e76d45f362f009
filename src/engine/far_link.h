// One connection between the engine and a node that works for it: bytes in and out, and the frames
// of far_message.h, without waiting.
#ifndef COLROW_ENGINE_FAR_LINK_H
#define COLROW_ENGINE_FAR_LINK_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "engine/far_message.h"

struct far_link {
    int fd; // owned; -1: none
    struct bytes in, out;
    size_t in_taken, out_sent; // of these: frames read, bytes sent
    size_t payload_max;
    bool ended;   // nothing will come any more
    char why[96]; // ... because
};

void far_link_init(struct far_link *link, int fd, size_t payload_max);
void far_link_fini(struct far_link *link);

void far_link_end(struct far_link *link, const char *why); // the first reason stands
// Frames written to `out` whole go as far as they go now.
void far_link_flush(struct far_link *link);
bool far_link_flushed(const struct far_link *link);
// What is there, a good piece of it at most.
void far_link_read(struct far_link *link);
// False: none yet. A frame is good until the next far_link_read().
bool far_link_next(struct far_link *link, struct far_frame *out);
// A frame that could not be written ends the link: there is no memory.
void far_link_wrote(struct far_link *link, enum status status);

#endif
