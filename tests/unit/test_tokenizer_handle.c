// One handle, many threads; it lives as long as its last owner. TSan looks at this test.
#include "engine_client.h"
#include "toy_llama.h"

#include <pthread.h>

enum { THREADS = 6, ROUNDS = 50 };

// cmocka's assertions are for the main thread: threads count what is wrong.
struct worker {
    struct colrow_tokenizer *tokenizer; // its own share
    int number, n_wrong;
    pthread_t thread;
};

static bool round_trip(const struct colrow_tokenizer *tokenizer, const char *text, size_t length)
{
    int32_t *ids = NULL;
    char *back = NULL;
    int n = 0;
    size_t back_length = 0;
    bool good = colrow_tokenizer_encode(tokenizer, text, length, 1, &ids, &n) == 0 &&
                n == (int)length + 1 && ids[0] == TOY_BOS &&
                colrow_tokenizer_decode(tokenizer, ids, n, 1, &back, &back_length) == 0 &&
                back_length == length && memcmp(back, text, length) == 0;
    free(ids);
    free(back);
    return good;
}

static bool renders(const struct colrow_tokenizer *tokenizer, const char *question)
{
    const struct colrow_message message = {"user", question};
    char *text = NULL, expected[128];
    size_t length = 0;
    snprintf(expected, sizeof expected, "user: %s\nassistant: ", question);
    bool good =
        colrow_tokenizer_apply_chat_template(tokenizer, &message, 1, 1, &text, &length) == 0 &&
        length == strlen(expected) && strcmp(text, expected) == 0;
    free(text);
    return good;
}

static void *work(void *context)
{
    struct worker *w = context;
    for (int i = 0; i < ROUNDS; i++) {
        char text[64];
        int n = snprintf(text, sizeof text, "thread %d, round %d: caf\xc3\xa9", w->number, i);
        w->n_wrong += !round_trip(w->tokenizer, text, (size_t)n);
        w->n_wrong += !renders(w->tokenizer, text);
        // errors are each thread's own
        int32_t *ids;
        int n_ids;
        snprintf(text, sizeof text, "bad %d \xff", w->number);
        bool refused = colrow_tokenizer_encode(w->tokenizer, text, 0, 1, &ids, &n_ids) == -1 &&
                       colrow_error_class() == COLROW_ERROR_INVALID_REQUEST &&
                       strstr(colrow_error(), "UTF-8");
        w->n_wrong += !refused;
    }
    colrow_tokenizer_close(w->tokenizer);
    return NULL;
}

static void use_by_many(struct colrow_tokenizer *tokenizer)
{
    struct worker workers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.tokenizer = colrow_tokenizer_share(tokenizer), .number = i};
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    colrow_tokenizer_close(tokenizer); // the threads have theirs
    for (int i = 0; i < THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        assert_int_equal(workers[i].n_wrong, 0);
    }
}

static void many_threads_use_one_folder(void **state)
{
    (void)state;
    struct colrow_tokenizer *tokenizer;
    assert_int_equal(colrow_tokenizer_open(toy.folder, &tokenizer), 0);
    use_by_many(tokenizer);
}

static void it_outlives_its_engine(void **state)
{
    (void)state;
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    struct colrow_tokenizer *tokenizer = colrow_get_tokenizer(engine);
    colrow_close(engine);
    use_by_many(tokenizer);
}

// What another thread has encoded is what the engine's own would have.
static void ids_of_another_thread_give_the_same_answer(void **state)
{
    (void)state;
    static struct answer by_text, by_ids;
    struct colrow_options o = client_options(toy.folder, 1);
    struct colrow_engine *engine = client_open(&o);
    struct colrow_tokenizer *tokenizer = colrow_get_tokenizer(engine);
    struct colrow_sampling sampling = client_sampling(8);
    client_ask(engine, "hello there", &sampling, &by_text);
    struct colrow_prompt prompt = {0};
    int32_t *ids;
    assert_int_equal(colrow_tokenizer_encode(tokenizer, "hello there", 0, 1, &ids, &prompt.n_ids),
                     0);
    prompt.ids = ids;
    memset(&by_ids, 0, sizeof by_ids);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, &by_ids, NULL), 0);
    free(ids);
    client_run(engine);
    assert_answers_equal(&by_text, &by_ids);
    colrow_tokenizer_close(tokenizer);
    colrow_close(engine);
}

static void nul_goes_in_and_out(void **state)
{
    (void)state;
    struct colrow_tokenizer *tokenizer;
    assert_int_equal(colrow_tokenizer_open(toy.folder, &tokenizer), 0);
    assert_true(round_trip(tokenizer, "a\0b\0", 4));
    colrow_tokenizer_close(tokenizer);
    colrow_tokenizer_close(NULL);
}

static void folders_without_one_are_refused(void **state)
{
    (void)state;
    struct colrow_tokenizer *tokenizer = (void *)1;
    assert_int_equal(colrow_tokenizer_open(NULL, &tokenizer), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_USAGE);
    assert_int_equal(colrow_tokenizer_open("/nowhere", &tokenizer), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_MODEL);
    assert_null(tokenizer);
    struct toy_llama other;
    toy_llama_new(&other);
    toy_write(&other, "tokenizer.json", "{}");
    assert_int_equal(colrow_tokenizer_open(other.folder, &tokenizer), -1);
    assert_int_equal(colrow_error_class(), COLROW_ERROR_MODEL);
    toy_llama_free(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_threads_use_one_folder),
        cmocka_unit_test(it_outlives_its_engine),
        cmocka_unit_test(ids_of_another_thread_give_the_same_answer),
        cmocka_unit_test(nul_goes_in_and_out),
        cmocka_unit_test(folders_without_one_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_set_up, toy_tear_down);
}
