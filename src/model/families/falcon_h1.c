// Falcon-H1: in every layer attention and Mamba-2 side by side, and multipliers nearly everywhere.
//
// Source: Transformers 5.24, models/falcon_h1 (modeling_falcon_h1.py, configuration_falcon_h1.py).
#include <stddef.h>
#include <string.h>

#include "model/describe.h"
#include "model/families/llama_names.h"

#define MLP LLAMA_LAYER "feed_forward."
static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LLAMA_ATTENTION,
    PARAMETERS_MAMBA(LLAMA_LAYER "mamba.", 1),
    PARAMETER(LLAMA_LAYER "pre_ff_layernorm", 2, SLOT_BEFORE_NORM),
    PARAMETER_WITH_BIAS(MLP "gate_proj", 2, SLOT_GATE),
    PARAMETER_WITH_BIAS(MLP "up_proj", 2, SLOT_UP),
    PARAMETER_WITH_BIAS(MLP "down_proj", 2, SLOT_DOWN),
    PARAMETER("model.final_layernorm", -1, SLOT_FINAL_NORM),
    PARAMETER("lm_head", -1, SLOT_LM_HEAD),
};
static const char *const ignored[] = {LLAMA_IGNORED, ".mamba.mup_vector", NULL};
static const double factor_min = 1e-9, factor_max = 1e9;

static enum status read_falcon_factor(const struct config_reader *reader, const char *key,
                                      double *out)
{
    *out = 1;
    return config_read_number(reader, key, factor_min, factor_max, out);
}

// A list of n; absent or null: 1 each.
static enum status read_falcon_factors(const struct config_reader *reader, const char *key, int n,
                                       double *out)
{
    json_t *list = NULL;
    bool found = false;
    for (int i = 0; i < n; i++)
        out[i] = 1;
    if (!json_is_null(json_object_get(reader->root, key)))
        TRY(json_get_array(reader->root, reader->name, key, &list, &found));
    if (!found)
        return OK;
    for (int i = 0; i < n && json_array_size(list) == (size_t)n; i++) {
        const json_t *item = json_array_get(list, (size_t)i);
        double number = json_is_number(item) ? json_number(item) : 0;
        if (!(number >= factor_min && number <= factor_max))
            return fail(ERR_INPUT, "%s: key \"%s\" has %s; expected numbers from %g to %g",
                        reader->name, key, json_show(item), factor_min, factor_max);
        out[i] = number;
    }
    if (json_array_size(list) == (size_t)n)
        return OK;
    return fail(ERR_INPUT, "%s: key \"%s\" has %zu numbers; expected %d", reader->name, key,
                json_array_size(list), n);
}

// What a projection's input is multiplied by, its output is here, with the bias in it.
static float factor_of_bias(bool bias, double factor)
{
    return bias && factor != 1 ? (float)(1 / factor) : 0;
}

static enum status read_falcon_attention(const struct config_reader *reader,
                                         struct sublayer_config *sublayer)
{
    struct attention_config *a = &sublayer->attention;
    double in, out, key;
    bool bias = false;
    TRY(read_falcon_factor(reader, "attention_in_multiplier", &in));
    TRY(read_falcon_factor(reader, "attention_out_multiplier", &out));
    TRY(read_falcon_factor(reader, "key_multiplier", &key));
    TRY(config_read_flag(reader, "attention_bias", &bias));
    a->bias_factor = factor_of_bias(bias, in);
    a->q_bias = a->k_bias = a->v_bias = a->o_bias = bias;
    a->scale = (float)((double)a->scale * in * in * key);
    sublayer->multiplier = (float)(in * out);
    return OK;
}

static enum status read_falcon_inner(const struct config_reader *reader,
                                     const struct plain_keys *plain, int32_t *inner)
{
    int64_t expand = 2, size = 1024;
    TRY(config_read_int(reader, "mamba_expand", 1, MAMBA_EXPAND_MAX, &expand));
    if (json_is_null(json_object_get(reader->root, "mamba_d_ssm")))
        size = expand * plain->hidden_size;
    else
        TRY(config_read_int(reader, "mamba_d_ssm", 2, INTERMEDIATE_SIZE_MAX, &size));
    *inner = (int32_t)size;
    return OK;
}

static enum status read_mamba_norm(const struct config_reader *reader,
                                   const struct plain_keys *plain, struct mamba_config *out)
{
    bool normed = false, first = true;
    TRY(config_read_flag(reader, "mamba_rms_norm", &normed));
    TRY(config_read_flag(reader, "mamba_norm_before_gate", &first));
    if (normed)
        out->norm = (struct norm_config){.kind = NORM_RMS, .eps = (float)plain->rms_norm_eps};
    out->norm_before_gate = normed && first;
    return OK;
}

static enum status read_falcon_mamba(const struct config_reader *reader,
                                     const struct plain_keys *plain,
                                     struct sublayer_config *sublayer)
{
    struct mamba_keys keys;
    struct mamba_config *mamba = &sublayer->mamba;
    double in, out, parts[MAMBA_PARTS];
    describe_mamba_names(&keys);
    keys.out_bias = "projectors_bias";
    keys.inner_name = "mamba_d_ssm";
    TRY(read_falcon_inner(reader, plain, &keys.inner));
    TRY(describe_mamba(reader, &keys, mamba));
    TRY(read_mamba_norm(reader, plain, mamba));
    TRY(read_falcon_factor(reader, "ssm_in_multiplier", &in));
    TRY(read_falcon_factor(reader, "ssm_out_multiplier", &out));
    TRY(read_falcon_factors(reader, "ssm_multipliers", MAMBA_PARTS, parts));
    mamba->in_bias_factor = factor_of_bias(mamba->in_bias, in);
    for (int i = 0; i < MAMBA_PARTS; i++) {
        mamba->factors[i] = (float)(in * parts[i]);
        mamba->has_factors = mamba->has_factors || mamba->factors[i] != 1;
    }
    sublayer->multiplier = (float)out;
    return OK;
}

static enum status read_falcon_mlp(const struct config_reader *reader,
                                   struct sublayer_config *sublayer)
{
    struct mlp_config *mlp = &sublayer->mlp;
    double factors[2]; // of gate, and of down
    bool bias = false;
    TRY(describe_expect_silu(reader, "hidden_act"));
    TRY(config_read_flag(reader, "mlp_bias", &bias));
    TRY(read_falcon_factors(reader, "mlp_multipliers", 2, factors));
    mlp->gate_bias = mlp->up_bias = mlp->down_bias = bias;
    if (factors[0] != 1) {
        mlp->activation = ACTIVATION_SCALED_SILU;
        mlp->gate_factor = (float)factors[0];
    }
    sublayer->multiplier = (float)factors[1];
    return OK;
}

static enum status describe_falcon_h1(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 14336,
                              .num_hidden_layers = 32,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .vocab_size = 128000,
                              .max_position_embeddings = 8192,
                              .rms_norm_eps = 1e-5};
    double embedding, logits;
    TRY(describe_plain(reader, &keys, out));
    TRY(read_falcon_factor(reader, "embedding_multiplier", &embedding));
    TRY(read_falcon_factor(reader, "lm_head_multiplier", &logits));
    out->embed_multiplier = (float)embedding;
    out->logit_multiplier = (float)logits;
    struct layer_config layer = describe_layer(&keys);
    struct sublayer_config *attends = &layer.sublayers[0], *scans = &layer.sublayers[1],
                           *mlp = &layer.sublayers[2];
    layer.n_sublayers = 3;
    memcpy(mlp, scans, sizeof *mlp);
    memset(scans, 0, sizeof *scans);
    scans->kind = MIX_MAMBA;
    scans->parallel = scans->same_input = true;
    TRY(read_falcon_attention(reader, attends));
    TRY(read_falcon_mamba(reader, &keys, scans));
    TRY(read_falcon_mlp(reader, mlp));
    TRY(describe_rope(reader, &keys, NULL, false, out, &attends->attention.rope));
    return describe_all_layers(reader, out, &layer);
}

const struct family family_falcon_h1 = {
    .model_type = "falcon_h1",
    .architecture = "FalconH1ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_falcon_h1,
};
