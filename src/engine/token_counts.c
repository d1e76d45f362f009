#include "engine/token_counts.h"

#include <assert.h>
#include <string.h>

static uint32_t slots_for(int32_t tokens_max)
{
    uint32_t n_slots = 16;
    while (n_slots < 2 * (uint32_t)tokens_max)
        n_slots *= 2;
    return n_slots;
}

size_t token_counts_bytes(int32_t tokens_max)
{
    return (size_t)tokens_max * sizeof(struct token_count) +
           (size_t)slots_for(tokens_max) * sizeof(int32_t);
}

enum status token_counts_init(struct token_counts *counts, struct arena *arena, int32_t tokens_max)
{
    assert(tokens_max >= 0 && tokens_max < 1 << 29);
    *counts = (struct token_counts){.capacity = tokens_max};
    uint32_t n_slots = slots_for(tokens_max);
    counts->mask = n_slots - 1;
    TRY(arena_take(arena, (size_t)tokens_max, sizeof *counts->items, &counts->items));
    TRY(arena_take(arena, n_slots, sizeof *counts->slots, &counts->slots));
    memset(counts->slots, 0, n_slots * sizeof *counts->slots);
    return OK;
}

static struct token_count *find_or_add(struct token_counts *counts, int32_t id)
{
    uint32_t slot = (uint32_t)id * 0x9E3779B1u; // Knuth's multiplicative hash
    slot ^= slot >> 15;
    for (;; slot++) {
        int32_t *item = &counts->slots[slot & counts->mask];
        if (*item == 0) {
            assert(counts->n < counts->capacity);
            counts->items[counts->n] = (struct token_count){.id = id};
            *item = ++counts->n;
        }
        if (counts->items[*item - 1].id == id)
            return &counts->items[*item - 1];
    }
}

void token_counts_prompt(struct token_counts *counts, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        find_or_add(counts, ids[i]);
}

void token_counts_generated(struct token_counts *counts, int32_t id)
{
    find_or_add(counts, id)->generated++;
}
