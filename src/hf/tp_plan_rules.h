// HuggingFace's tp_plan as data: module pattern -> style. The meaning of a style is model/'s
// business.
//
// Source: Transformers 5.24, distributed/tensor_parallel.py and the `base_model_tp_plan` of each
// configuration.
#ifndef COLROW_HF_TP_PLAN_RULES_H
#define COLROW_HF_TP_PLAN_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/memory.h"
#include "base/status.h"

enum { TP_PLAN_BYTES_MAX = 1 << 20, TP_PLAN_RULES_MAX = 4096 };

// All style names of all generations of Transformers; aliases share a value.
enum tp_style {
    TP_NONE,
    TP_COLWISE,               // colwise, local_colwise
    TP_COLWISE_GATHER_OUTPUT, // colwise_gather_output, colwise_rep
    TP_ROWWISE,               // rowwise, local_rowwise
    TP_ROWWISE_SPLIT_INPUT,   // rowwise_split_input, rowwise_rep
    TP_PACKED_COLWISE,        // packed_colwise, local_packed_colwise
    TP_PACKED_ROWWISE,        // packed_rowwise, local_packed_rowwise
    TP_GATHER,
    TP_REPLICATE,
    TP_SEQUENCE_PARALLEL,
    TP_EMBEDDING_ROWWISE,
    TP_EMBEDDING_COLWISE,
    TP_MOE_TP_EXPERTS,
    TP_GROUPED_GEMM,
    TP_EP_ROUTER,
    TP_EP_DISPATCH_EXPERTS,
    TP_REPLICATED_WITH_GRAD_ALLREDUCE,
    TP_MLA_KV_A_PROJ,
    TP_ALL_REDUCE,
    TP_LOCAL, // local, local_params: the module's parameters are its rank's own business
    TP_ISOLATED,
    TP_MOE_IDENTITY_EXPERT,
    TP_STYLES,
};
const char *tp_style_name(enum tp_style style);     // the newest name
enum tp_style tp_style_from_name(const char *name); // TP_NONE when unknown

struct tp_rule {
    const char *pattern;    // "model.layers.*.self_attn.q_proj"
    const char *style_name; // as written
    enum tp_style style;
};
struct tp_plan_rules {
    struct arena arena;
    const char *source; // file name
    struct tp_rule *rules;
    int n_rules;
    // What Transformers ships for a family: its rules may name what a model of it does not have.
    bool is_familys;
};

// A flat JSON object pattern -> style; or what Transformers has for a family, in an object with
// "base_model_tp_plan" and "causal_lm_tp_plan"; or many of these by model_type, in an object with
// "plans", of which the first of `model_types` (NULL-terminated) that is there is taken, or that
// name with "_text" behind it. Unknown styles and empty patterns are errors that name the rule.
enum status tp_plan_parse(const char *name, const char *text, size_t length,
                          const char *const *model_types,
                          struct tp_plan_rules *out) STATUS_MUST_USE;
// Same, from a file, a pipe or "-".
enum status tp_plan_file(const char *path, const char *const *model_types,
                         struct tp_plan_rules *out) STATUS_MUST_USE;
void tp_plan_close(struct tp_plan_rules *rules);

// Matching as HuggingFace does: each ".<digits>." of `name` becomes ".*."; first the full parameter
// name, then its module (name without the last part), are looked up. Name and pattern may each lack
// "model.", "language_model." or what else stands before the layers' names; the same letters go
// first. Returns the index of the rule, or -1.
int tp_plan_match(const struct tp_plan_rules *rules, const char *parameter_name);
// Whether the pattern names a module that the parameter lies in, at any depth.
bool tp_plan_names_module(const char *pattern, const char *parameter_name);

#endif
