// What the files of `colrow plan` share.
#ifndef COLROW_CMD_PLAN_COMMAND_H
#define COLROW_CMD_PLAN_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "base/status.h"
#include "cmd/prediction.h"
#include "model/plan.h"

struct plan_command {
    int tensor_parallel_size, pipeline_parallel_size, reduction_leaves, rows, expert_parallel_size;
    int context_parallel_size;
    int quantization_group_size;
    const char *quantization, *quantization_lm_head;
    const char *dtype, *kv_cache_dtype, *tp_plan, *tp_plan_replace, *explain;
    const char *svg;
    struct machine_flags on;
    int concurrency, input_len, output_len, threads; // of a prediction
    bool json, all_layers, expert_parallel;
    int more_leaves; // that so many ranks need, where none were asked for; 0: no more than usual
    const char *model;
    struct model_config config;
    struct tp_plan_rules rules;
    struct plan_options options;
    struct checkpoint *checkpoint; // NULL when the folder has a config only
    struct node_layout nodes;
    struct machine machine; // with --machine
};

// plan_prepare.c: what the flags name is read, then compiled for their numbers of ranks and stages.
enum status plan_command_prepare(struct plan_command *c) STATUS_MUST_USE;
// More ranks than a sum has leaves by default are shown with as many as they need, which is said.
enum status plan_command_compile(struct plan_command *c, struct plan **out) STATUS_MUST_USE;
void plan_command_end(struct plan_command *c); // also after a failure

// predict_plan.c
// Refuses flags that go with others that are absent.
enum status predict_check(const struct plan_command *c) STATUS_MUST_USE;
// With --machine: the prediction as text, or into `root`, and the diagram.
enum status predict_plan(const struct plan_command *c, const struct plan *plan,
                         json_t *root) STATUS_MUST_USE;
// For tables: the prediction alone, of a command whose `machine` is filled in.
struct predicted_point {
    double prefill, decode; // tokens/s
    // Parts of the time of decoding: products and attention; exchanges and hand-over; the rest.
    double compute, communicate, wait;
};
enum status predict_point(struct plan_command *c, struct predicted_point *out) STATUS_MUST_USE;

// show_ranges.c: "7", or "0-6"
void show_range(struct range r, char *out, size_t bytes);
json_t *range_json(struct range r);
// The rows of a rank in a tensor that is fused by head: the next run of them. Begins with {0, 0};
// false: there are no more.
bool next_rows(const struct plan_parameter *p, int rank, struct range *run);
// Ranges in the tensor, one for each fused part; where it is fused by head, of what lies together.
json_t *row_ranges_json(const struct plan_parameter *p, int rank);
// "[4096, 1024]", of a vector "[4096]"
void show_shape_of(const struct plan_parameter *p, char *out, size_t bytes);
// The rank's rows of a tensor, of all its fused parts.
int rows_of_parts(const struct plan_parameter *p, int rank);
// The bytes of a rank's part in the checkpoint.
int64_t bytes_of_part(const struct plan *plan, const struct plan_parameter *p, int rank);

// show_reading.c: bytes of weights that steps of decoding read.
enum status reading_print(const struct plan *plan) STATUS_MUST_USE;
json_t *reading_json(const struct plan *plan);

// explain_plan.c: --explain PARAM. A name that no parameter has is refused with the nearest ones.
enum status explain_plan(const struct plan *plan, const char *wanted) STATUS_MUST_USE;
enum status explain_plan_json(const struct plan *plan, const char *wanted) STATUS_MUST_USE;

#endif
