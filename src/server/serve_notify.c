// What the server tells its service manager: ready, reloading, stopping, what it is doing, and that
// it gets on.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/serve_state.h"

enum {
    TICK_MS = 1000,
    LOADING_MS = 60000, // loading may go on for so long after it last got on
    ENDING_MS = 10000,  // beyond --shutdown-timeout, for the ranks to end
};

static const struct service_manager *manager_of(const struct serve_server *server)
{
    return server->options->manager;
}

static void describe_server(const struct serve_server *server, char *out, size_t capacity)
{
    char why[STATUS_MESSAGE_MAX];
    if (serve_condition(server, why, sizeof why) == SERVE_READY)
        snprintf(out, capacity, "serving %s at %s", server->model.names[0],
                 http_server_address(server->http));
    else
        snprintf(out, capacity, "%s", why);
}

// Something that only goes up while work is done. What waits with nothing under way is no work.
static bool gets_on(struct serve_server *server)
{
    struct serve_notice *notice = &server->notice;
    struct colrow_gauges gauges;
    struct colrow_statistics statistics;
    colrow_get_gauges(server->engine, &gauges);
    colrow_get_statistics(server->engine, &statistics);
    uint64_t sum = gauges.bytes_loaded + statistics.steps + (uint64_t)gauges.restarts;
    bool moved = sum != notice->sum || gauges.state != notice->state;
    bool idle = gauges.state == COLROW_READY && gauges.running_sequences == 0;
    notice->sum = sum;
    notice->state = gauges.state;
    if (moved || idle)
        notice->moved_ns = clock_ns();
    return moved;
}

static void feed_watchdog(struct serve_server *server)
{
    struct serve_notice *notice = &server->notice;
    int64_t now = clock_ns(), period = manager_of(server)->watchdog_ms * 1000000;
    if (period == 0 || now - notice->fed_ns < period / 2 - notice->tick_ns / 2)
        return;
    if (now - notice->moved_ns >= period) {
        if (!notice->hungry)
            log_error("no step has completed for %.0f s: the service manager is told no more",
                      (double)(now - notice->moved_ns) * 1e-9);
        notice->hungry = true;
        return;
    }
    notice->hungry = false;
    notice->fed_ns = now;
    service_manager_say(manager_of(server), "WATCHDOG=1");
}

void serve_notice_tell(struct serve_server *server)
{
    struct serve_notice *notice = &server->notice;
    const struct service_manager *manager = manager_of(server);
    char text[SERVE_NOTICE_BYTES];
    if (!manager || manager->notify_fd < 0)
        return;
    bool moved = gets_on(server);
    describe_server(server, text, sizeof text);
    if (server->loaded && !notice->ready)
        service_manager_say(manager, "READY=1\nSTATUS=%s", text);
    else if (strcmp(text, notice->text) != 0)
        service_manager_say(manager, "STATUS=%s", text);
    if (!server->loaded && moved)
        service_manager_say(manager, "EXTEND_TIMEOUT_USEC=%" PRId64, (int64_t)LOADING_MS * 1000);
    notice->ready = server->loaded;
    snprintf(notice->text, sizeof notice->text, "%s", text);
    feed_watchdog(server);
}

static void tick(uv_timer_t *timer)
{
    serve_notice_tell(timer->data);
}

void serve_notice_stopping(struct serve_server *server)
{
    int64_t ms = (int64_t)(server->options->shutdown_seconds * 1e3) + ENDING_MS;
    if (!manager_of(server))
        return;
    service_manager_say(manager_of(server), "STOPPING=1\nEXTEND_TIMEOUT_USEC=%" PRId64, ms * 1000);
    serve_notice_tell(server);
}

void serve_notice_reload(struct serve_server *server, bool begins)
{
    const struct service_manager *manager = manager_of(server);
    if (!manager || !server->notice.ready)
        return; // READY=1 is not yet to be said
    if (begins)
        service_manager_say(manager, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_ns() / 1000);
    else
        service_manager_say(manager, "READY=1");
}

enum status serve_notice_begin(struct serve_server *server)
{
    struct serve_notice *notice = &server->notice;
    const struct service_manager *manager = manager_of(server);
    int error = uv_timer_init(&server->loop, &notice->timer);
    if (error != 0)
        return fail(ERR_IO, "a timer cannot be made: %s", uv_strerror(error));
    notice->timer.data = server;
    if (!manager || manager->notify_fd < 0)
        return OK;
    uint64_t ms = TICK_MS;
    if (manager->watchdog_ms > 0 && (uint64_t)manager->watchdog_ms / 4 < ms)
        ms = (uint64_t)manager->watchdog_ms / 4 + 1;
    notice->tick_ns = (int64_t)ms * 1000000;
    notice->moved_ns = clock_ns();
    notice->sum = UINT64_MAX; // that loading has begun is progress
    uv_timer_start(&notice->timer, tick, 0, ms);
    return OK;
}
