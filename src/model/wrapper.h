// Multimodal models whose text part is served: config.json has it under a key of its own, and the
// tensors of the other parts are left alone.
#ifndef COLROW_MODEL_WRAPPER_H
#define COLROW_MODEL_WRAPPER_H

#include <stdbool.h>

#define WRAPPER_TEXT_KEY "text_config"

struct wrapper {
    const char *model_type, *architecture;
    // model_type of the text part: whatever it says itself, or where it says nothing
    const char *text_type;
    bool text_says;    // its own model_type counts
    bool may_be_flat;  // without text_config the text part's keys are the file's own
    bool is_tied;      // tie_word_embeddings, where the file does not say
    bool uncapped;     // logits are as they are, whatever the text part's soft-cap
    bool text_may_tie; // the text part's tie_word_embeddings counts as well
};

// wrappers.c: NULL where there is none. One of the names may be NULL.
const struct wrapper *wrapper_find(const char *model_type, const char *architecture);
const struct wrapper *wrapper_at(int index);

// Whether a tensor belongs to a part that is not served: "visual.blocks.0.attn.proj.weight".
bool wrapper_ignores(const char *tensor);

#endif
