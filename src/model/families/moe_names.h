// The names that families with experts gave them, and how Qwen's know their sparse layers.
#ifndef COLROW_MODEL_FAMILIES_MOE_NAMES_H
#define COLROW_MODEL_FAMILIES_MOE_NAMES_H

#include "model/describe.h"
#include "model/families/llama_names.h"

// What Transformers makes of them all.
#define PLANNED_GATE_UP LLAMA_LAYER "mlp.experts.gate_up_proj"
#define PLANNED_DOWN LLAMA_LAYER "mlp.experts.down_proj"

#define MOE_EXPERTS(experts, gate, up, down)                                                       \
    PARAMETER_EXPERTS(experts gate, 1, SLOT_EXPERT_GATE, PLANNED_GATE_UP),                         \
        PARAMETER_EXPERTS(experts up, 1, SLOT_EXPERT_UP, PLANNED_GATE_UP),                         \
        PARAMETER_EXPERTS(experts down, 1, SLOT_EXPERT_DOWN, PLANNED_DOWN)
#define MIXTRAL_EXPERTS                                                                            \
    PARAMETER(LLAMA_LAYER "block_sparse_moe.gate", 1, SLOT_EXPERT_ROUTER),                         \
        MOE_EXPERTS(LLAMA_LAYER "block_sparse_moe.experts.*.", "w1", "w3", "w2")
// llm-compressor and auto-round write gate_proj, up_proj and down_proj, GPTQModel also "mlp".
#define MIXTRAL_OTHER_NAMES .other_names = mixtral_other_names, .n_other_names = 2
extern const struct name_change mixtral_other_names[2][NAME_CHANGES_MAX];
#define QWEN_EXPERTS                                                                               \
    PARAMETER(LLAMA_LAYER "mlp.gate", 1, SLOT_EXPERT_ROUTER),                                      \
        MOE_EXPERTS(LLAMA_LAYER "mlp.experts.*.", "gate_proj", "up_proj", "down_proj")
// Of all tokens; with biases where a family has them.
#define MOE_SHARED(row, module)                                                                    \
    row(LLAMA_LAYER module ".gate_proj", 2, SLOT_GATE),                                            \
        row(LLAMA_LAYER module ".up_proj", 2, SLOT_UP),                                            \
        row(LLAMA_LAYER module ".down_proj", 2, SLOT_DOWN)

// Which layers have experts: all of decoder_sparse_step, but those of mlp_only_layers. `absent`:
// what the keys of the experts' sizes mean where they are not there.
enum status qwen_experts(const struct config_reader *reader, const struct experts_keys *absent,
                         struct experts_config *out, bool sparse[LAYERS_MAX]) STATUS_MUST_USE;

#endif
