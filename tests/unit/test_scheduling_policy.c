// Who is answered first, and who starts over, with real ranks.
#include "engine_client.h"
#include "toy_llama.h"

enum { REQUESTS = 6, TOKENS = 240 };

static struct answer answers[REQUESTS], first[REQUESTS];
static int order[REQUESTS], n_over, preemptions[REQUESTS];
static const int64_t priorities[REQUESTS] = {0, 7, -3, INT64_MAX, INT64_MIN, -3};

static void collect(void *context, const struct colrow_output *output)
{
    struct answer *answer = context;
    client_collect(answer, output);
    if (output->finish == COLROW_RUNNING)
        return;
    preemptions[answer - answers] = output->preemptions;
    order[n_over++] = (int)(answer - answers);
}

static void submit(struct colrow_engine *engine, int i)
{
    struct colrow_sampling sampling = client_sampling(TOKENS);
    sampling.ignore_eos = 1;
    sampling.priority = priorities[i];
    char text[32];
    snprintf(text, sizeof text, "request %d", i);
    struct colrow_prompt prompt = {.text = text};
    memset(&answers[i], 0, sizeof answers[i]);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, collect, &answers[i], NULL), 0);
}

// All at once, but for `early`, which runs already; -1: none.
static void ask_all(const struct colrow_options *options, int early)
{
    struct colrow_engine *engine = client_open(options);
    n_over = 0;
    if (early >= 0)
        submit(engine, early);
    for (int step = 0; step < 3 && early >= 0; step++)
        assert_true(colrow_step(engine) > 0);
    for (int i = 0; i < REQUESTS; i++)
        if (i != early)
            submit(engine, i);
    client_run(engine);
    assert_int_equal(n_over, REQUESTS);
    colrow_close(engine);
}

static void the_order_is_the_policys(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    options.kv_cache_memory = 16 << 20;
    options.max_num_seqs = 1;
    ask_all(&options, -1);
    for (int i = 0; i < REQUESTS; i++)
        assert_int_equal(order[i], i);
    memcpy(first, answers, sizeof first);
    options.scheduling_policy = "priority";
    ask_all(&options, -1);
    const int urgent_first[] = {4, 2, 5, 0, 1, 3};
    assert_memory_equal(order, urgent_first, sizeof order);
    for (int i = 0; i < REQUESTS; i++)
        assert_answers_equal(&answers[i], &first[i]);
}

// Eight pages for sequences of four each: some start over. The least urgent one came first, so that
// it is the last one to start over where only arrival counts.
static void the_least_urgent_start_over(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    const int64_t page_bytes =
        64 * 2 * 2 * TOY_LAYERS * (TOY_HIDDEN / TOY_HEADS) * (int64_t)TOY_KV_HEADS;
    options.max_model_len = 256;
    options.kv_cache_memory = 8 * page_bytes;
    for (int by_priority = 0; by_priority <= 1; by_priority++) {
        options.scheduling_policy = by_priority ? "priority" : NULL;
        ask_all(&options, 3);
        assert_true(by_priority ? preemptions[3] > 0 : preemptions[3] == 0);
        assert_true(!by_priority || preemptions[4] == 0);
        for (int i = 0; i < REQUESTS; i++)
            assert_answers_equal(&answers[i], &first[i]);
    }
}

static void unknown_policies_are_refused(void **state)
{
    (void)state;
    struct colrow_engine *engine;
    struct colrow_options options = client_options(toy.folder, 1);
    options.scheduling_policy = "fair";
    assert_int_equal(colrow_open(&options, &engine), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    assert_non_null(strstr(colrow_error(), "\"fair\"; expected fcfs"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_is_the_policys),
        cmocka_unit_test(the_least_urgent_start_over),
        cmocka_unit_test(unknown_policies_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
