// colrow_step(): take the results of the step under way, start the next one, hand the results over
// while the ranks compute.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"

static enum status launch(struct colrow_engine *engine)
{
    struct scheduler *scheduler = &engine->scheduler;
    if (scheduler_plan(scheduler) == 0)
        return OK;
    scheduler->step.capture = engine->capture;
    step_plan_write(engine->board.plan, &engine->limits, &scheduler->step);
    engine->launch_ns = clock_ns();
    engine->in_flight = true;
    signal_raise(&engine->board.header->plan, (uint32_t)scheduler->step.number);
    return OK;
}

static enum status await_results(struct colrow_engine *engine)
{
    uint32_t generation = (uint32_t)engine->scheduler.step.number + 1;
    return signal_await(&engine->board.header->done, generation,
                        engine->crowded ? WAIT_ASLEEP : WAIT_BUSY, group_check, engine->group);
}

static void count_step(struct colrow_engine *engine)
{
    struct colrow_statistics *statistics = &engine->statistics;
    struct scheduler *scheduler = &engine->scheduler;
    int64_t end_ns = 0;
    uint64_t longest_ns = 0;
    for (int32_t r = 0; r < engine->plan->n_ranks; r++) {
        // relaxed: ordered by `done`
        struct board_rank *rank = &engine->board.ranks[r];
        int64_t rank_end = atomic_load_explicit(&rank->last_end_ns, memory_order_relaxed);
        uint64_t rank_step = atomic_load_explicit(&rank->last_step_ns, memory_order_relaxed);
        end_ns = rank_end > end_ns ? rank_end : end_ns;
        longest_ns = rank_step > longest_ns ? rank_step : longest_ns;
    }
    double seconds =
        (double)(end_ns - (engine->continuous ? engine->end_ns : engine->launch_ns)) * 1e-9;
    engine->end_ns = end_ns;
    statistics->steps++;
    statistics->overhead_seconds += seconds - (double)longest_ns * 1e-9;
    bool prefill = scheduler->n_prefill_rows > 0;
    *(prefill ? &statistics->prefill_seconds : &statistics->decode_seconds) += seconds;
    *(prefill ? &statistics->prefill_tokens : &statistics->decode_tokens) +=
        (uint64_t)scheduler->step.n_rows;
    statistics->preemptions = scheduler->preemptions;
    engine->n_rows_last = scheduler->step.n_rows;
}

static const float *row_of_logits(const struct colrow_engine *engine, int32_t index)
{
    return engine->board.results.logits + (size_t)index * (size_t)engine->config.vocab_size;
}

static enum status draw(struct colrow_engine *engine, struct completion *completion, int32_t index,
                        struct sample *sample)
{
    const struct sequence *sequence = &completion->sequence;
    if (!engine->scheduler.logit_full[index]) {
        *sample = (struct sample){0};
        return sampler_best(engine->board.results.best + index, engine->plan->n_ranks,
                            (size_t)engine->board.results.logit_rows_max, &sample->id);
    }
    struct sampling_state state = {
        .counts = &completion->counts,
        .n_generated = completion_generated(completion),
        .sequence = (uint32_t)sequence->index,
        .position = (uint64_t)sequence->n_tokens,
    };
    return sampler_draw(engine->sampler, &sequence->request->sampling, &state,
                        row_of_logits(engine, index), sample);
}

static enum status add_token(struct colrow_engine *engine, struct completion *completion,
                             int32_t index)
{
    struct sample sample;
    TRY(draw(engine, completion, index, &sample));
    for (int32_t i = 0; i < sample.n_logprobs; i++)
        completion->logprobs[i] = sample.logprobs[i];
    completion->n_logprobs = sample.n_logprobs;
    if (completion_generated(completion) == 0)
        engine->statistics.prompt_tokens += (uint64_t)completion->sequence.n_prompt;
    engine->statistics.generated_tokens++;
    return completion_add(completion, sample.id);
}

static void take_result(struct colrow_engine *engine, struct sequence *sequence)
{
    struct completion *completion = completion_of(sequence);
    const struct step_logits *logits = &sequence->logits;
    int32_t n_prompt = logits->prompt_end - logits->prompt_begin;
    if (completion->closed) {
        engine_close_completion(engine, completion);
        return;
    }
    if (sequence->request->cancelled)
        return;
    if (n_prompt > 0) {
        completion->prompt_logits = row_of_logits(engine, logits->first);
        completion->n_new_prompt_logits = n_prompt;
        completion->prompt_position = logits->prompt_begin;
        sequence->n_prompt_logits = logits->prompt_end;
    }
    if (logits->samples && add_token(engine, completion, logits->first + logits->n - 1) != OK)
        completion_fail(completion, status_code(), status_message());
    if (n_prompt > 0 || logits->samples)
        engine_queue_output(engine, completion);
    if (completion->finish != COLROW_RUNNING)
        scheduler_remove(&engine->scheduler, sequence);
}

static void take_results(struct colrow_engine *engine)
{
    engine->in_flight = false;
    count_step(engine);
    struct scheduler *scheduler = &engine->scheduler;
    int32_t n = scheduler->step.n_sequences;
    scheduler_done(scheduler);
    for (int32_t i = 0; i < n; i++)
        take_result(engine, scheduler->members[i]);
}

// Ends every open sequence of a request that no step under way contains.
static void end_request(struct colrow_engine *engine, struct request *request,
                        enum colrow_finish finish)
{
    for (int32_t i = 0; i < request->n; i++) {
        struct completion *completion = &request->completions[i];
        if (completion->finish != COLROW_RUNNING)
            continue;
        if (finish == COLROW_FAILED)
            completion_fail(completion, ERR_GROUP, engine->reason);
        else
            completion_end(completion, finish);
        if (completion->sequence.state != SEQUENCE_OVER)
            scheduler_remove(&engine->scheduler, &completion->sequence);
        engine_queue_output(engine, completion);
    }
}

static void end_cancelled(struct colrow_engine *engine)
{
    assert(!engine->in_flight);
    for (struct request *request = engine->first_request; request && engine->n_cancelled;
         request = request->next)
        if (request->cancelled)
            end_request(engine, request, COLROW_CANCELLED);
    engine->n_cancelled = 0;
}

void engine_break(struct colrow_engine *engine)
{
    snprintf(engine->reason, sizeof engine->reason, "%s", status_message());
    engine->over = true;
    if (engine->in_flight)
        scheduler_done(&engine->scheduler); // its sequences may be removed
    engine->in_flight = false;
    for (struct request *request = engine->first_request, *next; request; request = next) {
        next = request->next;
        end_request(engine, request, COLROW_FAILED);
    }
    engine_hand_over(engine, true);
    fail(ERR_GROUP, "%s", engine->reason); // callbacks may have recorded others since
}

static enum status step(struct colrow_engine *engine)
{
    engine->continuous = engine->in_flight && engine->continuous;
    if (!engine->in_flight) {
        end_cancelled(engine);
        // with nothing to do this is the only place where a dead group is noticed
        TRY(engine->scheduler.waiting.n + engine->scheduler.running.n == 0
                ? group_check(engine->group)
                : OK);
        TRY(launch(engine));
    }
    if (engine->in_flight) {
        TRY(await_results(engine));
        take_results(engine);
    }
    end_cancelled(engine);
    bool ahead = !engine->capture;
    engine_hand_over(engine, !ahead);
    if (ahead) {
        end_cancelled(engine); // a callback may have asked for it
        TRY(launch(engine));
        engine->continuous = true;
        engine_hand_over(engine, true);
    }
    return OK;
}

int colrow_step(struct colrow_engine *engine)
{
    if (engine->handing_over) {
        fail(ERR_USAGE,
             "colrow_step() was called from a callback; callbacks may submit and cancel only");
        return -1;
    }
    if (engine->over) {
        fail(ERR_GROUP, "%s", engine->reason);
        return -1;
    }
    enum status status = step(engine);
    if (status == OK)
        return engine->n_requests;
    engine_break(engine);
    return -1;
}

int colrow_poll(struct colrow_engine *engine, int wait, struct colrow_output *out)
{
    if (engine->handing_over) {
        fail(ERR_USAGE, "colrow_poll() was called from a callback");
        return -1;
    }
    bool failed = false;
    while (wait && !failed && poll_queue_is_empty(&engine->polled) && engine->n_requests > 0)
        failed = colrow_step(engine) < 0;
    if (poll_queue_next(&engine->polled, out))
        return 1;
    if (!engine->over)
        return 0;
    fail(ERR_GROUP, "%s", engine->reason);
    return -1;
}

// Numbers ascend along the list.
static struct request *find_request(const struct colrow_engine *engine, uint64_t number)
{
    for (struct request *request = engine->last_request; request && request->number >= number;
         request = request->previous)
        if (request->number == number)
            return request;
    return NULL;
}

int colrow_cancel(struct colrow_engine *engine, uint64_t number)
{
    struct request *request = find_request(engine, number);
    if (!request)
        return engine_result(
            fail(ERR_REQUEST, "request %llu is over, or never was", (unsigned long long)number));
    engine->n_cancelled += !request->cancelled;
    request->cancelled = true;
    return 0;
}

static enum status encode_prompt(const struct colrow_engine *engine,
                                 const struct colrow_prompt *prompt, struct token_ids *ids)
{
    if (prompt->n_ids > 0)
        return token_ids_append(ids, prompt->ids, (size_t)prompt->n_ids);
    if (!prompt->text)
        return fail(ERR_REQUEST, "the prompt has neither ids nor text");
    if (!engine->tokenizer)
        return fail(ERR_REQUEST, "%s has no tokenizer.json; give the prompt as token ids",
                    engine->model);
    TRY(tokenizer_encode(engine->tokenizer, prompt->text, strlen(prompt->text),
                         !prompt->no_special_tokens, ids));
    return ids->n > INT32_MAX / 2 ? fail(ERR_TOO_LARGE, "the prompt has %zu tokens", ids->n) : OK;
}

static enum status submit(struct colrow_engine *engine, const struct token_ids *ids,
                          const struct colrow_sampling *sampling, colrow_callback callback,
                          void *context, struct request **out)
{
    struct request_limits limits = {
        .vocab_size = engine->config.vocab_size,
        .max_model_len = engine->max_model_len,
        .kv_pool_tokens = kv_pool_size(engine->pool) * KV_PAGE_TOKENS,
        .prompt_logits = engine->prompt_logits,
        .seed = engine->seed,
        .generation = &engine->generation,
        .tokenizer = engine->tokenizer,
    };
    struct request *request;
    TRY(request_new(&limits, engine->next_number, ids->ids, (int32_t)ids->n, sampling, &request));
    request->callback = callback;
    request->context = context;
    for (int32_t i = 0; i < request->n && !callback; i++) {
        enum status status = polled_output_reserve(&request->completions[i].last_resort);
        if (status != OK) {
            request_free(request);
            return status;
        }
    }
    engine->next_number++;
    *out = request;
    return OK;
}

int colrow_submit(struct colrow_engine *engine, const struct colrow_prompt *prompt,
                  const struct colrow_sampling *sampling, colrow_callback callback, void *context,
                  uint64_t *number)
{
    if (engine->over)
        return engine_result(fail(ERR_GROUP, "%s", engine->reason));
    struct token_ids ids;
    token_ids_init(&ids);
    struct request *request = NULL;
    enum status status = encode_prompt(engine, prompt, &ids);
    if (status == OK)
        status = submit(engine, &ids, sampling, callback, context, &request);
    token_ids_fini(&ids);
    if (status != OK)
        return engine_result(of_a_request(status));
    request->previous = engine->last_request;
    *(engine->last_request ? &engine->last_request->next : &engine->first_request) = request;
    engine->last_request = request;
    engine->n_requests++;
    for (int32_t i = 0; i < request->n; i++)
        scheduler_add(&engine->scheduler, &request->completions[i].sequence);
    if (number)
        *number = request->number;
    return 0;
}
