// The gate in front of the parser, for chunked bodies: sizes are plain hexadecimal digits, lines
// end in CR LF, there are no extensions.
#ifndef COLROW_SERVER_HTTP_CHUNKS_H
#define COLROW_SERVER_HTTP_CHUNKS_H

#include "server/http_head.h"

enum http_chunk_part {
    CHUNK_SIZE,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER,
    CHUNK_OVER,
};

struct http_chunks {
    enum http_chunk_part part;
    uint64_t left; // of this chunk
    int n_digits;
    uint64_t total, total_max; // of all chunks
    struct http_head_scan trailer;
    char *trailer_bytes; // HTTP_FIELDS_BYTES_MAX + 4, reserved when a trailer begins
};
void http_chunks_begin(struct http_chunks *chunks, uint64_t total_max);
void http_chunks_end(struct http_chunks *chunks);

// Looks at bytes of the body, at most to its end; `*used` is how many belong to it.
enum http_progress http_chunks_scan(struct http_chunks *chunks, const char *data, size_t length,
                                    size_t *used, struct http_fault *fault);

#endif
