// Chats: messages to a prompt. For the chat endpoints, /tokenize, and those of other APIs that
// become chats here.
#ifndef COLROW_SERVER_API_CHAT_H
#define COLROW_SERVER_API_CHAT_H

#include "server/api_request.h"

// Messages as templates read them: contents as one text, arguments of calls as values. `*out` is
// owned, also with a fault.
bool chat_messages_read(const json_t *messages, bool knows_developer, json_t **out,
                        struct api_fault *fault);
// The chat as text; what the template is told (add_generation_prompt, tools, ...) stands in
// `fields`.
bool chat_to_text(struct api_request *request, struct api_fields *fields, const json_t *messages,
                  const struct api_model *model, struct bytes *text);
// The same, tokenized: the request's one prompt.
bool chat_prompt(struct api_request *request, struct api_fields *fields, const json_t *messages,
                 const struct api_model *model);

#endif
