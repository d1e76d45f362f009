// What goes to users: one colrow_output per sequence and step, by callback or through the queue.

#include "engine/engine.h"

void engine_queue_output(struct colrow_engine *engine, struct completion *completion)
{
    if (completion->queued || completion->closed)
        return;
    completion->queued = true;
    completion->next_output = NULL;
    *(engine->last_output ? &engine->last_output->next_output : &engine->first_output) = completion;
    engine->last_output = completion;
}

static struct colrow_output describe_output(const struct completion *completion)
{
    const struct sequence *sequence = &completion->sequence;
    const struct request *request = sequence->request;
    int32_t n_generated = completion_generated(completion);
    const char *error = NULL;
    if (completion->finish == COLROW_FAILED)
        error = completion->error ? completion->error : "out of memory";
    return (struct colrow_output){
        .request = request->number,
        .index = sequence->index,
        .ids = sequence->tokens + sequence->n_prompt + completion->n_delivered,
        .n_ids = n_generated - completion->n_delivered,
        .text = completion->text.length ? completion->text.data : "",
        .text_length = completion->text.length,
        .logprobs = completion->n_logprobs ? completion->logprobs : NULL,
        .n_logprobs = completion->n_logprobs,
        .prompt_logits = completion->prompt_logits,
        .n_prompt_logits = completion->n_new_prompt_logits,
        .prompt_position = completion->prompt_position,
        .finish = completion->finish,
        .stop_reason = completion->stop_reason,
        .stop_reason_length = completion->stop_reason_length,
        .stop_token = completion->stop_token,
        .error = error,
        .error_class = error ? error_class_of(completion->fault) : COLROW_ERROR_NONE,
        .prompt_tokens = sequence->n_prompt,
        .completion_tokens = n_generated,
        .cached_tokens = sequence->n_cached > 0 ? sequence->n_cached : 0,
        .preemptions = sequence->preemptions,
        .draft_tokens = completion->n_drafted,
        .accepted_draft_tokens = completion->n_accepted,
        .queue_seconds = sequence->n_cached < 0
                             ? 0
                             : (double)(sequence->started_ns - request->submitted_ns) * 1e-9,
    };
}

// To the poll queue; what cannot be stored ends the sequence, which can always be said.
static void store_output(struct colrow_engine *engine, struct completion *completion,
                         struct colrow_output *output)
{
    enum status status = poll_queue_add(&engine->polled, output, engine->config.vocab_size);
    if (status == OK)
        return;
    completion_fail(completion, ERR_MEMORY, NULL);
    output->finish = COLROW_FAILED;
    output->error = "out of memory";
    output->error_class = COLROW_ERROR_MEMORY;
    poll_queue_add_last_resort(&engine->polled, completion->last_resort, output);
    completion->last_resort = NULL;
}

static void forget_delivered(struct completion *completion)
{
    completion->n_delivered = completion_generated(completion);
    bytes_clear(&completion->text);
    completion->n_logprobs = 0;
    completion->prompt_logits = NULL;
    completion->n_new_prompt_logits = 0;
}

static void remove_request(struct colrow_engine *engine, struct request *request)
{
    *(request->previous ? &request->previous->next : &engine->first_request) = request->next;
    *(request->next ? &request->next->previous : &engine->last_request) = request->previous;
    if (engine->scheduler.alone == request)
        scheduler_isolate(&engine->scheduler, NULL);
    engine->n_requests--;
    engine->request_bytes -= request->bytes;
    request_free(request);
}

static void give_output(struct colrow_engine *engine, struct completion *completion,
                        struct colrow_output *output)
{
    struct request *request = completion->sequence.request;
    if (request->callback) {
        engine->handing_over = true;
        request->callback(request->context, output);
        engine->handing_over = false;
    } else {
        store_output(engine, completion, output);
    }
}

static void hand_over(struct colrow_engine *engine, struct completion *completion)
{
    struct colrow_output output = describe_output(completion);
    give_output(engine, completion, &output);
    forget_delivered(completion);
    if (completion->finish != COLROW_RUNNING)
        engine_close_completion(engine, completion);
}

void engine_close_completion(struct colrow_engine *engine, struct completion *completion)
{
    struct request *request = completion->sequence.request;
    completion->closed = true;
    if (completion->sequence.step_tokens > 0)
        return; // it failed while a step with it is under way: once more when the results are in
    if (completion->sequence.state != SEQUENCE_OVER)
        scheduler_remove(&engine->scheduler, &completion->sequence);
    if (--request->n_open == 0)
        remove_request(engine, request);
}

bool engine_hand_over_logits(struct colrow_engine *engine)
{
    struct completion *completion = engine->handing;
    int32_t vocab_size = engine->config.vocab_size;
    int32_t n = engine->piece_bytes / (int32_t)sizeof(float) / vocab_size;
    n = n > 0 ? n : 1;
    if (completion->n_new_prompt_logits <= n)
        return false;
    struct request *request = completion->sequence.request;
    struct colrow_output output = describe_output(completion);
    output.n_ids = output.n_logprobs = 0;
    output.text = "";
    output.text_length = 0;
    output.logprobs = NULL;
    output.n_prompt_logits = n;
    output.finish = COLROW_RUNNING;
    output.stop_reason = output.error = NULL;
    output.stop_reason_length = 0;
    output.stop_token = -1;
    output.error_class = COLROW_ERROR_NONE;
    output.completion_tokens = completion->n_delivered;
    give_output(engine, completion, &output);
    completion->prompt_logits += (size_t)n * (size_t)vocab_size;
    completion->n_new_prompt_logits -= n;
    completion->prompt_position += n;
    if (output.finish == COLROW_FAILED) { // there was no memory for the queue: that was its last
        engine->handing = NULL;
        forget_delivered(completion);
        engine_close_completion(engine, completion);
        return false;
    }
    return !request->cancelled;
}

void engine_hand_over(struct colrow_engine *engine, bool all)
{
    struct completion *kept_first = NULL, **kept = &kept_first, *kept_last = NULL, *completion;
    // callbacks may submit and cancel, which queues nothing here
    while ((completion = engine->first_output)) {
        engine->first_output = completion->next_output;
        completion->next_output = NULL;
        if (all || completion->prompt_logits) {
            completion->queued = false;
            hand_over(engine, completion);
        } else {
            *kept = kept_last = completion;
            kept = &completion->next_output;
        }
    }
    engine->first_output = kept_first;
    engine->last_output = kept_last;
}

void engine_drop_requests(struct colrow_engine *engine)
{
    for (struct request *request = engine->first_request, *next; request; request = next) {
        next = request->next;
        request_free(request);
    }
    engine->first_request = engine->last_request = NULL;
    engine->first_output = engine->last_output = NULL;
    engine->n_requests = 0;
    engine->request_bytes = 0;
}
