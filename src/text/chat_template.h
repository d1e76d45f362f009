// Chat templates: a list of messages to the text that a model was trained on.
//
// Templates are written in Jinja, as HuggingFace Transformers renders them (sandboxed, trim_blocks,
// lstrip_blocks). Understood so far: if, for, set, expressions with strings, integers, lists and
// dictionaries, the common filters, tests and methods, namespace(), range(), raise_exception(),
// strftime_now(). Everything else is refused by name, with the line.
#ifndef COLROW_TEXT_CHAT_TEMPLATE_H
#define COLROW_TEXT_CHAT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

struct chat_message {
    const char *role, *content; // UTF-8; content may be NULL (none)
};

struct chat_template; // immutable after opening: any number of threads may use it

// Reads `folder`/chat_template.jinja, else "chat_template" of `folder`/tokenizer_config.json (a
// text, or a list of {"name", "template"} of which "default" counts). Tokens such as bos_token are
// the folder's (special_tokens.h). ERR_UNSUPPORTED when the folder has no template.
enum status chat_template_open(const char *folder, struct chat_template **out) STATUS_MUST_USE;
// From memory. `tokens`: names and values of variables such as "bos_token", in turn, NULL at the
// end; may be NULL.
enum status chat_template_parse(const char *name, const char *text, size_t length,
                                const char *const *tokens,
                                struct chat_template **out) STATUS_MUST_USE;
void chat_template_close(struct chat_template *chat); // accepts NULL

// Appends the rendered text. `add_generation_prompt`: with the beginning of the assistant's answer.
enum status chat_template_render(const struct chat_template *chat,
                                 const struct chat_message *messages, int n,
                                 bool add_generation_prompt, struct bytes *out) STATUS_MUST_USE;

// What strftime_now() tells, in seconds since 1970; 0: the clock. For tests, right after opening.
void chat_template_set_time(struct chat_template *chat, int64_t seconds);

#endif
