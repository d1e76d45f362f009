// A request for text, of any of the endpoints that generate: read from JSON, checked, its prompts
// tokenized. Nothing here knows sockets or the loop; it all may run on any thread.
#ifndef COLROW_SERVER_API_REQUEST_H
#define COLROW_SERVER_API_REQUEST_H

#include <colrow/colrow.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "server/api_fault.h"
#include "server/api_fields.h"
#include "server/api_model.h"

enum {
    API_ID_MAX = 160,
    API_PROMPTS_MAX = 1024,      // of one request, as vLLM
    API_SEQUENCES_MAX = 16384,   // n, as vLLM
    API_STOP_SEQUENCES_MAX = 64, // stop strings, of other APIs
    API_STOPS_MAX = 4,           // stop strings, as the OpenAI API
    API_STOP_IDS_MAX = 1024,
    API_TOP_LOGPROBS_MAX = 20, // default of --max-logprobs
};

enum api_kind { API_COMPLETION, API_CHAT, API_MESSAGES, API_RESPONSES };

struct api_prompt {
    int32_t *ids; // heap
    int n_ids;
    char *text; // heap; what `echo` repeats and return_prompt_text shows; NULL where not asked for
    size_t text_length;
    int max_tokens; // what is left of the context for this prompt, or fewer
};

struct api_request {
    enum api_kind kind;
    json_t *body; // owned; strings below are borrowed from it
    struct arena arena;

    char id[API_ID_MAX];
    int64_t created; // seconds since 1970
    const char *model;

    struct api_prompt *prompts; // in the arena
    int n_prompts;
    struct colrow_sampling sampling; // arrays in the arena

    bool stream, include_usage, continuous_usage;
    int64_t stream_interval;
    bool echo, echo_alone; // echo_alone: max_tokens 0, so that the one token is not shown
    bool return_token_ids, return_prompt_text, tokens_as_token_ids, add_special_tokens;
    bool want_logprobs;
    int top_logprobs;               // with want_logprobs: the best so many
    int prompt_logprobs;            // -1: none
    int64_t truncate_prompt_tokens; // INT64_MIN: not given
    bool truncate_right;
    bool only_tokens; // /tokenize: nothing is generated
    bool has_max_tokens;
    int64_t max_tokens; // as asked for
    int64_t n, top_k, min_tokens, priority;
    const char *cache_salt; // prompts with another one, or none, share nothing with it; or NULL
    const char *role;       // of chat answers
    const char *last_text;  // chat with echo: the last message's content
    size_t last_length;
};

void api_request_init(struct api_request *request, enum api_kind kind);
void api_request_fini(struct api_request *request);

// ---- reading, in this order; false with a fault ----

// The body as JSON: an object, within limits.
bool api_body_parse(const char *body, size_t length, json_t **out, struct api_fault *fault);
// "cmpl-" and the id that the client gave, or a new one. Characters that have no place in a header
// or a log are dropped.
void api_request_name(struct api_request *request, const char *prefix, const char *given);

// api_sampling.c: the forms of the fields that completions and chats share; then what they mean.
bool sampling_read(struct api_fields *fields, struct api_request *request,
                   const struct api_model *model);
bool sampling_check(struct api_request *request, const struct api_model *model,
                    struct api_fault *fault);
bool api_model_check(const json_t *body, const struct api_model *model, struct api_fault *fault,
                     const char **name);

// Of each endpoint. `given_id` may be NULL.
bool completion_request_read(struct api_request *request, const struct api_model *model,
                             const char *given_id, struct api_fault *fault);
bool chat_request_read(struct api_request *request, const struct api_model *model,
                       const char *given_id, struct api_fault *fault);
// Those of other APIs become chats: the request's body is replaced.
bool messages_request_read(struct api_request *request, const struct api_model *model,
                           const char *given_id, struct api_fault *fault);
bool responses_request_read(struct api_request *request, const struct api_model *model,
                            const char *given_id, struct api_fault *fault);

// api_prompt.c
bool prompt_of_text(struct api_request *request, struct api_prompt *prompt, const char *text,
                    size_t length, bool add_special_tokens, const struct api_model *model,
                    struct api_fault *fault);
bool prompt_of_ids(struct api_request *request, struct api_prompt *prompt, const int64_t *ids,
                   size_t n, const struct api_model *model, struct api_fault *fault);

#endif
