#include "server/worker_health.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "base/log.h"
#include "base/memory.h"
#include "base/thread.h"
#include "engine/far_worker.h"

struct worker_health {
    pthread_t thread;
    uv_loop_t loop;
    uv_async_t end;
    struct http_server *server;
    const _Atomic int *state;
    bool heads;
    pthread_mutex_t lock; // of `waiting`
    char waiting[512];
};

static const char *const conditions[] = {
    [WORKER_WAITS] = "this node waits for the engine of node 0",
    [WORKER_LOADS] = "this node's ranks are being loaded; try again later",
    [WORKER_READY] = NULL,
    [WORKER_RESTARTS] = "this node's ranks are being started again; try again later",
};

// "": nothing is amiss.
static void find_condition(struct worker_health *health, char *why, size_t room)
{
    // relaxed: a number on its own
    int state = atomic_load_explicit(health->state, memory_order_relaxed);
    snprintf(why, room, "%s", conditions[state] ? conditions[state] : "");
    pthread_mutex_lock(&health->lock);
    if (state == WORKER_WAITS && health->waiting[0])
        snprintf(why, room, "waiting for nodes: %s", health->waiting);
    else if (state == WORKER_WAITS && health->heads)
        snprintf(why, room, "the model is about to be loaded; try again later");
    pthread_mutex_unlock(&health->lock);
}

// ?live: as the server of node 0 answers it (serve_health.c): nothing is wrong with who loads.
static void answer_health(struct http_exchange *exchange, void *owner)
{
    char why[600];
    struct http_text query = http_exchange_request(exchange)->query;
    bool live = http_query_has(query, "live") && !http_query_has(query, "ready");
    find_condition(owner, why, sizeof why);
    if (!*why || live)
        http_answer(exchange, 200, NULL, NULL, 0);
    else
        http_answer_error(exchange, 503, NULL, NULL, "%s", why);
}

static void answer_else(struct http_exchange *exchange, void *owner)
{
    struct worker_health *health = owner;
    char why[600];
    find_condition(health, why, sizeof why);
    if (health->heads)
        http_answer_error(exchange, 503, NULL, NULL, "%s", why);
    else
        http_answer_error(exchange, 404, NULL, NULL,
                          "this node works for node 0, which answers requests; here is only "
                          "/health");
}

void worker_health_waiting(struct worker_health *health, const char *text)
{
    pthread_mutex_lock(&health->lock);
    snprintf(health->waiting, sizeof health->waiting, "%s", text);
    pthread_mutex_unlock(&health->lock);
}

static void close_all(uv_async_t *async)
{
    struct worker_health *health = async->data;
    http_server_close(health->server);
    uv_close((uv_handle_t *)async, NULL);
}

static void *answer_watchers(void *context)
{
    struct worker_health *health = context;
    uv_run(&health->loop, UV_RUN_DEFAULT);
    return NULL;
}

static enum status add_routes(struct worker_health *health)
{
    static const char *const paths[] = {"/health", "/ping"};
    for (int i = 0; i < 2; i++)
        TRY(http_server_route(health->server, HTTP_METHOD_GET, paths[i], HTTP_ROUTE_ALWAYS,
                              answer_health, health));
    if (health->heads) {
        TRY(http_server_route(health->server, HTTP_METHOD_GET, "/v1/{tail}", 0, answer_else,
                              health));
        TRY(http_server_route(health->server, HTTP_METHOD_GET, "/metrics", 0, answer_else, health));
    }
    return http_server_route(health->server, HTTP_METHOD_POST, "/v1/{tail}", 0, answer_else,
                             health);
}

static void free_worker_health(struct worker_health *health)
{
    uv_run(&health->loop, UV_RUN_DEFAULT); // what is closed leaves the loop
    http_server_free(health->server);
    uv_loop_close(&health->loop);
    pthread_mutex_destroy(&health->lock);
    free(health);
}

enum status worker_health_start(const struct http_options *options, const _Atomic int *state,
                                bool heads, struct worker_health **out)
{
    struct worker_health *health;
    TRY(memory_new(1, sizeof *health, "the answers to /health", &health));
    health->state = state;
    health->heads = heads;
    snprintf(health->waiting, sizeof health->waiting, "none is here yet"); // until it is told
    pthread_mutex_init(&health->lock, NULL);
    if (uv_loop_init(&health->loop)) {
        pthread_mutex_destroy(&health->lock);
        free(health);
        return fail(ERR_MEMORY, "there is no memory for the answers to /health");
    }
    uv_async_init(&health->loop, &health->end, close_all);
    health->end.data = health;
    enum status status = http_server_new(options, &health->loop, &health->server);
    if (status == OK)
        status = add_routes(health);
    if (status == OK)
        status = http_server_listen(health->server);
    if (status == OK)
        log_info("health of this node at %s/health", http_server_address(health->server));
    if (status == OK)
        status = quiet_thread_start(&health->thread, answer_watchers, health, "answers /health");
    if (status == OK) {
        *out = health;
        return OK;
    }
    if (health->server)
        http_server_close(health->server);
    uv_close((uv_handle_t *)&health->end, NULL);
    free_worker_health(health);
    return status;
}

void worker_health_stop(struct worker_health *health)
{
    if (!health)
        return;
    uv_async_send(&health->end);
    pthread_join(health->thread, NULL);
    free_worker_health(health);
}
