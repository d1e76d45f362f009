// TLS between a socket and a connection, by OpenSSL over memory: bytes go in and out by call.
#ifndef COLROW_SERVER_HTTP_TLS_H
#define COLROW_SERVER_HTTP_TLS_H

#include "base/memory.h"
#include "server/http.h"

struct tls_context; // certificate and settings, for all connections
struct tls_session;

// From the files named in `options`; `*out` is owned.
enum status tls_context_open(const struct http_options *options,
                             struct tls_context **out) STATUS_MUST_USE;
void tls_context_close(struct tls_context *context); // accepts NULL

enum status tls_session_new(struct tls_context *context, struct tls_session **out) STATUS_MUST_USE;
void tls_session_free(struct tls_session *session); // accepts NULL

enum tls_result { TLS_WANTS_MORE, TLS_HAS_DATA, TLS_CLOSED, TLS_FAILED };

// Bytes from the network.
enum status tls_session_feed(struct tls_session *session, const char *data,
                             size_t length) STATUS_MUST_USE;
// Decrypts up to `capacity` bytes into `data`; call until it no longer is TLS_HAS_DATA. Does the
// handshake on the way.
enum tls_result tls_session_read(struct tls_session *session, char *data, size_t capacity,
                                 size_t *length);
// Encrypts bytes. Before the handshake is over there is nothing to send.
enum status tls_session_write(struct tls_session *session, const char *data,
                              size_t length) STATUS_MUST_USE;
void tls_session_close(struct tls_session *session); // says goodbye
// Bytes for the network; append them to `out`.
enum status tls_session_drain(struct tls_session *session, struct bytes *out) STATUS_MUST_USE;

#endif
