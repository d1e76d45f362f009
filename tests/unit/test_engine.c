// One answer, whatever the split, the batch, the chunks and the pool.
#include "device/kernels.h"
#include "engine_client.h"
#include "toy_llama.h"

enum { PROMPTS = 16 };
static char prompts[PROMPTS][256];
static struct answer alone[PROMPTS], answers[PROMPTS];

// Half of the requests greedy, half drawn, all in need of different things.
static struct colrow_sampling sampling_of(int i)
{
    struct colrow_sampling sampling = client_sampling(20 + 7 * i);
    if (i % 2) {
        sampling.temperature = 0.9;
        sampling.top_p = i % 4 == 1 ? 0.9 : 1;
        sampling.top_k = i % 3 ? 0 : 40;
        sampling.has_seed = 1;
        sampling.seed = (uint64_t)i;
    }
    if (i % 5 == 2)
        sampling.repetition_penalty = 1.3;
    return sampling;
}

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    for (int i = 0; i < PROMPTS; i++)
        for (int k = 0; k < 3 + i * 12; k++)
            prompts[i][k] = (char)('a' + (k * (i + 3) + i) % 26);
    struct colrow_options options = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&options);
    for (int i = 0; i < PROMPTS; i++) {
        struct colrow_sampling sampling = sampling_of(i);
        client_ask(engine, prompts[i], &sampling, &alone[i]);
        assert_true(alone[i].n_ids > 0);
    }
    colrow_close(engine);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    toy_llama_free(&toy);
    return 0;
}

static void check_all(const struct colrow_options *options, struct colrow_statistics *statistics)
{
    struct colrow_engine *engine = client_open(options);
    for (int i = 0; i < PROMPTS; i++) {
        struct colrow_sampling sampling = sampling_of(i);
        client_submit(engine, prompts[i], &sampling, &answers[i]);
    }
    client_run(engine);
    for (int i = 0; i < PROMPTS; i++)
        assert_answers_equal(&answers[i], &alone[i]);
    colrow_get_statistics(engine, statistics);
    colrow_close(engine);
}

static void the_same_on_any_number_of_ranks(void **state)
{
    (void)state;
    const int sizes[] = {1, 2, 3, 4, 8};
    for (int i = 0; i < 5; i++) {
        struct colrow_statistics statistics;
        struct colrow_options options = client_options(toy.folder, sizes[i]);
        check_all(&options, &statistics);
        uint64_t n_generated = 0, n_prompt = 0;
        for (int k = 0; k < PROMPTS; k++) {
            n_generated += (uint64_t)alone[k].n_ids;
            n_prompt += (uint64_t)alone[k].prompt_tokens;
        }
        assert_int_equal(statistics.generated_tokens, n_generated);
        assert_int_equal(statistics.prompt_tokens, n_prompt);
        assert_true(statistics.steps > 0 && statistics.decode_seconds > 0);
    }
}

static void the_same_in_any_batch_and_chunk(void **state)
{
    (void)state;
    const struct {
        int tokens, sequences;
    } cases[] = {{1, 3}, {7, 16}, {64, 3}, {512, 16}};
    for (int i = 0; i < 4; i++) {
        struct colrow_statistics statistics;
        struct colrow_options options = client_options(toy.folder, 2);
        options.max_num_batched_tokens = cases[i].tokens;
        options.max_num_seqs = cases[i].sequences;
        check_all(&options, &statistics);
    }
}

static void the_same_after_preemptions(void **state)
{
    (void)state;
    struct colrow_options options = client_options(toy.folder, 2);
    struct colrow_engine *engine = client_open(&options);
    struct colrow_rank_statistics rank;
    struct colrow_info info;
    colrow_get_info(engine, &info);
    uint64_t kv_bytes = 0;
    for (int r = 0; r < 2; r++) {
        assert_int_equal(colrow_get_rank_statistics(engine, r, &rank), 0);
        kv_bytes += rank.kv_bytes;
    }
    colrow_close(engine);
    // just enough for one sequence of the longest context
    options.kv_cache_memory = (int64_t)(kv_bytes / (uint64_t)info.kv_pages) * (TOY_POSITIONS / 64);
    struct colrow_statistics statistics;
    check_all(&options, &statistics);
    assert_true(statistics.preemptions > 0);
}

static void the_same_with_threads(void **state)
{
    (void)state;
    struct colrow_statistics statistics;
    struct colrow_options options = client_options(toy.folder, 2);
    options.threads_per_rank = 3;
    check_all(&options, &statistics);
}

// Which order is taken is the machine's matter; a level that COLROW_ISA leaves changes no bit.
static void the_order_that_the_machine_sums_fastest_is_the_default(void **state)
{
    (void)state;
    const char *levels[] = {"", "reference"};
    for (int i = 0; i < 2; i++) {
        setenv("COLROW_ISA", levels[i], 1);
        const char *orders[] = {NULL, "auto", "pairs", "tiles"};
        for (int k = 0; k < 4; k++) {
            struct colrow_options options = client_options(toy.folder, 2);
            struct colrow_info info;
            options.dtype = "bfloat16";
            options.product_order = orders[k];
            struct colrow_engine *engine = client_open(&options);
            colrow_get_info(engine, &info);
            const char *fastest = isa_of_machine() >= ISA_AMX ? "tiles" : "pairs";
            assert_string_equal(info.product_order, k < 2 ? fastest : orders[k]);
            colrow_close(engine);
        }
    }
    unsetenv("COLROW_ISA");
}

static void ask_for_logits(const struct colrow_options *options, struct answer *answer)
{
    struct colrow_engine *engine = client_open(options);
    struct colrow_sampling sampling = client_sampling(5);
    sampling.prompt_logits = 1;
    client_ask(engine, prompts[PROMPTS - 1], &sampling, answer);
    assert_int_equal(answer->n_prompt_logits, answer->prompt_tokens);
    colrow_close(engine);
}

static void logits_of_the_prompt_are_bit_identical(void **state)
{
    (void)state;
    static struct answer first, other;
    struct colrow_options options = client_options(toy.folder, 1);
    options.prompt_logits = 1;
    ask_for_logits(&options, &first);
    const struct {
        int tp, tokens, sequences;
    } cases[] = {{2, 512, 64}, {3, 7, 2}, {8, 64, 64}, {4, 1, 1}};
    for (int i = 0; i < 4; i++) {
        options.tensor_parallel_size = cases[i].tp;
        options.max_num_batched_tokens = cases[i].tokens;
        options.max_num_seqs = cases[i].sequences;
        ask_for_logits(&options, &other);
        assert_memory_equal(other.prompt_logits, first.prompt_logits,
                            (size_t)first.n_prompt_logits * TOY_VOCAB * sizeof(float));
        assert_answers_equal(&other, &first);
        client_forget(&other);
    }
    // what follows the prompt is the largest of its last row
    const float *last = first.prompt_logits + (size_t)(first.n_prompt_logits - 1) * TOY_VOCAB;
    for (int i = 0; i < TOY_VOCAB; i++)
        assert_true(last[i] <= last[first.ids[0]]);
    client_forget(&first);
}

static void hidden_states_stay_until_the_next_step(void **state)
{
    (void)state;
    float *first = NULL;
    for (int tp = 1; tp <= 3; tp += 2) {
        struct colrow_options options = client_options(toy.folder, tp);
        options.capture_hidden_states = 1;
        struct colrow_engine *engine = client_open(&options);
        struct colrow_sampling sampling = client_sampling(3);
        int n_rows;
        size_t stride;
        assert_null(colrow_hidden_states(engine, &n_rows, &stride));
        client_submit(engine, "hello", &sampling, &answers[0]);
        assert_int_equal(colrow_step(engine), 1);
        const float *states = colrow_hidden_states(engine, &n_rows, &stride);
        assert_non_null(states);
        assert_int_equal(n_rows, 6);
        size_t bytes = (size_t)n_rows * TOY_HIDDEN * sizeof(float);
        if (!first)
            first = calloc(TOY_LAYERS + 1, bytes);
        for (int layer = 0; layer <= TOY_LAYERS; layer++) {
            float *kept = first + (size_t)layer * bytes / sizeof(float);
            if (tp == 1)
                memcpy(kept, states + (size_t)layer * stride, bytes);
            assert_memory_equal(kept, states + (size_t)layer * stride, bytes);
        }
        client_run(engine);
        colrow_close(engine);
    }
    free(first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_order_that_the_machine_sums_fastest_is_the_default),
        cmocka_unit_test(the_same_on_any_number_of_ranks),
        cmocka_unit_test(the_same_in_any_batch_and_chunk),
        cmocka_unit_test(the_same_after_preemptions),
        cmocka_unit_test(the_same_with_threads),
        cmocka_unit_test(logits_of_the_prompt_are_bit_identical),
        cmocka_unit_test(hidden_states_stay_until_the_next_step),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
