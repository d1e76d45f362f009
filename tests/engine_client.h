// A user of the public API, for tests: opens engines with few lines and collects what callbacks
// bring.
#ifndef COLROW_TESTS_ENGINE_CLIENT_H
#define COLROW_TESTS_ENGINE_CLIENT_H

#include "testing.h"

#include <colrow/colrow.h>
#include <poll.h>
#include <signal.h>

enum { ANSWER_TOKENS = 600 };

struct answer {
    int32_t ids[ANSWER_TOKENS];
    int n_ids, n_outputs, n_ends, prompt_tokens;
    char text[16 * ANSWER_TOKENS];
    size_t length;
    enum colrow_finish finish;
    char reason[256], error[2048];
    enum colrow_error_class error_class;
    float *prompt_logits; // grows
    int n_prompt_logits;
    struct colrow_logprob logprobs[ANSWER_TOKENS][8];
    int n_logprobs;
    uint64_t request;
};

// One answer, or n of them for requests with n > 1.
static inline void client_collect(void *context, const struct colrow_output *output)
{
    struct answer *answer = (struct answer *)context + output->index;
    assert_int_equal(answer->n_ends, 0); // nothing comes after the end
    assert_true(answer->n_ids + output->n_ids <= ANSWER_TOKENS);
    memcpy(answer->ids + answer->n_ids, output->ids, (size_t)output->n_ids * sizeof *output->ids);
    for (int i = 0; i < output->n_ids && output->logprobs && output->n_logprobs <= 8; i++)
        memcpy(answer->logprobs[answer->n_ids + i], output->logprobs + i * output->n_logprobs,
               (size_t)output->n_logprobs * sizeof *output->logprobs);
    answer->n_logprobs = output->n_logprobs;
    answer->n_ids += output->n_ids;
    assert_int_equal(output->text[output->text_length], 0); // U+0000 may stand inside
    memcpy(answer->text + answer->length, output->text, output->text_length + 1);
    answer->length += output->text_length;
    if (output->n_prompt_logits) {
        assert_int_equal(output->prompt_position, answer->n_prompt_logits);
        size_t row = 260 * sizeof(float); // TOY_VOCAB
        answer->prompt_logits =
            realloc(answer->prompt_logits,
                    (size_t)(answer->n_prompt_logits + output->n_prompt_logits) * row);
        memcpy((char *)answer->prompt_logits + (size_t)answer->n_prompt_logits * row,
               output->prompt_logits, (size_t)output->n_prompt_logits * row);
        answer->n_prompt_logits += output->n_prompt_logits;
    }
    assert_int_equal(output->completion_tokens, answer->n_ids);
    answer->prompt_tokens = output->prompt_tokens;
    answer->finish = output->finish;
    answer->n_ends += output->finish != COLROW_RUNNING;
    snprintf(answer->reason, sizeof answer->reason, "%s",
             output->stop_reason ? output->stop_reason : "");
    snprintf(answer->error, sizeof answer->error, "%s", output->error ? output->error : "");
    answer->error_class = output->error_class;
    answer->request = output->request;
    answer->n_outputs++;
}

static inline struct colrow_options client_options(const char *model, int tp)
{
    struct colrow_options options;
    colrow_options_init(&options);
    options.model = model;
    options.tensor_parallel_size = tp;
    options.rank_program = COLROW_BINARY;
    options.threads_per_rank = 1;
    options.log_level = 3;
    return options;
}

static inline struct colrow_engine *client_open(const struct colrow_options *options)
{
    struct colrow_engine *engine = NULL;
    if (colrow_open(options, &engine) != 0)
        print_error("colrow_open: %s\n", colrow_error());
    assert_non_null(engine);
    return engine;
}

static inline struct colrow_sampling client_sampling(int max_tokens)
{
    struct colrow_sampling sampling;
    colrow_sampling_init(NULL, &sampling);
    sampling.max_tokens = max_tokens;
    return sampling;
}

static inline void client_submit(struct colrow_engine *engine, const char *prompt,
                                 const struct colrow_sampling *sampling, struct answer *answer)
{
    memset(answer, 0, (size_t)sampling->n * sizeof *answer);
    struct colrow_prompt text = {.text = prompt};
    if (colrow_submit(engine, &text, sampling, client_collect, answer, NULL) != 0) {
        print_error("colrow_submit: %s\n", colrow_error());
        assert_true(0);
    }
}

static inline void client_run(struct colrow_engine *engine)
{
    int alive, steps = 0;
    while ((alive = colrow_step(engine)) > 0)
        assert_true(++steps < 100000);
    if (alive < 0)
        print_error("colrow_step: %s\n", colrow_error());
    assert_int_equal(alive, 0);
}

// As an event loop does: nothing but the file descriptor says when to look.
static inline int client_sleep_and_advance(struct colrow_engine *engine)
{
    struct pollfd event = {.fd = colrow_fd(engine), .events = POLLIN};
    assert_int_equal(poll(&event, 1, 20000), 1);
    return colrow_advance(engine);
}

static inline struct colrow_gauges client_gauges(const struct colrow_engine *engine)
{
    struct colrow_gauges gauges;
    colrow_get_gauges(engine, &gauges);
    return gauges;
}

static inline struct colrow_statistics client_statistics(const struct colrow_engine *engine)
{
    struct colrow_statistics statistics;
    colrow_get_statistics(engine, &statistics);
    return statistics;
}

static inline int client_rank_pid(const struct colrow_engine *engine, int rank)
{
    struct colrow_rank_statistics statistics;
    assert_int_equal(colrow_get_rank_statistics(engine, rank, &statistics), 0);
    return statistics.pid;
}

static inline void client_kill_rank(const struct colrow_engine *engine, int rank, int signal)
{
    int pid = client_rank_pid(engine, rank);
    assert_true(pid > 0);
    assert_int_equal(kill(pid, signal), 0);
}

static inline void client_ask(struct colrow_engine *engine, const char *prompt,
                              const struct colrow_sampling *sampling, struct answer *answer)
{
    client_submit(engine, prompt, sampling, answer);
    client_run(engine);
    for (int i = 0; i < sampling->n; i++)
        assert_int_equal(answer[i].n_ends, 1);
}

static inline void client_forget(struct answer *answer)
{
    free(answer->prompt_logits);
    answer->prompt_logits = NULL;
}

static inline void assert_answers_equal(const struct answer *a, const struct answer *b)
{
    assert_int_equal(a->n_ids, b->n_ids);
    assert_memory_equal(a->ids, b->ids, (size_t)a->n_ids * sizeof *a->ids);
    assert_int_equal(a->length, b->length);
    assert_memory_equal(a->text, b->text, a->length);
    assert_int_equal(a->finish, b->finish);
}

#endif
