// Chats: messages to a prompt. For the chat endpoints, /tokenize, and those of other APIs that
// become chats here.
#ifndef COLROW_SERVER_API_CHAT_H
#define COLROW_SERVER_API_CHAT_H

#include "server/api_request.h"

// The chat as text; what the template is told (add_generation_prompt, tools, ...) stands in
// `fields`.
bool chat_to_text(struct api_request *request, struct api_fields *fields, const json_t *messages,
                  const struct api_model *model, struct bytes *text);

#endif
