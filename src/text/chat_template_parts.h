// What chat_template.c (finding and compiling) and chat_render.c share.
#ifndef COLROW_TEXT_CHAT_TEMPLATE_PARTS_H
#define COLROW_TEXT_CHAT_TEMPLATE_PARTS_H

#include "text/chat_template.h"
#include "text/jinja_ast.h"

enum { CHAT_TOKENS_MAX = 64, CHAT_TEMPLATES_MAX = 64 };

struct named_template {
    char *name;         // "default", "tool_use"
    char *place;        // where it stands, for messages
    const char *source; // in the arena
    size_t length;
    struct jinja_tree tree;
    enum status status; // of compiling it; said when it is used
    char *error;
};

struct chat_token {
    struct jinja_value name, text;
};

struct chat_template {
    char *folder; // for messages
    int64_t now;
    struct arena arena;
    struct named_template *templates;
    size_t n_templates, capacity;
    struct chat_token tokens[CHAT_TOKENS_MAX];
    size_t n_tokens;
};

// The one that apply_chat_template() takes.
enum status chat_template_choose(const struct chat_template *chat, bool with_tools,
                                 const struct named_template **out) STATUS_MUST_USE;

#endif
