// Whether the server serves, for balancers, orchestrators and people. From what the engine says of
// itself: nothing is generated, and nobody waits for a rank.
#include <stdio.h>
#include <string.h>

#include "server/json_writer.h"
#include "server/serve_state.h"

enum serve_condition serve_condition(const struct serve_server *server, char *why, size_t capacity)
{
    struct colrow_gauges gauges;
    colrow_get_gauges(server->engine, &gauges);
    if (server->closed || server->draining) {
        snprintf(why, capacity, "the server is shutting down; %d request%s still running",
                 server->n_jobs, server->n_jobs == 1 ? " is" : "s are");
        return server->closed ? SERVE_ENDS : SERVE_DRAINS;
    }
    if (!server->loaded) {
        double part =
            gauges.bytes_total ? (double)gauges.bytes_loaded / (double)gauges.bytes_total : 0;
        snprintf(why, capacity,
                 "the model is being loaded (%.0f %% of its weights are read); try again later",
                 100 * (part < 1 ? part : 1));
        return SERVE_LOADS;
    }
    if (gauges.state != COLROW_READY) {
        snprintf(why, capacity, "the ranks are being started again: %s", gauges.last_failure);
        return SERVE_RESTARTS;
    }
    if (gauges.step_overdue) {
        snprintf(why, capacity, "no step of the ranks has completed for %.1f s, and one is overdue",
                 gauges.seconds_since_step);
        return SERVE_STALLS;
    }
    *why = '\0';
    return SERVE_READY;
}

bool serve_is_loaded(const struct serve_server *server, struct http_exchange *exchange)
{
    char why[STATUS_MESSAGE_MAX];
    if (server->loaded)
        return true;
    serve_condition(server, why, sizeof why);
    http_answer_error(exchange, 503, NULL, NULL, "%s", why);
    return false;
}

// Ready, but with fewer nodes than it was started with: balancers look at the status alone.
static void answer_degraded(const struct serve_server *server, struct http_exchange *exchange,
                            const struct colrow_gauges *gauges)
{
    char text[256];
    struct colrow_info info;
    colrow_get_info(server->engine, &info);
    int length = snprintf(text, sizeof text,
                          "{\"status\":\"degraded\",\"nodes\":%d,\"nodes_serving\":%d,"
                          "\"tensor_parallel_size\":%d,\"pipeline_parallel_size\":%d}",
                          gauges->nodes, gauges->nodes_serving, info.tensor_parallel_size,
                          info.pipeline_parallel_size);
    http_answer_json(exchange, 200, text, (size_t)length);
}

// ?live: whether it makes sense to wait for this process. Who loads, restarts its ranks or lets
// requests finish must not be killed for it.
void serve_answer_health(struct http_exchange *exchange, void *owner)
{
    const struct serve_server *server = owner;
    struct http_text query = http_exchange_request(exchange)->query;
    char why[STATUS_MESSAGE_MAX];
    enum serve_condition condition = serve_condition(server, why, sizeof why);
    bool live = http_query_has(query, "live") && !http_query_has(query, "ready");
    struct colrow_gauges gauges;
    colrow_get_gauges(server->engine, &gauges);
    if (condition == SERVE_READY && gauges.nodes_serving < gauges.nodes)
        answer_degraded(server, exchange, &gauges);
    else if (condition == SERVE_READY || (live && condition != SERVE_ENDS))
        http_answer(exchange, 200, NULL, NULL, 0);
    else
        http_answer_error(exchange, 503, NULL, NULL, "%s", why);
}

// As vLLM's, and with a second key while /health is 503.
void serve_answer_load(struct http_exchange *exchange, void *owner)
{
    const struct serve_server *server = owner;
    struct json_writer writer;
    struct bytes out;
    char why[STATUS_MESSAGE_MAX];
    bytes_init(&out);
    json_writer_begin(&writer, &out);
    json_open_object(&writer, NULL);
    json_put_int(&writer, "server_load", server->n_jobs);
    if (serve_condition(server, why, sizeof why) != SERVE_READY)
        json_put_text(&writer, "unavailable", why);
    json_close_object(&writer);
    if (writer.status == OK)
        http_answer_json(exchange, 200, out.data, out.length);
    else
        http_answer_error(exchange, 503, NULL, NULL, "%s", status_message());
    bytes_fini(&out);
}
