// The endpoints that answer at once: models, /tokenize, /detokenize, /tokenizer_info.
#ifndef COLROW_SERVER_API_LOOKUP_H
#define COLROW_SERVER_API_LOOKUP_H

#include "base/memory.h"
#include "server/api_fault.h"
#include "server/api_model.h"

// All append JSON; false with a fault.
bool tokenize_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                     struct api_fault *fault);
bool detokenize_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                       struct api_fault *fault);
bool tokenizer_info_answer(const struct api_model *model, struct bytes *out,
                           struct api_fault *fault);
// `name` NULL: the list; else one model.
bool models_answer(const struct api_model *model, const char *name, struct bytes *out,
                   struct api_fault *fault);

#endif
