// Finding a model's chat templates and compiling them.
#include "text/chat_template.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/utf8.h"
#include "text/chat_template_parts.h"
#include "text/special_tokens.h"

enum { CONFIG_BYTES_MAX = 16 * 1024 * 1024 };

void chat_template_close(struct chat_template *chat)
{
    if (!chat)
        return;
    for (size_t i = 0; i < chat->n_templates; i++) {
        free(chat->templates[i].name);
        free(chat->templates[i].place);
        free(chat->templates[i].error);
    }
    free(chat->templates);
    arena_fini(&chat->arena);
    free(chat->folder);
    free(chat);
}

void chat_template_set_time(struct chat_template *chat, int64_t seconds)
{
    assert(chat);
    chat->now = seconds;
}

static enum status chat_new(const char *folder, struct chat_template **out)
{
    TRY(memory_new(1, sizeof **out, "a chat template", out));
    arena_init(&(*out)->arena);
    (*out)->now = INT64_MIN;
    return memory_text(folder, &(*out)->folder);
}

// ---- compiling ----

static enum status compile_template(struct chat_template *chat, struct named_template *template)
{
    assert(chat && template && template->source);
    struct jinja_tokens tokens;
    struct jinja_node *root;
    TRY(jinja_lex(template->place, template->source, template->length, &chat->arena, &tokens));
    enum status status = jinja_parse(template->place, &tokens, &chat->arena, &root);
    jinja_tokens_fini(&tokens);
    TRY(status);
    return jinja_resolve(template->place, &chat->arena, root, &template->tree);
}

static struct named_template *find_template(const struct chat_template *chat, const char *name)
{
    for (size_t i = 0; i < chat->n_templates; i++)
        if (strcmp(chat->templates[i].name, name) == 0)
            return &chat->templates[i];
    return NULL;
}

// A template that does not compile is an error when it is used: the others may still serve.
static enum status add_template(struct chat_template *chat, const char *name, const char *place,
                                const char *text, size_t length)
{
    assert(chat && name && place && (text || length == 0));
    struct named_template *template = find_template(chat, name);
    char *source;
    if (!template) {
        if (chat->n_templates == CHAT_TEMPLATES_MAX)
            return fail(ERR_INPUT, "%s: there are more than %d chat templates", chat->folder,
                        CHAT_TEMPLATES_MAX);
        TRY(memory_grow(&chat->templates, &chat->capacity, chat->n_templates + 1,
                        sizeof *chat->templates, "chat templates"));
        template = &chat->templates[chat->n_templates++];
    } else {
        free(template->name);
        free(template->place);
        free(template->error);
    }
    *template = (struct named_template){.length = length};
    TRY(memory_text(name, &template->name));
    TRY(memory_text(place, &template->place));
    TRY(arena_text(&chat->arena, text, length, &source));
    template->source = source;
    template->status = compile_template(chat, template);
    if (template->status == ERR_MEMORY)
        return template->status;
    return template->status == OK ? OK : memory_text(status_message(), &template->error);
}

static enum status add_token(struct chat_template *chat, const char *name, const char *text)
{
    struct chat_token *token = &chat->tokens[chat->n_tokens];
    char *copy;
    size_t at;
    if (chat->n_tokens == CHAT_TOKENS_MAX || !utf8_check(text, strlen(text), &at))
        return OK; // no template asks for that many
    TRY(arena_text(&chat->arena, name, strlen(name), &copy));
    token->name = jinja_literal(copy);
    TRY(arena_text(&chat->arena, text, strlen(text), &copy));
    token->text = jinja_literal(copy);
    chat->n_tokens++;
    return OK;
}

static enum status refuse_broken(const struct named_template *template)
{
    return template->status == OK ? OK : fail(template->status, "%s", template->error);
}

static enum status no_default(const struct chat_template *chat)
{
    char names[512] = "";
    size_t n = 0;
    for (size_t i = 0; i < chat->n_templates && n < sizeof names; i++)
        n += (size_t)snprintf(names + n, sizeof names - n, "%s\"%s\"", i ? ", " : "",
                              chat->templates[i].name);
    return fail(ERR_INPUT, "%s: has the chat templates %s; expected one of the name \"default\"",
                chat->folder, names);
}

enum status chat_template_choose(const struct chat_template *chat, bool with_tools,
                                 const struct named_template **out)
{
    assert(chat && out);
    *out = with_tools ? find_template(chat, "tool_use") : NULL;
    if (!*out)
        *out = find_template(chat, "default");
    return *out ? refuse_broken(*out) : no_default(chat);
}

// ---- tokens ----

static enum status read_object_file(const char *folder, const char *name, char *path, json_t **out)
{
    *out = NULL;
    TRY(file_join(folder, name, path));
    if (!file_exists(path))
        return OK;
    TRY(json_file(path, CONFIG_BYTES_MAX, out));
    return json_is_object(*out)
               ? OK
               : fail(ERR_INPUT, "%s: holds %s; expected an object", path, json_kind(*out));
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

// ---- templates of a folder ----

// `given`: named by a user, who may name a pipe.
static enum status add_template_file(struct chat_template *chat, const char *name, const char *path,
                                     bool given)
{
    struct bytes text;
    bytes_init(&text);
    enum status status = given ? file_read_given(path, JINJA_TEMPLATE_BYTES_MAX, &text)
                               : file_read(path, JINJA_TEMPLATE_BYTES_MAX, &text);
    if (status == OK)
        status = add_template(chat, name, path, text.data ? text.data : "", text.length);
    bytes_fini(&text);
    return status;
}

// "tool_use.jinja" is the template of the name "tool_use".
static enum status add_named_file(struct chat_template *chat, const char *folder, const char *file)
{
    char path[FILE_PATH_MAX], name[256];
    size_t length = strlen(file);
    if (length < 6 || length >= sizeof name || strcmp(file + length - 6, ".jinja") != 0)
        return OK;
    memcpy(name, file, length - 6);
    name[length - 6] = '\0';
    TRY(file_join(folder, file, path));
    return add_template_file(chat, name, path, false);
}

static enum status add_folder_files(struct chat_template *chat, const char *folder)
{
    char path[FILE_PATH_MAX];
    TRY(file_join(folder, "chat_template.jinja", path));
    if (file_exists(path))
        TRY(add_template_file(chat, "default", path, false));
    TRY(file_join(folder, "additional_chat_templates", path));
    DIR *directory = opendir(path);
    if (!directory) // there is none
        return OK;
    enum status status = OK;
    for (const struct dirent *entry; status == OK && (entry = readdir(directory));)
        status = add_named_file(chat, path, entry->d_name);
    closedir(directory);
    return status;
}

static enum status add_config_text(struct chat_template *chat, const char *path, const char *name,
                                   const json_t *text)
{
    char place[FILE_PATH_MAX + 300];
    snprintf(place, sizeof place, "%s: chat_template%s%.256s", path,
             strcmp(name, "default") == 0 ? "" : " ", strcmp(name, "default") == 0 ? "" : name);
    if (!json_is_string(text))
        return fail(ERR_INPUT, "%s is %s; expected a string", place, json_kind(text));
    return add_template(chat, name, place, json_string_value(text), json_string_length(text));
}

static enum status add_config_list(struct chat_template *chat, const char *path,
                                   const json_t *templates)
{
    size_t i;
    json_t *item;
    json_array_foreach(templates, i, item)
    {
        const char *name = json_string_value(json_object_get(item, "name"));
        if (!name)
            return fail(ERR_INPUT,
                        "%s: key \"chat_template\": item %zu has no name; expected an object with "
                        "\"name\" and \"template\"",
                        path, i);
        TRY(add_config_text(chat, path, name, json_object_get(item, "template")));
    }
    return OK;
}

static enum status add_config_templates(struct chat_template *chat, const char *path,
                                        const json_t *templates)
{
    const char *name;
    json_t *text;
    if (!templates || json_is_null(templates))
        return OK;
    if (json_is_string(templates))
        return add_config_text(chat, path, "default", templates);
    if (json_is_array(templates))
        return add_config_list(chat, path, templates);
    if (!json_is_object(templates))
        return fail(ERR_INPUT,
                    "%s: key \"chat_template\" is %s; expected a string, or templates by name",
                    path, json_kind(templates));
    json_object_foreach((json_t *)templates, name, text)
    {
        TRY(add_config_text(chat, path, name, text));
    }
    return OK;
}

static enum status add_config(struct chat_template *chat, const char *folder)
{
    char path[FILE_PATH_MAX];
    json_t *config;
    enum status status = read_object_file(folder, "tokenizer_config.json", path, &config);
    if (status == OK)
        status = add_config_templates(chat, path, json_object_get(config, "chat_template"));
    json_decref(config);
    return status;
}

static enum status no_template(const char *folder)
{
    return fail(ERR_UNSUPPORTED,
                "%s: has no chat template (neither chat_template.jinja nor "
                "additional_chat_templates nor \"chat_template\" in tokenizer_config.json); use a "
                "model for chats, name a template with --chat-template, or give the prompt without",
                folder);
}

enum status chat_template_open(const char *folder, struct chat_template **out)
{
    assert(folder && out);
    struct chat_template *chat = NULL;
    enum status status;
    *out = NULL;
    TRY_DONE(chat_new(folder, &chat));
    TRY_DONE(add_folder_files(chat, folder));
    if (chat->n_templates == 0)
        TRY_DONE(add_config(chat, folder));
    if (chat->n_templates == 0) {
        status = no_template(folder);
        goto done;
    }
    const struct named_template *chosen;
    TRY_DONE(chat_template_choose(chat, find_template(chat, "default") == NULL, &chosen));
    TRY_DONE(add_folder_tokens(chat, folder));
    *out = chat;
    chat = NULL;
done:
    chat_template_close(chat);
    return status;
}

enum status chat_template_parse(const char *name, const char *text, size_t length,
                                const char *const *tokens, struct chat_template **out)
{
    assert(name && (text || length == 0) && out);
    struct chat_template *chat = NULL;
    enum status status;
    *out = NULL;
    TRY_DONE(chat_new(name, &chat));
    TRY_DONE(add_template(chat, "default", name, text, length));
    TRY_DONE(refuse_broken(&chat->templates[0]));
    for (; tokens && tokens[0]; tokens += 2)
        TRY_DONE(add_token(chat, tokens[0], tokens[1]));
    *out = chat;
    chat = NULL;
done:
    chat_template_close(chat);
    return status;
}

enum status chat_template_open_file(const char *path, const char *folder,
                                    struct chat_template **out)
{
    assert(path && out);
    struct chat_template *chat = NULL;
    enum status status;
    *out = NULL;
    TRY_DONE(chat_new(path, &chat));
    TRY_DONE(add_template_file(chat, "default", path, true));
    TRY_DONE(refuse_broken(&chat->templates[0]));
    if (folder)
        TRY_DONE(add_folder_tokens(chat, folder));
    *out = chat;
    chat = NULL;
done:
    chat_template_close(chat);
    return status;
}
