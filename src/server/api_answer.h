// An answer under way: what the engine hands out becomes JSON, whole or in events of a stream. A
// form for each endpoint; nothing here knows sockets.
#ifndef COLROW_SERVER_API_ANSWER_H
#define COLROW_SERVER_API_ANSWER_H

#include <colrow/colrow.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/memory.h"
#include "server/api_request.h"

// One sequence. All of its text and tokens stay here: what was not sent yet is what follows the
// sent part, so that several tokens can go out in one event.
struct api_choice {
    int prompt; // of the request's
    int index;  // in the answer
    struct bytes text;
    int32_t *ids;
    size_t n_ids, ids_capacity;
    struct colrow_logprob *logprobs; // [n_ids][1 + top_logprobs]
    size_t logprobs_capacity;
    enum colrow_finish finish;
    size_t stop_length;
    char *stop_text; // the stop string that ended it, or NULL
    int32_t stop_id; // the token that ended it and is no end token of the tokenizer, or -1
    int completion_tokens;
    int cached_tokens, preemptions; // as colrow_output says
    int draft_tokens, accepted_draft_tokens;
    double queue_seconds;
    size_t text_sent, ids_sent;
    size_t text_offset; // characters of tokens that log-probabilities were written for
    bool begun;         // an event was sent
};

// Log-probabilities of a prompt's tokens but the first.
enum { SHOWN_LISTS = 4 };
struct prompt_scores {
    struct colrow_logprob *entries; // [n_ids - 1][1 + k], the token itself first
    int n;                          // positions so far
    // What /v1/completions shows of them with echo: the items of its lists, written once.
    struct bytes shown[SHOWN_LISTS];
    size_t n_characters;
    bool is_written;
};

// Events go out through this.
struct answer_sink {
    // `name` NULL: an event without one
    void (*event)(void *owner, const char *name, const char *text, size_t length);
    void *owner;
};

struct api_answer {
    struct api_request *request;   // borrowed
    const struct api_model *model; // borrowed
    const struct answer_form *form;
    struct answer_sink sink;
    struct api_choice *choices; // [n_prompts * n]
    int n_choices, n_open;
    struct prompt_scores *scores; // [n_prompts], or NULL
    float *row; // [2][row_width]: logits and what they become, then their tops; or NULL
    size_t row_width;
    bool begun;        // the stream's first event was sent
    bool held;         // answer_hold(): keep what comes
    bool writes_apart; // held as soon as a prompt is due (logprobs_prompt_is_due())
    struct bytes scratch;
    struct bytes token; // the text of one, and what finding it takes
    struct token_text_buffers texts;
    int events_sent;
};

struct answer_form {
    // streams: before the first token; a choice's new text and tokens; after the last
    enum status (*begin)(struct api_answer *answer);
    enum status (*part)(struct api_answer *answer, struct api_choice *choice);
    enum status (*end)(struct api_answer *answer);
    // not a stream: all of it
    enum status (*whole)(struct api_answer *answer, struct bytes *out);
};
extern const struct answer_form completion_form, chat_form, messages_form, responses_form;

enum status answer_new(struct api_request *request, const struct api_model *model,
                       const struct answer_form *form, const struct answer_sink *sink,
                       struct api_answer **out) STATUS_MUST_USE;
void answer_free(struct api_answer *answer); // accepts NULL

// What came for a sequence of prompt `prompt`. In a stream, events go to the sink.
enum status answer_add(struct api_answer *answer, int prompt,
                       const struct colrow_output *output) STATUS_MUST_USE;
// While the client is slow, or another thread writes, tokens are kept; then they go out together.
enum status answer_hold(struct api_answer *answer, bool held) STATUS_MUST_USE;
int answer_completion_tokens(const struct api_answer *answer);
int answer_prompt_tokens(const struct api_answer *answer);
// Of these, what each prompt's first sequence found in the prefix cache.
int answer_cached_tokens(const struct api_answer *answer);

// ---- for the forms ----

struct json_writer;
// An event of what stands in `scratch`; with a name, or without.
enum status answer_emit(struct api_answer *answer);
enum status answer_emit_named(struct api_answer *answer, const char *name);
const char *answer_finish_reason(enum colrow_finish finish); // NULL while running
void answer_put_stop_reason(struct json_writer *writer, const struct api_choice *choice);
void answer_put_ids(struct json_writer *writer, const char *key, const int32_t *ids, size_t n);
// Leaves the object open, for what a form adds.
void answer_put_usage(struct json_writer *writer, int prompt_tokens, int completion_tokens);
// prompt_tokens_details, as vLLM's endpoints have them; `whole`: of a whole answer.
void answer_put_prompt_details(const struct api_answer *answer, bool whole,
                               struct json_writer *writer);
// OpenAI's streams: the end of an event with choices, and what comes after the last of them.
// `put_head` opens an event's object.
enum status answer_end_chunk(struct api_answer *answer, struct json_writer *writer);
enum status answer_end_stream(struct api_answer *answer,
                              void (*put_head)(const struct api_answer *answer,
                                               struct json_writer *writer));

// api_completion_form.c: from service_tier to usage, of a whole answer.
void answer_put_whole_tail(struct api_answer *answer, struct json_writer *writer);

// api_logprobs.c: of tokens `from` to `to` (exclusive) of a choice, in the two forms.
enum status logprobs_put_legacy(struct api_answer *answer, struct api_choice *choice, size_t from,
                                size_t to, bool with_prompt, struct json_writer *writer);
enum status logprobs_put_chat(struct api_answer *answer, const struct api_choice *choice,
                              size_t from, size_t to, struct json_writer *writer);
enum status logprobs_put_prompt(struct api_answer *answer, int prompt, struct json_writer *writer);
// With echo: whether all of a prompt's log-probabilities are known and are yet to be written, and
// their writing, which takes long for long prompts and may be done by another thread, while the
// answer is held; else it is done when they are first put.
bool logprobs_prompt_is_due(const struct api_answer *answer, int prompt);
enum status logprobs_write_prompt(struct api_answer *answer, int prompt) STATUS_MUST_USE;
// From the logits of prompt tokens.
enum status scores_add(struct api_answer *answer, int prompt,
                       const struct colrow_output *output) STATUS_MUST_USE;

#endif
