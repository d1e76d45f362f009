// Where states lie in their pages. A state is what a layer keeps of a sequence in a fixed number of
// bytes whatever its length, in f32: a convolution's last inputs, a recurrence's matrix per head.
//
// It is made of units, one for each of the layer's heads and one for each group of heads (KV heads
// of attention, key heads of the delta rule, groups of Mamba), so that ranks that share heads share
// states. Units of all layers of a stage lie one behind the other in kv_layout.state_pages pages,
// each whole in one page.
#ifndef COLROW_MODEL_STATE_LAYOUT_H
#define COLROW_MODEL_STATE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "model/model_config.h"

enum { STATE_ALIGNMENT = 64 }; // of units: bytes

// Bytes of a unit as the mix has them; they take a multiple of STATE_ALIGNMENT.
struct state_units {
    int32_t heads, groups;
    size_t head_bytes, group_bytes;
};
// What a mix keeps, of all heads; nothing where it has no state.
struct state_units state_units_of(const struct model_config *config,
                                  const struct sublayer_config *sublayer);
// Channels of a gated short convolution that a unit has, and that leaves have whole: the largest
// power of two that divides them and leaves a unit for each leaf that there may be, at least 2.
int32_t convolution_unit(int32_t channels);
// Which of a layer's sublayers has a state; -1: none. One at most has.
int state_sublayer(const struct model_config *config, int layer);

// Pages that the states of all layers take on one rank; `page_bytes` 0: one takes as many bytes as
// needed.
int64_t state_pages_of_model(const struct model_config *config, size_t page_bytes);

struct plan;
// A layer's units on that rank of its stage.
struct state_units state_units_on(const struct plan *plan, int rank, int layer);
// Bytes of the rank's states; and the least size of a page with which kv.state_pages are enough.
size_t state_bytes(const struct plan *plan, int world_rank);
size_t state_page_bytes(const struct plan *plan, int world_rank, size_t least);

// Units in order of layers, a layer's heads before its groups.
struct state_place {
    int32_t page; // of the state's
    size_t offset;
};
struct state_walk {
    size_t page_bytes, used;
    int32_t page;
};
struct state_place state_next_place(struct state_walk *walk, size_t unit_bytes);

#endif
