// Llama and its variants: RMSNorm, grouped-query attention with rotary embedding, SwiGLU.
//
// Source: Transformers 5.24, models/llama/modeling_llama.py and models/mistral/modeling_mistral.py.
#include "model/family.h"

#include <assert.h>
#include <stddef.h>

#define LAYER "model.layers.%d."

static const struct family_parameter parameters[] = {
    {"model.embed_tokens.weight", PART_EMBED, false, false},
    {LAYER "input_layernorm.weight", PART_INPUT_NORM, false, true},
    {LAYER "self_attn.q_proj.weight", PART_Q, false, true},
    {LAYER "self_attn.q_proj.bias", PART_Q, true, true},
    {LAYER "self_attn.k_proj.weight", PART_K, false, true},
    {LAYER "self_attn.k_proj.bias", PART_K, true, true},
    {LAYER "self_attn.v_proj.weight", PART_V, false, true},
    {LAYER "self_attn.v_proj.bias", PART_V, true, true},
    {LAYER "self_attn.o_proj.weight", PART_O, false, true},
    {LAYER "self_attn.o_proj.bias", PART_O, true, true},
    {LAYER "post_attention_layernorm.weight", PART_POST_NORM, false, true},
    {LAYER "mlp.gate_proj.weight", PART_GATE, false, true},
    {LAYER "mlp.gate_proj.bias", PART_GATE, true, true},
    {LAYER "mlp.up_proj.weight", PART_UP, false, true},
    {LAYER "mlp.up_proj.bias", PART_UP, true, true},
    {LAYER "mlp.down_proj.weight", PART_DOWN, false, true},
    {LAYER "mlp.down_proj.bias", PART_DOWN, true, true},
    {"model.norm.weight", PART_NORM, false, false},
    {"lm_head.weight", PART_LM_HEAD, false, false},
};
enum { N_PARAMETERS = sizeof parameters / sizeof parameters[0] };

// Transformers wrote the frequencies into checkpoints until 4.32; they follow from config.json.
static const char *const ignored[] = {".rotary_emb.inv_freq", NULL};

static const struct family families[] = {
    {FAMILY_LLAMA, "llama", "model.", parameters, N_PARAMETERS, ignored},
    // Mistral: a sliding window and no biases, both of which the config says.
    {FAMILY_MISTRAL, "mistral", "model.", parameters, N_PARAMETERS, ignored},
};

const struct family *family_of(enum model_family id)
{
    for (size_t i = 0; i < sizeof families / sizeof families[0]; i++)
        if (families[i].id == id)
            return &families[i];
    return NULL;
}

bool family_has(const struct family_parameter *parameter, const struct model_config *config)
{
    if (!parameter->bias)
        return true;
    switch (parameter->part) {
    case PART_Q:
    case PART_K:
    case PART_V:
    case PART_O:
        return config->attention_bias;
    case PART_GATE:
    case PART_UP:
    case PART_DOWN:
        return config->mlp_bias;
    case PART_EMBED:
    case PART_INPUT_NORM:
    case PART_POST_NORM:
    case PART_NORM:
    case PART_LM_HEAD:
    case PARTS:
        break;
    }
    return false;
}

void family_shape(const struct family_parameter *parameter, const struct model_config *config,
                  int64_t *rows, int64_t *columns)
{
    int64_t hidden = config->hidden_size, mlp = config->intermediate_size;
    int64_t query = (int64_t)config->num_attention_heads * config->head_dim;
    int64_t key = (int64_t)config->num_key_value_heads * config->head_dim;
    const int64_t shapes[PARTS][2] = {
        [PART_EMBED] = {config->vocab_size, hidden},
        [PART_INPUT_NORM] = {hidden, 1},
        [PART_Q] = {query, hidden},
        [PART_K] = {key, hidden},
        [PART_V] = {key, hidden},
        [PART_O] = {hidden, query},
        [PART_POST_NORM] = {hidden, 1},
        [PART_GATE] = {mlp, hidden},
        [PART_UP] = {mlp, hidden},
        [PART_DOWN] = {hidden, mlp},
        [PART_NORM] = {hidden, 1},
        [PART_LM_HEAD] = {config->vocab_size, hidden},
    };
    assert(parameter->part < PARTS);
    *rows = shapes[parameter->part][0];
    *columns = parameter->bias ? 1 : shapes[parameter->part][1];
}

bool family_is_norm(enum part part)
{
    return part == PART_INPUT_NORM || part == PART_POST_NORM || part == PART_NORM;
}

bool family_allows(enum part part, enum tp_style style)
{
    // Training's gradient all-reduce means nothing here: the parameter is replicated.
    if (style == TP_NONE || style == TP_REPLICATE || style == TP_REPLICATED_WITH_GRAD_ALLREDUCE)
        return true;
    switch (part) {
    case PART_EMBED:
        return style == TP_EMBEDDING_ROWWISE || style == TP_EMBEDDING_COLWISE;
    case PART_Q:
    case PART_K:
    case PART_V:
    case PART_GATE:
    case PART_UP:
    case PART_LM_HEAD:
        return style == TP_COLWISE || style == TP_COLWISE_GATHER_OUTPUT;
    case PART_O:
    case PART_DOWN:
        return style == TP_ROWWISE || style == TP_ROWWISE_SPLIT_INPUT;
    case PART_INPUT_NORM:
    case PART_POST_NORM:
    case PART_NORM:
        return style == TP_SEQUENCE_PARALLEL;
    case PARTS:
        break;
    }
    return false;
}

const char *family_part_name(enum part part)
{
    static const char *const part_names[PARTS] = {
        "embed_tokens",
        "input_layernorm",
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "post_attention_layernorm",
        "gate_proj",
        "up_proj",
        "down_proj",
        "norm",
        "lm_head",
    };
    return part_names[part];
}
