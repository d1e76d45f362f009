// One request of each kind, and what an undisturbed engine answers: for tests that disturb one.
#ifndef COLROW_TESTS_REQUEST_KINDS_H
#define COLROW_TESTS_REQUEST_KINDS_H

#include "engine_client.h"
#include "toy_llama.h"

enum { PAGE = 64, SEVERAL = 3, LONG_PROMPT = 300 };
static const int64_t page_bytes =
    (int64_t)PAGE * 2 * 2 * TOY_LAYERS * (TOY_HIDDEN / TOY_HEADS) * TOY_KV_HEADS;

// One request of each kind.
enum kind {
    GREEDY,
    SEEDED,
    UNSEEDED,
    OF_SEVERAL,
    PENALIZED,
    WITH_LOGPROBS,
    STOPPED,
    PROMPT_LOGITS,
    LONG,
    LONG_POLLED,
    PAUSED,
    CANCELLED,
    KINDS
};
static struct answer expected[KINDS][SEVERAL], answers[KINDS][SEVERAL];
static char long_prompt[LONG_PROMPT + 1];
static char stops[2][8]; // the first one is seen half before the second one ends the answer

static inline struct colrow_sampling sampling_of(enum kind kind)
{
    static const char *const texts[] = {stops[0], stops[1]};
    struct colrow_sampling s = client_sampling(50 + 3 * (int)kind);
    s.ignore_eos = 1;
    s.has_seed = kind != UNSEEDED;
    s.seed = (uint64_t)kind;
    s.temperature = kind == GREEDY || kind == STOPPED || kind == LONG ? 0 : 0.9;
    s.n = kind == OF_SEVERAL ? SEVERAL : 1;
    if (kind == PENALIZED) {
        s.repetition_penalty = 1.2;
        s.presence_penalty = 0.3;
        s.frequency_penalty = 0.4;
    }
    if (kind == WITH_LOGPROBS)
        s.logprobs = 3;
    if (kind == STOPPED && stops[1][0]) {
        s.stop = texts;
        s.n_stop = 2;
    }
    s.prompt_logits = kind == PROMPT_LOGITS;
    return s;
}

static inline void submit_kind(struct colrow_engine *engine, enum kind kind, struct answer *to)
{
    struct colrow_sampling sampling = sampling_of(kind);
    struct colrow_prompt prompt = {.text = "hello"};
    if (kind >= PROMPT_LOGITS && kind <= LONG_POLLED)
        prompt.text = long_prompt + (kind == PROMPT_LOGITS ? 220 : 0);
    colrow_callback callback = kind == LONG_POLLED ? NULL : client_collect;
    memset(to, 0, SEVERAL * sizeof *to);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, callback, to, &to->request), 0);
}

static inline void submit_all(struct colrow_engine *engine, struct answer to[KINDS][SEVERAL])
{
    for (int kind = 0; kind < KINDS; kind++)
        submit_kind(engine, (enum kind)kind, to[kind]);
}

static inline void take_polled(struct colrow_engine *engine, struct answer to[KINDS][SEVERAL])
{
    struct colrow_output output;
    while (colrow_poll(engine, 0, &output) == 1)
        client_collect(to[LONG_POLLED], &output);
}

static inline struct colrow_options options_for(int tp)
{
    struct colrow_options options = client_options(toy.folder, tp);
    options.max_num_batched_tokens = 24;
    options.max_num_seqs = 6; // the rest waits
    options.prompt_logits = 1;
    return options;
}

// Stops that the greedy answer has: half of one at two thirds of it, the other whole after that.
static inline void choose_stops(const struct answer *greedy)
{
    size_t at = greedy->length * 2 / 3;
    memcpy(stops[0], greedy->text + at, 3);
    stops[0][3] = '\x01';
    memcpy(stops[1], greedy->text + at + 3, 5);
}

static inline int kinds_set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < LONG_PROMPT; i++)
        long_prompt[i] = (char)('a' + i * 7 % 26);
    for (int round = 0; round < 2; round++) { // the second one with stops
        struct colrow_options options = options_for(1);
        struct colrow_engine *engine = client_open(&options);
        submit_all(engine, expected);
        client_run(engine);
        take_polled(engine, expected);
        colrow_close(engine);
        if (round == 0) {
            choose_stops(expected[STOPPED]);
            client_forget(expected[PROMPT_LOGITS]);
        }
    }
    assert_int_equal(expected[STOPPED]->finish, COLROW_STOP);
    assert_string_equal(expected[STOPPED]->reason, stops[1]);
    return 0;
}

static inline int kinds_tear_down(void **state)
{
    (void)state;
    client_forget(expected[PROMPT_LOGITS]);
    toy_llama_free(&toy);
    return 0;
}

static inline void assert_whole(enum kind kind, const struct answer *answer,
                                const struct answer *want)
{
    assert_int_equal(answer->n_ends, 1);
    if (answer->finish == COLROW_FAILED)
        print_error("kind %d failed: %s\n", (int)kind, answer->error);
    assert_answers_equal(answer, want);
    assert_string_equal(answer->reason, want->reason);
    assert_int_equal(answer->n_logprobs, want->n_logprobs);
    assert_memory_equal(answer->logprobs, want->logprobs,
                        (size_t)want->n_ids * sizeof want->logprobs[0]);
    assert_int_equal(answer->n_prompt_logits, want->n_prompt_logits);
    if (want->n_prompt_logits)
        assert_memory_equal(answer->prompt_logits, want->prompt_logits,
                            (size_t)want->n_prompt_logits * TOY_VOCAB * sizeof(float));
}

static inline void assert_all_whole(void)
{
    for (int kind = 0; kind < KINDS; kind++)
        for (int i = 0; i < sampling_of((enum kind)kind).n; i++) {
            const struct answer *answer = &answers[kind][i], *want = &expected[kind][i];
            if (kind != CANCELLED) {
                assert_whole((enum kind)kind, answer, want);
                continue;
            }
            assert_int_equal(answer->finish, COLROW_CANCELLED);
            assert_int_equal(answer->n_ends, 1);
            assert_true(answer->n_ids < want->n_ids);
            assert_memory_equal(answer->ids, want->ids, (size_t)answer->n_ids * sizeof(int32_t));
            assert_memory_equal(answer->text, want->text, answer->length);
        }
    client_forget(answers[PROMPT_LOGITS]);
}

#endif
