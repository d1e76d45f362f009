// Requests for text on the loop: read on another thread, submitted, answered as tokens come.
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/json_writer.h"
#include "server/serve_state.h"

// ---- life ----

static void dequeue(struct serve_job *job)
{
    if (!job->queued)
        return;
    job->queued = false;
    job->server->n_queued--;
    job->server->queued_tokens -= job->queued_tokens;
}

static void free_job(struct serve_job *job)
{
    struct serve_server *server = job->server;
    assert(!job->exchange && job->n_open == 0 && !job->elsewhere);
    dequeue(job);
    *(job->previous ? &job->previous->next : &server->jobs) = job->next;
    if (job->next)
        job->next->previous = job->previous;
    server->n_jobs--;
    answer_free(job->answer);
    api_request_fini(&job->request);
    bytes_fini(&job->out);
    free(job->submissions);
    free(job->times);
    free(job->body);
    free(job);
}

static void run_elsewhere(struct serve_job *job, uv_work_cb work, uv_after_work_cb after)
{
    job->work.data = job;
    job->elsewhere = true;
    int failed = uv_queue_work(&job->server->loop, &job->work, work, after);
    assert(failed == 0); // only without a function to run
    (void)failed;
}

static void free_if_over(struct serve_job *job)
{
    if (!job->exchange && job->n_open == 0 && !job->elsewhere)
        free_job(job);
}

// Tells the engine of each request of the job: colrow_cancel(), colrow_pause(), colrow_resume().
static void tell_engine(struct serve_job *job, int (*what)(struct colrow_engine *, uint64_t))
{
    for (int i = 0; job->submissions && i < job->request.n_prompts; i++)
        if (job->submissions[i].submitted)
            // one that is over is unknown by now, which is as good
            (void)what(job->server->engine, job->submissions[i].number);
}

// ---- answers ----

static void count_choices(const struct serve_job *job)
{
    enum { ABORT, ERROR, LENGTH, REPETITION, STOP };
    for (int i = 0; job->answer && i < job->answer->n_choices; i++) {
        enum colrow_finish finish = job->answer->choices[i].finish;
        int label = finish == COLROW_STOP ? STOP : finish == COLROW_LENGTH ? LENGTH : ABORT;
        if (job->fault.status)
            label = ERROR;
        metric_add(&job->server->metrics, METRIC_REQUEST_SUCCESS_TOTAL, label, 1);
    }
}

// From the engine's having it to its first step, on to its first token, and to its last.
static void measure_choice(struct serve_job *job, int index)
{
    struct metrics *metrics = &job->server->metrics;
    const struct api_choice *choice = &job->answer->choices[index];
    const struct serve_times *times = &job->times[index];
    int n = choice->completion_tokens;
    metric_observe(metrics, METRIC_REQUEST_GENERATION_TOKENS, n);
    metric_observe(metrics, METRIC_REQUEST_MAX_NUM_GENERATION_TOKENS, n);
    metric_observe(metrics, METRIC_E2E_REQUEST_LATENCY_SECONDS,
                   (double)(clock_ns() - job->received_ns) * 1e-9);
    metric_observe(metrics, METRIC_REQUEST_NUM_PREEMPTIONS, choice->preemptions);
    if (!times->first_ns)
        return;
    double decode = (double)(times->last_ns - times->first_ns) * 1e-9;
    double to_first = (double)(times->first_ns - job->submitted_ns) * 1e-9;
    double prefill = to_first - choice->queue_seconds;
    metric_observe(metrics, METRIC_REQUEST_QUEUE_TIME_SECONDS, choice->queue_seconds);
    metric_observe(metrics, METRIC_REQUEST_PREFILL_TIME_SECONDS, prefill);
    metric_observe(metrics, METRIC_REQUEST_DECODE_TIME_SECONDS, decode);
    metric_observe(metrics, METRIC_REQUEST_INFERENCE_TIME_SECONDS, prefill + decode);
    if (n > 1)
        metric_observe(metrics, METRIC_REQUEST_TIME_PER_OUTPUT_TOKEN_SECONDS, decode / (n - 1));
}

static void count_end(struct serve_job *job)
{
    struct metrics *metrics = &job->server->metrics;
    const struct api_request *request = &job->request;
    count_choices(job);
    if (!job->answer || job->fault.status)
        return;
    for (int i = 0; i < request->n_prompts; i++) {
        int n = request->prompts[i].n_ids;
        size_t first = (size_t)i * (size_t)request->sampling.n;
        int cached = job->answer->choices[first].cached_tokens;
        metric_observe(metrics, METRIC_REQUEST_PROMPT_TOKENS, n);
        metric_observe(metrics, METRIC_REQUEST_PREFILL_KV_COMPUTED_TOKENS, n - cached);
        metric_observe(metrics, METRIC_REQUEST_PARAMS_N, request->sampling.n);
        metric_observe(metrics, METRIC_REQUEST_PARAMS_MAX_TOKENS, request->prompts[i].max_tokens);
    }
    for (int i = 0; i < job->answer->n_choices; i++)
        measure_choice(job, i);
}

// The client has its answer, or an error, or has left; what the engine still has is cancelled.
static void part_with_client(struct serve_job *job)
{
    count_end(job);
    serve_note_end(job->server, job);
    job->exchange = NULL;
    dequeue(job);
    if (job->n_open > 0)
        tell_engine(job, colrow_cancel);
}

// Anthropic's clients look for another object.
static void answer_messages_fault(struct serve_job *job, struct http_exchange *exchange)
{
    static const char name[] = "event: error\n";
    const struct api_fault *fault = &job->fault;
    struct json_writer writer;
    const char *type = fault->status == 404   ? "not_found_error"
                       : fault->status == 429 ? "rate_limit_error"
                       : fault->status == 503 ? "overloaded_error"
                       : fault->status >= 500 ? "api_error"
                                              : "invalid_request_error";
    bytes_clear(&job->out);
    json_writer_begin(&writer, &job->out);
    json_open_object(&writer, NULL);
    json_put_text(&writer, "type", "error");
    json_open_object(&writer, "error");
    json_put_text(&writer, "type", type);
    json_put_text(&writer, "message", fault->message);
    json_close_object(&writer);
    json_close_object(&writer);
    if (writer.status != OK) {
        http_answer_error(exchange, 503, NULL, NULL, "%s", status_message());
    } else if (job->streaming) {
        http_stream_send(exchange, name, sizeof name - 1);
        http_events_send(exchange, job->out.data, job->out.length);
        http_stream_end(exchange);
    } else {
        http_answer_json(exchange, fault->status, job->out.data, job->out.length);
    }
}

static void answer_fault(struct serve_job *job)
{
    const struct api_fault *fault = &job->fault;
    const char *param = fault->has_param ? fault->param : NULL;
    struct http_exchange *exchange = job->exchange;
    char *text;
    part_with_client(job);
    if (job->endpoint->kind == API_MESSAGES) {
        answer_messages_fault(job, exchange);
    } else if (!job->streaming) {
        http_answer_error(exchange, fault->status, fault->type, param, "%s", fault->message);
    } else if (http_error_text(fault->status, fault->type, param, fault->message, &text) == OK) {
        http_events_send(exchange, text, strlen(text));
        http_events_send(exchange, "[DONE]", 6);
        http_stream_end(exchange);
        free(text);
    } else {
        http_stream_abort(exchange);
    }
}

static void send_event(void *owner, const char *name, const char *text, size_t length)
{
    struct serve_job *job = owner;
    if (!job->exchange)
        return;
    if (!job->streaming)
        http_events_begin(job->exchange);
    job->streaming = true;
    if (name) {
        http_stream_send(job->exchange, "event: ", 7);
        http_stream_send(job->exchange, name, strlen(name));
        http_stream_send(job->exchange, "\n", 1);
    }
    http_events_send(job->exchange, text, length);
}

static void send_whole(struct serve_job *job, bool made)
{
    struct http_exchange *exchange = job->exchange;
    if (!made) {
        fault_with(&job->fault, 503, "ServiceUnavailableError", NULL,
                   "there is no memory for the answer");
        answer_fault(job);
        return;
    }
    part_with_client(job);
    http_answer_json(exchange, 200, job->out.data, job->out.length);
}

// On another thread.
static void write_whole(uv_work_t *work)
{
    struct serve_job *job = work->data;
    job->written = job->endpoint->form->whole(job->answer, &job->out) == OK;
}

static void whole_was_written(uv_work_t *work, int cancelled)
{
    struct serve_job *job = work->data;
    job->elsewhere = false;
    if (job->exchange)
        send_whole(job, job->written && !cancelled);
    free_if_over(job);
}

// Log-probabilities of a long prompt are megabytes of JSON: the loop must not stand still for them.
static bool takes_long(const struct serve_job *job)
{
    enum { ENTRIES_AT_ONCE = 4096 }; // some 2 ms
    const struct api_request *request = &job->request;
    int64_t entries = 0;
    for (int i = 0; i < request->n_prompts && request->prompt_logprobs >= 0; i++)
        entries += (int64_t)request->prompts[i].n_ids * (1 + request->prompt_logprobs);
    return entries > ENTRIES_AT_ONCE;
}

static void finish_answer(struct serve_job *job)
{
    struct http_exchange *exchange = job->exchange;
    if (job->request.stream) {
        if (job->answer->held)
            return; // the client has yet to take what is there
        part_with_client(job);
        http_stream_end(exchange);
        return;
    }
    if (takes_long(job)) {
        run_elsewhere(job, write_whole, whole_was_written);
        return;
    }
    send_whole(job, job->endpoint->form->whole(job->answer, &job->out) == OK);
}

// ---- streams that begin with a long prompt's log-probabilities ----

static void write_due(uv_work_t *work)
{
    struct serve_job *job = work->data;
    job->written = logprobs_write_prompt(job->answer, job->due) == OK;
}

static bool write_next_due(struct serve_job *job);

// What was held goes out, unless there is another reason to hold it.
static void let_go(struct serve_job *job)
{
    if (job->slow || job->elsewhere || !job->exchange)
        return;
    if (!fault_of_status(&job->fault, answer_hold(job->answer, false)))
        answer_fault(job);
    else if (job->exchange && job->n_open == 0)
        finish_answer(job);
}

static void due_was_written(uv_work_t *work, int cancelled)
{
    struct serve_job *job = work->data;
    job->elsewhere = false;
    if (job->exchange && (!job->written || cancelled)) {
        fault_with(&job->fault, 503, "ServiceUnavailableError", NULL,
                   "there is no memory for the answer");
        answer_fault(job);
    } else if (!write_next_due(job)) {
        let_go(job);
    }
    free_if_over(job);
}

// Says whether the answer waits for another thread.
static bool write_next_due(struct serve_job *job)
{
    if (job->elsewhere || !job->exchange || !job->answer->writes_apart)
        return job->elsewhere;
    for (job->due = 0; job->due < job->request.n_prompts; job->due++)
        if (logprobs_prompt_is_due(job->answer, job->due)) {
            run_elsewhere(job, write_due, due_was_written);
            return true;
        }
    return false;
}

// ---- what the engine hands out ----

static void measure_tokens_of(struct serve_job *job, int choice, const struct colrow_output *output)
{
    struct metrics *metrics = &job->server->metrics;
    int64_t now = clock_ns();
    if (output->n_ids == 0)
        return;
    if (!job->first_ns) {
        job->first_ns = now;
        dequeue(job);
        metric_observe(metrics, METRIC_TIME_TO_FIRST_TOKEN_SECONDS,
                       (double)(now - job->received_ns) * 1e-9);
    }
    struct serve_times *times = &job->times[choice];
    if (!times->first_ns) {
        times->first_ns = now;
    } else {
        double gap = (double)(now - times->last_ns) * 1e-9;
        metric_observe(metrics, METRIC_INTER_TOKEN_LATENCY_SECONDS, gap);
        metric_observe(metrics, METRIC_TIME_PER_OUTPUT_TOKEN_SECONDS, gap);
    }
    times->last_ns = now;
}

// The log has this id, too: somebody will look for what such a request was.
static bool fault_of_output(struct serve_job *job, const struct colrow_output *output)
{
    if (output->error_class != COLROW_ERROR_INTERNAL)
        return fault_of_engine(&job->fault, output->error_class, output->error);
    return fault_with(&job->fault, 500, "InternalServerError", NULL,
                      "the request with id %s failed: %s", job->log_id, output->error);
}

static void take_output(void *context, const struct colrow_output *output)
{
    struct serve_submission *submission = context;
    struct serve_job *job = submission->job;
    if (output->finish != COLROW_RUNNING)
        job->n_open--;
    if (!job->exchange) {
        free_if_over(job);
        return;
    }
    bool good = true;
    if (output->finish == COLROW_FAILED) {
        good = fault_of_output(job, output);
    } else if (output->finish == COLROW_CANCELLED) {
        good = fault_with(&job->fault, 503, "ServiceUnavailableError", NULL,
                          "the server is shutting down");
    } else {
        measure_tokens_of(job, submission->prompt * job->request.sampling.n + output->index,
                          output);
        good = fault_of_status(&job->fault, answer_add(job->answer, submission->prompt, output));
    }
    if (!good)
        answer_fault(job);
    else if (!write_next_due(job) && job->n_open == 0)
        finish_answer(job);
    free_if_over(job);
}

// ---- submitting ----

static bool submit_prompts(struct serve_job *job)
{
    struct api_request *request = &job->request;
    struct serve_server *server = job->server;
    const struct answer_sink sink = {send_event, job};
    size_t n = (size_t)request->n_prompts;
    enum status status = memory_new(n, sizeof *job->submissions, "a request", &job->submissions);
    if (status == OK)
        status = memory_new(n * (size_t)request->sampling.n, sizeof *job->times, "a request",
                            &job->times);
    if (status == OK)
        status = answer_new(request, &server->model, job->endpoint->form, &sink, &job->answer);
    if (!fault_of_status(&job->fault, status))
        return false;
    job->answer->writes_apart =
        request->stream && request->echo && request->want_logprobs && takes_long(job);
    job->submitted_ns = clock_ns();
    for (int i = 0; i < request->n_prompts; i++)
        job->queued_tokens += request->prompts[i].n_ids;
    server->queued_tokens += job->queued_tokens;
    for (int i = 0; i < request->n_prompts; i++) {
        const struct api_prompt *prompt = &request->prompts[i];
        const struct colrow_prompt ids = {.struct_size = sizeof ids,
                                          .ids = prompt->ids,
                                          .n_ids = prompt->n_ids,
                                          .cache_salt = request->cache_salt};
        struct serve_submission *submission = &job->submissions[i];
        struct colrow_sampling sampling = request->sampling;
        sampling.max_tokens = prompt->max_tokens;
        sampling.min_tokens = (int)request->min_tokens;
        sampling.priority = request->priority;
        *submission = (struct serve_submission){.job = job, .prompt = i};
        if (colrow_submit(server->engine, &ids, &sampling, take_output, submission,
                          &submission->number) != 0)
            return fault_of_engine(&job->fault, colrow_error_class(), colrow_error());
        submission->submitted = true;
        job->n_open += sampling.n;
    }
    return true;
}

// ---- reading, on another thread ----

static void read_job(uv_work_t *work)
{
    struct serve_job *job = work->data;
    const struct serve_endpoint *endpoint = job->endpoint;
    const struct api_model *model = &job->server->model;
    if (!api_body_parse(job->body, job->body_bytes, &job->request.body, &job->fault))
        return;
    if (endpoint->look_up)
        endpoint->look_up(model, job->request.body, &job->out, &job->fault);
    else
        endpoint->read(&job->request, model, *job->given_id ? job->given_id : NULL, &job->fault);
}

static void job_was_read(uv_work_t *work, int cancelled)
{
    struct serve_job *job = work->data;
    struct http_exchange *exchange = job->exchange;
    job->elsewhere = false;
    free(job->body); // the JSON has copies
    job->body = NULL;
    if (cancelled)
        fault_with(&job->fault, 503, "ServiceUnavailableError", NULL,
                   "the server is shutting down");
    if (!exchange) {
        free_if_over(job);
        return;
    }
    if (job->fault.status || (!job->endpoint->look_up && !submit_prompts(job))) {
        answer_fault(job);
    } else if (job->endpoint->look_up) {
        part_with_client(job);
        http_answer_json(exchange, 200, job->out.data, job->out.length);
    }
    free_if_over(job);
}

// ---- the exchange ----

static void client_is_gone(void *owner)
{
    struct serve_job *job = owner;
    part_with_client(job);
    free_if_over(job);
}

// A client reads slowly: no more is computed for it. What the step under way still brings is kept.
static void client_is_slow(void *owner)
{
    struct serve_job *job = owner;
    if (!job->answer)
        return;
    job->slow = true;
    tell_engine(job, colrow_pause);
    if (!fault_of_status(&job->fault, answer_hold(job->answer, true)))
        answer_fault(job);
}

static void client_reads_again(void *owner)
{
    struct serve_job *job = owner;
    if (!job->answer)
        return;
    job->slow = false;
    tell_engine(job, colrow_resume);
    let_go(job);
    free_if_over(job);
}

// 429 where the queue is full.
static bool admit(struct serve_server *server, struct http_exchange *exchange)
{
    enum { REQUESTS, TOKENS };
    const struct serve_options *options = server->options;
    bool too_many = options->max_num_queued_requests > 0 &&
                    server->n_queued >= options->max_num_queued_requests;
    bool too_long = options->max_num_queued_tokens > 0 &&
                    server->queued_tokens >= options->max_num_queued_tokens;
    if (!too_many && !too_long)
        return true;
    metric_add(&server->metrics, METRIC_ADMISSION_REJECTIONS_TOTAL, too_many ? REQUESTS : TOKENS,
               1);
    http_answer_error(exchange, 429, "TooManyRequestsError", NULL,
                      "%d requests with %lld tokens are waiting already (%s); try again later",
                      server->n_queued, (long long)server->queued_tokens,
                      too_many ? "--max-num-queued-requests" : "--max-num-queued-tokens");
    return false;
}

static enum status new_job(struct serve_server *server, const struct http_request *request,
                           struct serve_job **out)
{
    struct serve_job *job;
    TRY(memory_new(1, sizeof *job, "a request", &job));
    enum status status = memory_new(request->body_bytes + 1, 1, "a request's body", &job->body);
    if (status != OK) {
        free(job);
        return status;
    }
    memcpy(job->body, request->body, request->body_bytes);
    job->body_bytes = request->body_bytes;
    job->server = server;
    job->received_ns = request->received_ns;
    bytes_init(&job->out);
    job->next = server->jobs;
    if (job->next)
        job->next->previous = job;
    server->jobs = job;
    server->n_jobs++;
    *out = job;
    return OK;
}

void serve_job_begin(struct http_exchange *exchange, void *owner)
{
    const struct serve_binding *binding = owner;
    struct serve_server *server = binding->server;
    const struct http_request *request = http_exchange_request(exchange);
    struct serve_job *job;
    if (!serve_is_loaded(server, exchange))
        return;
    if (!http_request_is_json(request)) {
        http_answer_error(exchange, 400, "Bad Request", NULL,
                          "Content-Type is not application/json");
        return;
    }
    if (!binding->endpoint->look_up && !admit(server, exchange))
        return;
    if (new_job(server, request, &job) != OK) {
        http_answer_error(exchange, 503, NULL, NULL, "%s", status_message());
        return;
    }
    job->endpoint = binding->endpoint;
    job->exchange = exchange;
    job->queued = !binding->endpoint->look_up; // from now on: many may come before one is read
    server->n_queued += job->queued;
    api_request_init(&job->request, binding->endpoint->kind);
    snprintf(job->log_id, sizeof job->log_id, "%s", request->id);
    if (request->id_given)
        snprintf(job->given_id, sizeof job->given_id, "%s", request->id);
    const struct http_watch watch = {client_is_gone, client_is_slow, client_reads_again, job};
    http_exchange_watch(exchange, &watch);
    run_elsewhere(job, read_job, job_was_read);
}

void serve_jobs_cancel(struct serve_server *server, const char *why)
{
    for (struct serve_job *job = server->jobs, *next; job; job = next) {
        next = job->next;
        if (!job->exchange)
            continue;
        fault_with(&job->fault, 503, "ServiceUnavailableError", NULL, "%s", why);
        answer_fault(job);
        free_if_over(job);
    }
}

void serve_jobs_fini(struct serve_server *server)
{
    for (struct serve_job *job = server->jobs, *next; job; job = next) {
        next = job->next;
        job->exchange = NULL;
        job->n_open = 0; // the engine calls nobody any more
        free_job(job);
    }
}
