// What a step of a plan would take on a machine, before anything is read: a roofline for each
// operation of each rank, latency and bandwidth for each exchange, micro-batches over the stages.
// docs/planner.md has the formulas. All times are seconds.
#ifndef COLROW_MODEL_COST_MODEL_H
#define COLROW_MODEL_COST_MODEL_H

#include "device/machine.h"
#include "model/plan.h"

// Which ranks of the world are on which node: node i has [first_rank[i], first_rank[i + 1]).
struct node_layout {
    int n_nodes;
    int32_t first_rank[COMM_RANKS_MAX + 1];
};
int node_of_rank(const struct node_layout *nodes, int world_rank);

// All borrowed.
struct cost_model {
    const struct plan *plan;
    const struct machine *machine;
    const struct node_layout *nodes;
};

// One micro-batch: sequences that bring so many tokens each, before which others stand.
struct micro_batch {
    int n_sequences, tokens_each;
    double context;  // tokens that one of its tokens sees, on average
    int n_logits;    // rows that go through lm_head
    int n_under_way; // micro-batches at a time: more of them keep more ranks of a node busy
};

enum operation_kind { OPERATION_PRODUCT, OPERATION_ATTENTION, OPERATION_EXCHANGE };
// One thing that a rank does for one micro-batch.
struct operation_cost {
    enum operation_kind kind;
    char name[40];       // "q_proj", "attention", "all-reduce"
    int sublayer;        // of its layer; -1: lm_head
    double flops, bytes; // of products; bytes of an exchange: that a rank puts into it
    double flop_seconds, read_seconds; // either alone; the operation takes the longer one
    double seconds;
};
enum { OPERATIONS_MAX = 64 }; // of a layer

// The operations of a layer on the rank with that number in its stage, in order; `layer` ==
// num_hidden_layers: lm_head. Returns their number.
int cost_operations(const struct cost_model *model, const struct micro_batch *batch, int layer,
                    int rank, struct operation_cost out[OPERATIONS_MAX]);

// A stage at work on one micro-batch. Between two exchanges all ranks take as long as the slowest.
struct stage_cost {
    double seconds;                    // of the stage: work + exchange
    double work;                       // products and attention, of the slowest rank each time
    double flop_seconds, read_seconds; // what arithmetic, and reading, would take alone
    double exchange;                   // all-reduces and the like
    double waiting;                    // of `work`: for the slowest rank, the mean over ranks
    double hand_over; // of the stream to the next stage, after that; 0 of the last stage
    double rank_work[COMM_RANKS_MAX]; // [n_ranks] products and attention
};
void cost_stage(const struct cost_model *model, const struct micro_batch *batch, int stage,
                struct stage_cost *out);
// With so many micro-batches under way one ends each: the slowest stage's time, or where they are
// too few to keep it busy, the whole way's over them.
double cost_period(const struct stage_cost *stages, int n_stages, double turnaround,
                   int n_under_way);
// From the end of a step on the last stage to the begin of the next one on the first.
double cost_turnaround(const struct cost_model *model);
// The sum of `bytes` on every rank of the stage.
double cost_all_reduce(const struct cost_model *model, int stage, double bytes);

// What a user asks for.
struct cost_work {
    int concurrency;           // streams side by side
    int input_len, output_len; // tokens of a prompt, and of its answer
    int batched_tokens;        // of a prefill chunk, at most
};
struct cost_prediction {
    struct micro_batch decode_batch, prefill_batch; // the largest ones
    int n_chunks;                                   // of one prompt
    int64_t n_prefill_passes;                       // of all
    struct stage_cost *decode, *prefill;            // [n_stages]
    double turnaround;
    // Steady decode: every stream gets a token each `decode_period`.
    double decode_period, stream_tokens_per_second, decode_tokens_per_second;
    // One prompt alone until its first token; prompts one behind the other.
    double first_token_seconds, prefill_tokens_per_second;
};
// `*out` has memory of its own: cost_prediction_fini().
enum status cost_predict(const struct cost_model *model, const struct cost_work *work,
                         struct cost_prediction *out) STATUS_MUST_USE;
void cost_prediction_fini(struct cost_prediction *prediction);

#endif
