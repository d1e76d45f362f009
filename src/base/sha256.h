// SHA-256 (FIPS 180-4) and HMAC-SHA-256 (RFC 2104), for what machines prove to each other.
#ifndef COLROW_BASE_SHA256_H
#define COLROW_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SHA256_BYTES = 32, SHA256_BLOCK_BYTES = 64 };

struct sha256 {
    uint32_t state[8];
    uint64_t bytes; // absorbed
    uint8_t block[SHA256_BLOCK_BYTES];
};
void sha256_begin(struct sha256 *sha);
void sha256_add(struct sha256 *sha, const void *data, size_t bytes);
void sha256_end(struct sha256 *sha, uint8_t out[SHA256_BYTES]);

struct hmac_sha256 {
    struct sha256 inner, outer;
};
void hmac_sha256_begin(struct hmac_sha256 *hmac, const void *key, size_t key_bytes);
void hmac_sha256_add(struct hmac_sha256 *hmac, const void *data, size_t bytes);
void hmac_sha256_end(struct hmac_sha256 *hmac, uint8_t out[SHA256_BYTES]);

// In the same time wherever the first difference is.
bool same_secret(const void *a, const void *b, size_t bytes);

#endif
