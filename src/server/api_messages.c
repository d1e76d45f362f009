// POST /v1/messages: Anthropic's API, for text.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/api_answer.h"
#include "server/api_convert.h"
#include "server/json_writer.h"

static const char *const text_types[] = {"text", NULL};

// ---- requests ----

static bool convert_all(const json_t *body, json_t *messages, struct api_fault *fault)
{
    const json_t *system = json_object_get(body, "system"),
                 *list = json_object_get(body, "messages");
    json_t *text;
    if (system && !json_is_null(system) &&
        (!convert_text(system, text_types, "system", &text, fault) ||
         !convert_message(messages, "system", text, fault)))
        return false;
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fault_in_body(fault, "body.messages", "messages is %s; expected a list of messages",
                             json_is_array(list) ? "empty" : json_show(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *message = json_array_get(list, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        char what[64];
        snprintf(what, sizeof what, "messages.%zu.content", i);
        if (!role || (strcmp(role, "user") != 0 && strcmp(role, "assistant") != 0))
            return fault_in_body(fault, "body.messages",
                                 "message %zu has no role \"user\" or \"assistant\"", i);
        if (!convert_text(json_object_get(message, "content"), text_types, what, &text, fault) ||
            !convert_message(messages, role, text, fault))
            return false;
    }
    return true;
}

// Tools are refused unless they cannot be called.
static bool check_tools(const json_t *body, struct api_fault *fault)
{
    const json_t *choice = json_object_get(body, "tool_choice");
    const char *type = json_string_value(json_object_get(choice, "type"));
    if (json_array_size(json_object_get(body, "tools")) == 0 || (type && strcmp(type, "none") == 0))
        return true;
    return fault_of_field(fault, "tools", "tools are not supported by this version of colrow");
}

static bool convert_messages(const json_t *body, json_t **chat, struct api_fault *fault)
{
    static const struct convert_field fields[] = {
        {"model", "model"},
        {"max_tokens", "max_tokens"},
        {"stream", "stream"},
        {"temperature", "temperature"},
        {"top_p", "top_p"},
        {"top_k", "top_k"},
        {"stop_sequences", "stop"},
        {"chat_template_kwargs", "chat_template_kwargs"},
        {NULL, NULL},
    };
    json_t *messages = json_array();
    *chat = json_pack("{s:o}", "messages", messages);
    if (!*chat)
        return fault_of_status(fault, fail_memory(1, "a request"));
    return check_tools(body, fault) && convert_all(body, messages, fault) &&
           convert_fields(body, fields, *chat, fault);
}

bool messages_request_read(struct api_request *request, const struct api_model *model,
                           const char *given_id, struct api_fault *fault)
{
    json_t *chat;
    const json_t *max_tokens = json_object_get(request->body, "max_tokens");
    if (!max_tokens || json_is_null(max_tokens))
        return fault_in_body(fault, "body.max_tokens", "max_tokens is missing");
    if (!convert_messages(request->body, &chat, fault)) {
        json_decref(chat);
        return false;
    }
    return convert_read(request, chat, model, "msg_", given_id, fault);
}

bool count_tokens_answer(const struct api_model *model, const json_t *body, struct bytes *out,
                         struct api_fault *fault)
{
    struct api_request request;
    json_t *chat;
    struct bytes text;
    struct token_list tokens = {0};
    const char *name;
    bytes_init(&text);
    api_request_init(&request, API_MESSAGES);
    bool good = convert_messages(body, &chat, fault);
    request.body = chat;
    struct api_fields fields = {chat, "body", fault};
    good = good && api_model_check(chat, model, fault, &name) &&
           chat_to_text(&request, &fields, json_object_get(chat, "messages"), model, &text) &&
           fault_of_status(fault, api_encode(model, text.length ? text.data : "", text.length,
                                             false, &tokens)) &&
           fault_of_status(fault, bytes_format(out, "{\"input_tokens\":%d}", tokens.n));
    free(tokens.ids);
    bytes_fini(&text);
    api_request_fini(&request);
    return good;
}

// ---- answers ----

static const char *stop_reason_of(const struct api_choice *choice)
{
    if (choice->finish == COLROW_LENGTH)
        return "max_tokens";
    return choice->stop_text ? "stop_sequence" : "end_turn";
}

static void put_stop(const struct api_choice *choice, struct json_writer *writer)
{
    bool over = choice->finish != COLROW_RUNNING;
    json_put_text(writer, "stop_reason", over ? stop_reason_of(choice) : NULL);
    if (choice->stop_text)
        json_put_string(writer, "stop_sequence", choice->stop_text, choice->stop_length);
    else
        json_put_null(writer, "stop_sequence");
}

static void put_message_usage(const struct api_answer *answer, struct json_writer *writer)
{
    // without details, as vLLM, all counts as read anew; with them, Anthropic's sum of the three
    bool details = answer->model->prompt_tokens_details;
    int cached = details ? answer_cached_tokens(answer) : 0;
    json_open_object(writer, "usage");
    json_put_int(writer, "input_tokens", answer_prompt_tokens(answer) - cached);
    json_put_int(writer, "output_tokens", answer_completion_tokens(answer));
    if (details) {
        json_put_int(writer, "cache_creation_input_tokens", 0);
        json_put_int(writer, "cache_read_input_tokens", cached);
    }
    json_close_object(writer);
}

static void put_message_object(const struct api_answer *answer, const char *key, bool whole,
                               struct json_writer *writer)
{
    const struct api_choice *choice = &answer->choices[0];
    json_open_object(writer, key);
    json_put_text(writer, "id", answer->request->id);
    json_put_text(writer, "type", "message");
    json_put_text(writer, "role", "assistant");
    json_open_list(writer, "content");
    if (whole) {
        json_open_object(writer, NULL);
        json_put_text(writer, "type", "text");
        json_put_string(writer, "text", choice->text.length ? choice->text.data : "",
                        choice->text.length);
        json_close_object(writer);
    }
    json_close_list(writer);
    json_put_text(writer, "model", answer->request->model);
    put_stop(choice, writer);
    put_message_usage(answer, writer);
    json_close_object(writer);
}

// An event's object up to what is its own.
static void open_event(struct api_answer *answer, const char *type, struct json_writer *writer)
{
    json_writer_begin(writer, &answer->scratch);
    json_open_object(writer, NULL);
    json_put_text(writer, "type", type);
}

static enum status close_event(struct api_answer *answer, const char *type,
                               struct json_writer *writer)
{
    json_close_object(writer);
    TRY(writer->status);
    return answer_emit_named(answer, type);
}

static enum status messages_begin(struct api_answer *answer)
{
    struct json_writer writer;
    struct api_choice *choice = &answer->choices[0];
    enum colrow_finish finish = choice->finish;
    int n = choice->completion_tokens;
    choice->finish = COLROW_RUNNING; // as it was when the message began
    choice->completion_tokens = 0;
    open_event(answer, "message_start", &writer);
    put_message_object(answer, "message", false, &writer);
    choice->finish = finish;
    choice->completion_tokens = n;
    TRY(close_event(answer, "message_start", &writer));
    open_event(answer, "content_block_start", &writer);
    json_put_int(&writer, "index", 0);
    json_put_raw(&writer, "content_block", "{\"type\":\"text\",\"text\":\"\"}", 25);
    return close_event(answer, "content_block_start", &writer);
}

static enum status messages_part(struct api_answer *answer, struct api_choice *choice)
{
    struct json_writer writer;
    if (choice->text.length == choice->text_sent)
        return OK;
    open_event(answer, "content_block_delta", &writer);
    json_put_int(&writer, "index", 0);
    json_open_object(&writer, "delta");
    json_put_text(&writer, "type", "text_delta");
    json_put_string(&writer, "text", choice->text.data + choice->text_sent,
                    choice->text.length - choice->text_sent);
    json_close_object(&writer);
    return close_event(answer, "content_block_delta", &writer);
}

static enum status messages_end(struct api_answer *answer)
{
    struct json_writer writer;
    open_event(answer, "content_block_stop", &writer);
    json_put_int(&writer, "index", 0);
    TRY(close_event(answer, "content_block_stop", &writer));
    open_event(answer, "message_delta", &writer);
    json_open_object(&writer, "delta");
    put_stop(&answer->choices[0], &writer);
    json_close_object(&writer);
    put_message_usage(answer, &writer);
    TRY(close_event(answer, "message_delta", &writer));
    open_event(answer, "message_stop", &writer);
    return close_event(answer, "message_stop", &writer);
}

static enum status messages_whole(struct api_answer *answer, struct bytes *out)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    put_message_object(answer, NULL, true, &writer);
    return writer.status;
}

const struct answer_form messages_form = {messages_begin, messages_part, messages_end,
                                          messages_whole};
