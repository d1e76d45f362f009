#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "text/jinja_eval.h"
#include "text/special_tokens.h"
#include "text/unicode.h"

enum { CONFIG_BYTES_MAX = 16 * 1024 * 1024, TOKENS_MAX = 32, MESSAGES_MAX = 100 * 1000 };

struct chat_template {
    char *name; // for messages
    int64_t now;
    struct arena arena;
    struct jinja_node *root;
    struct jinja_variable tokens[TOKENS_MAX]; // bos_token, eos_token, ...
    size_t n_tokens;
};

void chat_template_close(struct chat_template *chat)
{
    if (!chat)
        return;
    arena_fini(&chat->arena);
    free(chat->name);
    free(chat);
}

void chat_template_set_time(struct chat_template *chat, int64_t seconds)
{
    chat->now = seconds;
}

// ---- opening ----

static enum status copy_text(struct arena *arena, const char *text, size_t length,
                             struct jinja_value *out)
{
    char *copy;
    TRY(arena_text(arena, text, length, &copy));
    *out = jinja_text(copy, length);
    return OK;
}

static enum status add_token(struct chat_template *chat, const char *name, const char *value)
{
    struct jinja_variable *token = &chat->tokens[chat->n_tokens];
    size_t at;
    if (chat->n_tokens == TOKENS_MAX || !utf8_check(value, strlen(value), &at))
        return OK; // no template asks for that many
    TRY(copy_text(&chat->arena, name, strlen(name), &token->name));
    TRY(copy_text(&chat->arena, value, strlen(value), &token->value));
    chat->n_tokens++;
    return OK;
}

static enum status parse(struct chat_template *chat, const char *text, size_t length)
{
    struct jinja_tokens tokens;
    TRY(jinja_lex(chat->name, text, length, &chat->arena, &tokens));
    enum status status = jinja_parse(chat->name, &tokens, &chat->arena, &chat->root);
    jinja_tokens_fini(&tokens);
    return status;
}

enum status chat_template_parse(const char *name, const char *text, size_t length,
                                const char *const *tokens, struct chat_template **out)
{
    *out = NULL;
    struct chat_template *chat;
    TRY(memory_new(1, sizeof *chat, "a chat template", &chat));
    arena_init(&chat->arena);
    enum status status;
    TRY_DONE(memory_text(name, &chat->name));
    TRY_DONE(parse(chat, text, length));
    for (; tokens && tokens[0]; tokens += 2)
        TRY_DONE(add_token(chat, tokens[0], tokens[1]));
    *out = chat;
    chat = NULL;
done:
    chat_template_close(chat);
    return status;
}

static enum status add_folder_tokens(struct chat_template *chat, const char *folder)
{
    struct special_tokens tokens;
    TRY(special_tokens_read(folder, &tokens));
    enum status status = OK;
    for (size_t i = 0; i < tokens.n && status == OK; i++)
        status = add_token(chat, tokens.items[i].name, tokens.items[i].text);
    special_tokens_fini(&tokens);
    return status;
}

static enum status no_template(const char *folder)
{
    return fail(
        ERR_UNSUPPORTED,
        "%s: has no chat template (neither chat_template.jinja nor \"chat_template\" in "
        "tokenizer_config.json); use a model for chats, or give the prompt without a template",
        folder);
}

// The template in tokenizer_config.json; `*out` is NULL when there is none.
static enum status config_template(const json_t *config, const char *path, const json_t **out)
{
    *out = json_object_get(config, "chat_template");
    if (!*out || json_is_null(*out) || json_is_string(*out)) {
        *out = json_is_string(*out) ? *out : NULL;
        return OK;
    }
    if (!json_is_array(*out))
        return fail(
            ERR_INPUT,
            "%s: key \"chat_template\" is %s; expected a string or a list of named templates", path,
            json_kind(*out));
    size_t i;
    json_t *item;
    json_array_foreach(*out, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (name && strcmp(name, "default") == 0 &&
            json_is_string(json_object_get(item, "template"))) {
            *out = json_object_get(item, "template");
            return OK;
        }
    }
    return fail(
        ERR_INPUT,
        "%s: key \"chat_template\" is a list; expected a template of the name \"default\" in it",
        path);
}

static enum status read_config(const char *folder, char *path, json_t **out)
{
    *out = NULL;
    TRY(file_join(folder, "tokenizer_config.json", path));
    if (!file_exists(path))
        return OK;
    TRY(json_file(path, CONFIG_BYTES_MAX, out));
    if (json_is_object(*out))
        return OK;
    return fail(ERR_INPUT, "%s: holds %s; expected an object", path, json_kind(*out));
}

static enum status read_jinja(const char *folder, char *path, struct bytes *text, bool *found)
{
    TRY(file_join(folder, "chat_template.jinja", path));
    *found = file_exists(path);
    return *found ? file_read(path, JINJA_TEMPLATE_BYTES_MAX, text) : OK;
}

enum status chat_template_open(const char *folder, struct chat_template **out)
{
    char path[FILE_PATH_MAX], config_path[FILE_PATH_MAX], place[FILE_PATH_MAX + 32];
    json_t *config = NULL;
    const json_t *inside = NULL;
    struct bytes text;
    bool found;
    *out = NULL;
    bytes_init(&text);
    enum status status;
    TRY_DONE(read_config(folder, config_path, &config));
    TRY_DONE(read_jinja(folder, path, &text, &found));
    if (!found) {
        TRY_DONE(config_template(config, config_path, &inside));
        if (!inside) {
            status = no_template(folder);
            goto done;
        }
        TRY_DONE(bytes_append(&text, json_string_value(inside), json_string_length(inside)));
    }
    snprintf(place, sizeof place, "%s%s", found ? path : config_path,
             found ? "" : ": chat_template");
    TRY_DONE(chat_template_parse(place, text.data ? text.data : "", text.length, NULL, out));
    status = add_folder_tokens(*out, folder);
done:
    if (status != OK) {
        chat_template_close(*out);
        *out = NULL;
    }
    json_decref(config);
    bytes_fini(&text);
    return status;
}

// ---- rendering ----

static enum status message_text(const char *text, const char *key, int index,
                                struct jinja_value *out)
{
    size_t at, length = text ? strlen(text) : 0;
    if (text && !utf8_check(text, length, &at))
        return fail(ERR_INPUT, "message %d: key \"%s\" is not valid UTF-8 at offset %zu", index,
                    key, at);
    *out = text ? jinja_text(text, length) : jinja_none();
    return OK;
}

static enum status add_message(struct jinja_run *run, const struct chat_message *message, int index,
                               struct jinja_list *list)
{
    struct jinja_value dict, role, content;
    TRY(message_text(message->role, "role", index, &role));
    TRY(message_text(message->content, "content", index, &content));
    TRY(jinja_dict_new(&run->memory, JINJA_DICT, &dict));
    TRY(jinja_dict_set(&run->memory, dict.dict, jinja_text("role", 4), role));
    TRY(jinja_dict_set(&run->memory, dict.dict, jinja_text("content", 7), content));
    return jinja_list_push(&run->memory, list, dict);
}

static enum status set_variables(struct jinja_run *run, const struct chat_template *chat,
                                 const struct chat_message *messages, int n,
                                 bool add_generation_prompt)
{
    struct jinja_value list;
    TRY(jinja_list_new(&run->memory, &list));
    for (int i = 0; i < n; i++)
        TRY(add_message(run, &messages[i], i, list.list));
    TRY(jinja_run_set(run, jinja_text("messages", 8), list));
    TRY(jinja_run_set(run, jinja_text("add_generation_prompt", 21),
                      jinja_bool(add_generation_prompt)));
    TRY(jinja_run_set(run, jinja_text("tools", 5), jinja_none()));
    TRY(jinja_run_set(run, jinja_text("documents", 9), jinja_none()));
    for (size_t i = 0; i < chat->n_tokens; i++)
        TRY(jinja_run_set(run, chat->tokens[i].name, chat->tokens[i].value));
    return OK;
}

enum status chat_template_render(const struct chat_template *chat,
                                 const struct chat_message *messages, int n,
                                 bool add_generation_prompt, struct bytes *out)
{
    struct jinja_run run;
    struct bytes text;
    if (n < 0 || n > MESSAGES_MAX)
        return fail(ERR_INPUT, "a chat has %d messages, at most %d are allowed", n, MESSAGES_MAX);
    bytes_init(&text);
    jinja_run_init(&run, chat->name, &text);
    run.now = chat->now;
    enum status status;
    TRY_DONE(set_variables(&run, chat, messages, n, add_generation_prompt));
    TRY_DONE(jinja_run_statements(&run, chat->root));
    status = bytes_append(out, text.data, text.length);
done:
    jinja_run_fini(&run);
    bytes_fini(&text);
    return status;
}
