// What is added beside a mix (struct laurel_config): a low-rank one of the same input.
#include "model/forward.h"

// The outputs of `left` as inputs of `right`, whose k is even.
static void round_narrow(const struct worker *w, const struct panels *left, size_t stride)
{
    const struct model *m = w->run->model;
    const size_t item = input_bytes(m->plan->compute);
    const struct range rows = step_rows(w);
    for (int row = rows.begin; row < rows.end; row++) {
        float *numbers = m->scratch.outputs + (size_t)row * stride;
        if (stride > (size_t)left->n)
            numbers[left->n] = 0;
        m->kernels->round(numbers, stride, m->plan->compute,
                          (char *)m->scratch.narrow + (size_t)row * stride * item);
    }
    team_barrier(m->team);
}

void find_laurel(const struct worker *w, int layer, int sublayer)
{
    const struct model *m = w->run->model;
    const struct laurel_config *config =
        &model_config_layer(&m->plan->config, layer)->sublayers[sublayer].laurel;
    const struct laurel_weights *weights = &m->weights.layers[layer][sublayer].laurel;
    const size_t hidden = (size_t)m->plan->config.hidden_size, stride = (size_t)weights->right.k;
    const struct leaf_plan whole = leaf_plan_whole(weights->right.k);
    multiply(w, &(struct column_product){.input = sublayer_input(m, layer, sublayer),
                                         .panels = &weights->left,
                                         .out = m->scratch.outputs,
                                         .out_stride = stride});
    team_barrier(m->team);
    round_narrow(w, &weights->left, stride);
    multiply(w, &(struct column_product){.input = m->scratch.narrow,
                                         .panels = &weights->right,
                                         .leaves = &whole,
                                         .out = m->scratch.laurel,
                                         .out_stride = hidden});
    team_barrier(m->team);
    const struct stream_norm before = inputs_of(m, layer, sublayer).input,
                             norm = {&config->norm, &weights->norm};
    const struct range rows = range_part(w, w->run->own_rows);
    for (int row = rows.begin; row < rows.end; row++) {
        float *sum = m->scratch.laurel + (size_t)row * hidden,
              *input = m->scratch.sums + (size_t)row * hidden;
        norm_row(m, &norm, sum, COMPUTE_F32, sum);
        norm_row(m, &before, m->scratch.residual + (size_t)row * hidden, COMPUTE_F32, input);
        m->kernels->add(sum, input, hidden);
    }
}
