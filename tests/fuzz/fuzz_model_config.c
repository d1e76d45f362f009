// The input is a config.json. What is accepted must keep the promises that the layers below rely
// on.
#include "fuzz.h"

#include <math.h>

#include "base/log.h"
#include "model/model_config.h"

static void check_norm(const struct norm_config *norm)
{
    assert(isfinite(norm->eps) && norm->eps >= 0);
}

static void check_rope(const struct rope_config *rope)
{
    assert(isfinite(rope->theta) && rope->theta >= 1);
    assert(isfinite(rope->factor) && rope->factor > 0);
    assert(rope->n_dimensions >= 2 && rope->n_dimensions % 2 == 0 &&
           rope->n_dimensions <= HEAD_DIM_MAX);
    switch (rope->type) {
    case ROPE_DEFAULT:
    case ROPE_PROPORTIONAL:
        return;
    case ROPE_LLAMA3:
        assert(rope->high_freq_factor > 0 && rope->low_freq_factor > 0);
        break;
    case ROPE_YARN:
        assert(rope->beta_fast > 0 && rope->beta_slow > 0);
        break;
    case ROPE_LONGROPE:
        assert(rope->n_factors == rope->n_dimensions / 2);
        break;
    case ROPE_LINEAR:
    case ROPE_DYNAMIC:
        break;
    }
    assert(rope->original_max_position_embeddings >= 1);
}

static void check_sublayer(const struct model_config *config, const struct sublayer_config *s)
{
    const struct attention_config *a = &s->attention;
    check_norm(&s->before);
    check_norm(&s->after);
    assert(!s->predicts || config->altup.num_inputs > 0);
    assert(!s->adds_to_others || s->after.kind != NORM_NONE);
    assert(s->laurel.rank >= 0 && s->laurel.rank <= HIDDEN_SIZE_MAX);
    assert(isfinite(s->mlp.deviations) && (s->mlp.sparse || s->mlp.deviations == 0));
    if (s->kind == MIX_MLP) {
        assert(s->mlp.intermediate_size > 0 && s->mlp.intermediate_size <= INTERMEDIATE_SIZE_MAX);
        return;
    }
    assert(a->num_key_value_heads > 0 && a->num_attention_heads % a->num_key_value_heads == 0);
    assert(a->head_dim > 0 && a->head_dim % 2 == 0 && a->head_dim <= HEAD_DIM_MAX);
    assert(a->sliding_window >= 0 && isfinite(a->scale));
    assert(a->rope >= -1 && a->rope < config->n_ropes);
}

static void check_altup(const struct altup_config *altup)
{
    assert(altup->num_inputs >= 0 && altup->num_inputs <= ALTUP_INPUTS_MAX);
    assert(altup->active_idx >= 0 && (!altup->num_inputs || altup->active_idx < altup->num_inputs));
    check_norm(&altup->router_norm);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct model_config config;
    log_set_level(LOG_ERROR);
    if (model_config_parse("fuzz", (const char *)data, size, &config) != OK)
        return 0;
    assert(config.hidden_size > 0 && config.hidden_size <= HIDDEN_SIZE_MAX);
    assert(config.num_hidden_layers > 0 && config.vocab_size > 0);
    assert(config.max_position_embeddings > 0);
    check_norm(&config.final_norm);
    check_altup(&config.altup);
    assert(config.n_ropes >= 0 && config.n_ropes <= ROPES_MAX);
    for (int i = 0; i < config.n_ropes; i++)
        check_rope(&config.ropes[i]);
    for (int layer = 0; layer < config.num_hidden_layers; layer++) {
        assert(config.layer_kind[layer] < config.n_layer_kinds);
        const struct layer_config *l = model_config_layer(&config, layer);
        assert(l->n_sublayers > 0 && l->n_sublayers <= SUBLAYERS_MAX);
        for (int i = 0; i < l->n_sublayers; i++)
            check_sublayer(&config, &l->sublayers[i]);
    }
    return 0;
}
