#include "engine/sampler.h"

#include <assert.h>
#include <fenv.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "engine/philox.h"
#include "engine/ranking.h"

struct sampler {
    int32_t vocab_size;
    const struct kernels *kernels;
    float *scores;  // [vocab_size] logits after bias, penalties, temperature
    float *exps;    // [vocab_size] exp(score - largest score): the largest is 1
    uint64_t *keys; // [vocab_size or ranking_room()]
    struct colrow_logprob *logprobs;
    int32_t logprobs_max;
};

enum status sampler_new(int32_t vocab_size, int32_t logprobs_max, const struct kernels *kernels, struct sampler **out)
{
    assert(vocab_size > 0 && logprobs_max >= 0);
    struct sampler *sampler;
    TRY(memory_new(1, sizeof *sampler, "the sampler", &sampler));
    *sampler = (struct sampler){.vocab_size = vocab_size, .kernels = kernels, .logprobs_max = logprobs_max};
    int32_t room = ranking_room(vocab_size); // top_k may be all but one
    enum status status;
    size_t n = (size_t)vocab_size;
    TRY_DONE(memory_new(n, sizeof *sampler->scores, "the sampler", &sampler->scores));
    TRY_DONE(memory_new(n, sizeof *sampler->exps, "the sampler", &sampler->exps));
    TRY_DONE(memory_new((size_t)room, sizeof *sampler->keys, "the sampler", &sampler->keys));
    TRY_DONE(memory_new((size_t)logprobs_max + 1, sizeof *sampler->logprobs, "the sampler", &sampler->logprobs));
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
    return fail(ERR_INTERNAL, "the model's logits are not numbers; the checkpoint's weights may overflow in this dtype: "
                              "try --dtype float32");
}

enum status sampler_best(const struct step_best *best, int n_ranks, size_t stride, int32_t *id)
{
    struct step_best found = {.value = -INFINITY, .id = -1};
    for (int r = 0; r < n_ranks; r++, best += stride) {
        bool better = best->value > found.value;
        if (better || (best->value == found.value && best->value > -INFINITY && best->id < found.id))
            found = *best;
    }
    if (found.id < 0)
        return no_number();
    *id = found.id;
    return OK;
}

// vllm/model_executor/layers/utils.py, apply_penalties()
static void apply_penalties(const struct sampling *sampling, const struct token_counts *counts, float *scores)
{
    for (int32_t i = 0; i < counts->n; i++) {
        struct token_count item = counts->items[i];
        float *score = &scores[item.id];
        if (sampling->repetition_penalty != 1)
            *score = *score > 0 ? *score / sampling->repetition_penalty : *score * sampling->repetition_penalty;
        if (item.generated > 0) {
            *score -= sampling->frequency_penalty * (float)item.generated;
            *score -= sampling->presence_penalty;
        }
    }
}

static void adjust(const struct sampling *sampling, const struct sampling_state *state, float *scores)
{
    if (masks_end(sampling, state->n_generated))
        for (int32_t i = 0; i < sampling->n_end_ids; i++)
            scores[sampling->end_ids[i]] = -INFINITY;
    for (int32_t i = 0; i < sampling->n_logit_bias; i++)
        scores[sampling->logit_bias[i].id] += sampling->logit_bias[i].bias;
    if (sampling->penalties)
        apply_penalties(sampling, state->counts, scores);
}

// A probability as an integer, relative to the largest: at most 2^39, so that 2^24 of them fit into 64 bits.
static uint64_t weight_of(const void *exps, int32_t id)
{
    return (uint64_t)(((const float *)exps)[id] * 0x1p39f);
}

// Weights below this are zero.
#define EXP_LEAST 0x1p-39f

// The sum of the weights that min_p, top_k and top_p leave. `*n_kept`: their tokens are the first of sampler->keys, unsorted; or
// -1: all tokens are left.
static uint64_t keep_likely(struct sampler *sampler, const struct sampling *sampling, int32_t *n_kept)
{
    int32_t vocab_size = sampler->vocab_size, n = -1;
    const float *exps = sampler->exps;
    float least = sampling->min_p > EXP_LEAST ? (float)sampling->min_p : EXP_LEAST;
    uint64_t total = 0;
    bool top_k = sampling->top_k > 0 && sampling->top_k < vocab_size;
    if (top_k || sampling->min_p > 0) {
        n = ranking_top(sampler->scores, exps, least, vocab_size, top_k ? sampling->top_k : vocab_size, sampler->keys);
        for (int32_t i = 0; i < n; i++)
            total += weight_of(exps, ranking_id(sampler->keys[i]));
    } else {
        for (int32_t i = 0; i < vocab_size; i++)
            total += weight_of(exps, i);
    }
    if (sampling->top_p < 1) {
        if (n < 0) {
            // all tokens below this bound together have less than 1 - top_p: they are not in the nucleus
            float bound = (float)((1 - sampling->top_p) * (double)total * 0x1p-39 / vocab_size * 0.999);
            bound = bound > 1 ? 1 : bound;
            n = ranking_top(sampler->scores, exps, bound > least ? bound : least, vocab_size, vocab_size, sampler->keys);
        }
        uint64_t target = (uint64_t)(sampling->top_p * (double)total);
        target = target < 1 ? 1 : target > total ? total : target;
        n = ranking_prefix(sampler->keys, n, target, weight_of, exps);
        total = 0;
        for (int32_t i = 0; i < n; i++)
            total += weight_of(exps, ranking_id(sampler->keys[i]));
    }
    *n_kept = n;
    return total;
}

// The token at `point` when the weights are laid side by side: all tokens by id, or what is left by rank.
static int32_t pick(struct sampler *sampler, int32_t n_kept, uint64_t point)
{
    if (n_kept >= 0) {
        int32_t n = ranking_prefix(sampler->keys, n_kept, point + 1, weight_of, sampler->exps);
        uint64_t last = sampler->keys[0];
        for (int32_t i = 1; i < n; i++)
            last = sampler->keys[i] < last ? sampler->keys[i] : last;
        return ranking_id(last);
    }
    int32_t id = 0;
    for (; id < sampler->vocab_size - 1; id++) {
        uint64_t weight = weight_of(sampler->exps, id);
        if (point < weight)
            break;
        point -= weight;
    }
    return id;
}

static uint64_t multiply_high(uint64_t a, uint64_t b)
{
    uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
    uint64_t other = a0 * b1 + (uint32_t)middle;
    return a1 * b1 + (middle >> 32) + (other >> 32);
}

static enum status draw_random(struct sampler *sampler, const struct sampling *sampling,
                               const struct sampling_state *state, int32_t *id)
{
    int32_t n = sampler->vocab_size, n_kept;
    float largest;
    for (int32_t i = 0; i < n; i++)
        sampler->scores[i] /= sampling->temperature;
    int best = sampler->kernels->argmax(sampler->scores, n, &largest);
    if (!(largest > -INFINITY))
        return no_number();
    *id = best;
    if (largest == INFINITY)
        return OK; // differences to it are no numbers
    sampler->kernels->exp_sum(sampler->scores, largest, n, sampler->exps);
    for (int32_t i = 0; i < n; i++)
        sampler->exps[i] = sampler->exps[i] <= 1 ? sampler->exps[i] : 0; // NaN
    uint64_t total = keep_likely(sampler, sampling, &n_kept);
    uint64_t bits = philox_token_bits(sampling->seed, state->sequence, state->position);
    *id = pick(sampler, n_kept, multiply_high(bits, total));
    return OK;
}

// Log-softmax of the model's own logits, as vLLM's logprobs_mode "raw_logprobs".
static void take_logprobs(struct sampler *sampler, const float *logits, int32_t n_best, struct sample *out)
{
    int32_t n = sampler->vocab_size;
    float largest;
    sampler->kernels->argmax(logits, n, &largest);
    float log_sum = number_log(sampler->kernels->exp_sum(logits, largest, n, sampler->exps));
    uint64_t chosen = ranking_key(logits[out->id], out->id);
    int rank = 1;
    for (int32_t i = 0; i < n; i++)
        rank += ranking_key(logits[i], i) > chosen;
    struct colrow_logprob *logprobs = sampler->logprobs;
    logprobs[0] = (struct colrow_logprob){out->id, logits[out->id] - largest - log_sum, rank};
    n_best = n_best < n ? n_best : n;
    if (n_best > 0) {
        ranking_top(logits, NULL, 0, n, n_best, sampler->keys);
        ranking_sort(sampler->keys, n_best);
    }
    for (int32_t i = 0; i < n_best; i++) {
        int32_t id = ranking_id(sampler->keys[i]);
        logprobs[1 + i] = (struct colrow_logprob){id, logits[id] - largest - log_sum, i + 1};
    }
    out->logprobs = logprobs;
    out->n_logprobs = 1 + n_best;
}

static enum status draw(struct sampler *sampler, const struct sampling *sampling,
                        const struct sampling_state *state, const float *logits, struct sample *out)
{
    memcpy(sampler->scores, logits, (size_t)sampler->vocab_size * sizeof *logits);
    adjust(sampling, state, sampler->scores);
    if (sampling->temperature > 0) {
        TRY(draw_random(sampler, sampling, state, &out->id));
    } else {
        float largest;
        out->id = sampler->kernels->argmax(sampler->scores, sampler->vocab_size, &largest);
        if (!(largest > -INFINITY))
            return no_number();
    }
    if (sampling->logprobs >= 0)
        take_logprobs(sampler, logits, sampling->logprobs, out);
    return OK;
}

enum status sampler_draw(struct sampler *sampler, const struct sampling *sampling,
                         const struct sampling_state *state, const float *logits, struct sample *out)
{
    assert(sampling->logprobs <= sampler->logprobs_max);
    assert(!sampling->penalties || state->counts);
    *out = (struct sample){.id = -1};
    fenv_t environment; // of the user's thread: it gets back the rounding and denormal modes it had
    fegetenv(&environment);
    number_mode_set();
    enum status status = draw(sampler, sampling, state, logits, out);
    fesetenv(&environment);
    return status;
}
