// POST /v1/responses: OpenAI's newer API, for text. Nothing is stored: each request brings its
// whole conversation.
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "server/api_answer.h"
#include "server/api_convert.h"
#include "server/json_writer.h"

static const char *const input_types[] = {"input_text", "output_text", "text", NULL};

// ---- requests ----

static bool convert_item(const json_t *item, size_t i, json_t *messages, struct api_fault *fault)
{
    const char *type = json_string_value(json_object_get(item, "type"));
    const char *role = json_string_value(json_object_get(item, "role"));
    char what[64];
    json_t *text;
    snprintf(what, sizeof what, "input.%zu.content", i);
    if (type && strcmp(type, "message") != 0)
        return fault_of_field(fault, "input",
                              "input %zu is of type %.60s; this server reads messages", i, type);
    if (!role)
        return fault_in_body(fault, "body.input", "input %zu has no role", i);
    return convert_text(json_object_get(item, "content"), input_types, what, &text, fault) &&
           convert_message(messages, role, text, fault);
}

static bool convert_input(const json_t *body, json_t *messages, struct api_fault *fault)
{
    json_t *input = json_object_get(body, "input");
    json_t *instructions = json_object_get(body, "instructions");
    if (json_is_string(instructions) &&
        !convert_message(messages, "system", json_incref(instructions), fault))
        return false;
    if (json_is_string(input))
        return convert_message(messages, "user", json_incref(input), fault);
    if (!json_is_array(input) || json_array_size(input) == 0)
        return fault_in_body(fault, "body.input", "input is %s; expected a text or messages",
                             json_is_array(input) ? "empty" : json_show(input));
    for (size_t i = 0; i < json_array_size(input); i++)
        if (!convert_item(json_array_get(input, i), i, messages, fault))
            return false;
    return true;
}

static bool refuse_others(const json_t *body, struct api_fault *fault)
{
    const json_t *format = json_object_get(json_object_get(body, "text"), "format");
    const char *type = json_string_value(json_object_get(format, "type"));
    const json_t *previous = json_object_get(body, "previous_response_id");
    const char *choice = json_string_value(json_object_get(body, "tool_choice"));
    if (type && strcmp(type, "text") != 0)
        return fault_of_field(fault, "text",
                              "text.format %.60s is not supported by this version of colrow", type);
    if (json_array_size(json_object_get(body, "tools")) > 0 &&
        !(choice && strcmp(choice, "none") == 0))
        return fault_of_field(fault, "tools", "tools are not supported by this version of colrow");
    if (json_is_true(json_object_get(body, "background")))
        return fault_of_field(fault, "background", "background responses are not supported");
    if (previous && !json_is_null(previous))
        return fault_with(fault, 404, "NotFoundError", "previous_response_id",
                          "responses are not stored; send the whole conversation as input");
    return true;
}

bool responses_request_read(struct api_request *request, const struct api_model *model,
                            const char *given_id, struct api_fault *fault)
{
    static const struct convert_field fields[] = {
        {"model", "model"},
        {"max_output_tokens", "max_tokens"},
        {"stream", "stream"},
        {"temperature", "temperature"},
        {"top_p", "top_p"},
        {"top_k", "top_k"},
        {"user", "user"},
        {"priority", "priority"},
        {"chat_template_kwargs", "chat_template_kwargs"},
        {NULL, NULL},
    };
    json_t *messages = json_array(), *chat = json_pack("{s:o}", "messages", messages);
    if (!chat)
        return fault_of_status(fault, fail_memory(1, "a request"));
    if (!refuse_others(request->body, fault) || !convert_input(request->body, messages, fault) ||
        !convert_fields(request->body, fields, chat, fault)) {
        json_decref(chat);
        return false;
    }
    const char *const kept[] = {"instructions", "metadata"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) // for the answer, which repeats them
        if (json_object_get(request->body, kept[i]))
            json_object_set(chat, kept[i], json_object_get(request->body, kept[i]));
    return convert_read(request, chat, model, "resp_", given_id, fault);
}

// ---- answers ----

static void put_text_part(const struct api_choice *choice, bool filled, const char *key,
                          struct json_writer *writer)
{
    json_open_object(writer, key);
    json_put_text(writer, "type", "output_text");
    json_put_string(writer, "text", filled && choice->text.length ? choice->text.data : "",
                    filled ? choice->text.length : 0);
    json_put_raw(writer, "annotations", "[]", 2);
    json_put_raw(writer, "logprobs", "[]", 2);
    json_close_object(writer);
}

static const char *message_id(const struct api_answer *answer, char out[API_ID_MAX])
{
    snprintf(out, API_ID_MAX, "msg_%s", answer->request->id + strlen("resp_"));
    return out;
}

static void put_message_item(const struct api_answer *answer, bool filled, const char *key,
                             struct json_writer *writer)
{
    const struct api_choice *choice = &answer->choices[0];
    char id[API_ID_MAX];
    bool cut = choice->finish == COLROW_LENGTH;
    json_open_object(writer, key);
    json_put_text(writer, "type", "message");
    json_put_text(writer, "id", message_id(answer, id));
    json_put_text(writer, "status", !filled ? "in_progress" : cut ? "incomplete" : "completed");
    json_put_text(writer, "role", "assistant");
    json_open_list(writer, "content");
    if (filled)
        put_text_part(choice, true, NULL, writer);
    json_close_list(writer);
    json_close_object(writer);
}

static void put_raw_or_null(const json_t *value, const char *key, struct json_writer *writer)
{
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    if (text)
        json_put_raw(writer, key, text, strlen(text));
    else
        json_put_null(writer, key);
    free(text);
}

static void put_double(struct json_writer *writer, const char *key, double value)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%g", value);
    json_put_raw(writer, key, text, (size_t)length);
}

static void put_response_usage(const struct api_answer *answer, struct json_writer *writer)
{
    int in = answer_prompt_tokens(answer), out = answer_completion_tokens(answer);
    json_open_object(writer, "usage");
    json_put_int(writer, "input_tokens", in);
    json_open_object(writer, "input_tokens_details");
    json_put_int(writer, "cached_tokens", answer_cached_tokens(answer));
    json_close_object(writer);
    json_put_int(writer, "output_tokens", out);
    json_put_raw(writer, "output_tokens_details", "{\"reasoning_tokens\":0}", 22);
    json_put_int(writer, "total_tokens", (int64_t)in + out);
    json_close_object(writer);
}

static void put_response(const struct api_answer *answer, bool filled, const char *key,
                         struct json_writer *writer)
{
    const struct api_request *request = answer->request;
    bool cut = answer->choices[0].finish == COLROW_LENGTH;
    json_open_object(writer, key);
    json_put_text(writer, "id", request->id);
    json_put_text(writer, "object", "response");
    json_put_int(writer, "created_at", request->created);
    json_put_text(writer, "status", !filled ? "in_progress" : cut ? "incomplete" : "completed");
    json_put_bool(writer, "background", false);
    json_put_null(writer, "error");
    if (filled && cut)
        json_put_raw(writer, "incomplete_details", "{\"reason\":\"max_output_tokens\"}", 30);
    else
        json_put_null(writer, "incomplete_details");
    put_raw_or_null(json_object_get(request->body, "instructions"), "instructions", writer);
    put_raw_or_null(json_object_get(request->body, "metadata"), "metadata", writer);
    if (request->has_max_tokens)
        json_put_int(writer, "max_output_tokens", request->max_tokens);
    else
        json_put_null(writer, "max_output_tokens");
    json_put_text(writer, "model", request->model);
    json_open_list(writer, "output");
    if (filled)
        put_message_item(answer, true, NULL, writer);
    json_close_list(writer);
    json_put_bool(writer, "parallel_tool_calls", true);
    json_put_null(writer, "previous_response_id");
    json_put_text(writer, "service_tier", "auto");
    json_put_bool(writer, "store", false);
    put_double(writer, "temperature", request->sampling.temperature);
    put_double(writer, "top_p", request->sampling.top_p);
    json_put_raw(writer, "text", "{\"format\":{\"type\":\"text\"}}", 26);
    json_put_text(writer, "tool_choice", "none");
    json_put_raw(writer, "tools", "[]", 2);
    json_put_text(writer, "truncation", "disabled");
    if (filled)
        put_response_usage(answer, writer);
    else
        json_put_null(writer, "usage");
    json_close_object(writer);
}

// Events carry their type and number.
static void open_numbered(struct api_answer *answer, const char *type, struct json_writer *writer)
{
    json_writer_begin(writer, &answer->scratch);
    json_open_object(writer, NULL);
    json_put_text(writer, "type", type);
    json_put_int(writer, "sequence_number", answer->events_sent);
}

static enum status close_numbered(struct api_answer *answer, const char *type,
                                  struct json_writer *writer)
{
    json_close_object(writer);
    TRY(writer->status);
    return answer_emit_named(answer, type);
}

// ... and most of them the place that they are about.
static void open_placed(struct api_answer *answer, const char *type, struct json_writer *writer)
{
    char id[API_ID_MAX];
    open_numbered(answer, type, writer);
    json_put_text(writer, "item_id", message_id(answer, id));
    json_put_int(writer, "output_index", 0);
    json_put_int(writer, "content_index", 0);
}

static enum status send_response(struct api_answer *answer, const char *type, bool filled)
{
    struct json_writer writer;
    open_numbered(answer, type, &writer);
    put_response(answer, filled, "response", &writer);
    return close_numbered(answer, type, &writer);
}

static enum status send_item(struct api_answer *answer, const char *type, bool filled)
{
    struct json_writer writer;
    open_numbered(answer, type, &writer);
    json_put_int(&writer, "output_index", 0);
    put_message_item(answer, filled, "item", &writer);
    return close_numbered(answer, type, &writer);
}

static enum status send_part(struct api_answer *answer, const char *type, bool filled)
{
    struct json_writer writer;
    open_placed(answer, type, &writer);
    put_text_part(&answer->choices[0], filled, "part", &writer);
    return close_numbered(answer, type, &writer);
}

static enum status responses_begin(struct api_answer *answer)
{
    TRY(send_response(answer, "response.created", false));
    TRY(send_response(answer, "response.in_progress", false));
    TRY(send_item(answer, "response.output_item.added", false));
    return send_part(answer, "response.content_part.added", false);
}

static enum status responses_part(struct api_answer *answer, struct api_choice *choice)
{
    static const char type[] = "response.output_text.delta";
    struct json_writer writer;
    if (choice->text.length == choice->text_sent)
        return OK;
    open_placed(answer, type, &writer);
    json_put_string(&writer, "delta", choice->text.data + choice->text_sent,
                    choice->text.length - choice->text_sent);
    json_put_raw(&writer, "logprobs", "[]", 2);
    return close_numbered(answer, type, &writer);
}

static enum status responses_end(struct api_answer *answer)
{
    static const char type[] = "response.output_text.done";
    const struct api_choice *choice = &answer->choices[0];
    struct json_writer writer;
    open_placed(answer, type, &writer);
    json_put_string(&writer, "text", choice->text.length ? choice->text.data : "",
                    choice->text.length);
    json_put_raw(&writer, "logprobs", "[]", 2);
    TRY(close_numbered(answer, type, &writer));
    TRY(send_part(answer, "response.content_part.done", true));
    TRY(send_item(answer, "response.output_item.done", true));
    return send_response(
        answer, choice->finish == COLROW_LENGTH ? "response.incomplete" : "response.completed",
        true);
}

static enum status responses_whole(struct api_answer *answer, struct bytes *out)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    put_response(answer, true, NULL, &writer);
    return writer.status;
}

const struct answer_form responses_form = {responses_begin, responses_part, responses_end,
                                           responses_whole};
