#include "model/family.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

extern const struct family family_apertus, family_bloom, family_cohere2, family_ernie4_5,
    family_exaone4, family_gemma, family_gemma2, family_gemma3_text, family_gemma3n, family_gemma4,
    family_glm, family_glm4, family_gpt_neox, family_granite, family_granite_swa, family_granitemoe,
    family_ernie4_5_moe, family_glm4_moe, family_minimax_m2, family_granitemoehybrid,
    family_hunyuan_v1_dense, family_internlm3, family_llama, family_ministral3, family_mistral,
    family_mixtral, family_olmo2, family_olmo3, family_phi, family_phi3, family_qwen2,
    family_qwen2_5_vl, family_qwen2_moe, family_qwen3, family_qwen3_moe, family_qwen3_vl,
    family_seed_oss, family_smollm3, family_stablelm, family_starcoder2, family_gpt_oss;
extern const struct family family_lfm2, family_lfm2_moe, family_falcon_h1, family_nemotron_h,
    family_olmo_hybrid;
extern const struct family family_phimoe;
extern const struct family family_llama4;
extern const struct family family_mimo_v2_flash;
extern const struct family family_deepseek_v2, family_deepseek_v3, family_glm4_moe_lite,
    family_kimi_k2, family_kimi_linear, family_mistral4, family_deepseek_v32, family_glm_moe_dsa;

extern const struct family family_qwen3_next, family_qwen3_5, family_qwen3_5_moe;

const struct family *const families[] = {
    &family_llama,
    &family_mistral,
    &family_ministral3,
    &family_qwen2,
    &family_qwen2_5_vl,
    &family_qwen3,
    &family_qwen3_vl,
    &family_gemma,
    &family_gemma2,
    &family_gemma3_text,
    &family_gemma3n,
    &family_gemma4,
    &family_phi3,
    &family_smollm3,
    &family_granite,
    &family_granitemoehybrid,
    &family_granite_swa,
    &family_olmo2,
    &family_olmo3,
    &family_glm,
    &family_glm4,
    &family_cohere2,
    &family_seed_oss,
    &family_ernie4_5,
    &family_exaone4,
    &family_hunyuan_v1_dense,
    &family_apertus,
    &family_stablelm,
    &family_starcoder2,
    &family_phi,
    &family_gpt_neox,
    &family_bloom,
    &family_internlm3,
    &family_mixtral,
    &family_qwen2_moe,
    &family_qwen3_moe,
    &family_granitemoe,
    &family_glm4_moe,
    &family_minimax_m2,
    &family_ernie4_5_moe,
    &family_gpt_oss,
    &family_lfm2,
    &family_lfm2_moe,
    &family_falcon_h1,
    &family_nemotron_h,
    &family_phimoe,
    &family_llama4,
    &family_mimo_v2_flash,
    &family_qwen3_next,
    &family_qwen3_5,
    &family_qwen3_5_moe,
    &family_deepseek_v2,
    &family_deepseek_v3,
    &family_kimi_k2,
    &family_glm4_moe_lite,
    &family_mistral4,
    &family_olmo_hybrid,
    &family_kimi_linear,
    &family_deepseek_v32,
    &family_glm_moe_dsa,
    NULL,
};

const struct parameter_row *family_row(const struct family *family, int sublayer, enum slot slot,
                                       bool bias)
{
    for (int i = 0; i < family->n_parameters; i++) {
        const struct parameter_row *row = &family->parameters[i];
        if (row->sublayer != sublayer || row->bias != bias)
            continue;
        for (int k = 0; k < row->n_slots; k++)
            if (row->slots[k] == slot)
                return row;
    }
    return NULL;
}

void family_row_label(const struct parameter_row *row, char *out, size_t room)
{
    const char *end = strrchr(row->name, '.'), *begin = end;
    assert(end && room > 0);
    if (strcmp(end, ".weight") != 0 && strcmp(end, ".bias") != 0) {
        snprintf(out, room, "%s", end + 1);
        return;
    }
    while (begin > row->name && begin[-1] != '.')
        begin--;
    snprintf(out, room, "%.*s", (int)(end - begin), begin);
}
