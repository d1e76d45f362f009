// Inside of the walk over a rank's weights: measuring and placing are the same one.
#ifndef COLROW_MODEL_WEIGHTS_WALK_H
#define COLROW_MODEL_WEIGHTS_WALK_H

#include "model/weights.h"

enum { STACK_MAX = 6 };

struct walk {
    const struct plan *plan;
    const struct checkpoint *checkpoint; // NULL: types are as the config says
    int rank, stage;                     // rank: of that stage
    int layer, sublayer;                 // being placed
    int expert;                          // of those that have a tensor or a part of one each
    struct arena *arena;                 // where `memory` is
    // What panel_layout() found last of experts, which are many
    const struct plan_parameter *of_experts;
    struct panel_layout experts_layout;
    char *memory; // NULL: only sizes
    struct weights_layout *layout;
};

// One slot's part of a parameter, and this rank's rows and columns of it.
struct slot_part {
    const struct plan_parameter *parameter; // NULL: the model has none
    int part;
    struct range rows, columns;
};

// weights_pieces.c. What gives a status fails with a sentence.
struct slot_part find_part(const struct walk *w, enum slot slot, bool bias);
// In the checkpoint.
static inline int64_t stored_width(struct range range)
{
    return range.end - range.begin;
}
// The parameter whose tensor is behind it: `parameter` itself, or the embedding of a tied lm_head.
const struct plan_parameter *stored_parameter(const struct walk *w,
                                              const struct plan_parameter *parameter);
// Of its tensor `number`.
enum status stored_type(const struct walk *w, const struct plan_parameter *parameter, int number,
                        enum element_type *type) STATUS_MUST_USE;
// In memory: an odd intermediate_size ends with a zero (docs/numerics.md section 4).
int64_t even_width(struct range range);
// Notes what is to be read: the rank's part of a parameter. `place` has everything but the slice;
// where it has a second matrix or vector, two parts whose rows are stored in turn.
enum status add_layout_piece(struct walk *w, const struct slot_part *part,
                             struct weight_piece place) STATUS_MUST_USE;
// weights_layout.c, from here on. `*out` NULL: only sizes.
enum status reserve_weights(struct walk *w, size_t bytes, void **out) STATUS_MUST_USE;
// Panels of one or more whole slots, stacked by rows; of two of one size, side by side.
enum status place_panels(struct walk *w, const enum slot *of, int n_parts,
                         struct panels *out) STATUS_MUST_USE;
enum status place_pair(struct walk *w, const enum slot of[2], struct panels *first,
                       struct panels *second) STATUS_MUST_USE;
// Of one slot alone, as of a pair: an odd number of rows has a zero row behind it.
enum status place_up(struct walk *w, enum slot slot, struct panels *out) STATUS_MUST_USE;
// `out` gets number 0, then 1, ...: each as far behind the one before it.
void add_equal_panels(int number, const struct panels *panels, struct equal_panels *out);
// A vector of one or more slots, one behind the other, an odd one with a zero behind it. `*out`
// stays NULL where the model has none of them; of one that lacks a part that part is zero.
enum status place_vector(struct walk *w, const enum slot *of, int n_parts, bool bias, float added,
                         const float **out) STATUS_MUST_USE;
// weights_experts.c: a layer's experts that this rank has.
enum status place_experts(struct walk *w, const struct experts_config *config,
                          struct experts_weights *out) STATUS_MUST_USE;
// The weight and the bias of a norm, where it has them.
enum status place_norm(struct walk *w, const struct norm_config *norm, enum slot slot,
                       struct norm_weights *out) STATUS_MUST_USE;
// weights_states.c: layers with a state.
enum status place_mamba(struct walk *w, const struct mamba_config *config,
                        struct mamba_weights *out) STATUS_MUST_USE;
enum status place_delta(struct walk *w, const struct delta_config *config,
                        struct delta_weights *out) STATUS_MUST_USE;
enum status place_convolution(struct walk *w, const struct convolution_config *config,
                              struct convolution_weights *out) STATUS_MUST_USE;
// The same of parts of slots.
enum status place_parts(struct walk *w, const struct slot_part *parts, int n_parts,
                        struct panels *out) STATUS_MUST_USE;
enum status panel_layout(struct walk *w, const struct slot_part *parts, int n_parts,
                         struct panel_layout *out) STATUS_MUST_USE;
// weights_latent.c: all of latent attention but o_proj.
enum status place_latent(struct walk *w, const struct latent_config *config,
                         struct latent_weights *out) STATUS_MUST_USE;

#endif
