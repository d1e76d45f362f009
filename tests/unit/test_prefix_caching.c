// The prefix cache in a whole engine, with real ranks: a hit changes no bit of any answer.
#include "engine_client.h"
#include "toy_llama.h"

#include <signal.h>

enum { PROMPTS = 6, TOKENS = 40, PAGE = 64 };

static const int64_t page_bytes =
    (int64_t)PAGE * 2 * 2 * TOY_LAYERS * (TOY_HIDDEN / TOY_HEADS) * TOY_KV_HEADS;
static char prompts[PROMPTS][400];
static struct answer expected[PROMPTS], answers[PROMPTS], many[8];

// As colrow_output says at the end; collected beside the answer.
struct cached_answer {
    struct answer *answer;
    int cached_tokens, preemptions;
    double queue_seconds;
};

static void collect(void *context, const struct colrow_output *output)
{
    struct cached_answer *cached = context;
    client_collect(cached->answer, output);
    cached->cached_tokens = output->cached_tokens;
    cached->preemptions = output->preemptions;
    cached->queue_seconds = output->queue_seconds;
}

static struct colrow_sampling sampling_for(int i)
{
    struct colrow_sampling sampling = client_sampling(TOKENS);
    sampling.ignore_eos = 1;
    sampling.logprobs = 3;
    sampling.has_seed = 1;
    sampling.seed = (uint64_t)i;
    sampling.temperature = i % 2 ? 0.9 : 0;
    return sampling;
}

static void submit_salted(struct colrow_engine *engine, int i, const char *salt,
                          struct cached_answer *to)
{
    struct colrow_sampling sampling = sampling_for(i);
    struct colrow_prompt prompt = {
        .struct_size = sizeof prompt, .text = prompts[i], .cache_salt = salt};
    memset(to->answer, 0, sizeof *to->answer);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, collect, to, NULL), 0);
}

static void submit(struct colrow_engine *engine, int i, struct cached_answer *to)
{
    submit_salted(engine, i, NULL, to);
}

// Shares no page with the other prompts.
static void submit_apart(struct colrow_engine *engine, int i, struct cached_answer *to)
{
    const char salt[] = {(char)('a' + i), '\0'};
    submit_salted(engine, i, salt, to);
}

static void assert_as_expected(const struct answer *answer, int i)
{
    assert_answers_equal(answer, &expected[i]);
    assert_memory_equal(answer->logprobs, expected[i].logprobs,
                        sizeof answer->logprobs[0] * (size_t)answer->n_ids);
}

static struct colrow_options small_options(int tp)
{
    struct colrow_options options = client_options(toy.folder, tp);
    options.kv_cache_memory = 16 << 20;
    return options;
}

// Prompts with 150 to 300 tokens in common, and the answers of an engine without the cache.
static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < PROMPTS; i++) {
        for (int c = 0; c < 150 + 30 * i; c++)
            prompts[i][c] = (char)('a' + c * c % 23);
        snprintf(prompts[i] + 150 + 30 * i, 30, " and then %d came", i);
    }
    struct colrow_options options = small_options(1);
    options.enable_prefix_caching = 0;
    struct colrow_engine *engine = client_open(&options);
    for (int i = 0; i < PROMPTS; i++) {
        struct colrow_sampling sampling = sampling_for(i);
        client_ask(engine, prompts[i], &sampling, &expected[i]);
    }
    assert_int_equal(client_statistics(engine).prefix_cache_hits, 0);
    colrow_close(engine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    toy_llama_free(&toy);
    return 0;
}

// One after the other, then all at once, then all once more.
static void check_all(const struct colrow_options *options)
{
    struct colrow_engine *engine = client_open(options);
    struct cached_answer cached[PROMPTS] = {{0}};
    for (int i = 0; i < PROMPTS; i++) {
        cached[i].answer = &answers[i];
        submit(engine, i, &cached[i]);
        client_run(engine);
        assert_as_expected(&answers[i], i);
        // what it has in common with the one before, in whole pages
        assert_int_equal(cached[i].cached_tokens, i ? (1 + 120 + 30 * i) / PAGE * PAGE : 0);
    }
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < PROMPTS; i++)
            submit(engine, i, &cached[i]);
        client_run(engine);
        for (int i = 0; i < PROMPTS; i++) {
            assert_as_expected(&answers[i], i);
            assert_int_equal(cached[i].cached_tokens,
                             (int)(strlen(prompts[i])) / PAGE * PAGE); // and <s>, less one
            assert_true(cached[i].queue_seconds > 0);
        }
    }
    struct colrow_gauges gauges;
    colrow_get_gauges(engine, &gauges);
    assert_int_equal(gauges.kv_pages_used, 0); // known pages are free ones
    colrow_close(engine);
}

static void hits_change_no_bit(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 3; tp++)
        for (int chunk = 17; chunk <= 512; chunk *= 5) {
            struct colrow_options options = small_options(tp);
            options.max_num_batched_tokens = chunk;
            check_all(&options);
        }
}

// Twelve pages for six prompts of three to five pages each: pages are taken from the cache, and
// sequences start over.
static void the_same_under_pressure(void **state)
{
    (void)state;
    for (int tp = 1; tp <= 2; tp++) {
        struct colrow_options options = small_options(tp);
        options.max_model_len = 400;
        options.kv_cache_memory = 12 * page_bytes;
        struct colrow_engine *engine = client_open(&options);
        struct colrow_info info;
        colrow_get_info(engine, &info);
        assert_int_equal(info.kv_pages, 12);
        assert_int_equal(info.prefix_caching, 1);
        struct cached_answer cached[PROMPTS] = {{0}};
        for (int round = 0; round < 4; round++) {
            for (int k = 0; k < PROMPTS; k++) {
                int i = round % 2 ? PROMPTS - 1 - k : k;
                cached[i].answer = &answers[i];
                submit(engine, i, &cached[i]);
            }
            client_run(engine);
            for (int i = 0; i < PROMPTS; i++)
                assert_as_expected(&answers[i], i);
        }
        assert_true(client_statistics(engine).prefix_cache_hits > 0);
        assert_true(client_statistics(engine).preemptions > 0);
        colrow_close(engine);
    }
}

// Seven pages, so that each prompt pushes the others out, to host memory; each comes back from
// there, also after ranks were lost, when nothing is there any more.
static void offloaded_pages_come_back(void **state)
{
    (void)state;
    const int threads[] = {2, 1};
    for (int tp = 1; tp <= 2; tp++) {
        struct colrow_options options = small_options(tp);
        options.max_model_len = 400;
        options.threads_per_rank = threads[tp - 1];
        options.kv_cache_memory = 7 * page_bytes;
        options.kv_offloading_size = 60.5 * (double)page_bytes / (double)(1 << 30);
        options.restarts = 0;
        struct colrow_engine *engine = client_open(&options);
        struct colrow_info info;
        colrow_get_info(engine, &info);
        assert_int_equal(info.kv_pages, 7);
        assert_int_equal(info.kv_host_pages, 60);
        struct cached_answer cached = {.answer = &answers[0]};
        for (int round = 0; round < 3; round++)
            for (int i = 0; i < PROMPTS; i++) {
                submit_apart(engine, i, &cached);
                client_run(engine);
                assert_as_expected(&answers[0], i);
                if (round > 0)
                    assert_int_equal(cached.cached_tokens, (int)(strlen(prompts[i])) / PAGE * PAGE);
            }
        struct colrow_statistics statistics = client_statistics(engine);
        assert_true(statistics.kv_pages_loaded >= 2 * 2 * PROMPTS);
        assert_true(statistics.kv_pages_offloaded >= statistics.kv_pages_loaded);
        assert_true(statistics.prefix_cache_host_hits > 0);
        struct colrow_rank_statistics rank;
        assert_int_equal(colrow_get_rank_statistics(engine, 0, &rank), 0);
        assert_true(rank.host_kv_bytes > 0);
        kill(rank.pid, SIGKILL);
        submit(engine, 0, &cached);
        while (colrow_step(engine) > 0)
            ;
        assert_int_equal(answers[0].finish, COLROW_FAILED);
        assert_int_equal(colrow_restart(engine), 0);
        for (int i = 0; i < PROMPTS; i++) {
            submit_apart(engine, i, &cached);
            client_run(engine);
            assert_as_expected(&answers[0], i);
            assert_int_equal(cached.cached_tokens, 0);
        }
        colrow_close(engine);
    }
}

// All at once: sequences start over, and find in host memory what they had.
static void starting_over_from_host_memory(void **state)
{
    (void)state;
    struct colrow_options options = small_options(2);
    options.max_model_len = 400;
    options.kv_cache_memory = 12 * page_bytes;
    options.kv_offloading_size = 100.5 * (double)page_bytes / (double)(1 << 30);
    struct colrow_engine *engine = client_open(&options);
    struct cached_answer cached[PROMPTS] = {{0}};
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < PROMPTS; i++) {
            cached[i].answer = &answers[i];
            submit_apart(engine, i, &cached[i]);
        }
        client_run(engine);
        for (int i = 0; i < PROMPTS; i++)
            assert_as_expected(&answers[i], i);
    }
    assert_true(client_statistics(engine).preemptions > 0);
    assert_true(client_statistics(engine).kv_pages_loaded > 0);
    colrow_close(engine);
}

static void check_refused(const struct colrow_options *options, const char *sentence)
{
    struct colrow_engine *engine;
    assert_int_equal(colrow_open(options, &engine), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    if (!strstr(colrow_error(), sentence))
        print_error("%s\n", colrow_error());
    assert_non_null(strstr(colrow_error(), sentence));
}

static void offloading_that_cannot_be_is_refused(void **state)
{
    (void)state;
    struct colrow_options options = small_options(1);
    options.kv_offloading_size = 0.001;
    options.enable_prefix_caching = 0;
    check_refused(&options, "but prefix caching is off");
    options.enable_prefix_caching = 1;
    options.kv_offloading_size = 1e-6;
    check_refused(&options, "and a page takes 16.4 KB");
    options.kv_offloading_size = -1;
    check_refused(&options, "kv_offloading_size is -1");
}

static void n_answers_compute_their_prompt_once(void **state)
{
    (void)state;
    for (int caching = 0; caching <= 1; caching++) {
        struct colrow_options options = small_options(2);
        options.enable_prefix_caching = caching;
        struct colrow_engine *engine = client_open(&options);
        struct colrow_sampling sampling = sampling_for(5);
        sampling.n = 8;
        client_ask(engine, prompts[5], &sampling, many);
        assert_as_expected(&many[0], 5);
        struct colrow_statistics statistics = client_statistics(engine);
        uint64_t n_prompt = strlen(prompts[5]) + 1, shared = (n_prompt - 1) / PAGE * PAGE;
        uint64_t computed = statistics.prefill_tokens + statistics.decode_tokens;
        assert_int_equal(computed, n_prompt + 7 * (n_prompt - shared) + 8 * (TOKENS - 1));
        colrow_close(engine);
    }
}

static void logits_of_prompts_are_computed(void **state)
{
    (void)state;
    struct colrow_options options = small_options(2);
    options.prompt_logits = 1;
    struct colrow_engine *engine = client_open(&options);
    struct colrow_sampling sampling = sampling_for(0);
    sampling.prompt_logits = 1;
    static struct answer first, second;
    client_ask(engine, prompts[2], &sampling, &first);
    client_ask(engine, prompts[2], &sampling, &second);
    assert_int_equal(client_statistics(engine).prefix_cache_queries, 0);
    assert_int_equal(second.n_prompt_logits, (int)strlen(prompts[2]) + 1);
    assert_int_equal(first.n_prompt_logits, second.n_prompt_logits);
    assert_memory_equal(first.prompt_logits, second.prompt_logits,
                        (size_t)first.n_prompt_logits * TOY_VOCAB * sizeof(float));
    assert_answers_equal(&first, &second);
    client_forget(&first);
    client_forget(&second);
    colrow_close(engine);
}

static void salts_keep_prompts_apart(void **state)
{
    (void)state;
    struct colrow_options options = small_options(1);
    struct colrow_engine *engine = client_open(&options);
    const char *const salts[] = {NULL, "a", "b", "a", NULL};
    const bool hits[] = {false, false, false, true, true};
    for (int i = 0; i < 5; i++) {
        struct cached_answer cached = {.answer = &answers[0]};
        submit_salted(engine, 3, salts[i], &cached);
        client_run(engine);
        assert_as_expected(&answers[0], 3);
        assert_int_equal(cached.cached_tokens > 0, hits[i]);
    }
    colrow_close(engine);
}

// The pages of ranks that were started again hold nothing.
static void lost_ranks_lose_the_cache(void **state)
{
    (void)state;
    struct colrow_options options = small_options(2);
    options.restarts = 0;
    struct colrow_engine *engine = client_open(&options);
    struct cached_answer cached = {.answer = &answers[0]};
    const int expected_tokens[] = {0, 256, 0, 256};
    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            struct colrow_rank_statistics rank;
            assert_int_equal(colrow_get_rank_statistics(engine, 1, &rank), 0);
            submit(engine, 4, &cached);
            assert_true(colrow_step(engine) > 0);
            kill(rank.pid, SIGKILL);
            while (colrow_step(engine) > 0)
                ;
            assert_int_equal(answers[0].finish, COLROW_FAILED);
            assert_int_equal(colrow_restart(engine), 0);
        }
        submit(engine, 4, &cached);
        client_run(engine);
        assert_as_expected(&answers[0], 4);
        assert_int_equal(cached.cached_tokens, expected_tokens[i]);
    }
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hits_change_no_bit),
        cmocka_unit_test(the_same_under_pressure),
        cmocka_unit_test(offloaded_pages_come_back),
        cmocka_unit_test(starting_over_from_host_memory),
        cmocka_unit_test(offloading_that_cannot_be_is_refused),
        cmocka_unit_test(n_answers_compute_their_prompt_once),
        cmocka_unit_test(logits_of_prompts_are_computed),
        cmocka_unit_test(salts_keep_prompts_apart),
        cmocka_unit_test(lost_ranks_lose_the_cache),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
