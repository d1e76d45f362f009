// A rank's wait for another one, and how it may end: what is waited for comes, the group breaks (a
// verdict, the peer's end), the deadline passes.
#ifndef COLROW_COMM_PEER_WAIT_H
#define COLROW_COMM_PEER_WAIT_H

#include "comm/transport.h"

struct wire_message;

struct peer_wait {
    struct comm *comm;
    int peer;                 // rank of the world
    struct signal_word *word; // raised to `value`; or:
    uint32_t value;
    const struct wire_message *message;
    int64_t since_ns;   // 0: not begun
    int64_t overdue_ns; // when it was first seen late; 0: never
};

// The check of signal_await(), asked when something does not come at once.
enum status peer_wait_check(void *wait) STATUS_MUST_USE;
// It has come.
void peer_wait_end(const struct peer_wait *wait);

// "rank 1 (pid 7) is gone; rank 0 waits for it …"
enum status break_for_peer(struct comm *comm, int peer, const char *fate);

#endif
