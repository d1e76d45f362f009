#include "engine/siphash.h"

#include <string.h>

struct sip_state {
    uint64_t v[4];
};

static uint64_t rotate_left(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static void sip_rounds(struct sip_state *state, int n)
{
    uint64_t *v = state->v;
    for (int i = 0; i < n; i++) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate_left(v[1], 13) ^ v[0];
        v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] = rotate_left(v[0], 32);
        v[2] += v[1];
        v[0] += v[3];
        v[1] = rotate_left(v[1], 17) ^ v[2];
        v[3] = rotate_left(v[3], 21) ^ v[0];
        v[2] = rotate_left(v[2], 32);
    }
}

static void absorb(struct sip_state *state, uint64_t word)
{
    state->v[3] ^= word;
    sip_rounds(state, 2);
    state->v[0] ^= word;
}

static uint64_t squeeze(const struct sip_state *state)
{
    return state->v[0] ^ state->v[1] ^ state->v[2] ^ state->v[3];
}

void siphash128(const uint64_t key[2], const void *data, size_t bytes, uint64_t out[2])
{
    struct sip_state state = {{
        key[0] ^ 0x736f6d6570736575u,
        key[1] ^ 0x646f72616e646f6du ^ 0xee, // 0xee: of the form with 128 bits
        key[0] ^ 0x6c7967656e657261u,
        key[1] ^ 0x7465646279746573u,
    }};
    const unsigned char *at = data;
    uint64_t word; // bytes as they lie in memory: this is a little-endian program
    for (size_t left = bytes; left >= sizeof word; left -= sizeof word, at += sizeof word) {
        memcpy(&word, at, sizeof word);
        absorb(&state, word);
    }
    word = (uint64_t)bytes << 56;
    for (size_t i = 0; i < bytes % sizeof word; i++)
        word |= (uint64_t)at[i] << 8 * i;
    absorb(&state, word);
    state.v[2] ^= 0xee;
    sip_rounds(&state, 4);
    out[0] = squeeze(&state);
    state.v[1] ^= 0xdd;
    sip_rounds(&state, 4);
    out[1] = squeeze(&state);
}
