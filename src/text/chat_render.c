// Rendering: what Transformers' apply_chat_template() does around the template.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/utf8.h"
#include "text/chat_template_parts.h"
#include "text/jinja_eval.h"
#include "text/jinja_from_json.h"

enum { MESSAGES_MAX = 100 * 1000 };

// Stands where the final message ends, to be found in the rendered text.
#define CONTINUE_TAG "CONTINUE_FINAL_MESSAGE_TAG "

// Names a message's reasoning is passed under. The first is what templates read.
static const char *const reasoning_keys[] = {"reasoning_content", "thinking", "reasoning"};
enum { N_REASONING = 3 };

static enum status set(struct jinja_run *run, struct jinja_dict *dict, const char *key,
                       struct jinja_value value)
{
    return jinja_dict_set(run, dict, jinja_literal(key), value);
}

static enum status get(struct jinja_run *run, const struct jinja_dict *dict, const char *key,
                       struct jinja_value *out)
{
    const struct jinja_value *found;
    TRY(jinja_dict_get(run, dict, jinja_literal(key), &found));
    *out = found ? *found : jinja_none();
    return OK;
}

// ---- messages ----

// Without its keys that are null, and with its reasoning under the names that templates read.
static enum status normalize_message(struct jinja_run *run, struct jinja_value message,
                                     size_t index, struct jinja_value *out)
{
    struct jinja_dict *dict;
    struct jinja_value reasoning = jinja_none();
    if (message.type != JINJA_DICT)
        return fail(ERR_INPUT,
                    "message %zu is %s; expected an object with \"role\" and \"content\"", index,
                    jinja_type_name(message));
    for (int i = 0; i < N_REASONING && reasoning.type == JINJA_NONE; i++)
        TRY(get(run, message.dict, reasoning_keys[i], &reasoning));
    TRY(jinja_dict_new(run, &dict));
    if (reasoning.type != JINJA_NONE)
        TRY(set(run, dict, "thinking", reasoning));
    for (size_t i = 0; i < message.dict->n; i++)
        if (message.dict->entries[i].value.type != JINJA_NONE)
            TRY(jinja_dict_set(run, dict, message.dict->entries[i].key,
                               message.dict->entries[i].value));
    if (reasoning.type != JINJA_NONE)
        TRY(set(run, dict, "reasoning_content", reasoning));
    *out = jinja_of_dict(dict);
    return OK;
}

static enum status normalize_messages(struct jinja_run *run, struct jinja_value messages,
                                      struct jinja_value *out)
{
    struct jinja_list *list;
    if (messages.type != JINJA_LIST)
        return fail(ERR_INPUT, "the messages are %s; expected a list", jinja_type_name(messages));
    if (messages.list->n == 0)
        return fail(ERR_INPUT, "the chat has no messages; expected at least one");
    if (messages.list->n > MESSAGES_MAX)
        return fail(ERR_INPUT, "a chat has %zu messages, at most %d are allowed", messages.list->n,
                    MESSAGES_MAX);
    TRY(jinja_list_new(run, JINJA_LIST, messages.list->n, &list, out));
    for (; list->n < messages.list->n; list->n++)
        TRY(normalize_message(run, messages.list->items[list->n], list->n, &list->items[list->n]));
    return OK;
}

// ---- continue_final_message ----

struct continuation {
    const char *key;               // NULL: not asked for
    struct jinja_value text;       // what is continued
    const char *keys[N_REASONING]; // under which names it stands
    int n_keys;
};

static enum status find_keys(struct jinja_run *run, const struct jinja_dict *message,
                             struct jinja_value value, struct continuation *out)
{
    bool reasoning = false, same;
    struct jinja_value other;
    for (int i = 0; i < N_REASONING; i++)
        reasoning |= strcmp(out->key, reasoning_keys[i]) == 0;
    out->keys[0] = out->key;
    out->n_keys = 1;
    if (!reasoning)
        return OK;
    out->n_keys = 0;
    for (int i = 0; i < N_REASONING; i++) {
        TRY(get(run, message, reasoning_keys[i], &other));
        TRY(jinja_equal(run, other, value, &same));
        if (same)
            out->keys[out->n_keys++] = reasoning_keys[i];
    }
    return OK;
}

static enum status tagged(struct jinja_run *run, struct jinja_value text, struct jinja_value *out)
{
    if (text.type != JINJA_TEXT)
        return fail(ERR_INPUT,
                    "continue_final_message: the text to continue is %s; expected a "
                    "string",
                    jinja_type_name(text));
    return jinja_join_two(run, text, jinja_literal(CONTINUE_TAG), out);
}

// The last part with a text gets the tag.
static enum status tag_parts(struct jinja_run *run, const struct jinja_list *parts,
                             struct continuation *out)
{
    for (size_t i = parts->n; i-- > 0;) {
        const struct jinja_value *text;
        struct jinja_value with_tag;
        if (parts->items[i].type != JINJA_DICT)
            return fail(ERR_INPUT,
                        "continue_final_message: a part of the final message is %s; "
                        "expected an object",
                        jinja_type_name(parts->items[i]));
        TRY(jinja_dict_get(run, parts->items[i].dict, jinja_literal("text"), &text));
        if (!text)
            continue;
        out->text = *text;
        TRY(tagged(run, *text, &with_tag));
        return set(run, parts->items[i].dict, "text", with_tag);
    }
    return fail(ERR_INPUT,
                "continue_final_message: the final message has no text that could be continued");
}

static bool source_has(const struct named_template *template, const struct continuation *key)
{
    for (int i = 0; i < key->n_keys; i++)
        if (memmem(template->source, template->length, key->keys[i], strlen(key->keys[i])))
            return true;
    return false;
}

static enum status tag_final(struct jinja_run *run, const struct named_template *template,
                             const struct jinja_list *messages, struct continuation *out)
{
    assert(run && template && messages && out);
    struct jinja_dict *final = messages->items[messages->n - 1].dict;
    struct jinja_value value, with_tag;
    TRY(get(run, final, out->key, &value));
    if (value.type == JINJA_NONE)
        return fail(ERR_INPUT,
                    "continue_final_message: the final message has no \"%s\" to continue",
                    out->key);
    TRY(find_keys(run, final, value, out));
    if (!source_has(template, out))
        return fail(ERR_INPUT,
                    "continue_final_message: \"%s\" is not a key that the template reads",
                    out->key);
    if (value.type == JINJA_LIST)
        return tag_parts(run, value.list, out);
    out->text = value;
    TRY(tagged(run, value, &with_tag));
    for (int i = 0; i < out->n_keys; i++)
        TRY(set(run, final, out->keys[i], with_tag));
    return OK;
}

static bool find_last_tag(struct jinja_value text, size_t tag, size_t *out)
{
    for (size_t at = text.length < tag ? 0 : text.length - tag + 1; at-- > 0;) {
        if (memcmp(text.text + at, CONTINUE_TAG, tag) == 0) {
            *out = at;
            return true;
        }
    }
    return false;
}

// The rendered text up to the tag; without white space there if the template trimmed the tag's.
static enum status cut_at_tag(struct jinja_run *run, const struct continuation *continued)
{
    assert(run && continued);
    struct jinja_value text = jinja_text(run->out.data ? run->out.data : "", run->out.length),
                       wanted = jinja_strip(continued->text, jinja_none(), true, true);
    size_t tag = strlen(CONTINUE_TAG) - 1, at; // without the space at its end
    bool here;
    TRY(jinja_touch(run, text.length));
    TRY(jinja_contains(run, text, wanted, &here));
    if (!here || !find_last_tag(text, tag, &at))
        return fail(ERR_INPUT, "continue_final_message: the final message does not appear in the "
                               "rendered text; this template does not keep it as it is");
    if (at + tag < text.length && text.text[at + tag] == ' ')
        run->out.length = at;
    else
        run->out.length = jinja_strip(jinja_text(text.text, at), jinja_none(), false, true).length;
    return OK;
}

// ---- rendering ----

static enum status set_tokens(struct jinja_run *run, const struct chat_template *chat)
{
    assert(run && chat && chat->n_tokens <= CHAT_TOKENS_MAX);
    for (size_t i = 0; i < chat->n_tokens; i++)
        TRY(jinja_dict_set(run, run->variables, chat->tokens[i].name, chat->tokens[i].text));
    return OK;
}

static enum status set_kwargs(struct jinja_run *run, struct jinja_value kwargs)
{
    static const char *const taken[] = {
        "messages",     "tools",         "documents",     "add_generation_prompt",
        "conversation", "conversations", "chat_template", "continue_final_message"};
    if (kwargs.type == JINJA_NONE)
        return OK;
    if (kwargs.type != JINJA_DICT)
        return fail(ERR_INPUT, "chat_template_kwargs is %s; expected an object",
                    jinja_type_name(kwargs));
    for (size_t i = 0; i < kwargs.dict->n; i++) {
        struct jinja_value key = kwargs.dict->entries[i].key;
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
            if (jinja_is_text(key, taken[k]))
                return fail(ERR_INPUT, "chat_template_kwargs: \"%s\" is a field of the request",
                            taken[k]);
        TRY(jinja_dict_set(run, run->variables, key, kwargs.dict->entries[i].value));
    }
    return OK;
}

struct chat_values {
    struct jinja_value messages, tools, documents, kwargs;
};

static enum status check_objects(struct jinja_value list, const char *what)
{
    if (list.type == JINJA_NONE)
        return OK;
    if (list.type != JINJA_LIST)
        return fail(ERR_INPUT, "%s is %s; expected a list of objects", what, jinja_type_name(list));
    for (size_t i = 0; i < list.list->n; i++)
        if (list.list->items[i].type != JINJA_DICT)
            return fail(ERR_INPUT, "%s: item %zu is %s; expected an object", what, i,
                        jinja_type_name(list.list->items[i]));
    return OK;
}

static enum status apply(struct jinja_run *run, const struct chat_template *chat,
                         const struct chat_values *values, bool add_generation_prompt,
                         const char *continue_key)
{
    const struct named_template *template;
    struct continuation continued = {.key = continue_key};
    struct jinja_value messages;
    TRY(chat_template_choose(chat, values->tools.type != JINJA_NONE, &template));
    run->name = template->place;
    TRY(normalize_messages(run, values->messages, &messages));
    if (continue_key && add_generation_prompt)
        return fail(ERR_INPUT,
                    "continue_final_message and add_generation_prompt exclude each other");
    TRY(check_objects(values->tools, "tools"));
    TRY(check_objects(values->documents, "documents"));
    if (continue_key)
        TRY(tag_final(run, template, messages.list, &continued));
    TRY(jinja_dict_new(run, &run->variables));
    TRY(set_tokens(run, chat));
    TRY(set_kwargs(run, values->kwargs));
    TRY(set(run, run->variables, "messages", messages));
    TRY(set(run, run->variables, "tools", values->tools));
    TRY(set(run, run->variables, "documents", values->documents));
    TRY(set(run, run->variables, "add_generation_prompt", jinja_bool(add_generation_prompt)));
    TRY(jinja_render(run, &template->tree));
    return continue_key ? cut_at_tag(run, &continued) : OK;
}

static enum status finish(struct jinja_run *run, enum status status, struct bytes *out)
{
    if (status == OK && run->out.length > 0)
        status = bytes_append(out, run->out.data, run->out.length);
    jinja_run_fini(run);
    return status;
}

enum status chat_template_apply(const struct chat_template *chat,
                                const struct chat_request *request, struct bytes *out)
{
    assert(chat && request && out);
    struct jinja_run run;
    struct chat_values values;
    enum status status;
    jinja_run_init(&run, chat->folder);
    run.now = chat->now;
    TRY_DONE(jinja_from_json(&run, request->messages, &values.messages));
    TRY_DONE(jinja_from_json(&run, request->tools, &values.tools));
    TRY_DONE(jinja_from_json(&run, request->documents, &values.documents));
    TRY_DONE(jinja_from_json(&run, request->template_kwargs, &values.kwargs));
    status =
        apply(&run, chat, &values, request->add_generation_prompt, request->continue_final_message);
done:
    return finish(&run, status, out);
}

static enum status message_text(struct jinja_run *run, const char *text, const char *key, int index,
                                struct jinja_value *out)
{
    size_t at, length = text ? strlen(text) : 0;
    if (text && !utf8_check(text, length, &at))
        return fail(ERR_INPUT, "message %d: key \"%s\" is not valid UTF-8 at offset %zu", index,
                    key, at);
    *out = jinja_none();
    return text ? jinja_copy(run, text, length, out) : OK;
}

static enum status plain_messages(struct jinja_run *run, const struct chat_message *messages, int n,
                                  struct jinja_value *out)
{
    struct jinja_builder list = {0};
    for (int i = 0; i < n; i++) {
        struct jinja_dict *dict;
        struct jinja_value role, content;
        TRY(message_text(run, messages[i].role, "role", i, &role));
        TRY(message_text(run, messages[i].content, "content", i, &content));
        TRY(jinja_dict_new(run, &dict));
        TRY(set(run, dict, "role", role));
        TRY(set(run, dict, "content", content));
        TRY(jinja_push(run, &list, jinja_of_dict(dict)));
    }
    return jinja_built(run, JINJA_LIST, &list, out);
}

enum status chat_template_render(const struct chat_template *chat,
                                 const struct chat_message *messages, int n,
                                 bool add_generation_prompt, struct bytes *out)
{
    assert(chat && out && n >= 0 && (messages || n == 0));
    struct jinja_run run;
    struct chat_values values = {
        .tools = jinja_none(), .documents = jinja_none(), .kwargs = jinja_none()};
    enum status status;
    jinja_run_init(&run, chat->folder);
    run.now = chat->now;
    TRY_DONE(plain_messages(&run, messages, n, &values.messages));
    status = apply(&run, chat, &values, add_generation_prompt, NULL);
done:
    return finish(&run, status, out);
}

enum status chat_template_evaluate(const struct chat_template *chat, const char *variables_name,
                                   const char *variables, size_t length, struct bytes *out)
{
    assert(chat && variables_name && (variables || length == 0) && out);
    struct jinja_run run;
    struct jinja_value values;
    const struct named_template *template;
    enum status status;
    jinja_run_init(&run, chat->folder);
    run.now = chat->now;
    TRY_DONE(chat_template_choose(chat, false, &template));
    run.name = template->place;
    TRY_DONE(jinja_read_json(&run, variables_name, variables, length, &values));
    if (values.type != JINJA_DICT) {
        status = fail(ERR_INPUT, "%s: holds %s; expected an object of variables", variables_name,
                      jinja_type_name(values));
        goto done;
    }
    run.variables = values.dict;
    status = jinja_render(&run, &template->tree);
done:
    return finish(&run, status, out);
}
