// SIGHUP: keys and certificates are read again.
#include "base/log.h"
#include "server/serve_state.h"

bool serve_can_reload(const struct serve_server *server)
{
    return server->options->http.api_key_file || server->options->http.ssl_certfile;
}

void serve_reload(struct serve_server *server)
{
    const struct http_options *o = &server->options->http;
    int n_keys;
    serve_notice_reload(server, true);
    if (o->api_key_file) {
        if (http_server_reload_keys(server->http, &n_keys) == OK)
            log_info("SIGHUP: %s was read again: %d API key%s", o->api_key_file, n_keys,
                     n_keys == 1 ? "" : "s");
        else
            log_error("SIGHUP: %s; the API keys stay as they were", status_message());
    }
    if (o->ssl_certfile) {
        if (http_server_reload_tls(server->http) == OK)
            log_info("SIGHUP: %s was read again, for connections from now on", o->ssl_certfile);
        else
            log_error("SIGHUP: %s; the certificate stays as it was", status_message());
    }
    serve_notice_reload(server, false);
}
