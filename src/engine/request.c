#include "engine/request.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kv_pool.h"
#include "engine/poll_queue.h"

static enum status number_between(const char *name, double value, double least, double most)
{
    if (value >= least && value <= most)
        return OK;
    return fail(ERR_REQUEST, "%s is %g; expected a number from %g to %g", name, value, least, most);
}

static enum status check_numbers(const struct colrow_sampling *in,
                                 const struct request_limits *limits)
{
    TRY(number_between("temperature", in->temperature, 0, 1e6));
    if (!(in->top_p > 0 && in->top_p <= 1))
        return fail(ERR_REQUEST, "top_p is %g; expected a number above 0, at most 1", in->top_p);
    TRY(number_between("top_k", in->top_k, -1, INT32_MAX));
    TRY(number_between("min_p", in->min_p, 0, 1));
    if (!(in->repetition_penalty > 0 && in->repetition_penalty <= 1e6))
        return fail(ERR_REQUEST, "repetition_penalty is %g; expected a number above 0 (1: none)",
                    in->repetition_penalty);
    TRY(number_between("presence_penalty", in->presence_penalty, -2, 2));
    TRY(number_between("frequency_penalty", in->frequency_penalty, -2, 2));
    TRY(number_between("max_tokens", in->max_tokens, 0, INT32_MAX));
    TRY(number_between("max_length", in->max_length, 0, INT32_MAX));
    TRY(number_between("min_tokens", in->min_tokens, 0,
                       in->max_tokens ? in->max_tokens : INT32_MAX));
    TRY(number_between("n", in->n, 1, SEQUENCES_PER_REQUEST_MAX));
    TRY(number_between("logprobs", in->logprobs, -1, LOGPROBS_MAX));
    TRY(number_between("the number of stop strings", in->n_stop, 0, STOP_STRINGS_MAX));
    TRY(number_between("the number of stop_token_ids", in->n_stop_token_ids, 0, STOP_TOKENS_MAX));
    TRY(number_between("the number of logit_bias entries", in->n_logit_bias, 0, LOGIT_BIASES_MAX));
    if (in->prompt_logits && !limits->prompt_logits)
        return fail(ERR_REQUEST, "logits of prompt tokens are asked for, but the engine was opened "
                                 "without prompt_logits");
    if (in->n_stop > 0 && !limits->tokenizer)
        return fail(ERR_REQUEST,
                    "stop strings need a tokenizer, and the model's folder has no tokenizer.json");
    return OK;
}

static enum status check_id(const char *name, int32_t id, const struct request_limits *limits)
{
    if (id >= 0 && id < limits->vocab_size)
        return OK;
    return fail(ERR_REQUEST, "%s: token id %d; expected 0 to %d (vocab_size %d)", name, (int)id,
                (int)limits->vocab_size - 1, (int)limits->vocab_size);
}

static enum status check_prompt(const struct request_limits *limits, const int32_t *ids, int32_t n,
                                const struct colrow_sampling *sampling)
{
    if (n < 1)
        return fail(ERR_REQUEST, "the prompt has no tokens");
    // one token must have room behind the prompt, unless only the prompt's logits are wanted
    int64_t most = limits->max_model_len - !sampling->prompt_logits;
    if (n > most)
        return fail(ERR_TOO_LARGE,
                    "the prompt has %d tokens, but max_model_len is %lld%s; shorten it or raise "
                    "--max-model-len",
                    (int)n, (long long)limits->max_model_len,
                    sampling->prompt_logits ? "" : ", of which one is for the answer");
    if (n > limits->kv_pool_tokens)
        return fail(ERR_TOO_LARGE,
                    "the prompt has %d tokens, but the KV pool holds %lld; raise --kv-cache-memory",
                    (int)n, (long long)limits->kv_pool_tokens);
    if (sampling->max_tokens == 0 && sampling->max_length && n >= sampling->max_length &&
        !sampling->prompt_logits)
        return fail(
            ERR_TOO_LARGE,
            "the prompt has %d tokens, but max_length (of generation_config.json) is %d; say "
            "how many new ones are wanted (max_tokens, flag -n)",
            (int)n, sampling->max_length);
    for (int32_t i = 0; i < n; i++)
        TRY(check_id("prompt", ids[i], limits));
    return OK;
}

static enum status copy_stops(struct request *request, const struct colrow_sampling *in)
{
    TRY(arena_take(&request->arena, (size_t)in->n_stop, sizeof *request->stops, &request->stops));
    for (int i = 0; i < in->n_stop; i++) {
        size_t length = in->stop_lengths ? in->stop_lengths[i]
                        : in->stop[i]    ? strlen(in->stop[i])
                                         : 0;
        if (length == 0 || length > STOP_STRING_BYTES_MAX)
            return fail(ERR_REQUEST, "stop string %d has %zu bytes; expected 1 to %d", i, length,
                        STOP_STRING_BYTES_MAX);
        char *text;
        TRY(arena_text(&request->arena, in->stop[i], length, &text));
        request->stops[i] = (struct stop_string){text, length};
    }
    request->n_stops = in->n_stop;
    return OK;
}

// End tokens, then stop tokens, in one array: min_tokens masks all of them.
static enum status copy_stop_ids(struct request *request, const struct request_limits *limits,
                                 const struct colrow_sampling *in)
{
    const struct generation_config *generation = limits->generation;
    if (generation->eos_fault[0] && !in->ignore_eos)
        return fail(ERR_REQUEST, "%s; correct the file, or use ignore_eos", generation->eos_fault);
    int32_t n_eos = generation->n_eos_token_ids, n = n_eos + in->n_stop_token_ids, *ids;
    TRY(arena_take(&request->arena, (size_t)n, sizeof *ids, &ids));
    for (int32_t i = 0; i < n; i++) {
        ids[i] = i < n_eos ? generation->eos_token_ids[i] : in->stop_token_ids[i - n_eos];
        if (i >= n_eos)
            TRY(check_id("stop_token_ids", ids[i], limits));
    }
    request->eos_ids = ids;
    request->n_eos_ids = n_eos;
    request->stop_ids = ids + n_eos;
    request->n_stop_ids = in->n_stop_token_ids;
    request->sampling.end_ids = ids;
    request->sampling.n_end_ids = n;
    return OK;
}

static enum status copy_bias(struct request *request, const struct request_limits *limits,
                             const struct colrow_sampling *in)
{
    struct colrow_token_bias *bias;
    TRY(arena_take(&request->arena, (size_t)in->n_logit_bias, sizeof *bias, &bias));
    for (int i = 0; i < in->n_logit_bias; i++) {
        bias[i] = in->logit_bias[i];
        TRY(check_id("logit_bias", bias[i].id, limits));
        if (isnan(bias[i].bias))
            return fail(ERR_REQUEST, "logit_bias of token %d is not a number", (int)bias[i].id);
        bias[i].bias = fminf(100, fmaxf(-100, bias[i].bias));
    }
    request->sampling.logit_bias = bias;
    request->sampling.n_logit_bias = in->n_logit_bias;
    return OK;
}

// splitmix64: requests without a seed draw different numbers, the same ones in each run of the
// program.
static uint64_t seed_of(uint64_t engine_seed, uint64_t number)
{
    uint64_t x = engine_seed + number * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

static void copy_numbers(struct request *request, const struct request_limits *limits,
                         const struct colrow_sampling *in)
{
    struct sampling *out = &request->sampling;
    *out = (struct sampling){
        .temperature = in->temperature < 1e-5 ? 0 : (float)in->temperature, // vLLM's _SAMPLING_EPS
        .top_p = in->top_p,
        .min_p = in->min_p,
        .top_k = in->top_k < 0 ? 0 : in->top_k,
        .repetition_penalty = (float)in->repetition_penalty,
        .presence_penalty = (float)in->presence_penalty,
        .frequency_penalty = (float)in->frequency_penalty,
        .seed = in->has_seed ? in->seed : seed_of(limits->seed, request->number),
        .min_tokens = in->min_tokens,
        .logprobs = in->logprobs < limits->vocab_size ? in->logprobs : limits->vocab_size,
    };
    out->penalties =
        in->repetition_penalty != 1 || in->presence_penalty != 0 || in->frequency_penalty != 0;
    request->ignore_eos = in->ignore_eos != 0;
    request->include_stop = in->include_stop_str_in_output != 0;
    request->skip_special_tokens = in->skip_special_tokens != 0;
    int64_t room = limits->max_model_len - request->n_prompt;
    if (in->max_tokens == 0 && in->max_length && in->max_length - request->n_prompt < room)
        room = in->max_length - request->n_prompt;
    int64_t pool_room =
        limits->kv_pool_tokens - request->n_prompt + 1; // the last token needs no keys
    room = room < pool_room ? room : pool_room;
    room = room < 1
               ? 1
               : room; // a prompt that fills the context, for its logits: one token comes with them
    request->max_tokens =
        in->max_tokens > 0 && in->max_tokens < room ? in->max_tokens : (int32_t)room;
}

static int32_t different_tokens(const struct request_limits *limits, int32_t tokens_max)
{
    return tokens_max < limits->vocab_size ? tokens_max : limits->vocab_size;
}

// Page ids of all states that a sequence may come to have.
static size_t state_ids(const struct request_limits *limits, int32_t tokens_max)
{
    int32_t interval = limits->state_pages ? limits->state_interval : 1;
    return (size_t)((tokens_max + interval - 1) / interval) * (size_t)limits->state_pages;
}

// Tokens, pages and counts of all its sequences at their longest.
static enum status check_size(struct request *request, const struct request_limits *limits,
                              const struct colrow_sampling *in)
{
    int32_t tokens_max = request->n_prompt + request->max_tokens;
    size_t one = sizeof(struct completion) + (size_t)tokens_max * sizeof(int32_t) +
                 (size_t)kv_pages_for(tokens_max) * (size_t)limits->kv_groups * sizeof(int32_t) +
                 state_ids(limits, tokens_max) * sizeof(int32_t);
    bool penalties = request->sampling.penalties;
    if (penalties)
        one += token_counts_bytes(different_tokens(limits, tokens_max));
    request->bytes = one * (size_t)in->n;
    if (request->bytes <= REQUEST_BYTES_MAX)
        return OK;
    return fail(ERR_TOO_LARGE,
                "%d answers of up to %d tokens%s would reserve %zu MiB, and a request may %d; ask "
                "for a smaller max_tokens or n",
                in->n, (int)request->max_tokens, penalties ? " with penalties" : "",
                request->bytes >> 20, REQUEST_BYTES_MAX >> 20);
}

static enum status completion_init(struct request *request, const struct request_limits *limits,
                                   int index, const int32_t *ids, bool prompt_logits)
{
    struct completion *completion = &request->completions[index];
    struct sequence *sequence = &completion->sequence;
    struct arena *arena = &request->arena;
    int32_t n = request->n_prompt, tokens_max = n + request->max_tokens;
    *sequence = (struct sequence){
        .request = request,
        .index = index,
        .arrival = request->number * SEQUENCES_PER_REQUEST_MAX + (uint64_t)index,
        .n_prompt = n,
        .n_tokens = n,
        .tokens_max = tokens_max,
        .pages_max = (int32_t)kv_pages_for(tokens_max - 1),
        .prompt_logits = prompt_logits,
        .full_logits = sampling_needs_logits(&request->sampling, 0),
    };
    decode_stream_init(&completion->stream, limits->tokenizer, request->skip_special_tokens);
    stop_text_init(&completion->stop, request->stops, request->n_stops, request->include_stop);
    bytes_init(&completion->text);
    bytes_init(&completion->piece);
    completion->stop_token = -1;
    TRY(decode_stream_prime(&completion->stream, ids, (size_t)n));
    TRY(arena_take(arena, (size_t)tokens_max, sizeof *sequence->tokens, &sequence->tokens));
    TRY(arena_take(arena, (size_t)sequence->pages_max * (size_t)limits->kv_groups,
                   sizeof *sequence->pages, &sequence->pages));
    TRY(arena_take(arena, state_ids(limits, tokens_max) + 1, sizeof *sequence->states,
                   &sequence->states));
    memcpy(sequence->tokens, ids, (size_t)n * sizeof *ids);
    if (request->sampling.penalties) {
        TRY(token_counts_init(&completion->counts, arena, different_tokens(limits, tokens_max)));
        token_counts_prompt(&completion->counts, ids, n);
    }
    if (request->sampling.logprobs >= 0)
        TRY(arena_take(arena,
                       ((size_t)request->sampling.logprobs + 1) *
                           ((size_t)limits->draft_tokens_max + 1),
                       sizeof *completion->logprobs, &completion->logprobs));
    return OK;
}

static enum status fill_request(struct request *request, const struct request_limits *limits,
                                const int32_t *ids, const struct colrow_sampling *sampling)
{
    copy_numbers(request, limits, sampling);
    TRY(check_size(request, limits, sampling));
    TRY(copy_stops(request, sampling));
    TRY(copy_stop_ids(request, limits, sampling));
    TRY(copy_bias(request, limits, sampling));
    size_t n = (size_t)sampling->n;
    TRY(arena_take(&request->arena, n, sizeof *request->completions, &request->completions));
    memset(request->completions, 0, n * sizeof *request->completions);
    for (int i = 0; i < sampling->n; i++) {
        request->n = i + 1; // what request_free() has to look at
        // the prompt's logits are the same for all
        TRY(completion_init(request, limits, i, ids, sampling->prompt_logits && i == 0));
    }
    request->n_open = request->n;
    return OK;
}

enum status request_new(const struct request_limits *limits, uint64_t number, const int32_t *ids,
                        int32_t n_ids, const struct colrow_sampling *sampling, struct request **out)
{
    TRY(check_numbers(sampling, limits));
    TRY(check_prompt(limits, ids, n_ids, sampling));
    struct request *request;
    TRY(memory_new(1, sizeof *request, "a request", &request));
    arena_init(&request->arena);
    request->number = number;
    request->n_prompt = n_ids;
    enum status status = fill_request(request, limits, ids, sampling);
    if (status != OK) {
        request_free(request);
        return status;
    }
    *out = request;
    return OK;
}

void request_free(struct request *request)
{
    if (!request)
        return;
    for (int32_t i = 0; i < request->n; i++) {
        struct completion *completion = &request->completions[i];
        decode_stream_fini(&completion->stream);
        stop_text_fini(&completion->stop);
        bytes_fini(&completion->text);
        bytes_fini(&completion->piece);
        polled_output_free(completion->last_resort);
        free(completion->error);
    }
    arena_fini(&request->arena);
    free(request);
}

static bool is_among(int32_t id, const int32_t *ids, int32_t n)
{
    for (int32_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

// vllm/v1/core/sched/utils.py, check_stop()
static enum colrow_finish finish_of_token(struct completion *completion, int32_t id)
{
    const struct request *request = completion->sequence.request;
    int32_t n_generated = completion_generated(completion);
    if (n_generated >= request->sampling.min_tokens) {
        if (!request->ignore_eos && is_among(id, request->eos_ids, request->n_eos_ids))
            return COLROW_STOP;
        if (is_among(id, request->stop_ids, request->n_stop_ids)) {
            int n =
                snprintf(completion->stop_number, sizeof completion->stop_number, "%d", (int)id);
            completion->stop_token = id;
            completion->stop_reason = completion->stop_number;
            completion->stop_reason_length = (size_t)n;
            return COLROW_STOP;
        }
    }
    return n_generated >= request->max_tokens ? COLROW_LENGTH : COLROW_RUNNING;
}

static enum status decode(struct completion *completion, int32_t id, bool is_text, bool last)
{
    struct request *request = completion->sequence.request;
    if (!completion->stream.tokenizer)
        return OK;
    struct bytes *piece = &completion->piece; // kept, so that a token allocates nothing
    bytes_clear(piece);
    bool armed = completion_generated(completion) > request->sampling.min_tokens ||
                 request->sampling.min_tokens == 0;
    if (is_text)
        TRY(decode_stream_step(&completion->stream, id, piece));
    if (last)
        TRY(decode_stream_flush(&completion->stream, piece));
    if (piece->length)
        TRY(stop_text_add(&completion->stop, piece->data, piece->length, armed, &completion->text));
    return last ? stop_text_flush(&completion->stop, &completion->text) : OK;
}

enum status completion_add(struct completion *completion, int32_t id)
{
    struct sequence *sequence = &completion->sequence;
    struct request *request = sequence->request;
    assert(completion->finish == COLROW_RUNNING && sequence->n_tokens < sequence->tokens_max);
    sequence->tokens[sequence->n_tokens++] = id;
    if (request->sampling.penalties)
        token_counts_generated(&completion->counts, id);
    sequence->full_logits =
        sampling_needs_logits(&request->sampling, completion_generated(completion));
    completion->finish = finish_of_token(completion, id);
    // the text of a token that ends the sequence is no part of the answer, unless asked for
    bool is_text = completion->finish != COLROW_STOP || request->include_stop;
    TRY(decode(completion, id, is_text, completion->finish != COLROW_RUNNING));
    if (completion->stop.found >= 0) {
        completion->finish = COLROW_STOP;
        const struct stop_string *stop = &request->stops[completion->stop.found];
        completion->stop_token = -1;
        completion->stop_reason = stop->text;
        completion->stop_reason_length = stop->length;
    }
    return OK;
}

void completion_end(struct completion *completion, enum colrow_finish finish)
{
    completion->finish = finish;
    completion->stop_token = -1;
    completion->stop_reason = NULL;
    completion->stop_reason_length = 0;
}

void completion_fail(struct completion *completion, enum status fault, const char *error)
{
    completion_end(completion, COLROW_FAILED);
    completion->fault = fault;
    if (error && !completion->error && memory_text(error, &completion->error) != OK)
        completion->error = NULL; // the output says "out of memory" then
}
