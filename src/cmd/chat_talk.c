#include "cmd/chat_talk.h"

#include <stdlib.h>
#include <string.h>

enum { MESSAGES_MAX = 65536 };

enum status chat_talk_init(struct chat_talk *talk, const char *template_file, const char *model)
{
    *talk = (struct chat_talk){0};
    if (template_file)
        return chat_template_open_file(template_file, model, &talk->template);
    return chat_template_open(model, &talk->template);
}

// Contents are the talk's own, whatever chat_message says of what it borrows.
static void forget_from(struct chat_talk *talk, size_t first)
{
    while (talk->n > first)
        free((char *)talk->messages[--talk->n].content);
}

void chat_talk_fini(struct chat_talk *talk)
{
    forget_from(talk, 0);
    free(talk->messages);
    chat_template_close(talk->template);
    *talk = (struct chat_talk){0};
}

bool chat_talk_has_system(const struct chat_talk *talk)
{
    return talk->n > 0 && strcmp(talk->messages[0].role, "system") == 0;
}

void chat_talk_clear(struct chat_talk *talk)
{
    forget_from(talk, chat_talk_has_system(talk));
}

enum status chat_talk_add(struct chat_talk *talk, const char *role, const char *text)
{
    char *copy;
    if (talk->n == MESSAGES_MAX)
        return fail(ERR_REQUEST, "the conversation has %d messages; /clear begins a new one",
                    MESSAGES_MAX);
    TRY(memory_grow(&talk->messages, &talk->capacity, talk->n + 1, sizeof *talk->messages,
                    "messages"));
    TRY(memory_text(text, &copy));
    talk->messages[talk->n++] = (struct chat_message){role, copy};
    return OK;
}

enum status chat_talk_set_system(struct chat_talk *talk, const char *text)
{
    if (chat_talk_has_system(talk)) {
        free((char *)talk->messages[0].content);
        memmove(talk->messages, talk->messages + 1, --talk->n * sizeof *talk->messages);
    }
    if (!*text)
        return OK;
    TRY(chat_talk_add(talk, "system", text));
    struct chat_message system = talk->messages[talk->n - 1];
    memmove(talk->messages + 1, talk->messages, (talk->n - 1) * sizeof *talk->messages);
    talk->messages[0] = system;
    return OK;
}

bool chat_talk_go_back(struct chat_talk *talk, bool with_it)
{
    size_t last = talk->n;
    while (last > 0 && strcmp(talk->messages[last - 1].role, "user") != 0)
        last--;
    if (last == 0)
        return false;
    forget_from(talk, with_it ? last - 1 : last);
    return true;
}

enum status chat_talk_render(const struct chat_talk *talk, struct bytes *out)
{
    return chat_template_render(talk->template, talk->messages, (int)talk->n, true, out);
}
