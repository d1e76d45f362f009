#include "model/slot.h"

#include <assert.h>

const struct slot_info slots[SLOTS] = {
    [SLOT_EMBED] = {"embed_tokens", ROLE_EMBED, DIM_EMBED_ROWS, DIM_EMBED_COLUMNS, false},
    [SLOT_EMBED_NORM] = {"embed_norm", ROLE_WHOLE, DIM_HIDDEN, DIM_ONE, false},
    [SLOT_FINAL_NORM] = {"norm", ROLE_NORM, DIM_HIDDEN, DIM_ONE, false},
    [SLOT_LM_HEAD] = {"lm_head", ROLE_OUTPUTS, DIM_VOCAB, DIM_HIDDEN, false},
    [SLOT_INPUTS_TABLE] = {"embed_tokens_per_layer", ROLE_EMBED, DIM_INPUTS_ROWS, DIM_INPUTS,
                           false},
    [SLOT_INPUTS_PROJECTION] = {"per_layer_model_projection", ROLE_WHOLE, DIM_INPUTS, DIM_HIDDEN,
                                false},
    [SLOT_INPUTS_NORM] = {"per_layer_projection_norm", ROLE_WHOLE, DIM_LAYER_INPUTS, DIM_ONE,
                          false},
    [SLOT_STREAM_PROJECTIONS] = {"altup_projections", ROLE_WHOLE, DIM_OTHER_STREAMS, DIM_HIDDEN,
                                 false},
    [SLOT_STREAM_UNEMBEDDINGS] = {"altup_unembed_projections", ROLE_WHOLE, DIM_OTHER_STREAMS,
                                  DIM_HIDDEN, false},
    [SLOT_BEFORE_NORM] = {"input_layernorm", ROLE_NORM, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_AFTER_NORM] = {"post_layernorm", ROLE_NORM, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_LAYER_SCALAR] = {"layer_scalar", ROLE_WHOLE, DIM_ONE, DIM_ONE, true},
    [SLOT_QUERY] = {"q_proj", ROLE_OUTPUTS, DIM_QUERY, DIM_HIDDEN, true},
    [SLOT_KEY] = {"k_proj", ROLE_OUTPUTS, DIM_KEY, DIM_HIDDEN, true},
    [SLOT_VALUE] = {"v_proj", ROLE_OUTPUTS, DIM_VALUE, DIM_HIDDEN, true},
    [SLOT_ATTENDED] = {"o_proj", ROLE_INPUTS, DIM_HIDDEN, DIM_ATTENDED, true},
    [SLOT_QUERY_NORM] = {"q_norm", ROLE_WHOLE, DIM_QUERY_NORM, DIM_ONE, true},
    [SLOT_KEY_NORM] = {"k_norm", ROLE_WHOLE, DIM_KEY_NORM, DIM_ONE, true},
    [SLOT_SINKS] = {"sinks", ROLE_WHOLE, DIM_HEADS, DIM_ONE, true},
    [SLOT_GATE] = {"gate_proj", ROLE_OUTPUTS, DIM_MLP, DIM_HIDDEN, true},
    [SLOT_UP] = {"up_proj", ROLE_OUTPUTS, DIM_MLP, DIM_HIDDEN, true},
    [SLOT_DOWN] = {"down_proj", ROLE_INPUTS, DIM_HIDDEN, DIM_ACTIVATED, true},
    [SLOT_XIELU_ALPHA_P] = {"alpha_p", ROLE_WHOLE, DIM_ONE, DIM_ONE, true},
    [SLOT_XIELU_ALPHA_N] = {"alpha_n", ROLE_WHOLE, DIM_ONE, DIM_ONE, true},
    [SLOT_XIELU_BETA] = {"beta", ROLE_WHOLE, DIM_ONE, DIM_ONE, true},
    [SLOT_XIELU_EPS] = {"eps", ROLE_WHOLE, DIM_ONE, DIM_ONE, true},
    [SLOT_TOKEN_GATE] = {"shared_expert_gate", ROLE_WHOLE, DIM_ONE, DIM_HIDDEN, true},
    [SLOT_EXPERT_ROUTER] = {"router", ROLE_WHOLE, DIM_EXPERTS, DIM_HIDDEN, true},
    [SLOT_CHOICE_BIAS] = {"e_score_correction_bias", ROLE_WHOLE, DIM_EXPERTS, DIM_ONE, true},
    [SLOT_EXPERT_GATE] = {"experts.gate_proj", ROLE_OUTPUTS, DIM_MLP, DIM_EXPERT_INPUT, true},
    [SLOT_EXPERT_UP] = {"experts.up_proj", ROLE_OUTPUTS, DIM_MLP, DIM_EXPERT_INPUT, true},
    [SLOT_EXPERT_DOWN] = {"experts.down_proj", ROLE_INPUTS, DIM_EXPERT_INPUT, DIM_ACTIVATED, true},
    [SLOT_EXPERT_LATENT_DOWN] = {"fc1_latent_proj", ROLE_WHOLE, DIM_EXPERT_INPUT, DIM_HIDDEN, true},
    [SLOT_EXPERT_LATENT_UP] = {"fc2_latent_proj", ROLE_WHOLE, DIM_HIDDEN, DIM_EXPERT_INPUT, true},
    [SLOT_ROUTER_NORM] = {"router_norm", ROLE_WHOLE, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_ROUTER] = {"modality_router", ROLE_WHOLE, DIM_STREAMS, DIM_HIDDEN, true},
    [SLOT_PREDICTION] = {"prediction_coefs", ROLE_WHOLE, DIM_STREAM_PAIRS, DIM_STREAMS, true},
    [SLOT_CORRECTION] = {"correction_coefs", ROLE_WHOLE, DIM_STREAMS, DIM_STREAMS, true},
    [SLOT_CORRECT_SCALE] = {"correct_output_scale", ROLE_WHOLE, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_LAUREL_LEFT] = {"linear_left", ROLE_WHOLE, DIM_LAUREL, DIM_HIDDEN, true},
    [SLOT_LAUREL_RIGHT] = {"linear_right", ROLE_WHOLE, DIM_HIDDEN, DIM_LAUREL, true},
    [SLOT_LAUREL_NORM] = {"post_laurel_norm", ROLE_WHOLE, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_MAMBA_GATE] = {"gate", ROLE_OUTPUTS, DIM_MAMBA, DIM_HIDDEN, true},
    [SLOT_MAMBA_X] = {"x", ROLE_OUTPUTS, DIM_MAMBA, DIM_HIDDEN, true},
    [SLOT_MAMBA_B] = {"B", ROLE_OUTPUTS, DIM_MAMBA_GROUPS, DIM_HIDDEN, true},
    [SLOT_MAMBA_C] = {"C", ROLE_OUTPUTS, DIM_MAMBA_GROUPS, DIM_HIDDEN, true},
    [SLOT_MAMBA_STEP] = {"dt", ROLE_OUTPUTS, DIM_MAMBA_HEADS, DIM_HIDDEN, true},
    [SLOT_MAMBA_TAPS_X] = {"x", ROLE_WHOLE, DIM_MAMBA, DIM_TAPS, true},
    [SLOT_MAMBA_TAPS_B] = {"B", ROLE_WHOLE, DIM_MAMBA_GROUPS, DIM_TAPS, true},
    [SLOT_MAMBA_TAPS_C] = {"C", ROLE_WHOLE, DIM_MAMBA_GROUPS, DIM_TAPS, true},
    [SLOT_MAMBA_A_LOG] = {"A_log", ROLE_WHOLE, DIM_MAMBA_HEADS, DIM_ONE, true},
    [SLOT_MAMBA_D] = {"D", ROLE_WHOLE, DIM_MAMBA_HEADS, DIM_ONE, true},
    [SLOT_MAMBA_STEP_BIAS] = {"dt_bias", ROLE_WHOLE, DIM_MAMBA_HEADS, DIM_ONE, true},
    [SLOT_MAMBA_NORM] = {"mamba.norm", ROLE_WHOLE, DIM_MAMBA, DIM_ONE, true},
    [SLOT_MAMBA_OUT] = {"out_proj", ROLE_INPUTS, DIM_HIDDEN, DIM_MAMBA, true},
    [SLOT_CONVOLUTION_B] = {"B", ROLE_OUTPUTS, DIM_CHANNELS, DIM_HIDDEN, true},
    [SLOT_CONVOLUTION_C] = {"C", ROLE_OUTPUTS, DIM_CHANNELS, DIM_HIDDEN, true},
    [SLOT_CONVOLUTION_X] = {"x", ROLE_OUTPUTS, DIM_CHANNELS, DIM_HIDDEN, true},
    [SLOT_CONVOLUTION_TAPS] = {"conv", ROLE_WHOLE, DIM_CHANNELS, DIM_TAPS, true},
    [SLOT_CONVOLUTION_OUT] = {"out_proj", ROLE_INPUTS, DIM_HIDDEN, DIM_CHANNELS, true},
    [SLOT_JOINT_NORM] = {"joint_norm", ROLE_NORM, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_ROUTER_SCALE] = {"router.scale", ROLE_WHOLE, DIM_HIDDEN, DIM_ONE, true},
    [SLOT_EXPERT_SCALES] = {"per_expert_scale", ROLE_WHOLE, DIM_EXPERTS, DIM_ONE, true},
    [SLOT_DELTA_QUERY] = {"in_proj_q", ROLE_OUTPUTS, DIM_DELTA_KEYS, DIM_HIDDEN, true},
    [SLOT_DELTA_KEY] = {"in_proj_k", ROLE_OUTPUTS, DIM_DELTA_KEYS, DIM_HIDDEN, true},
    [SLOT_DELTA_VALUE] = {"in_proj_v", ROLE_OUTPUTS, DIM_DELTA_VALUES, DIM_HIDDEN, true},
    [SLOT_DELTA_GATE] = {"in_proj_z", ROLE_OUTPUTS, DIM_DELTA_VALUES, DIM_HIDDEN, true},
    [SLOT_DELTA_BETA] = {"in_proj_b", ROLE_OUTPUTS, DIM_DELTA_HEADS, DIM_HIDDEN, true},
    [SLOT_DELTA_STEP] = {"in_proj_a", ROLE_OUTPUTS, DIM_DELTA_STEPS, DIM_HIDDEN, true},
    [SLOT_DELTA_GATE_DOWN] = {"g_a_proj", ROLE_WHOLE, DIM_DELTA_RANK, DIM_HIDDEN, true},
    [SLOT_DELTA_GATE_UP] = {"g_b_proj", ROLE_OUTPUTS, DIM_DELTA_VALUES, DIM_DELTA_RANK, true},
    [SLOT_DELTA_STEP_DOWN] = {"f_a_proj", ROLE_WHOLE, DIM_DELTA_RANK, DIM_HIDDEN, true},
    [SLOT_DELTA_STEP_UP] = {"f_b_proj", ROLE_OUTPUTS, DIM_DELTA_STEPS, DIM_DELTA_RANK, true},
    [SLOT_DELTA_TAPS_QUERY] = {"conv1d_q", ROLE_WHOLE, DIM_DELTA_KEYS, DIM_TAPS, true},
    [SLOT_DELTA_TAPS_KEY] = {"conv1d_k", ROLE_WHOLE, DIM_DELTA_KEYS, DIM_TAPS, true},
    [SLOT_DELTA_TAPS_VALUE] = {"conv1d_v", ROLE_WHOLE, DIM_DELTA_VALUES, DIM_TAPS, true},
    [SLOT_DELTA_A_LOG] = {"A_log", ROLE_WHOLE, DIM_DELTA_HEADS, DIM_ONE, true},
    [SLOT_DELTA_STEP_BIAS] = {"dt_bias", ROLE_WHOLE, DIM_DELTA_STEPS, DIM_ONE, true},
    [SLOT_DELTA_NORM] = {"linear_attn.norm", ROLE_WHOLE, DIM_DELTA_HEAD, DIM_ONE, true},
    [SLOT_DELTA_OUT] = {"out_proj", ROLE_INPUTS, DIM_HIDDEN, DIM_DELTA_VALUES, true},
    [SLOT_OUTPUT_GATE] = {"q_proj_gate", ROLE_OUTPUTS, DIM_OUTPUT_GATE, DIM_HIDDEN, true},
    [SLOT_QUERY_DOWN] = {"q_a_proj", ROLE_WHOLE, DIM_QUERY_RANK, DIM_HIDDEN, true},
    [SLOT_QUERY_DOWN_NORM] = {"q_a_layernorm", ROLE_WHOLE, DIM_QUERY_RANK, DIM_ONE, true},
    [SLOT_QUERY_UP] = {"q_b_proj", ROLE_OUTPUTS, DIM_QUERY, DIM_QUERY_RANK, true},
    [SLOT_LATENT] = {"kv_a_proj_with_mqa", ROLE_WHOLE, DIM_LATENT_AND_KEY, DIM_HIDDEN, true},
    [SLOT_LATENT_NORM] = {"kv_a_layernorm", ROLE_WHOLE, DIM_LATENT, DIM_ONE, true},
    [SLOT_LATENT_UP] = {"kv_b_proj", ROLE_OUTPUTS, DIM_LATENT_UP, DIM_LATENT, true},
    [SLOT_INDEX_QUERY] = {"wq_b", ROLE_WHOLE, DIM_INDEX_QUERY, DIM_QUERY_RANK, true},
    [SLOT_INDEX_KEY] = {"wk", ROLE_WHOLE, DIM_INDEX_KEY, DIM_HIDDEN, true},
    [SLOT_INDEX_KEY_NORM] = {"indexer.k_norm", ROLE_WHOLE, DIM_INDEX_KEY, DIM_ONE, true},
    [SLOT_INDEX_WEIGHTS] = {"weights_proj", ROLE_WHOLE, DIM_INDEX_HEADS, DIM_HIDDEN, true},
};

static bool has_norm(const struct norm_config *norm, bool bias)
{
    return norm->kind != NORM_NONE && !norm->weightless && (!bias || norm->has_bias);
}

static bool index_has(const struct index_config *index, enum slot slot, bool bias)
{
    if (!index->topk || index->shared)
        return false;
    return slot == SLOT_INDEX_KEY_NORM ? has_norm(&index->norm, bias) : !bias;
}

static bool latent_has(const struct attention_config *a, enum slot slot, bool bias)
{
    const bool by_rank = a->latent.q_rank > 0;
    switch (slot) {
    case SLOT_QUERY:
        return !by_rank && (!bias || a->q_bias);
    case SLOT_QUERY_DOWN:
        return by_rank && (!bias || a->q_bias);
    case SLOT_QUERY_DOWN_NORM:
        return by_rank && has_norm(&a->latent.norm, bias);
    case SLOT_QUERY_UP:
        return by_rank && !bias;
    case SLOT_LATENT:
        return !bias || a->k_bias;
    case SLOT_LATENT_NORM:
        return has_norm(&a->latent.norm, bias);
    case SLOT_LATENT_UP:
        return !bias;
    case SLOT_ATTENDED:
        return !bias || a->o_bias;
    case SLOT_INDEX_QUERY:
    case SLOT_INDEX_KEY:
    case SLOT_INDEX_KEY_NORM:
    case SLOT_INDEX_WEIGHTS:
        return index_has(&a->latent.index, slot, bias);
    default:
        return false;
    }
}

static bool attention_has(const struct attention_config *a, enum slot slot, bool bias)
{
    if (a->latent.kv_rank)
        return latent_has(a, slot, bias);
    switch (slot) {
    case SLOT_QUERY:
        return !bias || a->q_bias;
    case SLOT_KEY:
        return !a->keys_of_earlier && (!bias || a->k_bias);
    case SLOT_VALUE:
        return !a->keys_of_earlier && !a->value_is_key && (!bias || a->v_bias);
    case SLOT_ATTENDED:
        return !bias || a->o_bias;
    case SLOT_QUERY_NORM:
        return has_norm(&a->q_norm, bias);
    case SLOT_KEY_NORM:
        return !a->keys_of_earlier && has_norm(&a->k_norm, bias);
    case SLOT_SINKS:
        return a->sinks && !bias;
    case SLOT_OUTPUT_GATE:
        return a->output_gate && (!bias || a->q_bias);
    default:
        return false;
    }
}

static bool mlp_has(const struct mlp_config *m, enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_GATE:
        return m->gated && (!bias || m->gate_bias);
    case SLOT_UP:
        return !bias || m->up_bias;
    case SLOT_DOWN:
        return !bias || m->down_bias;
    case SLOT_XIELU_ALPHA_P:
    case SLOT_XIELU_ALPHA_N:
    case SLOT_XIELU_BETA:
    case SLOT_XIELU_EPS:
        return m->activation == ACTIVATION_XIELU && !bias;
    case SLOT_TOKEN_GATE:
        return m->token_gate && !bias;
    default:
        return false;
    }
}

static bool experts_have(const struct experts_config *e, enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_EXPERT_ROUTER:
        return !bias || e->router_bias;
    case SLOT_CHOICE_BIAS:
        return e->choice_bias && !bias;
    case SLOT_ROUTER_SCALE:
        return has_norm(&e->router_norm, bias);
    case SLOT_EXPERT_SCALES:
        return e->expert_scales && !bias;
    case SLOT_EXPERT_GATE:
        return e->gated && (!bias || e->gate_bias);
    case SLOT_EXPERT_UP:
        return !bias || e->up_bias;
    case SLOT_EXPERT_DOWN:
        return !bias || e->down_bias;
    case SLOT_EXPERT_LATENT_DOWN:
    case SLOT_EXPERT_LATENT_UP:
        return e->latent_size && (!bias || e->latent_bias);
    default:
        return false;
    }
}

static bool mamba_has(const struct mamba_config *m, enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_MAMBA_GATE:
    case SLOT_MAMBA_X:
    case SLOT_MAMBA_B:
    case SLOT_MAMBA_C:
    case SLOT_MAMBA_STEP:
        return !bias || m->in_bias;
    case SLOT_MAMBA_TAPS_X:
    case SLOT_MAMBA_TAPS_B:
    case SLOT_MAMBA_TAPS_C:
        return !bias || m->conv_bias;
    case SLOT_MAMBA_A_LOG:
    case SLOT_MAMBA_D:
    case SLOT_MAMBA_STEP_BIAS:
        return !bias;
    case SLOT_MAMBA_NORM:
        return has_norm(&m->norm, bias);
    case SLOT_MAMBA_OUT:
        return !bias || m->out_bias;
    default:
        return false;
    }
}

static bool delta_has(const struct delta_config *d, enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_DELTA_NORM:
        return has_norm(&d->norm, bias);
    case SLOT_DELTA_GATE:
    case SLOT_DELTA_STEP:
        return !d->low_rank && !bias;
    case SLOT_DELTA_GATE_DOWN:
    case SLOT_DELTA_GATE_UP:
    case SLOT_DELTA_STEP_DOWN:
    case SLOT_DELTA_STEP_UP:
        return d->low_rank && !bias;
    default:
        return slot >= SLOT_DELTA_QUERY && slot <= SLOT_DELTA_OUT && !bias;
    }
}

static bool convolution_has(const struct convolution_config *c, enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_CONVOLUTION_B:
    case SLOT_CONVOLUTION_C:
    case SLOT_CONVOLUTION_X:
        return !bias || c->in_bias;
    case SLOT_CONVOLUTION_TAPS:
        return !bias || c->conv_bias;
    case SLOT_CONVOLUTION_OUT:
        return !bias || c->out_bias;
    default:
        return false;
    }
}

// Not of the mix itself.
static bool streams_have(const struct model_config *config, const struct sublayer_config *sublayer,
                         enum slot slot, bool bias)
{
    switch (slot) {
    case SLOT_ROUTER_NORM:
        return sublayer->predicts && has_norm(&config->altup.router_norm, bias);
    case SLOT_ROUTER:
    case SLOT_PREDICTION:
    case SLOT_CORRECTION:
    case SLOT_CORRECT_SCALE: // checkpoints have it, whether correct_scale or not
        return sublayer->predicts && !bias;
    case SLOT_LAUREL_LEFT:
    case SLOT_LAUREL_RIGHT:
        return sublayer->laurel.rank && !bias;
    case SLOT_LAUREL_NORM:
        return sublayer->laurel.rank && has_norm(&sublayer->laurel.norm, bias);
    default:
        return false;
    }
}

bool slot_is_present(const struct model_config *config, const struct sublayer_config *sublayer,
                     enum slot slot, bool bias)
{
    assert(slots[slot].in_layers == (sublayer != NULL));
    switch (slot) {
    case SLOT_EMBED:
        return !bias;
    case SLOT_LM_HEAD:
        return !bias || config->lm_head_bias;
    case SLOT_EMBED_NORM:
        return has_norm(&config->embed_norm, bias);
    case SLOT_FINAL_NORM:
        return has_norm(&config->final_norm, bias);
    case SLOT_INPUTS_TABLE:
    case SLOT_INPUTS_PROJECTION:
        return config->layer_inputs.size && !bias;
    case SLOT_INPUTS_NORM:
        return config->layer_inputs.size && has_norm(&config->layer_inputs.norm, bias);
    case SLOT_STREAM_PROJECTIONS:
    case SLOT_STREAM_UNEMBEDDINGS:
        return config->altup.num_inputs > 1 && !bias;
    case SLOT_BEFORE_NORM:
        return has_norm(&sublayer->before, bias);
    case SLOT_AFTER_NORM:
        return has_norm(&sublayer->after, bias);
    case SLOT_JOINT_NORM:
        return has_norm(&sublayer->joint, bias);
    case SLOT_LAYER_SCALAR:
        return sublayer->has_scalar && !bias;
    default:
        break;
    }
    if (streams_have(config, sublayer, slot, bias))
        return true;
    switch (sublayer->kind) {
    case MIX_ATTENTION:
        return attention_has(&sublayer->attention, slot, bias);
    case MIX_MLP:
        return mlp_has(&sublayer->mlp, slot, bias);
    case MIX_EXPERTS:
        return experts_have(&sublayer->experts, slot, bias);
    case MIX_MAMBA:
        return mamba_has(&sublayer->mamba, slot, bias);
    case MIX_CONVOLUTION:
        return convolution_has(&sublayer->convolution, slot, bias);
    case MIX_DELTA:
        return delta_has(&sublayer->delta, slot, bias);
    }
    return false;
}

int64_t dim_size(const struct model_config *config, const struct sublayer_config *sublayer,
                 enum dim dim)
{
    const struct attention_config *a = sublayer ? &sublayer->attention : NULL;
    assert(sublayer || dim <= DIM_LAYER_INPUTS);
    switch (dim) {
    case DIM_ONE:
        return 1;
    case DIM_HIDDEN:
    case DIM_EMBED_COLUMNS:
        return config->hidden_size;
    case DIM_VOCAB:
    case DIM_EMBED_ROWS:
        return config->vocab_size;
    case DIM_INPUTS_ROWS:
        return config->layer_inputs.vocab_size;
    case DIM_INPUTS:
        return (int64_t)config->num_hidden_layers * config->layer_inputs.size;
    case DIM_LAYER_INPUTS:
        return config->layer_inputs.size;
    case DIM_OTHER_STREAMS:
        return (config->altup.num_inputs - 1) * (int64_t)config->hidden_size;
    case DIM_STREAMS:
        return config->altup.num_inputs;
    case DIM_STREAM_PAIRS:
        return (int64_t)config->altup.num_inputs * config->altup.num_inputs;
    case DIM_LAUREL:
        return sublayer->laurel.rank;
    case DIM_QUERY:
        return (int64_t)a->num_attention_heads * a->head_dim;
    case DIM_ATTENDED:
    case DIM_OUTPUT_GATE:
        return (int64_t)a->num_attention_heads * attention_value_dim(a);
    case DIM_QUERY_RANK:
        return a->latent.q_rank;
    case DIM_LATENT:
        return a->latent.kv_rank;
    case DIM_LATENT_AND_KEY:
        return a->latent.kv_rank + a->latent.rope_dim;
    case DIM_LATENT_UP:
        return (int64_t)a->num_attention_heads * (a->latent.nope_dim + a->latent.value_dim);
    case DIM_INDEX_QUERY:
        return (int64_t)a->latent.index.num_heads * a->latent.index.head_dim;
    case DIM_INDEX_KEY:
        return a->latent.index.head_dim;
    case DIM_INDEX_HEADS:
        return a->latent.index.num_heads;
    case DIM_KEY:
        return (int64_t)a->num_key_value_heads * a->head_dim;
    case DIM_VALUE:
        return (int64_t)a->num_key_value_heads * attention_value_dim(a);
    case DIM_HEADS:
        return a->num_attention_heads;
    case DIM_OWN_KEY_HEADS:
        return a->num_key_value_heads;
    case DIM_QUERY_NORM:
        return a->qk_norm_width == QK_NORM_HEAD ? a->head_dim
                                                : (int64_t)a->num_attention_heads * a->head_dim;
    case DIM_KEY_NORM:
        return a->qk_norm_width == QK_NORM_HEAD ? a->head_dim
                                                : (int64_t)a->num_key_value_heads * a->head_dim;
    case DIM_MLP:
    case DIM_ACTIVATED:
        return sublayer->kind == MIX_EXPERTS ? sublayer->experts.intermediate_size
                                             : sublayer->mlp.intermediate_size;
    case DIM_EXPERT_INPUT:
        return experts_width(config, &sublayer->experts);
    case DIM_EXPERTS:
    case DIM_OWN_EXPERTS:
        return sublayer->experts.num_experts;
    case DIM_MAMBA:
        return (int64_t)sublayer->mamba.num_heads * sublayer->mamba.head_dim;
    case DIM_MAMBA_GROUPS:
        return (int64_t)sublayer->mamba.n_groups * sublayer->mamba.state_size;
    case DIM_MAMBA_HEADS:
        return sublayer->mamba.num_heads;
    case DIM_TAPS:
        return sublayer->kind == MIX_MAMBA   ? sublayer->mamba.taps
               : sublayer->kind == MIX_DELTA ? sublayer->delta.taps
                                             : sublayer->convolution.taps;
    case DIM_DELTA_KEYS:
        return (int64_t)sublayer->delta.num_key_heads * sublayer->delta.key_head_dim;
    case DIM_DELTA_VALUES:
        return (int64_t)sublayer->delta.num_value_heads * sublayer->delta.value_head_dim;
    case DIM_DELTA_HEADS:
        return sublayer->delta.num_value_heads;
    case DIM_DELTA_HEAD:
        return sublayer->delta.value_head_dim;
    case DIM_DELTA_STEPS:
        return (int64_t)sublayer->delta.num_value_heads * delta_steps_of_head(&sublayer->delta);
    case DIM_DELTA_RANK:
        return sublayer->delta.low_rank;
    case DIM_CHANNELS:
        return config->hidden_size;
    case DIM_LEAVES:
    case DIMS:
        break;
    }
    return 0;
}

// What states are changed by is where they are.
static bool slot_makes_state(enum slot slot)
{
    return (slot >= SLOT_MAMBA_GATE && slot <= SLOT_CONVOLUTION_OUT) ||
           (slot >= SLOT_DELTA_QUERY && slot <= SLOT_DELTA_OUT);
}

bool slot_gathers_in_plans(enum slot slot)
{
    return slot >= SLOT_DELTA_QUERY && slot <= SLOT_DELTA_OUT &&
           (slots[slot].role == ROLE_OUTPUTS || slots[slot].role == ROLE_INPUTS);
}

bool slot_allows(enum slot slot, enum tp_style style)
{
    // Training's gradient all-reduce means nothing here: the parameter is replicated.
    if (style == TP_NONE || style == TP_REPLICATE || style == TP_REPLICATED_WITH_GRAD_ALLREDUCE)
        return true;
    switch (slots[slot].role) {
    case ROLE_WHOLE: // sinks follow their heads, which is what colwise says of them
        return (slot == SLOT_SINKS && style == TP_COLWISE) ||
               (slot == SLOT_LATENT && style == TP_MLA_KV_A_PROJ);
    case ROLE_NORM:
        return style == TP_SEQUENCE_PARALLEL;
    case ROLE_OUTPUTS:
        return style == TP_COLWISE ||
               (style == TP_COLWISE_GATHER_OUTPUT && !slot_is_of_experts(slot) &&
                !slot_makes_state(slot) && slot != SLOT_QUERY_UP && slot != SLOT_LATENT_UP);
    case ROLE_INPUTS:
        return style == TP_ROWWISE || (style == TP_ROWWISE_SPLIT_INPUT &&
                                       !slot_is_of_experts(slot) && !slot_makes_state(slot));
    case ROLE_EMBED:
        return style == TP_EMBEDDING_ROWWISE ||
               (style == TP_EMBEDDING_COLWISE && slot == SLOT_EMBED);
    }
    return false;
}

enum tp_style slot_default_style(enum slot slot)
{
    if (slot == SLOT_LM_HEAD)
        return TP_COLWISE_GATHER_OUTPUT;
    switch (slots[slot].role) {
    case ROLE_WHOLE:
    case ROLE_NORM:
        break;
    case ROLE_OUTPUTS:
        return TP_COLWISE;
    case ROLE_INPUTS:
        return TP_ROWWISE;
    case ROLE_EMBED:
        return TP_EMBEDDING_ROWWISE;
    }
    return TP_NONE;
}

bool slot_is_vector(enum slot slot)
{
    return slots[slot].columns == DIM_ONE;
}

bool slot_is_buffer(enum slot slot)
{
    return slot == SLOT_LAYER_SCALAR || slot == SLOT_XIELU_BETA || slot == SLOT_XIELU_EPS;
}

bool slot_is_taps(enum slot slot)
{
    return slots[slot].columns == DIM_TAPS;
}

bool slot_is_of_experts(enum slot slot)
{
    return slot == SLOT_EXPERT_GATE || slot == SLOT_EXPERT_UP || slot == SLOT_EXPERT_DOWN;
}
