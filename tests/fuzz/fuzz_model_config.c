// The input is a config.json. What is accepted must keep the promises that the layers below rely
// on.
#include "fuzz.h"

#include <math.h>

#include "base/log.h"
#include "hf/model_config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config config;
    log_set_level(LOG_ERROR);
    if (model_config_parse("fuzz", (const char *)data, size, &config) != OK)
        return 0;
    assert(config.hidden_size > 0 && config.hidden_size % 2 == 0 &&
           config.hidden_size <= HIDDEN_SIZE_MAX);
    assert(config.intermediate_size > 0 && config.intermediate_size <= INTERMEDIATE_SIZE_MAX);
    assert(config.num_hidden_layers > 0 && config.vocab_size > 0);
    assert(config.num_key_value_heads > 0 &&
           config.num_attention_heads % config.num_key_value_heads == 0);
    assert(config.head_dim > 0 && config.head_dim % 2 == 0 && config.head_dim <= HEAD_DIM_MAX);
    assert(config.max_position_embeddings > 0 && config.sliding_window >= 0);
    assert(isfinite(config.rms_norm_eps) && config.rms_norm_eps >= 0);
    assert(isfinite(config.rope.theta) && config.rope.theta >= 1);
    assert(isfinite(config.rope.factor) && config.rope.factor > 0);
    if (config.rope.type != ROPE_DEFAULT)
        assert(config.rope.original_max_position_embeddings >= 1);
    if (config.rope.type == ROPE_LLAMA3)
        assert(config.rope.high_freq_factor > 0 && config.rope.low_freq_factor > 0);
    if (config.rope.type == ROPE_YARN)
        assert(config.rope.beta_fast > 0 && config.rope.beta_slow > 0);
    return 0;
}
