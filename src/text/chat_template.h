// Chat templates: a list of messages to the text that a model was trained on.
//
// Templates are Jinja2 3.1, as HuggingFace Transformers 5.24 runs it: in the immutable sandbox,
// with trim_blocks, lstrip_blocks, break and continue, {% generation %}, raise_exception(),
// strftime_now() and its own tojson, dict() and namespace(). They are compiled once and rendered
// any number of times; what they may cost is bounded (text/jinja_run.h).
#ifndef COLROW_TEXT_CHAT_TEMPLATE_H
#define COLROW_TEXT_CHAT_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct chat_message {
    const char *role, *content; // UTF-8; content may be NULL (none)
};

struct chat_template; // immutable after opening: any number of threads may use it

// Finds the templates of a folder as Transformers' tokenizers do: chat_template.jinja and
// additional_chat_templates/*.jinja, else "chat_template" of tokenizer_config.json (a text, a dict
// of texts, or a list of {"name", "template"}). Tokens such as bos_token are the folder's
// (special_tokens.h).
// ERR_UNSUPPORTED when the folder has no template.
enum status chat_template_open(const char *folder, struct chat_template **out) STATUS_MUST_USE;
// One template from memory. `tokens`: names and values of variables such as "bos_token", in turn,
// NULL at the end; may be NULL.
enum status chat_template_parse(const char *name, const char *text, size_t length,
                                const char *const *tokens,
                                struct chat_template **out) STATUS_MUST_USE;
// One template from a file, which may be a pipe or "-", with the tokens of `folder` (NULL: none).
enum status chat_template_open_file(const char *path, const char *folder,
                                    struct chat_template **out) STATUS_MUST_USE;
void chat_template_close(struct chat_template *chat); // accepts NULL

// What strftime_now() tells, in seconds since 1970 as if they were local; INT64_MIN: the clock.
// For tests and `--now`, right after opening.
void chat_template_set_time(struct chat_template *chat, int64_t seconds);

// What Transformers' apply_chat_template() takes.
struct chat_request {
    const json_t *messages;          // an array of objects
    const json_t *tools, *documents; // NULL or null: none
    const json_t *template_kwargs;   // more variables, an object; NULL or null: none
    bool add_generation_prompt;      // with the beginning of the assistant's answer
    // The key whose text is to be continued ("content"), or NULL.
    const char *continue_final_message;
};
// Appends the rendered text. As apply_chat_template(): keys that are null are dropped, a chat
// without messages is refused, reasoning is known under three names, and with
// continue_final_message the text ends where the final message does.
enum status chat_template_apply(const struct chat_template *chat,
                                const struct chat_request *request,
                                struct bytes *out) STATUS_MUST_USE;
// The same for plain messages.
enum status chat_template_render(const struct chat_template *chat,
                                 const struct chat_message *messages, int n,
                                 bool add_generation_prompt, struct bytes *out) STATUS_MUST_USE;
// The template alone: `variables` is a JSON object as Python reads it; `variables_name` stands in
// messages.
enum status chat_template_evaluate(const struct chat_template *chat, const char *variables_name,
                                   const char *variables, size_t length,
                                   struct bytes *out) STATUS_MUST_USE;

#endif
