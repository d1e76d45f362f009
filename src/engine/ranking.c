#include "engine/ranking.h"

#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>

#include "device/number.h"

uint64_t ranking_key(float logit, int32_t id)
{
    uint32_t bits = bits_of_float(logit);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        bits = 0xff800000u; // NaN
    if ((bits & 0x7fffffffu) == 0)
        bits = 0; // -0 equals +0
    bits = bits & 0x80000000u ? ~bits
                              : bits | 0x80000000u; // now unsigned order is the order of numbers
    return (uint64_t)bits << 32 | (uint32_t)~id;
}

int32_t ranking_id(uint64_t key)
{
    return (int32_t) ~(uint32_t)key;
}

static void swap(uint64_t *a, uint64_t *b)
{
    uint64_t c = *a;
    *a = *b;
    *b = c;
}

// Cuts keys (all different) into larger ones, the pivot, smaller ones; returns the pivot's place. n
// > 0.
static int32_t partition(uint64_t *keys, int32_t n)
{
    int32_t middle = n / 2;
    // the median of three goes last
    if (keys[0] < keys[middle])
        swap(&keys[0], &keys[middle]);
    if (keys[0] < keys[n - 1])
        swap(&keys[0], &keys[n - 1]);
    if (keys[middle] > keys[n - 1])
        swap(&keys[middle], &keys[n - 1]);
    uint64_t pivot = keys[n - 1];
    int32_t place = 0;
    for (int32_t i = 0; i < n - 1; i++)
        if (keys[i] > pivot)
            swap(&keys[i], &keys[place++]);
    swap(&keys[place], &keys[n - 1]);
    return place;
}

// Moves the k largest to the front, unsorted. 0 < k <= n.
static void ranking_select(uint64_t *keys, int32_t n, int32_t k)
{
    assert(k > 0 && k <= n);
    while (k < n) {
        int32_t place = partition(keys, n);
        if (place == k || place + 1 == k)
            return;
        if (place > k) {
            n = place;
        } else {
            keys += place + 1;
            n -= place + 1;
            k -= place + 1;
        }
    }
}

static void sift_ranked_down(uint64_t *heap, int32_t n, int32_t i)
{
    for (int32_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[i] <= heap[child])
            return;
        swap(&heap[i], &heap[child]);
    }
}

// Heapsort over a min-heap: descending, without a bad case and without recursion.
void ranking_sort(uint64_t *keys, int32_t n)
{
    for (int32_t i = n / 2 - 1; i >= 0; i--)
        sift_ranked_down(keys, n, i);
    for (int32_t last = n - 1; last > 0; last--) {
        swap(&keys[0], &keys[last]);
        sift_ranked_down(keys, last, 0);
    }
}

int32_t ranking_room(int32_t k)
{
    return k < 512 ? 1024 : 2 * k;
}

// Keeps the k largest; returns the smallest of them: what is below cannot be among the k.
static uint64_t prune(uint64_t *keys, int32_t count, int32_t k)
{
    ranking_select(keys, count, k);
    uint64_t bound = keys[0];
    for (int32_t i = 1; i < k; i++)
        bound = keys[i] < bound ? keys[i] : bound;
    return bound;
}

// The k-th largest of the blocks' tops: k tokens are as large, so that smaller ones cannot be among
// the k largest. -inf where there are fewer blocks.
static float floor_of(const struct ranking *r, int32_t k, uint64_t *keys)
{
    int32_t n_blocks = r->n / RANKING_BLOCK;
    if (k >= n_blocks)
        return -INFINITY;
    for (int32_t i = 0; i < n_blocks; i++)
        keys[i] = ranking_key(r->tops[i], i);
    return r->tops[ranking_id(prune(keys, n_blocks, k))];
}

// The k largest among those that are not below `floor`.
static int32_t collect(const struct ranking *r, float floor, int32_t k, uint64_t *keys)
{
    int32_t count = 0, room = ranking_room(k);
    uint64_t bound = 0;
    bool all = floor == -INFINITY; // NaN as well
    for (int32_t begin = 0; begin < r->n; begin += RANKING_BLOCK) {
        if ((!all && r->tops[begin / RANKING_BLOCK] < floor) ||
            (r->weights && r->sums[begin / RANKING_BLOCK] < r->least))
            continue;
        for (int32_t i = begin; i < begin + RANKING_BLOCK; i++) {
            if ((!all && !(r->logits[i] >= floor)) || (r->weights && r->weights[i] < r->least))
                continue;
            uint64_t key = ranking_key(r->logits[i], i);
            if (key < bound)
                continue;
            keys[count++] = key;
            if (count == room) {
                bound = prune(keys, count, k);
                count = k;
            }
        }
    }
    if (count > k) {
        ranking_select(keys, count, k);
        count = k;
    }
    return count;
}

int32_t ranking_top(const struct ranking *r, int32_t k, uint64_t *keys)
{
    assert(k > 0 && r->n % RANKING_BLOCK == 0);
    float floor = floor_of(r, k, keys);
    int32_t n = collect(r, floor, k, keys);
    // of the k that the floor stands for some may weigh too little: then all count
    return n < k && floor > -INFINITY ? collect(r, -INFINITY, k, keys) : n;
}

int32_t ranking_prefix(uint64_t *keys, int32_t n, const uint32_t *weights, uint64_t target)
{
    assert(n > 0 && target > 0);
    uint64_t *begin = keys;
    while (n > 1) {
        int32_t place = partition(begin, n);
        uint64_t larger = 0;
        for (int32_t i = 0; i < place; i++)
            larger += weights[ranking_id(begin[i])];
        if (larger >= target) {
            n = place;
            continue;
        }
        target -= larger;
        uint64_t pivot = weights[ranking_id(begin[place])];
        begin += place + 1;
        n -= place + 1;
        if (pivot >= target)
            return (int32_t)(begin - keys);
        target -= pivot;
    }
    return (int32_t)(begin - keys) + n;
}
