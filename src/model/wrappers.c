// Source: Transformers 5.24, models/*/configuration_*.py and conversion_mapping.py.
#include <stddef.h>
#include <string.h>

#include "model/wrapper.h"

static const struct wrapper wrappers[] = {
    {.model_type = "mistral3",
     .architecture = "Mistral3ForConditionalGeneration",
     .text_type = "mistral",
     .text_says = true,
     .is_tied = true},
    {.model_type = "qwen2_5_vl",
     .architecture = "Qwen2_5_VLForConditionalGeneration",
     .text_type = "qwen2_5_vl_text",
     .may_be_flat = true,
     .text_may_tie = true},
    {.model_type = "qwen3_vl",
     .architecture = "Qwen3VLForConditionalGeneration",
     .text_type = "qwen3_vl_text"},
    {.model_type = "qwen3_5",
     .architecture = "Qwen3_5ForConditionalGeneration",
     .text_type = "qwen3_5_text"},
    {.model_type = "qwen3_5_moe",
     .architecture = "Qwen3_5MoeForConditionalGeneration",
     .text_type = "qwen3_5_moe_text"},
    {.model_type = "gemma3",
     .architecture = "Gemma3ForConditionalGeneration",
     .text_type = "gemma3_text",
     .is_tied = true,
     .uncapped = true},
    {.model_type = "gemma3n",
     .architecture = "Gemma3nForConditionalGeneration",
     .text_type = "gemma3n_text",
     .is_tied = true},
    {.model_type = "gemma4",
     .architecture = "Gemma4ForConditionalGeneration",
     .text_type = "gemma4_text",
     .is_tied = true},
    {.model_type = "llama4",
     .architecture = "Llama4ForConditionalGeneration",
     .text_type = "llama4_text"},
};
enum { N_WRAPPERS = sizeof wrappers / sizeof wrappers[0] };

const struct wrapper *wrapper_at(int index)
{
    return index >= 0 && index < N_WRAPPERS ? &wrappers[index] : NULL;
}

const struct wrapper *wrapper_find(const char *model_type, const char *architecture)
{
    for (int i = 0; i < N_WRAPPERS; i++)
        if ((model_type && strcmp(model_type, wrappers[i].model_type) == 0) ||
            (architecture && strcmp(architecture, wrappers[i].architecture) == 0))
            return &wrappers[i];
    return NULL;
}

bool wrapper_ignores(const char *tensor)
{
    static const char *const parts[] = {
        "visual.",
        "vision_tower.",
        "vision_model.",
        "audio_tower.",
        "embed_vision.",
        "embed_audio.",
        "multi_modal_projector.",
        "patch_merger.",
        "vision_language_adapter.",
        "vision_encoder.",
    };
    static const char model[] = "model.";
    if (strncmp(tensor, model, sizeof model - 1) == 0)
        tensor += sizeof model - 1;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strncmp(tensor, parts[i], strlen(parts[i])) == 0)
            return true;
    return false;
}
