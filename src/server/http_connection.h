// One connection: bytes in, requests to handlers, answers out, deadlines. Knows no sockets: it
// talks to a wire, which is a socket, TLS over a socket, or a test's memory.
#ifndef COLROW_SERVER_HTTP_CONNECTION_H
#define COLROW_SERVER_HTTP_CONNECTION_H

#include "base/memory.h"
#include "server/http_parse.h"
#include "server/http_site.h"

// None of these calls the connection back before it returns.
struct http_wire_ops {
    void (*send)(void *wire, const char *data, size_t length); // copies what it cannot send at once
    size_t (*unsent)(const void *wire);                        // bytes that still wait
    size_t (*under_way)(const void *wire); // sent, but not known to have arrived
    void (*receive)(void *wire, bool on);
    void (*finish)(void *wire); // sends what is left, then closes in order
    void (*cut)(void *wire);    // closes at once
    void (*wake)(void *wire);   // has the loop call http_connection_run() soon
};

// How long a client is still borne that has bytes waiting for it: `stalled_ms` at first and at
// most. Time uses that up, and each HTTP_SLOWEST_BYTES_PER_S bytes that it takes give a second
// back. So who takes nothing is cut off after `stalled_ms`, and who takes less than that rate a
// little later.
struct http_patience {
    int64_t taken;    // bytes, when it was looked at last
    int64_t until_ms; // on the site's clock
};
void http_patience_renew(struct http_patience *patience, int64_t now_ms, int stalled_ms);
// The client has taken so many bytes by now: whether there is patience left.
bool http_patience_lasts(struct http_patience *patience, int64_t taken, int64_t now_ms,
                         int stalled_ms);

enum connection_state {
    CONNECTION_HEAD,     // reading a header, or idle
    CONNECTION_BODY,     // reading a body
    CONNECTION_EXCHANGE, // a request is being answered
    CONNECTION_OVER,     // nothing more is read
};

enum exchange_state { EXCHANGE_NONE, EXCHANGE_WAITING, EXCHANGE_STREAMING, EXCHANGE_OVER };

struct http_exchange {
    struct http_connection *connection;
    enum exchange_state state;
    struct http_request request;
    struct http_watch watch;
    const struct http_route *route;
    struct bytes fields; // header lines that the handler added
    char id[HTTP_REQUEST_ID_MAX + 1];
    int status;
    bool known; // `request` is read
    bool chunked, keep_alive, paused;
    int64_t sent_bytes, begun_ns;
};

struct http_connection {
    struct http_site *site;
    const struct http_wire_ops *ops;
    void *wire;
    char peer[HTTP_PEER_TEXT_MAX];
    enum connection_state state;
    struct bytes in; // received and not used yet
    struct http_head_scan scan;
    struct http_parse parse;
    struct bytes head_bytes; // what `head` points into
    struct http_head *head;  // of the request being read or answered
    struct bytes body;
    char *path;
    struct http_exchange exchange;
    int64_t due_ms;        // reading must be over by then
    int64_t handed_bytes;  // given to the wire so far
    int64_t counted_bytes; // of this connection in the site's gauge
    struct http_patience patience;
    bool running, doomed, receiving;
    bool answered; // a request before
};

// `connection` is the caller's memory, zeroed or not.
void http_connection_init(struct http_connection *connection, struct http_site *site,
                          const struct http_wire_ops *ops, void *wire, const char *peer);
void http_connection_fini(struct http_connection *connection); // tells `gone` where it is due

// What the wire reports.
void http_connection_received(struct http_connection *connection, const char *data, size_t length);
void http_connection_sent(struct http_connection *connection); // `unsent` went down
void http_connection_lost(struct http_connection *connection); // it broke
// The client sends no more. Who waits for an answer then is taken to be gone, as servers commonly
// do.
void http_connection_ended(struct http_connection *connection, bool in_order);
void http_connection_run(struct http_connection *connection);  // after ops->wake()
void http_connection_tick(struct http_connection *connection); // every 100 ms or so

bool http_connection_is_idle(const struct http_connection *connection); // between two requests
// A request is being read or answered, or an answer is being sent.
bool http_connection_owes(const struct http_connection *connection);
void http_connection_turn_away(struct http_connection *connection); // 503: too many

// ---- between http_connection.c and http_exchange.c ----

void http_exchange_begin(struct http_connection *connection);
// Answers with the error object and closes afterwards.
void http_exchange_refuse(struct http_connection *connection, const struct http_fault *fault);
void http_exchange_lost(struct http_connection *connection);
void http_exchange_sent(struct http_connection *connection);
void http_connection_exchange_over(struct http_connection *connection);
void http_connection_send(struct http_connection *connection, const char *data, size_t length);

#endif
