// generation_config.json: end tokens and sampling defaults. Absent keys keep the defaults given.
#ifndef COLROW_HF_GENERATION_CONFIG_H
#define COLROW_HF_GENERATION_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

enum { EOS_TOKENS_MAX = 32 };

struct generation_config {
    int32_t bos_token_id; // -1: none
    int32_t eos_token_ids[EOS_TOKENS_MAX];
    int n_eos_token_ids;
    // Why eos_token_id cannot be read, a sentence for the requests that would end at it: then
    // n_eos_token_ids is 0. Empty: it can, or is absent.
    char eos_fault[STATUS_MESSAGE_MAX];
    bool has_temperature, has_top_p, has_top_k, has_min_p, has_repetition_penalty, has_do_sample;
    double temperature, top_p, top_k, min_p, repetition_penalty; // may be any number, also NaN
    bool do_sample;
    int32_t max_new_tokens; // 0: not said
    int32_t max_length;     // prompt and answer together; 0: not said
};

// Reads `folder`/generation_config.json; where it or its ids are absent, config.json's bos/eos are
// taken. Impossible numbers are said and either dropped, where nothing would use them, or left for
// the requests that use them to be refused.
enum status generation_config_read(const char *folder, int32_t vocab_size,
                                   struct generation_config *out) STATUS_MUST_USE;

#endif
