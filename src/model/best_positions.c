#include "model/best_positions.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

// A number's bits in an order in which integers compare as numbers do: digits of 11, 11 and 10
// bits are looked at one after the other, the highest first.
enum { DIGITS = 3, DIGIT_BITS = 11, DIGIT_VALUES = 1 << DIGIT_BITS };
static const int shifts[DIGITS] = {21, 10, 0};
static const uint32_t masks[DIGITS] = {0x7ff, 0x7ff, 0x3ff};

static uint32_t score_order(float score)
{
    uint32_t bits;
    if (score != score)
        score = -__builtin_inff();
    score += 0.0F; // one zero
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? ~bits : bits | 0x80000000;
}

// Among those whose rank begins as `found` does: the digit of the k-th largest, and how many of
// that digit are among the k.
static uint32_t find_digit(const float *scores, int32_t n, int digit, uint32_t found, int32_t *k)
{
    int32_t counts[DIGIT_VALUES] = {0};
    const uint32_t above = digit ? ~(uint32_t)0 << shifts[digit - 1] : 0;
    for (int32_t i = 0; i < n; i++) {
        const uint32_t rank = score_order(scores[i]);
        if ((rank & above) == found)
            counts[rank >> shifts[digit] & masks[digit]]++;
    }
    uint32_t value = masks[digit];
    for (; counts[value] < *k; value--)
        *k -= counts[value];
    return value;
}

void best_positions(const float *scores, int32_t n, int32_t k, int32_t *out)
{
    uint32_t last = 0; // the k-th largest
    int32_t equals = k, used = 0;
    assert(k >= 1 && k < n);
    for (int digit = 0; digit < DIGITS; digit++)
        last |= find_digit(scores, n, digit, last, &equals) << shifts[digit];
    for (int32_t i = 0; used < k; i++) {
        const uint32_t rank = score_order(scores[i]);
        const bool is_equal = rank == last && equals > 0;
        equals -= is_equal;
        if (rank > last || is_equal)
            out[used++] = i;
    }
}
