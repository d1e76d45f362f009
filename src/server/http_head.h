// The gate in front of the HTTP parser: judges a request's header as bytes, strictly.
//
// Everything on which two readers of the same bytes have been known to disagree is refused here, so
// that no proxy in front of us can be led to see other requests than we do.
#ifndef COLROW_SERVER_HTTP_HEAD_H
#define COLROW_SERVER_HTTP_HEAD_H

#include "server/http.h"

struct http_fault {
    int status;          // 0: nothing is wrong
    const char *message; // a literal
};

enum http_progress { HTTP_MORE, HTTP_COMPLETE, HTTP_REFUSED };

// Looks for a header's end while its bytes arrive: lines end in CR LF, hold no control characters,
// and keep the limits. What cannot become good is refused at its first bad byte.
struct http_head_scan {
    size_t begin;      // of the request line: one empty line before it is skipped
    size_t at;         // bytes looked at
    size_t line_begin; // of the line that `at` is in
    size_t fields_begin;
    int n_fields;
    bool in_fields; // the request line is over
};
enum http_progress http_head_scan(struct http_head_scan *scan, const char *data, size_t length,
                                  struct http_fault *fault);
// The same rules for the trailer fields after a chunked body, up to the empty line.
void http_trailer_scan_begin(struct http_head_scan *scan);

// What a complete header says. Texts point into the scanned bytes.
struct http_head {
    struct http_text method, target;
    int minor; // HTTP/1.<minor>
    struct http_field fields[HTTP_FIELDS_MAX];
    int n_fields;
    bool chunked, has_length, expects_continue;
    uint64_t length; // Content-Length
    struct http_text host;
};
// `data[0..length)` is a complete header, with its empty line. Returns false with `*fault` set.
bool http_head_judge(const char *data, size_t length, struct http_head *out,
                     struct http_fault *fault);
// One field line without its CR LF. Returns false when it is none.
bool http_field_judge(const char *line, size_t length, struct http_field *out);

// Splits the target of `head` into a percent-decoded path (into `path`, which holds
// head->target.length + 1 bytes) and a query.
bool http_target_split(const struct http_head *head, char *path, struct http_text *query,
                       struct http_fault *fault);

#endif
