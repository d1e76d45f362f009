// Keys and certificates are read again while the server runs.
#include <sys/stat.h>

#include "server/http_peer.h"

// One that is not there is for its reader to report.
static bool is_readable_again(const char *path)
{
    struct stat info;
    return !path || stat(path, &info) != 0 || S_ISREG(info.st_mode);
}

// A pipe was read to its end at the start, and would now make the server wait for a writer.
static enum status check_regular(const char *path)
{
    return is_readable_again(path)
               ? OK
               : fail(ERR_INPUT, "%s is no regular file and cannot be read again", path);
}

enum status http_options_check(const struct http_options *o)
{
    struct http_site site = {.options = *o};
    struct tls_context *tls = NULL;
    if (is_readable_again(o->api_key_file))
        TRY(http_keys_read(&site));
    http_keys_fini(&site);
    if (o->ssl_keyfile && !o->ssl_certfile)
        return fail(ERR_USAGE, "--ssl-keyfile needs --ssl-certfile");
    if (o->ssl_certfile && is_readable_again(o->ssl_certfile) &&
        is_readable_again(o->ssl_keyfile) && is_readable_again(o->ssl_ca_certs))
        TRY(tls_context_open(o, &tls));
    tls_context_close(tls);
    return OK;
}

enum status http_server_reload_keys(struct http_server *server, int *n_keys)
{
    TRY(check_regular(server->site.options.api_key_file));
    TRY(http_keys_read(&server->site));
    *n_keys = server->site.n_keys;
    return OK;
}

enum status http_server_reload_tls(struct http_server *server)
{
    const struct http_options *o = &server->site.options;
    struct tls_context *fresh = NULL;
    TRY(check_regular(o->ssl_certfile));
    TRY(check_regular(o->ssl_keyfile));
    TRY(check_regular(o->ssl_ca_certs));
    TRY(tls_context_open(o, &fresh));
    tls_context_close(server->tls); // sessions hold what they use of it
    server->tls = fresh;
    return OK;
}
