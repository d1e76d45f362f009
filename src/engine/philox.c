#include "engine/philox.h"

static struct philox philox_round(struct philox c, uint32_t k0, uint32_t k1)
{
    uint64_t a = (uint64_t)0xD2511F53u * c.word[0];
    uint64_t b = (uint64_t)0xCD9E8D57u * c.word[2];
    return (struct philox){{
        (uint32_t)(b >> 32) ^ c.word[1] ^ k0,
        (uint32_t)b,
        (uint32_t)(a >> 32) ^ c.word[3] ^ k1,
        (uint32_t)a,
    }};
}

struct philox philox4x32(struct philox counter, uint64_t key)
{
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        counter = philox_round(counter, k0, k1);
        k0 += 0x9E3779B9u; // golden ratio
        k1 += 0xBB67AE85u; // sqrt(3) - 1
    }
    return counter;
}

uint64_t philox_token_bits(uint64_t seed, uint32_t sequence, uint64_t position)
{
    struct philox counter = {{(uint32_t)position, (uint32_t)(position >> 32), sequence, 0}};
    struct philox bits = philox4x32(counter, seed);
    return (uint64_t)bits.word[1] << 32 | bits.word[0];
}
