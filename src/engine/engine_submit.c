// colrow_submit(), colrow_cancel() and what else users say of a request.
#include <string.h>

#include "base/clock.h"
#include "engine/engine.h"
#include "engine/struct_size.h"

// Numbers ascend along the list.
static struct request *find_request(const struct colrow_engine *engine, uint64_t number)
{
    for (struct request *request = engine->last_request; request && request->number >= number;
         request = request->previous)
        if (request->number == number)
            return request;
    return NULL;
}

static enum status request_is_over(uint64_t number)
{
    return fail(ERR_REQUEST, "request %llu is over, or never was", (unsigned long long)number);
}

int colrow_cancel(struct colrow_engine *engine, uint64_t number)
{
    struct request *request = find_request(engine, number);
    if (!request)
        return engine_result(request_is_over(number));
    engine->n_cancelled += !request->cancelled;
    request->cancelled = true;
    engine_ring(engine);
    return 0;
}

int colrow_pause(struct colrow_engine *engine, uint64_t number)
{
    struct request *request = find_request(engine, number);
    if (!request)
        return engine_result(request_is_over(number));
    for (int32_t i = 0; i < request->n; i++)
        scheduler_pause(&engine->scheduler, &request->completions[i].sequence);
    return 0;
}

int colrow_resume(struct colrow_engine *engine, uint64_t number)
{
    struct request *request = find_request(engine, number);
    if (!request)
        return engine_result(request_is_over(number));
    for (int32_t i = 0; i < request->n; i++)
        scheduler_resume(&engine->scheduler, &request->completions[i].sequence);
    engine_ring(engine);
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
    size_t length = prompt->text_length ? prompt->text_length : strlen(prompt->text);
    TRY(tokenizer_encode(engine->tokenizer, prompt->text, length, !prompt->no_special_tokens, ids));
    return ids->n > INT32_MAX / 2 ? fail(ERR_TOO_LARGE, "the prompt has %zu tokens", ids->n) : OK;
}

// Whose pages the request's sequences may share.
static uint64_t scope_of(const struct colrow_engine *engine, const struct request *request,
                         const struct colrow_prompt *prompt)
{
    if (!engine->cache || !prefix_cache_retains(engine->cache))
        return prefix_scope(PREFIX_SCOPE_REQUEST, request->number);
    if (!prompt->cache_salt)
        return prefix_scope(PREFIX_SCOPE_ALL, 0);
    size_t length =
        prompt->cache_salt_length ? prompt->cache_salt_length : strlen(prompt->cache_salt);
    return prefix_scope_of_salt(engine->cache, prompt->cache_salt, length);
}

static enum status make_request(struct colrow_engine *engine, const struct token_ids *ids,
                                const struct colrow_sampling *given, colrow_callback callback,
                                void *context, struct request **out)
{
    struct colrow_sampling sampling;
    TRY(engine_take_sampling(given, &sampling));
    struct request_limits limits = {
        .vocab_size = engine->config.vocab_size,
        .max_model_len = engine->max_model_len,
        .kv_pool_tokens = kv_tokens_of_pages(&engine->plan->kv, kv_pool_size(engine->pool),
                                             engine->limits.rows_max),
        .kv_groups = engine->plan->kv.n_groups,
        .state_pages = engine->plan->kv.state_pages,
        .state_interval = engine->plan->kv.state_interval,
        .draft_tokens_max = engine->speculation.config.n_tokens,
        .prompt_logits = engine->prompt_logits,
        .seed = engine->seed,
        .generation = &engine->generation,
        .tokenizer = engine->tokenizer,
    };
    struct request *request;
    TRY(request_new(&limits, engine->next_number, ids->ids, (int32_t)ids->n, &sampling, &request));
    if (request->bytes > engine->request_bytes_max - engine->request_bytes) {
        request_free(request);
        return fail(ERR_BUSY,
                    "%d requests reserve %zu MiB of at most %zu for their answers; try again later",
                    engine->n_requests, engine->request_bytes >> 20,
                    engine->request_bytes_max >> 20);
    }
    request->priority = sampling.priority;
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

static enum status take_prompt(const struct colrow_prompt *given, struct colrow_prompt *out)
{
    enum { FIRST_SIZE = STRUCT_END(struct colrow_prompt, no_special_tokens) };
    *out = (struct colrow_prompt){0};
    return struct_take(out, sizeof *out, given,
                       given->struct_size ? given->struct_size : FIRST_SIZE, FIRST_SIZE,
                       "colrow_prompt", "use sizeof(struct colrow_prompt), or 0");
}

int colrow_submit(struct colrow_engine *engine, const struct colrow_prompt *given,
                  const struct colrow_sampling *sampling, colrow_callback callback, void *context,
                  uint64_t *number)
{
    if (engine->over)
        return engine_result(engine_fail(engine));
    struct token_ids ids;
    token_ids_init(&ids);
    struct request *request = NULL;
    struct colrow_prompt prompt;
    enum status status = take_prompt(given, &prompt);
    if (status == OK)
        status = encode_prompt(engine, &prompt, &ids);
    if (status == OK)
        status = make_request(engine, &ids, sampling, callback, context, &request);
    token_ids_fini(&ids);
    if (status != OK)
        return engine_result(of_a_request(status));
    request->previous = engine->last_request;
    *(engine->last_request ? &engine->last_request->next : &engine->first_request) = request;
    engine->last_request = request;
    engine->n_requests++;
    engine->request_bytes += request->bytes;
    request->submitted_ns = clock_ns();
    uint64_t scope = scope_of(engine, request, &prompt);
    for (int32_t i = 0; i < request->n; i++) {
        request->completions[i].sequence.scope = scope;
        request->completions[i].sequence.priority = engine->by_priority ? request->priority : 0;
        scheduler_add(&engine->scheduler, &request->completions[i].sequence);
    }
    engine_ring(engine);
    if (number)
        *number = request->number;
    return 0;
}
