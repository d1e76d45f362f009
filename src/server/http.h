// The HTTP server: listens, reads requests within limits, calls handlers, sends answers and
// streams.
//
// One thread: everything here is called on the thread that runs the loop, and calls back on it. A
// handler may answer at once, later, or as a stream. What is wrong with a request below the level
// of its meaning (framing, limits, deadlines, keys, unknown paths) is answered here, always with
// the one error object {"error": {"message", "type", "param", "code"}}.
#ifndef COLROW_SERVER_HTTP_H
#define COLROW_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct uv_loop_s; // libuv's uv_loop_t

// Named maxima that no flag changes.
enum {
    HTTP_LINE_BYTES_MAX = 8 << 10,       // the request line
    HTTP_FIELDS_BYTES_MAX = 16 << 10,    // all header fields together; trailer fields again
    HTTP_FIELDS_MAX = 100,               // their number
    HTTP_PIPELINED_BYTES_MAX = 64 << 10, // received ahead of the answer to come
    HTTP_PAUSE_BYTES = 256 << 10,        // unsent: the stream's owner is asked to pause
    HTTP_RESUME_BYTES = 128 << 10,       // ... and told to go on below this
    HTTP_STREAM_BYTES_MAX = 4 << 20,     // unsent of a stream whose owner does not pause: cut off
    HTTP_SLOWEST_BYTES_PER_S = 240,      // a client that takes less for long is cut off
    HTTP_ROUTES_MAX = 64,
    HTTP_KEYS_MAX = 1024,
    HTTP_REQUEST_ID_MAX = 128,
    HTTP_PEER_TEXT_MAX = 64,
};

struct http_options {
    const char *host; // NULL: 127.0.0.1, or all interfaces when a key is set
    int port;         // 0: the kernel picks; http_server_address() says which
    const char *uds;  // path of a UNIX socket instead of host and port, or NULL
    int listen_fd;    // a listening socket instead of all these, closed with the server; or -1
    const char *root_path;

    int64_t body_bytes_max;   // of one request
    int64_t memory_bytes_max; // buffered for all connections together
    int connections_max;
    int header_ms;  // from the first byte (or the connection's start) to the end of the header
    int body_ms;    // from there to the end of the body
    int idle_ms;    // between two requests
    int stalled_ms; // the client takes nothing of what is to be sent; see struct http_patience
    int retry_after_s;

    const char *const *api_keys; // any of these opens /v1; neither keys nor a file: all is open
    int n_api_keys;
    const char *api_key_file; // with more of them, one a line, # begins a comment; or NULL
    const char *const *allowed_origins; // CORS, as vLLM's flags; "*" is any
    const char *const *allowed_methods;
    const char *const *allowed_headers;
    int n_allowed_origins, n_allowed_methods, n_allowed_headers;
    bool allow_credentials;
    bool request_id_headers; // X-Request-Id in answers

    const char *ssl_certfile, *ssl_keyfile, *ssl_ca_certs; // PEM files, or NULL
    int ssl_cert_reqs; // Python's ssl: 0 none, 1 optional, 2 required
};

// Defaults; borrowed texts must outlive the server.
void http_options_init(struct http_options *options);
// Whether the files of keys and certificates are good, so that who begins much else first is told
// beforehand. Only http_server_new() reads what is no regular file, since that can be read once.
enum status http_options_check(const struct http_options *options) STATUS_MUST_USE;

struct http_server;
struct http_exchange; // one request and its answer

// ---- requests ----

enum http_method {
    HTTP_METHOD_OTHER,
    HTTP_METHOD_GET,
    HTTP_METHOD_HEAD,
    HTTP_METHOD_POST,
    HTTP_METHOD_OPTIONS
};

struct http_text {
    const char *data; // not terminated
    size_t length;
};

struct http_field {
    struct http_text name, value; // as received, the value without blanks around it
};

// Valid until the exchange ends. Texts with a NUL after them say so.
struct http_request {
    enum http_method method;
    struct http_text method_text;
    const char *path;       // percent-decoded, without root_path, NUL-terminated; holds no NUL
    const char *tail;       // what "{tail}" of the route stands for, in `path`; "" without
    struct http_text query; // after the '?', as received
    const struct http_field *fields;
    int n_fields;
    const char *body; // NUL-terminated, may hold NULs
    size_t body_bytes;
    const char *id; // X-Request-Id as given, or made up
    bool id_given;
    const char *peer;    // "127.0.0.1:51234", "unix"
    int64_t received_ns; // clock_ns() when the request was complete
};

const struct http_request *http_exchange_request(const struct http_exchange *exchange);
// Value of a header field (the name's case does not matter); {NULL, 0} when absent.
struct http_text http_request_field(const struct http_request *request, const char *name);
bool http_text_equals(struct http_text text, const char *other); // ASCII case is ignored
bool http_query_has(struct http_text query, const char *name);   // "name", or "a=1&name=1"
bool http_request_is_json(const struct http_request *request);   // says Content-Type

// ---- answers ----
//
// An exchange ends with http_answer*(), http_stream_end() or http_stream_abort(), or when `gone` is
// called: after that the pointer is not used any more. A handler that does not answer keeps it.
// `gone` and `resumed` come from the loop alone, `paused` also from within http_stream_send(); a
// handler is never called from within an answer.

struct http_watch {
    void (*gone)(void *owner);   // the client went away, or was cut off
    void (*paused)(void *owner); // HTTP_PAUSE_BYTES are unsent: send no more for now
    void (*resumed)(void *owner);
    void *owner;
};
void http_exchange_watch(struct http_exchange *exchange, const struct http_watch *watch);

// Adds a header field to the answer, before it begins. The value must hold no control characters.
void http_answer_field(struct http_exchange *exchange, const char *name, const char *value);
void http_answer(struct http_exchange *exchange, int status, const char *content_type,
                 const void *body, size_t body_bytes); // copied; content_type NULL: no body
void http_answer_json(struct http_exchange *exchange, int status, const char *text, size_t length);
// The error object. `type` NULL: the status' own; `param` may be NULL. 429 and 503 get Retry-After.
void http_answer_error(struct http_exchange *exchange, int status, const char *type,
                       const char *param, const char *format, ...) STATUS_PRINTF(5, 6);

void http_stream_begin(struct http_exchange *exchange, int status, const char *content_type);
void http_stream_send(struct http_exchange *exchange, const void *data, size_t length);
void http_stream_end(struct http_exchange *exchange);
void http_stream_abort(struct http_exchange *exchange); // the client sees that it is cut short
// An event stream: begins one with status 200; sends "data: <text>\n\n" (line ends inside become
// further data lines).
void http_events_begin(struct http_exchange *exchange);
void http_events_send(struct http_exchange *exchange, const char *text, size_t length);
// Bytes that wait for the client.
size_t http_stream_unsent(const struct http_exchange *exchange);

// The error object as JSON text, for an event inside a stream; release with free().
enum status http_error_text(int status, const char *type, const char *param, const char *message,
                            char **out) STATUS_MUST_USE;

// ---- routes ----

typedef void http_handler(struct http_exchange *exchange, void *owner);

enum http_route_flags {
    HTTP_ROUTE_ALWAYS = 1, // answers while the server drains, too
};

// `path` is literal, or ends in "/{tail}", which stands for at least one byte. HEAD goes to GET's
// handler; its body is not sent.
enum status http_server_route(struct http_server *server, enum http_method method, const char *path,
                              unsigned flags, http_handler *handler, void *owner) STATUS_MUST_USE;

// Called for every answer that ends, for logs and metrics.
struct http_record {
    const struct http_request *request; // NULL when it could not be read
    const char *peer;
    int status; // 0: the client left before it was answered
    int64_t sent_bytes;
    int64_t begun_ns, ended_ns; // clock_ns()
};
typedef void http_logger(const struct http_record *record, void *owner);
void http_server_logger(struct http_server *server, http_logger *logger, void *owner);

// ---- the server ----

// Open files that a server of these options asks for; and connections that it takes when it is
// granted fewer.
uint64_t http_descriptors_wanted(const struct http_options *options);
int http_connections_within(uint64_t descriptors);

// `loop` is borrowed. `*out` is owned: http_server_free(), after the loop has run
// http_server_close() to its end.
enum status http_server_new(const struct http_options *options, struct uv_loop_s *loop,
                            struct http_server **out) STATUS_MUST_USE;
enum status http_server_listen(struct http_server *server) STATUS_MUST_USE;
const char *http_server_address(const struct http_server *server); // "http://127.0.0.1:8000"
// Read again what is in files: keys count for requests from now on, certificates for connections
// from now on. On failure the old ones stay. For who has such files among his options.
enum status http_server_reload_keys(struct http_server *server, int *n_keys) STATUS_MUST_USE;
enum status http_server_reload_tls(struct http_server *server) STATUS_MUST_USE;
// From now on new requests get 503 and their connections close; `drained` is called when no
// exchange is left. New connections to `listen_fd` stay in its queue, for who serves it next.
void http_server_drain(struct http_server *server, void (*drained)(void *owner), void *owner);
// Closes the listener and all connections; afterwards the loop holds no handle of the server.
void http_server_close(struct http_server *server);
void http_server_free(struct http_server *server); // accepts NULL

struct http_gauges {
    int connections, exchanges, streams_paused;
    int64_t buffered_bytes;                                           // of all connections
    int64_t accepted, refused, requests, dropped_slow, accept_errors; // since the start
};
void http_server_gauges(const struct http_server *server, struct http_gauges *out);

#endif
