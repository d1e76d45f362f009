#include "server/serve.h"

#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "hf/model_folder.h"
#include "server/serve_state.h"

void serve_options_init(struct serve_options *options)
{
    *options = (struct serve_options){
        .max_logprobs = API_TOP_LOGPROBS_MAX,
        .max_num_queued_requests = 4096,
        .shutdown_seconds = 30,
        .log_requests = true,
    };
    http_options_init(&options->http);
}

static enum status uv_failed(int error, const char *what)
{
    return error == 0 ? OK : fail(ERR_IO, "%s: %s", what, uv_strerror(error));
}

// ---- the engine ----

// On a socket that was passed clients wait until the model is loaded: it is for them that the
// service manager keeps it.
static bool listen_for_clients(struct serve_server *server)
{
    server->status = http_server_listen(server->http);
    if (server->status != OK)
        serve_close(server);
    return server->status == OK;
}

static void note_loading(struct serve_server *server)
{
    const struct serve_options *options = server->options;
    struct colrow_gauges gauges;
    colrow_get_gauges(server->engine, &gauges);
    if (options->loading)
        options->loading(options->loading_context, &gauges);
    server->loaded = gauges.state == COLROW_READY;
    if (!server->loaded)
        return;
    if (options->http.listen_fd >= 0 && !listen_for_clients(server))
        return;
    if (options->loaded) // from here on the process may be confined: it listens already
        options->loaded(options->loading_context);
    log_info("serving %s at %s", server->model.names[0], http_server_address(server->http));
    serve_notice_tell(server);
}

static void engine_has_something(uv_poll_t *handle, int error, int events)
{
    struct serve_server *server = handle->data;
    (void)error, (void)events;
    if (colrow_advance(server->engine) >= 0) {
        if (!server->loaded)
            note_loading(server);
        serve_measure(server);
        return;
    }
    // The engine has started lost ranks again as often as it may, or they were never loaded.
    server->status = fail(ERR_GROUP, "%s", colrow_error());
    serve_close(server);
}

// ---- the beginning ----

static enum status start_handles(struct serve_server *server)
{
    uv_loop_t *loop = &server->loop;
    TRY(serve_signals_begin(server));
    TRY(serve_notice_begin(server));
    // a handle that could not be initialised must not be closed: this fails only without memory
    TRY(uv_failed(uv_poll_init(loop, &server->engine_ready, colrow_fd(server->engine)),
                  "the engine's descriptor"));
    server->engine_ready.data = server;
    return uv_failed(uv_poll_start(&server->engine_ready, UV_READABLE, engine_has_something),
                     "the engine's descriptor");
}

static enum status open_model(struct serve_server *server)
{
    const struct serve_options *options = server->options;
    struct colrow_info info;
    char folder[FILE_PATH_MAX];
    TRY(model_folder_find(options->model, folder));
    colrow_get_info(server->engine, &info);
    struct colrow_tokenizer *texts = colrow_get_tokenizer(server->engine);
    enum status opened =
        api_model_open(&server->model, folder, texts, &info,
                       options->n_served_names ? options->served_names : &options->name,
                       options->n_served_names ? options->n_served_names : 1);
    colrow_tokenizer_close(texts);
    TRY(opened);
    // "models/demo" is "demo", too
    const char *slash = strrchr(options->name, '/');
    if (options->n_served_names == 0 && slash && slash[1])
        server->model.alias = slash + 1;
    if (options->chat_template)
        TRY(api_model_template(&server->model, options->chat_template));
    server->model.max_logprobs = options->max_logprobs;
    server->model.prompt_tokens_details = options->prompt_tokens_details;
    server->model.prompt_logprobs = options->prompt_logprobs;
    return metrics_init(&server->metrics, server->model.names[0], info.max_model_len);
}

enum status serve_run(const struct serve_options *options, struct colrow_engine *engine)
{
    static struct serve_server server; // one in a process; its handles must not move
    server = (struct serve_server){.options = options, .engine = engine};
    enum status status = open_model(&server);
    bool have_loop = status == OK && uv_loop_init(&server.loop) == 0;
    if (status == OK && !have_loop)
        status = fail(ERR_IO, "the event loop cannot be made");
    if (status != OK)
        goto done;
    TRY_DONE(start_handles(&server));
    TRY_DONE(http_server_new(&options->http, &server.loop, &server.http));
    TRY_DONE(serve_routes(&server));
    http_server_logger(server.http, serve_log, &server);
    log_never_block();
    if (options->listens)
        options->listens(options->loading_context);
    if (options->http.listen_fd < 0) {
        TRY_DONE(http_server_listen(server.http));
        log_info("listening at %s while the model loads", http_server_address(server.http));
    } else {
        log_info("a listening socket was passed, which replaces --host, --port and --uds; clients "
                 "wait there while the model loads");
    }
    uv_run(&server.loop, UV_RUN_DEFAULT);
    serve_signals_end(&server);
    status = server.status;
done:
    http_server_free(server.http);
    if (have_loop && uv_loop_close(&server.loop) != 0)
        log_debug("the event loop has handles left");
    serve_jobs_fini(&server);
    serve_notes_fini(&server);
    metrics_fini(&server.metrics);
    api_model_close(&server.model);
    return status;
}
