// What a request may reserve, and all of them together.
#include "engine_client.h"
#include "toy_llama.h"

#include "engine/engine.h"

// Llama 3's vocabulary and context.
static enum status request_with(struct colrow_sampling sampling, size_t *bytes)
{
    static const struct generation_config generation;
    const struct request_limits limits = {.vocab_size = 128256,
                                          .max_model_len = 131072,
                                          .kv_pool_tokens = 131072,
                                          .kv_groups = 1,
                                          .generation = &generation};
    const int32_t ids[] = {1, 2, 3};
    struct request *request = NULL;
    enum status status = request_new(&limits, 1, ids, 3, &sampling, &request);
    if (status == OK)
        *bytes = request->bytes;
    request_free(request);
    return status;
}

static void one_request_reserves_no_more_than_the_bound(void **state)
{
    (void)state;
    size_t bytes = 0;
    struct colrow_sampling sampling = client_sampling(0); // to the context's end
    sampling.n = SEQUENCES_PER_REQUEST_MAX;
    assert_int_equal(request_with(sampling, &bytes), OK);
    assert_true(bytes > 64 << 20 && bytes <= REQUEST_BYTES_MAX);
    sampling.presence_penalty = 1;
    assert_int_equal(request_with(sampling, &bytes), ERR_TOO_LARGE);
    assert_non_null(strstr(status_message(), "128 answers of up to 131069 tokens with penalties"));
    sampling.max_tokens = 1000;
    assert_int_equal(request_with(sampling, &bytes), OK);
    assert_true(bytes < 8 << 20);
    sampling.n = 1;
    sampling.max_tokens = 0;
    assert_int_equal(request_with(sampling, &bytes), OK);
    assert_true(bytes < 4 << 20);
}

static void all_requests_together_have_a_bound_and_then_the_engine_is_busy(void **state)
{
    (void)state;
    static struct answer answers[3];
    struct colrow_options options = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&options);
    struct colrow_sampling sampling = client_sampling(100);
    client_submit(engine, "abc", &sampling, &answers[0]);
    engine->request_bytes_max = 2 * engine->request_bytes;
    client_submit(engine, "abc", &sampling, &answers[1]);
    const struct colrow_prompt prompt = {.text = "abc"};
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, &answers[2], NULL),
                     -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_BUSY);
    assert_non_null(strstr(colrow_error(), "2 requests reserve"));
    client_run(engine);
    assert_int_equal(engine->request_bytes, 0);
    client_ask(engine, "abc", &sampling, &answers[2]); // the same one succeeds later
    assert_answers_equal(&answers[2], &answers[0]);
    colrow_close(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_request_reserves_no_more_than_the_bound),
        cmocka_unit_test(all_requests_together_have_a_bound_and_then_the_engine_is_busy),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
