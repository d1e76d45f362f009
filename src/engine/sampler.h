// From a row of logits to a token: one function of (logits, tokens so far, parameters, seed,
// position), the same on every machine. It runs in the front-end; ranks know nothing of it.
//
// Order and meaning follow vLLM (vllm/v1/sample/sampler.py): mask of end tokens, logit_bias,
// penalties; then the largest, or temperature, min_p, top_k, top_p and a draw. Probabilities are
// kept as integers (exp scaled by 2^30), so that no sum depends on its order; ties go to the
// smaller id everywhere.
#ifndef COLROW_ENGINE_SAMPLER_H
#define COLROW_ENGINE_SAMPLER_H

#include <colrow/colrow.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "device/kernels.h"
#include "engine/token_counts.h"
#include "model/step.h"

enum { LOGPROBS_MAX = 4096 };

// Checked by request_new(); arrays live in the request's arena.
struct sampling {
    float temperature; // 0: greedy
    double top_p, min_p;
    int32_t top_k; // 0: all
    float repetition_penalty, presence_penalty, frequency_penalty;
    bool penalties; // any of the three does something
    uint64_t seed;
    const struct colrow_token_bias *logit_bias; // values already within [-100, 100]
    int32_t n_logit_bias;
    // end and stop tokens: masked until min_tokens, whatever ignore_eos says
    const int32_t *end_ids;
    int32_t n_end_ids;
    int32_t min_tokens;
    int32_t logprobs; // -1: none
};

// The sequence whose next token is drawn.
struct sampling_state {
    const struct token_counts *counts; // NULL without penalties
    int32_t n_generated;
    uint32_t sequence; // index among the n of its request
    uint64_t position; // of the token to be drawn
};

struct sample {
    int32_t id;
    // [n_logprobs], the chosen one first; the sampler's until its next call
    struct colrow_logprob *logprobs;
    int32_t n_logprobs;
};

struct sampler;
enum status sampler_new(int32_t vocab_size, int32_t logprobs_max, const struct kernels *kernels,
                        struct sampler **out) STATUS_MUST_USE;
void sampler_free(struct sampler *sampler); // accepts NULL

// False when the largest logit decides and nothing else is asked for: then step_best suffices.
bool sampling_needs_logits(const struct sampling *sampling, int32_t n_generated);

// `logits` [vocab_size] are not changed. ERR_INTERNAL when none of them is a number.
enum status sampler_draw(struct sampler *sampler, const struct sampling *sampling,
                         const struct sampling_state *state, const float *logits,
                         struct sample *out) STATUS_MUST_USE;
// The largest of all ranks', the smallest id among equals. best: [n_ranks], `stride` entries apart.
enum status sampler_best(const struct step_best *best, int n_ranks, size_t stride,
                         int32_t *id) STATUS_MUST_USE;

#endif
