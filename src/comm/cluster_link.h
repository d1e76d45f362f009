// One TCP connection between two nodes, without waiting: bytes in and out, frames, and whether the
// other side is still there.
#ifndef COLROW_COMM_CLUSTER_LINK_H
#define COLROW_COMM_CLUSTER_LINK_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "comm/cluster_frame.h"

struct cluster_link {
    int fd; // -1: none
    struct bytes in, out;
    size_t in_taken, out_sent; // of these: frames read, bytes sent
    int64_t heard_ns, said_ns; // when a byte came last, and a frame was written last
    size_t payload_max;        // a longer frame is a fault
    bool ended;                // no bytes will come any more
    char why[96];              // ... because
};

// Of any connection between nodes: without delay, with the kernel's own probes, which end one whose
// bytes nobody takes for `deadline_ms`.
bool cluster_socket_set_up(int fd, int deadline_ms);
// Closed on exec, without delay, with the kernel's own probes, which end a connection whose bytes
// nobody takes for `deadline_ms`. On failure `fd` is closed.
enum status cluster_link_open(struct cluster_link *link, int fd, int deadline_ms) STATUS_MUST_USE;
void cluster_link_close(struct cluster_link *link); // also of one that was never opened
void cluster_link_init(struct cluster_link *link);

// What poll() shall look for.
short cluster_link_events(const struct cluster_link *link);
void cluster_link_read(struct cluster_link *link); // what is there; sets `ended`
// False: none yet, or the link has ended, perhaps because of what came.
bool cluster_link_next(struct cluster_link *link, struct frame *out);
void cluster_link_flush(struct cluster_link *link); // as far as it goes
bool cluster_link_flushed(const struct cluster_link *link);
void cluster_link_end(struct cluster_link *link, const char *why);

// "10.0.0.2" of the other side, or of this one.
void cluster_link_peer(const struct cluster_link *link, char name[CLUSTER_NAME_MAX]);
void cluster_link_own(const struct cluster_link *link, char name[CLUSTER_NAME_MAX]);
bool cluster_link_is_private(const struct cluster_link *link);

#endif
