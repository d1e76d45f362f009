// Answers of /v1/completions.
#include <string.h>

#include "server/api_answer.h"
#include "server/json_writer.h"

static void put_head(const struct api_answer *answer, struct json_writer *writer)
{
    const struct api_request *request = answer->request;
    json_open_object(writer, NULL);
    json_put_text(writer, "id", request->id);
    json_put_text(writer, "object", "text_completion");
    json_put_int(writer, "created", request->created);
    json_put_text(writer, "model", request->model);
}

// The prompt's text goes before the answer's, unless its tokens are shown.
static bool repeats_prompt(const struct api_request *request)
{
    return request->echo && !request->return_token_ids;
}

static enum status put_text(const struct api_answer *answer, const struct api_choice *choice,
                            size_t from, bool with_prompt, struct json_writer *writer)
{
    const struct api_prompt *prompt = &answer->request->prompts[choice->prompt];
    size_t length = choice->text.length > from ? choice->text.length - from : 0;
    const char *own = length ? choice->text.data + from : "";
    if (!with_prompt) {
        json_put_string(writer, "text", own, length);
        return OK;
    }
    struct bytes text;
    bytes_init(&text);
    enum status status = bytes_append(&text, prompt->text, prompt->text_length);
    if (status == OK)
        status = bytes_append(&text, own, length);
    json_put_string(writer, "text", text.length ? text.data : "", text.length);
    bytes_fini(&text);
    return status;
}

static enum status put_logprobs(struct api_answer *answer, struct api_choice *choice, size_t from,
                                bool with_prompt, struct json_writer *writer)
{
    if (answer->request->want_logprobs)
        return logprobs_put_legacy(answer, choice, from, choice->n_ids, with_prompt, writer);
    json_put_null(writer, "logprobs");
    return OK;
}

static void put_ids_if(struct json_writer *writer, const char *key, bool wanted, const int32_t *ids,
                       size_t n)
{
    if (wanted)
        answer_put_ids(writer, key, ids, n);
    else
        json_put_null(writer, key);
}

static void put_chunk_usage(const struct api_answer *answer, struct json_writer *writer)
{
    answer_put_usage(writer, answer_prompt_tokens(answer), answer_completion_tokens(answer));
    json_close_object(writer);
}

static enum status begin(struct api_answer *answer)
{
    (void)answer;
    return OK;
}

static enum status part(struct api_answer *answer, struct api_choice *choice)
{
    const struct api_request *request = answer->request;
    const struct api_prompt *prompt = &request->prompts[choice->prompt];
    struct json_writer writer;
    bool first = !choice->begun, echo = first && request->echo;
    json_writer_begin(&writer, &answer->scratch);
    put_head(answer, &writer);
    json_open_list(&writer, "choices");
    json_open_object(&writer, NULL);
    json_put_int(&writer, "index", choice->index);
    TRY(put_text(answer, choice, choice->text_sent, echo && repeats_prompt(request), &writer));
    TRY(put_logprobs(answer, choice, choice->ids_sent, echo, &writer));
    json_put_text(&writer, "finish_reason", answer_finish_reason(choice->finish));
    answer_put_stop_reason(&writer, choice);
    put_ids_if(&writer, "prompt_token_ids", first && (request->return_token_ids || request->echo),
               prompt->ids, (size_t)prompt->n_ids);
    put_ids_if(&writer, "token_ids", request->return_token_ids, choice->ids + choice->ids_sent,
               choice->n_ids - choice->ids_sent);
    json_close_object(&writer);
    json_close_list(&writer);
    if (request->continuous_usage)
        put_chunk_usage(answer, &writer);
    return answer_end_chunk(answer, &writer);
}

static enum status end(struct api_answer *answer)
{
    return answer_end_stream(answer, put_head);
}

static enum status put_choice(struct api_answer *answer, struct api_choice *choice,
                              struct json_writer *writer)
{
    const struct api_request *request = answer->request;
    const struct api_prompt *prompt = &request->prompts[choice->prompt];
    json_open_object(writer, NULL);
    json_put_int(writer, "index", choice->index);
    TRY(put_text(answer, choice, 0, repeats_prompt(request), writer));
    TRY(put_logprobs(answer, choice, 0, request->echo, writer));
    json_put_text(writer, "finish_reason", answer_finish_reason(choice->finish));
    answer_put_stop_reason(writer, choice);
    put_ids_if(writer, "token_ids", request->return_token_ids, choice->ids, choice->n_ids);
    TRY(logprobs_put_prompt(answer, choice->prompt, writer));
    put_ids_if(writer, "prompt_token_ids", request->return_token_ids, prompt->ids,
               (size_t)prompt->n_ids);
    json_put_null(writer, "routed_experts");
    json_close_object(writer);
    return OK;
}

void answer_put_whole_tail(struct api_answer *answer, struct json_writer *writer)
{
    json_put_null(writer, "service_tier");
    json_put_text(writer, "system_fingerprint", answer->model->fingerprint);
    answer_put_usage(writer, answer_prompt_tokens(answer), answer_completion_tokens(answer));
    answer_put_prompt_details(answer, true, writer);
    json_put_null(writer, "completion_tokens_details");
    json_close_object(writer);
}

static enum status whole(struct api_answer *answer, struct bytes *out)
{
    struct json_writer writer;
    json_writer_begin(&writer, out);
    put_head(answer, &writer);
    json_open_list(&writer, "choices");
    for (int i = 0; i < answer->n_choices; i++)
        TRY(put_choice(answer, &answer->choices[i], &writer));
    json_close_list(&writer);
    answer_put_whole_tail(answer, &writer);
    json_put_null(&writer, "kv_transfer_params");
    json_put_null(&writer, "ec_transfer_params");
    json_put_null(&writer, "metrics");
    json_close_object(&writer);
    return writer.status;
}

const struct answer_form completion_form = {begin, part, end, whole};
