// Answers of /v1/chat/completions.
#include <string.h>

#include "server/api_answer.h"
#include "server/json_writer.h"

static void put_chat_head(const struct api_answer *answer, const char *object,
                          struct json_writer *writer)
{
    const struct api_request *request = answer->request;
    json_open_object(writer, NULL);
    json_put_text(writer, "id", request->id);
    json_put_text(writer, "object", object);
    json_put_int(writer, "created", request->created);
    json_put_text(writer, "model", request->model);
}

static void open_chunk(const struct api_answer *answer, int index, struct json_writer *writer)
{
    put_chat_head(answer, "chat.completion.chunk", writer);
    json_open_list(writer, "choices");
    json_open_object(writer, NULL);
    json_put_int(writer, "index", index);
}

static void put_continuous_usage(const struct api_answer *answer, struct json_writer *writer)
{
    if (!answer->request->continuous_usage)
        return;
    answer_put_usage(writer, answer_prompt_tokens(answer), answer_completion_tokens(answer));
    json_put_null(writer, "completion_tokens_details");
    json_close_object(writer);
}

static void put_prompt(const struct api_request *request, struct json_writer *writer)
{
    const struct api_prompt *prompt = &request->prompts[0];
    if (request->return_token_ids)
        answer_put_ids(writer, "prompt_token_ids", prompt->ids, (size_t)prompt->n_ids);
    else
        json_put_null(writer, "prompt_token_ids");
    if (request->return_prompt_text)
        json_put_string(writer, "prompt_text", prompt->text, prompt->text_length);
    else
        json_put_null(writer, "prompt_text");
}

static enum status send_role(struct api_answer *answer, int index)
{
    struct json_writer writer;
    json_writer_begin(&writer, &answer->scratch);
    open_chunk(answer, index, &writer);
    json_open_object(&writer, "delta");
    json_put_text(&writer, "role", answer->request->role);
    json_put_text(&writer, "content", "");
    json_close_object(&writer);
    json_put_null(&writer, "logprobs");
    json_put_null(&writer, "finish_reason");
    json_close_object(&writer);
    json_close_list(&writer);
    if (answer->request->continuous_usage) {
        answer_put_usage(&writer, answer_prompt_tokens(answer), 0);
        json_put_null(&writer, "completion_tokens_details");
        json_close_object(&writer);
    }
    put_prompt(answer->request, &writer);
    json_close_object(&writer);
    TRY(writer.status);
    return answer_emit(answer);
}

static enum status send_last_message(struct api_answer *answer, int index)
{
    struct json_writer writer;
    json_writer_begin(&writer, &answer->scratch);
    open_chunk(answer, index, &writer);
    json_open_object(&writer, "delta");
    json_put_string(&writer, "content", answer->request->last_text, answer->request->last_length);
    json_close_object(&writer);
    json_put_null(&writer, "logprobs");
    json_put_null(&writer, "finish_reason");
    json_close_object(&writer);
    json_close_list(&writer);
    json_close_object(&writer);
    TRY(writer.status);
    return answer_emit(answer);
}

static enum status chat_begin(struct api_answer *answer)
{
    for (int i = 0; i < answer->n_choices; i++)
        TRY(send_role(answer, i));
    for (int i = 0; answer->request->last_length > 0 && i < answer->n_choices; i++)
        TRY(send_last_message(answer, i));
    return OK;
}

static enum status put_chat_logprobs(struct api_answer *answer, const struct api_choice *choice,
                                     size_t from, struct json_writer *writer)
{
    if (answer->request->want_logprobs)
        return logprobs_put_chat(answer, choice, from, choice->n_ids, writer);
    json_put_null(writer, "logprobs");
    return OK;
}

static enum status chat_part(struct api_answer *answer, struct api_choice *choice)
{
    const struct api_request *request = answer->request;
    const char *text = choice->text.length ? choice->text.data : "";
    struct json_writer writer;
    json_writer_begin(&writer, &answer->scratch);
    open_chunk(answer, choice->index, &writer);
    json_open_object(&writer, "delta");
    json_put_string(&writer, "content", text + choice->text_sent,
                    choice->text.length - choice->text_sent);
    json_close_object(&writer);
    TRY(put_chat_logprobs(answer, choice, choice->ids_sent, &writer));
    json_put_text(&writer, "finish_reason", answer_finish_reason(choice->finish));
    if (choice->finish != COLROW_RUNNING)
        answer_put_stop_reason(&writer, choice);
    if (request->return_token_ids)
        answer_put_ids(&writer, "token_ids", choice->ids + choice->ids_sent,
                       choice->n_ids - choice->ids_sent);
    else
        json_put_null(&writer, "token_ids");
    json_close_object(&writer);
    json_close_list(&writer);
    put_continuous_usage(answer, &writer);
    return answer_end_chunk(answer, &writer);
}

static void put_last_head(const struct api_answer *answer, struct json_writer *writer)
{
    put_chat_head(answer, "chat.completion.chunk", writer);
}

static enum status chat_end(struct api_answer *answer)
{
    return answer_end_stream(answer, put_last_head);
}

static enum status put_message(const struct api_answer *answer, const struct api_choice *choice,
                               struct json_writer *writer)
{
    const struct api_request *request = answer->request;
    struct bytes text;
    bytes_init(&text);
    enum status status = OK;
    if (request->last_length > 0)
        status = bytes_append(&text, request->last_text, request->last_length);
    if (status == OK && choice->text.length > 0)
        status = bytes_append(&text, choice->text.data, choice->text.length);
    json_open_object(writer, "message");
    json_put_text(writer, "role", request->role);
    json_put_string(writer, "content", text.length ? text.data : "", text.length);
    static const char *const absent[] = {"refusal", "annotations", "audio", "function_call",
                                         "reasoning"};
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        json_put_null(writer, absent[i]);
    json_close_object(writer);
    bytes_fini(&text);
    return status;
}

static enum status put_chat_choice(struct api_answer *answer, struct api_choice *choice,
                                   struct json_writer *writer)
{
    json_open_object(writer, NULL);
    json_put_int(writer, "index", choice->index);
    TRY(put_message(answer, choice, writer));
    TRY(put_chat_logprobs(answer, choice, 0, writer));
    json_put_text(writer, "finish_reason", answer_finish_reason(choice->finish));
    answer_put_stop_reason(writer, choice);
    if (answer->request->return_token_ids)
        answer_put_ids(writer, "token_ids", choice->ids, choice->n_ids);
    else
        json_put_null(writer, "token_ids");
    json_put_null(writer, "routed_experts");
    json_close_object(writer);
    return OK;
}

static enum status chat_whole(struct api_answer *answer, struct bytes *out)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    put_chat_head(answer, "chat.completion", &writer);
    json_open_list(&writer, "choices");
    for (int i = 0; i < answer->n_choices; i++)
        TRY(put_chat_choice(answer, &answer->choices[i], &writer));
    json_close_list(&writer);
    answer_put_whole_tail(answer, &writer);
    TRY(logprobs_put_prompt(answer, 0, &writer));
    put_prompt(answer->request, &writer);
    json_put_null(&writer, "kv_transfer_params");
    json_put_null(&writer, "ec_transfer_params");
    json_put_null(&writer, "metrics");
    json_close_object(&writer);
    return writer.status;
}

const struct answer_form chat_form = {chat_begin, chat_part, chat_end, chat_whole};
