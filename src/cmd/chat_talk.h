// A conversation: its messages, and what the model reads of them.
#ifndef COLROW_CMD_CHAT_TALK_H
#define COLROW_CMD_CHAT_TALK_H

#include <stdbool.h>

#include "text/chat_template.h"

struct chat_talk {
    struct chat_template *template;
    struct chat_message *messages; // contents are heap memory of the talk
    size_t n, capacity;
};

// With the template in `template_file`, or (NULL) the model's.
enum status chat_talk_init(struct chat_talk *talk, const char *template_file,
                           const char *model) STATUS_MUST_USE;
void chat_talk_fini(struct chat_talk *talk);
bool chat_talk_has_system(const struct chat_talk *talk);
// What was said so far is forgotten, but for the system message.
void chat_talk_clear(struct chat_talk *talk);
// "" takes it away.
enum status chat_talk_set_system(struct chat_talk *talk, const char *text) STATUS_MUST_USE;
enum status chat_talk_add(struct chat_talk *talk, const char *role,
                          const char *text) STATUS_MUST_USE;
// Forgets messages from the last one that the user wrote on (`with_it`: and that one). False: there
// is none.
bool chat_talk_go_back(struct chat_talk *talk, bool with_it);
// The prompt of the next answer.
enum status chat_talk_render(const struct chat_talk *talk, struct bytes *out) STATUS_MUST_USE;

#endif
