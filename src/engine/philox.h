// Philox4x32-10: random numbers as a pure function of (key, counter), so that a replay draws the
// same ones.
//
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#ifndef COLROW_ENGINE_PHILOX_H
#define COLROW_ENGINE_PHILOX_H

#include <stdint.h>

struct philox {
    uint32_t word[4];
};

struct philox philox4x32(struct philox counter, uint64_t key);

// 64 random bits of the token at `position` of sequence `sequence` (0 .. n-1 of a request) under
// `seed`.
uint64_t philox_token_bits(uint64_t seed, uint32_t sequence, uint64_t position);

#endif
