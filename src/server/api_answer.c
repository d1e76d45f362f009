#include "server/api_answer.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "server/json_writer.h"

enum status answer_new(struct api_request *request, const struct api_model *model,
                       const struct answer_form *form, const struct answer_sink *sink,
                       struct api_answer **out)
{
    struct api_answer *answer;
    int n = request->sampling.n;
    TRY(memory_new(1, sizeof *answer, "an answer", &answer));
    answer->request = request;
    answer->model = model;
    answer->form = form;
    answer->sink = *sink;
    bytes_init(&answer->scratch);
    bytes_init(&answer->token);
    token_text_buffers_init(&answer->texts);
    size_t n_choices = (size_t)request->n_prompts * (size_t)n;
    enum status status =
        memory_new(n_choices, sizeof *answer->choices, "an answer's choices", &answer->choices);
    if (status == OK && request->prompt_logprobs >= 0)
        status = memory_new((size_t)request->n_prompts, sizeof *answer->scores,
                            "a prompt's log-probabilities", &answer->scores);
    if (status != OK) {
        answer_free(answer);
        return status;
    }
    answer->n_choices = answer->n_open = (int)n_choices;
    for (int i = 0; i < answer->n_choices; i++) {
        answer->choices[i] = (struct api_choice){.prompt = i / n, .index = i, .stop_id = -1};
        bytes_init(&answer->choices[i].text);
    }
    *out = answer;
    return OK;
}

void answer_free(struct api_answer *answer)
{
    if (!answer)
        return;
    for (int i = 0; i < answer->n_choices; i++) {
        bytes_fini(&answer->choices[i].text);
        free(answer->choices[i].ids);
        free(answer->choices[i].logprobs);
        free(answer->choices[i].stop_text);
    }
    for (int i = 0; answer->scores && i < answer->request->n_prompts; i++) {
        free(answer->scores[i].entries);
        for (int list = 0; list < SHOWN_LISTS; list++)
            bytes_fini(&answer->scores[i].shown[list]);
    }
    free(answer->scores);
    free(answer->row);
    free(answer->choices);
    bytes_fini(&answer->scratch);
    bytes_fini(&answer->token);
    token_text_buffers_fini(&answer->texts);
    free(answer);
}

// What stop_reason says: a stop string, the id of a stop token or of an end token that only
// generation_config.json names, or nothing for the tokenizer's own.
static enum status note_end(struct api_answer *answer, struct api_choice *choice,
                            const struct colrow_output *output)
{
    choice->finish = output->finish;
    answer->n_open--;
    if (output->finish != COLROW_STOP)
        return OK;
    if (output->stop_token >= 0) {
        choice->stop_id = output->stop_token;
    } else if (output->stop_reason) {
        choice->stop_length = output->stop_reason_length;
        TRY(memory_new(choice->stop_length + 1, 1, "a stop string", &choice->stop_text));
        memcpy(choice->stop_text, output->stop_reason, choice->stop_length);
    } else if (choice->n_ids > 0 && choice->ids[choice->n_ids - 1] != answer->model->eos_id) {
        choice->stop_id = choice->ids[choice->n_ids - 1];
    }
    return OK;
}

static enum status keep_output(struct api_answer *answer, struct api_choice *choice,
                               const struct colrow_output *output)
{
    size_t n = (size_t)output->n_ids;
    if (answer->request->echo_alone) // drawn because the engine always does; not asked for
        return OK;
    TRY(bytes_append(&choice->text, output->text, output->text_length));
    TRY(memory_grow(&choice->ids, &choice->ids_capacity, choice->n_ids + n, sizeof *choice->ids,
                    "an answer's tokens"));
    if (n > 0)
        memcpy(choice->ids + choice->n_ids, output->ids, n * sizeof *choice->ids);
    if (output->logprobs) {
        size_t width = (size_t)output->n_logprobs;
        assert(output->n_logprobs == 1 + answer->request->top_logprobs);
        TRY(memory_grow(&choice->logprobs, &choice->logprobs_capacity, (choice->n_ids + n) * width,
                        sizeof *choice->logprobs, "an answer's log-probabilities"));
        memcpy(choice->logprobs + choice->n_ids * width, output->logprobs,
               n * width * sizeof *choice->logprobs);
    }
    choice->n_ids += n;
    return OK;
}

// In a stream: what is new goes out, unless it is to wait for more.
static enum status send_new(struct api_answer *answer, struct api_choice *choice)
{
    bool over = choice->finish != COLROW_RUNNING;
    size_t n_new = choice->n_ids - choice->ids_sent;
    if (answer->held || (!over && n_new == 0))
        return OK;
    if (choice->begun && !over && n_new < (size_t)answer->request->stream_interval)
        return OK;
    if (!answer->begun) {
        answer->begun = true;
        TRY(answer->form->begin(answer));
    }
    TRY(answer->form->part(answer, choice));
    choice->begun = true;
    choice->text_sent = choice->text.length;
    choice->ids_sent = choice->n_ids;
    return OK;
}

static enum status send_end(struct api_answer *answer)
{
    return answer->n_open == 0 && !answer->held ? answer->form->end(answer) : OK;
}

enum status answer_add(struct api_answer *answer, int prompt, const struct colrow_output *output)
{
    struct api_choice *choice =
        &answer->choices[prompt * answer->request->sampling.n + output->index];
    assert(choice->finish == COLROW_RUNNING);
    if (output->n_prompt_logits > 0) {
        TRY(scores_add(answer, prompt, output));
        answer->held |= answer->writes_apart && logprobs_prompt_is_due(answer, prompt);
    }
    choice->completion_tokens = output->completion_tokens;
    choice->cached_tokens = output->cached_tokens;
    choice->draft_tokens = output->draft_tokens;
    choice->accepted_draft_tokens = output->accepted_draft_tokens;
    choice->preemptions = output->preemptions;
    choice->queue_seconds = output->queue_seconds;
    TRY(keep_output(answer, choice, output));
    if (output->finish != COLROW_RUNNING)
        TRY(note_end(answer, choice, output));
    if (!answer->request->stream)
        return OK;
    TRY(send_new(answer, choice));
    return output->finish != COLROW_RUNNING ? send_end(answer) : OK;
}

enum status answer_hold(struct api_answer *answer, bool held)
{
    answer->held = held;
    if (held || !answer->request->stream)
        return OK;
    for (int i = 0; i < answer->n_choices; i++) {
        struct api_choice *choice = &answer->choices[i];
        bool unsent = choice->n_ids > choice->ids_sent || choice->text.length > choice->text_sent;
        if (unsent || (choice->finish != COLROW_RUNNING && !choice->begun))
            TRY(send_new(answer, choice));
    }
    return send_end(answer);
}

int answer_completion_tokens(const struct api_answer *answer)
{
    int n = 0;
    for (int i = 0; i < answer->n_choices; i++)
        n += answer->choices[i].completion_tokens;
    return n;
}

int answer_prompt_tokens(const struct api_answer *answer)
{
    int n = 0;
    for (int i = 0; i < answer->request->n_prompts; i++)
        n += answer->request->prompts[i].n_ids;
    return n;
}

int answer_cached_tokens(const struct api_answer *answer)
{
    int n = 0;
    for (int i = 0; i < answer->n_choices; i += answer->request->sampling.n)
        n += answer->choices[i].cached_tokens;
    return n;
}

// ---- for the forms ----

enum status answer_emit(struct api_answer *answer)
{
    return answer_emit_named(answer, NULL);
}

enum status answer_emit_named(struct api_answer *answer, const char *name)
{
    answer->sink.event(answer->sink.owner, name, answer->scratch.data, answer->scratch.length);
    answer->events_sent++;
    bytes_clear(&answer->scratch);
    return OK;
}

const char *answer_finish_reason(enum colrow_finish finish)
{
    switch (finish) {
    case COLROW_RUNNING:
        return NULL;
    case COLROW_STOP:
        return "stop";
    case COLROW_LENGTH:
        return "length";
    case COLROW_CANCELLED:
        return "abort";
    case COLROW_FAILED:
        break;
    }
    return "error";
}

void answer_put_stop_reason(struct json_writer *writer, const struct api_choice *choice)
{
    if (choice->stop_id >= 0)
        json_put_int(writer, "stop_reason", choice->stop_id);
    else if (choice->stop_text)
        json_put_string(writer, "stop_reason", choice->stop_text, choice->stop_length);
    else
        json_put_null(writer, "stop_reason");
}

void answer_put_ids(struct json_writer *writer, const char *key, const int32_t *ids, size_t n)
{
    json_open_list(writer, key);
    for (size_t i = 0; i < n; i++)
        json_put_int(writer, NULL, ids[i]);
    json_close_list(writer);
}

void answer_put_usage(struct json_writer *writer, int prompt_tokens, int completion_tokens)
{
    json_open_object(writer, "usage");
    json_put_int(writer, "prompt_tokens", prompt_tokens);
    json_put_int(writer, "total_tokens", (int64_t)prompt_tokens + completion_tokens);
    json_put_int(writer, "completion_tokens", completion_tokens);
}

void answer_put_prompt_details(const struct api_answer *answer, bool whole,
                               struct json_writer *writer)
{
    static const char key[] = "prompt_tokens_details";
    if (!answer->model->prompt_tokens_details) {
        if (whole)
            json_put_null(writer, key);
        return;
    }
    json_open_object(writer, key);
    json_put_int(writer, "cached_tokens", answer_cached_tokens(answer));
    if (answer->request->kind == API_CHAT) // nothing is billed for being put there
        json_put_int(writer, "created_cache_tokens", 0);
    else if (whole)
        json_put_null(writer, "created_cache_tokens");
    if (whole)
        json_put_null(writer, "multimodal_tokens");
    json_close_object(writer);
}

static void put_usage_details(const struct api_answer *answer, struct json_writer *writer)
{
    answer_put_usage(writer, answer_prompt_tokens(answer), answer_completion_tokens(answer));
    answer_put_prompt_details(answer, false, writer);
    json_close_object(writer);
}

enum status answer_end_chunk(struct api_answer *answer, struct json_writer *writer)
{
    if (answer->n_open == 0 && !answer->request->include_usage)
        json_put_text(writer, "system_fingerprint", answer->model->fingerprint);
    json_close_object(writer);
    TRY(writer->status);
    return answer_emit(answer);
}

enum status answer_end_stream(struct api_answer *answer,
                              void (*put_head)(const struct api_answer *answer,
                                               struct json_writer *writer))
{
    struct json_writer writer;
    if (answer->request->include_usage) {
        json_writer_begin(&writer, &answer->scratch);
        put_head(answer, &writer);
        json_open_list(&writer, "choices");
        json_close_list(&writer);
        put_usage_details(answer, &writer);
        json_put_text(&writer, "system_fingerprint", answer->model->fingerprint);
        json_close_object(&writer);
        TRY(writer.status);
        TRY(answer_emit(answer));
    }
    TRY(bytes_text(&answer->scratch, "[DONE]"));
    return answer_emit(answer);
}
