// DeepSeek V2: latent attention, in the smaller models with queries of one product; experts of
// which groups may be chosen first, some for all tokens; the first layers dense.
//
// Source: Transformers 5.24, models/deepseek_v2 (modeling_deepseek_v2.py,
// configuration_deepseek_v2.py).
#include <stddef.h>
#include <string.h>

#include "model/families/latent_names.h"

static const struct parameter_row parameters[] = {
    LLAMA_EMBED,
    LATENT_ATTENTION,
    LLAMA_MLP,
    QWEN_EXPERTS,
    MOE_SHARED(PARAMETER_WITH_BIAS, "mlp.shared_experts"),
    LLAMA_END};
static const char *const ignored[] = {LLAMA_IGNORED, NULL};

static enum status choose_deepseek_v2(const struct config_reader *reader,
                                      struct experts_config *out)
{
    const char *method = "greedy";
    bool found;
    TRY(describe_expect_text(reader, "scoring_func", "softmax"));
    TRY(json_get_text(reader->root, reader->name, "topk_method", &method, &found));
    if (strcmp(method, "greedy") == 0) {
        out->n_group = out->topk_group = 0;
        return OK;
    }
    out->group_best = out->n_group > 0;
    if (strcmp(method, "group_limited_greedy") == 0)
        return OK;
    return fail(ERR_UNSUPPORTED,
                "%s: key \"topk_method\" is \"%.80s\"; expected \"greedy\" or "
                "\"group_limited_greedy\" for %s",
                reader->name, method, reader->architecture);
}

static enum status describe_deepseek_v2(const struct config_reader *reader,
                                        struct model_config *out)
{
    struct latent_model model = {
        .keys = {.hidden_size = 4096,
                 .intermediate_size = 11008,
                 .num_hidden_layers = 32,
                 .num_attention_heads = 32,
                 .vocab_size = 102400,
                 .max_position_embeddings = 2048,
                 .rms_norm_eps = 1e-6},
        .latent = {.kv_lora_rank = 512,
                   .q_lora_rank = 1536,
                   .qk_nope_head_dim = 128,
                   .qk_rope_head_dim = 64,
                   .v_head_dim = 128,
                   .pairs_always = true},
        .experts = {.count_key = "n_routed_experts",
                    .other_count_key = "num_experts",
                    .num_experts = 64,
                    .num_experts_per_tok = 6,
                    .intermediate_size = 1407,
                    .scoring = ROUTER_SOFTMAX},
        .n_shared = 2,
        .scaling_factor = 1,
        .mlp_bias = true,
    };
    return describe_latent_model(reader, &model, choose_deepseek_v2, NULL, out);
}

const struct family family_deepseek_v2 = {
    .model_type = "deepseek_v2",
    .architecture = "DeepseekV2ForCausalLM",
    .base_prefix = "model.",
    .parameters = parameters,
    .n_parameters = sizeof parameters / sizeof parameters[0],
    .ignored = ignored,
    .describe = describe_deepseek_v2,
};
