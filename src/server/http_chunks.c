#include "server/http_chunks.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"

enum { SIZE_DIGITS_MAX = 15 };

void http_chunks_begin(struct http_chunks *chunks, uint64_t total_max)
{
    *chunks = (struct http_chunks){.total_max = total_max};
}

void http_chunks_end(struct http_chunks *chunks)
{
    free(chunks->trailer_bytes);
    chunks->trailer_bytes = NULL;
}

static enum http_progress bad_chunk(struct http_fault *fault, int status, const char *message)
{
    *fault = (struct http_fault){status, message};
    return HTTP_REFUSED;
}

static int size_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum http_progress size_byte(struct http_chunks *chunks, char c, struct http_fault *fault)
{
    int digit = size_digit(c);
    if (digit >= 0) {
        if (++chunks->n_digits > SIZE_DIGITS_MAX)
            return bad_chunk(fault, 413, "a chunk's size has more than 15 digits");
        chunks->left = chunks->left * 16 + (uint64_t)digit;
        return HTTP_MORE;
    }
    if (c == ';')
        return bad_chunk(fault, 400, "a chunk has an extension");
    if (c != '\r' || chunks->n_digits == 0)
        return bad_chunk(fault, 400, "a chunk's size is not hexadecimal digits, CR, LF");
    chunks->part = CHUNK_SIZE_LF;
    return HTTP_MORE;
}

static enum http_progress size_over(struct http_chunks *chunks, char c, struct http_fault *fault)
{
    if (c != '\n')
        return bad_chunk(fault, 400, "a chunk's size is not hexadecimal digits, CR, LF");
    if (chunks->left > chunks->total_max - chunks->total)
        return bad_chunk(fault, 413, "the body is longer than this server takes (--max-body-size)");
    chunks->total += chunks->left;
    chunks->part = chunks->left ? CHUNK_DATA : CHUNK_TRAILER;
    if (chunks->part == CHUNK_TRAILER)
        http_trailer_scan_begin(&chunks->trailer);
    return HTTP_MORE;
}

// Trailer fields are judged as header fields are, and then forgotten: nothing here needs them.
static enum http_progress trailer_byte(struct http_chunks *chunks, char c, struct http_fault *fault)
{
    if (!chunks->trailer_bytes &&
        memory_new(HTTP_FIELDS_BYTES_MAX + 4, 1, "trailer fields", &chunks->trailer_bytes) != OK)
        return bad_chunk(fault, 503, "there is no memory for the request");
    struct http_head_scan *scan = &chunks->trailer;
    size_t line = scan->line_begin;
    assert(scan->at < HTTP_FIELDS_BYTES_MAX + 4);
    chunks->trailer_bytes[scan->at] = c;
    enum http_progress progress = http_head_scan(scan, chunks->trailer_bytes, scan->at + 1, fault);
    if (progress == HTTP_MORE && scan->line_begin > line) {
        struct http_field field;
        if (!http_field_judge(chunks->trailer_bytes + line, scan->line_begin - line - 2, &field))
            return bad_chunk(fault, 400, "a trailer line is not: NAME: VALUE");
        if (http_text_equals(field.name, "Content-Length") ||
            http_text_equals(field.name, "Transfer-Encoding") ||
            http_text_equals(field.name, "Host"))
            return bad_chunk(fault, 400, "a trailer field would change the message's framing");
    }
    if (progress == HTTP_COMPLETE)
        chunks->part = CHUNK_OVER;
    return progress;
}

static enum http_progress framing_byte(struct http_chunks *chunks, char c, struct http_fault *fault)
{
    switch (chunks->part) {
    case CHUNK_SIZE:
        return size_byte(chunks, c, fault);
    case CHUNK_SIZE_LF:
        return size_over(chunks, c, fault);
    case CHUNK_DATA_CR:
    case CHUNK_DATA_LF:
        if (c != (chunks->part == CHUNK_DATA_CR ? '\r' : '\n'))
            return bad_chunk(fault, 400, "a chunk does not end in CR LF where its size says");
        chunks->part = chunks->part == CHUNK_DATA_CR ? CHUNK_DATA_LF : CHUNK_SIZE;
        chunks->n_digits = 0;
        return HTTP_MORE;
    case CHUNK_TRAILER:
        return trailer_byte(chunks, c, fault);
    case CHUNK_DATA:
    case CHUNK_OVER:
        break;
    }
    assert(false); // no framing byte is expected there
    return HTTP_REFUSED;
}

enum http_progress http_chunks_scan(struct http_chunks *chunks, const char *data, size_t length,
                                    size_t *used, struct http_fault *fault)
{
    size_t at = 0;
    enum http_progress progress = HTTP_MORE;
    while (at < length && progress == HTTP_MORE) {
        if (chunks->part == CHUNK_DATA) {
            size_t n = length - at < chunks->left ? length - at : (size_t)chunks->left;
            at += n;
            chunks->left -= n;
            if (chunks->left == 0)
                chunks->part = CHUNK_DATA_CR;
        } else {
            progress = framing_byte(chunks, data[at++], fault);
        }
    }
    *used = at;
    return progress;
}
