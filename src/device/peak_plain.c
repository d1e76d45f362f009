#include "device/peak_loops.h"

void peak_read_plain(const char *data, size_t bytes)
{
    uint64_t sum[4] = {0};
    for (size_t i = 0; i < bytes; i += 32)
        for (size_t k = 0; k < 4; k++) {
            uint64_t word;
            memcpy(&word, data + i + 8 * k, sizeof word);
            sum[k] ^= word;
        }
    __asm__ volatile("" : : "r"(sum[0] ^ sum[1] ^ sum[2] ^ sum[3]));
}

double peak_fma_plain(long rounds)
{
    float chain[PEAK_CHAIN_COUNT] = {0};
    for (long i = 0; i < rounds; i++)
        for (int k = 0; k < PEAK_CHAIN_COUNT; k++)
            chain[k] = chain[k] * 0.5f + 1.0f;
    float sum = 0;
    for (int k = 0; k < PEAK_CHAIN_COUNT; k++)
        sum += chain[k];
    __asm__ volatile("" : : "x"(sum));
    return (double)rounds * PEAK_CHAIN_COUNT * 2;
}
