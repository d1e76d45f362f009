#include "engine/sampler.h"

#include <assert.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"
#include "engine/philox.h"
#include "engine/ranking.h"

struct sampler {
    int32_t vocab_size;
    int32_t n; // rounded up to whole blocks of ranking.h; the scores there are -inf
    const struct kernels *kernels;
    float *scores;     // [n] logits after bias, penalties, temperature
    float *exps;       // [n] for log-probabilities
    uint32_t *weights; // [n] exp(score - largest score) as integers
    uint64_t *sums;    // [n / WEIGHING_BLOCK] of the weights of each block
    float *tops;       // [n / WEIGHING_BLOCK] the largest score of each block
    uint64_t *keys;    // [ranking_room(n)]
    struct colrow_logprob *logprobs;
    int32_t logprobs_max;
};

enum status sampler_new(int32_t vocab_size, int32_t logprobs_max, const struct kernels *kernels,
                        struct sampler **out)
{
    assert(vocab_size > 0 && logprobs_max >= 0);
    struct sampler *sampler;
    TRY(memory_new(1, sizeof *sampler, "the sampler", &sampler));
    *sampler = (struct sampler){
        .vocab_size = vocab_size, .kernels = kernels, .logprobs_max = logprobs_max};
    static_assert((int)RANKING_BLOCK == (int)WEIGHING_BLOCK, "both cut the vocabulary alike");
    size_t n = round_up((size_t)vocab_size, RANKING_BLOCK), room = (size_t)ranking_room((int32_t)n);
    sampler->n = (int32_t)n;
    const char *what = "the sampler";
    enum status status;
    TRY_DONE(memory_new(n, sizeof *sampler->scores, what, &sampler->scores));
    TRY_DONE(memory_new(n, sizeof *sampler->exps, what, &sampler->exps));
    TRY_DONE(memory_new(n, sizeof *sampler->weights, what, &sampler->weights));
    TRY_DONE(memory_new(n / RANKING_BLOCK, sizeof *sampler->sums, what, &sampler->sums));
    TRY_DONE(memory_new(n / WEIGHING_BLOCK, sizeof *sampler->tops, what, &sampler->tops));
    TRY_DONE(memory_new(room, sizeof *sampler->keys, what, &sampler->keys));
    TRY_DONE(
        memory_new((size_t)logprobs_max + 1, sizeof *sampler->logprobs, what, &sampler->logprobs));
    for (size_t i = (size_t)vocab_size; i < n; i++)
        sampler->scores[i] = -INFINITY;
done:
    if (status == OK)
        *out = sampler;
    else
        sampler_free(sampler);
    return status;
}

void sampler_free(struct sampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->scores);
    free(sampler->exps);
    free(sampler->weights);
    free(sampler->sums);
    free(sampler->tops);
    free(sampler->keys);
    free(sampler->logprobs);
    free(sampler);
}

static bool masks_end(const struct sampling *sampling, int32_t n_generated)
{
    return n_generated < sampling->min_tokens && sampling->n_end_ids > 0;
}

bool sampling_needs_logits(const struct sampling *sampling, int32_t n_generated)
{
    return sampling->temperature > 0 || sampling->penalties || sampling->n_logit_bias > 0 ||
           sampling->logprobs >= 0 || masks_end(sampling, n_generated);
}

static enum status no_number(void)
{
    return fail(
        ERR_INTERNAL,
        "the model's logits are not numbers; the checkpoint's weights may overflow in this dtype: "
        "try --dtype float32");
}

enum status sampler_best(const struct step_best *best, int n_ranks, size_t stride, int32_t *id)
{
    struct step_best found = {.value = -INFINITY, .id = -1};
    for (int r = 0; r < n_ranks; r++, best += stride) {
        bool better = best->value > found.value;
        if (better ||
            (best->value == found.value && best->value > -INFINITY && best->id < found.id))
            found = *best;
    }
    if (found.id < 0)
        return no_number();
    *id = found.id;
    return OK;
}

// vllm/model_executor/layers/utils.py, apply_penalties()
static void apply_penalties(const struct sampling *sampling, const struct token_counts *counts,
                            float *scores)
{
    for (int32_t i = 0; i < counts->n; i++) {
        struct token_count item = counts->items[i];
        float *score = &scores[item.id];
        if (sampling->repetition_penalty != 1)
            *score = *score > 0 ? *score / sampling->repetition_penalty
                                : *score * sampling->repetition_penalty;
        if (item.generated > 0) {
            *score -= sampling->frequency_penalty * (float)item.generated;
            *score -= sampling->presence_penalty;
        }
    }
}

static void adjust(const struct sampling *sampling, const struct sampling_state *state,
                   float *scores)
{
    if (masks_end(sampling, state->n_generated))
        for (int32_t i = 0; i < sampling->n_end_ids; i++)
            scores[sampling->end_ids[i]] = -INFINITY;
    for (int32_t i = 0; i < sampling->n_logit_bias; i++)
        scores[sampling->logit_bias[i].id] += sampling->logit_bias[i].bias;
    if (sampling->penalties)
        apply_penalties(sampling, state->counts, scores);
}

static uint64_t weigh(const struct sampler *sampler, const struct weighing *weighing)
{
    uint64_t total = 0;
    sampler->kernels->weigh(weighing);
    for (int32_t i = 0; i < sampler->n / WEIGHING_BLOCK; i++)
        total += sampler->sums[i];
    return total;
}

// The k largest scores of those that weigh `least` or more (0: of all), into sampler->keys.
static int32_t take_top(struct sampler *sampler, uint32_t least, int32_t k)
{
    struct ranking ranking = {.logits = sampler->scores,
                              .tops = sampler->tops,
                              .n = sampler->n,
                              .weights = least ? sampler->weights : NULL,
                              .sums = sampler->sums,
                              .least = least};
    sampler->kernels->tops(sampler->scores, sampler->n, sampler->tops);
    return ranking_top(&ranking, k, sampler->keys);
}

static uint64_t sum_of_kept(const struct sampler *sampler, int32_t n_kept)
{
    uint64_t sum = 0;
    for (int32_t i = 0; i < n_kept; i++)
        sum += sampler->weights[ranking_id(sampler->keys[i])];
    return sum;
}

static bool limits_top_k(const struct sampler *sampler, const struct sampling *sampling)
{
    return sampling->top_k > 0 && sampling->top_k < sampler->vocab_size;
}

static bool keeps_all(const struct sampler *sampler, const struct sampling *sampling)
{
    return !limits_top_k(sampler, sampling) && !(sampling->min_p > 0) && !(sampling->top_p < 1);
}

// The sum of the weights that min_p, top_k and top_p leave of `total`. `*n_kept`: their tokens are
// the first of sampler->keys, unsorted.
static uint64_t keep_likely(struct sampler *sampler, const struct sampling *sampling,
                            uint64_t total, int32_t *n_kept)
{
    const uint32_t *weights = sampler->weights;
    int32_t n = -1, vocab_size = sampler->vocab_size;
    uint32_t least = (uint32_t)ceil(sampling->min_p * 0x1p30);
    least = least < 1 ? 1 : least;
    bool top_k = limits_top_k(sampler, sampling);
    if (top_k || sampling->min_p > 0) {
        n = take_top(sampler, least, top_k ? sampling->top_k : vocab_size);
        total = sum_of_kept(sampler, n);
    }
    if (sampling->top_p < 1) {
        uint64_t target = (uint64_t)(sampling->top_p * (double)total);
        target = target < 1 ? 1 : target > total ? total : target;
        if (n < 0) {
            // all tokens below this bound together have less than total - target: they are not in
            // the nucleus
            uint64_t bound = (total - target) / (uint64_t)vocab_size;
            n = take_top(sampler, bound > least ? (uint32_t)bound : least, vocab_size);
        }
        n = ranking_prefix(sampler->keys, n, weights, target);
        total = sum_of_kept(sampler, n);
    }
    *n_kept = n;
    return total;
}

// The token at `point` when the weights of those that are left are laid side by side by rank.
static int32_t pick_kept(struct sampler *sampler, int32_t n_kept, uint64_t point)
{
    int32_t n = ranking_prefix(sampler->keys, n_kept, sampler->weights, point + 1);
    uint64_t last = sampler->keys[0];
    for (int32_t i = 1; i < n; i++)
        last = sampler->keys[i] < last ? sampler->keys[i] : last;
    return ranking_id(last);
}

// The same for all tokens, by id. Only the sums of blocks were kept: the weights of the block in
// question are made once more.
static int32_t pick_any(struct sampler *sampler, struct weighing weighing, uint64_t point)
{
    int32_t block = 0;
    for (; point >= sampler->sums[block]; block++)
        point -= sampler->sums[block];
    int32_t begin = block * WEIGHING_BLOCK, id = begin;
    weighing.x += begin;
    weighing.n = weighing.n - begin < WEIGHING_BLOCK ? weighing.n - begin : WEIGHING_BLOCK;
    weighing.sums += block;
    weighing.weights = sampler->weights + begin;
    sampler->kernels->weigh(&weighing);
    for (; point >= sampler->weights[id]; id++)
        point -= sampler->weights[id];
    assert(id < sampler->vocab_size);
    return id;
}

static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

// Where the largest score is no number that others can be compared with: it is the choice itself.
static enum status draw_extreme(struct sampler *sampler, const float *values, float factor,
                                int32_t *id)
{
    float largest;
    for (int32_t i = 0; i < sampler->vocab_size; i++)
        sampler->scores[i] = values[i] * factor;
    *id = sampler->kernels->argmax(sampler->scores, sampler->vocab_size, &largest);
    return largest > -INFINITY ? OK : no_number();
}

// `values`: logits after bias and penalties.
static enum status draw_random(struct sampler *sampler, const struct sampling *sampling,
                               const struct sampling_state *state, const float *values, int32_t *id)
{
    float largest, factor = 1 / sampling->temperature;
    *id = sampler->kernels->argmax(values, sampler->vocab_size, &largest);
    // rounding keeps the order, so this is the largest score
    struct weighing weighing = {.x = values,
                                .factor = factor,
                                .shift = largest * factor,
                                .n = sampler->vocab_size,
                                .sums = sampler->sums};
    if (!(fabsf(weighing.shift) < INFINITY))
        return draw_extreme(sampler, values, factor, id);
    uint64_t bits = philox_token_bits(sampling->seed, state->sequence, state->position);
    if (keeps_all(sampler, sampling)) {
        uint64_t total = weigh(sampler, &weighing);
        *id = pick_any(sampler, weighing, multiply_high(bits, total));
        return OK;
    }
    int32_t n_kept;
    weighing.weights = sampler->weights;
    weighing.scores = sampler->scores;
    uint64_t total = keep_likely(sampler, sampling, weigh(sampler, &weighing), &n_kept);
    *id = pick_kept(sampler, n_kept, multiply_high(bits, total));
    return OK;
}

static int32_t rank_of(const float *logits, int32_t n, int32_t id)
{
    int32_t larger = 0, equal_before = 0;
    float chosen = logits[id];
    for (int32_t begin = 0; begin < n; begin += RANKING_BLOCK)
        for (int i = 0; i < RANKING_BLOCK; i++)
            larger += logits[begin + i] > chosen;
    for (int32_t i = 0; i < id; i++)
        equal_before += logits[i] == chosen;
    return 1 + larger + equal_before;
}

// Log-softmax of the model's own logits, as vLLM's logprobs_mode "raw_logprobs".
static void take_logprobs(struct sampler *sampler, const float *model_logits, int32_t n_best,
                          struct sample *out)
{
    float largest, *logits = sampler->scores;
    memcpy(logits, model_logits, (size_t)sampler->vocab_size * sizeof *logits);
    sampler->kernels->argmax(logits, sampler->n, &largest);
    float log_sum =
        number_log(sampler->kernels->exp_sum(logits, largest, sampler->n, sampler->exps));
    struct colrow_logprob *logprobs = sampler->logprobs;
    logprobs[0] = (struct colrow_logprob){
        .id = out->id,
        .logprob = logits[out->id] - largest - log_sum,
        .rank = rank_of(logits, sampler->n, out->id),
    };
    n_best = n_best < sampler->vocab_size ? n_best : sampler->vocab_size;
    if (n_best > 0) {
        take_top(sampler, 0, n_best);
        ranking_sort(sampler->keys, n_best);
    }
    for (int32_t i = 0; i < n_best; i++) {
        int32_t id = ranking_id(sampler->keys[i]);
        logprobs[1 + i] = (struct colrow_logprob){id, logits[id] - largest - log_sum, i + 1};
    }
    out->logprobs = logprobs;
    out->n_logprobs = 1 + n_best;
}

static enum status draw_from_weights(struct sampler *sampler, const struct sampling *sampling,
                                     const struct sampling_state *state, const float *logits,
                                     struct sample *out)
{
    const float *values = logits;
    if (sampling->penalties || sampling->n_logit_bias > 0 ||
        masks_end(sampling, state->n_generated)) {
        memcpy(sampler->scores, logits, (size_t)sampler->vocab_size * sizeof *logits);
        adjust(sampling, state, sampler->scores);
        values = sampler->scores;
    }
    if (sampling->temperature > 0) {
        TRY(draw_random(sampler, sampling, state, values, &out->id));
    } else {
        float largest;
        out->id = sampler->kernels->argmax(values, sampler->vocab_size, &largest);
        if (!(largest > -INFINITY))
            return no_number();
    }
    if (sampling->logprobs >= 0)
        take_logprobs(sampler, logits, sampling->logprobs, out);
    return OK;
}

enum status sampler_draw(struct sampler *sampler, const struct sampling *sampling,
                         const struct sampling_state *state, const float *logits,
                         struct sample *out)
{
    assert(sampling->logprobs <= sampler->logprobs_max);
    assert(!sampling->penalties || state->counts);
    *out = (struct sample){.id = -1};
    fenv_t environment; // of the user's thread: it gets back the rounding and denormal modes it had
    fegetenv(&environment);
    number_mode_set();
    enum status status = draw_from_weights(sampler, sampling, state, logits, out);
    fesetenv(&environment);
    return status;
}
