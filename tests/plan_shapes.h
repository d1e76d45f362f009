// Model configs for tests of the plan.
#ifndef COLROW_TESTS_PLAN_SHAPES_H
#define COLROW_TESTS_PLAN_SHAPES_H

#include "testing.h"

#include "model/describe.h"
#include "model/plan.h"

struct plan_shape {
    int heads, kv_heads, head_dim, intermediate, vocab;
};

// Even and odd splits, groups of one head and of sixteen, fewer and more KV heads than leaves.
static const struct plan_shape plan_shapes[] = {
    {12, 4, 16, 224, 512},       {10, 5, 8, 200, 512},
    {6, 3, 16, 256, 512},        {8, 2, 16, 256, 512},
    {32, 8, 64, 8192, 128256},   {24, 8, 128, 8192, 128256},
    {9, 3, 64, 1536, 49152},     {14, 2, 64, 4864, 151936},
    {64, 8, 128, 28672, 128256}, {128, 8, 128, 53248, 128256},
    {4, 4, 16, 172, 512},        {8, 1, 32, 176, 100},
    {40, 40, 128, 13824, 32000}, {32, 32, 128, 11008, 32001},
    {1, 1, 64, 96, 33},          {7, 7, 2, 22, 8},
    {16, 16, 64, 48, 512},       {3, 1, 4, 6, 5},
    {71, 1, 64, 18176, 65024},
};
enum { N_PLAN_SHAPES = sizeof plan_shapes / sizeof plan_shapes[0] };

static inline struct model_config plan_config(const struct plan_shape *shape)
{
    const struct plain_keys keys = {
        .hidden_size = 64,
        .intermediate_size = shape->intermediate,
        .num_attention_heads = shape->heads,
        .num_key_value_heads = shape->kv_heads,
        .head_dim = shape->head_dim,
        .rms_norm_eps = 1e-5,
    };
    struct model_config c = {
        .family = families[0],
        .architecture = "LlamaForCausalLM",
        .model_type = "llama",
        .hidden_size = 64,
        .num_hidden_layers = 2,
        .vocab_size = shape->vocab,
        .max_position_embeddings = 1024,
        .dtype = ELEMENT_BF16,
        .embed_multiplier = 1,
        .logit_multiplier = 1,
        .final_norm = {.kind = NORM_RMS, .eps = 1e-5f},
        .n_ropes = 1,
        .ropes = {{.type = ROPE_DEFAULT, .theta = 10000, .n_dimensions = shape->head_dim}},
        .n_layer_kinds = 1,
        .layer_kinds = {describe_layer(&keys)},
    };
    assert_string_equal(c.family->model_type, "llama");
    return c;
}

static inline void plan_config_add_biases(struct model_config *c)
{
    struct attention_config *a = &c->layer_kinds[0].sublayers[0].attention;
    struct mlp_config *m = &c->layer_kinds[0].sublayers[1].mlp;
    a->q_bias = a->k_bias = a->v_bias = a->o_bias = true;
    m->gate_bias = m->up_bias = m->down_bias = true;
}

// How the first attention and the first MLP are cut.
static inline const struct cut *plan_cut_of_kind(const struct plan *plan, enum mix_kind kind)
{
    for (int i = 0; i < plan->n_cuts; i++)
        if (plan->cuts[i].sublayer->kind == kind)
            return &plan->cuts[i];
    return NULL;
}

static inline const struct plan_parameter *plan_parameter_named(const struct plan *plan,
                                                                const char *name)
{
    for (int i = 0; i < plan->n_parameters; i++)
        if (strcmp(plan->parameters[i].name, name) == 0)
            return &plan->parameters[i];
    return NULL;
}

#endif
