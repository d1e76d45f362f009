// Inside of a model: its state, and one step on the way through it. For the files of model/ alone.
//
// A step is one team_run(): all threads go through the same operations, each takes its part of
// every one, and they meet at barriers. Thread 0 talks to the other ranks. An operation that can
// fail runs on thread 0 and leaves its status in the run; after the barrier all threads see it and
// leave together.
#ifndef COLROW_MODEL_FORWARD_H
#define COLROW_MODEL_FORWARD_H

#include "comm/comm.h"
#include "device/kernels.h"
#include "device/team.h"
#include "model/model.h"
#include "model/rope.h"
#include "model/scratch.h"
#include "model/state_layout.h"
#include "model/weights.h"

// Where a layer's keys and values lie in a page.
struct kv_place {
    size_t offset, head_stride; // bytes; of the layer, and from one local head to the next
    int group;                  // whose table of pages counts
};

// How ranks of a context attend a sequence's latents (latent_work.h): as costs less, or one way.
enum context_exchange { CONTEXT_BY_COST, CONTEXT_BY_SUMS, CONTEXT_BY_PAGES };

struct model {
    const struct plan *plan;
    const struct share *share; // outside the layers
    const struct kernels *kernels;
    enum product_order order;
    struct comm *comm;    // of the stage
    struct comm *world;   // of all stages
    struct comm *context; // of those that divide the cache by position; NULL: nobody does
    int context_rank;     // ... of which this is number
    enum context_exchange context_exchange;
    struct team *team;
    int rank, stage;     // rank: of that stage
    struct range layers; // the stage's
    struct scratch_size size;
    int64_t kv_pages, host_pages; // of the pool: a rank of a context has a part of each

    struct arena arena;
    struct weights weights; // in the memory of model_options.weights
    struct rope *ropes;     // [plan->config.n_ropes]
    struct kv_place *kv;    // [num_hidden_layers], of the stage's layers
    // [num_hidden_layers] the units of each layer's state, of the stage's layers; NULL: it has none
    struct state_place **states;
    const float *ones;        // as wide as any norm: the weight of one that has none
    const float *slopes;      // [query heads] ALiBi's, or NULL
    struct leaf_plan whole;   // of hidden, rounded up to a pair
    struct leaf_plan *leaves; // [plan->n_cuts], of this rank
    struct scratch scratch;

    void *scratch_memory;
    // [own kv_pages][layers of a group][local kv heads][keys, values]: all of a page is in one
    // place, so that pages can move
    char *kv_memory;
    char *host_memory;  // [own host_pages], the same; NULL: none
    size_t page_stride; // bytes
    struct model_memory memory;
    struct expert_counts expert_counts; // by thread 0
};

struct run {
    struct model *model;
    const struct step *step;
    const struct step_results *results;
    // Rows whose residual this rank keeps: all, or its part of them with sequence_parallel.
    struct range own_rows;
    enum status status;       // written by thread 0 between two barriers, as is
    const float *joined_bias; // of the product whose sum goes with the next one's, or NULL
};

// One thread of a run.
struct worker {
    struct run *run;
    int thread, n_threads;
};

static inline int range_width(struct range range)
{
    return range.end - range.begin;
}

// page_copies.c: a step's copies; ends with a barrier where there are some; the run may have
// failed.
enum status check_copies(const struct model *m, const struct step *step) STATUS_MUST_USE;
void copy_pages(const struct worker *w);
// states.c: of a step's sequence, before anything is computed; and where each unit lies.
enum status check_states(const struct model *m, const struct step *step,
                         int sequence) STATUS_MUST_USE;
enum status place_states(struct model *m) STATUS_MUST_USE;
// A sequence's new tokens fall into runs, between which the state moves on to other pages and is
// left as it is in those before.
struct state_run {
    int token, n_tokens;      // of the sequence's new ones
    const int32_t *from, *to; // pages of the state before it, NULL: of a new one; and behind it
};
// A unit (of this rank's heads, then of its groups) to be changed in place by the run's tokens, as
// the tokens before left it. By one thread, once for each run and unit, in the order of runs.
void *open_state(const struct model *m, const struct state_run *run, int layer, int unit,
                 size_t bytes);
// This thread's part of all units of all sequences, run after run. Ends with a barrier.
typedef void state_work(const void *context, const struct step_sequence *sequence,
                        const struct state_run *run, int unit);
void for_state_runs(const struct worker *w, int n_units, state_work *work, const void *context);
// x is where `out` is, and the state has a row of so many channels for each tap but the last: these
// need not be said.
void convolve_in_place(const struct kernels *kernels, struct convolution convolution);
void convolve_and_silu(const struct kernels *kernels, struct convolution convolution);
// pipeline.c: the stream between stages, or all streams. Received into the residual (and the
// stream's first value into where find_layer_inputs() looks for it); sent from there. Both end with
// a barrier; the run may have failed.
bool is_first_stage(const struct model *m);
bool is_last_stage(const struct model *m);
void receive_first_stream(const struct worker *w);
void keep_first_stream(const struct worker *w);
void receive_stream(const struct worker *w);
void send_stream(const struct worker *w);
// embedding.c: the residual stream's first value; and that as the input of what is projected from
// it, in scratch.input, where anything is. The latter ends with a barrier then.
void embed_tokens(const struct worker *w);
void round_first_stream(const struct worker *w);
float rounded_factor(const struct model *m, float factor); // to the type that is computed in
// layer_inputs.c: scratch.layer_inputs, after round_first_stream(); ends with a barrier where there
// are any.
void find_layer_inputs(const struct worker *w);
// altup.c. Where the model has no streams beside each other, the first two do nothing. Streams'
// first values, after round_first_stream(); and what they are in the end, in the residual: of the
// rows that are captured, or whose logits are asked for. Both end with a barrier.
void begin_streams(const struct worker *w);
void join_streams(const struct worker *w);
float *stream_row(const struct model *m, int stream, size_t row);
// Before a layer, and after the sublayer that corrects: as norm_rows() for what follows.
void predict_streams(const struct worker *w, int layer);
void correct_streams(const struct worker *w, int layer, int sublayer);
// laurel.c: scratch.laurel, of what the sublayer reads. This rank's rows, without a barrier.
void find_laurel(const struct worker *w, int layer, int sublayer);
// sparsity.c: the statistics of all leaves of a gate, `gate` [rows, stride] from this rank's first
// column on, in scratch.squares. Ends with a barrier; the run may have failed.
void find_spreads(const struct worker *w, int layer, const struct cut *cut, const float *gate,
                  size_t stride);
// And what they make of a row.
float sparsity_cutoff(const struct model *m, const struct cut *cut, float deviations, size_t row);
// attention_block.c: from what the norm before it has left in scratch.input to the residual
// addition after o_proj and the norm of what follows, which are one pass.
void attention_block(const struct worker *w, int layer, int sublayer);
// A head's numbers turned as the row's position says; rope -1: not. And what queries are multiplied
// by where they grow with their position: 1 + beta · ln(1 + floor((position + first) / length)).
void rotate_numbers(const struct model *m, int rope, size_t row, float *x);
float query_temperature(const struct attention_config *c, int64_t position);
// latent_block.c: the same, where attention is latent
void latent_block(const struct worker *w, int layer, int sublayer);
// mlp_block.c: likewise, from gate_proj and up_proj on.
void mlp_block(const struct worker *w, int layer, int sublayer);
// experts_block.c: likewise, from the router on.
void experts_block(const struct worker *w, int layer, int sublayer);
// mamba_block.c and convolution_block.c: likewise, from in_proj on.
void mamba_block(const struct worker *w, int layer, int sublayer);
void convolution_block(const struct worker *w, int layer, int sublayer);
// delta_block.c: likewise, from the projections on.
void delta_block(const struct worker *w, int layer, int sublayer);
// router.c: from a row's logits [experts], which are overwritten, to the experts that it chooses,
// ascending, and their weights (docs/numerics.md section 11).
void router_choose(const struct kernels *kernels, const struct experts_config *config,
                   const float *choice_bias, float *logits, int32_t *chosen, float *weights);
// expert_exchange.c: a pass of columns of the sum of experts of which ranks have whole ones. This
// rank's nodes, [nodes][leaves][rows, width] in scratch.expert_nodes, become whole sums in those
// columns of `sums` [rows, sums_width]. Barriers before and after; the run may have failed.
struct expert_pass {
    const struct cut *cut;
    int column, width;
    size_t sums_width; // of a row of `sums`
};
void exchange_experts(const struct worker *w, int layer, const struct expert_pass *pass,
                      float *sums);
// expert_counts.c: once pairs are sorted, by thread 0.
void count_expert_pairs(const struct worker *w, const struct cut *cut);
// router.c: how the sums of n ascending experts meet: after the i-th, the two newest sums are added
// merges[i] times.
void expert_merges(int num_experts, const int32_t *chosen, int n, uint8_t *merges);
// logits.c: final norm, lm_head and the largest of each row.
void compute_logits(const struct worker *w);
// Which of the rows whose logits are asked for lie in `rows`: a run of step.logit_rows.
struct range logits_in(const struct step *step, struct range rows);

// products.c: the operations that several blocks share. They end without a barrier unless said
// otherwise.
//
//
// A norm of the residual stream, with what it multiplies by.
struct stream_norm {
    const struct norm_config *config; // NULL: none
    const struct norm_weights *weights;
};
// What a sublayer reads, and the one beside it that runs in parallel.
struct next_inputs {
    struct stream_norm input, held; // into scratch.input and scratch.held
    struct stream_norm router;      // ... of experts, into scratch.router_input
};
// For a sublayer that does not run in parallel; or for what follows one: none after the last, none
// before one that runs in parallel, whose input is there, and none where streams are predicted or
// corrected in between.
struct next_inputs inputs_of(const struct model *m, int layer, int sublayer);
struct next_inputs inputs_after(const struct model *m, int layer, int sublayer);
// What a sublayer's projections read.
const void *sublayer_input(const struct model *m, int layer, int sublayer);
// y = norm(x) of n numbers; y may be x when it is f32.
void apply_norm(const struct model *m, const struct norm_config *config,
                const struct norm_weights *weights, const float *x, int n, enum compute_type type,
                void *y);
// Numbers of a row of the stream as products read it: hidden_size, and where that is odd a zero
// behind it (docs/numerics.md section 3).
static inline size_t input_width(const struct model *m)
{
    return (size_t)m->whole.leaf[0].k_end;
}
void end_input_row(const struct model *m, void *row); // writes that zero
// y = norm(x) of a row of the stream.
void norm_row(const struct model *m, const struct stream_norm *norm, const float *x,
              enum compute_type type, void *y);
// The same as row `to` of products' inputs.
void norm_input(const struct model *m, const struct stream_norm *norm, const float *x, size_t to,
                void *rows);
// And without a norm, in scratch.input.
void round_input(const struct model *m, const float *x, size_t to);
// The normed residual of all rows, as products' inputs. Ends with a barrier; the run may have
// failed.
void norm_rows(const struct worker *w, int layer, const struct next_inputs *next);
// The residual becomes its own norm before that sublayer. Barriers before and after.
void norm_residual_itself(const struct worker *w, int layer, int sublayer);
// This thread's part of [range.begin, range.end), and of all rows of the step.
struct range range_part(const struct worker *w, struct range range);
struct range step_rows(const struct worker *w);
// Which of a sequence's rows are among `rows`; may end before it begins.
struct range sequence_rows(const struct step_sequence *sequence, struct range rows);
// out [rows, panels.n] = input [rows, panels.k] times the panels, + bias.
struct column_product {
    const void *input;
    int n_rows; // 0: the step's
    const struct panels *panels;
    const struct leaf_plan *leaves; // NULL: of hidden
    const float *bias;              // [panels.n] or NULL
    float *out;
    size_t out_stride; // floats
};
void multiply(const struct worker *w, const struct column_product *product);
// out [rows, gate.n] = act(input times gate, + its bias) · (input times up, + its bias), as the
// next product's input; without `up` the first factor alone.
struct gated_product {
    const void *input;
    struct activation_args activation;
    const struct panels *gate, *up;
    const float *gate_bias, *up_bias; // [gate.n] or NULL
    void *out;
    size_t out_stride; // elements
};
void multiply_gated(const struct worker *w, const struct gated_product *product);
// Row-parallel: input [rows, panels.k] times the panels, summed along the tree over all
// ranks, + bias, normed where the sublayer says so, is added to the residual, whose norm for what
// follows then is in scratch.input as after norm_rows(). Ends with a barrier; the run may have
// failed.
struct row_product {
    const char *what; // "o_proj"
    const void *input;
    size_t input_stride; // elements
    const struct panels *panels;
    const float *bias; // [hidden] or NULL
};
void multiply_and_reduce(const struct worker *w, int layer, int sublayer,
                         const struct row_product *product);
// The same in parts, for those who make the nodes themselves: this thread's part of a product, its
// panels of the matrix, of which input and output are missing; where the nodes go, and floats from
// one to the next; and all that follows. `what` and `bias` of the product are looked at.
struct matmul product_of(const struct worker *w, const struct panels *panels,
                         const struct leaf_plan *leaves);
float *nodes_of(const struct worker *w, int layer, int sublayer, size_t *stride);
void reduce_product(const struct worker *w, int layer, int sublayer,
                    const struct row_product *product);
// Of a product that every rank has made whole, in scratch.nodes.
void add_whole_product(const struct worker *w, int layer, int sublayer,
                       const struct row_product *product);

// exchange.c, for thread 0 alone: columns of which each rank has a range, one part after the other
// in its rows.
struct column_part {
    const struct share *shares; // [n_ranks]
    enum dim dim;
    int32_t base; // where the part begins in a gathered row
};
enum status gather_columns(struct run *run, const struct column_part *parts, int n_parts,
                           const float *own, float *out, size_t out_stride) STATUS_MUST_USE;
// Rows of which rank r has the r-th part, `counts[r]` of them: this rank's are in their place in
// `rows`, the others come.
enum status gather_rows(struct run *run, const int *counts, size_t row_bytes,
                        void *rows) STATUS_MUST_USE;
// Rank r's part of the step's rows where the residual is cut by tokens.
struct range rows_of_rank(const struct run *run, int rank);
// Rows of a table that is cut by tokens: the step's rows of those tokens that this rank has lie in
// their places in `rows` [step rows, width], the others come. Tokens beyond the table have row 0.
struct table_rows {
    enum dim dim;     // of which each rank has a range of tokens
    int32_t n_tokens; // in the table
    float *rows;
    size_t width;
};
enum status gather_table_rows(struct run *run, const struct table_rows *table) STATUS_MUST_USE;
static inline int32_t table_row(int32_t n_tokens, int32_t token)
{
    return token < n_tokens ? token : 0;
}

// Ends the call on all threads at once when thread 0 has failed. After a barrier.
#define LEAVE_IF_FAILED(worker)                                                                    \
    do {                                                                                           \
        if ((worker)->run->status != OK)                                                           \
            return;                                                                                \
    } while (0)

#endif
