// The secret that the nodes of a group share (--cluster-key-file), and who is let in without one.
#ifndef COLROW_COMM_CLUSTER_KEY_H
#define COLROW_COMM_CLUSTER_KEY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/sha256.h"
#include "base/status.h"
#include "comm/cluster_frame.h"

enum { CLUSTER_KEY_BYTES_MIN = 16, CLUSTER_KEY_BYTES_MAX = 4096 };

struct cluster_key {
    size_t bytes;
    uint8_t secret[CLUSTER_KEY_BYTES_MAX];
};
// What the file holds, without the line end of an editor.
enum status cluster_key_read(const char *path, struct cluster_key *out) STATUS_MUST_USE;

// HMAC-SHA-256 of whose proof it is, the other side's nonce and `data`: an answer heard before, or
// one's own sent back, proves nothing.
enum proof_side { GUEST_PROOF, HOST_PROOF };
void cluster_key_prove(const struct cluster_key *key, enum proof_side side,
                       const uint8_t nonce[NONCE_BYTES], const void *data, size_t bytes,
                       uint8_t out[SHA256_BYTES]);
enum status cluster_nonce(uint8_t out[NONCE_BYTES]) STATUS_MUST_USE;

// Loopback, private, link-local and carriers' shared addresses (RFC 1918, 4193, 3927, 6598): those
// that do not come from the internet.
bool address_is_private(const struct sockaddr *address);

#endif
