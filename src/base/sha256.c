#include "base/sha256.h"

#include <string.h>

// The first 32 bits of the fractional parts of the cube roots of the first 64 primes.
static const uint32_t constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate_right(uint32_t x, int bits)
{
    return x >> bits | x << (32 - bits);
}

static void expand_block(const uint8_t *block, uint32_t w[64])
{
    for (int i = 0; i < 16; i++, block += 4)
        w[i] = (uint32_t)block[0] << 24 | (uint32_t)block[1] << 16 | (uint32_t)block[2] << 8 |
               block[3];
    for (int i = 16; i < 64; i++) {
        uint32_t a = w[i - 15], b = w[i - 2];
        uint32_t s0 = rotate_right(a, 7) ^ rotate_right(a, 18) ^ a >> 3;
        uint32_t s1 = rotate_right(b, 17) ^ rotate_right(b, 19) ^ b >> 10;
        w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
}

// s: a to h of the standard.
static void compress(uint32_t state[8], const uint8_t *block)
{
    uint32_t w[64], s[8];
    expand_block(block, w);
    memcpy(s, state, sizeof s);
    for (int i = 0; i < 64; i++) {
        uint32_t s1 = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25);
        uint32_t choice = (s[4] & s[5]) ^ (~s[4] & s[6]);
        uint32_t t1 = s[7] + s1 + choice + constants[i] + w[i];
        uint32_t s0 = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22);
        uint32_t majority = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        memmove(s + 1, s, 7 * sizeof s[0]);
        s[4] += t1;
        s[0] = t1 + s0 + majority;
    }
    for (int i = 0; i < 8; i++)
        state[i] += s[i];
}

void sha256_begin(struct sha256 *sha)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(sha->state, start, sizeof start);
    sha->bytes = 0;
}

void sha256_add(struct sha256 *sha, const void *data, size_t bytes)
{
    const uint8_t *at = data;
    while (bytes > 0) {
        size_t held = (size_t)(sha->bytes % SHA256_BLOCK_BYTES), room = SHA256_BLOCK_BYTES - held;
        size_t part = bytes < room ? bytes : room;
        memcpy(sha->block + held, at, part);
        sha->bytes += part;
        at += part;
        bytes -= part;
        if (part == room)
            compress(sha->state, sha->block);
    }
}

void sha256_end(struct sha256 *sha, uint8_t out[SHA256_BYTES])
{
    uint8_t tail[SHA256_BLOCK_BYTES + 8] = {0x80};
    uint64_t bits = sha->bytes * 8;
    size_t held = (size_t)(sha->bytes % SHA256_BLOCK_BYTES);
    size_t padding = held < 56 ? 56 - held : 120 - held; // the length ends a block
    for (size_t i = 0; i < 8; i++)
        tail[padding + i] = (uint8_t)(bits >> (56 - 8 * i));
    sha256_add(sha, tail, padding + 8);
    for (size_t i = 0; i < SHA256_BYTES; i++)
        out[i] = (uint8_t)(sha->state[i / 4] >> (24 - 8 * (i % 4)));
}

static void begin_padded(struct sha256 *sha, const uint8_t *key, uint8_t mask)
{
    uint8_t block[SHA256_BLOCK_BYTES];
    for (int i = 0; i < SHA256_BLOCK_BYTES; i++)
        block[i] = key[i] ^ mask;
    sha256_begin(sha);
    sha256_add(sha, block, sizeof block);
}

void hmac_sha256_begin(struct hmac_sha256 *hmac, const void *key, size_t key_bytes)
{
    uint8_t block[SHA256_BLOCK_BYTES] = {0};
    if (key_bytes > sizeof block) {
        sha256_begin(&hmac->inner);
        sha256_add(&hmac->inner, key, key_bytes);
        sha256_end(&hmac->inner, block);
    } else if (key_bytes > 0) {
        memcpy(block, key, key_bytes);
    }
    begin_padded(&hmac->inner, block, 0x36);
    begin_padded(&hmac->outer, block, 0x5c);
}

void hmac_sha256_add(struct hmac_sha256 *hmac, const void *data, size_t bytes)
{
    sha256_add(&hmac->inner, data, bytes);
}

void hmac_sha256_end(struct hmac_sha256 *hmac, uint8_t out[SHA256_BYTES])
{
    uint8_t inner[SHA256_BYTES];
    sha256_end(&hmac->inner, inner);
    sha256_add(&hmac->outer, inner, sizeof inner);
    sha256_end(&hmac->outer, out);
}

bool same_secret(const void *a, const void *b, size_t bytes)
{
    const uint8_t *one = a, *other = b;
    unsigned difference = 0;
    for (size_t i = 0; i < bytes; i++)
        difference |= (unsigned)(one[i] ^ other[i]);
    return difference == 0;
}
