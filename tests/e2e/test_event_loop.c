// One libuv loop owns a thousand idle sockets and an engine: while a prompt of 2,048 tokens is one
// long step of the ranks, every socket is answered. How fast is measured by
// bench/bench_event_loop.c.
#include "engine_client.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <uv.h>

#include "base/clock.h"
#include "base/file.h"

enum { SOCKETS = 1000, PROMPT_TOKENS = 2048, NEW_TOKENS = 4 };

static char folder[64];
static struct answer answer;

struct echo;
// A client and the server's end, both in the loop; libuv closes neither.
struct end {
    uv_poll_t poll;
    int fd;
    struct echo *echo;
};
struct echo {
    struct end client, server;
    double asked, answered; // seconds
};

static struct {
    uv_loop_t loop;
    uv_poll_t engine_poll;
    struct colrow_engine *engine;
    struct echo echoes[SOCKETS];
    int n_answered, n_answered_before; // ... before the first token came
    double longest_call;
} test;

static void run_tool(const char *arguments)
{
    char command[2 * FILE_PATH_MAX];
    snprintf(command, sizeof command, "%s %s >/dev/null", COLROW_BINARY, arguments);
    assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
    (void)state;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    snprintf(folder, sizeof folder, "/tmp/colrow-loop-XXXXXX");
    assert_non_null(mkdtemp(folder));
    char path[FILE_PATH_MAX], arguments[FILE_PATH_MAX + 128];
    assert_int_equal(file_join(folder, "shape.json", path), OK);
    const char *config =
        "{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":512,"
        "\"intermediate_size\":2048,\"num_hidden_layers\":6,\"num_attention_heads\":8,"
        "\"num_key_value_heads\":4,\"vocab_size\":1024,\"max_position_embeddings\":2304,"
        "\"rms_norm_eps\":1e-5,\"torch_dtype\":\"bfloat16\",\"hidden_act\":\"silu\"}";
    assert_int_equal(file_write(path, config, strlen(config)), OK);
    snprintf(arguments, sizeof arguments, "synth %s %s/model", path, folder);
    run_tool(arguments);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static bool limits_allow(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    return limit.rlim_cur >= 2 * SOCKETS + 100;
}

static void on_server(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct end *end = poll->data;
    char byte;
    assert_int_equal(status, 0);
    if (read(end->fd, &byte, 1) == 1)
        assert_int_equal(write(end->fd, &byte, 1), 1);
}

static void on_client(uv_poll_t *poll, int status, int events)
{
    (void)events;
    struct end *end = poll->data;
    char byte;
    assert_int_equal(status, 0);
    if (read(end->fd, &byte, 1) != 1)
        return;
    end->echo->answered = clock_seconds();
    test.n_answered++;
}

static void watch(struct end *end, struct echo *echo, int fd, uv_poll_cb callback)
{
    end->echo = echo;
    end->fd = fd;
    end->poll.data = end;
    assert_int_equal(uv_poll_init(&test.loop, &end->poll, fd), 0);
    assert_int_equal(uv_poll_start(&end->poll, UV_READABLE, callback), 0);
}

static void connect_all(void)
{
    for (int i = 0; i < SOCKETS; i++) {
        struct echo *echo = &test.echoes[i];
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
                         0);
        watch(&echo->client, echo, fds[0], on_client);
        watch(&echo->server, echo, fds[1], on_server);
    }
}

static void disconnect_all(void)
{
    for (int i = 0; i < SOCKETS; i++) {
        struct end *ends[] = {&test.echoes[i].client, &test.echoes[i].server};
        for (int k = 0; k < 2; k++) {
            uv_close((uv_handle_t *)&ends[k]->poll, NULL);
            close(ends[k]->fd);
        }
    }
}

static void ask_all(void)
{
    for (int i = 0; i < SOCKETS; i++) {
        test.echoes[i].asked = clock_seconds();
        assert_int_equal(write(test.echoes[i].client.fd, "?", 1), 1);
    }
}

static void note_call(double begun)
{
    double seconds = clock_seconds() - begun;
    test.longest_call = seconds > test.longest_call ? seconds : test.longest_call;
}

static void on_engine(uv_poll_t *poll, int status, int events)
{
    (void)events;
    assert_int_equal(status, 0);
    double begun = clock_seconds();
    int alive = colrow_advance(test.engine);
    note_call(begun);
    struct colrow_gauges gauges;
    colrow_get_gauges(test.engine, &gauges);
    assert_true(alive >= 0);
    if (gauges.state == COLROW_READY && alive == 0)
        uv_poll_stop(poll);
}

static void collect(void *context, const struct colrow_output *output)
{
    if (answer.n_outputs == 0)
        test.n_answered_before = test.n_answered;
    client_collect(context, output);
}

static void loop_engine(void)
{
    uv_poll_start(&test.engine_poll, UV_READABLE, on_engine);
    while (uv_is_active((uv_handle_t *)&test.engine_poll))
        uv_run(&test.loop, UV_RUN_ONCE);
}

static void submit(colrow_callback callback)
{
    static int32_t ids[PROMPT_TOKENS];
    for (int i = 0; i < PROMPT_TOKENS; i++)
        ids[i] = i * 37 % 1000;
    const struct colrow_prompt prompt = {.ids = ids, .n_ids = PROMPT_TOKENS};
    struct colrow_sampling sampling = client_sampling(NEW_TOKENS);
    sampling.ignore_eos = 1;
    memset(&answer, 0, sizeof answer);
    double begun = clock_seconds();
    assert_int_equal(colrow_submit(test.engine, &prompt, &sampling, callback, &answer, NULL), 0);
    note_call(begun);
}

static double slowest_answer(void)
{
    double slowest = 0;
    for (int i = 0; i < SOCKETS; i++) {
        double seconds = test.echoes[i].answered - test.echoes[i].asked;
        slowest = seconds > slowest ? seconds : slowest;
    }
    return slowest;
}

static void sockets_are_answered_while_ranks_compute(void **state)
{
    (void)state;
    if (!limits_allow()) {
        print_message("skipped: fewer than %d file descriptors\n", 2 * SOCKETS + 100);
        skip();
    }
    char model[128];
    snprintf(model, sizeof model, "%s/model", folder);
    struct colrow_options options = client_options(model, 2);
    options.max_num_batched_tokens = PROMPT_TOKENS; // one step
    assert_int_equal(colrow_open_begin(&options, &test.engine), 0);
    uv_loop_init(&test.loop);
    uv_poll_init(&test.loop, &test.engine_poll, colrow_fd(test.engine));
    connect_all();
    loop_engine(); // until loaded
    test.longest_call = 0;

    double begun = clock_seconds();
    submit(collect);
    assert_int_equal(colrow_advance(test.engine), 1);
    note_call(begun);
    ask_all();
    loop_engine();
    double seconds = clock_seconds() - begun;
    print_message(
        "%d sockets, %d answered before the first token; slowest %.1f ms; longest call of "
        "the engine %.2f ms; prompt and %d tokens in %.0f ms\n",
        SOCKETS, test.n_answered_before, slowest_answer() * 1e3, test.longest_call * 1e3,
        NEW_TOKENS, seconds * 1e3);
    assert_int_equal(test.n_answered, SOCKETS);
    assert_int_equal(test.n_answered_before, SOCKETS);
    assert_int_equal(answer.n_ids, NEW_TOKENS);

    static struct answer in_loop;
    in_loop = answer;
    submit(client_collect);
    client_run(test.engine);
    assert_answers_equal(&answer, &in_loop);

    uv_close((uv_handle_t *)&test.engine_poll, NULL);
    disconnect_all();
    uv_run(&test.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&test.loop), 0);
    colrow_close(test.engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sockets_are_answered_while_ranks_compute),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
