// How long idle sockets wait for an answer while the same event loop drives an engine.
//
// One libuv loop owns 1,000 TCP connections of an echo server and an engine. A client process keeps
// the connections and asks one after the other, in the order of their numbers, a question each
// millisecond; meanwhile a prompt is computed in one step. usage:
//
//   bench_event_loop MODEL [RANKS [PROMPT_TOKENS [THREADS_PER_RANK]]]
#include <arpa/inet.h>
#include <colrow/colrow.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "base/clock.h"
#include "base/thread.h"

#define LATE_SECONDS 0.010

enum { SOCKETS = 1000, PAUSE_NS = 1000000, SAMPLES_MAX = 1 << 20 };

static struct {
    uv_loop_t loop;
    uv_poll_t engine_poll;
    uv_tcp_t listener;
    struct colrow_engine *engine;
    int n_connected;
    double longest_call, first_token;
} loop;

static void check(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bench_event_loop: %s\n", what);
    exit(EXIT_FAILURE);
}

// ---- the client process

struct latencies {
    double seconds[SAMPLES_MAX];
    int n;
};

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(struct latencies *l, const char *when)
{
    int n_late = 0;
    for (int i = 0; i < l->n; i++)
        n_late += l->seconds[i] > LATE_SECONDS;
    qsort(l->seconds, (size_t)l->n, sizeof l->seconds[0], compare_doubles);
    printf("%-16s %6d answers, %d later than %.0f ms: median %.3f ms, p99 %.3f ms, p99.9 %.3f ms, "
           "slowest %.3f ms\n",
           when, l->n, n_late, LATE_SECONDS * 1e3, l->seconds[l->n / 2] * 1e3,
           l->seconds[l->n * 99L / 100] * 1e3, l->seconds[l->n * 999L / 1000] * 1e3,
           l->seconds[l->n - 1] * 1e3);
}

static int connect_one(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    check(fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0,
          "cannot connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static void ask_one(int fd, struct latencies *l)
{
    char byte = '?';
    double begun = clock_seconds();
    check(write(fd, &byte, 1) == 1 && read(fd, &byte, 1) == 1, "a connection broke");
    if (l->n < SAMPLES_MAX)
        l->seconds[l->n++] = clock_seconds() - begun;
    nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
}

static volatile sig_atomic_t phase; // 0: idle, 1: prompt, 2: over

static void on_signal(int number)
{
    phase = number == SIGUSR1 ? 1 : 2;
}

static void run_client(int port)
{
    static int fds[SOCKETS];
    static struct latencies idle, busy;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    thread_take_short_slices(); // it is to measure the server's waiting, not its own
    signal(SIGUSR1, on_signal);
    signal(SIGUSR2, on_signal);
    for (int i = 0; i < SOCKETS; i++)
        fds[i] = connect_one(port);
    for (int i = 0; phase < 2; i++)
        ask_one(fds[i % SOCKETS], phase == 0 ? &idle : &busy);
    check(idle.n > 0 && busy.n > 0, "the prompt was over before anybody asked");
    report(&idle, "idle engine");
    report(&busy, "during the step");
}

// ---- the echo server

static void give_buffer(uv_handle_t *handle, size_t size, uv_buf_t *out)
{
    static char buffer[4096];
    (void)handle;
    (void)size;
    *out = uv_buf_init(buffer, sizeof buffer);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buffer)
{
    if (n < 0) {
        uv_close((uv_handle_t *)stream, (uv_close_cb)free);
        return;
    }
    uv_buf_t answer = uv_buf_init(buffer->base, (unsigned)n);
    check(n == 0 || uv_try_write(stream, &answer, 1) == n, "cannot answer");
}

static void on_connection(uv_stream_t *listener, int status)
{
    uv_tcp_t *client = calloc(1, sizeof *client);
    check(status == 0 && client, "cannot take a connection");
    uv_tcp_init(&loop.loop, client);
    check(uv_accept(listener, (uv_stream_t *)client) == 0, "cannot accept");
    uv_tcp_nodelay(client, 1);
    uv_read_start((uv_stream_t *)client, give_buffer, on_read);
    loop.n_connected++;
}

static int listen_anywhere(void)
{
    struct sockaddr_in address;
    int length = sizeof address;
    uv_ip4_addr("127.0.0.1", 0, &address);
    uv_tcp_init(&loop.loop, &loop.listener);
    uv_tcp_bind(&loop.listener, (struct sockaddr *)&address, 0);
    check(uv_listen((uv_stream_t *)&loop.listener, SOCKETS, on_connection) == 0, "cannot listen");
    uv_tcp_getsockname(&loop.listener, (struct sockaddr *)&address, &length);
    return ntohs(address.sin_port);
}

// ---- the engine in the loop

static void note_call(double begun)
{
    loop.longest_call = fmax(loop.longest_call, clock_seconds() - begun);
}

static void on_engine(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    double begun = clock_seconds();
    int alive = colrow_advance(loop.engine);
    note_call(begun);
    check(alive >= 0, colrow_error());
    struct colrow_gauges gauges;
    colrow_get_gauges(loop.engine, &gauges);
    if (gauges.state == COLROW_READY && alive == 0)
        uv_poll_stop(poll);
}

static void run_engine(void)
{
    uv_poll_start(&loop.engine_poll, UV_READABLE, on_engine);
    while (uv_is_active((uv_handle_t *)&loop.engine_poll))
        uv_run(&loop.loop, UV_RUN_ONCE);
}

static void on_output(void *context, const struct colrow_output *output)
{
    (void)context;
    (void)output;
    loop.first_token = clock_seconds();
}

static void run_prompt(int n_tokens)
{
    int32_t *ids = calloc((size_t)n_tokens, sizeof *ids);
    check(ids != NULL, "out of memory");
    for (int i = 0; i < n_tokens; i++)
        ids[i] = i * 37 % 1000;
    const struct colrow_prompt prompt = {.ids = ids, .n_ids = n_tokens};
    struct colrow_sampling sampling;
    colrow_sampling_init(NULL, &sampling);
    sampling.max_tokens = 1;
    double begun = clock_seconds();
    int failed = colrow_submit(loop.engine, &prompt, &sampling, on_output, NULL, NULL);
    note_call(begun);
    check(!failed, colrow_error());
    run_engine();
    printf("prompt of %d tokens in one step: %.2f s; longest call of the engine %.3f ms\n",
           n_tokens, loop.first_token - begun, loop.longest_call * 1e3);
    fflush(stdout);
    free(ids);
}

static void open_engine(const char *model, int ranks, int n_tokens, int threads)
{
    struct colrow_options options;
    colrow_options_init(&options);
    options.model = model;
    options.tensor_parallel_size = ranks;
    options.threads_per_rank = threads;
    options.max_num_batched_tokens = n_tokens;
    options.max_num_seqs = 1;
    options.max_model_len = n_tokens + 1;
    check(colrow_open_begin(&options, &loop.engine) == 0, colrow_error());
    uv_poll_init(&loop.loop, &loop.engine_poll, colrow_fd(loop.engine));
    run_engine(); // until loaded
}

static void on_timer(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void run_idle(int ms)
{
    uv_timer_t timer;
    uv_timer_init(&loop.loop, &timer);
    uv_timer_start(&timer, on_timer, (uint64_t)ms, 0);
    uv_run(&loop.loop, UV_RUN_DEFAULT);
}

int main(int argc, char **argv)
{
    check(argc >= 2, "usage: bench_event_loop MODEL [RANKS [PROMPT_TOKENS [THREADS_PER_RANK]]]");
    int ranks = argc > 2 ? atoi(argv[2]) : 2, n_tokens = argc > 3 ? atoi(argv[3]) : 2048;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    uv_loop_init(&loop.loop);
    int port = listen_anywhere();
    open_engine(argv[1], ranks, n_tokens, argc > 4 ? atoi(argv[4]) : 0);
    pid_t client = fork();
    check(client >= 0, "cannot fork");
    if (client == 0) {
        run_client(port);
        fflush(stdout);
        _exit(0);
    }
    thread_take_short_slices(); // as `colrow serve` does; after ranks and client have been started
    while (loop.n_connected < SOCKETS)
        uv_run(&loop.loop, UV_RUN_ONCE);
    run_idle(2000);
    loop.longest_call = 0;
    kill(client, SIGUSR1);
    run_prompt(n_tokens);
    kill(client, SIGUSR2);
    run_idle(100);
    colrow_close(loop.engine);
    waitpid(client, NULL, 0);
    return 0;
}
