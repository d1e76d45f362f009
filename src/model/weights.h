// A rank's weights in memory: panels for products, f32 vectors for norms and biases, in one block.
#ifndef COLROW_MODEL_WEIGHTS_H
#define COLROW_MODEL_WEIGHTS_H

#include "device/kernels.h"
#include "device/team.h"
#include "hf/checkpoint.h"
#include "model/plan.h"
#include "model/shared_rows.h"

struct norm_weights {
    const float *weight, *bias; // or NULL
};

// Matrices of one shape, one behind the other: of the rank's heads, or of its experts.
struct equal_panels {
    struct panels first;
    size_t stride; // bytes
};
static inline struct panels equal_panels_at(const struct equal_panels *of, int number)
{
    struct panels panels = of->first;
    panels.data = (char *)panels.data + (size_t)number * of->stride;
    return panels;
}

// Of latent attention.
struct latent_weights {
    // Fused: rows of q_a_proj, or of q_proj where there is none, then those of the latent and the
    // key beside it.
    struct panels down;                   // [query rank or query rows, + latent and key, hidden]
    struct panels query_up;               // [query rows, query rank], where there is q_a_proj
    const float *down_bias;               // [rows of down] or NULL
    struct norm_weights query_norm, norm; // [query rank], [latent]
    struct equal_panels key_up;           // [latent, nope_dim]: kv_b_proj's rows of keys as columns
    struct equal_panels value_up;         // [value_dim, latent]
    // Of an indexer, whose rows of `down` come last: its key's, then one of each of its heads
    struct panels index_query;      // [index heads · their size, query rank]
    struct norm_weights index_norm; // [their size]
};

struct attention_weights {
    struct latent_weights latent; // then of all below only o and its bias
    // Fused so that one pass over the input serves all: rows of q, then of k, then of v.
    struct panels qkv;                  // [query + key + value rows, hidden]
    struct panels o;                    // [hidden, attended columns]
    const float *qkv_bias, *o_bias;     // [rows of qkv], [hidden], or NULL
    struct norm_weights q_norm, k_norm; // [head_dim], or [attended columns], [cached columns]
    const float *sinks;                 // [attended heads] or NULL
    struct panels gate;                 // [attended columns, hidden], where there is one
    const float *gate_bias;             // [attended columns] or NULL
};

struct mlp_weights {
    struct panels gate, up;           // [mlp rows, hidden], panel by panel in turn
    struct panels down;               // [hidden, activated columns]
    const float *gate_bias, *up_bias; // [mlp rows] or NULL
    const float *down_bias;           // [hidden] or NULL
    const float *xielu[4];            // alpha_p, alpha_n, beta, eps, one number each, or NULL
    struct panels token_gate;         // [1, hidden], where the MLP has it
};

struct experts_weights {
    struct panels router;       // [experts, hidden]
    const float *router_bias;   // [experts] or NULL
    const float *choice_bias;   // [experts] or NULL
    const float *expert_scales; // [experts] or NULL
    struct norm_weights router_norm;
    struct equal_panels gate, up; // [mlp rows, hidden], panel by panel in turn
    struct equal_panels down;     // [hidden, activated columns]
    // Where these read and give latents, [latent, hidden] and [hidden, latent], and their biases or
    // NULL
    struct panels latent_down, latent_up;
    const float *latent_down_bias, *latent_up_bias;
    // [experts that the rank has][mlp rows rounded up to a pair, or hidden] or NULL
    const float *gate_bias, *up_bias, *down_bias;
};

struct altup_weights {
    struct norm_weights router_norm;
    struct panels router;       // [streams, hidden]
    struct panels prediction;   // [streams · streams, streams]
    struct panels correction;   // [streams, streams]
    const float *correct_scale; // [hidden]
};

struct laurel_weights {
    struct panels left, right; // [rank, hidden], [hidden, rank]
    struct norm_weights norm;
};

struct mamba_weights {
    struct panels in;     // [rows, hidden] of the gate, x, B, C and dt, as in mamba_part
    const float *in_bias; // [rows] or NULL
    // Of x, B and C: [taps][channels], [channels] or NULL
    const float *taps, *taps_bias;
    const float *a_log, *d, *step_bias; // [heads]
    const float *norm;                  // [heads · head_dim] or NULL
    struct panels out;                  // [hidden, heads · head_dim]
    const float *out_bias;              // [hidden] or NULL
};

struct convolution_weights {
    struct panels in;              // [rows, hidden] of B, C and x
    const float *in_bias;          // [rows] or NULL
    const float *taps, *taps_bias; // [taps][channels], [channels] or NULL
    struct panels out;             // [hidden, channels]
    const float *out_bias;         // [hidden] or NULL
};

struct delta_weights {
    // [rows, hidden] of the query, key, value, beta, gate and step, in this order; or of what these
    // last two are made of
    struct panels in;
    struct panels gate_up, step_up; // [rows, low_rank], of one that has a low_rank
    const float *taps;              // of the first three: [taps][channels]
    const float *a_log, *step_bias; // [value heads], [steps]
    struct norm_weights norm;       // [value_head_dim]
    struct panels out;              // [hidden, value heads · value_head_dim]
};

struct sublayer_weights {
    struct norm_weights before, after, joint;
    const float *scalar;                    // one number or NULL
    struct altup_weights altup;             // of one that predicts
    struct laurel_weights laurel;           // of one that has it
    struct attention_weights attention;     // of MIX_ATTENTION
    struct mlp_weights mlp;                 // of MIX_MLP
    struct experts_weights experts;         // of MIX_EXPERTS
    struct mamba_weights mamba;             // of MIX_MAMBA
    struct convolution_weights convolution; // of MIX_CONVOLUTION
    struct delta_weights delta;             // of MIX_DELTA
};

struct weights {
    struct panels embed; // [embed rows, embed columns]; of the first stage
    // [vocab, hidden], of the last stage; the embedding itself where it is tied and cut alike, and
    // there
    struct panels lm_head;
    const float *lm_head_bias; // [vocab] or NULL
    struct norm_weights embed_norm, final_norm;
    // of layer_inputs, of the stage's layers: [vocab_size, layers · size], [layers · size, hidden],
    // [size]
    struct panels inputs_table, inputs_projection;
    struct norm_weights inputs_norm;
    // of altup: [hidden, hidden] of each stream but the first; of the first and the last stage
    struct panels stream_projections[ALTUP_INPUTS_MAX - 1],
        stream_unembeddings[ALTUP_INPUTS_MAX - 1];
    struct sublayer_weights (*layers)[SUBLAYERS_MAX]; // [num_hidden_layers]; filled: the stage's
};

// One slice of a tensor and its place: rows of panels, or a vector.
struct weight_piece {
    struct tensor_slice slice;
    struct panels panels; // panels.data NULL: a vector
    int32_t row;          // of the panels
    float *vector;
    float added;  // to each number of a vector
    float factor; // of each number of a vector; 0: none
    // Rows in turn: the first, third, ... are those of panels or vector, the others of these.
    bool in_turn;
    struct panels second;
    float *second_vector;
    bool transposed; // the slice's rows are the panels' columns
    // Not NULL: by a recipe; the slice is of the numbers that it gives
    const struct stored_weight *stored;
    // Of one that is quantised: the slice has all of its groups, and the panels have so many of its
    // columns after so many others.
    int32_t columns_before, n_columns;
};

// Numbers that become integers as they are loaded.
static inline bool piece_is_quantised(const struct weight_piece *p)
{
    return panel_format_is_integer(p->panels.format);
}

// The weights' places relative to `memory`, and what goes there. With memory NULL only sizes are
// found.
struct weights_layout {
    size_t bytes;                // of the block
    uint64_t file_bytes;         // of the slices
    struct weight_piece *pieces; // [n_pieces]; NULL when only sizes are found
    int n_pieces;
};

// Measures; `checkpoint` may be NULL, as in plan_memory().
enum status weights_measure(const struct plan *plan, const struct checkpoint *checkpoint,
                            int world_rank, struct weights_layout *out) STATUS_MUST_USE;
// Lays out `memory` (layout->bytes as measured). `out->layers` and `layout->pieces` come from the
// arena.
enum status weights_place(const struct plan *plan, const struct checkpoint *checkpoint,
                          int world_rank, void *memory, struct arena *arena, struct weights *out,
                          struct weights_layout *layout) STATUS_MUST_USE;

// Reads and packs all pieces on the team's threads and some more beside them, so that reading and
// packing overlap.
struct weights_loading {
    const struct checkpoint *checkpoint;
    const struct kernels *kernels;
    struct team *team;
    // Of weights that stay at the hub: the ranks that load at the same time; NULL: none
    struct shared_rows *shared;
    void (*progress)(void *context,
                     uint64_t bytes_read); // called on the caller's thread; may be NULL
    void *progress_context;
};
enum status weights_load(const struct weights_loading *loading, const struct weights_layout *layout,
                         uint64_t *bytes_read) STATUS_MUST_USE;

#endif
