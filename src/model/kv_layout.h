// Which layers' keys and values lie in which pages.
//
// Layers that keep all positions and layers that look back within a window are apart: of the latter
// a sequence holds only the pages of its window. So layers form groups, each of one window, of as
// many layers as fill a page of one size, and a sequence has a table of pages for each group. All
// pages are alike and come from one pool. A page holds KV_PAGE_TOKENS positions of its group's
// layers: [layers][local kv heads][keys, values].
//
// In a pipeline each stage has the part of every page that is of its own layers: a group has about
// as many layers of each stage, so that no stage keeps room for layers of others.
//
// Layers with a state (model/state_layout.h) keep a fixed number of bytes of a sequence, which lie
// in pages of the same pool: so many for a sequence, whatever its length. After each
// `state_interval` tokens the sequence goes on in other ones: those it leaves hold the state as it
// was there, for the prefix cache to know, and are given back like a page that is behind a window.
#ifndef COLROW_MODEL_KV_LAYOUT_H
#define COLROW_MODEL_KV_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "model/model_config.h"

enum { KV_GROUPS_MAX = 16 };

struct kv_layout {
    int32_t n_groups;
    int64_t windows[KV_GROUPS_MAX]; // of each group; 0: all positions are kept. Those come first
    uint8_t group_of[LAYERS_MAX];   // of each layer with keys of its own
    int32_t state_pages;            // of a state; 0: no layer has one
    int32_t state_interval;         // tokens, whole pages
};

// Which of a layer's sublayers has keys of its own; -1: none.
int kv_sublayer(const struct model_config *config, int layer);
// From the config, the bytes of a cached number and the stages' first layers alone: all ranks and
// the front-end find the same.
void kv_layout_init(struct kv_layout *layout, const struct model_config *config,
                    size_t number_bytes, const int32_t *first_layer, int n_stages);

// The first page that a query at `position` looks into.
int64_t kv_first_page(int64_t window, int64_t position);
// States are numbered by intervals. The one that is read before a token at `position`, or where
// that is 0 the one that is begun; and how many are looked at by `n_tokens` from there on.
static inline int32_t kv_first_state(const struct kv_layout *layout, int64_t position)
{
    return position > 0 ? (int32_t)((position - 1) / layout->state_interval) : 0;
}
static inline int32_t kv_count_states(const struct kv_layout *layout, int64_t position,
                                      int32_t n_tokens)
{
    return layout->state_pages
               ? kv_first_state(layout, position + n_tokens) + 1 - kv_first_state(layout, position)
               : 0;
}
// States that a sequence holds at most, as below.
int64_t kv_states_of_sequence(const struct kv_layout *layout, int64_t n_tokens, int32_t rows_max);
// Page ids of states in a step of so many sequences and rows, at most.
int64_t kv_state_entries(const struct kv_layout *layout, int64_t n_sequences, int32_t rows_max);
// Pages that a sequence of `n_tokens` holds at most, of all groups and states, when it is computed
// in chunks
// of at most `rows_max` tokens.
int64_t kv_pages_of_sequence(const struct kv_layout *layout, int64_t n_tokens, int32_t rows_max);
// Of one group.
int64_t kv_pages_of_group(const struct kv_layout *layout, int group, int64_t n_tokens,
                          int32_t rows_max);
// The longest sequence for which `n_pages` are enough.
int64_t kv_tokens_of_pages(const struct kv_layout *layout, int64_t n_pages, int32_t rows_max);

#endif
