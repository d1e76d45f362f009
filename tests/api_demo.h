// The bundled model as the API's readers see it, without an engine.
#ifndef COLROW_TESTS_API_DEMO_H
#define COLROW_TESTS_API_DEMO_H

#include <colrow/colrow.h>
#include <stdio.h>

#include "server/api_model.h"

// Opens `*model` for a context of 512 tokens; on failure says why. Release with api_model_close().
static inline bool api_demo_open(struct api_model *model, const char *const *names, int n_names)
{
    const struct colrow_info info = {
        .tensor_parallel_size = 1,
        .vocab_size = 1280,
        .max_model_len = 512,
        .dtype = "bfloat16",
    };
    struct colrow_tokenizer *texts;
    bool opened = colrow_tokenizer_open(SOURCE_DIR "/models/demo", &texts) == 0;
    if (opened) {
        opened =
            api_model_open(model, SOURCE_DIR "/models/demo", texts, &info, names, n_names) == OK;
        colrow_tokenizer_close(texts);
    }
    if (!opened)
        fprintf(stderr, "%s\n", colrow_error());
    return opened;
}

#endif
