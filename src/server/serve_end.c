// The end of a server: signals, draining, what is cut off, closing.
#include <signal.h>
#include <string.h>

#include "base/log.h"
#include "server/serve_state.h"

static void close_handle(uv_handle_t *handle)
{
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void serve_close(struct serve_server *server)
{
    if (server->closed)
        return;
    server->closed = true;
    serve_jobs_cancel(server, "the server is shutting down");
    http_server_close(server->http);
    close_handle((uv_handle_t *)&server->engine_ready);
    close_handle((uv_handle_t *)&server->patience);
    close_handle((uv_handle_t *)&server->notice.timer);
    // signals are taken to the very end, but do not keep the loop
    for (int i = 0; i < SERVE_SIGNALS; i++)
        uv_unref((uv_handle_t *)&server->signals[i]);
}

// The ranks are ended next, which takes a moment: one more signal must not leave that half done.
void serve_signals_end(struct serve_server *server)
{
    for (int i = 0; i < SERVE_SIGNALS; i++)
        close_handle((uv_handle_t *)&server->signals[i]);
    uv_run(&server->loop, UV_RUN_DEFAULT);
    for (int i = 0; i < SERVE_SIGNALS; i++)
        signal(serve_signals[i], SIG_IGN);
}

static void is_drained(void *owner)
{
    serve_close(owner);
}

// ---- what is cut off ----

// Requests that somebody waits for. Their ids go into the log, a handful a line: whoever has to
// explain a missing answer looks for them there.
static int name_what_is_cut(const struct serve_server *server, const char *why)
{
    enum { IDS_A_LINE = 8 };
    struct bytes ids;
    int n = 0, n_line = 0;
    for (const struct serve_job *job = server->jobs; job; job = job->next)
        n += job->exchange != NULL;
    if (n > 0)
        log_warning("%s: %d request%s cut off:", why, n, n == 1 ? " is" : "s are");
    bytes_init(&ids);
    for (const struct serve_job *job = server->jobs; job; job = job->next) {
        if (job->exchange && bytes_format(&ids, "%s%s", n_line ? ", " : "", job->log_id) == OK)
            n_line++;
        if (n_line == IDS_A_LINE || (n_line > 0 && !job->next)) {
            log_warning("cut off: %s", ids.data);
            bytes_clear(&ids);
            n_line = 0;
        }
    }
    bytes_fini(&ids);
    return n;
}

static void is_out_of_patience(uv_timer_t *timer)
{
    struct serve_server *server = timer->data;
    char why[64];
    snprintf(why, sizeof why, "%g s are over", server->options->shutdown_seconds);
    if (name_what_is_cut(server, why) == 0)
        log_warning("%s: a client has not taken all of its answer", why);
    serve_close(server);
}

// ---- signals ----

const int serve_signals[SERVE_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};

static const char *name_of_signal(int number)
{
    return number == SIGTERM ? "SIGTERM" : number == SIGINT ? "SIGINT" : "SIGHUP";
}

// nohup's choice is kept, where SIGHUP would end the server.
static bool is_signal_taken(const struct serve_server *server, int number)
{
    struct sigaction now;
    bool ignored = sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
    return !ignored || (number == SIGHUP && serve_can_reload(server));
}

// Work is lost: the exit status says so, as for the commands that load, in the same words.
static void end_by_signal(struct serve_server *server, int number)
{
    const struct serve_options *options = server->options;
    server->status = fail(ERR_CANCELLED, "ended by signal %d (%s)", number, strsignal(number));
    if (options->interrupted)
        options->interrupted(options->loading_context, number);
    serve_close(server);
}

static void begin_to_drain(struct serve_server *server, int number)
{
    log_info("%s: %d request%s may finish within %g s; a second signal ends at once",
             name_of_signal(number), server->n_jobs, server->n_jobs == 1 ? "" : "s",
             server->options->shutdown_seconds);
    server->draining = true;
    uv_timer_start(&server->patience, is_out_of_patience,
                   (uint64_t)(server->options->shutdown_seconds * 1e3), 0);
    serve_notice_stopping(server);
    http_server_drain(server->http, is_drained, server);
}

static void take_signal(uv_signal_t *handle, int number)
{
    struct serve_server *server = handle->data;
    if (server->closed)
        return;
    if (number == SIGHUP && serve_can_reload(server)) {
        serve_reload(server);
        return;
    }
    if (server->loaded && !server->draining) {
        begin_to_drain(server, number);
        return;
    }
    // while it loads nothing runs that could finish
    if (!server->loaded || name_what_is_cut(server, name_of_signal(number)) > 0)
        end_by_signal(server, number);
    else
        serve_close(server);
}

enum status serve_signals_begin(struct serve_server *server)
{
    for (int i = 0; i < SERVE_SIGNALS; i++) {
        // fails only without memory: a handle that was not initialised must not be closed
        int error = uv_signal_init(&server->loop, &server->signals[i]);
        server->signals[i].data = server;
        if (error == 0 && is_signal_taken(server, serve_signals[i]))
            error = uv_signal_start(&server->signals[i], take_signal, serve_signals[i]);
        if (error != 0)
            return fail(ERR_IO, "signal %d cannot be taken: %s", serve_signals[i],
                        uv_strerror(error));
    }
    int error = uv_timer_init(&server->loop, &server->patience);
    server->patience.data = server;
    return error == 0 ? OK : fail(ERR_IO, "a timer cannot be made: %s", uv_strerror(error));
}
