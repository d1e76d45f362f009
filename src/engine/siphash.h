// SipHash-2-4 with 128 bits of result (Aumasson and Bernstein, 2012; the reference's
// SIPHASH_2_4 with outlen 16): a hash that nobody without the key can make collide on purpose.
#ifndef COLROW_ENGINE_SIPHASH_H
#define COLROW_ENGINE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

void siphash128(const uint64_t key[2], const void *data, size_t bytes, uint64_t out[2]);

#endif
