// Inside comm/: a rendezvous' fields, and what its files call of each other. Callers of
// rendezvous.h do not see this.
#ifndef COLROW_COMM_RENDEZVOUS_PARTS_H
#define COLROW_COMM_RENDEZVOUS_PARTS_H

#include "comm/cluster_link.h"
#include "comm/rendezvous.h"

enum {
    BEAT_MS = 500,
    DEADLINE_MS_MIN = 2000, // one lost packet in a hundred alone makes round trips of 0.7 s
    DEADLINE_MS_DEFAULT = 5000,
    HANDSHAKE_MS = 5000,
    HEARSAY_MS = 1000,
    ANSWER_MS = 2000, // a guest that reports waits so long for the host's word
};

// A node, as the host sees it; its own has no link.
struct guest {
    struct cluster_link link;
    bool here, done;
    char place[CLUSTER_PLACE_MAX];
    struct bytes addresses; // its frame
};

// A connection to the host that has not said who it is.
struct stranger {
    struct cluster_link link;
    int64_t since_ns;
    uint8_t nonce[NONCE_BYTES];
};

struct host {
    int listen_fd; // -1: not any more
    int n_complaints;
    bool degraded; // complete without some nodes
    struct guest guests[CLUSTER_NODES_MAX];
    struct stranger strangers[STRANGERS_MAX];
};

// A guest's way to the host.
enum guest_stage {
    STAGE_PAUSE,      // until `next_ns`
    STAGE_LOOKUP,     // of the host's name
    STAGE_CONNECTING, // until next_ns at most
    STAGE_GREETING,   // waits for the challenge
    STAGE_PROVING,    // ... for the welcome
    STAGE_JOINED,
};
struct lookup; // cluster_lookup.h
struct way {
    enum guest_stage stage;
    int64_t next_ns;
    struct cluster_link link;
    struct lookup *lookup;
    int address; // of the lookup's: tried next
    uint8_t nonce[NONCE_BYTES];
    char host_address[CLUSTER_NAME_MAX], host_build[CLUSTER_NAME_MAX];
    char why[160];                      // it is not there yet
    char waiting[CLUSTER_SENTENCE_MAX]; // what the host says
    char place[CLUSTER_PLACE_MAX];      // of the host's ranks
};

struct rendezvous {
    struct rendezvous_options options;
    enum rendezvous_state state;
    int beat_ms, deadline_ms;
    int64_t turned_ns; // the last turn
    struct cluster_world world;
    char refusal[CLUSTER_SENTENCE_MAX];
    char own_address[CLUSTER_NAME_MAX];
    char place[CLUSTER_PLACE_MAX];
    struct bytes scratch;
    // The book of the last round: a frame, and what it says.
    struct bytes book_frame;
    struct address_message book;
    struct cluster_fault fault; // the one that counts, once it is broken
    // What counts unless something better comes until then; 0: nothing.
    struct cluster_fault hearsay;
    int64_t hearsay_ns;
    bool left;     // own ranks, in peace
    bool reported; // a fault of this node's
    struct host *host;
    struct way *way;
};

bool rendezvous_is_over(const struct rendezvous *r); // nothing more will happen
// Copies a frame of addresses into the book.
void rendezvous_take_book(struct rendezvous *r, const struct bytes *out, size_t begin);
// The group is broken by `fault`: it counts, unless one does already.
void rendezvous_break(struct rendezvous *r, const struct cluster_fault *fault);
// Node `node` is lost, because `why`.
void rendezvous_lost_fault(const struct rendezvous *r, int node, const char *why, const char *place,
                           struct cluster_fault *out);
void rendezvous_refuse(struct rendezvous *r, const char *sentence);
// When `link` is due: writes a beat, or finds that nothing has come for too long.
void rendezvous_beat(struct rendezvous *r, struct cluster_link *link, int64_t now);
// A frame that could not be written ends the link: there is no memory.
void rendezvous_wrote(struct cluster_link *link, enum status status);

enum status host_open(struct rendezvous *r) STATUS_MUST_USE;
void host_close(struct rendezvous *r);
void host_turn(struct rendezvous *r, int64_t now);
void host_take_fault(struct rendezvous *r, const struct cluster_fault *fault);
void host_put_addresses(struct rendezvous *r, const struct address_message *own);
void host_waiting(const struct rendezvous *r, char *text, size_t room);
void host_check_done(struct rendezvous *r);
void host_hear_hello(struct rendezvous *r, struct stranger *stranger, const struct frame *frame);
void host_tell_waiting(struct rendezvous *r);
bool host_settle(struct rendezvous *r, const int n_local[CLUSTER_NODES_MAX]);
void host_warn(struct rendezvous *r, const char *sentence); // the first ones alone are shown
void host_stop_listening(struct rendezvous *r);

enum status guest_open(struct rendezvous *r) STATUS_MUST_USE;
void guest_close(struct rendezvous *r);
void guest_turn(struct rendezvous *r, int64_t now);

#endif
