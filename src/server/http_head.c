#include "server/http_head.h"

#include <string.h>
#include <strings.h>

static bool refuse(struct http_fault *fault, int status, const char *message)
{
    *fault = (struct http_fault){status, message};
    return false;
}

static bool is_token_byte(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != 0 && strchr("!#$%&'*+-.^_`|~", c));
}

// ---- scanning ----

static bool scan_within_limits(const struct http_head_scan *scan, struct http_fault *fault)
{
    if (!scan->in_fields)
        return scan->at - scan->begin < HTTP_LINE_BYTES_MAX ||
               refuse(fault, 414, "the request line is longer than 8 KiB");
    return scan->at - scan->fields_begin < HTTP_FIELDS_BYTES_MAX ||
           refuse(fault, 431, "the header fields are longer than 16 KiB together");
}

// A line is complete; `*last` tells whether it was the empty one.
static bool scan_line_end(struct http_head_scan *scan, bool *last, struct http_fault *fault)
{
    size_t length = scan->at - 2 - scan->line_begin;
    *last = false;
    if (!scan->in_fields) {
        if (length == 0) {
            if (scan->begin > 0)
                return refuse(fault, 400, "more than one empty line stands before the request");
            scan->begin = scan->line_begin = scan->at;
            return true;
        }
        scan->in_fields = true;
        scan->fields_begin = scan->at;
    } else if (length == 0) {
        *last = true;
    } else if (++scan->n_fields > HTTP_FIELDS_MAX) {
        return refuse(fault, 431, "there are more than 100 header fields");
    }
    scan->line_begin = scan->at;
    return true;
}

enum http_progress http_head_scan(struct http_head_scan *scan, const char *data, size_t length,
                                  struct http_fault *fault)
{
    while (scan->at < length) {
        unsigned char c = (unsigned char)data[scan->at];
        bool after_cr = scan->at > scan->line_begin && data[scan->at - 1] == '\r';
        if (after_cr != (c == '\n')) {
            refuse(fault, 400,
                   after_cr ? "a carriage return stands alone in the header; lines end in CR LF"
                            : "a line feed stands alone in the header; lines end in CR LF");
            return HTTP_REFUSED;
        }
        if ((c < 0x20 && c != '\t' && c != '\r' && c != '\n') || c == 0x7f) {
            refuse(fault, 400, "the header holds a control character");
            return HTTP_REFUSED;
        }
        scan->at++;
        if (c == '\n') {
            bool last;
            if (!scan_line_end(scan, &last, fault))
                return HTTP_REFUSED;
            if (last)
                return HTTP_COMPLETE;
        } else if (!scan_within_limits(scan, fault)) {
            return HTTP_REFUSED;
        }
    }
    return HTTP_MORE;
}

void http_trailer_scan_begin(struct http_head_scan *scan)
{
    *scan = (struct http_head_scan){.in_fields = true};
}

// ---- the request line ----

static bool judge_version(const char *text, size_t length, struct http_head *out,
                          struct http_fault *fault)
{
    if (length != 8 || memcmp(text, "HTTP/", 5) != 0 || text[6] != '.' || text[5] < '0' ||
        text[5] > '9' || text[7] < '0' || text[7] > '9')
        return refuse(fault, 400, "the request line does not end in HTTP/1.1 or HTTP/1.0");
    if (text[5] != '1' || text[7] > '1')
        return refuse(fault, 505, "this server speaks HTTP/1.1 and HTTP/1.0");
    out->minor = text[7] - '0';
    return true;
}

static bool judge_request_line(const char *line, size_t length, struct http_head *out,
                               struct http_fault *fault)
{
    const char *end = line + length, *space = memchr(line, ' ', length);
    const char *second = space ? memchr(space + 1, ' ', (size_t)(end - space - 1)) : NULL;
    if (!second)
        return refuse(fault, 400, "the request line is not: METHOD TARGET HTTP/1.1");
    out->method = (struct http_text){line, (size_t)(space - line)};
    out->target = (struct http_text){space + 1, (size_t)(second - space - 1)};
    for (size_t i = 0; i < out->method.length; i++)
        if (line[i] < 'A' || line[i] > 'Z')
            return refuse(fault, 400, "the method is not a word in capital letters");
    if (out->method.length == 0 || out->target.length == 0)
        return refuse(fault, 400, "the request line lacks its method or its target");
    for (size_t i = 0; i < out->target.length; i++) {
        unsigned char c = (unsigned char)out->target.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#' || c == '"' || c == '<' || c == '>' || c == '\\')
            return refuse(fault, 400, "the target holds a byte that must be percent-encoded");
    }
    return judge_version(second + 1, (size_t)(end - second - 1), out, fault);
}

// ---- fields ----

bool http_field_judge(const char *line, size_t length, struct http_field *out)
{
    size_t n = 0;
    while (n < length && is_token_byte((unsigned char)line[n]))
        n++;
    if (n == 0 || n == length || line[n] != ':')
        return false;
    const char *value = line + n + 1, *end = line + length;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *out = (struct http_field){{line, n}, {value, (size_t)(end - value)}};
    return true;
}

static bool judge_length(struct http_text value, struct http_head *out, struct http_fault *fault)
{
    if (out->has_length)
        return refuse(fault, 400, "Content-Length stands twice");
    if (value.length == 0 || value.length > 18)
        return refuse(fault, value.length ? 413 : 400, "Content-Length is not a length in bytes");
    for (size_t i = 0; i < value.length; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return refuse(fault, 400, "Content-Length is not a number of decimal digits");
        out->length = out->length * 10 + (uint64_t)(value.data[i] - '0');
    }
    out->has_length = true;
    return true;
}

// A body's framing is the place where proxies are fooled: one coding, written in the one usual way.
static bool judge_coding(const struct http_field *field, struct http_head *out,
                         struct http_fault *fault)
{
    static const char chunked[] = "chunked";
    if (out->chunked)
        return refuse(fault, 400, "Transfer-Encoding stands twice");
    const char *begin = field->name.data + field->name.length + 1;
    if (memchr(begin, '\t', (size_t)(field->value.data + field->value.length - begin)))
        return refuse(fault, 400, "Transfer-Encoding holds a tab");
    if (!http_text_equals(field->value, chunked)) {
        for (size_t i = 0; i < field->value.length; i++)
            if (!is_token_byte((unsigned char)field->value.data[i]))
                return refuse(fault, 400, "Transfer-Encoding is not \"chunked\"");
        return refuse(fault, field->value.length ? 501 : 400,
                      "Transfer-Encoding is not \"chunked\", the only one this server knows");
    }
    out->chunked = true;
    return true;
}

static bool judge_host(struct http_text value, bool again, struct http_fault *fault)
{
    if (again)
        return refuse(fault, 400, "Host stands twice");
    for (size_t i = 0; i < value.length; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
            !strchr("-._~%:[]!$&'()*+;=", c))
            return refuse(fault, 400, "Host is not a name or address");
    }
    return true;
}

static bool judge_known_field(const struct http_field *field, struct http_head *out,
                              struct http_fault *fault)
{
    if (http_text_equals(field->name, "Content-Length"))
        return judge_length(field->value, out, fault);
    if (http_text_equals(field->name, "Transfer-Encoding"))
        return judge_coding(field, out, fault);
    if (http_text_equals(field->name, "Host")) {
        bool again = out->host.data != NULL;
        out->host = field->value;
        return judge_host(field->value, again, fault);
    }
    if (http_text_equals(field->name, "Expect")) {
        if (!http_text_equals(field->value, "100-continue"))
            return refuse(fault, 417, "Expect is not \"100-continue\"");
        out->expects_continue = true;
    }
    if (http_text_equals(field->name, "Content-Encoding") &&
        !http_text_equals(field->value, "identity"))
        return refuse(fault, 415, "Content-Encoding is not supported: send the body uncompressed");
    return true;
}

static bool judge_together(const struct http_head *head, struct http_fault *fault)
{
    if (head->chunked && head->has_length)
        return refuse(fault, 400, "Content-Length and Transfer-Encoding stand together");
    if (head->chunked && head->minor == 0)
        return refuse(fault, 400, "Transfer-Encoding is not part of HTTP/1.0");
    if (head->minor > 0 && !head->host.data)
        return refuse(fault, 400, "Host is missing");
    return true;
}

bool http_head_judge(const char *data, size_t length, struct http_head *out,
                     struct http_fault *fault)
{
    *out = (struct http_head){.minor = 1};
    const char *end = data + length, *next;
    for (const char *line = data; line < end; line = next) {
        const char *cr = memchr(line, '\r', (size_t)(end - line));
        if (!cr || cr + 1 == end)
            return refuse(fault, 400, "the header is cut short");
        next = cr + 2;
        size_t n = (size_t)(cr - line);
        if (line == data) {
            if (!judge_request_line(line, n, out, fault))
                return false;
            continue;
        }
        if (n == 0)
            return judge_together(out, fault);
        if (*line == ' ' || *line == '\t')
            return refuse(fault, 400, "a header field is folded over two lines");
        if (out->n_fields == HTTP_FIELDS_MAX)
            return refuse(fault, 431, "there are more than 100 header fields");
        struct http_field *field = &out->fields[out->n_fields++];
        if (!http_field_judge(line, n, field))
            return refuse(fault, 400, "a header line is not: NAME: VALUE");
        if (!judge_known_field(field, out, fault))
            return false;
    }
    return refuse(fault, 400, "the header is cut short");
}

// ---- the target ----

static int path_hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool decode_path(const char *at, const char *end, char *path, struct http_fault *fault)
{
    while (at < end) {
        unsigned char c = (unsigned char)*at++;
        if (c == '%') {
            int high = end - at >= 2 ? path_hex_digit(at[0]) : -1,
                low = high >= 0 ? path_hex_digit(at[1]) : -1;
            if (low < 0)
                return refuse(fault, 400, "the target holds a % without two hexadecimal digits");
            c = (unsigned char)(high * 16 + low);
            at += 2;
            if (c < 0x20 || c == 0x7f)
                return refuse(fault, 400, "the target holds an encoded control character");
        }
        *path++ = (char)c;
    }
    *path = '\0';
    return true;
}

// "http://host/path": the host must be the one of Host, or two readers could see two servers.
static bool skip_authority(const struct http_head *head, const char **at, const char *end,
                           struct http_fault *fault)
{
    size_t scheme = 0;
    if (end - *at > 7 && strncasecmp(*at, "http://", 7) == 0)
        scheme = 7;
    else if (end - *at > 8 && strncasecmp(*at, "https://", 8) == 0)
        scheme = 8;
    if (!scheme)
        return refuse(fault, 400, "the target is neither a path nor an http:// address");
    const char *host = *at + scheme, *stop = host;
    while (stop < end && *stop != '/' && *stop != '?')
        stop++;
    size_t n = (size_t)(stop - host);
    if (n == 0 ||
        (head->host.data && (head->host.length != n || strncasecmp(head->host.data, host, n) != 0)))
        return refuse(fault, 400, "the target and Host name different hosts");
    *at = stop;
    return true;
}

bool http_target_split(const struct http_head *head, char *path, struct http_text *query,
                       struct http_fault *fault)
{
    const char *at = head->target.data, *end = at + head->target.length;
    *query = (struct http_text){end, 0};
    if (head->target.length == 1 && *at == '*' && http_text_equals(head->method, "OPTIONS")) {
        memcpy(path, "*", 2);
        return true;
    }
    if (*at != '/' && !skip_authority(head, &at, end, fault))
        return false;
    const char *mark = memchr(at, '?', (size_t)(end - at));
    if (mark)
        *query = (struct http_text){mark + 1, (size_t)(end - mark - 1)};
    if (at == end || at == mark) { // "http://host" means its root
        memcpy(path, "/", 2);
        return true;
    }
    return decode_path(at, mark ? mark : end, path, fault);
}

bool http_text_equals(struct http_text text, const char *other)
{
    return strlen(other) == text.length && strncasecmp(text.data, other, text.length) == 0;
}
