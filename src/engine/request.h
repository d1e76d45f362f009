// A request: a prompt, its parameters and its n completions. All of its memory is one arena, but
// for growing text.
#ifndef COLROW_ENGINE_REQUEST_H
#define COLROW_ENGINE_REQUEST_H

#include <colrow/colrow.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"
#include "engine/sampler.h"
#include "engine/sequence.h"
#include "engine/stop_text.h"
#include "hf/generation_config.h"
#include "text/decode_stream.h"
#include "text/tokenizer.h"

enum {
    SEQUENCES_PER_REQUEST_MAX = 128, // n
    STOP_TOKENS_MAX = 1024,
    LOGIT_BIASES_MAX = 1 << 16,
    REQUEST_BYTES_MAX = 128 << 20, // that one reserves for its answers
};

// One of the n sequences, and what its user has not seen yet.
struct completion {
    struct sequence sequence; // first: the scheduler's view of it
    struct token_counts counts;
    struct decode_stream stream;
    struct stop_text stop;
    struct bytes text;   // new
    struct bytes piece;  // of one token: empty between calls
    int32_t n_delivered; // of the generated tokens
    // [1 + drafts][1 + logprobs], of the new tokens; NULL when not asked for
    struct colrow_logprob *logprobs;
    int32_t n_logprobs;
    const float *prompt_logits; // new: on the board, gone with the next step
    int32_t n_new_prompt_logits;
    int32_t n_drafted, n_accepted; // tokens (speculation.h)
    int64_t prompt_position;
    enum colrow_finish finish;
    char stop_number[16]; // of stop_token, as text
    int32_t stop_token;   // that ended it; -1: none
    const char *stop_reason;
    size_t stop_reason_length;
    enum status fault; // with COLROW_FAILED
    char *error;       // ... its sentence; heap, or NULL
    bool closed;       // its last output was handed over
    bool queued;       // in the engine's list of outputs to come
    struct completion *next_output;
    // for the final output of a polled request, reserved at the start
    struct polled_output *last_resort;
};

struct request {
    struct arena arena;
    uint64_t number;
    int64_t submitted_ns, priority;
    struct request *previous, *next; // in the engine's list
    colrow_callback callback;        // NULL: polled
    void *context;
    struct sampling sampling;
    bool ignore_eos, include_stop, skip_special_tokens;
    const int32_t *eos_ids;
    int32_t n_eos_ids;
    const int32_t *stop_ids;
    int32_t n_stop_ids;
    struct stop_string *stops;
    int32_t n_stops;
    int32_t n_prompt, max_tokens;
    bool cancelled;
    bool suspect;         // it may be what kills the ranks: it runs alone (engine_suspects.c)
    int n_alone, n_alike; // losses of the ranks while it did; losses one like the other
    int fault;            // crew_exit_status() of the last one that it was part of
    size_t bytes;         // reserved for its answers, whatever comes of them
    struct completion *completions; // [n]
    int32_t n, n_open;              // n_open: not closed
};

// What a request must fit.
struct request_limits {
    int32_t vocab_size;
    int64_t max_model_len;
    int64_t kv_pool_tokens;                     // of the longest sequence that has room
    int32_t kv_groups;                          // tables of pages of each sequence
    int32_t state_pages, state_interval;        // of its states; 0: it has none
    int32_t draft_tokens_max;                   // in a step; 0: nothing is drafted
    bool prompt_logits;                         // there is room for them
    uint64_t seed;                              // the engine's
    const struct generation_config *generation; // borrowed for the request's life
    const struct tokenizer *tokenizer;          // NULL: the model has none
};

// Checks and copies everything. ERR_INPUT names the parameter.
enum status request_new(const struct request_limits *limits, uint64_t number, const int32_t *ids,
                        int32_t n_ids, const struct colrow_sampling *sampling,
                        struct request **out) STATUS_MUST_USE;
void request_free(struct request *request); // accepts NULL

static inline struct completion *completion_of(struct sequence *sequence)
{
    return &sequence->request->completions[sequence->index];
}

static inline int32_t completion_generated(const struct completion *completion)
{
    return completion->sequence.n_tokens - completion->sequence.n_prompt;
}

// Appends a token, decides whether the sequence is over, and collects its text. `finish`,
// `stop_reason` and `text` say what came of it.
enum status completion_add(struct completion *completion, int32_t id) STATUS_MUST_USE;
// Ends a completion whatever its tokens say.
void completion_end(struct completion *completion, enum colrow_finish finish);
// ... with COLROW_FAILED; `error` is copied where there is memory for it, and may be NULL.
void completion_fail(struct completion *completion, enum status fault, const char *error);

#endif
