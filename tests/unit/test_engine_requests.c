// What a request may ask for, and how it ends.
#include "engine_client.h"
#include "toy_llama.h"

static struct colrow_engine *engine;
static struct answer a, b, many[8];

static int set_up(void **state)
{
    (void)state;
    toy_llama_new(&toy);
    struct colrow_options options = client_options(toy.folder, 2);
    options.kv_cache_memory = 64 << 20;
    engine = client_open(&options);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    colrow_close(engine);
    toy_llama_free(&toy);
    return 0;
}

static void max_tokens_and_the_contexts_end(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(10);
    client_ask(engine, "hello", &sampling, &a);
    assert_int_equal(a.finish, COLROW_LENGTH);
    assert_int_equal(a.n_ids, 10);
    assert_int_equal(a.prompt_tokens, 6); // <s> and five bytes
    sampling.max_tokens = 0;
    sampling.ignore_eos = 1;
    client_ask(engine, "hello", &sampling, &b);
    assert_int_equal(b.finish, COLROW_LENGTH);
    assert_int_equal(b.n_ids, TOY_POSITIONS - 6);
    assert_memory_equal(a.ids, b.ids, sizeof(int32_t) * 10);
}

static void text_is_what_the_tokens_decode_to(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(60);
    sampling.temperature = 1.5;
    client_ask(engine, "text", &sampling, &a);
    char *text;
    assert_int_equal(colrow_decode(engine, a.ids, a.n_ids, 1, &text), 0);
    assert_memory_equal(text, a.text, strlen(text) + 1);
    free(text);
    int32_t *ids;
    int n;
    assert_int_equal(colrow_encode(engine, "h\xc3\xa9", 1, &ids, &n), 0);
    assert_int_equal(n, 4);
    assert_int_equal(ids[0], TOY_BOS);
    free(ids);
    assert_int_equal(colrow_encode(engine, "", 0, &ids, &n), 0);
    assert_int_equal(n, 0);
    free(ids);
    assert_int_equal(colrow_encode(engine, "\xff", 0, &ids, &n), -1);
    struct colrow_message messages[] = {{"user", "hi"}, {"assistant", "ho"}};
    assert_int_equal(colrow_apply_chat_template(engine, messages, 2, 1, &text), 0);
    assert_string_equal(text, "user: hi\nassistant: ho\nassistant: ");
    free(text);
}

static void stop_tokens_end_and_are_not_text(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(40);
    sampling.ignore_eos = 1;
    client_ask(engine, "stop", &sampling, &a);
    int at = 12;
    int32_t stop = a.ids[at];
    for (int i = 0; i <= at; i++)
        if (a.ids[i] == stop) {
            at = i;
            break;
        }
    sampling.stop_token_ids = &stop;
    sampling.n_stop_token_ids = 1;
    client_ask(engine, "stop", &sampling, &b);
    assert_int_equal(b.finish, COLROW_STOP);
    assert_int_equal(b.n_ids, at + 1);
    char reason[16];
    snprintf(reason, sizeof reason, "%d", (int)stop);
    assert_string_equal(b.reason, reason);
    char *text;
    assert_int_equal(colrow_decode(engine, a.ids, at, 1, &text), 0);
    assert_string_equal(b.text, text);
    free(text);
    // masked until min_tokens, so that another token stands there
    sampling.min_tokens = at + 5;
    client_ask(engine, "stop", &sampling, &b);
    assert_true(b.n_ids >= at + 5);
    for (int i = 0; i < at + 4; i++)
        assert_int_not_equal(b.ids[i], stop);
    // the end token, by a bias that makes it the largest
    struct colrow_token_bias bias = {TOY_EOS, 1000};
    sampling = client_sampling(40);
    sampling.logit_bias = &bias;
    sampling.n_logit_bias = 1;
    client_ask(engine, "stop", &sampling, &b);
    assert_int_equal(b.finish, COLROW_STOP);
    assert_int_equal(b.n_ids, 1);
    assert_string_equal(b.text, "");
    assert_string_equal(b.reason, "");
    sampling.min_tokens = 3;
    client_ask(engine, "stop", &sampling, &b);
    assert_int_equal(b.n_ids, 4);
    sampling.ignore_eos = 1;
    sampling.max_tokens = 7;
    sampling.min_tokens = 0;
    client_ask(engine, "stop", &sampling, &b);
    assert_int_equal(b.n_ids, 7);
    assert_int_equal(b.ids[6], TOY_EOS);
    assert_string_equal(b.text, "");
    sampling.skip_special_tokens = 0;
    client_ask(engine, "stop", &sampling, &b);
    assert_string_equal(b.text, "</s></s></s></s></s></s></s>");
}

static void stop_strings_cut_the_text(void **state)
{
    (void)state;
    // letters only, so that the text has no surprises
    struct colrow_token_bias bias[26];
    for (int i = 0; i < 26; i++)
        bias[i] = (struct colrow_token_bias){'a' + i, 100};
    struct colrow_sampling sampling = client_sampling(50);
    sampling.logit_bias = bias;
    sampling.n_logit_bias = 26;
    sampling.repetition_penalty = 1.05;
    client_ask(engine, "strings", &sampling, &a);
    assert_int_equal(a.length, 50);
    char needle[5] = {0};
    memcpy(needle, a.text + 20, 4);
    size_t at = (size_t)(strstr(a.text, needle) - a.text);
    const char *stops[] = {"no such text", needle};
    sampling.stop = stops;
    sampling.n_stop = 2;
    client_ask(engine, "strings", &sampling, &b);
    assert_int_equal(b.finish, COLROW_STOP);
    assert_string_equal(b.reason, needle);
    assert_int_equal(b.length, at);
    assert_memory_equal(b.text, a.text, at);
    assert_int_equal(b.n_ids, (int)at + 4);
    sampling.include_stop_str_in_output = 1;
    client_ask(engine, "strings", &sampling, &b);
    assert_int_equal(b.length, at + 4);
    sampling.min_tokens = (int)at + 8;
    client_ask(engine, "strings", &sampling, &b);
    assert_true(b.n_ids >= (int)at + 8);
}

static void several_sequences_of_one_prompt(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(20);
    sampling.temperature = 1.2;
    sampling.has_seed = 1;
    sampling.seed = 7;
    client_ask(engine, "several", &sampling, &a);
    sampling.n = 4;
    client_ask(engine, "several", &sampling, many);
    assert_answers_equal(&many[0], &a);
    int different = 0;
    for (int i = 1; i < 4; i++) {
        assert_int_equal(many[i].request, many[0].request);
        different += many[i].n_ids != a.n_ids ||
                     memcmp(many[i].ids, a.ids, sizeof(int32_t) * (size_t)a.n_ids) != 0;
    }
    assert_int_equal(different, 3);
}

static void requests_without_a_seed_differ(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(20);
    sampling.temperature = 1.2;
    client_ask(engine, "seed", &sampling, &a);
    client_ask(engine, "seed", &sampling, &b);
    assert_true(a.n_ids != b.n_ids || memcmp(a.ids, b.ids, sizeof(int32_t) * (size_t)a.n_ids) != 0);
}

static void logprobs_come_with_each_token(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(12);
    client_ask(engine, "logprobs", &sampling, &b);
    sampling.logprobs = 3;
    client_ask(engine, "logprobs", &sampling, &a);
    assert_answers_equal(&a, &b);
    assert_int_equal(a.n_logprobs, 4);
    for (int i = 0; i < a.n_ids; i++) {
        assert_int_equal(a.logprobs[i][0].id, a.ids[i]);
        assert_int_equal(a.logprobs[i][0].rank, 1); // greedy
        assert_int_equal(a.logprobs[i][1].id, a.ids[i]);
        assert_true(a.logprobs[i][1].logprob >= a.logprobs[i][2].logprob);
        assert_true(a.logprobs[i][0].logprob <= 0);
    }
}

static void polling_brings_what_callbacks_bring(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(15);
    sampling.logprobs = 2;
    client_ask(engine, "poll", &sampling, &a);
    struct colrow_prompt prompt = {.text = "poll"};
    uint64_t number;
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, NULL, NULL, &number), 0);
    memset(&b, 0, sizeof b);
    struct colrow_output output;
    assert_int_equal(colrow_poll(engine, 0, &output), 0);
    int result;
    while ((result = colrow_poll(engine, 1, &output)) == 1) {
        assert_int_equal(output.request, number);
        client_collect(&b, &output);
    }
    assert_int_equal(result, 0);
    assert_answers_equal(&a, &b);
    for (int i = 0; i < a.n_ids; i++)
        assert_memory_equal(a.logprobs[i], b.logprobs[i], 3 * sizeof a.logprobs[i][0]);
}

static void cancelled_requests_say_so(void **state)
{
    (void)state;
    struct colrow_sampling sampling = client_sampling(300);
    sampling.ignore_eos = 1;
    client_submit(engine, "one", &sampling, &a);
    client_submit(engine, "two", &sampling, &b);
    for (int i = 0; i < 5; i++)
        assert_int_equal(colrow_step(engine), 2);
    assert_int_equal(colrow_cancel(engine, a.request), 0);
    assert_int_equal(colrow_cancel(engine, a.request), 0); // twice is once
    client_run(engine);
    assert_int_equal(a.finish, COLROW_CANCELLED);
    assert_in_range(a.n_ids, 5, 8);
    assert_int_equal(b.n_ids, 300);
    assert_int_equal(colrow_cancel(engine, a.request), -1);
    // before it ever ran
    client_submit(engine, "three", &sampling, &a);
    struct answer *last = &a;
    assert_int_equal(colrow_cancel(engine, b.request + 1), 0);
    client_run(engine);
    assert_int_equal(last->finish, COLROW_CANCELLED);
    assert_int_equal(last->n_ids, 0);
}

struct chain {
    int n_left, cancel_at;
    struct answer answer;
};

// Submits the next request, or cancels itself, from inside its callback.
static void go_on(void *context, const struct colrow_output *output)
{
    struct chain *chain = context;
    client_collect(&chain->answer, output);
    assert_int_equal(colrow_step(engine), -1);
    if (chain->answer.n_ids == chain->cancel_at)
        assert_int_equal(colrow_cancel(engine, output->request), 0);
    if (output->finish == COLROW_RUNNING || --chain->n_left == 0)
        return;
    memset(&chain->answer, 0, sizeof chain->answer);
    struct colrow_prompt prompt = {.text = "again"};
    struct colrow_sampling sampling = client_sampling(6);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, go_on, chain, NULL), 0);
}

static void callbacks_may_submit_and_cancel(void **state)
{
    (void)state;
    for (int cancel_at = -1; cancel_at < 4; cancel_at += 2) {
        struct chain *chain = calloc(1, sizeof *chain);
        chain->n_left = 5;
        chain->cancel_at = cancel_at;
        struct colrow_prompt prompt = {.text = "begin"};
        struct colrow_sampling sampling = client_sampling(6);
        assert_int_equal(colrow_submit(engine, &prompt, &sampling, go_on, chain, NULL), 0);
        client_run(engine);
        assert_int_equal(chain->n_left, 0);
        assert_int_equal(chain->answer.finish, cancel_at < 0 ? COLROW_LENGTH : COLROW_CANCELLED);
        free(chain);
    }
}

static void parameters_are_checked(void **state)
{
    (void)state;
    const char *stops[] = {""};
    int32_t id = TOY_VOCAB, low_id = -1;
    struct colrow_token_bias bias = {TOY_VOCAB, 1};
    for (int c = 0; c < 23; c++) {
        struct colrow_sampling s = client_sampling(4);
        struct colrow_prompt prompt = {.text = "x"};
        const char *named = "";
        char *long_text = calloc(TOY_POSITIONS + 10, 1);
        memset(long_text, 'a', TOY_POSITIONS - 1); // and <s>
        switch (c) {
        case 0:
            s.temperature = -1, named = "temperature";
            break;
        case 1:
            s.temperature = 0.0 / 0.0, named = "temperature";
            break;
        case 2:
            s.top_p = 0, named = "top_p";
            break;
        case 3:
            s.top_p = 1.1, named = "top_p";
            break;
        case 4:
            s.top_k = -2, named = "top_k";
            break;
        case 5:
            s.min_p = 2, named = "min_p";
            break;
        case 6:
            s.repetition_penalty = 0, named = "repetition_penalty";
            break;
        case 7:
            s.presence_penalty = 3, named = "presence_penalty";
            break;
        case 8:
            s.frequency_penalty = -3, named = "frequency_penalty";
            break;
        case 9:
            s.max_tokens = -1, named = "max_tokens";
            break;
        case 10:
            s.min_tokens = 5, named = "min_tokens";
            break;
        case 11:
            s.n = 0, named = "n is";
            break;
        case 12:
            s.n = 1000, named = "n is";
            break;
        case 13:
            s.logprobs = 100000, named = "logprobs";
            break;
        case 14:
            s.stop = stops, s.n_stop = 1, named = "stop string 0";
            break;
        case 15:
            s.stop_token_ids = &id, s.n_stop_token_ids = 1, named = "stop_token_ids";
            break;
        case 16:
            s.logit_bias = &bias, s.n_logit_bias = 1, named = "logit_bias";
            break;
        case 17:
            s.prompt_logits = 1, named = "prompt_logits";
            break;
        case 18:
            prompt = (struct colrow_prompt){.ids = &id, .n_ids = 1}, named = "token id 260";
            break;
        case 19:
            prompt = (struct colrow_prompt){.ids = &low_id, .n_ids = 1}, named = "token id -1";
            break;
        case 20:
            prompt = (struct colrow_prompt){.text = "", .no_special_tokens = 1},
            named = "no tokens";
            break;
        case 21:
            prompt.text = long_text, named = "512 tokens, but max_model_len is 512";
            break;
        case 22:
            prompt.text = "\xff", named = "UTF-8";
            break;
        }
        uint64_t number;
        assert_int_equal(colrow_submit(engine, &prompt, &s, client_collect, &a, &number), -1);
        if (!strstr(colrow_error(), named))
            print_error("case %d: %s\n", c, colrow_error());
        assert_non_null(strstr(colrow_error(), named));
        free(long_text);
    }
    assert_int_equal(colrow_step(engine), 0);
}

static void what_the_engine_is(void **state)
{
    (void)state;
    struct colrow_info info;
    colrow_get_info(engine, &info);
    assert_int_equal(info.tensor_parallel_size, 2);
    assert_int_equal(info.vocab_size, TOY_VOCAB);
    assert_int_equal(info.max_model_len, TOY_POSITIONS);
    assert_string_equal(info.dtype, "bfloat16");
    assert_string_equal(info.architecture, "LlamaForCausalLM");
    struct colrow_rank_statistics rank;
    for (int r = 0; r < 2; r++) {
        assert_int_equal(colrow_get_rank_statistics(engine, r, &rank), 0);
        assert_true(rank.pid > 0 && rank.weight_bytes > 0 && rank.kv_bytes > 0 &&
                    rank.step_seconds > 0);
        assert_true(rank.file_bytes_read > 0 && rank.bytes_sent > 0);
        assert_true(rank.all_reduce_seconds <= rank.step_seconds);
    }
    assert_int_equal(colrow_get_rank_statistics(engine, 2, &rank), -1);
    assert_string_equal(colrow_finish_name(COLROW_STOP), "stop");
    assert_string_equal(colrow_finish_name(COLROW_LENGTH), "length");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(max_tokens_and_the_contexts_end),
        cmocka_unit_test(text_is_what_the_tokens_decode_to),
        cmocka_unit_test(stop_tokens_end_and_are_not_text),
        cmocka_unit_test(stop_strings_cut_the_text),
        cmocka_unit_test(several_sequences_of_one_prompt),
        cmocka_unit_test(requests_without_a_seed_differ),
        cmocka_unit_test(logprobs_come_with_each_token),
        cmocka_unit_test(polling_brings_what_callbacks_bring),
        cmocka_unit_test(cancelled_requests_say_so),
        cmocka_unit_test(callbacks_may_submit_and_cancel),
        cmocka_unit_test(parameters_are_checked),
        cmocka_unit_test(what_the_engine_is),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
