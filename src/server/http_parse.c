#include "server/http_parse.h"

#include <assert.h>
#include <string.h>

static int parsed_head(llhttp_t *parser)
{
    struct http_parse *parse = parser->data;
    parse->head_done = true;
    // Upgrade is not supported, so that a request which asks for it is an ordinary one.
    parser->upgrade = 0;
    return 0;
}

static int parsed_body(llhttp_t *parser, const char *at, size_t length)
{
    struct http_parse *parse = parser->data;
    parse->appended = bytes_append(parse->body, at, length);
    return parse->appended == OK ? 0 : -1;
}

static int parsed_message(llhttp_t *parser)
{
    struct http_parse *parse = parser->data;
    parse->body_done = true;
    // Later the parser has begun to think of the next message.
    parse->keep_alive = llhttp_should_keep_alive(parser) != 0;
    return 0;
}

static const llhttp_settings_t *parse_settings(void)
{
    static llhttp_settings_t settings;
    if (!settings.on_message_complete) {
        llhttp_settings_init(&settings);
        settings.on_headers_complete = parsed_head;
        settings.on_body = parsed_body;
        settings.on_message_complete = parsed_message;
    }
    return &settings;
}

void http_parse_begin(struct http_parse *parse, struct bytes *body)
{
    *parse = (struct http_parse){.body = body};
    llhttp_init(&parse->parser, HTTP_REQUEST, parse_settings());
    parse->parser.data = parse;
}

void http_parse_end(struct http_parse *parse)
{
    http_chunks_end(&parse->chunks);
}

static enum http_progress parser_refuses(struct http_fault *fault)
{
    *fault = (struct http_fault){400, "the request is not well-formed HTTP"};
    return HTTP_REFUSED;
}

enum http_progress http_parse_head(struct http_parse *parse, const char *data, size_t length,
                                   const struct http_head *head, uint64_t body_bytes_max,
                                   struct http_fault *fault)
{
    if (head->has_length && head->length > body_bytes_max) {
        *fault =
            (struct http_fault){413, "the body is longer than this server takes (--max-body-size)"};
        return HTTP_REFUSED;
    }
    bool has_body = head->chunked || head->length > 0;
    if (llhttp_execute(&parse->parser, data, length) != HPE_OK) {
        parser_refuses(fault);
        if (llhttp_get_errno(&parse->parser) == HPE_INVALID_METHOD)
            fault->message = "the method is not one of HTTP's";
        return HTTP_REFUSED;
    }
    const char *method = llhttp_method_name((llhttp_method_t)parse->parser.method);
    if (!parse->head_done || parse->body_done == has_body ||
        !http_text_equals(head->method, method) || parse->parser.http_major != 1 ||
        parse->parser.http_minor != head->minor ||
        ((parse->parser.flags & F_CHUNKED) != 0) != head->chunked ||
        (has_body && !head->chunked && parse->parser.content_length != head->length))
        return parser_refuses(fault);
    parse->chunked = head->chunked;
    parse->body_left = head->length;
    if (head->chunked)
        http_chunks_begin(&parse->chunks, body_bytes_max);
    return has_body ? HTTP_MORE : HTTP_COMPLETE;
}

enum http_progress http_parse_body(struct http_parse *parse, const char *data, size_t length,
                                   size_t *used, struct http_fault *fault)
{
    enum http_progress progress;
    assert(!parse->body_done);
    if (parse->chunked) {
        progress = http_chunks_scan(&parse->chunks, data, length, used, fault);
        if (progress == HTTP_REFUSED)
            return progress;
    } else {
        *used = length < parse->body_left ? length : (size_t)parse->body_left;
        parse->body_left -= *used;
        progress = parse->body_left ? HTTP_MORE : HTTP_COMPLETE;
    }
    if (llhttp_execute(&parse->parser, data, *used) != HPE_OK) {
        if (parse->appended != OK) {
            *fault = (struct http_fault){503, "there is no memory for the request"};
            return HTTP_REFUSED;
        }
        return parser_refuses(fault);
    }
    if (parse->body_done != (progress == HTTP_COMPLETE))
        return parser_refuses(fault);
    return progress;
}
