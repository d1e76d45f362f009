// What all connections of a server share: limits, routes, keys, CORS, gauges. Knows no sockets.
#ifndef COLROW_SERVER_HTTP_SITE_H
#define COLROW_SERVER_HTTP_SITE_H

#include "base/memory.h"
#include "server/http.h"

struct http_route {
    enum http_method method;
    const char *path;     // borrowed
    size_t prefix_length; // of the part before "{tail}"; 0 for a literal path
    unsigned flags;
    http_handler *handler;
    void *owner;
};

struct http_key_digest; // in http_keys.c

struct http_site {
    struct http_options options;
    struct http_route routes[HTTP_ROUTES_MAX];
    int n_routes;
    struct http_key_digest *keys; // [n_keys]
    int n_keys;
    uint64_t ids_made; // request ids made up so far
    unsigned char id_seed[16];
    http_logger *logger;
    void *logger_owner;
    bool draining;
    int64_t now_ms; // of the loop
    struct http_gauges gauges;
    void (*exchange_over)(struct http_site *site); // one exchange less; may be NULL
    int64_t date_s;                                // second that `date` was written in
    char date[32];
    struct bytes event, chunk; // being made; kept, so that a token of a stream allocates nothing
};

enum status http_site_init(struct http_site *site,
                           const struct http_options *options) STATUS_MUST_USE;
void http_site_fini(struct http_site *site);
const char *http_site_date(struct http_site *site);
void http_site_request_id(struct http_site *site, char out[HTTP_REQUEST_ID_MAX + 1]);

enum status http_site_route(struct http_site *site, enum http_method method, const char *path,
                            unsigned flags, http_handler *handler, void *owner) STATUS_MUST_USE;

// `path` without the root path, if it begins with it.
const char *http_site_path(const struct http_site *site, const char *path);

// What a path leads to.
struct http_match {
    const struct http_route *route; // NULL: see below
    const char *tail;
    const char *allow; // path exists, not with this method: the methods it has ("GET", "POST")
    bool other_slash;  // path exists with, or without, a slash at its end
};
void http_site_match(const struct http_site *site, enum http_method method, const char *path,
                     struct http_match *out);

// ---- keys (http_keys.c) ----

// Of the options and their file. May be called again: on failure the old keys stay.
enum status http_keys_read(struct http_site *site) STATUS_MUST_USE;
void http_keys_fini(struct http_site *site);
// Whether the request may go on: paths that begin with /v1 need a key, OPTIONS does not.
bool http_keys_allow(const struct http_site *site, const struct http_request *request);

// ---- CORS (http_cors.c) ----

// Appends the header fields that a browser asks for.
enum status http_cors_fields(const struct http_site *site, const struct http_request *request,
                             struct bytes *fields) STATUS_MUST_USE;
bool http_cors_is_preflight(const struct http_request *request);
// The answer to a preflight: its header fields; `*refused` is empty or says what is not allowed.
enum status http_cors_preflight(const struct http_site *site, const struct http_request *request,
                                struct bytes *fields, struct bytes *refused) STATUS_MUST_USE;

// ---- statuses (http_status.c) ----

const char *http_status_phrase(int status); // "Not Found"

#endif
