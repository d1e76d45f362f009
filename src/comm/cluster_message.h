// What the frames between nodes say: written and read as structs. A reader returns false for bytes
// that no node of this version writes.
#ifndef COLROW_COMM_CLUSTER_MESSAGE_H
#define COLROW_COMM_CLUSTER_MESSAGE_H

#include "base/sha256.h"
#include "comm/cluster_frame.h"

// Changes with every change of a frame after the challenge. Challenge and refusal stay as they are
// for ever, so that nodes of different versions can say so.
enum { CLUSTER_PROTOCOL = 1, ANY_NODE = -1 };

struct challenge_message {
    int protocol;
    bool wants_key;
    uint8_t nonce[NONCE_BYTES];
    char build[CLUSTER_NAME_MAX];
};
enum status challenge_write(struct bytes *out,
                            const struct challenge_message *message) STATUS_MUST_USE;
// Also of other protocols; false: nothing of colrow's.
bool challenge_read(const struct frame *frame, struct challenge_message *out);

struct hello_message {
    uint8_t nonce[NONCE_BYTES];
    int node; // or ANY_NODE
    int n_nodes, n_local;
    char build[CLUSTER_NAME_MAX], run[CLUSTER_NAME_MAX];
    char agreement[AGREEMENT_BYTES_MAX]; // lines "what: value\n"
};
// The proof: of the key, the host's nonce and all that follows the proof. key NULL: zeros.
struct cluster_key; // cluster_key.h
enum status hello_write(struct bytes *out, const struct hello_message *message,
                        const struct cluster_key *key,
                        const uint8_t host_nonce[NONCE_BYTES]) STATUS_MUST_USE;
bool hello_read(const struct frame *frame, struct hello_message *out);
bool hello_is_proved(const struct frame *frame, const struct cluster_key *key,
                     const uint8_t host_nonce[NONCE_BYTES]);

struct welcome_message {
    int beat_ms, deadline_ms;
};
// With the host's proof, likewise: of the key, the guest's nonce and what follows.
enum status welcome_write(struct bytes *out, const struct welcome_message *message,
                          const struct cluster_key *key,
                          const uint8_t guest_nonce[NONCE_BYTES]) STATUS_MUST_USE;
bool welcome_read(const struct frame *frame, struct welcome_message *out);
bool welcome_is_proved(const struct frame *frame, const struct cluster_key *key,
                       const uint8_t guest_nonce[NONCE_BYTES]);

// REFUSAL, WAITING and BEAT are a text.
enum status text_write(struct bytes *out, enum frame_type type, const char *text) STATUS_MUST_USE;
bool text_read(const struct frame *frame, char *out, size_t room);

// Who has which ranks.
struct cluster_node {
    int n_local; // 0: the others go on without it
    int first_rank;
    char address[CLUSTER_NAME_MAX];
};
struct cluster_world {
    int n_nodes, node; // own
    int size;          // ranks
    struct cluster_node nodes[CLUSTER_NODES_MAX];
};
// False: more than COMM_RANKS_MAX ranks. Fills first_rank and size.
bool cluster_world_count(struct cluster_world *world);
enum status world_write(struct bytes *out, const struct cluster_world *world,
                        int node) STATUS_MUST_USE;
bool world_read(const struct frame *frame, struct cluster_world *out);

// Where ranks can be reached: transports know what the bytes mean.
struct rank_address {
    size_t bytes;
    const uint8_t *data; // borrowed
};
struct address_message {
    uint32_t round; // each start of the ranks has one; later ones are greater
    int n;          // ranks
    struct rank_address address[COMM_RANKS_MAX];
};
enum status addresses_write(struct bytes *out, enum frame_type type,
                            const struct address_message *message) STATUS_MUST_USE;
bool addresses_read(const struct frame *frame, struct address_message *out); // borrows

// What broke the group.
struct cluster_fault {
    int node;        // of which it is said
    bool lost;       // the node itself is; else one of its ranks has failed
    int culprit;     // rank of the world, or -1
    int exit_status; // what each launcher leaves with; not 0
    char sentence[CLUSTER_SENTENCE_MAX];
    char place[CLUSTER_PLACE_MAX]; // the last collective there; may be empty
};
enum status fault_write(struct bytes *out, const struct cluster_fault *fault) STATUS_MUST_USE;
bool fault_read(const struct frame *frame, struct cluster_fault *out);

enum status done_write(struct bytes *out) STATUS_MUST_USE;

#endif
