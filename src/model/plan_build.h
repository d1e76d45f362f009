// Between the files that compile a plan: rules -> styles -> leaves -> shares -> parameters and
// edges.
#ifndef COLROW_MODEL_PLAN_BUILD_H
#define COLROW_MODEL_PLAN_BUILD_H

#include "hf/weight_recipe.h"
#include "model/family.h"
#include "model/plan.h"

enum { FAMILY_ROWS_MAX = 64 };

// The style of each of the family's rows, and which rule says so.
struct resolved_styles {
    enum tp_style style[FAMILY_ROWS_MAX];        // TP_NONE: no rule, and whole by default
    const struct tp_rule *rule[FAMILY_ROWS_MAX]; // the caller's
    const char *pattern[FAMILY_ROWS_MAX];        // its, in the plan's arena
};

// plan_styles.c: matches the rules, refuses unused and contradictory ones, and fills the styles of
// the plan and of its cuts.
enum status plan_resolve_styles(struct plan *plan, const struct plan_options *options,
                                struct resolved_styles *out) STATUS_MUST_USE;
// plan_rule_names.c: the rule that names a row, the last of several; -1: none. Whether one names
// the module that has it.
int plan_find_rule(const struct family *family, const struct tp_plan_rules *rules,
                   const struct parameter_row *row);
bool plan_rule_names_module(const struct family *family, const struct tp_rule *rule,
                            const struct parameter_row *row);
bool style_is_colwise(enum tp_style style); // with or without a gather behind it
bool style_is_rowwise(enum tp_style style);

// plan_stages.c: which layers are whose.
enum status plan_split_layers(struct plan *plan,
                              const struct plan_options *options) STATUS_MUST_USE;

// plan_context.c: among how many ranks the cache is divided, and whether so many can.
enum status plan_split_context(struct plan *plan,
                               const struct plan_options *options) STATUS_MUST_USE;
enum status plan_check_context(const struct plan *plan, int n_ranks) STATUS_MUST_USE;

// plan_shares.c, in this order. The leaves of each cut's product, for any number of ranks; may be
// done again with another number of leaves.
enum status plan_lay_leaves(struct plan *plan, int leaves) STATUS_MUST_USE;
// ERR_INPUT, without a word about other sizes, when a rank would be left without work.
enum status plan_check_size(const struct plan *plan, int n_ranks) STATUS_MUST_USE;
// Leaves of heads' product: whole groups where there are enough, else cuts inside them; in elements
// of its k.
void plan_group_leaves(int64_t groups, int64_t heads, int32_t head_dim, int leaves,
                       int32_t *bounds);
// plan_shares_states.c: the same of layers with a state, for plan_shares.c alone.
void plan_state_leaves(const struct cut *cut, int leaves, int32_t *bounds);
int32_t plan_state_multiple(const struct cut *cut); // where sums may be cut, if ranks are few
enum status plan_check_state_size(const struct cut *cut, int n_ranks) STATUS_MUST_USE;
void plan_share_state(const struct cut *cut, int rank);
bool mix_has_state(enum mix_kind kind);
// What each of so many ranks holds, which plan_check_size() has found to do.
enum status plan_cut(struct plan *plan, int n_ranks) STATUS_MUST_USE;

// plan_parameters.c, after all that.
enum status plan_list_parameters(struct plan *plan,
                                 const struct resolved_styles *styles) STATUS_MUST_USE;
// The parameter of a slot (`layer` and `sublayer` are not looked at outside the layers), and which
// of its parts the slot is; NULL when the model has none.
const struct plan_parameter *plan_find_parameter(const struct plan *plan, int layer, int sublayer,
                                                 enum slot slot, bool bias, int *part);

// plan_checkpoint.c and plan_stored.c: whether lm_head is the embedding. config.json says so, and
// the checkpoint (may be NULL) does not store both, or stores the same bits (`head_is_embed`).
bool plan_ties(const struct model_config *config, const struct checkpoint *checkpoint,
               bool head_is_embed);
// The tensor behind a parameter (one of n_tensors), by any of its names; of a tied embedding it may
// be lm_head's. NULL when the checkpoint has none.
const struct tensor_info *plan_find_tensor(const struct plan *plan,
                                           const struct checkpoint *checkpoint,
                                           const struct plan_parameter *p, int tensor);
// The same with all its tensors and how they lie; their values NULL when the checkpoint has none.
enum status plan_find_stored(const struct plan *plan, const struct checkpoint *checkpoint,
                             const struct plan_parameter *p, int tensor,
                             struct stored_weight *out) STATUS_MUST_USE;
// Which parameters the checkpoint (may be NULL) stores by a recipe; what is wrong with one is
// plan_check_parameters()' to say.
enum status plan_note_recipes(struct plan *plan,
                              const struct checkpoint *checkpoint) STATUS_MUST_USE;
// A tensor by a name of the family's, or by another spelling of it; whether a matrix is there, by
// whatever recipe.
const struct tensor_info *plan_find_named(const struct family *family,
                                          const struct checkpoint *checkpoint, const char *name);
bool plan_is_stored(const struct family *family, const struct checkpoint *checkpoint,
                    const char *name);
// Where a row of a parameter's part lies, and how many rows of the part lie there together.
struct plan_rows {
    int tensor;
    int64_t row, count; // of that tensor
};
struct plan_rows plan_rows_of(const struct plan_parameter *p, int part, int64_t row);
// Where the same rows of another expert lie; `rows` are the first one's.
void plan_of_expert(const struct plan_parameter *p, int expert, struct plan_rows *rows);
// plan_check_checkpoint() without a word about tensors that are not ours: each rank does this
// again.
enum status plan_check_parameters(const struct plan *plan,
                                  const struct checkpoint *checkpoint) STATUS_MUST_USE;

// plan_edges.c
enum status plan_list_edges(struct plan *plan) STATUS_MUST_USE;

#endif
