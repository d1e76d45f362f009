// POST /v1/chat/completions: what a request says.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "server/api_chat.h"
#include "text/chat_template.h"

// Where vLLM's union of message types reports a fault: at its first member.
static const char *message_path(size_t i, const char *key, char *out)
{
    snprintf(out, API_PARAM_MAX, "body.messages.%zu.ChatCompletionDeveloperMessageParam%s%s", i,
             *key ? "." : "", key);
    return out;
}

static bool is_word_of(const char *const *words, const char *word)
{
    for (; word && *words; words++)
        if (strcmp(*words, word) == 0)
            return true;
    return false;
}

// The text of one part of a content. NULL with a fault.
static const json_t *text_of_part(const json_t *part, size_t i, struct api_fault *fault)
{
    static const char *const texts[] = {"text", "input_text", "output_text", NULL};
    static const char *const media[] = {
        "image_url",    "image_pil", "image_embeds", "input_audio", "audio_url",
        "audio_embeds", "video_url", "input_image",  "file",        NULL};
    if (json_is_string(part) && i > 0)
        return part;
    const char *type = json_string_value(json_object_get(part, "type"));
    const json_t *text = NULL;
    if (is_word_of(texts, type))
        text = json_object_get(part, "text");
    else if (type && (strcmp(type, "refusal") == 0 || strcmp(type, "thinking") == 0))
        text = json_object_get(part, type);
    else if (is_word_of(media, type)) {
        fault_of_field(fault, NULL, "this model reads text only; the content has a part of type %s",
                       type);
        return NULL;
    }
    if (!json_is_string(text)) {
        fault_of_field(fault, NULL,
                       "a part of a content is %s%.60s; expected {\"type\": \"text\", \"text\": a "
                       "string}",
                       type ? "of type " : "", type ? type : json_kind(part));
        return NULL;
    }
    return text;
}

// Parts become one text, each on a line of its own.
static bool join_parts(const json_t *parts, json_t **out, struct api_fault *fault)
{
    struct bytes text;
    bytes_init(&text);
    enum status status = OK;
    for (size_t i = 0; status == OK && i < json_array_size(parts); i++) {
        const json_t *part = text_of_part(json_array_get(parts, i), i, fault);
        if (!part)
            break;
        if (i > 0)
            status = bytes_append(&text, "\n", 1);
        if (status == OK)
            status = bytes_append(&text, json_string_value(part), json_string_length(part));
    }
    if (!fault->status && status == OK)
        *out = json_stringn_nocheck(text.length ? text.data : "", text.length);
    bytes_fini(&text);
    if (fault->status)
        return false;
    return fault_of_status(fault, status != OK ? status
                                  : *out       ? OK
                                               : fail_memory(text.length, "a message"));
}

static bool content_of(const json_t *message, size_t i, const char *role, json_t **out,
                       struct api_fault *fault)
{
    char path[API_PARAM_MAX];
    json_t *content = json_object_get(message, "content");
    bool may_be_null = strcmp(role, "assistant") == 0 || strcmp(role, "function") == 0;
    if (json_is_string(content)) {
        *out = json_incref(content);
        return true;
    }
    if (!content || (json_is_null(content) && may_be_null)) {
        *out = json_string("");
        return *out || fault_of_status(fault, fail_memory(1, "a message"));
    }
    if (json_is_array(content))
        return join_parts(content, out, fault);
    if (json_is_object(content))
        return fault_of_field(fault, NULL,
                              "content of message %zu is an object; expected a string or a list of "
                              "parts",
                              i);
    return fault_in_body(fault, message_path(i, "content", path),
                         "content of message %zu is %s; expected a string or a list of parts", i,
                         json_show(content));
}

// Templates read arguments as a value, clients write them as text.
static void parse_call_arguments(json_t *calls)
{
    for (size_t i = 0; i < json_array_size(calls); i++) {
        json_t *function = json_object_get(json_array_get(calls, i), "function"), *value;
        const json_t *text = json_object_get(function, "arguments");
        if (!json_is_string(text))
            continue;
        if (json_parse("arguments", json_string_value(text), json_string_length(text),
                       &value) == OK) // else it stays a text, as in vLLM
            json_object_set_new(function, "arguments", value);
    }
}

static bool read_message(const json_t *message, size_t i, bool knows_developer, json_t *chat,
                         struct api_fault *fault)
{
    static const char *const kept[] = {"name", "tool_call_id", "reasoning", "reasoning_content"};
    char path[API_PARAM_MAX];
    if (!json_is_object(message))
        return fault_in_body(fault, message_path(i, "", path),
                             "message %zu is %s; expected an object with role and content", i,
                             json_show(message));
    json_t *role = json_object_get(message, "role"), *content = NULL;
    if (!json_is_string(role))
        return fault_in_body(fault, message_path(i, "role", path),
                             "role of message %zu is %s; expected \"user\", \"assistant\", "
                             "\"system\", ...",
                             i, json_show(role));
    if (!content_of(message, i, json_string_value(role), &content, fault))
        return false;
    json_t *copy = json_object();
    if (!copy || json_array_append_new(chat, copy) != 0) {
        json_decref(content);
        return fault_of_status(fault, fail_memory(1, "a message"));
    }
    // as in vLLM: "developer" is another name of "system" for templates that do not know it
    bool renamed = !knows_developer && strcmp(json_string_value(role), "developer") == 0;
    int failed = renamed ? json_object_set_new(copy, "role", json_string("system"))
                         : json_object_set(copy, "role", role);
    failed |= json_object_set_new(copy, "content", content);
    for (size_t k = 0; k < sizeof kept / sizeof *kept; k++) {
        json_t *value = json_object_get(message, kept[k]);
        if (json_is_string(value))
            failed |= json_object_set(copy, kept[k], value);
    }
    json_t *calls = json_object_get(message, "tool_calls");
    if (json_is_array(calls) && json_array_size(calls) > 0) {
        json_t *own = json_deep_copy(calls);
        parse_call_arguments(own);
        failed |= json_object_set_new(copy, "tool_calls", own);
    }
    return !failed || fault_of_status(fault, fail_memory(1, "a message"));
}

// Messages as templates read them: contents as one text, arguments of calls as values. `*out` is
// owned, also with a fault.
static bool chat_messages_read(const json_t *messages, bool knows_developer, json_t **out,
                               struct api_fault *fault)
{
    *out = json_array();
    if (!*out)
        return fault_of_status(fault, fail_memory(1, "messages"));
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!read_message(json_array_get(messages, i), i, knows_developer, *out, fault))
            return false;
    return json_array_size(messages) > 0 ||
           fault_of_field(fault, NULL, "messages is empty; expected at least one message");
}

static bool find_messages(const json_t *body, const json_t **out, struct api_fault *fault)
{
    *out = json_object_get(body, "messages");
    if (!*out)
        return fault_in_body(fault, "body.messages", "messages is missing; expected a list");
    if (json_is_null(*out))
        return fault_of_field(fault, NULL, "messages is null; expected a list");
    return json_is_array(*out) || fault_in_body(fault, "body.messages",
                                                "messages is %s; expected a list", json_show(*out));
}

// ---- tools: only to be shown to the template; nothing reads calls from an answer yet ----

static bool read_tool(const json_t *tool, size_t i, struct api_fault *fault)
{
    char path[64];
    const char *type = json_string_value(json_object_get(tool, "type"));
    if (type && strcmp(type, "function") != 0) {
        snprintf(path, sizeof path, "body.tools.%zu.type", i);
        return fault_in_body(fault, path, "tool %zu is of type %.60s; expected \"function\"", i,
                             type);
    }
    const json_t *function = json_object_get(tool, "function");
    if (json_is_object(function) && json_is_string(json_object_get(function, "name")))
        return true;
    snprintf(path, sizeof path, "body.tools.%zu.function", i);
    return fault_in_body(fault, path, "tool %zu has no function with a name", i);
}

static bool read_named_choice(const json_t *choice, const json_t *tools, struct api_fault *fault)
{
    const json_t *function = json_object_get(choice, "function");
    const char *name = json_string_value(json_object_get(function, "name"));
    if (!name)
        return fault_of_field(fault, "tool_choice.function",
                              "tool_choice has no function with a name");
    for (size_t i = 0; i < json_array_size(tools); i++) {
        function = json_object_get(json_array_get(tools, i), "function");
        const char *other = json_string_value(json_object_get(function, "name"));
        if (other && strcmp(name, other) == 0)
            return fault_of_field(fault, NULL,
                                  "tool calls are not supported by this version of colrow; "
                                  "tool_choice \"none\" shows the tools to the model");
    }
    return fault_of_field(fault, "tool_choice",
                          "tool_choice names %.60s, which tools does not have", name);
}

static bool read_tools(struct api_fields *fields, bool only_tokens, const json_t **tools)
{
    static const char *const words[] = {"none", "auto", "required", NULL};
    struct api_fault *fault = fields->fault;
    const json_t *choice = json_object_get(fields->object, "tool_choice");
    const char *word = json_string_value(choice);
    *tools = NULL;
    if (!field_list(fields, "tools", NULL_IS_ABSENT, tools)) {
        if (fault->status || !choice || json_is_null(choice) || (word && strcmp(word, "none") == 0))
            return fault->status == 0;
        return fault_of_field(fault, "tool_choice", "tool_choice is given, but tools is not");
    }
    if (json_array_size(*tools) == 0)
        return fault_of_field(fault, "tools", "tools is empty; leave it out instead");
    for (size_t i = 0; i < json_array_size(*tools); i++)
        if (!read_tool(json_array_get(*tools, i), i, fault))
            return false;
    if (only_tokens || json_is_null(choice) || (word && strcmp(word, "none") == 0))
        return true;
    if (json_is_object(choice))
        return read_named_choice(choice, *tools, fault);
    if (choice && !is_word_of(words, word))
        return fault_of_field(fault, "tool_choice",
                              "tool_choice is %s; expected \"none\", or a function",
                              json_show(choice));
    return fault_of_field(fault, NULL,
                          "tool calls are not supported by this version of colrow; tool_choice "
                          "\"none\" shows the tools to the model");
}

// ---- the template's other variables ----

static bool read_kwargs(struct api_fields *fields, json_t *extra)
{
    static const char *const fields_of_its_own[] = {
        "messages",  "tokenize", "add_generation_prompt", "continue_final_message",
        "documents", "tools",    "chat_template",         NULL};
    struct api_fault *fault = fields->fault;
    const json_t *kwargs, *own = json_object_get(fields->object, "chat_template");
    bool refused = own && !json_is_null(own);
    if (field_object(fields, "chat_template_kwargs", NULL_IS_ABSENT, &kwargs)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)kwargs, key, value)
        {
            // what the request says elsewhere wins, and templates come from the model's folder
            refused |= strcmp(key, "chat_template") == 0;
            if (!is_word_of(fields_of_its_own, key) && json_object_set(extra, key, value) != 0)
                return fault_of_status(fault, fail_memory(1, "chat_template_kwargs"));
        }
    }
    if (refused)
        return fault_of_field(fault, NULL,
                              "a chat template in a request is a program of a stranger, and is "
                              "refused; --chat-template gives the server one");
    return fault->status == 0;
}

static bool read_template_options(struct api_fields *fields, struct chat_request *chat,
                                  json_t *extra)
{
    static const char *const efforts[] = {"none", "minimal", "low", "medium",
                                          "high", "xhigh",   "max", NULL};
    struct api_fault *fault = fields->fault;
    const char *effort;
    bool continues = false;
    field_bool(fields, "add_generation_prompt", NULL_REFUSED, &chat->add_generation_prompt);
    field_bool(fields, "continue_final_message", NULL_REFUSED, &continues);
    field_list(fields, "documents", NULL_IS_ABSENT, &chat->documents);
    if (!read_kwargs(fields, extra))
        return false;
    if (field_word(fields, "reasoning_effort", NULL_IS_ABSENT, efforts, &effort) &&
        json_object_set_new(extra, "reasoning_effort", json_string(effort)) != 0)
        return fault_of_status(fault, fail_memory(1, "the template's variables"));
    if (!fault->status && continues && chat->add_generation_prompt)
        return fault_of_field(fault, NULL,
                              "continue_final_message needs add_generation_prompt to be false");
    chat->continue_final_message = continues ? "content" : NULL;
    return fault->status == 0;
}

// What an answer repeats of the last message: its role where no assistant's begins, its text with
// echo.
static bool keep_last(struct api_request *request, const json_t *messages, bool new_answer,
                      struct api_fault *fault)
{
    const json_t *last = json_array_get(messages, json_array_size(messages) - 1);
    const json_t *role = json_object_get(last, "role"), *content = json_object_get(last, "content");
    char *copy;
    if (!new_answer) {
        if (!fault_of_status(fault, arena_text(&request->arena, json_string_value(role),
                                               json_string_length(role), &copy)))
            return false;
        request->role = copy;
    }
    if (!request->echo)
        return true;
    if (!fault_of_status(fault, arena_text(&request->arena, json_string_value(content),
                                           json_string_length(content), &copy)))
        return false;
    request->last_text = copy;
    request->last_length = json_string_length(content);
    return true;
}

bool chat_to_text(struct api_request *request, struct api_fields *fields, const json_t *messages,
                  const struct api_model *model, struct bytes *text)
{
    struct api_fault *fault = fields->fault;
    struct chat_request chat = {.add_generation_prompt = true};
    if (!read_tools(fields, request->only_tokens, &chat.tools))
        return false;
    json_t *extra = json_object(), *read = NULL;
    bool good = extra || fault_of_status(fault, fail_memory(1, "the template's variables"));
    good = good && chat_messages_read(messages, model->knows_developer, &read, fault) &&
           read_template_options(fields, &chat, extra);
    chat.messages = read;
    chat.template_kwargs = extra;
    good = good && fault_of_status(fault, api_render_chat(model, &chat, text)) &&
           keep_last(request, read, chat.add_generation_prompt, fault);
    json_decref(read);
    json_decref(extra);
    return good && !fault->status;
}

// The chat tokenized: the request's one prompt.
static bool chat_prompt(struct api_request *request, struct api_fields *fields,
                        const json_t *messages, const struct api_model *model)
{
    struct bytes text;
    bytes_init(&text);
    bool good = fault_of_status(
        fields->fault, arena_take(&request->arena, 1, sizeof *request->prompts, &request->prompts));
    if (good) {
        memset(request->prompts, 0, sizeof *request->prompts);
        request->n_prompts = 1;
    }
    good = good && chat_to_text(request, fields, messages, model, &text) &&
           prompt_of_text(request, &request->prompts[0], text.length ? text.data : "", text.length,
                          request->add_special_tokens, model, fields->fault);
    bytes_fini(&text);
    return good;
}

static bool read_chat_max_tokens(struct api_fields *fields, struct api_request *request,
                                 const struct api_model *model)
{
    struct api_fault *fault = fields->fault;
    const char *key = "max_tokens";
    request->has_max_tokens =
        field_any_int(fields, "max_tokens", NULL_IS_ABSENT, &request->max_tokens);
    if (field_any_int(fields, "max_completion_tokens", NULL_IS_ABSENT, &request->max_tokens)) {
        request->has_max_tokens = true;
        key = "max_completion_tokens";
    }
    if (!request->has_max_tokens && model->default_max_tokens > 0) {
        request->max_tokens = model->default_max_tokens;
        request->has_max_tokens = true;
    } else if (request->has_max_tokens && request->max_tokens > model->max_model_len) {
        return fault_of_field(fault, key, "%s is %lld; expected at most the context's %lld", key,
                              (long long)request->max_tokens, (long long)model->max_model_len);
    }
    if (!fault->status && request->has_max_tokens && request->max_tokens < 1)
        return fault_of_field(fault, "max_tokens", "%s is %lld; expected at least 1", key,
                              (long long)request->max_tokens);
    return fault->status == 0;
}

bool chat_request_read(struct api_request *request, const struct api_model *model,
                       const char *given_id, struct api_fault *fault)
{
    struct api_fields fields = {request->body, "body", fault};
    const char *id = given_id;
    const json_t *messages, *kwargs = json_object_get(request->body, "mm_processor_kwargs");
    if (!id)
        field_string(&fields, "request_id", NULL_IS_ABSENT, &id, NULL);
    api_request_name(request, "chatcmpl-", id);
    if (kwargs && !json_is_null(kwargs))
        return fault_of_field(fault, "mm_processor_kwargs",
                              "mm_processor_kwargs are for models that see; this one reads text");
    if (!find_messages(request->body, &messages, fault) || !sampling_read(&fields, request, model))
        return false;
    // an echo has the prompt's log-probabilities, too
    if (request->echo && !request->stream && request->prompt_logprobs < 0)
        request->prompt_logprobs = request->top_logprobs;
    return api_model_check(request->body, model, fault, &request->model) &&
           read_chat_max_tokens(&fields, request, model) && sampling_check(request, model, fault) &&
           chat_prompt(request, &fields, messages, model);
}
