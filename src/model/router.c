// Which experts a token chooses, and what each counts for.
#include <assert.h>
#include <math.h>
#include <string.h>

#include "model/forward.h"

struct chosen_set {
    uint64_t bits[EXPERTS_MAX / 64];
};

static bool is_chosen(const struct chosen_set *set, int i)
{
    return set->bits[i / 64] >> (i % 64) & 1;
}

// The largest of `scores` that is not chosen yet, of equal ones the first; NaN counts as -inf.
static int largest_left(const float *scores, int n, const struct chosen_set *set)
{
    int best = -1;
    float most = 0;
    for (int i = 0; i < n; i++) {
        float score = scores[i] == scores[i] ? scores[i] : -INFINITY;
        if (!is_chosen(set, i) && (best < 0 || score > most)) {
            best = i;
            most = score;
        }
    }
    assert(best >= 0);
    return best;
}

static void choose_largest(const float *scores, int n, int k, struct chosen_set *set)
{
    memset(set, 0, sizeof *set);
    for (int i = 0; i < k; i++) {
        int best = largest_left(scores, n, set);
        set->bits[best / 64] |= (uint64_t)1 << (best % 64);
    }
}

// The sum of a group's two largest, or its largest alone.
static float group_score(const float *scores, int n, bool best)
{
    float first = -INFINITY, second = -INFINITY;
    for (int i = 0; i < n; i++) {
        if (scores[i] > first) {
            second = first;
            first = scores[i];
        } else if (scores[i] > second) {
            second = scores[i];
        }
    }
    return n > 1 && !best ? first + second : first;
}

// Experts outside the best groups are out of the question.
static void keep_groups(const struct experts_config *config, float *scores)
{
    float groups[EXPERTS_MAX];
    struct chosen_set kept;
    const int n = config->n_group, each = config->num_experts / n;
    assert(each > 0 && each * n == config->num_experts);
    for (int i = 0; i < n; i++)
        groups[i] = group_score(scores + (size_t)i * (size_t)each, each, config->group_best);
    choose_largest(groups, n, config->topk_group, &kept);
    for (int i = 0; i < config->num_experts; i++)
        if (!is_chosen(&kept, i / each))
            scores[i] = -INFINITY;
}

static void softmax(const struct kernels *kernels, float *x, int n)
{
    float largest;
    kernels->argmax(x, n, &largest);
    const float sum = kernels->exp_sum(x, largest, n, x);
    for (int i = 0; i < n; i++)
        x[i] = x[i] / sum;
}

static void sigmoid(float *x, int n)
{
    for (int i = 0; i < n; i++)
        x[i] = 1.0f / (1.0f + number_exp(-x[i]));
}

static void weigh_chosen(const struct kernels *kernels, const struct experts_config *config,
                         float *weights)
{
    const int k = config->num_experts_per_tok;
    float sum = 0;
    if (config->scoring == ROUTER_CHOSEN_SOFTMAX)
        softmax(kernels, weights, k);
    if (config->scoring == ROUTER_CHOSEN_SIGMOID)
        sigmoid(weights, k);
    for (int i = 0; i < k; i++)
        sum = sum + weights[i];
    if (config->sum_eps != 0)
        sum = sum + config->sum_eps;
    if (config->sum_min > sum)
        sum = config->sum_min;
    for (int i = 0; i < k; i++) {
        if (config->normalised)
            weights[i] = weights[i] / sum;
        if (config->scaling_factor != 1)
            weights[i] = weights[i] * config->scaling_factor;
    }
}

// Of what is left, the largest logit and its part of the softmax of those that are near it.
static float mix_nearest(const struct kernels *kernels, const struct experts_config *config,
                         const float *logits, const struct chosen_set *set, int best)
{
    float near[EXPERTS_MAX];
    const float most = logits[best];
    for (int i = 0; i < config->num_experts; i++) {
        const float size = fabsf(logits[i]) < most ? most : fabsf(logits[i]);
        const bool far = (most - logits[i]) / size > config->mixer_reach;
        near[i] = far || is_chosen(set, i) ? -INFINITY : logits[i];
    }
    const float sum = kernels->exp_sum(near, most, config->num_experts, near);
    return near[best] / sum;
}

// Two experts, each with a weight of its own.
static void mix_sparsely(const struct kernels *kernels, const struct experts_config *config,
                         const float *logits, int32_t *chosen, float *weights)
{
    struct chosen_set set = {{0}};
    assert(config->num_experts_per_tok == 2 && config->num_experts >= 2);
    for (int turn = 0; turn < 2; turn++) {
        const int best = largest_left(logits, config->num_experts, &set);
        const float weight = mix_nearest(kernels, config, logits, &set, best);
        const int at = turn && best > chosen[0] ? 1 : 0;
        if (turn && at == 0) {
            chosen[1] = chosen[0];
            weights[1] = weights[0];
        }
        chosen[at] = best;
        weights[at] = weight;
        set.bits[best / 64] |= (uint64_t)1 << (best % 64);
    }
}

void router_choose(const struct kernels *kernels, const struct experts_config *config,
                   const float *choice_bias, float *logits, int32_t *chosen, float *weights)
{
    const int n = config->num_experts, k = config->num_experts_per_tok;
    float biased[EXPERTS_MAX];
    const float *scores = logits;
    struct chosen_set set;
    assert(n <= EXPERTS_MAX && k <= n);
    if (config->scoring == ROUTER_SPARSE_MIXER) {
        mix_sparsely(kernels, config, logits, chosen, weights);
        return;
    }
    if (config->scoring == ROUTER_SOFTMAX)
        softmax(kernels, logits, n);
    if (config->scoring == ROUTER_SIGMOID)
        sigmoid(logits, n);
    if (choice_bias || config->n_group) {
        memcpy(biased, logits, (size_t)n * sizeof *biased);
        for (int i = 0; i < n && choice_bias; i++)
            biased[i] = logits[i] + choice_bias[i];
        if (config->n_group)
            keep_groups(config, biased);
        scores = biased;
    }
    choose_largest(scores, n, k, &set);
    for (int i = 0, at = 0; i < n; i++)
        if (is_chosen(&set, i)) {
            chosen[at] = i;
            weights[at++] = logits[i];
        }
    weigh_chosen(kernels, config, weights);
}

// An expert's leaf in the tree of experts (docs/numerics.md section 11).
static unsigned leaf_of_expert(int num_experts, int expert)
{
    return (unsigned)((EXPERT_LEAVES * (expert + 1) + num_experts - 1) / num_experts - 1);
}

// The height of the subtree in which two leaves meet; 0: they are one.
static int meeting_height(unsigned a, unsigned b)
{
    return a == b ? 0 : 32 - __builtin_clz(a ^ b);
}

void expert_merges(int num_experts, const int32_t *chosen, int n, uint8_t *merges)
{
    int heights[CHOSEN_EXPERTS_MAX], depth = 0; // where each sum on the stack meets the one below
    assert(n >= 0 && n <= CHOSEN_EXPERTS_MAX);
    for (int i = 0; i < n; i++) {
        const unsigned leaf = leaf_of_expert(num_experts, chosen[i]);
        const int next =
            i + 1 == n ? 32 : meeting_height(leaf, leaf_of_expert(num_experts, chosen[i + 1]));
        heights[depth++] =
            i ? meeting_height(leaf, leaf_of_expert(num_experts, chosen[i - 1])) : 32;
        merges[i] = 0;
        // those of one leaf are added one after the other
        while (depth > 1 && (heights[depth - 1] == 0 || heights[depth - 1] < next)) {
            depth--;
            merges[i]++;
        }
    }
    assert(depth == (n > 0));
}
