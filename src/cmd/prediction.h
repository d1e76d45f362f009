// What plan and bench scaling share of predictions: on which machine, on how many nodes.
#ifndef COLROW_CMD_PREDICTION_H
#define COLROW_CMD_PREDICTION_H

#include <jansson.h>
#include <stdbool.h>

#include "cmd/flags.h"
#include "model/cost_model.h"

struct machine_flags {
    const char *machine; // a file, or "auto": measured; NULL: nothing is predicted
    const char *links;   // a file whose links count instead; NULL: the machine's
    int nodes, ranks_per_node;
};
enum { MACHINE_FLAGS = 4 };
extern const struct flag machine_flag_rows[MACHINE_FLAGS];

// Reads the file, or measures this machine for a rank of `threads` cores (0: its share) where
// `n_ranks` work at a time.
enum status machine_flags_read(const struct machine_flags *flags, int n_ranks, int threads,
                               struct machine *out) STATUS_MUST_USE;
// Ranks dealt to nodes as `colrow serve --nnodes` deals them. Refuses more ranks than places.
enum status machine_flags_lay_out(const struct machine_flags *flags, int tp, int pp,
                                  struct node_layout *out) STATUS_MUST_USE;
// machine_auto.c: `auto`.
enum status machine_measure(int n_ranks, int threads, struct machine *out) STATUS_MUST_USE;

// show_prediction.c
// "Node 0: layers 0-19 (TP=8), ranks 0-7", a line a node; nothing of one node.
void node_layout_print(const struct plan *plan, const struct node_layout *nodes);
json_t *node_layout_json(const struct plan *plan, const struct node_layout *nodes);

// A prediction with everything that it came from, as it is shown.
struct shown_prediction {
    struct cost_model model;
    struct cost_work work;
    struct cost_prediction costs;
    struct plan_memory *memory; // [n_stages] of the rank that needs most
    const char *name;           // of the model
};
enum status shown_prediction_make(const struct cost_model *model,
                                  const struct checkpoint *checkpoint, const struct cost_work *work,
                                  const char *name, struct shown_prediction *out) STATUS_MUST_USE;
void shown_prediction_fini(struct shown_prediction *shown);
enum status shown_prediction_print(const struct shown_prediction *shown) STATUS_MUST_USE;
json_t *shown_prediction_json(const struct shown_prediction *shown);
// What keeps decoding, or prefill, from being faster: "reading weights and KV", ...
const char *cost_bound(const struct stage_cost *stages, int n_stages, double turnaround,
                       int n_under_way);
// Bytes that a rank of the stage needs for the work.
double shown_rank_bytes(const struct shown_prediction *shown, int stage);

// step_diagram.c: the steps as an SVG file.
enum status step_diagram_write(const struct shown_prediction *shown,
                               const char *path) STATUS_MUST_USE;

#endif
