// One request through llhttp, behind the gate: both must read the same bytes as the same request.
#ifndef COLROW_SERVER_HTTP_PARSE_H
#define COLROW_SERVER_HTTP_PARSE_H

#include <llhttp.h>

#include "base/memory.h"
#include "server/http_chunks.h"
#include "server/http_head.h"

struct http_parse {
    llhttp_t parser;
    struct http_chunks chunks;
    uint64_t body_left; // of a body with Content-Length
    bool chunked, keep_alive;
    bool head_done, body_done; // what llhttp reported
    struct bytes *body;        // where body bytes go, bounded by the gate
    enum status appended;
};

void http_parse_begin(struct http_parse *parse, struct bytes *body);
void http_parse_end(struct http_parse *parse);

// The complete header `data[0..length)`, which the gate read as `head`. After HTTP_COMPLETE the
// message is over, after HTTP_MORE a body follows.
enum http_progress http_parse_head(struct http_parse *parse, const char *data, size_t length,
                                   const struct http_head *head, uint64_t body_bytes_max,
                                   struct http_fault *fault);
// Bytes of the body; `*used` is how many belong to it.
enum http_progress http_parse_body(struct http_parse *parse, const char *data, size_t length,
                                   size_t *used, struct http_fault *fault);

#endif
