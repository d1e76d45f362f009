// Structs that older and newer programs give to the library, and texts in which NUL is a character.
#include "engine_client.h"
#include "toy_llama.h"

#include "engine/struct_size.h"

static struct answer answers[2];

struct old_example {
    size_t struct_size;
    int first;
    int second;
};
struct own_example {
    struct old_example old;
    long third;
};
struct new_example {
    struct own_example own;
    long fourth;
};

static enum status take(struct own_example *own, const void *theirs, size_t size)
{
    *own = (struct own_example){.third = 33};
    return struct_take(own, sizeof *own, theirs, size, STRUCT_END(struct old_example, second),
                       "example", "call example_init()");
}

static void older_and_newer_programs_are_understood(void **state)
{
    (void)state;
    struct own_example own;
    const struct old_example old = {sizeof old, 1, 2};
    assert_int_equal(take(&own, &old, sizeof old), OK);
    assert_int_equal(own.old.second, 2);
    assert_int_equal(own.third, 33); // the default
    struct new_example newer = {{{sizeof newer, 1, 2}, 3}, 0};
    assert_int_equal(take(&own, &newer, sizeof newer), OK);
    assert_int_equal(own.third, 3);
    newer.fourth = 4;
    assert_int_equal(take(&own, &newer, sizeof newer), ERR_USAGE);
    assert_non_null(strstr(status_message(), "struct example asks for what this version"));
    assert_int_equal(take(&own, &old, 0), ERR_USAGE);
    assert_non_null(strstr(status_message(), "call example_init()"));
    assert_int_equal(take(&own, &old, sizeof old - 1), ERR_USAGE);
    assert_int_equal(take(&own, &old, (size_t)1 << 40), ERR_USAGE);

    own = (struct own_example){{sizeof own, 1, 2}, 3};
    struct old_example less[2] = {{0, 0, 0}, {7, 7, 7}};
    struct_give(less, sizeof less[0], &own, sizeof own);
    assert_int_equal(less[0].first, 1);
    assert_int_equal(less[1].first, 7); // not touched
    newer.fourth = 99;
    struct_give(&newer, sizeof newer, &own, sizeof own);
    assert_int_equal(newer.own.third, 3);
    assert_int_equal(newer.fourth, 0);
}

static void sizes_must_be_set(void **state)
{
    (void)state;
    struct colrow_engine *engine;
    struct colrow_options forgotten = {.model = toy.folder};
    assert_int_equal(colrow_open(&forgotten, &engine), -1);
    assert_non_null(strstr(colrow_error(), "colrow_options_init()"));
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    struct {
        struct colrow_options known;
        size_t unknown;
    } newer = {client_options(toy.folder, 1), 0};
    newer.known.struct_size = sizeof newer;
    assert_int_equal(colrow_open(&newer.known, &engine), 0);
    const struct colrow_prompt prompt = {.struct_size = sizeof prompt, .text = "hello"};
    struct colrow_sampling none = {.n = 1, .top_p = 1, .max_tokens = 1};
    assert_int_equal(colrow_submit(engine, &prompt, &none, NULL, NULL, NULL), -1);
    assert_non_null(strstr(colrow_error(), "colrow_sampling_init()"));
    struct colrow_sampling sampling = client_sampling(1);
    struct colrow_prompt odd = prompt;
    odd.struct_size = 3;
    assert_int_equal(colrow_submit(engine, &odd, &sampling, NULL, NULL, NULL), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, answers, NULL), 0);
    client_run(engine);
    struct colrow_info info = {.threads_per_rank = 77};
    colrow_get_info_sized(engine, &info, offsetof(struct colrow_info, threads_per_rank));
    assert_int_equal(info.vocab_size, TOY_VOCAB);
    assert_int_equal(info.threads_per_rank, 77);
    colrow_close(engine);
}

// In the prompt, in what comes out, and in stop strings; by callback and polled.
static void a_nul_is_a_character(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    const struct colrow_token_bias bias = {0, 100}; // byte 0, again and again
    struct colrow_sampling sampling = client_sampling(4);
    sampling.logit_bias = &bias;
    sampling.n_logit_bias = 1;
    struct colrow_prompt prompt = {.text = "a\0b", .text_length = 3};
    memset(answers, 0, sizeof answers);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, answers, NULL), 0);
    client_run(engine);
    assert_int_equal(answers->prompt_tokens, 4); // <s> a NUL b
    assert_int_equal(answers->length, 4);
    assert_memory_equal(answers->text, "\0\0\0\0", 4);

    const char *stops[] = {"xyz", "\0\0"};
    const size_t lengths[] = {3, 2};
    sampling.stop = stops;
    sampling.stop_lengths = lengths;
    sampling.n_stop = 2;
    sampling.include_stop_str_in_output = 1;
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
    struct colrow_output output;
    size_t length = 0;
    while (colrow_poll(engine, 1, &output) == 1 && output.finish == COLROW_RUNNING)
        length += output.text_length;
    length += output.text_length;
    assert_int_equal(output.finish, COLROW_STOP);
    assert_int_equal(output.stop_reason_length, 2);
    assert_memory_equal(output.stop_reason, "\0\0", 3);
    assert_int_equal(output.stop_token, -1);
    assert_int_equal(length, 2);

    sampling.n_stop = 0;
    const int32_t stop_token = 0;
    sampling.stop_token_ids = &stop_token;
    sampling.n_stop_token_ids = 1;
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, NULL), 0);
    while (colrow_poll(engine, 1, &output) == 1 && output.finish == COLROW_RUNNING)
        ;
    assert_int_equal(output.stop_token, 0);
    assert_string_equal(output.stop_reason, "0");
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(older_and_newer_programs_are_understood),
        cmocka_unit_test(sizes_must_be_set),
        cmocka_unit_test(a_nul_is_a_character),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
