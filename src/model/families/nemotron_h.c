// Nemotron-H: every layer is one mix, Mamba-2, attention without a rope, an MLP without a gate or
// experts of these.
//
// Source: Transformers 5.24, models/nemotron_h (modeling_nemotron_h.py,
// configuration_nemotron_h.py). Its Mamba layers keep dt above time_step_min over prompts and not
// in decoding; here, as in NVIDIA's own code, time_step_limit counts, always.
#include <stddef.h>
#include <string.h>

#include "base/log.h"
#include "model/describe.h"

#define LAYER "backbone.layers.%d."
#define MIXER LAYER "mixer."
#define EXPERTS MIXER "experts."
static const struct parameter_row parameters[] = {
    PARAMETER("backbone.embeddings", -1, SLOT_EMBED),
    PARAMETER(LAYER "norm", 0, SLOT_BEFORE_NORM),
    PARAMETERS_MAMBA(MIXER, 0),
    PARAMETER(MIXER "q_proj", 0, SLOT_QUERY),
    PARAMETER(MIXER "k_proj", 0, SLOT_KEY),
    PARAMETER(MIXER "v_proj", 0, SLOT_VALUE),
    PARAMETER(MIXER "o_proj", 0, SLOT_ATTENDED),
    PARAMETER_WITH_BIAS(MIXER "up_proj", 0, SLOT_UP),
    PARAMETER_WITH_BIAS(MIXER "down_proj", 0, SLOT_DOWN),
    PARAMETER(MIXER "gate", 0, SLOT_EXPERT_ROUTER),
    PARAMETER_NAMED(MIXER "gate.e_score_correction_bias", 0, SLOT_CHOICE_BIAS),
    PARAMETER_EXPERTS(EXPERTS "*.up_proj", 0, SLOT_EXPERT_UP, EXPERTS "up_proj"),
    PARAMETER_EXPERTS(EXPERTS "*.down_proj", 0, SLOT_EXPERT_DOWN, EXPERTS "down_proj"),
    PARAMETER_WITH_BIAS(MIXER "fc1_latent_proj", 0, SLOT_EXPERT_LATENT_DOWN),
    PARAMETER_WITH_BIAS(MIXER "fc2_latent_proj", 0, SLOT_EXPERT_LATENT_UP),
    PARAMETER_WITH_BIAS(MIXER "shared_experts.up_proj", 1, SLOT_UP),
    PARAMETER_WITH_BIAS(MIXER "shared_experts.down_proj", 1, SLOT_DOWN),
    PARAMETER("backbone.norm_f", -1, SLOT_FINAL_NORM),
    PARAMETER("lm_head", -1, SLOT_LM_HEAD),
};
static const char *const ignored[] = {".rotary_emb.inv_freq", NULL};

enum { MIXES = 4 };
enum { LAYER_MAMBA, LAYER_ATTENTION, LAYER_MLP, LAYER_EXPERTS };
static const char *const words[] = {
    "linear_attention", "full_attention", "mlp", "moe", "mamba", "attention", NULL};
static const char letters[MIXES + 1] = "M*-E";

// A layer of each mix, and which layer has which.
struct nemotron_layers {
    struct layer_config of[MIXES];
    uint8_t mix[LAYERS_MAX];
    int32_t n;
    bool has[MIXES];
};

// "M-*ME"
static enum status read_pattern(const struct config_reader *reader, const char *pattern,
                                struct nemotron_layers *layers)
{
    size_t n = strlen(pattern);
    if (n < 1 || n > LAYERS_MAX)
        return fail(ERR_INPUT,
                    "%s: key \"hybrid_override_pattern\" has %zu letters, one for each layer; "
                    "expected 1 to %d",
                    reader->name, n, LAYERS_MAX);
    for (size_t i = 0; i < n; i++) {
        const char *letter = strchr(letters, pattern[i]);
        if (!letter)
            return fail(ERR_INPUT,
                        "%s: key \"hybrid_override_pattern\" has '%c' for layer %zu; expected M "
                        "(Mamba), * (attention), - (MLP) or E (experts)",
                        reader->name, pattern[i], i);
        layers->mix[i] = (uint8_t)(letter - letters);
    }
    layers->n = (int32_t)n;
    return OK;
}

static enum status read_nemotron_words(const struct config_reader *reader, const json_t *list,
                                       struct nemotron_layers *layers)
{
    uint8_t word[LAYERS_MAX];
    const size_t n = json_array_size(list);
    if (n < 1 || n > LAYERS_MAX)
        return fail(ERR_INPUT,
                    "%s: key \"layers_block_type\" has %zu layers; expected a list of 1 to %d",
                    reader->name, n, LAYERS_MAX);
    TRY(describe_layer_words(reader, words, (int32_t)n, -1, word));
    for (size_t i = 0; i < n; i++)
        layers->mix[i] = word[i] % MIXES; // the older words are behind the others
    layers->n = (int32_t)n;
    return OK;
}

// A list counts before a pattern, and either before num_hidden_layers.
static enum status read_nemotron_layers(const struct config_reader *reader,
                                        struct nemotron_layers *layers)
{
    static const char *const keys[] = {"layer_types", "layers_block_type"};
    const char *pattern = NULL;
    bool found = false;
    for (int i = 0; i < 2; i++) {
        const json_t *list = json_object_get(reader->root, keys[i]);
        if (list && !json_is_null(list))
            return read_nemotron_words(reader, list, layers);
    }
    TRY(json_get_text(reader->root, reader->name, "hybrid_override_pattern", &pattern, &found));
    if (!found)
        return fail(ERR_INPUT,
                    "%s: keys \"layers_block_type\" and \"hybrid_override_pattern\" are missing; "
                    "expected one of them to say what each of the layers is",
                    reader->name);
    return read_pattern(reader, pattern, layers);
}

static enum status tell_of_count(const struct config_reader *reader, int32_t n_layers)
{
    int64_t said = n_layers;
    TRY(config_read_int(reader, "num_hidden_layers", 1, LAYERS_MAX, &said));
    if (said != n_layers)
        log_warning("%s: key \"num_hidden_layers\" is %lld, but the list of layers has %d, which "
                    "counts",
                    reader->name, (long long)said, (int)n_layers);
    return OK;
}

static enum status read_nemotron_mamba(const struct config_reader *reader,
                                       const struct plain_keys *plain, struct layer_config *layer)
{
    struct mamba_keys keys = {.heads = "mamba_num_heads",
                              .head_dim = "mamba_head_dim",
                              .groups = "n_groups",
                              .state_size = "ssm_state_size",
                              .taps = "conv_kernel",
                              .conv_bias = "use_conv_bias",
                              .in_bias = "use_bias",
                              .out_bias = "use_bias",
                              .step_limit = "time_step_limit"};
    struct mamba_config mamba;
    memset(&keys.absent, 0, sizeof keys.absent); // padding too: kinds are compared by bytes
    keys.absent.num_heads = 128;
    keys.absent.head_dim = 64;
    keys.absent.n_groups = 8;
    keys.absent.state_size = 128;
    keys.absent.taps = 4;
    keys.absent.conv_bias = true;
    keys.absent.norm = (struct norm_config){.kind = NORM_RMS, .eps = (float)plain->rms_norm_eps};
    TRY(describe_expect_silu(reader, "mamba_hidden_act"));
    TRY(describe_mamba(reader, &keys, &mamba));
    describe_mamba_layer(&mamba, layer);
    return OK;
}

// null: experts read the stream.
static enum status read_expert_latents(const struct config_reader *reader, int32_t hidden_size,
                                       bool bias, struct experts_config *out)
{
    static const char key[] = "moe_latent_size";
    int64_t size = 0;
    TRY(config_read_int(reader, key, 2, hidden_size, &size));
    out->latent_size = (int32_t)size;
    out->latent_bias = size && bias;
    return config_expect_even(reader, key, out->latent_size);
}

static enum status read_nemotron_experts(const struct config_reader *reader, int32_t hidden_size,
                                         struct layer_config *layer)
{
    const struct experts_keys absent = {.count_key = "n_routed_experts",
                                        .other_count_key = "num_local_experts",
                                        .num_experts = 8,
                                        .num_experts_per_tok = 2,
                                        .intermediate_size = 7688,
                                        .scoring = ROUTER_SIGMOID};
    const struct mlp_config mlp = layer->sublayers[0].mlp;
    struct experts_config *experts = &layer->sublayers[0].experts;
    struct sublayer_config *shared = &layer->sublayers[1];
    layer->n_sublayers = 2;
    layer->sublayers[0].kind = MIX_EXPERTS;
    memset(&layer->sublayers[0].mlp, 0, sizeof layer->sublayers[0].mlp);
    TRY(describe_experts(reader, &absent, experts));
    experts->gated = false;
    experts->activation = mlp.activation;
    TRY(describe_expert_groups(reader, NULL, experts));
    TRY(describe_corrected_weights(reader, 1e-20f, 1, experts));
    TRY(read_expert_latents(reader, hidden_size, mlp.up_bias, experts));
    shared->kind = MIX_MLP;
    shared->multiplier = 1;
    shared->parallel = shared->same_input = true;
    shared->mlp = mlp;
    return config_read_size(reader, "moe_shared_expert_intermediate_size", 1, INTERMEDIATE_SIZE_MAX,
                            7688, &shared->mlp.intermediate_size);
}

// One of each mix that there is.
static enum status make_nemotron_layers(const struct config_reader *reader,
                                        const struct plain_keys *keys,
                                        struct nemotron_layers *layers)
{
    struct layer_config layer = describe_layer(keys), mlp;
    struct mlp_config *m = &mlp.sublayers[0].mlp;
    bool bias = false;
    layer.sublayers[0].attention.rope = -1;
    mlp = layer;
    memset(&layer.sublayers[1], 0, sizeof layer.sublayers[1]);
    mlp.sublayers[0] = mlp.sublayers[1];
    memset(&mlp.sublayers[1], 0, sizeof mlp.sublayers[1]);
    layer.n_sublayers = mlp.n_sublayers = 1;
    m->gated = false;
    TRY(describe_activation(reader, "mlp_hidden_act", "relu2", &m->activation));
    TRY(config_read_flag(reader, "mlp_bias", &bias));
    m->up_bias = m->down_bias = bias;
    layers->of[LAYER_MAMBA] = layers->of[LAYER_ATTENTION] = layer;
    layers->of[LAYER_MLP] = layers->of[LAYER_EXPERTS] = mlp;
    if (layers->has[LAYER_MAMBA])
        TRY(read_nemotron_mamba(reader, keys, &layers->of[LAYER_MAMBA]));
    if (layers->has[LAYER_EXPERTS])
        TRY(read_nemotron_experts(reader, keys->hidden_size, &layers->of[LAYER_EXPERTS]));
    return OK;
}

static enum status describe_nemotron_h(const struct config_reader *reader, struct model_config *out)
{
    struct plain_keys keys = {.hidden_size = 4096,
                              .intermediate_size = 21504,
                              .own_layers = true,
                              .num_attention_heads = 32,
                              .num_key_value_heads = 8,
                              .head_dim = 128,
                              .vocab_size = 131072,
                              .max_position_embeddings = 4096,
                              .rms_norm_eps = 1e-5,
                              .eps_key = "layer_norm_epsilon"};
    struct nemotron_layers layers;
    memset(&layers, 0, sizeof layers); // padding too: kinds are compared by bytes
    TRY(read_nemotron_layers(reader, &layers));
    TRY(tell_of_count(reader, layers.n));
    keys.num_hidden_layers = layers.n;
    TRY(describe_plain(reader, &keys, out));
    for (int32_t i = 0; i < layers.n; i++)
        layers.has[layers.mix[i]] = true;
    TRY(make_nemotron_layers(reader, &keys, &layers));
    for (int32_t i = 0; i < layers.n; i++)
        TRY(describe_add_layer(reader, out, i, &layers.of[layers.mix[i]]));
    return OK;
}

const struct family family_nemotron_h = {
    .model_type = "nemotron_h",
    .architecture = "NemotronHForCausalLM",
    .base_prefix = "backbone.",
    .planned_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_nemotron_h,
};
