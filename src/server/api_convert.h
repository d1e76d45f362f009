// Requests of other APIs become chats: what their readers share.
#ifndef COLROW_SERVER_API_CONVERT_H
#define COLROW_SERVER_API_CONVERT_H

#include "server/api_chat.h"

// The text of a content: a string, or a list of parts of one of `types` (NULL at the end) whose
// "text" counts, joined by line ends. `*out` is owned.
bool convert_text(const json_t *content, const char *const *types, const char *what, json_t **out,
                  struct api_fault *fault);
// Appends {"role", "content"}; takes `content`.
bool convert_message(json_t *chat, const char *role, json_t *content, struct api_fault *fault);
// Copies fields as they are, under other names; NULL at the end.
struct convert_field {
    const char *from, *to;
};
bool convert_fields(const json_t *body, const struct convert_field *fields, json_t *chat,
                    struct api_fault *fault);
// Reads `chat` (taken) as a chat in place of the request's body.
bool convert_read(struct api_request *request, json_t *chat, const struct api_model *model,
                  const char *prefix, const char *given_id, struct api_fault *fault);

// POST /v1/messages/count_tokens.
bool count_tokens_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                         struct api_fault *fault);

#endif
